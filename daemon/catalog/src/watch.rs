//! Being told that something changed in some folders. Linux's inotify, whose word "closed by its writer" is what a reload
//! waits for.
//!
//! It is an alarm clock, not a source of truth: what it says only makes somebody look, and adds to what is seen there
//! whether a file's writer is through with it. A folder that comes later or is replaced is noticed by watching the folder
//! that it lies in; what is missed all the same is found by whoever looks by himself now and then.

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use tokio::io::unix::AsyncFd;

/// What a file's writer is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// It was opened to be written, or is being written.
    Busy,
    /// It was closed by its writer, or renamed to this name.
    Whole,
}

/// Room for some hundred events of one read; more are read at once again.
const BUFFER_BYTES: usize = 16 << 10;

/// Watches folders, not what lies in folders in them.
pub struct Watch {
    inotify: AsyncFd<Inotify>,
    folders: BTreeSet<PathBuf>,
    watched: HashMap<WatchDescriptor, PathBuf>,
    buffer: Vec<u8>,
}

impl Watch {
    /// Watches nothing yet.
    pub fn new() -> io::Result<Self> {
        #[expect(
            deprecated,
            reason = "its successor is unsafe to call; our descriptor is open as long as it is registered"
        )]
        let inotify = AsyncFd::new(Inotify::init()?)?;
        Ok(Self { inotify, folders: BTreeSet::new(), watched: HashMap::new(), buffer: vec![0; BUFFER_BYTES] })
    }

    /// Watches these folders, as they are now, and those that they lie in. Called again it finds those that were
    /// replaced; what is not there is simply not watched.
    pub fn set(&mut self, folders: &[PathBuf]) {
        self.folders = folders.iter().cloned().collect();
        let mut watched = HashMap::new();
        let mut watches = self.inotify.get_ref().watches();
        let parents = folders.iter().filter_map(|folder| folder.parent());
        for path in parents.chain(folders.iter().map(PathBuf::as_path)) {
            // The same folder again gives the same number.
            if let Ok(number) = watches.add(path, mask()) {
                watched.insert(number, path.to_owned());
            }
        }
        for number in self.watched.keys().filter(|number| !watched.contains_key(*number)) {
            // It went with its folder, where there is nothing to remove.
            let _ = watches.remove(number.clone());
        }
        self.watched = watched;
    }

    /// Waits until something changed in one of the folders; what is known of its files' writers, the latest last.
    /// Dropping the future loses nothing that is not said again by the next look.
    pub async fn changed(&mut self) -> Vec<(PathBuf, Hint)> {
        loop {
            let Ok(mut ready) = self.inotify.readable_mut().await else { return std::future::pending().await };
            let read = ready.try_io(|inotify| {
                let events = inotify.get_mut().read_events(&mut self.buffer)?;
                Ok(events.map(|event| (event.wd, event.mask, event.name.map(PathBuf::from))).collect::<Vec<_>>())
            });
            let Ok(Ok(events)) = read else { continue };
            let mut concerned = false;
            let mut hints = Vec::new();
            for (number, mask, name) in events {
                if mask.contains(EventMask::Q_OVERFLOW) {
                    concerned = true;
                    continue;
                }
                let Some(folder) = self.watched.get(&number) else { continue };
                let path = name.map_or_else(|| folder.clone(), |name| folder.join(name));
                let is_ours = self.folders.contains(&path);
                if is_ours || self.folders.contains(folder) {
                    concerned = true;
                    hints.extend(hint(mask).filter(|_| !is_ours).map(|hint| (path, hint)));
                }
            }
            if concerned {
                return hints;
            }
        }
    }
}

fn mask() -> WatchMask {
    WatchMask::CREATE
        | WatchMask::MODIFY
        | WatchMask::CLOSE_WRITE
        | WatchMask::ATTRIB
        | WatchMask::MOVED_TO
        | WatchMask::MOVED_FROM
        | WatchMask::DELETE
        | WatchMask::DELETE_SELF
        | WatchMask::MOVE_SELF
        | WatchMask::ONLYDIR
}

fn hint(mask: EventMask) -> Option<Hint> {
    if mask.intersects(EventMask::CLOSE_WRITE | EventMask::MOVED_TO) {
        Some(Hint::Whole)
    } else if mask.intersects(EventMask::CREATE | EventMask::MODIFY) {
        Some(Hint::Busy)
    } else {
        None
    }
}

/// The folders that these files lie in.
pub fn folders_of<'a>(files: impl IntoIterator<Item = &'a Path>) -> Vec<PathBuf> {
    let folders: BTreeSet<PathBuf> = files.into_iter().filter_map(|file| file.parent().map(Path::to_owned)).collect();
    folders.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    async fn next(watch: &mut Watch) -> Vec<(PathBuf, Hint)> {
        tokio::time::timeout(std::time::Duration::from_secs(20), watch.changed()).await.expect("nothing changed")
    }

    /// Waits until this was said of this file.
    async fn said(watch: &mut Watch, path: &Path, hint: Hint) {
        while next(watch).await.last() != Some(&(path.to_owned(), hint)) {}
    }

    #[tokio::test]
    async fn a_file_is_whole_when_its_writer_closed_it_or_it_was_renamed_in() {
        let dir = tempfile::tempdir().unwrap();
        let plugins = dir.path().join("plugins");
        std::fs::create_dir(&plugins).unwrap();
        let mut watch = Watch::new().unwrap();
        watch.set(std::slice::from_ref(&plugins));
        let path = plugins.join("echo.wasm");
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(b"half").unwrap();
        said(&mut watch, &path, Hint::Busy).await;
        drop(file);
        said(&mut watch, &path, Hint::Whole).await;
        let aside = plugins.join(".echo");
        std::fs::write(&aside, "whole").unwrap();
        std::fs::rename(&aside, &path).unwrap();
        said(&mut watch, &path, Hint::Whole).await;
    }

    #[tokio::test]
    async fn a_folder_that_goes_and_comes_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let plugins = dir.path().join("plugins");
        std::fs::create_dir(&plugins).unwrap();
        let mut watch = Watch::new().unwrap();
        watch.set(std::slice::from_ref(&plugins));
        std::fs::remove_dir(&plugins).unwrap();
        next(&mut watch).await;
        watch.set(std::slice::from_ref(&plugins));
        std::fs::create_dir(&plugins).unwrap();
        next(&mut watch).await;
        watch.set(std::slice::from_ref(&plugins));
        let path = plugins.join("echo.wasm");
        std::fs::write(&path, "").unwrap();
        said(&mut watch, &path, Hint::Whole).await;
    }
}
