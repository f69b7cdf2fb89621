//! `cargo xtask bench [STEP…]`: runs `beadle-bench` in the release profile.
//!
//! It builds everything first, so that nothing compiles during a measurement, and writes the
//! figures to `bench.json` in the target folder.

use crate::clients;
use crate::components;
use crate::plugins;
use crate::shell::{self, Result, cargo, command, run as call};

/// Builds and measures; the arguments are passed to the bench.
pub fn run(words: &[String]) -> Result {
    eprintln!("building the daemon and the bench in the release profile: minutes the first time");
    // In one build: another selection would resolve other features and compile wasmtime again
    // (ADR 0012).
    call(cargo().args([
        "build",
        "--release",
        "--workspace",
        "--bins",
        "--example",
        "call_cost",
        "--example",
        "consent_lookup",
        "--example",
        "gate_cost",
        "--example",
        "parse_rate",
    ]))?;
    plugins::build(&["echo".into()])?;
    plugins::build_for_tests()?;
    let runs = |step: &str| words.is_empty() || words.iter().any(|word| word == step);
    if runs("components") {
        components::build()?;
    }
    if runs("peer") {
        clients::install_javascript()?;
    }
    let mut bench = command(shell::target_dir().join("release").join("beadle-bench"));
    call(bench.arg("--json").arg(shell::target_dir().join("bench.json")).args(words))
}
