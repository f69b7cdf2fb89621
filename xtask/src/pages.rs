//! Tests of the web pages in Chromium, driven by Node.
//!
//! Chromium is installed by apt if this runs as root; otherwise the error names the command.

use crate::shell::{self, Failure, Result, command, run as call};

/// Names of Chromium's program.
const BROWSERS: &[&str] = &["chromium", "chromium-browser", "google-chrome"];

/// Runs the tests of the pages.
pub fn test() -> Result {
    let folder = shell::root().join("tests").join("pages");
    if !shell::have("npm") {
        return Err(Failure::new("the pages are tested with Node 20 or newer: install Node.js with npm"));
    }
    ensure_browser()?;
    call(command("npm").args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(&folder))?;
    let program = |name: &str| shell::target_dir().join("debug").join(name);
    let (simulator, daemon) = (program("beadle-simulator"), program("beadle"));
    let mut test = command("npm");
    test.args(["test", "--silent"]).current_dir(&folder).env("BEADLE_SIMULATOR", simulator).env("BEADLE", daemon);
    call(&mut test)
}

/// Installs a browser if there is none.
fn ensure_browser() -> Result {
    if BROWSERS.iter().any(|name| shell::have(name)) {
        return Ok(());
    }
    let install = ["install", "--yes", "--no-install-recommends", "chromium"];
    if !shell::have("apt-get") {
        return Err(Failure::new("the pages are tested in Chromium: install it so that `chromium` is on the PATH"));
    }
    if shell::output(command("id").arg("-u"))? != "0" {
        return Err(Failure::new(format!("the pages are tested in Chromium: sudo apt-get {}", install.join(" "))));
    }
    eprintln!("installing Chromium (apt-get {})", install.join(" "));
    call(command("apt-get").args(["update", "--quiet"]))?;
    call(command("apt-get").args(install).env("DEBIAN_FRONTEND", "noninteractive"))
}
