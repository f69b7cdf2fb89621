//! Throughput.

use super::servers::{self, Past};
use crate::load::Load;
use crate::marks::Marks;
use crate::options::Options;
use crate::receiver::{Callback, Receiver};
use crate::report::{Better, Report};
use crate::run::{Outcome, Run, Way};
use std::sync::Arc;

/// The rate that sizes a run.
const PER_SECOND: u32 = 20_000;

/// The same with three receipts per reply, or with a million contacts.
const HARD_PER_SECOND: u32 = 8_000;

/// The aim, as a share of the bare bot.
const AIM_SHARE: f64 = 0.55;

/// The same with three receipts per reply.
const AIM_HARD_SHARE: f64 = 0.25;

/// The same with a million contacts: at most 15 % less.
const AIM_MILLION_SHARE: f64 = 0.85 * AIM_SHARE;

/// The figure that the others are compared with.
const BARE: &str = "throughput: bare bot, 1,000 contacts";

/// The figure of the daemon at its capacity, which overload is compared with.
const CAPACITY: &str = "throughput: 1,000 contacts";

/// Messages in a webhook of the overload.
const PER_WEBHOOK: usize = 10;

/// A kind of load.
#[derive(Clone, Copy)]
struct Case<'a> {
    name: &'a str,
    contacts: u64,
    receipts_each: u64,
    old_events: u64,
    /// Messages per second that size the run.
    per_second: u32,
    /// The aim, as a share of the bare bot.
    share: f64,
}

/// The usual load.
const EASY: Case<'_> = Case {
    name: "1,000 contacts",
    contacts: 1000,
    receipts_each: 0,
    old_events: 0,
    per_second: PER_SECOND,
    share: AIM_SHARE,
};

/// The same for a load that costs more.
const HARD: Case<'_> = Case { per_second: HARD_PER_SECOND, share: AIM_HARD_SHARE, ..EASY };

/// The daemon with the usual load.
pub async fn throughput(options: &Options, report: &mut Report) -> Result<(), String> {
    measure(EASY, options, report).await
}

/// The platform reports each reply as sent, delivered and read.
pub async fn receipts(options: &Options, report: &mut Report) -> Result<(), String> {
    measure(Case { name: "1,000 contacts, 3 receipts a reply", receipts_each: 3, ..HARD }, options, report).await
}

/// More contacts than memory holds.
pub async fn million(options: &Options, report: &mut Report) -> Result<(), String> {
    let million = Case { name: "1,000,000 contacts", contacts: 1_000_000, share: AIM_MILLION_SHARE, ..HARD };
    measure(million, options, report).await?;
    let name = "1,000,000 contacts, 3 receipts a reply";
    measure(Case { name, contacts: 1_000_000, receipts_each: 3, ..HARD }, options, report).await
}

/// The same after many messages.
pub async fn full_database(options: &Options, report: &mut Report) -> Result<(), String> {
    let old_events = options.old_events;
    let name = |rest: &str| format!("{} M old events, {rest}", old_events as f64 / 1e6);
    measure(Case { name: &name("1,000 contacts"), old_events, ..EASY }, options, report).await?;
    let name = name("1,000,000 contacts, 3 receipts a reply");
    measure(Case { name: &name, contacts: 1_000_000, receipts_each: 3, old_events, ..HARD }, options, report).await
}

/// Webhooks with ten messages each, sent as fast as they are taken: about ten times what is
/// handled. The throughput must not fall below that at capacity, memory must stay bounded, and no
/// conversation may wait much longer than others.
pub async fn overload(options: &Options, report: &mut Report) -> Result<(), String> {
    const NAME: &str = "overload, 10 messages a webhook";
    let count = (options.seconds * PER_SECOND) as usize / PER_WEBHOOK * PER_WEBHOOK;
    let load = Load::batched("overload", count, 1000, PER_WEBHOOK, |_| None);
    let marks = Arc::new(Marks::new(count));
    let receiver = Receiver::start(Arc::clone(&marks), None)?;
    let setup = servers::unlimited(&receiver).plugin("echo", "");
    let daemon = setup.start().await;
    let run = Run { load, marks, way: Way::Closed, receipts_each: 0, aim_s: options.seconds };
    let outcome = run.against(&servers::server(&setup, &daemon)).await?;
    daemon.stop().await;
    let capacity = report.value(CAPACITY).map(|capacity| (capacity, Better::More));
    report.note(format!("throughput: {NAME}"), outcome.per_second(), "/s", capacity, outcome.anomalies());
    report.add(format!("peak memory: {NAME}"), outcome.usage.peak_mib, "MiB", None);
    let waits = outcome.marks.reply_times(|_| true);
    for (name, per_mille) in [("p50", 500), ("p99", 990), ("longest", 1000)] {
        let wait_s = waits.per_mille_ms(per_mille).unwrap_or(f64::NAN) / 1000.0;
        report.add(format!("wait for a reply: {NAME}, {name}"), wait_s, "s", None);
    }
    Ok(())
}

