//! Where the bytes of files lie: one file each under `media/`, named by its number, and beside the database because a
//! picture of megabytes would make every page of it slower.
//!
//! A file is written under another name, synced, and renamed, so that what is there is whole. Its row is written after
//! that; what has no row after a crash is swept away at the next start.

use beadle_model::MediaId;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// Folders that files are spread over: some hundred thousand files make 400 in each.
const FOLDERS: i64 = 256;

/// A file without a row that is younger may be one whose handling is being committed. Real time.
const YOUNG: Duration = Duration::from_secs(60 * 60);

/// The files. Cheap to clone.
#[derive(Clone)]
pub struct Files(Arc<Inner>);

struct Inner {
    dir: PathBuf,
    next: AtomicI64,
    changed: watch::Sender<u64>,
    /// A row was written that is not committed yet.
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

    /// A number for a file to be; never given twice while we run.
    pub fn reserve(&self) -> MediaId {
        MediaId(self.0.next.fetch_add(1, Ordering::Relaxed))
    }

    /// The number that the next one gets.
    pub(crate) fn next(&self) -> i64 {
        self.0.next.load(Ordering::Relaxed)
    }

    /// Rings when a file is wanted, has come, or cannot be had.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    /// A row of a file was written; [`Files::committed`] rings for it.
    pub(crate) fn note(&self) {
        self.0.noted.store(true, Ordering::Relaxed);
    }

    /// What was written is committed: who waits for files sees it now, and would not have before.
    pub(crate) fn committed(&self) {
        if self.0.noted.swap(false, Ordering::Relaxed) {
            self.ring();
        }
    }

    pub(crate) fn ring(&self) {
        self.0.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Where a file lies, or would.
    pub fn path(&self, id: MediaId) -> PathBuf {
        self.0.dir.join(format!("{:02x}", id.0.rem_euclid(FOLDERS))).join(id.to_string())
    }

    /// Begins a file; [`Part::finish`] puts it in its place.
    ///
    /// # Errors
    /// As the file system has them.
    pub fn begin(&self, id: MediaId) -> io::Result<Part> {
        let path = self.path(id);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let part = path.with_extension("part");
        Ok(Part { file: File::create(&part)?, part, path, bytes: 0, done: false })
    }

    /// A whole file at once.
    ///
    /// # Errors
    /// As the file system has them.
    pub fn write(&self, id: MediaId, bytes: &[u8]) -> io::Result<()> {
        let mut part = self.begin(id)?;
        part.write(bytes)?;
        part.finish().map(drop)
    }

    /// Up to `length` bytes from `offset`; fewer at the end.
    ///
    /// # Errors
    /// As the file system has them.
    pub fn read(&self, id: MediaId, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut file = File::open(self.path(id))?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.take(length as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Away with it; one that is not there is no error.
    pub(crate) fn remove(&self, id: MediaId) {
        match fs::remove_file(self.path(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%id, %error, "a file could not be removed");
            }
            _ => {}
        }
    }

    /// Removes what was begun and never finished, and what has no row.
    pub(crate) fn sweep(&self, has_row: impl Fn(MediaId) -> bool) {
        let Ok(folders) = fs::read_dir(&self.0.dir) else { return };
        for file in folders.flatten().filter_map(|folder| fs::read_dir(folder.path()).ok()).flatten().flatten() {
            let path = file.path();
            let id = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<MediaId>().ok());
            let is_young = file.metadata().and_then(|it| it.modified()).is_ok_and(is_young);
            if !is_young && id.is_none_or(|id| !has_row(id)) {
                remove_quietly(&path);
            }
        }
    }
}

fn is_young(modified: std::time::SystemTime) -> bool {
    modified.elapsed().is_ok_and(|age| age < YOUNG)
}

fn remove_quietly(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::debug!(path = %path.display(), %error, "a file without a row could not be removed");
    }
}

/// A file that is being written. Dropped before it is finished, it is gone.
pub struct Part {
    file: File,
    part: PathBuf,
    path: PathBuf,
    bytes: u64,
    done: bool,
}

impl Part {
    /// Some more of it.
    ///
    /// # Errors
    /// As the file system has them.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    /// How many bytes it has.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// It is whole. Durable when this returns; says how many bytes it has.
    ///
    /// # Errors
    /// As the file system has them.
    pub fn finish(mut self) -> io::Result<u64> {
        self.file.sync_data()?;
        fs::rename(&self.part, &self.path)?;
        self.done = true;
        Ok(self.bytes)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.done {
            remove_quietly(&self.part);
        }
    }
}
