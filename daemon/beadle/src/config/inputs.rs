//! The files that a configuration was read from, as they were then: they are read again only when
//! one of them has changed.
//!
//! Metadata decides, not content: size, times, inode. They cost a system call each, also where
//! there are thousands of schedules. A file that changed just before it was read counts as changed,
//! because a second change in the same tick of the file system's clock would look the same.

use beadle_clock::Clock;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The coarsest time stamps in use: FAT and some network file systems have 2 s.
pub const UNSETTLED: Duration = Duration::from_secs(2);

/// Files and folders with their metadata.
#[derive(Debug, Default)]
pub struct Inputs(BTreeMap<PathBuf, Option<Metadata>>);

/// What changes when a file does.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Metadata {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    /// It changed so recently that a further change could be invisible.
    is_unsettled: bool,
}

impl Inputs {
    /// Notes a file or folder, which need not exist. To be called before it is read.
    pub fn note(&mut self, path: &Path, unsettled: Duration) {
        let metadata =
            metadata(path).map(|metadata| Metadata { is_unsettled: metadata.is_younger(unsettled), ..metadata });
        self.0.insert(path.to_owned(), metadata);
    }

    /// Whether reading again may have another result.
    pub fn have_changed(&self) -> bool {
        self.0
            .iter()
            .any(|(path, noted)| noted.as_ref().is_some_and(|noted| noted.is_unsettled) || metadata(path) != *noted)
    }
}

impl Metadata {
    fn is_younger(&self, than: Duration) -> bool {
        // The file system's clock is the machine's, also in a simulation.
        let now_ms = Clock::real().now().as_ms();
        let (seconds, nanoseconds) = self.changed;
        let changed_ms = seconds.saturating_mul(1000).saturating_add(nanoseconds / 1_000_000);
        // What lies in the future, by a clock that was set back, is young too.
        let than_ms = i64::try_from(than.as_millis()).unwrap_or(i64::MAX);
        changed_ms.saturating_add(than_ms) > now_ms
    }
}

fn metadata(path: &Path) -> Option<Metadata> {
    let metadata = std::fs::metadata(path).ok()?;
    Some(Metadata {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
        is_unsettled: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn every_kind_of_change_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let (file, aside) = (folder.path().join("a.toml"), folder.path().join("aside"));
        let noted = || {
            let mut inputs = Inputs::default();
            [folder.path(), &file].into_iter().for_each(|path| inputs.note(path, Duration::ZERO));
            inputs
        };
        let inputs = noted();
        assert!(!inputs.have_changed());
        fs::write(&file, "one").unwrap();
        assert!(inputs.have_changed(), "a file came");
        let inputs = noted();
        assert!(!inputs.have_changed());
        fs::write(&file, "another").unwrap();
        assert!(inputs.have_changed(), "another size");
        let inputs = noted();
        fs::write(&aside, "another").and_then(|()| fs::rename(&aside, &file)).unwrap();
        assert!(inputs.have_changed(), "another file of the same size");
        let inputs = noted();
        fs::remove_file(&file).unwrap();
        assert!(inputs.have_changed(), "the file is gone");
    }

    #[test]
    fn file_that_has_just_changed_counts_as_changed() {
        let folder = tempfile::tempdir().unwrap();
        let mut inputs = Inputs::default();
        inputs.note(folder.path(), Duration::from_secs(3600));
        assert!(inputs.have_changed());
    }
}
