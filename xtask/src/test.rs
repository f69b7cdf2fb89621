//! `cargo xtask test`: everything that must pass, cheapest checks first.
//!
//! It installs what it needs and says so. The first stage that fails ends it with the command that
//! repeats that stage. It prints the time of each stage and asserts none. A stage that cannot run
//! here is skipped and said to be; `--no-skip`, for CI, makes that a failure.

use crate::shell::{self, Failure, Result, cargo, run as call};
use crate::stages::{Outcome, Stages};
use crate::{clients, deny, fuzz, oracle, pages, plugins, proxy, tidy, tools};
use std::path::Path;
use std::process::Command;

/// The command line.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    /// More rounds of random scenarios and property tests.
    long: bool,
    /// A stage that cannot run here is a failure.
    no_skip: bool,
    /// The seed of their random numbers. A long run chooses one; without either, a scenario that
    /// fails prints its own.
    seed: Option<u64>,
    /// Only these stages; all where empty.
    only: Vec<String>,
}

/// A stage: name and function.
type Stage = (&'static str, fn(&Options) -> Result<Outcome>);

/// The stages in order: what needs no compiler, then what needs the build of the workspace, then
/// what needs plugins too; in each, the shortest first.
const STAGES: &[Stage] = &[
    ("tools", |_| passed(tools::check())),
    ("fmt", |_| {
        call(cargo().args(["fmt", "--all", "--check"]))?;
        call(plugins_cargo().args(["fmt", "--all", "--check"]))?;
        passed(call(cargo().current_dir(shell::root().join("fuzz")).args(["fmt", "--all", "--check"])))
    }),
    ("tidy", |_| passed(tidy::run())),
    ("deny", |_| deny::test()),
    ("clippy", |_| {
        if lints_while_building() {
            eprintln!("the build below finds lints: clippy is its compiler");
            return Ok(Outcome::Passed);
        }
        passed(call(cargo().args(["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"])))
    }),
    // Always the whole workspace: a part of it would resolve other features and compile wasmtime
    // again (ADR 0012).
    ("build", |_| passed(call(cargo().args(["build", "--workspace", "--all-targets"])))),
    ("oracle", |options| passed(oracle::test(options.seed))),
    ("clients", |_| passed(clients::test())),
    ("plugins", |_| {
        plugins::build(&[])?;
        passed(plugins::build_for_tests().map(drop))
    }),
    // After the plugins: the daemon's own tests install some.
    ("units", |options| {
        passed(call(units(options).args(["test", "--quiet", "--workspace", "--exclude", "beadle-e2e"])))
    }),
    ("proxy", |_| proxy::test()),
    ("plugin-units", |_| {
        call(plugins_cargo().args(["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
        passed(call(plugins_cargo().args(["test", "--quiet", "--workspace"])))
    }),
    ("pages", |_| passed(pages::test())),
    // Not `--quiet`: it takes minutes, and a line per scenario shows where it is.
    ("e2e", |options| passed(call(end_to_end(options).args(["test", "--workspace", "--test", "scenarios"])))),
    (FUZZ, |options| passed(fuzz::fuzz(&fuzz::TARGETS, FUZZ_SECONDS, options.seed))),
];

/// This stage has its own build and takes most of an hour, so it runs with `--long` or by its name
/// only.
const FUZZ: &str = "fuzz";
/// Real seconds for each fuzz target.
const FUZZ_SECONDS: u64 = 300;

/// Whether the environment makes clippy the compiler of the workspace, as `.ci/run` does: then a
/// build with warnings fails.
fn lints_while_building() -> bool {
    let is_clippy =
        |wrapper: std::ffi::OsString| Path::new(&wrapper).file_stem().is_some_and(|name| name == "clippy-driver");
    let denies = |arguments: String| arguments.contains("-D__CLIPPY_HACKERY__warnings");
    std::env::var_os("RUSTC_WORKSPACE_WRAPPER").is_some_and(is_clippy) && std::env::var("CLIPPY_ARGS").is_ok_and(denies)
}

fn passed(result: Result) -> Result<Outcome> {
    result.map(|()| Outcome::Passed)
}

/// Runs the requested stages.
pub fn run(words: &[String]) -> Result {
    let mut options = parse(words)?;
    if options.long && options.seed.is_none() {
        options.seed = Some(shell::random_seed());
    }
    if let Some(seed) = options.seed {
        eprintln!("seed {seed}; repeat with: --seed {seed}");
    }
    let is_wanted = |name: &str| match options.only.as_slice() {
        [] => options.long || name != FUZZ,
        only => only.iter().any(|only| only == name),
    };
    let wanted: Vec<&Stage> = STAGES.iter().filter(|(name, _)| is_wanted(name)).collect();
    let mut stages = Stages::new(wanted.len(), options.no_skip);
    for (name, work) in wanted {
        stages.stage(name, &again(name, &options), || work(&options))?;
    }
    stages.print();
    Ok(())
}

fn parse(words: &[String]) -> Result<Options> {
    let mut options = Options::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--long" => options.long = true,
            "--no-skip" => options.no_skip = true,
            "--seed" => {
                let number = words.next().and_then(|word| word.parse().ok());
                options.seed = Some(number.ok_or_else(|| Failure::new("`--seed` must be followed by a whole number"))?);
            }
            name if STAGES.iter().any(|(stage, _)| *stage == name) => options.only.push(name.into()),
            other => {
                let names: Vec<&str> = STAGES.iter().map(|(name, _)| *name).collect();
                return Err(Failure::new(format!("unknown stage `{other}`; the stages are {}", names.join(", "))));
            }
        }
    }
    Ok(options)
}

fn again(stage: &str, options: &Options) -> String {
    let mut line = format!("cargo xtask test {stage}");
    for (is_set, option) in [(options.long, " --long"), (options.no_skip, " --no-skip")] {
        line.push_str(if is_set { option } else { "" });
    }
    if let Some(seed) = options.seed {
        line.push_str(&format!(" --seed {seed}"));
    }
    line
}

/// Cargo in the workspace of the plugins, whose unit tests run natively.
fn plugins_cargo() -> Command {
    let mut command = cargo();
    command.current_dir(shell::root().join("plugins")).env("CARGO_TARGET_DIR", shell::root().join("plugins/target"));
    command
}

/// Cases of each property test in a long run instead of 256: minutes in total.
const LONG_CASES: u32 = 20_000;

/// Cargo with the environment of the property tests. One that fails stores its smallest case next
/// to the test.
fn units(options: &Options) -> Command {
    let mut command = cargo();
    if options.long {
        command.env("PROPTEST_CASES", LONG_CASES.to_string());
    }
    if let Some(seed) = options.seed {
        command.env("PROPTEST_RNG_SEED", seed.to_string());
    }
    command
}

/// Cargo with the environment of the scenarios.
fn end_to_end(options: &Options) -> Command {
    let mut command = cargo();
    if options.long {
        command.env("BEADLE_E2E_LONG", "1");
    }
    if let Some(seed) = options.seed {
        command.env("BEADLE_E2E_SEED", seed.to_string());
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Options> {
        parse(&line.split_whitespace().map(String::from).collect::<Vec<_>>())
    }

    #[test]
    fn printed_command_repeats_the_stage() {
        let options = parsed("e2e --long --no-skip --seed 7").unwrap();
        assert_eq!(options, Options { long: true, no_skip: true, seed: Some(7), only: vec!["e2e".into()] });
        assert_eq!(again("e2e", &options), "cargo xtask test e2e --long --no-skip --seed 7");
    }

    #[test]
    fn invalid_arguments_are_reported() {
        assert!(parsed("--seed").unwrap_err().to_string().contains("whole number"));
        assert!(parsed("e3e").unwrap_err().to_string().contains("tools, fmt, tidy"));
    }
}
