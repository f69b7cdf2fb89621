//! Puts the SDK and the contract into the crate: every file of `plugin-api/sdk` and `plugin-api/wit`, found at build
//! time, so that a file that somebody adds there is in what `beadle plugins new` writes without a list to keep.

#![expect(clippy::panic, reason = "a build script that cannot read its sources has nothing else to say")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Where the plugin API lies from here, and what of it is taken.
const API: &str = "../../plugin-api";
const FOLDERS: [&str; 2] = ["sdk", "wit"];
/// One file each, from the repository's root: the versions that the SDK's manifest inherits, those of all its crates, and
/// the example that its first page shows.
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

/// Every text of a folder, by its path below the API; what is built there is none.
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
