//! The project's tasks: `cargo xtask TASK`. What a person or CI does here often, in one place and the same everywhere.
//!
//! A task is a list of commands and needs nothing but Rust, a C compiler and what it says it needs. It is no part of
//! what is shipped.

mod bench;
mod clients;
mod components;
mod demo;
mod oracle;
mod pages;
mod plugins;
mod python;
mod shell;
mod stages;
mod test;
mod tidy;

use shell::Failure;
use std::process::ExitCode;

const USAGE: &str = "\
Usage: cargo xtask TASK

  demo [--no-open]          a daemon, its plugins, and a WhatsApp to try them on
  plugins [NAME…]           builds the plugins, into plugins/ of the target folder
  test [--long] [--seed N]  everything that must pass; sets up what it needs
                            (--long: more rounds of the random scenarios)
  tidy                      the invariants that text can show
  bench [STEP…]             the figures, as shipped (--seconds N, --help for the steps)
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (task, rest) = words.split_first().map_or(("help", &[][..]), |(task, rest)| (task.as_str(), rest));
    let result = match task {
        "bench" => bench::run(rest),
        "demo" => demo::run(rest),
        "plugins" => plugins::run(rest),
        "test" => test::run(rest),
        "tidy" => tidy::run(),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(())
        }
        _ => Err(Failure::new(format!("no task is called `{task}`\n\n{USAGE}"))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask {task}: {failure}");
            ExitCode::FAILURE
        }
    }
}
