//! What the tests need besides Rust, looked for before anything is compiled: a missing Node is
//! reported at once, not after half an hour.

use crate::shell::{self, Failure, Result, command};
use beadle_workshop::Toolchain;

/// Programs that nothing here installs, and what to install.
const PROGRAMS: &[(&str, &str)] = &[
    ("cc", "a C compiler (Debian: build-essential)"),
    ("git", "git"),
    ("node", "Node.js 20 or newer"),
    ("npm", "npm"),
    ("python3", "Python 3.10 or newer"),
];

/// Fails with everything that is missing.
pub fn check() -> Result {
    let mut missing: Vec<String> = PROGRAMS
        .iter()
        .filter(|(program, _)| !shell::have(program))
        .map(|(program, name)| format!("`{program}`: install {name}"))
        .collect();
    // Debian packages the module on its own.
    if shell::have("python3") && shell::output(command("python3").args(["-c", "import venv, ensurepip"])).is_err() {
        missing.push("Python's `venv`: install python3-venv".into());
    }
    if shell::have("node") {
        let version = shell::output(command("node").arg("--version"))?;
        if major(&version).is_none_or(|major| major < 20) {
            missing.push(format!("`node` is {version}: install Node.js 20 or newer"));
        }
    }
    if let Err(failure) = Toolchain::find() {
        missing.push(failure.to_string());
    }
    match missing.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(format!("the tests need:\n  {}", missing.join("\n  ")))),
    }
}

/// 20 of `v20.11.1`.
fn major(version: &str) -> Option<u32> {
    version.trim_start_matches('v').split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn major_version_is_read() {
        assert_eq!((major("v20.11.1"), major("18.0"), major("nightly")), (Some(20), Some(18), None));
    }
}
