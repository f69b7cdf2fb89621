//! Components of JavaScript and Python: the two of `tests/components`, as the tools of these languages make them, for the bench.
//!
//! The tools are put under the target folder, in exact versions and by hash. They are not wanted for anything else: no test
//! and no user of a plugin needs them.

use crate::python;
use crate::shell::{self, Failure, Result, command, run as call};
use std::fs;
use std::path::Path;

/// What the JavaScript engine could ask of a host and ours would refuse; without it the component is smaller.
const NOT_WANTED: [&str; 2] = ["http", "fetch-event"];

/// Builds both, into `components/` of the target folder.
pub fn build() -> Result {
    let (sources, folder) = (shell::root().join("tests/components"), shell::target_dir().join("components"));
    let wit = folder.join("wit");
    let lost = |error| Failure::new(format!("cannot write {}: {error}", folder.display()));
    // Both tools want the package that a world uses beside it.
    let contract = shell::root().join("plugin-api/wit/since-v0.1.0");
    copy(&contract, &wit.join("deps/beadle"), |name| name.ends_with(".wit")).map_err(lost)?;
    copy(&sources, &wit, |name| name == "world.wit").map_err(lost)?;
    copy(&sources, &folder, |name| !name.ends_with(".wit")).map_err(lost)?;
    javascript(&folder)?;
    python(&sources, &folder)
}

fn javascript(folder: &Path) -> Result {
    if !shell::have("npm") {
        return Err(Failure::new("componentize-js runs on Node 20 or newer: install Node.js with npm"));
    }
    call(command("npm").args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(folder))?;
    let mut tool = command(folder.join("node_modules/.bin/componentize-js"));
    tool.args(["echo.js", "--wit", "wit", "--world-name", "echo", "--out", "echo-js.wasm", "--disable"]);
    call(tool.args(NOT_WANTED).current_dir(folder))
}

fn python(sources: &Path, folder: &Path) -> Result {
    let python = python::environment("components", &sources.join("requirements.txt"), "componentize-py")?;
    let mut tool = command(python.with_file_name("componentize-py"));
    tool.args(["--wit-path", "wit", "--world", "echo", "componentize", "echo", "--output", "echo-py.wasm"]);
    call(tool.current_dir(folder))
}

/// The files of a folder that are chosen by name.
fn copy(from: &Path, to: &Path, chosen: impl Fn(&str) -> bool) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(&chosen) {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}
