//! The file of erasures next to the database: a line for each. Lines are added and never removed,
//! so that an erasure can be repeated after the restore of a backup of any age. A line has a few
//! hundred bytes.
//!
//! A database that is restored from a backup lacks the erasures since then; this file, which is not
//! part of the database, has them. It names a person by hashes only (see `identities`). It must
//! stay in the data directory when a backup is restored: an older copy of it lacks erasures, too.

use super::identities::{IdentityHash, Refused};
use crate::error::StoreError;
use beadle_model::Timestamp;
use serde::{Deserialize, Serialize};
use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

/// The name of the file in the data directory.
const NAME: &str = "erasures.jsonl";

/// An erasure in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FiledErasure {
    pub(super) uid: String,
    pub(super) at: Timestamp,
    pub(super) refused: Refused,
    /// Hashes of numbers and ids, in hexadecimal.
    pub(super) identities: Vec<String>,
}

impl FiledErasure {
    pub(super) fn new(uid: &str, at: Timestamp, refused: Refused, hashes: &[IdentityHash]) -> Self {
        let identities = hashes.iter().map(beadle_model::text::hex).collect();
        Self { uid: uid.to_owned(), at, refused, identities }
    }
}

/// The file.
#[derive(Clone, Debug)]
pub struct ErasureFile(PathBuf);

impl ErasureFile {
    /// The file in a data directory.
    pub fn in_dir(dir: &Path) -> Self {
        Self(dir.join(NAME))
    }

    /// Adds a line and makes it durable. Blocks. The line begins with a line break, because a crash
    /// may have cut off the line before it.
    pub(super) fn add(&self, erasure: &FiledErasure) -> Result<(), StoreError> {
        let line = format!("\n{}\n", crate::codec::to_json("an erasure", erasure)?);
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = options.open(&self.0).and_then(|mut file| {
            file.write_all(line.as_bytes())?;
            file.sync_all()
        });
        written.map_err(StoreError::file("write", &self.0))
    }

    /// All lines, without those that cannot be read. A crash cut these off; their erasures are
    /// still in the database and continue from there.
    pub(super) fn read(&self) -> Result<Vec<FiledErasure>, StoreError> {
        let file = match std::fs::File::open(&self.0) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(StoreError::file("read", &self.0)(error)),
        };
        let mut erasures = Vec::new();
        for line in BufReader::new(file).lines() {
            let line = line.map_err(StoreError::file("read", &self.0))?;
            match serde_json::from_str(&line) {
                Ok(erasure) => erasures.push(erasure),
                Err(_) if line.is_empty() => {}
                Err(error) => tracing::warn!(path = %self.0.display(), %error, "line of an erasure unreadable"),
            }
        }
        Ok(erasures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_added_and_a_cut_one_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let file = ErasureFile::in_dir(dir.path());
        assert!(file.read().unwrap().is_empty());
        let erasure = |uid: &str| FiledErasure::new(uid, Timestamp(5), Refused(3), &[[1; 32]]);
        file.add(&erasure("a")).unwrap();
        std::fs::OpenOptions::new().append(true).open(&file.0).unwrap().write_all(b"{\"uid\":\"b\",").unwrap();
        file.add(&erasure("c")).unwrap();
        assert_eq!(file.read().unwrap(), [erasure("a"), erasure("c")]);
    }
}
