//! Lists and reads a plugin's folder of documents: text files, also in subfolders.
//!
//! Hidden files, editor backups and temporary files are ignored. A link is followed only within the
//! folder, because people who may write content may not be allowed to read everything that the
//! daemon can. A file that is too large or not text is rejected with the reason.

use crate::folder::{Stamp, open_file};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

/// The maximum size of a document, part of the contract with plugins.
pub const MAX_BYTES: u64 = 256 << 10;
/// The maximum number of documents of a plugin: years of a weekly update in five languages.
pub const MAX_FILES: usize = 1000;
/// The maximum size of all documents of a plugin, so that it can hold them in memory.
pub const MAX_TOTAL_BYTES: u64 = 16 << 20;
/// The maximum number of entries that are listed; a folder with more (a home directory) is an
/// error.
const MAX_ENTRIES: usize = 10_000;
/// The maximum depth of subfolders.
const MAX_DEPTH: usize = 8;

/// The content of a folder.
#[derive(Debug, Default)]
pub struct Listing {
    /// Files by relative path, with `/` as separator.
    pub files: BTreeMap<String, Stamp>,
    /// The folder and its subfolders, to be watched.
    pub folders: Vec<PathBuf>,
    /// What is rejected, by relative path, and why.
    pub rejected: BTreeMap<String, String>,
}

/// Lists the folder.
pub fn list(root: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    let mut left = MAX_ENTRIES;
    walk(root, String::new(), 0, &mut left, &mut listing)?;
    while listing.files.len() > MAX_FILES {
        let Some((name, _)) = listing.files.pop_last() else { break };
        listing.rejected.insert(name, format!("the folder has more than {MAX_FILES} documents"));
    }
    Ok(listing)
}

fn walk(folder: &Path, below: String, depth: usize, left: &mut usize, listing: &mut Listing) -> io::Result<()> {
    listing.folders.push(folder.to_owned());
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        *left = left.saturating_sub(1);
        if *left == 0 {
            listing.rejected.insert(below, format!("the folder has more than {MAX_ENTRIES} entries"));
            return Ok(());
        }
        let Ok(file) = entry.file_name().into_string() else {
            listing
                .rejected
                .insert(entry.file_name().to_string_lossy().into_owned(), "the file name is not UTF-8".into());
            continue;
        };
        if is_ignored(&file) {
            continue;
        }
        let name = if below.is_empty() { file } else { format!("{below}/{file}") };
        let path = entry.path();
        // Links to folders are not followed: they may form a cycle.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if depth == MAX_DEPTH {
                listing.rejected.insert(name, format!("the folder is nested deeper than {MAX_DEPTH} levels"));
            } else if let Err(error) = walk(&path, name.clone(), depth + 1, left, listing) {
                listing.rejected.insert(name, format!("the folder could not be read: {error}"));
            }
            continue;
        }
        match std::fs::metadata(&path) {
            Ok(meta) if meta.is_file() => _ = listing.files.insert(name, Stamp::from_meta(&meta)),
            Ok(_) => _ = listing.rejected.insert(name, "it is not a file".into()),
            // It disappeared meanwhile, or it is a dangling link.
            Err(_) => {}
        }
    }
    Ok(())
}

/// Hidden files, and temporary files of editors and copy programs.
fn is_ignored(file: &str) -> bool {
    let endings = [".swp", ".swx", ".tmp", ".part", ".crdownload", ".bak", ".orig"];
    file.starts_with(['.', '#']) || file.ends_with('~') || endings.iter().any(|end| file.ends_with(end))
        // Vim creates this file to test whether it may write.
        || file == "4913"
}

/// Reads a document; the error is the reason why it is rejected.
pub fn read(root: &Path, name: &str) -> Result<(String, Stamp), String> {
    let unreadable = |error: io::Error| format!("it could not be read: {error}");
    let (file, meta) = open_file(&root.join(name)).map_err(unreadable)?;
    if !is_within(root, &file).map_err(unreadable)? {
        return Err("it is a link to a file outside the folder".into());
    }
    let mut bytes = Vec::new();
    let stamp = Stamp::from_meta(&meta);
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("it is larger than {} KiB", MAX_BYTES >> 10));
    }
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok((text, stamp)),
        _ => Err("it is not text in UTF-8".into()),
    }
}

/// Whether the opened file is in the folder, after all links.
fn is_within(root: &Path, file: &File) -> io::Result<bool> {
    let path = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    Ok(path.starts_with(std::fs::canonicalize(root)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn text_files_are_listed_and_others_rejected_with_reason() {
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
        assert_eq!(listing.rejected.keys().collect::<Vec<_>>(), ["circle"]);
        assert_eq!(listing.folders.len(), 3);
        assert_eq!(read(&root, "inside.md").unwrap().0, "Hello");
        for (name, reason) in [("outside.md", "outside the folder"), ("big.md", "256 KiB"), ("picture.png", "UTF-8")] {
            assert!(read(&root, name).unwrap_err().contains(reason), "{name}");
        }
        assert!(list(&root.join("nowhere")).is_err());
    }
}
