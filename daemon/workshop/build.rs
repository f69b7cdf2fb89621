//! Embeds the SDK and the contract in the crate, for `beadle plugins new`: all files of
//! `plugin-api/sdk` and `plugin-api/wit`. The files are found at build time, so there is no list to
//! maintain.

#![expect(clippy::panic, reason = "a build script that cannot read its sources has nothing else to say")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The folder of the plugin API, and the folders in it that we embed.
const API: &str = "../../plugin-api";
const FOLDERS: [&str; 2] = ["sdk", "wit"];
/// Other embedded files, by their paths from the repository's root: the manifest from which the
/// SDK's inherits, the lock file, and the example of the SDK's first page.
const FILES: [&str; 3] = ["plugins/Cargo.toml", "plugins/Cargo.lock", "plugins/echo/src/lib.rs"];

fn main() {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let api = here.join(API);
    let mut found = Vec::new();
    for folder in FOLDERS {
        println!("cargo::rerun-if-changed={}", api.join(folder).display());
        walk(&api.join(folder), folder, &mut found);
    }
    for file in FILES {
        let path = here.join("../..").join(file);
        println!("cargo::rerun-if-changed={}", path.display());
        found.push((file.to_owned(), path));
    }
    found.sort();
    let mut code = String::from("pub const FILES: &[(&str, &str)] = &[\n");
    for (name, path) in found {
        let path = path.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let _ = writeln!(code, "    ({name:?}, include_str!({path:?})),");
    }
    code.push_str("];\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("embedded.rs");
    fs::write(&out, code).unwrap_or_else(|error| panic!("{}: {error}", out.display()));
}

/// Adds all files of a folder, by their paths below the API, without build results and hidden
/// files.
fn walk(folder: &Path, name: &str, found: &mut Vec<(String, PathBuf)>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries.flatten() {
        let (path, leaf) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let name = format!("{name}/{leaf}");
        if path.is_dir() {
            if leaf != "target" {
                walk(&path, &name, found);
            }
        } else if !leaf.starts_with('.') {
            found.push((name, path));
        }
    }
}
