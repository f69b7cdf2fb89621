//! Lists the plugin folders. A plugin's name is its file's stem; the first folder that has it wins.
//!
//! Files in the first folder (the operator's) are always loaded, files in the others (the
//! packages') if the configuration names them. Subfolders, hidden files and editor backups are
//! ignored. Contents are not read: a change is detected by the file's *stamp*, its metadata. An
//! entry with the name of a plugin's file that is not a file (a link whose target does not
//! exist, a folder, a pipe, a device) is listed as unreadable, and never opened.

use rustix::fs::OFlags;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Opens a file to read it, with its metadata. A pipe or device is refused, and does not block.
///
/// # Errors
/// If it cannot be opened, or is not a file.
pub(crate) fn open_file(path: &Path) -> io::Result<(File, Metadata)> {
    let non_blocking = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(non_blocking).open(path)?;
    let meta = file.metadata()?;
    if meta.is_file() { Ok((file, meta)) } else { Err(io::Error::other("it is not a file")) }
}

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
    pub fn of(path: &Path) -> io::Result<Self> {
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
pub struct PluginFile {
    /// Its path.
    pub path: PathBuf,
    /// Its stamp when it was listed.
    pub stamp: Stamp,
}

/// An entry of a plugin folder that cannot be read as a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Its path.
    pub path: PathBuf,
    /// Such as "is a folder, not a file".
    pub reason: String,
}

/// Distinguishes a folder from another one at the same path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FolderIdentity {
    device: u64,
    inode: u64,
    /// When it was created, if the file system knows: an inode's number is used again.
    created: Option<SystemTime>,
}

impl FolderIdentity {
    fn of(path: &Path) -> Option<Self> {
        let meta = std::fs::metadata(path).ok()?;
        Some(Self { device: meta.dev(), inode: meta.ino(), created: meta.created().ok() })
    }
}

/// The content of the folders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Plugins to load, by name.
    pub plugins: BTreeMap<String, PluginFile>,
    /// Folders that could not be read, and why.
    pub missing: BTreeMap<PathBuf, String>,
    /// Folders without any entry, as an unmounted file system leaves them.
    pub empty: BTreeSet<PathBuf>,
    /// Plugins whose entry cannot be read as a file, by name.
    pub unreadable: BTreeMap<String, Unreadable>,
    /// The identity of each readable folder.
    pub identities: BTreeMap<PathBuf, FolderIdentity>,
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
        listing.identities.extend(FolderIdentity::of(dir).map(|identity| (dir.clone(), identity)));
        for path in files {
            let Some(name) = name_of(&path, &mut listing.warnings) else { continue };
            let is_listed = listing.plugins.contains_key(&name) || listing.unreadable.contains_key(&name);
            if is_listed || !(place == 0 || named.contains(name.as_str())) {
                continue;
            }
            match look(&path) {
                Ok(Some(stamp)) => _ = listing.plugins.insert(name, PluginFile { path, stamp }),
                // An entry that disappears meanwhile does not exist.
                Ok(None) => {}
                Err(reason) => _ = listing.unreadable.insert(name, Unreadable { path, reason }),
            }
        }
    }
    listing
}

/// The stamp of a file, without opening it; `None` if there is no such entry.
fn look(path: &Path) -> Result<Option<Stamp>, String> {
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_file() => Ok(Some(Stamp::from_meta(&meta))),
        Ok(meta) => Err(format!("is {}, not a file", kind_of(&meta))),
        Err(error) => match std::fs::symlink_metadata(path) {
            Ok(meta) if meta.is_symlink() => Err(format!("is a link whose target cannot be read ({error})")),
            Err(entry) if entry.kind() == io::ErrorKind::NotFound => Ok(None),
            _ => Err(format!("cannot be read ({error})")),
        },
    }
}

fn kind_of(meta: &std::fs::Metadata) -> &'static str {
    let kind = meta.file_type();
    if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries: Result<Vec<_>, _> = std::fs::read_dir(dir)?.take(MAX_ENTRIES).collect();
    let is_wasm = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "wasm");
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
        assert_eq!((listing.empty.len(), listing.identities.len()), (0, 2));
        assert_eq!(listing.unreadable.keys().collect::<Vec<_>>(), ["old"]);
        let bare = tempfile::tempdir().unwrap();
        assert!(list(&[bare.path().to_owned()], &BTreeSet::new()).empty.contains(bare.path()));
    }

    #[test]
    fn entries_that_are_no_files_are_told_and_not_opened() {
        let (own, package) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |name: &str| own.path().join(format!("{name}.wasm"));
        std::os::unix::fs::symlink(own.path().join("away/echo.wasm"), at("away")).unwrap();
        std::os::unix::fs::symlink(at("circle"), at("circle")).unwrap();
        // Reading one of these would not end.
        std::os::unix::fs::symlink("/dev/zero", at("device")).unwrap();
        let made = std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap();
        assert!(made.success());
        std::fs::create_dir(at("folder")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        std::fs::write(at("echo"), "").unwrap();
        std::os::unix::fs::symlink(at("echo"), at("link")).unwrap();
        // The entry of the first folder counts, also if it cannot be read.
        std::fs::write(package.path().join("away.wasm"), "").unwrap();
        let dirs = [own.path().to_owned(), package.path().to_owned()];
        let listing = list(&dirs, &BTreeSet::from(["away"]));
        assert_eq!(listing.plugins.keys().collect::<Vec<_>>(), ["echo", "link"]);
        let reasons: Vec<_> =
            listing.unreadable.iter().map(|(name, found)| (name.as_str(), found.reason.as_str())).collect();
        assert_eq!(reasons.len(), 6, "{reasons:?}");
        for ((name, reason), part) in reasons.iter().zip([
            "target cannot be read (No such file",
            "target cannot be read (Too many levels",
            "is a device",
            "is a folder",
            "is a pipe",
            "is a socket",
        ]) {
            assert!(reason.contains(part), "{name} {reason}");
        }
    }

    #[test]
    fn folder_is_told_from_another_one_at_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let (path, away) = (dir.path().join("plugins"), dir.path().join("away"));
        std::fs::create_dir(&path).unwrap();
        let before = FolderIdentity::of(&path).unwrap();
        std::fs::write(path.join("echo.wasm"), "").unwrap();
        std::fs::remove_file(path.join("echo.wasm")).unwrap();
        assert_eq!(FolderIdentity::of(&path).unwrap(), before, "its files were removed");
        std::fs::rename(&path, &away).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert_ne!(FolderIdentity::of(&path).unwrap(), before);
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
