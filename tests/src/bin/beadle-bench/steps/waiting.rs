//! Ten million open windows, and ten million timers: disk, start, memory, CPU while none is due,
//! and delay at a hundred per second.

use super::servers;
use crate::machine;
use crate::marks::Marks;
use crate::options::Options;
use crate::receiver::Receiver;
use crate::report::Report;
use beadle_test_support::daemon::{Daemon, Setup};
use beadle_test_support::time_at;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::process::Command;

/// Number of windows or timers.
const WAITING: u64 = 10_000_000;
/// … of which this many become due, one every [`EVERY_MS`].
const DUE: u64 = 6_000;
/// A hundred per second, about the rate at which ten million windows end in a day.
const EVERY_MS: u64 = 10;
/// Seconds until the first is due; by then the daemon has started.
const IN_S: u64 = 20;
/// Events whose delay is read: enough for a p99.
const SAMPLES: usize = 600;
/// Long enough for the loops to wake up by themselves.
const IDLE: Duration = Duration::from_secs(60);

/// Runs the step.
pub async fn waiting(_: &Options, report: &mut Report) -> Result<(), String> {
    let receiver = Receiver::start(Arc::new(Marks::new(0)), None)?;
    for (waiting, kind, moment) in
        [("windows", "window-closed", "/body/closed_at"), ("timers", "timer", "/body/due_at")]
    {
        let setup = servers::unlimited(&receiver).toml("[windows]\nexpiring_before = []").plugin("hourglass", "");
        setup.start().await.stop().await;
        at_rest(report, &setup, &format!("0 {waiting}")).await;
        script(&setup, &["fill", waiting, &WAITING.to_string()]).await?;
        let name = format!("{} million {waiting}", WAITING / 1_000_000);
        let bytes = std::fs::metadata(setup.data().join("beadle.db")).map_or(0, |file| file.len());
        report.add(format!("disk: {name}, with their conversations"), bytes as f64 / f64::from(1 << 20), "MiB", None);
        at_rest(report, &setup, &name).await;
        let (count, in_s, every) = (DUE.to_string(), IN_S.to_string(), EVERY_MS.to_string());
        script(&setup, &["soon", waiting, &count, &in_s, &every]).await?;
        let daemon = setup.start().await;
        // tidy: they are due by the real clock
        tokio::time::sleep(Duration::from_secs(IN_S + DUE * EVERY_MS / 1000 + 2)).await;
        let mut late = lateness(&daemon, kind, moment).await;
        late.sort_by(f64::total_cmp);
        for (part, per_mille) in [("p50", 500), ("p99", 990), ("most", 1000)] {
            let at = (late.len() * per_mille / 1000).min(late.len().saturating_sub(1));
            let value = late.get(at).copied().ok_or_else(|| format!("no event of kind {kind}"))?;
            report.add(format!("delay, 100 per second of {name}: {part}"), value, "ms", None);
        }
        daemon.stop().await;
    }
    Ok(())
}

/// Measures a start, and a minute in which nothing is due.
async fn at_rest(report: &mut Report, setup: &Setup, name: &str) {
    let began = Instant::now();
    let daemon = setup.start().await;
    report.add(format!("start: {name}"), began.elapsed().as_secs_f64() * 1000.0, "ms", None);
    let before = machine::usage(daemon.program.pid());
    // tidy: resource usage over a period of real time is measured
    tokio::time::sleep(IDLE).await;
    let after = machine::usage(daemon.program.pid());
    report.add(format!("memory, idle: {name}"), after.rss_mib, "MiB", None);
    let share = (after.cpu_s - before.cpu_s) / IDLE.as_secs_f64() * 1000.0;
    report.add(format!("CPU per second, none due: {name}"), share, "ms", None);
    daemon.stop().await;
}

async fn script(setup: &Setup, words: &[&str]) -> Result<(), String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin/beadle-bench/steps/waiting.py");
    let (do_this, rest) = words.split_first().ok_or("a word is missing")?;
    let mut python = Command::new("python3");
    python.arg(script).arg(do_this).arg(setup.data().join("beadle.db")).args(rest);
    let output = python.output().await.map_err(|error| format!("python3: {error}"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{do_this}: {stderr}")) }
}

/// Delays from planned time to event of a sample.
async fn lateness(daemon: &Daemon, kind: &str, moment: &str) -> Vec<f64> {
    let events = daemon.list_all(&format!("events?kind={kind}")).await;
    let mut late = Vec::new();
    for event in events.iter().step_by((events.len() / SAMPLES).max(1)) {
        let id = event.get("id").and_then(Value::as_str).unwrap_or_default();
        let event = daemon.get(&format!("events/{id}")).await;
        let planned = event.pointer(moment).and_then(Value::as_f64);
        let came = time_at(&event, "/received_at").map(|ms| ms as f64);
        late.extend(came.zip(planned).map(|(came, planned)| came - planned));
    }
    late
}
