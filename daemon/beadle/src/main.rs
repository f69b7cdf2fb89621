//! `beadle`: the daemon and its command line.
//!
//! This crate assembles the others: configuration, command line, HTTP, lifecycle. It makes no
//! decisions about events and messages; the crates below do.

mod api;
mod author;
mod check;
mod cli;
mod config;
mod demo;
mod exit;
mod explain;
mod follow;
mod markup;
mod obstacle;
mod privacy;
mod run;
mod scratch;
mod token;
mod web;

use clap::Parser as _;
use cli::{Cli, Command, Plugins};
use exit::Exit;
use std::process::ExitCode;
use tokio::runtime::Builder;

fn main() -> ExitCode {
    // Started by the daemon to compile a plugin.
    if let Some(exit) = beadle_catalog::compile::child() {
        return exit;
    }
    let cli = Cli::parse();
    // An error means that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let exit = match &cli.command {
        Command::Run(args) => on(Builder::new_multi_thread(), run::command(args)),
        Command::Demo(args) => on(Builder::new_multi_thread(), demo::demo(args)),
        Command::Check(at) => on(Builder::new_current_thread(), check::check(&at.config)),
        Command::Token => token::create(),
        Command::Explain { code, json } => explain::explain(code.as_deref(), json.json),
        Command::Plugins(Plugins::New(args)) => author::new(args),
        Command::Plugins(Plugins::Build(args)) => on(Builder::new_current_thread(), author::build(args, &cli.socket())),
        Command::Plugins(Plugins::Test(args)) => on(Builder::new_multi_thread(), author::test(args)),
        // One request needs one thread.
        _ => on(Builder::new_current_thread(), cli::perform(&cli)),
    };
    exit.into()
}

fn on(mut builder: Builder, work: impl Future<Output = Exit>) -> Exit {
    match builder.enable_all().build() {
        Ok(runtime) => {
            let exit = runtime.block_on(work);
            // Whatever still blocks a thread has nothing left to save; it must not keep the process
            // alive.
            runtime.shutdown_background();
            exit
        }
        Err(error) => {
            eprintln!("error: cannot start the runtime: {error}");
            Exit::Failed
        }
    }
}
