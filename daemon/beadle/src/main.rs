//! `beadle`: a daemon that runs a community on WhatsApp, and the command line that talks to it.
//!
//! This crate puts the others together: configuration, command line, web and lifecycle. It decides nothing about events
//! and effects; that is below.

mod api;
mod author;
mod check;
mod cli;
mod config;
mod demo;
mod exit;
mod explain;
mod follow;
mod run;
mod scratch;
mod web;

use clap::Parser as _;
use cli::{Cli, Command, Plugins};
use exit::Exit;
use std::process::ExitCode;
use tokio::runtime::Builder;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // TLS by ring, chosen once for the whole process; a second choice would be refused and is no harm.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let exit = match &cli.command {
        Command::Run(args) => on(Builder::new_multi_thread(), run::command(args)),
        Command::Demo(args) => on(Builder::new_multi_thread(), demo::demo(args)),
        Command::Check(at) => on(Builder::new_current_thread(), check::check(&at.config)),
        Command::Explain { code, json } => explain::explain(code.as_deref(), json.json),
        Command::Plugins(Plugins::New(args)) => author::new(args),
        Command::Plugins(Plugins::Build(args)) => on(Builder::new_current_thread(), author::build(args, &cli.socket())),
        Command::Plugins(Plugins::Test(args)) => on(Builder::new_multi_thread(), author::test(args)),
        // A question needs one connection, so one thread.
        _ => on(Builder::new_current_thread(), cli::perform(&cli)),
    };
    exit.into()
}

fn on(mut builder: Builder, work: impl Future<Output = Exit>) -> Exit {
    match builder.enable_all().build() {
        Ok(runtime) => runtime.block_on(work),
        Err(why) => {
            eprintln!("beadle cannot start: {why}");
            Exit::Failed
        }
    }
}
