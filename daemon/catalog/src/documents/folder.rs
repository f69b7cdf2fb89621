//! What lies in a plugin's folder of documents: text files, in it and in folders in it.
//!
//! Hidden files, editors' copies and what is being written under another name are not looked at. A link is followed only to
//! what lies in the folder too: people who may write content are not always those who may read all that the daemon may. What
//! cannot be taken (too large, no text) is told with the reason.

use crate::folder::Stamp;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The contract says so: a document is a page that people write, not a book.
pub const MOST_BYTES: u64 = 256 << 10;
/// Documents of one plugin: some years of a weekly update in five languages.
pub const MOST_FILES: usize = 1000;
/// … and their text in all: what a plugin that reads all of them can hold.
pub const MOST_BYTES_IN_ALL: u64 = 16 << 20;
/// Entries that are looked at: a folder with more is somebody's home, not this.
const MOST_ENTRIES: usize = 10_000;
/// Folders in folders.
const MOST_DEPTH: usize = 8;

/// Never waits for whoever would write into a pipe that somebody put there (`O_NONBLOCK` on Linux, but for MIPS and the like).
const NO_WAITING: i32 = 0o4000;

/// What lies there.
#[derive(Debug, Default)]
pub struct Listing {
    /// Files, by their names with `/` between the parts.
    pub files: BTreeMap<String, Stamp>,
    /// The folder and those in it, to be watched.
    pub folders: Vec<PathBuf>,
    /// What is not taken, by name, and why.
    pub refused: BTreeMap<String, String>,
}

/// Looks into the folder.
pub fn list(root: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    let mut left = MOST_ENTRIES;
    walk(root, String::new(), 0, &mut left, &mut listing)?;
    while listing.files.len() > MOST_FILES {
        let Some((name, _)) = listing.files.pop_last() else { break };
        listing.refused.insert(name, format!("a folder has {MOST_FILES} documents at most"));
    }
    Ok(listing)
}

fn walk(folder: &Path, below: String, depth: usize, left: &mut usize, listing: &mut Listing) -> io::Result<()> {
    listing.folders.push(folder.to_owned());
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        *left = left.saturating_sub(1);
        if *left == 0 {
            listing.refused.insert(below, format!("a folder has {MOST_ENTRIES} files at most"));
            return Ok(());
        }
        let Ok(file) = entry.file_name().into_string() else {
            listing.refused.insert(entry.file_name().to_string_lossy().into_owned(), "its name is not UTF-8".into());
            continue;
        };
        if is_passing(&file) {
            continue;
        }
        let name = if below.is_empty() { file } else { format!("{below}/{file}") };
        let path = entry.path();
        // A link to a folder is not followed: it may lead in a circle.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if depth == MOST_DEPTH {
                listing.refused.insert(name, format!("folders are looked into {MOST_DEPTH} deep"));
            } else if let Err(error) = walk(&path, name.clone(), depth + 1, left, listing) {
                listing.refused.insert(name, format!("the folder cannot be read: {error}"));
            }
            continue;
        }
        match std::fs::metadata(&path) {
            Ok(meta) if meta.is_file() => _ = listing.files.insert(name, Stamp::from_meta(&meta)),
            Ok(_) => _ = listing.refused.insert(name, "it is no file".into()),
            // It went while we looked, or it is a link to nothing.
            Err(_) => {}
        }
    }
    Ok(())
}

/// Hidden files, and what editors and copying programs put beside a file for a while.
fn is_passing(file: &str) -> bool {
    let passing = [".swp", ".swx", ".tmp", ".part", ".crdownload", ".bak", ".orig"];
    file.starts_with(['.', '#']) || file.ends_with('~') || passing.iter().any(|end| file.ends_with(end))
        // Vim tries with this name whether it may write there.
        || file == "4913"
}

/// Reads a document; an error is the reason why it is not taken.
pub fn read(root: &Path, name: &str) -> Result<(String, Stamp), String> {
    let unreadable = |error: io::Error| format!("it cannot be read: {error}");
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(NO_WAITING).open(root.join(name)).map_err(unreadable)?;
    let meta = file.metadata().map_err(unreadable)?;
    if !meta.is_file() {
        return Err("it is no file".into());
    }
    if !lies_in(root, &file).map_err(unreadable)? {
        return Err("it is a link that leads out of the folder".into());
    }
    let mut bytes = Vec::new();
    let stamp = Stamp::from_meta(&meta);
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(format!("it is larger than {} KiB", MOST_BYTES >> 10));
    }
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok((text, stamp)),
        _ => Err("it is no text in UTF-8".into()),
    }
}

/// Whether what was opened lies in the folder, wherever its name led.
fn lies_in(root: &Path, file: &File) -> io::Result<bool> {
    let really = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    Ok(really.starts_with(std::fs::canonicalize(root)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn text_files_are_found_and_the_rest_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("documents");
        std::fs::create_dir_all(root.join("2026/summer")).unwrap();
        std::fs::write(dir.path().join("secret"), "outside").unwrap();
        for (name, bytes) in [
            ("hello.md", b"Hello".to_vec()),
            ("2026/summer/party.md", b"Party".to_vec()),
            ("hello.md~", b"old".to_vec()),
            (".hidden", b"hidden".to_vec()),
            ("big.md", vec![b'a'; 300 << 10]),
            ("picture.png", vec![0x89, b'P', 0xff, 0]),
        ] {
            std::fs::write(root.join(name), bytes).unwrap();
        }
        symlink(root.join("hello.md"), root.join("inside.md")).unwrap();
        symlink(dir.path().join("secret"), root.join("outside.md")).unwrap();
        symlink(&root, root.join("circle")).unwrap();
        symlink("nowhere", root.join("dangling.md")).unwrap();
        let listing = list(&root).unwrap();
        let names: Vec<_> = listing.files.keys().map(String::as_str).collect();
        let wanted = ["2026/summer/party.md", "big.md", "hello.md", "inside.md", "outside.md", "picture.png"];
        assert_eq!(names, wanted);
        assert_eq!(listing.refused.keys().collect::<Vec<_>>(), ["circle"]);
        assert_eq!(listing.folders.len(), 3);
        assert_eq!(read(&root, "inside.md").unwrap().0, "Hello");
        for (name, why) in [("outside.md", "leads out"), ("big.md", "256 KiB"), ("picture.png", "UTF-8")] {
            assert!(read(&root, name).unwrap_err().contains(why), "{name}");
        }
        assert!(list(&root.join("nowhere")).is_err());
    }
}
