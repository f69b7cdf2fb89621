//! Packages from PyPI for tests, in a virtual environment below the target folder, in exact
//! versions and by hash.

use crate::shell::{self, Failure, Result, command, run as call};
use std::fs;
use std::path::{Path, PathBuf};

/// The Python of an environment with these requirements. `purpose` names the package that needs it
/// in errors.
pub fn environment(name: &str, requirements: &Path, purpose: &str) -> Result<PathBuf> {
    if !shell::have("python3") {
        let message = format!("{purpose} needs Python 3.10 or newer: install python3 with its venv module");
        return Err(Failure::new(message));
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
