//! The data directory is private: it holds messages, phone numbers and keys.
//!
//! New files get no permissions for other users, by the umask. Files of an earlier version may have
//! them; they are reported and not changed, because someone may rely on them.

use rustix::fs::Mode;
use std::fs::Metadata;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Permissions of group and others.
const OTHERS: u32 = 0o077;

/// From now on, new files are private to this user.
pub fn restrict_new_files() {
    rustix::process::umask(Mode::from_raw_mode(OTHERS));
}

/// Logs what others may read in the data directory.
pub fn check(data_dir: &Path) {
    let readable = readable_by_others(data_dir);
    if let Some(first) = readable.first() {
        let (path, data_dir) = (first.display(), data_dir.display());
        tracing::warn!(
            %path,
            files = readable.len(),
            fix = format!("chmod -R go= {data_dir}"),
            "data directory is not private"
        );
    }
}

/// The data directory and what is directly in it, as far as group or others have permissions. What
/// is in a private directory is private.
fn readable_by_others(data_dir: &Path) -> Vec<PathBuf> {
    let gives_others = |metadata: Metadata| metadata.permissions().mode() & OTHERS != 0;
    let is_open = |path: &PathBuf| std::fs::symlink_metadata(path).is_ok_and(gives_others);
    let data_dir = data_dir.to_owned();
    // Under `DynamicUser=` it is a link, whose own mode means nothing.
    if !std::fs::metadata(&data_dir).is_ok_and(gives_others) {
        return Vec::new();
    }
    let inside = std::fs::read_dir(&data_dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut paths: Vec<PathBuf> = inside.filter(is_open).collect();
    paths.sort();
    paths.insert(0, data_dir);
    paths
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, set_permissions, write};

    #[test]
    fn files_that_others_can_reach_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let (data, file) = (folder.path().to_owned(), folder.path().join("beadle.db"));
        write(&file, "").unwrap();
        let set = |path: &Path, mode| set_permissions(path, Permissions::from_mode(mode)).unwrap();
        for (directory, database, expected) in [
            (0o700, 0o644, vec![]),
            (0o755, 0o600, vec![data.clone()]),
            (0o755, 0o644, vec![data.clone(), file.clone()]),
            (0o710, 0o640, vec![data.clone(), file.clone()]),
        ] {
            set(&data, directory);
            set(&file, database);
            assert_eq!(readable_by_others(&data), expected, "{directory:o} {database:o}");
        }
        set(&data, 0o700);
        set(&file, 0o644);
        let elsewhere = tempfile::tempdir().unwrap();
        let link = elsewhere.path().join("beadle");
        std::os::unix::fs::symlink(&data, &link).unwrap();
        assert!(readable_by_others(&link).is_empty(), "a link to a private directory");
    }
}
