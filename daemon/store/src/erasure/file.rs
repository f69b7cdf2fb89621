//! The file of erasures next to the database: one line for each, only ever added to.
//!
//! A database that is restored from a backup does not know what was erased since; this file, which
//! is not part of the database, does. It names a person by hashes only (see `identities`). Keep it
//! with the data directory and not with a backup: an older copy would know less.

use super::identities::{IdentityHash, Refused};
use crate::error::StoreError;
use beadle_model::Timestamp;
use serde::{Deserialize, Serialize};
use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

/// Its name in the data directory.
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

    /// Adds a line and makes it durable. Blocks. It begins with a line break: the line before may
    /// have been cut off by a crash.
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

    /// All lines. One that cannot be read was cut off by a crash: its erasure was not confirmed to
    /// anyone, and goes on from the database.
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
