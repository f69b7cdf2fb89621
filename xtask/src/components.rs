//! Components in JavaScript and Python, built from `tests/components` by the tools of these
//! languages, for the bench.
//!
//! The tools are installed below the target folder, in exact versions and by hash. Nothing else
//! needs them.

use crate::python;
use crate::shell::{self, Failure, Result, command, run as call};
use std::fs;
use std::path::Path;

/// Features of the JavaScript engine that Beadle would refuse; without them the component is
/// smaller.
const DISABLED: [&str; 2] = ["http", "fetch-event"];

/// Builds both, into `components/` of the target folder.
pub fn build() -> Result {
    let (sources, folder) = (shell::root().join("tests/components"), shell::target_dir().join("components"));
    let wit = folder.join("wit");
    let not_written = |error| Failure::new(format!("cannot write {}: {error}", folder.display()));
    // Both tools need the packages that a world uses in `deps`.
    let contract = shell::root().join("plugin-api/wit/since-v0.1.0");
    copy(&contract, &wit.join("deps/beadle"), |name| name.ends_with(".wit")).map_err(not_written)?;
    copy(&sources, &wit, |name| name == "world.wit").map_err(not_written)?;
    copy(&sources, &folder, |name| !name.ends_with(".wit")).map_err(not_written)?;
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
    call(tool.args(DISABLED).current_dir(folder))
}

fn python(sources: &Path, folder: &Path) -> Result {
    let python = python::environment("components", &sources.join("requirements.txt"), "componentize-py")?;
    let mut tool = command(python.with_file_name("componentize-py"));
    tool.args(["--wit-path", "wit", "--world", "echo", "componentize", "echo", "--output", "echo-py.wasm"]);
    call(tool.current_dir(folder))
}

/// Copies the files of a folder whose names are chosen.
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
