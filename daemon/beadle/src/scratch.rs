//! A folder for this user alone that goes when it is no longer needed: the demo's, and that of a plugin that is tried.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// The folder; removed when dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    /// `beadle-WHAT-PID` where the system keeps temporary files.
    pub fn make(what: &str) -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("beadle-{what}-{}", std::process::id()));
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
