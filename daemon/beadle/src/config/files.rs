//! Which files are the configuration, and their content: the named file, then `conf.d/*.toml` next
//! to it in name order. No other folder is searched.

use super::diagnostic::{Diagnostic, Diagnostics, Source};
use super::inputs::Inputs;
use super::settings::DEFAULT_PATH;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Far above any configuration; a larger file was probably named by mistake.
const MAX_BYTES: u64 = 1024 * 1024;

/// The files that were read.
pub struct Files {
    /// In the order in which they are merged.
    pub sources: Vec<Source>,
    /// The folder that relative paths in them start at.
    pub base: PathBuf,
    /// What was read.
    pub inputs: Inputs,
}

/// Reads the files; one that cannot be read becomes a diagnostic.
pub fn read(path: &Path, unsettled: Duration, diagnostics: &mut Diagnostics) -> Files {
    let main = if path.is_dir() { path.join("beadle.toml") } else { path.to_owned() };
    let folder = main.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Fails only if the current directory is unknown.
    let base = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let conf_d = folder.join("conf.d");
    let mut inputs = Inputs::default();
    inputs.note(&conf_d, unsettled);
    let mut paths = vec![main.clone()];
    paths.extend(files_of(&conf_d, diagnostics));
    paths.iter().for_each(|path| inputs.note(path, unsettled));
    let sources = paths.into_iter().filter_map(|path| match content(&path) {
        Ok(text) => Some(Source { path, text }),
        Err(error) => {
            let message = format!("cannot read {}: {error}", path.display());
            diagnostics.add(unreadable(&path, message));
            None
        }
    });
    Files { sources: sources.collect(), base, inputs }
}

/// An error about a file. The option is proposed to those who did not use it.
fn unreadable(path: &Path, message: String) -> Diagnostic {
    let diagnostic = Diagnostic::without_place("config-unreadable", message);
    if path == Path::new(DEFAULT_PATH) {
        diagnostic.help("pass the configuration with `--config FILE_OR_DIR`")
    } else {
        diagnostic
    }
}

/// The files in `conf.d`, in name order. A missing folder is not an error.
fn files_of(folder: &Path, diagnostics: &mut Diagnostics) -> Vec<PathBuf> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            let message = format!("cannot read {}: {error}", folder.display());
            diagnostics.add(Diagnostic::without_place("config-unreadable", message));
            return Vec::new();
        }
    };
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    // Hidden files belong to editors and package managers.
    let hidden = |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    let mut paths: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|end| end == "toml") && !hidden(path)).collect();
    paths.sort();
    paths
}

fn content(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > MAX_BYTES {
        return Err(format!("the file has {size} bytes, the maximum is {MAX_BYTES}"));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}
