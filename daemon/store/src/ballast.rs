//! The ballast: a file that is deleted when the disk is full, to make room for what must be
//! written.
//!
//! That is the outcomes of messages that were sent, which would be ambiguous otherwise. The file is
//! recreated once there is room; only then does the store accept new work again.

use crate::error::StoreError;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The free space beyond the ballast that makes a disk usable again. Without it the next write
/// would fail and the ballast would come and go.
const SLACK_BYTES: u64 = 4 << 20;

pub(crate) struct Ballast {
    path: PathBuf,
    bytes: u64,
}

impl Ballast {
    pub(crate) fn new(dir: &Path, bytes: u64) -> Self {
        Self { path: dir.join("ballast"), bytes }
    }

    /// Creates the file in its full size, with its blocks allocated and written.
    pub(crate) fn take(&self) -> Result<(), StoreError> {
        if self.bytes == 0 || std::fs::metadata(&self.path).is_ok_and(|file| file.len() == self.bytes) {
            return Ok(());
        }
        self.write().map_err(|source| {
            // A partial file would only occupy space.
            let _ = std::fs::remove_file(&self.path);
            StoreError::File { action: "write the ballast file", path: self.path.clone(), source }
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

    /// Deletes the file.
    pub(crate) fn free(&self) {
        if let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::error!(path = %self.path.display(), %error, "ballast not deleted");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ballast_takes_its_size_and_frees_it() {
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
