//! Start-up time, memory at rest, and the cost of a call.

use super::servers;
use crate::machine;
use crate::marks::Marks;
use crate::options::Options;
use crate::receiver::Receiver;
use crate::report::{Better, Report};
use std::sync::Arc;
use std::time::Instant;

/// Memory at rest.
const AIM_IDLE_MIB: f64 = 40.0;

/// Measured starts; the median counts.
const STARTS: usize = 5;

/// Start with 1 and 50 plugins, the first time (compiling) and again, and memory afterwards.
pub async fn idle(_: &Options, report: &mut Report) -> Result<(), String> {
    let receiver = Receiver::start(Arc::new(Marks::new(0)), None)?;
    for plugins in [1, 50] {
        let mut setup = servers::unlimited(&receiver);
        for n in 0..plugins {
            setup = setup.plugin_as(&format!("echo-{n:02}"), "echo", "");
        }
        let began = Instant::now();
        let daemon = setup.start().await;
        report.add(format!("first start: {plugins} plugins"), ms(began), "ms", None);
        daemon.stop().await;
        let mut starts = Vec::new();
        for _ in 0..STARTS {
            let began = Instant::now();
            let daemon = setup.start().await;
            starts.push(ms(began));
            daemon.stop().await;
        }
        starts.sort_by(f64::total_cmp);
        report.add(
            format!("start: {plugins} plugins"),
            starts.get(STARTS / 2).copied().unwrap_or(f64::NAN),
            "ms",
            None,
        );
        let daemon = setup.start().await;
        let idle = machine::usage(daemon.program.pid());
        let aim = (plugins == 1).then_some((AIM_IDLE_MIB, Better::Less));
        report.add(format!("memory, idle: {plugins} plugins"), idle.rss_mib, "MiB", aim);
        daemon.stop().await;
    }
    Ok(())
}

fn ms(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1000.0
}

/// Aims in microseconds, by the names that the example prints.
const CALL_AIMS_US: [(&str, f64); 2] = [
    ("sandbox, warm, sequential, from a guest thread", 2.0),
    ("sandbox, fresh, sequential, from a guest thread", 35.0),
];

/// A call into a warm and a fresh instance, and into bare wasmtime, measured by an example of
/// beadle-sandbox. Its lines end in two figures: microseconds of real time and of CPU.
pub async fn call_cost(_: &Options, report: &mut Report) -> Result<(), String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let example = own.with_file_name("examples").join("call_cost");
    let output =
        tokio::process::Command::new(&example).arg(beadle_test_support::program::plugin("echo")).output().await;
    let output = output.map_err(|error| format!("{}: {error}", example.display()))?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    let calls: Vec<(&str, f64)> = stdout.lines().filter_map(call_line).collect();
    if !output.status.success() || calls.is_empty() {
        return Err(format!("{}: {stdout}{}", example.display(), String::from_utf8_lossy(&output.stderr)));
    }
    for (name, us) in calls {
        let aim = CALL_AIMS_US.iter().find(|(aimed, _)| *aimed == name).map(|(_, us)| (*us, Better::Less));
        report.add(format!("a call: {name}"), us, "µs", aim);
    }
    Ok(())
}

fn call_line(line: &str) -> Option<(&str, f64)> {
    let (rest, cpu) = line.trim_end().rsplit_once(' ')?;
    let (name, passed) = rest.trim_end().rsplit_once(' ')?;
    cpu.parse::<f64>().ok()?;
    Some((name.trim_end(), passed.parse().ok()?))
}
