//! Where the time goes: instructions per reply, which a busy machine does not change, and a flame
//! graph.
//!
//! Both need `perf`. Not callgrind: the programs end at the first system call through the vDSO,
//! which valgrind hides.

use super::servers;
use crate::load::Load;
use crate::marks::Marks;
use crate::options::Options;
use crate::receiver::Receiver;
use crate::report::Report;
use crate::run::{Run, Server, Way};
use beadle_test_support::program::target_dir;
use inferno::collapse::Collapse as _;
use inferno::collapse::perf::Folder;
use inferno::flamegraph;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use tokio::process::Command;

/// Instructions outside the kernel.
const EVENT: &str = "instructions:u";

/// The rate that sizes the load.
const LOAD_PER_SECOND: u32 = 20_000;

/// Its contacts.
const CONTACTS: u64 = 1_000;

/// Samples per second: not a divisor of any timer's frequency.
const SAMPLES_PER_S: &str = "499";

/// Bytes of stack in each sample: enough for polls within polls.
const STACK_BYTES: &str = "dwarf,32768";

/// Instructions per reply of the bare bot and of the daemon, where the processor counts them; few
/// virtual machines do.
pub async fn instructions(options: &Options, report: &mut Report) -> Result<(), String> {
    for name in ["bare bot", "beadle"] {
        let count = (options.seconds * LOAD_PER_SECOND) as usize;
        let (load, marks) = (Load::new("counted", count, CONTACTS, |_| None), Arc::new(Marks::new(count)));
        let receiver = Receiver::start(Arc::clone(&marks), None)?;
        let run = Run { load, marks, way: Way::Closed, receipts_each: 0, aim_s: options.seconds };
        let counted = if name == "beadle" {
            let setup = servers::unlimited(&receiver).plugin("echo", "");
            let daemon = setup.start().await;
            let counting = Perf::stat(&servers::server(&setup, &daemon))?;
            run.against(&servers::server(&setup, &daemon)).await?;
            daemon.stop().await;
            counting.output().await?
        } else {
            let (server, program) = servers::bare_bot(&receiver).await?;
            let counting = Perf::stat(&server)?;
            run.against(&server).await?;
            drop(program);
            counting.output().await?
        };
        match counter(&counted) {
            Some(instructions) => {
                let each = instructions / count as f64 / 1000.0;
                report.add(format!("instructions per reply: {name}"), each, "thousand", None);
            }
            None => println!("skipped, this machine does not count instructions: {}", counted.trim()),
        }
    }
    Ok(())
}

/// `perf` on a server, until that exits.
struct Perf(tokio::process::Child);

impl Perf {
    fn stat(server: &Server) -> Result<Self, String> {
        let mut perf = Command::new("perf");
        perf.args(["stat", "--field-separator", ",", "--event", EVENT, "--pid"]).arg(server.pid.to_string());
        perf.stderr(Stdio::piped()).kill_on_drop(true);
        perf.spawn().map(Self).map_err(|error| format!("perf: {error}; is it installed?"))
    }

    async fn output(self) -> Result<String, String> {
        let output = self.0.wait_with_output().await.map_err(|error| format!("perf: {error}"))?;
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// The value in the output of `perf stat`; none where the event is not supported.
fn counter(output: &str) -> Option<f64> {
    let line = output.lines().find(|line| line.contains(EVENT))?;
    line.split(',').next()?.parse().ok()
}

/// A flame graph of the daemon under as much load as it takes, as `flame.svg`.
pub async fn flame(options: &Options, _: &mut Report) -> Result<(), String> {
    let folder = folder()?;
    let count = (options.seconds * LOAD_PER_SECOND) as usize;
    let (load, marks) = (Load::new("flame", count, CONTACTS, |_| None), Arc::new(Marks::new(count)));
    let receiver = Receiver::start(Arc::clone(&marks), None)?;
    let setup = servers::unlimited(&receiver).plugin("echo", "");
    let daemon = setup.start().await;
    let server = servers::server(&setup, &daemon);
    let data = folder.join("perf.data");
    let mut perf = Command::new("perf");
    perf.args(["record", "--quiet", "--event", "cpu-clock", "--freq", SAMPLES_PER_S, "--call-graph", STACK_BYTES]);
    perf.arg("--pid").arg(server.pid.to_string()).arg("--output").arg(&data).kill_on_drop(true);
    let mut recording = perf.spawn().map_err(|error| format!("perf: {error}"))?;
    Run { load, marks, way: Way::Closed, receipts_each: 0, aim_s: options.seconds }.against(&server).await?;
    // It writes its file when the recorded process has exited.
    daemon.stop().await;
    let status = recording.wait().await.map_err(|error| format!("perf: {error}"))?;
    if !status.success() {
        return Err(format!("perf record: {status}"));
    }
    let mut script = Command::new("perf");
    let samples = output(script.args(["script", "--no-inline", "--input"]).arg(&data)).await?;
    let svg = folder.join("flame.svg");
    draw(&samples, &svg).map_err(|error| format!("{}: {error}", svg.display()))?;
    println!("{}", svg.display());
    Ok(())
}

/// Draws the output of `perf script`.
fn draw(samples: &[u8], svg: &Path) -> std::io::Result<()> {
    let mut folded = Vec::new();
    Folder::default().collapse(samples, &mut folded)?;
    let mut options = flamegraph::Options::default();
    "beadle, replies as fast as they come".clone_into(&mut options.title);
    flamegraph::from_reader(&mut options, folded.as_slice(), fs::File::create(svg)?)
}

/// Where the files go.
fn folder() -> Result<PathBuf, String> {
    let folder = target_dir().join("bench");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder)
}

async fn output(command: &mut Command) -> Result<Vec<u8>, String> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    let output = command.output().await.map_err(|error| format!("{name}: {error}; is it installed?"))?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_become_a_picture() {
        let folder = tempfile::tempdir().unwrap();
        let svg = folder.path().join("flame.svg");
        let samples =
            "beadle 7 1.5: 2004008 cpu-clock:\n\t55d0 beadle::run+0x1 (/bin/beadle)\n\t55d1 main+0x2 (/bin/beadle)\n\n";
        draw(samples.as_bytes(), &svg).unwrap();
        assert!(fs::read_to_string(&svg).unwrap().contains("beadle::run"));
    }

    #[test]
    fn counter_is_read_where_there_is_one() {
        assert_eq!(counter("1234567,,instructions:u,99,100.00,,\n"), Some(1_234_567.0));
        assert_eq!(counter("<not supported>,,instructions:u,0,100.00,,\n"), None);
    }
}
