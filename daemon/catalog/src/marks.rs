//! What is being loaded, on disk: so that a start which died tells the next one of whom it died.
//!
//! A file for each plugin lies there while its code is read, compiled, asked or tried, and no longer. Whoever starts and
//! finds one knows that the process before was killed, by the plugin or while it happened to be loaded. The first time it
//! is only a suspect: it is loaded again, alone, after all others. Who was alone when that start dies too is the culprit.
//!
//! A file that cannot be written stops nobody: then a death is not explained, and that is all. It is not synced: what it
//! is for is the death of a process, which leaves what was written.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What is remembered of a plugin that is being loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Loading {
    /// The content hash of what is loaded.
    pub revision: String,
    /// Nothing else was being loaded.
    pub alone: bool,
}

/// A folder of them.
#[derive(Clone, Debug)]
pub(crate) struct Marks(PathBuf);

/// A plugin is being loaded, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Mark(PathBuf);

impl Drop for Mark {
    fn drop(&mut self) {
        // One that stays makes the next start careful, no more.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Marks {
    /// In this folder, which is made when it is needed.
    pub fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// From now on this is being loaded.
    pub fn set(&self, name: &str, loading: &Loading) -> Mark {
        let path = self.0.join(format!("{name}.json"));
        let text = serde_json::to_vec(loading).unwrap_or_default();
        if let Err(error) = std::fs::create_dir_all(&self.0).and_then(|()| std::fs::write(&path, text)) {
            tracing::debug!(plugin = name, %error, "That a plugin is being loaded could not be noted.");
        }
        Mark(path)
    }

    /// What was being loaded when the process before this one died, by name; asked once, since it is taken away. One that
    /// cannot be read was being written: nobody was loaded yet.
    pub fn take(&self) -> BTreeMap<String, Loading> {
        let mut found = BTreeMap::new();
        for path in std::fs::read_dir(&self.0).into_iter().flatten().flatten().map(|entry| entry.path()) {
            let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
            let loading = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
            found.extend(loading.map(|loading| (name, loading)));
            drop(Mark(path));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_there_for_as_long_as_somebody_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let marks = Marks::new(dir.path().join("loading"));
        assert!(marks.take().is_empty());
        let loading = Loading { revision: "a1".into(), alone: true };
        drop(marks.set("echo", &loading));
        assert!(marks.take().is_empty());
        // Whoever dies drops nothing.
        std::mem::forget(marks.set("echo", &loading));
        std::fs::write(dir.path().join("loading/half.json"), "{").unwrap();
        assert_eq!(marks.take(), BTreeMap::from([("echo".to_owned(), loading)]));
        assert!(marks.take().is_empty());
    }
}
