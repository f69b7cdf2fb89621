//! A temporary directory that only this user can read; for the demo and for tests of a plugin.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// The directory, removed when dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Creates `beadle-WHAT-PID` in the system's temporary directory.
    pub fn make(purpose: &str) -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("beadle-{purpose}-{}", std::process::id()));
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
