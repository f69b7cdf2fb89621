//! What is measured, started: the bare bot, and the daemon with the plugins of a step.

use crate::receiver::Receiver;
use crate::run::Server;
use beadle_test_support::daemon::{Daemon, Setup};
use beadle_test_support::program::Program;
use std::path::Path;
use tokio::process::Command;

/// Everything that would hold the daemon back on purpose is out of the way: a platform's limits are not what is measured.
const UNLIMITED: &str = "[channels.shop.pace]\nmessages_per_second = 100000\ncontact_seconds = 0\ncontact_burst = 1000";

/// A started bare bot that replies to this receiving end.
pub async fn bare_bot(graph: &Receiver) -> Result<(Server, Program), String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut program = Program::start(Command::new(own).args(["bare-bot", &format!("http://{}", graph.address)]));
    let address = program.line(|line| line.strip_prefix("listening on ").map(String::from)).await;
    Ok((Server { address, pid: program.pid() }, program))
}

/// A daemon's configuration without limits that sends to this receiving end.
pub fn unlimited(graph: &Receiver) -> Setup {
    Setup::new(&format!("http://{}", graph.address)).toml(UNLIMITED).toml("[log]\nlevel = \"warn\"")
}

/// What is measured of a daemon that runs.
pub fn server(setup: &Setup, daemon: &Daemon) -> Server {
    Server { address: setup.http.clone(), pid: daemon.program.pid() }
}

/// What lies in the database before a run.
#[derive(Clone, Copy)]
pub struct Past {
    /// People who wrote before, with the numbers of the load.
    pub contacts: u64,
    /// Messages that they wrote, each answered.
    pub events: u64,
}

/// Makes the database, has the daemon make its tables, and fills them with a past.
pub async fn fill(setup: &Setup, past: Past) -> Result<(), String> {
    setup.start().await.stop().await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin/beadle-bench/steps/past.py");
    let mut python = Command::new("python3");
    python.arg(script).arg(setup.data().join("beadle.db"));
    python.args([past.contacts.to_string(), past.events.to_string(), crate::load::FIRST_PHONE.to_string()]);
    let output = python.output().await.map_err(|error| format!("python3: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("the past could not be written: {said}")) }
}
