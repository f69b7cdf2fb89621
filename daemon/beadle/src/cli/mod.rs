//! The command line: arguments (`args`), requests to the daemon (`command`, `client`) and how
//! answers are shown (`show`, `table`).
//!
//! Everything except `run`, `demo`, `check`, `explain` and the plugin author's commands is a
//! request to the daemon over its socket; nothing here opens the database or reads the
//! configuration.

mod args;
mod client;
mod command;
mod definition;
mod end;
mod lists;
mod qr;
mod show;
pub mod table;
mod transfer;

#[cfg(test)]
mod tests;

pub use args::{Build, Cli, Command, DemoArgs, Lang, New, Plugins, RunArgs, Test};
pub use client::Client;
pub use command::perform;
