//! Which files are plugins: the stem is the name, the first folder with a stem wins.
//!
//! The first folder is the operator's: what lies there runs. The others are the package's: what lies there runs when the
//! configuration names it. A folder that is missing has no plugins and is no error by itself; the operator is told.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A plugin's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The file's stem.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
}

/// What the folders hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Plugins that are to run, by name.
    pub plugins: Vec<Found>,
    /// What should be said: a folder that cannot be read, a name that cannot be one.
    pub remarks: Vec<String>,
}

/// More files than this in one folder are a mistake (a home directory, say), not plugins.
const MOST_FILES: usize = 1000;

/// Looks into the folders, in their order. `named`: the plugins that the configuration names.
pub fn list(dirs: &[PathBuf], named: &BTreeSet<&str>) -> Listing {
    let mut listing = Listing::default();
    let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
    for (place, dir) in dirs.iter().enumerate() {
        match files(dir) {
            Ok(files) => {
                for path in files {
                    let Some(name) = name_of(&path, &mut listing.remarks) else { continue };
                    if place == 0 || named.contains(name.as_str()) {
                        found.entry(name).or_insert(path);
                    }
                }
            }
            Err(error) => listing.remarks.push(format!("the plugin folder {} cannot be read: {error}", dir.display())),
        }
    }
    listing.plugins = found.into_iter().map(|(name, path)| Found { name, path }).collect();
    listing
}

fn files(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries: Result<Vec<_>, _> = std::fs::read_dir(dir)?.take(MOST_FILES).collect();
    let is_wasm = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "wasm") && path.is_file();
    Ok(entries?.into_iter().map(|entry| entry.path()).filter(is_wasm).collect())
}

/// A name is what can stand in `[plugins.NAME]` without quotes, so that it can be typed everywhere.
fn name_of(path: &Path, remarks: &mut Vec<String>) -> Option<String> {
    let stem = path.file_stem()?.to_str().unwrap_or_default();
    // An editor's or copier's file on its way to a better name.
    if stem.starts_with('.') {
        return None;
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !stem.is_empty() && stem.len() <= 64 && stem.chars().all(fits) {
        return Some(stem.to_owned());
    }
    remarks.push(format!(
        "{} is no plugin: a name has 1 to 64 letters, digits, `-` or `_`; rename the file",
        path.display()
    ));
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_folder_wins_and_the_others_wait_to_be_named() {
        let (own, package) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (dir, name) in
            [(&own, "echo.wasm"), (&package, "echo.wasm"), (&package, "welcome.wasm"), (&package, "polls.wasm")]
        {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        for name in [".echo.wasm", "notes.txt", "not a name.wasm"] {
            std::fs::write(own.path().join(name), "").unwrap();
        }
        let dirs = [own.path().to_owned(), package.path().to_owned(), own.path().join("missing")];
        let listing = list(&dirs, &BTreeSet::from(["welcome", "crm"]));
        let found: Vec<_> = listing.plugins.iter().map(|it| (it.name.as_str(), it.path.parent().unwrap())).collect();
        assert_eq!(found, [("echo", own.path()), ("welcome", package.path())]);
        assert_eq!(listing.remarks.len(), 2, "{:?}", listing.remarks);
    }
}
