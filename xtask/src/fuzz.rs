//! Runs the fuzz targets of `fuzz/` with libFuzzer, on the stable compiler.
//!
//! cargo-fuzz needs a nightly compiler for its sanitizers only; the instrumentation that guides
//! libFuzzer is available on stable. Each target runs for a time with a printed seed, starting from
//! `fuzz/seeds` and from the repository's own examples; what it learns stays in the target folder.
//! A C++ compiler is needed.

use crate::shell::{self, Failure, Result, cargo, command, output, run as call};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// The programs of `fuzz/`.
pub const TARGETS: [&str; 9] =
    ["webhook", "configuration", "schedules", "calendar", "cron", "settings", "host_inputs", "plugin_file", "display"];

/// Guides libFuzzer: which edges were reached, and what was compared with what.
const INSTRUMENTATION: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing";

/// Real seconds for each target unless given: enough to reach everything that the seeds are close
/// to.
const SECONDS: u64 = 120;
/// What takes longer than this is a finding.
const SECONDS_PER_INPUT: u64 = 10;
/// Above the largest webhook, 3 MiB, inputs find nothing new; much below, too.
const MAX_BYTES: u64 = 64 * 1024;

/// The command line.
pub fn run(words: &[String]) -> Result {
    let (mut seconds, mut seed, mut targets) = (SECONDS, None, Vec::new());
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut number = || {
            let number = words.next().and_then(|word| word.parse().ok());
            number.ok_or_else(|| Failure::new(format!("`{word}` must be followed by a whole number")))
        };
        match word.as_str() {
            "--seconds" => seconds = number()?,
            "--seed" => seed = Some(number()?),
            name if TARGETS.contains(&name) => targets.push(name),
            other => {
                return Err(Failure::new(format!("unknown target `{other}`; the targets are {}", TARGETS.join(", "))));
            }
        }
    }
    let targets = if targets.is_empty() { TARGETS.to_vec() } else { targets };
    fuzz(&targets, seconds, seed)
}

/// Runs these targets one after the other.
pub fn fuzz(targets: &[&str], seconds: u64, seed: Option<u64>) -> Result {
    let programs = build()?;
    let seed = seed.unwrap_or_else(shell::random_seed);
    for target in targets {
        println!("\n{target}: {seconds} s; repeat with: cargo xtask fuzz {target} --seconds {seconds} --seed {seed}");
        let folder = shell::target_dir().join("fuzz");
        let (corpus, found) = (folder.join("corpus").join(target), folder.join("found").join(target));
        create(&corpus)?;
        create(&found)?;
        let examples = folder.join("examples").join(target);
        write_examples(target, &examples)?;
        let mut fuzzer = command(programs.join(target));
        fuzzer.arg(&corpus).arg(&examples);
        let seeds = shell::root().join("fuzz").join("seeds").join(target);
        fuzzer.args(seeds.is_dir().then_some(&seeds));
        fuzzer.args([format!("-seed={seed}"), format!("-max_total_time={seconds}"), format!("-max_len={MAX_BYTES}")]);
        fuzzer.args([format!("-timeout={SECONDS_PER_INPUT}"), "-rss_limit_mb=1024".into()]);
        fuzzer.args(["-print_final_stats=1".into(), format!("-artifact_prefix={}/", found.display())]);
        call(&mut fuzzer).map_err(|failure| {
            Failure::new(format!("{failure}\nthe input that it failed on is in {}", found.display()))
        })?;
    }
    Ok(())
}

/// Builds the targets and returns the folder of their programs.
fn build() -> Result<PathBuf> {
    if !["c++", "g++", "clang++"].iter().any(|compiler| shell::have(compiler)) {
        return Err(Failure::new("libFuzzer is built from C++: install a C++ compiler"));
    }
    let version = output(command("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or_else(|| Failure::new("`rustc -vV` names no host"))?;
    let folder = shell::target_dir().join("fuzz");
    let mut build = cargo();
    // With `--target`, programs that run during the build are not instrumented.
    build.current_dir(shell::root().join("fuzz")).args(["build", "--quiet", "--release", "--target", host]);
    call(build.env("CARGO_TARGET_DIR", &folder).env("RUSTFLAGS", INSTRUMENTATION))?;
    Ok(folder.join(host).join("release"))
}

/// Writes the repository's examples for a target as inputs.
fn write_examples(target: &str, folder: &Path) -> Result {
    create(folder)?;
    let root = shell::root();
    match target {
        "webhook" => {
            for file in ["meta/webhooks.json", "more.json"] {
                let path = root.join("daemon/whatsapp/tests/fixtures").join(file);
                let text = fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
                let webhooks: Value = serde_json::from_str(&text)
                    .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
                for (name, webhook) in webhooks.as_object().into_iter().flatten() {
                    let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
                    write(&folder.join(name), webhook.to_string().as_bytes())?;
                }
            }
        }
        "configuration" => copy_all(&[root.join("config"), root.join("daemon/beadle/tests/config")], "toml", folder)?,
        // Built by `cargo xtask plugins`; without them it starts from nothing.
        "plugin_file" => {
            let built = shell::target_dir().join("plugins");
            if built.is_dir() {
                copy_all(&[built], "wasm", folder)?;
            }
        }
        "calendar" => copy_all(&[root.join("daemon/beadle/tests/config")], "ics", folder)?,
        _ => {}
    }
    Ok(())
}

fn copy_all(from: &[PathBuf], extension: &str, to: &Path) -> Result {
    for source in from {
        let entries = fs::read_dir(source).map_err(|error| unreadable(source, &error))?;
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            if let Some(name) = path.file_name().filter(|_| path.extension().is_some_and(|found| found == extension)) {
                write(&to.join(name), &fs::read(&path).map_err(|error| unreadable(&path, &error))?)?;
            }
        }
    }
    Ok(())
}

fn create(folder: &Path) -> Result {
    fs::create_dir_all(folder).map_err(|error| Failure::new(format!("cannot create {}: {error}", folder.display())))
}

fn write(path: &Path, bytes: &[u8]) -> Result {
    fs::write(path, bytes).map_err(|error| Failure::new(format!("cannot write {}: {error}", path.display())))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_a_program_of_the_workspace() {
        let manifest = fs::read_to_string(shell::root().join("fuzz/Cargo.toml")).unwrap();
        let programs = manifest.matches("[[bin]]").count();
        assert_eq!(programs, TARGETS.len());
        for target in TARGETS {
            assert!(manifest.contains(&format!("path = \"fuzz_targets/{target}.rs\"")), "{target}");
        }
    }

    #[test]
    fn mistakes_are_reported() {
        let run = |line: &str| run(&line.split_whitespace().map(String::from).collect::<Vec<_>>());
        assert!(run("--seed").unwrap_err().to_string().contains("whole number"));
        assert!(run("webhoks").unwrap_err().to_string().contains("webhook, configuration"));
    }
}
