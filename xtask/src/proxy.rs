//! The test of `config/Caddyfile` in a real Caddy.
//!
//! Caddy is installed by apt if this runs as root; otherwise the stage is skipped, and says so.

use crate::shell::{self, Result, cargo, command, run as call};

/// Runs the scenario that is ignored without Caddy.
pub fn test() -> Result {
    if !is_installed()? {
        eprintln!("skipped: Caddy is not installed (sudo apt-get install caddy)");
        return Ok(());
    }
    let scenario = ["test", "--quiet", "--workspace", "--test", "scenarios", "--", "--ignored", "tls_proxy"];
    call(cargo().args(scenario))
}

/// Whether there is a Caddy, installing it if possible.
fn is_installed() -> Result<bool> {
    if shell::have("caddy") {
        return Ok(true);
    }
    if !shell::have("apt-get") || shell::output(command("id").arg("-u"))? != "0" {
        return Ok(false);
    }
    let install = ["install", "--yes", "--no-install-recommends", "caddy"];
    eprintln!("installing Caddy (apt-get {})", install.join(" "));
    call(command("apt-get").args(["update", "--quiet"]))?;
    // A distribution without the package is no error of ours.
    Ok(call(command("apt-get").args(install).env("DEBIAN_FRONTEND", "noninteractive")).is_ok() && shell::have("caddy"))
}
