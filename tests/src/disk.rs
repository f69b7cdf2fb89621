//! A disk that fills up or stops, on demand, without a disk of its own and without being root.
//!
//! A small library stands between the daemon and the C library (`LD_PRELOAD`) and answers for the disk: a file grows while
//! there is room, a sync returns when the disk is well. It is compiled here, since a C compiler is needed anyway.
//! It is not a broken disk: what was written stays written and is read back right.

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
    /// A disk that is well.
    #[expect(clippy::new_without_default, reason = "it makes a folder: that is not a default")]
    pub fn new() -> Self {
        let folder =
            TempDir::with_prefix("beadle-disk-").unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        Self { folder }
    }

    /// No file can grow from now on, or can again.
    pub fn full(&self, full: bool) {
        self.set("full", full);
    }

    /// No sync returns from now on, until they may again.
    pub fn stuck(&self, stuck: bool) {
        self.set("stuck", stuck);
    }

    fn set(&self, name: &str, there: bool) {
        let path = self.folder.path().join(name);
        let done = if there { std::fs::write(&path, "") } else { std::fs::remove_file(&path) };
        done.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// What the daemon is started with.
    pub fn environment(&self) -> Vec<(String, String)> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        vec![
            ("LD_PRELOAD".into(), text(library())),
            ("BEADLE_E2E_FULL".into(), text(&self.folder.path().join("full"))),
            ("BEADLE_E2E_STUCK".into(), text(&self.folder.path().join("stuck"))),
        ]
    }
}

/// The library, compiled once a process.
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
    fn a_full_disk_takes_nothing_more() {
        let disk = Disk::new();
        assert!(writes(&disk, "echo 12345678 > \"$1\""));
        disk.full(true);
        assert!(!writes(&disk, "echo more >> \"$1\""));
        assert!(writes(&disk, "echo 1234 1<> \"$1\""), "what is there can be overwritten");
        disk.full(false);
        assert!(writes(&disk, "echo more >> \"$1\""));
    }
}
