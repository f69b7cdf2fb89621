//! `cargo xtask bench [STEP…]`: the figures, in the profile that is shipped.
//!
//! It builds everything first, so that nothing compiles while something is measured, and leaves the figures in
//! `bench.json` of the target folder. What the steps are and how they measure is the bench's own affair.

use crate::components;
use crate::plugins;
use crate::shell::{self, Result, cargo, command, run as call};

/// Builds and measures; the words are the bench's.
pub fn run(words: &[String]) -> Result {
    eprintln!("building the daemon and the bench as they are shipped: minutes the first time");
    // In one go: a selection of its own for the examples would resolve other features, and build the runtime again.
    call(cargo().args([
        "build",
        "--release",
        "--workspace",
        "--bins",
        "--example",
        "call_cost",
        "--example",
        "parse_rate",
    ]))?;
    plugins::build(&["echo".into()])?;
    plugins::build_for_tests()?;
    if words.is_empty() || words.iter().any(|word| word == "components") {
        components::build()?;
    }
    let mut bench = command(shell::target_dir().join("release").join("beadle-bench"));
    call(bench.arg("--json").arg(shell::target_dir().join("bench.json")).args(words))
}
