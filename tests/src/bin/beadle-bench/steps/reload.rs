//! Time until a new revision is active, a reload every second under load, and memory per loaded
//! plugin.

use super::servers;
use crate::load::{FIRST_PHONE, Load};
use crate::machine;
use crate::marks::Marks;
use crate::options::Options;
use crate::receiver::Receiver;
use crate::report::{Better, Report};
use crate::run::{Run, Way};
use beadle_test_support::daemon::{Daemon, Setup};
use beadle_test_support::program::probe;
use beadle_test_support::rng::Rng;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time from the complete file to the active revision.
const AIM_MS: f64 = 300.0;
/// Timed reloads; the median counts.
const RELOADS: usize = 15;
/// The load during reloads.
const PER_SECOND: u32 = 2_000;
/// Its contacts.
const CONTACTS: u64 = 1_000;
/// Between two checks of the active revision: a few hundredths of what is measured.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// Runs the step.
pub async fn reload(options: &Options, report: &mut Report) -> Result<(), String> {
    visible(report).await?;
    under_load(options, report).await?;
    memory(report).await
}

/// From the complete file to the active revision: with new bytes, and with bytes that are in the
/// compile cache.
async fn visible(report: &mut Report) -> Result<(), String> {
    let receiver = Receiver::start(Arc::new(Marks::new(0)), None)?;
    let setup = servers::unlimited(&receiver).probe("probe", "reply = \"\"", "");
    let daemon = setup.start().await;
    time(report, &setup, &daemon, "probe", RELOADS, Some((AIM_MS, Better::Less)), probe).await;
    daemon.stop().await;
    Ok(())
}

/// Replaces a plugin by several revisions and reports how long each took to become active.
pub async fn time(
    report: &mut Report,
    setup: &Setup,
    daemon: &Daemon,
    plugin: &str,
    reloads: usize,
    aim: Option<(f64, Better)>,
    revision_of: impl Fn(&str) -> Vec<u8>,
) {
    let kib = revision_of("a").len() / 1024;
    for (name, distinct) in [("newly compiled", reloads), ("compiled before", 2)] {
        let mut times = Vec::new();
        // Bytes for the cached case must be compiled once.
        for n in 0..reloads + distinct % reloads {
            let bytes = revision_of(&format!("{}{}", name.len(), n % distinct));
            let before = revision(daemon).await;
            let began = Instant::now();
            setup.put_bytes("probe", &bytes);
            while revision(daemon).await == before {
                // tidy: the interval between two checks of a condition in another process
                tokio::time::sleep(POLL_INTERVAL).await;
            }
            times.push(began.elapsed().as_secs_f64() * 1000.0);
        }
        times.drain(..distinct % reloads);
        times.sort_by(f64::total_cmp);
        let (middle, last) = (times.get(times.len() / 2), times.last());
        let note = format!("{kib} KiB; {:.0} ms at most", last.copied().unwrap_or(f64::NAN));
        let value = middle.copied().unwrap_or(f64::NAN);
        report.note(format!("reload of {plugin}, complete file to active: {name}"), value, "ms", aim, note);
    }
}

async fn revision(daemon: &Daemon) -> String {
    let row = daemon.get("plugins/probe").await;
    row.get("revision").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A new revision each second while messages come at a steady rate.
async fn under_load(options: &Options, report: &mut Report) -> Result<(), String> {
    let count = (options.seconds * PER_SECOND) as usize;
    let marks = Arc::new(Marks::new(count));
    let receiver = Receiver::start(Arc::clone(&marks), None)?;
    let setup = servers::unlimited(&receiver).probe("probe", "reply = \" \"", "");
    let daemon = setup.start().await;
    let server = servers::server(&setup, &daemon);
    let way = Way::Open(f64::from(PER_SECOND));
    let load = Load::new("reload", count, CONTACTS, |_| None);
    let run = Run { load, marks, way, receipts_each: 0, aim_s: options.seconds };
    let reloads = every_second(&setup);
    let outcome = tokio::select! {
        outcome = run.against(&server) => outcome?,
        never = reloads => never,
    };
    let served = daemon.try_get("/metrics").await.map_err(|error| error.to_string())?;
    let line = "beadle_plugin_reloads_total{result=\"activated\"} ";
    let served = served.text().lines().find_map(|text| text.strip_prefix(line).map(str::to_owned)).unwrap_or_default();
    let (doubled, _) = outcome.marks.anomalies();
    let lost = outcome.marks.expected().saturating_sub(outcome.replies);
    let times = outcome.marks.all_ns();
    let condition = format!("with a reload per second, at {PER_SECOND}/s");
    report.note(format!("lost {condition}"), lost as f64, "", Some((1.0, Better::Less)), format!("{served} reloads"));
    report.add(format!("duplicated {condition}"), doubled as f64, "", None);
    report.add(format!("out of order {condition}"), misordered(&times) as f64, "", None);
    report.add(format!("longest pause {condition}"), longest_gap_ms(&times), "ms", None);
    let p99 = outcome.marks.reply_times(|_| true).per_mille_ms(990).unwrap_or(f64::NAN);
    report.add(format!("reply p99 {condition}"), p99, "ms", None);
    daemon.stop().await;
    Ok(())
}

async fn every_second<T>(setup: &Setup) -> T {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    let mut n = 0_u32;
    loop {
        second.tick().await;
        n += 1;
        setup.put_bytes("probe", &probe(&format!("r{n}")));
    }
}

/// Replies that arrived before the reply to an earlier message of the same contact, if that message
/// was acknowledged before this one was sent (the order of two concurrent webhooks is undefined).
/// The contacts follow the load's random sequence.
fn misordered(times: &[[u64; 3]]) -> usize {
    let mut rng = Rng::new(CONTACTS);
    let mut last: HashMap<u64, (u64, u64)> = HashMap::new();
    let early = times.iter().filter(|[sent, acked, replied]| {
        let from = FIRST_PHONE + rng.below(CONTACTS);
        let (acked_before, replied_before) = last.insert(from, (*acked, *replied)).unwrap_or((u64::MAX, 0));
        acked_before < *sent && *replied > 0 && *replied < replied_before
    });
    early.count()
}

/// The longest time without a reply.
fn longest_gap_ms(times: &[[u64; 3]]) -> f64 {
    let mut replied: Vec<u64> = times.iter().map(|[.., replied]| *replied).filter(|at| *at > 0).collect();
    replied.sort_unstable();
    let gaps = replied.windows(2).filter_map(|pair| Some(pair.last()? - pair.first()?));
    gaps.max().unwrap_or(0) as f64 / 1e6
}

/// Resident memory with 1, 50 and 200 idle plugins with different bytes.
async fn memory(report: &mut Report) -> Result<(), String> {
    let receiver = Receiver::start(Arc::new(Marks::new(0)), None)?;
    let mut one = 0.0;
    for plugins in [1, 50, 200] {
        let setup = servers::unlimited(&receiver);
        for n in 0..plugins {
            setup.put_bytes(&format!("probe-{n:03}"), &probe(&format!("m{n}")));
        }
        // Once to fill the compile cache, then measured.
        setup.start().await.stop().await;
        let daemon = setup.start().await;
        let rss_mib = machine::usage(daemon.program.pid()).rss_mib;
        daemon.stop().await;
        report.add(format!("memory, loaded and idle: {plugins} plugins"), rss_mib, "MiB", None);
        if plugins == 1 {
            one = rss_mib;
        } else {
            let each = (rss_mib - one) * 1024.0 / f64::from(plugins - 1);
            report.add(format!("memory for each further plugin, of {plugins}"), each, "KiB", None);
        }
    }
    Ok(())
}
