//! The bytes of revisions that served, kept by content hash: what `rollback` goes back to, and what serves after a start
//! when the file in the folder is not (yet) good enough.
//!
//! They are checked against their hash when read, so that a damaged disk gives an error and no other plugin.

use beadle_sandbox::revision;
use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A folder of them.
#[derive(Clone, Debug)]
pub(crate) struct Revisions(PathBuf);

impl Revisions {
    /// In this folder, which is made when it is needed.
    pub fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    fn path(&self, hash: &str) -> PathBuf {
        self.0.join(format!("{hash}.wasm"))
    }

    /// Keeps these bytes, durably, under their hash.
    pub fn keep(&self, hash: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.path(hash);
        if path.is_file() {
            return Ok(());
        }
        std::fs::create_dir_all(&self.0)?;
        // Two plugins may have the same bytes, and come at the same time.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let aside = self.0.join(format!(".{hash}.{}", NEXT.fetch_add(1, Relaxed)));
        let mut file = std::fs::File::create(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&aside, &path)
    }

    /// The bytes of this revision.
    pub fn read(&self, hash: &str) -> io::Result<Vec<u8>> {
        let bytes = std::fs::read(self.path(hash))?;
        if revision(&bytes) == hash {
            return Ok(bytes);
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} is damaged", self.path(hash).display())))
    }

    /// Forgets all but these.
    pub fn retain(&self, wanted: &BTreeSet<&str>) {
        let Ok(entries) = std::fs::read_dir(&self.0) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let hash = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            if !wanted.contains(hash)
                && let Err(error) = std::fs::remove_file(&path)
            {
                tracing::debug!(%error, path = %path.display(), "A revision that nobody needs could not be removed.");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_what_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let revisions = Revisions::new(dir.path().join("revisions"));
        let (one, two) = (revision(b"one"), revision(b"two"));
        revisions.keep(&one, b"one").unwrap();
        revisions.keep(&one, b"one").unwrap();
        revisions.keep(&two, b"two").unwrap();
        assert_eq!(revisions.read(&one).unwrap(), b"one");
        std::fs::write(revisions.path(&two), "tow").unwrap();
        assert_eq!(revisions.read(&two).unwrap_err().kind(), io::ErrorKind::InvalidData);
        // Two at once, as two plugins with the same bytes are.
        let three = revision(b"three");
        std::thread::scope(|scope| {
            let both: Vec<_> = (0..8).map(|_| scope.spawn(|| revisions.keep(&three, b"three"))).collect();
            both.into_iter().for_each(|kept| kept.join().unwrap().unwrap());
        });
        assert_eq!(revisions.read(&three).unwrap(), b"three");
        revisions.retain(&BTreeSet::from([one.as_str()]));
        assert!(revisions.read(&one).is_ok() && revisions.read(&two).is_err());
    }
}
