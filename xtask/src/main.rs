//! The project's tasks: `cargo xtask TASK`, the same for people and CI.
//!
//! A task runs commands and needs Rust, a C compiler and what it names itself. It is not shipped.

mod bench;
mod clients;
mod components;
mod demo;
mod deny;
mod docs;
mod fuzz;
mod licenses;
mod oracle;
mod pages;
mod plugins;
mod proxy;
mod python;
mod shell;
mod stages;
mod test;
mod tidy;
mod tools;

use shell::Failure;
use std::process::ExitCode;

const USAGE: &str = "\
Usage: cargo xtask TASK

  demo [--no-open]          Start a simulated WhatsApp, the daemon and its plugins
  plugins [NAME…]           Build the plugins into target/plugins
  test [STAGE…]             Run everything that must pass; installs what it needs
                            (--long: more rounds of random tests, --seed N: repeat one,
                            --no-skip: fail if a stage cannot run here)
  tidy                      Check layering, references and other rules about text
  docs                      Generate the pages of docs/reference
  fuzz [TARGET…]            Feed parsers random input (--seconds N, --seed N)
  licenses                  Collect the licence texts of dependencies, for packages
  bench [STEP…]             Measure, in the release profile (--help lists the steps)
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (task, rest) = words.split_first().map_or(("help", &[][..]), |(task, rest)| (task.as_str(), rest));
    let result = match task {
        "bench" => bench::run(rest),
        "demo" => demo::run(rest),
        "docs" => docs::run(),
        "fuzz" => fuzz::run(rest),
        "licenses" => licenses::run(),
        "plugins" => plugins::run(rest),
        "test" => test::run(rest),
        "tidy" => tidy::run(),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(())
        }
        _ => Err(Failure::new(format!("unknown task `{task}`\n\n{USAGE}"))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask {task}: {failure}");
            ExitCode::FAILURE
        }
    }
}
