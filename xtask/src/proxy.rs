//! The test of `config/Caddyfile` in a real Caddy.
//!
//! Caddy is installed by apt if this runs as root. Where that is not possible, the stage is
//! skipped, and says so.

use crate::shell::{self, Failure, Result, cargo, command, run as call};
use crate::stages::Outcome;

/// The scenario, which is ignored without Caddy.
const SCENARIO: &str = "tls_proxy::caddy_passes_webhooks_on_and_nothing_else";

/// Runs the scenario.
pub fn test() -> Result<Outcome> {
    if let Some(reason) = missing()? {
        return Ok(Outcome::Skipped(reason));
    }
    eprintln!("{}", shell::output(command("caddy").arg("version"))?);
    let mut test = cargo();
    test.args(["test", "--workspace", "--test", "scenarios", "--", "--ignored", "--exact", SCENARIO]);
    let printed = shell::output(&mut test)?;
    // A filter that matches nothing is a success for cargo.
    if !printed.contains("test result: ok. 1 passed") {
        return Err(Failure::new(format!("the scenario `{SCENARIO}` did not run:\n{printed}")));
    }
    Ok(Outcome::Passed)
}

/// Why there is no Caddy, after an attempt to install it.
fn missing() -> Result<Option<String>> {
    if shell::have("caddy") {
        return Ok(None);
    }
    if !shell::have("apt-get") {
        return Ok(Some("Caddy is not installed".into()));
    }
    if shell::output(command("id").arg("-u"))? != "0" {
        return Ok(Some("Caddy is not installed (sudo apt-get install caddy)".into()));
    }
    let install = ["install", "--yes", "--no-install-recommends", "caddy"];
    eprintln!("installing Caddy (apt-get {})", install.join(" "));
    call(command("apt-get").args(["update", "--quiet"]))?;
    let installed = call(command("apt-get").args(install).env("DEBIAN_FRONTEND", "noninteractive"));
    let is_missing = installed.is_err() || !shell::have("caddy");
    Ok(is_missing.then(|| "this distribution has no package `caddy`".into()))
}
