//! The steps of the bench, each for one question.

mod components;
mod latency;
mod platform;
mod reload;
mod schedules;
mod servers;
mod standing;
mod throughput;
mod waiting;

use crate::Options;
use crate::report::Report;
use std::pin::Pin;

/// A step: it adds its figures to the report.
pub type Step = for<'a> fn(&'a Options, &'a mut Report) -> Pin<Box<dyn Future<Output = Result<(), String>> + 'a>>;

/// All steps, in the order they run: name, what it shows, and the step.
pub fn all() -> &'static [(&'static str, &'static str, Step)] {
    &[
        ("throughput", "messages a second beside a bare bot's, by contacts and receipts", |options, report| {
            Box::pin(throughput::throughput(options, report))
        }),
        ("latency", "time to 200 and to the reply at 2,000 a second, beside a bare bot's", |options, report| {
            Box::pin(latency::latency(options, report))
        }),
        ("hostile", "the same beside a plugin that never ends, hoards, traps or floods", |options, report| {
            Box::pin(latency::hostile(options, report))
        }),
        ("standing", "start-up with 1 and 50 plugins, memory when nothing happens", |options, report| {
            Box::pin(standing::standing(options, report))
        }),
        (
            "reload",
            "a new revision until it serves, one a second under load, memory for each plugin",
            |options, report| Box::pin(reload::reload(options, report)),
        ),
        ("components", "plugins in JavaScript and Python: a reload, a start, memory", |options, report| {
            Box::pin(components::components(options, report))
        }),
        ("schedules", "10,000 schedules: start, memory, processor at rest, how late they fire", |options, report| {
            Box::pin(schedules::schedules(options, report))
        }),
        ("waiting", "10 million open windows, 10 million timers: the same (writes some 5 GB)", |options, report| {
            Box::pin(waiting::waiting(options, report))
        }),
        ("call-cost", "a call into a warm and a fresh instance, beside bare wasmtime", |options, report| {
            Box::pin(standing::call_cost(options, report))
        }),
        ("webhooks", "webhooks understood a second by one core: signature, parse, normalise", |options, report| {
            Box::pin(platform::webhooks(options, report))
        }),
        ("simulator", "what the simulator itself can do: messages taken, webhooks delivered", |options, report| {
            Box::pin(platform::simulator(options, report))
        }),
        ("full-database", "throughput on 10 million old events (writes some 8 GB)", |options, report| {
            Box::pin(throughput::full_database(options, report))
        }),
    ]
}
