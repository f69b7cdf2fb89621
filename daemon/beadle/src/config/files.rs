//! Which files are the configuration, and what they say.
//!
//! The one that was named, then `conf.d/*.toml` beside it in name order. Nothing is read twice, nothing is searched for
//! further up.

use super::mistake::{Mistake, Mistakes, Source};
use std::path::{Path, PathBuf};

/// No configuration is longer, and whoever names another file by mistake should learn it soon.
const LARGEST_BYTES: u64 = 1024 * 1024;

/// What was found.
pub struct Found {
    /// The files, in the order that they count.
    pub sources: Vec<Source>,
    /// Where relative paths start: the folder of the named file.
    pub base: PathBuf,
}

/// Reads them; what cannot be read is a mistake.
pub fn read(path: &Path, mistakes: &mut Mistakes) -> Found {
    let main = if path.is_dir() { path.join("beadle.toml") } else { path.to_owned() };
    let folder = main.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Absolute, since the daemon may be started anywhere; as it is where even that cannot be told.
    let base = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let mut paths = vec![main.clone()];
    paths.extend(more(&folder.join("conf.d"), mistakes));
    let sources = paths.into_iter().filter_map(|path| match text(&path) {
        Ok(text) => Some(Source { path, text }),
        Err(why) => {
            let mistake = Mistake::nowhere("config-unreadable", format!("{} cannot be read: {why}", path.display()));
            mistakes.add(mistake.help("name the configuration with `--config FILE_OR_DIR`"));
            None
        }
    });
    Found { sources: sources.collect(), base }
}

/// The files in `conf.d`, in name order. No such folder is no mistake.
fn more(folder: &Path, mistakes: &mut Mistakes) -> Vec<PathBuf> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(why) => {
            let message = format!("{} cannot be read: {why}", folder.display());
            mistakes.add(Mistake::nowhere("config-unreadable", message));
            return Vec::new();
        }
    };
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    // A name with a dot in front is an editor's or a package manager's.
    let hidden = |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    let mut paths: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|end| end == "toml") && !hidden(path)).collect();
    paths.sort();
    paths
}

fn text(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|why| why.to_string())?.len();
    if size > LARGEST_BYTES {
        return Err(format!("it has {size} bytes, and a configuration has {LARGEST_BYTES} at most"));
    }
    std::fs::read_to_string(path).map_err(|why| why.to_string())
}
