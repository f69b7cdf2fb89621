//! `beadle-bench`: measures the figures of docs/design.md#speed, and a bare bot in the same run.
//!
//! One process makes the load and receives the replies; the daemon (or the bare bot) is another on
//! the same machine, so the measurement itself is included, as in the aims. No figure makes it
//! fail. `cargo xtask bench` builds everything in the release profile and runs it.

mod bare;
mod load;
mod machine;
mod marks;
mod options;
mod receiver;
mod report;
mod run;
mod steps;

use options::Options;
use report::Report;
use std::process::ExitCode;

const USAGE: &str = "Usage: cargo xtask bench [STEP…] [--seconds N] [--old-events N] [--json FILE]\n";

/// Enough for indexes that do not fit into the caches.
const DEFAULT_OLD_EVENTS: u64 = 1_000_000;

/// Long enough for group commit, checkpoints and warm caches to be as in normal operation.
const DEFAULT_SECONDS: u32 = 10;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.to_string()),
    };
    let result = match words.split_first() {
        Some((word, rest)) if word == "bare-bot" => {
            // As many workers as `#[tokio::main]` uses.
            let workers = tokio::runtime::Builder::new_multi_thread().enable_all().build();
            let graph_url = rest.first().map_or("", String::as_str);
            workers.map_err(|error| error.to_string()).and_then(|workers| workers.block_on(bare::run(graph_url)))
        }
        Some((word, _)) if ["help", "--help", "-h"].contains(&word.as_str()) => {
            println!("{}", usage());
            Ok(())
        }
        _ => parse(&words).and_then(|options| runtime.block_on(bench(&options))),
    };
    result.map_or_else(|message| fail(&message), |()| ExitCode::SUCCESS)
}

async fn bench(options: &Options) -> Result<(), String> {
    let mut report = Report::default();
    for (name, _, step) in steps::all() {
        if options.only.is_empty() || options.only.iter().any(|only| only == name) {
            println!("── {name}");
            step(options, &mut report).await?;
        }
    }
    report.print();
    match &options.json {
        Some(path) => report.write(path).map_err(|error| format!("{}: {error}", path.display())),
        None => Ok(()),
    }
}

fn parse(words: &[String]) -> Result<Options, String> {
    let mut options =
        Options { only: Vec::new(), seconds: DEFAULT_SECONDS, old_events: DEFAULT_OLD_EVENTS, json: None };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seconds" => {
                let seconds = words.next().and_then(|word| word.parse().ok()).filter(|seconds| *seconds > 0);
                options.seconds = seconds.ok_or("`--seconds` must be followed by a whole number above 0")?;
            }
            "--old-events" => {
                let events = words.next().and_then(|word| word.parse().ok()).filter(|events| *events > 0);
                options.old_events = events.ok_or("`--old-events` must be followed by a whole number above 0")?;
            }
            "--json" => options.json = Some(words.next().ok_or("`--json` must be followed by a file")?.into()),
            name if steps::all().iter().any(|(step, ..)| *step == name) => options.only.push(name.into()),
            other => return Err(format!("unknown step `{other}`\n\n{}", usage())),
        }
    }
    Ok(options)
}

fn usage() -> String {
    let steps = steps::all().iter().map(|(name, shows, _)| format!("\n  {name:<14} {shows}"));
    format!("{USAGE}{}", steps.collect::<String>())
}

fn fail(message: &str) -> ExitCode {
    eprintln!("beadle-bench: {message}");
    ExitCode::FAILURE
}
