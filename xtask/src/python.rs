//! Packages from PyPI for tests: in an environment below the target folder, in exact versions and by hash.

use crate::shell::{self, Failure, Result, command, run as call};
use std::fs;
use std::path::{Path, PathBuf};

/// An environment of this name with what is required in it; its Python. `wants`: who needs it, where there is none.
pub fn environment(name: &str, requirements: &Path, wants: &str) -> Result<PathBuf> {
    if !shell::have("python3") {
        let says = format!("{wants} runs on Python 3.10 or newer: install python3 with its venv module");
        return Err(Failure::new(says));
    }
    let folder = shell::target_dir().join(name);
    fs::create_dir_all(&folder).map_err(|error| Failure::new(format!("cannot write {}: {error}", folder.display())))?;
    let environment = folder.join("venv");
    let python = environment.join("bin").join("python");
    if !python.is_file() {
        call(command("python3").args(["-m", "venv"]).arg(&environment))?;
    }
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r"];
    call(command(&python).args(install).arg(requirements))?;
    Ok(python)
}
