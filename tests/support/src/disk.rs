//! A disk that is full or hangs on demand, without a file system of its own and without root.
//!
//! A small library, preloaded before the C library (`LD_PRELOAD`), makes writes that grow a file
//! fail, and syncs block. It is compiled here; a C compiler is needed for the build anyway. It does
//! not corrupt data: what was written is read back.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use tempfile::TempDir;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/disk.c");

/// The disk of one daemon.
pub struct Disk {
    folder: TempDir,
}

impl Disk {
    /// A disk that works.
    #[expect(clippy::new_without_default, reason = "it creates a folder")]
    pub fn new() -> Self {
        let folder =
            TempDir::with_prefix("beadle-disk-").unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        Self { folder }
    }

    /// Makes every growing write fail with `ENOSPC`, or work again.
    pub fn set_full(&self, full: bool) {
        self.set("full", full);
    }

    /// Makes every sync block, or return again.
    pub fn set_stuck(&self, stuck: bool) {
        self.set("stuck", stuck);
    }

    fn set(&self, name: &str, there: bool) {
        let path = self.folder.path().join(name);
        let done = if there { std::fs::write(&path, "") } else { std::fs::remove_file(&path) };
        done.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// The environment that connects a daemon to this disk.
    pub fn environment(&self) -> Vec<(String, String)> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        vec![
            ("LD_PRELOAD".into(), text(library())),
            ("BEADLE_E2E_FULL".into(), text(&self.folder.path().join("full"))),
            ("BEADLE_E2E_STUCK".into(), text(&self.folder.path().join("stuck"))),
        ]
    }
}

/// The library, compiled once per process.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = LIBRARY.get_or_init(|| {
        let folder =
            TempDir::with_prefix("beadle-disk-").unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        let path = folder.path().join("disk.so");
        let mut compiler = Command::new("cc");
        compiler.args(["-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o"]).arg(&path).args([SOURCE, "-ldl"]);
        let status = compiler.status().unwrap_or_else(|error| panic!("a C compiler is needed: {error}"));
        assert!(status.success(), "{SOURCE} does not compile");
        (folder, path)
    });
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writes(disk: &Disk, script: &str) -> bool {
        let there = disk.folder.path().join("file");
        let mut shell = Command::new("sh");
        shell.args(["-c", script, "sh"]).arg(there).envs(disk.environment());
        shell.stderr(std::process::Stdio::null()).status().unwrap().success()
    }

    #[test]
    fn full_disk_rejects_growing_writes() {
        let disk = Disk::new();
        assert!(writes(&disk, "echo 12345678 > \"$1\""));
        disk.set_full(true);
        assert!(!writes(&disk, "echo more >> \"$1\""));
        assert!(writes(&disk, "echo 1234 1<> \"$1\""), "existing bytes can be overwritten");
        disk.set_full(false);
        assert!(writes(&disk, "echo more >> \"$1\""));
    }
}
