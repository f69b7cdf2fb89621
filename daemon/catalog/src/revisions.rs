//! The saved bytes of active and earlier revisions, by content hash. `rollback` goes back to them,
//! and a start uses them until the file in the folder has passed.
//!
//! They are checked against their hash when read, so that a damaged file is an error and never
//! another plugin.

use beadle_sandbox::revision;
use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The folder of saved revisions.
#[derive(Clone, Debug)]
pub(crate) struct Revisions(PathBuf);

impl Revisions {
    /// Uses this folder, which is created when needed.
    pub fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    fn path(&self, hash: &str) -> PathBuf {
        self.0.join(format!("{hash}.wasm"))
    }

    /// Saves these bytes durably under their hash.
    pub fn save(&self, hash: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.path(hash);
        if path.is_file() {
            return Ok(());
        }
        std::fs::create_dir_all(&self.0)?;
        // Two plugins with the same bytes may be saved at the same time.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let temporary = self.0.join(format!(".{hash}.{}", NEXT.fetch_add(1, Relaxed)));
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, &path)
    }

    /// Reads a revision.
    pub fn read(&self, hash: &str) -> io::Result<Vec<u8>> {
        let bytes = std::fs::read(self.path(hash))?;
        if revision(&bytes) == hash {
            return Ok(bytes);
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} is damaged", self.path(hash).display())))
    }

    /// Deletes all revisions but these.
    pub fn retain(&self, wanted: &BTreeSet<&str>) {
        let Ok(entries) = std::fs::read_dir(&self.0) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let hash = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            if !wanted.contains(hash)
                && let Err(error) = std::fs::remove_file(&path)
            {
                tracing::debug!(%error, path = %path.display(), "unused revision not deleted");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saved_bytes_are_verified_when_read() {
        let dir = tempfile::tempdir().unwrap();
        let revisions = Revisions::new(dir.path().join("revisions"));
        let (one, two) = (revision(b"one"), revision(b"two"));
        revisions.save(&one, b"one").unwrap();
        revisions.save(&one, b"one").unwrap();
        revisions.save(&two, b"two").unwrap();
        assert_eq!(revisions.read(&one).unwrap(), b"one");
        std::fs::write(revisions.path(&two), "tow").unwrap();
        assert_eq!(revisions.read(&two).unwrap_err().kind(), io::ErrorKind::InvalidData);
        // Concurrent saves of the same bytes.
        let three = revision(b"three");
        std::thread::scope(|scope| {
            let saves: Vec<_> = (0..8).map(|_| scope.spawn(|| revisions.save(&three, b"three"))).collect();
            saves.into_iter().for_each(|saved| saved.join().unwrap().unwrap());
        });
        assert_eq!(revisions.read(&three).unwrap(), b"three");
        revisions.retain(&BTreeSet::from([one.as_str()]));
        assert!(revisions.read(&one).is_ok() && revisions.read(&two).is_err());
    }
}
