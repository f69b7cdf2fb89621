//! Third-party clients of the real platform against the simulator: pywa and whatsapp-api-js.
//!
//! They are installed below the target folder, in exact versions and by hash.

use crate::python;
use crate::shell::{self, Failure, Result, command, run as call};
use std::fs;
use std::path::{Path, PathBuf};

/// Runs both.
pub fn test() -> Result {
    let tests = tests();
    let simulator = shell::target_dir().join("debug").join("beadle-simulator");
    pywa(&tests, &simulator)?;
    javascript(&tests, &simulator)
}

fn tests() -> PathBuf {
    shell::root().join("tests").join("clients")
}

fn pywa(tests: &Path, simulator: &Path) -> Result {
    let python = python::environment("clients", &tests.join("requirements.txt"), "pywa")?;
    let mut test = command(&python);
    let discover = ["-m", "unittest", "discover", "--pattern", "pywa_*_test.py"];
    test.args(["-W", "ignore"]).args(discover).current_dir(tests);
    call(test.env("BEADLE_SIMULATOR", simulator).env("PYTHONDONTWRITEBYTECODE", "1"))
}

/// Installs whatsapp-api-js; the result is its folder.
pub fn install_javascript() -> Result<PathBuf> {
    if !shell::have("npm") {
        return Err(Failure::new("whatsapp-api-js runs on Node 20 or newer: install Node.js with npm"));
    }
    let folder = shell::target_dir().join("clients");
    let not_written = |error| Failure::new(format!("cannot write {}: {error}", folder.display()));
    fs::create_dir_all(&folder).map_err(not_written)?;
    for name in ["package.json", "package-lock.json"] {
        let to: PathBuf = folder.join(name);
        fs::copy(tests().join(name), &to)
            .map_err(|error| Failure::new(format!("cannot write {}: {error}", to.display())))?;
    }
    call(command("npm").args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(&folder))?;
    Ok(folder)
}

fn javascript(tests: &Path, simulator: &Path) -> Result {
    let folder = install_javascript()?;
    let mut test = command("node");
    // By name, since Node takes patterns only from version 21.
    let files = ["messages", "templates", "updates"].map(|noun| format!("whatsapp-api-js.{noun}.test.mjs"));
    test.arg("--test").args(files).current_dir(tests);
    call(test.env("BEADLE_SIMULATOR", simulator).env("BEADLE_CLIENTS", folder))
}
