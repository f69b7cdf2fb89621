//! `cargo xtask demo`: builds the programs and the plugins, then becomes `beadle demo`.
//!
//! Arguments are passed on (`--no-open`, …). The demo rebuilds each plugin of the repository when
//! its source is saved.

use crate::plugins;
use crate::shell::{self, Failure, Result, cargo, command, run as call};
use std::os::unix::process::CommandExt as _;

/// Builds, and replaces this process with the demo.
pub fn run(words: &[String]) -> Result {
    eprintln!("building the daemon and the simulator: ten to twenty minutes the first time, seconds after that");
    // The whole workspace, as the tests build it: another selection would compile wasmtime again
    // (ADR 0012).
    call(cargo().args(["build", "--workspace", "--bins"]))?;
    let built = plugins::build(&[])?;
    let mut demo = command(shell::target_dir().join("debug").join("beadle"));
    demo.arg("demo").args(words);
    for plugin in built {
        demo.arg("--watch").arg(shell::root().join("plugins").join(plugin.name));
    }
    // Instead of a child process, so that Ctrl-C and the exit code are the demo's own.
    let error = demo.exec();
    Err(Failure::new(format!("`{}` did not start: {error}", shell::line(&demo))))
}
