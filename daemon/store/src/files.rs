//! The bytes of files: one file each under `media/`, named by its id. They are not in the database,
//! because large values would slow down its pages.
//!
//! A file is written under a temporary name, synced and renamed, so that a file with its own name
//! is complete. Its row is inserted after that; files without a row are deleted at the next start.

use beadle_model::MediaId;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// The number of folders; some hundred thousand files make 400 in each.
const FOLDERS: i64 = 256;

/// A younger file without a row may belong to a handling that is being committed. Real time.
const MIN_AGE: Duration = Duration::from_secs(60 * 60);

/// The files. Cheap to clone.
#[derive(Clone)]
pub struct Files(Arc<Inner>);

struct Inner {
    dir: PathBuf,
    next: AtomicI64,
    changed: watch::Sender<u64>,
    /// Whether a row was written that is not committed yet.
    noted: AtomicBool,
}

impl Files {
    pub(crate) fn new(dir: PathBuf, next: i64) -> Self {
        Self(Arc::new(Inner {
            dir,
            next: AtomicI64::new(next),
            changed: watch::Sender::new(0),
            noted: AtomicBool::new(false),
        }))
    }

    /// Reserves a file id. No id is returned twice by this process.
    pub fn reserve(&self) -> MediaId {
        MediaId(self.0.next.fetch_add(1, Ordering::Relaxed))
    }

    /// The next id.
    pub(crate) fn next(&self) -> i64 {
        self.0.next.load(Ordering::Relaxed)
    }

    /// Changes when a file is needed, was stored, or failed.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    /// Notes that a row was written; [`Files::committed`] then signals the change.
    pub(crate) fn note(&self) {
        self.0.noted.store(true, Ordering::Relaxed);
    }

    /// Signals a change if a row was written: readers see it only after the commit.
    pub(crate) fn committed(&self) {
        if self.0.noted.swap(false, Ordering::Relaxed) {
            self.ring();
        }
    }

    pub(crate) fn ring(&self) {
        self.0.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// The path of a file, whether or not it exists.
    pub fn path(&self, id: MediaId) -> PathBuf {
        self.0.dir.join(format!("{:02x}", id.0.rem_euclid(FOLDERS))).join(id.to_string())
    }

    /// Creates a file; [`MediaWriter::finish`] moves it into place.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn begin(&self, id: MediaId) -> io::Result<MediaWriter> {
        let path = self.path(id);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let part = path.with_extension("part");
        Ok(MediaWriter { file: File::create(&part)?, part, path, bytes: 0, done: false })
    }

    /// Writes a complete file.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&self, id: MediaId, bytes: &[u8]) -> io::Result<()> {
        let mut part = self.begin(id)?;
        part.write(bytes)?;
        part.finish().map(drop)
    }

    /// Reads up to `length` bytes from `offset`; fewer at the end.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn read(&self, id: MediaId, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut file = File::open(self.path(id))?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.take(length as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Deletes a file, if it exists. Its row, if it has one, stays.
    pub fn remove(&self, id: MediaId) {
        match fs::remove_file(self.path(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%id, %error, "file not deleted");
            }
            _ => {}
        }
    }

    /// Deletes incomplete files and those without a row.
    pub(crate) fn sweep(&self, has_row: impl Fn(MediaId) -> bool) {
        let Ok(folders) = fs::read_dir(&self.0.dir) else { return };
        for file in folders.flatten().filter_map(|folder| fs::read_dir(folder.path()).ok()).flatten().flatten() {
            let path = file.path();
            let id = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<MediaId>().ok());
            let is_young = file.metadata().and_then(|metadata| metadata.modified()).is_ok_and(is_young);
            if !is_young && id.is_none_or(|id| !has_row(id)) {
                remove_quietly(&path);
            }
        }
    }
}

fn is_young(modified: std::time::SystemTime) -> bool {
    modified.elapsed().is_ok_and(|age| age < MIN_AGE)
}

fn remove_quietly(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::debug!(path = %path.display(), %error, "orphaned file not deleted");
    }
}

/// A file that is being written. Dropping it deletes it unless it was finished.
pub struct MediaWriter {
    file: File,
    part: PathBuf,
    path: PathBuf,
    bytes: u64,
    done: bool,
}

impl MediaWriter {
    /// Appends bytes.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    /// The number of bytes written.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Completes the file and makes it durable. Returns its size.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn finish(mut self) -> io::Result<u64> {
        self.file.sync_data()?;
        fs::rename(&self.part, &self.path)?;
        self.done = true;
        Ok(self.bytes)
    }
}

impl Drop for MediaWriter {
    fn drop(&mut self) {
        if !self.done {
            remove_quietly(&self.part);
        }
    }
}
