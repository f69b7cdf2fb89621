//! The steps of the bench.

mod broadcast;
mod components;
mod gate;
mod idle;
mod latency;
mod platform;
mod profile;
mod reload;
mod schedules;
mod segments;
mod servers;
mod throughput;
mod waiting;

use crate::options::Options;
use crate::report::Report;
use std::pin::Pin;

/// A step: it adds its figures to the report.
pub type Step = for<'a> fn(&'a Options, &'a mut Report) -> Pin<Box<dyn Future<Output = Result<(), String>> + 'a>>;

/// All steps in order: name, description, function.
pub fn all() -> &'static [(&'static str, &'static str, Step)] {
    &[
        ("throughput", "messages per second, and a bare bot's", |options, report| {
            Box::pin(throughput::throughput(options, report))
        }),
        ("receipts", "the same with three receipts for each reply", |options, report| {
            Box::pin(throughput::receipts(options, report))
        }),
        ("million", "the same with a million contacts, without and with receipts", |options, report| {
            Box::pin(throughput::million(options, report))
        }),
        ("peer", "messages per second of a bot with whatsapp-api-js on node:http", |options, report| {
            Box::pin(throughput::peer(options, report))
        }),
        ("instructions", "instructions per reply, and a bare bot's, by perf", |options, report| {
            Box::pin(profile::instructions(options, report))
        }),
        ("flame", "a flame graph of the daemon under load, by perf", |options, report| {
            Box::pin(profile::flame(options, report))
        }),
        (
            "overload",
            "ten messages in each webhook, as fast as they are taken: throughput, memory, waits",
            |options, report| Box::pin(throughput::overload(options, report)),
        ),
        ("latency", "time to 200 and to the reply at 2,000 per second, and a bare bot's", |options, report| {
            Box::pin(latency::latency(options, report))
        }),
        ("hostile", "the same next to a plugin that loops, hoards memory, traps or floods", |options, report| {
            Box::pin(latency::hostile(options, report))
        }),
        ("idle", "start with 1 and 50 plugins, memory at rest", |options, report| {
            Box::pin(idle::idle(options, report))
        }),
        (
            "reload",
            "time until a new revision is active, a reload per second under load, memory per plugin",
            |options, report| Box::pin(reload::reload(options, report)),
        ),
        ("components", "plugins in JavaScript and Python: a reload, a start, memory", |options, report| {
            Box::pin(components::components(options, report))
        }),
        ("broadcast", "a broadcast to 100,000 people: time to plan, messages per second, memory", |options, report| {
            Box::pin(broadcast::broadcast(options, report))
        }),
        ("gate", "the gate's cost for a message without I/O", |options, report| Box::pin(gate::gate(options, report))),
        ("schedules", "10,000 schedules: start, memory, CPU at rest, delay of firings", |options, report| {
            Box::pin(schedules::schedules(options, report))
        }),
        ("waiting", "10 million open windows, 10 million timers: the same (writes some 5 GB)", |options, report| {
            Box::pin(waiting::waiting(options, report))
        }),
        (
            "segments",
            "segments over 100,000 and a million people: count, a page of members; look-up of consent",
            |options, report| Box::pin(segments::segments(options, report)),
        ),
        ("call-cost", "a call into a warm and a fresh instance, and into bare wasmtime", |options, report| {
            Box::pin(idle::call_cost(options, report))
        }),
        ("webhooks", "webhooks parsed per second by one core: signature, parse, normalise", |options, report| {
            Box::pin(platform::webhooks(options, report))
        }),
        ("simulator", "limits of the simulator itself: messages accepted, webhooks delivered", |options, report| {
            Box::pin(platform::simulator(options, report))
        }),
        ("full-database", "throughput after a million messages (--old-events N)", |options, report| {
            Box::pin(throughput::full_database(options, report))
        }),
    ]
}
