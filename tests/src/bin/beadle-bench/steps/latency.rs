//! Time to the 200 and to the reply at a steady rate, alone and next to a hostile plugin.

use super::servers;
use crate::load::Load;
use crate::marks::{Marks, Spread};
use crate::options::Options;
use crate::receiver::Receiver;
use crate::report::{Better, Report};
use crate::run::{Outcome, Run, Way};
use beadle_test_support::daemon::Setup;
use std::sync::Arc;

/// The rate of the aims for latency.
const PER_SECOND: u32 = 2_000;

/// p99 and p99.9 of a reply at that rate.
const AIM_MS: [f64; 2] = [2.0, 5.0];

/// The same next to a hostile plugin.
const AIM_HOSTILE_MS: [f64; 2] = [10.0, 50.0];

/// The prefix of messages for the hostile plugin.
const HOSTILE: &str = "hostile";

/// One message in this many is for the hostile plugin: two per second, each of which uses its whole
/// CPU limit.
const HOSTILE_EACH: usize = 1_000;

/// Runs the step with the bare bot and the daemon.
pub async fn latency(options: &Options, report: &mut Report) -> Result<(), String> {
    let count = (options.seconds * PER_SECOND) as usize;
    let marks = Arc::new(Marks::new(count));
    let receiver = Receiver::start(Arc::clone(&marks), None)?;
    let (server, _program) = servers::bare_bot(&receiver).await?;
    let outcome = steady(Load::new("bare", count, 1000, |_| None), marks, options).against(&server).await?;
    times(report, "bare bot", &outcome, None, |_| true);
    let outcome = with_daemon(options, |setup| setup.plugin("echo", ""), |_| None).await?;
    times(report, "beadle", &outcome, Some(AIM_MS), |_| true);
    Ok(())
}

/// Runs the step with a good and a hostile plugin.
pub async fn hostile(options: &Options, report: &mut Report) -> Result<(), String> {
    let text = |n: usize| (n % HOSTILE_EACH == 1).then(|| format!("{HOSTILE} {n}"));
    for wrong in ["spin", "memory", "trap", "flood"] {
        let settings = format!("prefix = \"{HOSTILE}\", wrong = \"{wrong}\"");
        let plugins = |setup: Setup| setup.plugin("echo", "order = 2").probe("hostile", &settings, "order = 1");
        let outcome = with_daemon(options, plugins, text).await?;
        times(report, &format!("next to a plugin with a {wrong}"), &outcome, Some(AIM_HOSTILE_MS), |n| {
            n % HOSTILE_EACH != 1
        });
    }
    Ok(())
}

async fn with_daemon(
    options: &Options,
    plugins: impl Fn(Setup) -> Setup,
    text: impl Fn(usize) -> Option<String>,
) -> Result<Outcome, String> {
    let count = (options.seconds * PER_SECOND) as usize;
    let load = Load::new("run", count, 1000, &text);
    let marks = Arc::new(Marks::new(count));
    (0..count).filter(|n| text(*n).is_some()).for_each(|_| marks.expect_one_less());
    let receiver = Receiver::start(Arc::clone(&marks), None)?;
    let setup = plugins(servers::unlimited(&receiver));
    let daemon = setup.start().await;
    let outcome = steady(load, marks, options).against(&servers::server(&setup, &daemon)).await?;
    daemon.stop().await;
    Ok(outcome)
}

fn steady(load: Load, marks: Arc<Marks>, options: &Options) -> Run {
    Run { load, marks, way: Way::Open(f64::from(PER_SECOND)), receipts_each: 0, aim_s: options.seconds }
}

fn times(
    report: &mut Report,
    neighbour: &str,
    outcome: &Outcome,
    aims_ms: Option<[f64; 2]>,
    filter: impl Fn(usize) -> bool,
) {
    let mut tell = |metric: &str, spread: &Spread| {
        let [p99, p99_9] = aims_ms.filter(|_| metric == "reply").map_or([None; 2], |aims| aims.map(Some));
        for (name, per_mille, aim) in [("p50", 500, None), ("p99", 990, p99), ("p99.9", 999, p99_9)] {
            let aim = aim.map(|aim| (aim, Better::Less));
            let value = spread.per_mille_ms(per_mille).unwrap_or(f64::NAN);
            let note = if name == "p50" { outcome.anomalies() } else { String::new() };
            report.note(format!("{metric} at {PER_SECOND}/s, {name}: {neighbour}"), value, "ms", aim, note);
        }
    };
    tell("ack", &outcome.marks.ack_times(&filter));
    tell("reply", &outcome.marks.reply_times(&filter));
}
