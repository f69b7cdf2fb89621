//! Lists the plugin folders. A plugin's name is its file's stem; the first folder that has it wins.
//!
//! Files in the first folder (the operator's) are always loaded, files in the others (the
//! packages') if the configuration names them. Subfolders, hidden files and editor backups are
//! ignored. Contents are not read: a change is detected by the file's *stamp*, its metadata.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Detects a change of a file. It includes the change time, which unlike the modification time no
/// program can set back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified_ns: i128,
    changed_ns: i128,
}

impl Stamp {
    /// The stamp of a file; links are followed.
    pub fn of(path: &Path) -> std::io::Result<Self> {
        std::fs::metadata(path).map(|meta| Self::from_meta(&meta))
    }

    /// The file's size.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How long ago the file last changed, by the file system's clock.
    pub fn quiet_for(&self) -> Duration {
        #[expect(clippy::disallowed_methods, reason = "compared with the file system's time stamps")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let quiet = i128::try_from(now).unwrap_or(0) - self.changed_ns.max(self.modified_ns);
        Duration::from_nanos(u64::try_from(quiet).unwrap_or(0))
    }

    /// The stamp from metadata.
    pub fn from_meta(meta: &std::fs::Metadata) -> Self {
        let ns = |seconds: i64, ns: i64| i128::from(seconds) * 1_000_000_000 + i128::from(ns);
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            bytes: meta.len(),
            modified_ns: ns(meta.mtime(), meta.mtime_nsec()),
            changed_ns: ns(meta.ctime(), meta.ctime_nsec()),
        }
    }
}

/// A plugin's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its path.
    pub path: PathBuf,
    /// Its stamp when it was listed.
    pub stamp: Stamp,
}

/// The content of the folders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Plugins to load, by name.
    pub plugins: BTreeMap<String, Found>,
    /// Folders that could not be read, and why.
    pub missing: BTreeMap<PathBuf, String>,
    /// Folders without any entry, as an unmounted file system leaves them.
    pub empty: BTreeSet<PathBuf>,
    /// The device of each readable folder.
    pub devices: BTreeMap<PathBuf, u64>,
    /// Warnings about files that are ignored because of their names.
    pub warnings: BTreeSet<String>,
}

/// The maximum number of entries that are listed; a folder with more (a home directory) is an
/// error.
const MAX_ENTRIES: usize = 1000;

/// Lists the folders in order. `named` are the plugins that the configuration names.
pub fn list(dirs: &[PathBuf], named: &BTreeSet<&str>) -> Listing {
    let mut listing = Listing::default();
    for (place, dir) in dirs.iter().enumerate() {
        let files = match files(dir) {
            Ok(files) => files,
            Err(error) => {
                listing.missing.insert(dir.clone(), error.to_string());
                continue;
            }
        };
        if files.is_empty() && std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none()) {
            listing.empty.insert(dir.clone());
        }
        listing.devices.extend(std::fs::metadata(dir).ok().map(|meta| (dir.clone(), meta.dev())));
        for path in files {
            let Some(name) = name_of(&path, &mut listing.warnings) else { continue };
            let wanted = (place == 0 || named.contains(name.as_str())) && !listing.plugins.contains_key(&name);
            // A file that disappears meanwhile does not exist.
            if wanted && let Ok(stamp) = Stamp::of(&path) {
                listing.plugins.insert(name, Found { path, stamp });
            }
        }
    }
    listing
}

fn files(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries: Result<Vec<_>, _> = std::fs::read_dir(dir)?.take(MAX_ENTRIES).collect();
    let is_wasm = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "wasm") && path.is_file();
    Ok(entries?.into_iter().map(|entry| entry.path()).filter(is_wasm).collect())
}

/// The plugin's name: what TOML allows in `[plugins.NAME]` without quotes.
fn name_of(path: &Path, warnings: &mut BTreeSet<String>) -> Option<String> {
    let stem = path.file_stem()?.to_str().unwrap_or_default();
    // A temporary file of an editor or copy program.
    if stem.starts_with('.') {
        return None;
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !stem.is_empty() && stem.len() <= 64 && stem.chars().all(fits) {
        return Some(stem.to_owned());
    }
    warnings.insert(format!(
        "{} is ignored: a plugin's name must have 1 to 64 letters, digits, `-` or `_`; rename the file",
        path.display()
    ));
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_folder_wins_and_others_are_loaded_if_named() {
        let (own, package) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (dir, name) in
            [(&own, "echo.wasm"), (&package, "echo.wasm"), (&package, "welcome.wasm"), (&package, "polls.wasm")]
        {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        for name in [".echo.wasm", "notes.txt", "not a name.wasm", "echo.wasm~", ".echo.wasm.swp", "#echo.wasm#"] {
            std::fs::write(own.path().join(name), "").unwrap();
        }
        std::fs::create_dir(own.path().join("old.wasm")).unwrap();
        let gone = own.path().join("missing");
        let dirs = [own.path().to_owned(), package.path().to_owned(), gone.clone()];
        let listing = list(&dirs, &BTreeSet::from(["welcome", "crm"]));
        let found: Vec<_> =
            listing.plugins.iter().map(|(name, plugin)| (name.as_str(), plugin.path.parent().unwrap())).collect();
        assert_eq!(found, [("echo", own.path()), ("welcome", package.path())]);
        assert_eq!(listing.warnings.len(), 1, "{:?}", listing.warnings);
        assert_eq!(listing.missing.keys().collect::<Vec<_>>(), [&gone]);
        assert_eq!((listing.empty.len(), listing.devices.len()), (0, 2));
        let bare = tempfile::tempdir().unwrap();
        assert!(list(&[bare.path().to_owned()], &BTreeSet::new()).empty.contains(bare.path()));
    }

    #[test]
    fn stamp_changes_even_if_size_and_time_are_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("echo.wasm");
        std::fs::write(&path, "one").unwrap();
        let (before, at) = (Stamp::of(&path).unwrap(), std::fs::metadata(&path).unwrap().modified().unwrap());
        let other = dir.path().join("other");
        std::fs::write(&other, "two").unwrap();
        std::fs::File::options().write(true).open(&other).unwrap().set_modified(at).unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert_ne!(Stamp::of(&path).unwrap(), before);
        // Links are followed.
        let link = dir.path().join("link.wasm");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(Stamp::of(&link).unwrap(), Stamp::of(&path).unwrap());
    }
}
