//! A file of no use but its size: given up when the disk is full, so that what must still be written has room.
//!
//! What must be written is what became of sends that already left: without it they would be in doubt. The room is taken
//! back when there is some, and only then does the store take new work again.

use crate::StoreError;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Room that must be there beyond the ballast before the disk counts as usable again: else the next write would fail
/// and the ballast would come and go.
const SLACK_BYTES: u64 = 4 << 20;

pub(crate) struct Ballast {
    path: PathBuf,
    bytes: u64,
}

impl Ballast {
    pub(crate) fn new(dir: &Path, bytes: u64) -> Self {
        Self { path: dir.join("ballast"), bytes }
    }

    /// Makes sure that it is there in its whole size, written out and not only promised by the file system.
    pub(crate) fn take(&self) -> Result<(), StoreError> {
        if self.bytes == 0 || std::fs::metadata(&self.path).is_ok_and(|file| file.len() == self.bytes) {
            return Ok(());
        }
        self.write().map_err(|source| {
            // A part of it would only take the room that others need.
            let _ = std::fs::remove_file(&self.path);
            StoreError::File { what: "write the ballast", path: self.path.clone(), source }
        })
    }

    fn write(&self) -> std::io::Result<()> {
        let block = vec![0u8; 1 << 20];
        let mut file = File::create(&self.path)?;
        let mut left = self.bytes.saturating_add(SLACK_BYTES);
        while left > 0 {
            let part = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
            file.write_all(block.get(..part).unwrap_or_default())?;
            left -= part as u64;
        }
        file.sync_all()?;
        file.set_len(self.bytes)?;
        file.sync_all()
    }

    /// Gives the room back.
    pub(crate) fn free(&self) {
        if let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::error!(path = %self.path.display(), %error, "the ballast could not be freed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_its_size_and_gives_it_back() {
        let dir = tempfile::tempdir().unwrap();
        let ballast = Ballast::new(dir.path(), 3 << 20);
        ballast.free();
        for _ in 0..2 {
            ballast.take().unwrap();
            assert_eq!(std::fs::metadata(dir.path().join("ballast")).unwrap().len(), 3 << 20);
            ballast.free();
            assert!(!dir.path().join("ballast").exists());
        }
        Ballast::new(dir.path(), 0).take().unwrap();
        assert!(!dir.path().join("ballast").exists());
    }
}
