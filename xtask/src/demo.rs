//! `cargo xtask demo`: builds the programs and the plugins, then becomes `beadle demo`, which does the rest.
//!
//! The demo builds each plugin of the repository again when its source is saved. The words are handed on (`--no-open`, …). The first build takes minutes, nearly all of it for the runtime that plugins
//! live in, so cargo shows its progress.

use crate::plugins;
use crate::shell::{self, Failure, Result, cargo, command, run as call};
use std::os::unix::process::CommandExt as _;

/// Builds and becomes the demo.
pub fn run(words: &[String]) -> Result {
    eprintln!("building the daemon and the simulator: about ten minutes the first time, seconds after that");
    // As the tests build it: another selection would resolve other features, and build the runtime a second time.
    call(cargo().args(["build", "--workspace", "--all-targets"]))?;
    let built = plugins::build(&[])?;
    let mut demo = command(shell::target_dir().join("debug").join("beadle"));
    demo.arg("demo").args(words);
    for plugin in built {
        demo.arg("--watch").arg(shell::root().join("plugins").join(plugin.name));
    }
    // In this process's place, so that Ctrl-C and the exit code are the demo's own.
    let error = demo.exec();
    Err(Failure::new(format!("`{}` did not start: {error}", shell::line(&demo))))
}