/// The figure of the bare bot, measured once in a run of the bench.
async fn bare(options: &Options, report: &mut Report) -> Result<f64, String> {
    if let Some(known) = report.value(BARE) {
        return Ok(known);
    }
    let (load, marks) = usual_load("bare", options);
    let receiver = Receiver::start(Arc::clone(&marks), None)?;
    let (server, _program) = servers::bare_bot(&receiver).await?;
    let outcome = closed(load, marks, options).against(&server).await?;
    report.note(BARE, outcome.per_second(), "/s", None, outcome.anomalies());
    report.add("CPU per message: bare bot", outcome.cpu_us(), "µs", None);
    report.add("peak memory: bare bot", outcome.usage.peak_mib, "MiB", None);
    Ok(outcome.per_second())
}

/// A bot that its author wrote with a library, in the same run.
pub async fn peer(options: &Options, report: &mut Report) -> Result<(), String> {
    let (load, marks) = usual_load("peer", options);
    let receiver = Receiver::start(Arc::clone(&marks), None)?;
    let (server, _program) = servers::peer(&receiver).await?;
    let outcome = closed(load, marks, options).against(&server).await?;
    let name = "bot with whatsapp-api-js on node:http, 1,000 contacts";
    report.note(format!("throughput: {name}"), outcome.per_second(), "/s", None, outcome.anomalies());
    report.add(format!("CPU per message: {name}"), outcome.cpu_us(), "µs", None);
    report.add(format!("peak memory: {name}"), outcome.usage.peak_mib, "MiB", None);
    Ok(())
}

fn usual_load(run: &str, options: &Options) -> (Load, Arc<Marks>) {
    let count = (options.seconds * PER_SECOND) as usize;
    (Load::new(run, count, 1000, |_| None), Arc::new(Marks::new(count)))
}

fn closed(load: Load, marks: Arc<Marks>, options: &Options) -> Run {
    Run { load, marks, way: Way::Closed, receipts_each: 0, aim_s: options.seconds }
}

async fn measure(case: Case<'_>, options: &Options, report: &mut Report) -> Result<(), String> {
    let bare = bare(options, report).await?;
    let outcome = one(case, options).await?;
    let Case { name, share, .. } = case;
    let rate = outcome.per_second();
    report.note(format!("throughput: {name}"), rate, "/s", None, outcome.anomalies());
    report.add(format!("share of the bare bot: {name}"), rate / bare, "", Some((share, Better::More)));
    report.add(format!("CPU per message: {name}"), outcome.cpu_us(), "µs", None);
    report.add(format!("peak memory: {name}"), outcome.usage.peak_mib, "MiB", None);
    let times = outcome.marks.reply_times(|_| true);
    for (part, per_mille) in [("p50", 500), ("p99", 990)] {
        let value = times.per_mille_ms(per_mille).unwrap_or(f64::NAN);
        report.add(format!("reply at capacity, {part}: {name}"), value, "ms", None);
    }
    Ok(())
}

async fn one(case: Case<'_>, options: &Options) -> Result<Outcome, String> {
    let count = (options.seconds * case.per_second) as usize;
    let load = Load::new("run", count, case.contacts, |_| None);
    let marks = Arc::new(Marks::new(count));
    // The receiver needs the daemon's address for receipts, and the daemon the receiver's.
    let receipts = Callback::default();
    let receiver = Receiver::start(Arc::clone(&marks), (case.receipts_each > 0).then(|| receipts.clone()))?;
    let setup = servers::unlimited(&receiver).plugin("echo", "");
    receipts.set(&setup.http);
    if case.contacts > 1000 || case.old_events > 0 {
        servers::fill(&setup, Past { contacts: case.contacts, events: case.old_events }).await?;
    }
    let daemon = setup.start().await;
    let server = servers::server(&setup, &daemon);
    let run = Run { load, marks, way: Way::Closed, receipts_each: case.receipts_each, aim_s: options.seconds };
    let outcome = run.against(&server).await?;
    daemon.stop().await;
    Ok(outcome)
}
