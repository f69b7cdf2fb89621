//! Ten thousand schedules: memory, start, CPU while nothing is due, and the delay of firings,
//! spread over a minute and all at once.

use super::servers;
use crate::machine;
use crate::marks::Marks;
use crate::options::Options;
use crate::receiver::Receiver;
use crate::report::Report;
use beadle_test_support::daemon::{Daemon, Setup};
use serde_json::Value;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Number of schedules.
const SCHEDULES: usize = 10_000;
/// Schedules per file; a configuration file has at most 1 MiB.
const PER_FILE: usize = 2_500;
/// Schedules whose history is read: enough for a p99.
const SAMPLES: usize = 500;
/// Long enough for two checks of the configuration.
const IDLE: Duration = Duration::from_secs(60);
/// After two minutes each minutely schedule has fired at least once.
const TWO_MINUTES: Duration = Duration::from_secs(121);

/// Runs the step.
pub async fn schedules(_: &Options, report: &mut Report) -> Result<(), String> {
    let receiver = Receiver::start(Arc::new(Marks::new(0)), None)?;
    for count in [0, SCHEDULES] {
        let setup = with(&receiver, count, |n| format!("{} {} * * *", n % 60, n / 60 % 24));
        setup.start().await.stop().await;
        let began = Instant::now();
        let daemon = setup.start().await;
        report.add(format!("start: {count} schedules"), began.elapsed().as_secs_f64() * 1000.0, "ms", None);
        let before = machine::usage(daemon.program.pid());
        // tidy: resource usage over a period of real time is measured
        tokio::time::sleep(IDLE).await;
        let after = machine::usage(daemon.program.pid());
        report.add(format!("memory, idle: {count} schedules"), after.rss_mib, "MiB", None);
        let share = (after.cpu_s - before.cpu_s) / IDLE.as_secs_f64() * 1000.0;
        report.add(format!("CPU per second, nothing due: {count} schedules"), share, "ms", None);
        daemon.stop().await;
    }
    late(report, &receiver, "spread over a minute", |n| format!("{} * * * * *", n % 60)).await?;
    late(report, &receiver, "all in one second", |_| "30 * * * * *".into()).await
}

/// A setup with `count` schedules.
fn with(receiver: &Receiver, count: usize, cron: impl Fn(usize) -> String) -> Setup {
    let setup = servers::unlimited(receiver).plugin("hourglass", "max_age = \"30d\"");
    for first in (0..count).step_by(PER_FILE) {
        let mut toml = String::new();
        for n in first..count.min(first + PER_FILE) {
            let _ = write!(toml, "[[schedule]]\nname = \"s-{n}\"\ncron = \"{}\"\nplugin = \"hourglass\"\n", cron(n));
            toml.push_str("payload = \"quiet\"\n");
        }
        setup.put_conf(&format!("schedules-{first:05}"), &toml);
    }
    setup
}

/// Measures the delay from planned time to event.
async fn late(
    report: &mut Report,
    receiver: &Receiver,
    how: &str,
    cron: impl Fn(usize) -> String,
) -> Result<(), String> {
    let setup = with(receiver, SCHEDULES, cron);
    let daemon = setup.start().await;
    // tidy: real schedules fire by the real clock
    tokio::time::sleep(TWO_MINUTES).await;
    let mut times = Vec::new();
    for n in (0..SCHEDULES).step_by(SCHEDULES / SAMPLES) {
        times.extend(last_late(&daemon, n).await);
    }
    times.sort_by(f64::total_cmp);
    if times.len() < SAMPLES / 2 {
        return Err(format!("only {} of {SAMPLES} schedules fired", times.len()));
    }
    for (name, per_mille) in [("p50", 500), ("p99", 990), ("most", 1000)] {
        let at = (times.len() * per_mille / 1000).min(times.len() - 1);
        let value = times.get(at).copied().unwrap_or(f64::NAN);
        report.add(format!("delay, {SCHEDULES} schedules {how}: {name}"), value, "ms", None);
    }
    daemon.stop().await;
    Ok(())
}

async fn last_late(daemon: &Daemon, n: usize) -> Vec<f64> {
    let history = daemon.get(&format!("schedules/s-{n}/history")).await;
    let rows = history.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    rows.iter().filter_map(|row| row.get("late_ms").and_then(Value::as_f64)).collect()
}
