//! Starts the servers under test: the bare bot, and the daemon with the plugins of a step.

use crate::receiver::Receiver;
use crate::run::Server;
use beadle_test_support::daemon::{Daemon, Setup};
use beadle_test_support::program::{self, Program};
use beadle_test_support::webhook;
use std::path::Path;
use tokio::process::Command;

/// Disables pacing: the platform's limits are not measured.
const UNLIMITED: &str = "[channels.shop.pace]\nmessages_per_second = 100000\ncontact_seconds = 0\ncontact_burst = 1000";

/// Starts a bare bot that replies to this receiver.
pub async fn bare_bot(graph: &Receiver) -> Result<(Server, Program), String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut program = Program::start(Command::new(own).args(["bare-bot", &format!("http://{}", graph.address)]));
    let address = program.line(|line| line.strip_prefix("listening on ").map(String::from)).await;
    Ok((Server { address, pid: program.pid() }, program))
}

/// Starts a bot with a library that replies to this receiver.
pub async fn peer(graph: &Receiver) -> Result<(Server, Program), String> {
    let folder = program::target_dir().join("clients");
    let bot = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/bot.mjs");
    if !folder.join("node_modules/whatsapp-api-js").is_dir() {
        return Err(
            "whatsapp-api-js is not installed: run `cargo xtask bench peer`, which needs Node.js and npm".into()
        );
    }
    let mut node = Command::new("node");
    node.arg(bot).arg(format!("http://{}", graph.address)).args([webhook::ACCESS_TOKEN, webhook::APP_SECRET]);
    node.env("BEADLE_CLIENTS", folder);
    let mut program = Program::start(&mut node);
    let address = program.line(|line| line.strip_prefix("listening on ").map(String::from)).await;
    Ok((Server { address, pid: program.pid() }, program))
}

/// A daemon without pacing that sends to this receiver.
pub fn unlimited(graph: &Receiver) -> Setup {
    Setup::new(&format!("http://{}", graph.address)).toml(UNLIMITED).toml("[log]\nlevel = \"warn\"")
}

/// A running daemon as a server under test.
pub fn server(setup: &Setup, daemon: &Daemon) -> Server {
    Server { address: setup.http.clone(), pid: daemon.program.pid() }
}

/// The content of the database before a run.
#[derive(Clone, Copy)]
pub struct Past {
    /// Contacts, with the numbers of the load.
    pub contacts: u64,
    /// Answered messages.
    pub events: u64,
}

/// Starts the daemon once to create the database, then fills it.
pub async fn fill(setup: &Setup, past: Past) -> Result<(), String> {
    setup.start().await.stop().await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin/beadle-bench/steps/past.py");
    let mut python = Command::new("python3");
    python.arg(script).arg(setup.data().join("beadle.db"));
    python.args([past.contacts.to_string(), past.events.to_string(), crate::load::FIRST_PHONE.to_string()]);
    let output = python.output().await.map_err(|error| format!("python3: {error}"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("filling the database failed: {stderr}")) }
}
