//! `beadle`: a daemon that runs a community on WhatsApp, and the command line that talks to it.
//!
//! This crate puts the others together: configuration, command line, web and lifecycle. It decides nothing about events
//! and effects; that is below.

#![expect(dead_code, reason = "`run` comes with the pipeline")]

mod api;
mod check;
mod cli;
mod config;
mod exit;
mod explain;
mod run;

use clap::Parser as _;
use cli::{Cli, Command};
use exit::Exit;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // TLS by ring, chosen once for the whole process; a second choice would be refused and is no harm.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let exit = match &cli.command {
        Command::Check(at) => check::check(&at.config),
        Command::Explain { code } => explain::explain(code.as_deref()),
        _ => asking(cli),
    };
    exit.into()
}

/// A question needs one connection, so one thread.
fn asking(cli: Cli) -> Exit {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(cli::perform(&cli)),
        Err(why) => {
            eprintln!("beadle cannot start: {why}");
            Exit::Failed
        }
    }
}
