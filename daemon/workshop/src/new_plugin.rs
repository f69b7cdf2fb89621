//! `beadle plugins new`: makes a folder with a complete plugin and its own copy of the SDK and the
//! contract.
//!
//! The copy is embedded in this program, so the plugin and the daemon have the same version and the
//! copy needs no network. A `Cargo.lock` pins the crates that the SDK depends on; cargo fetches
//! them once per machine.
//!
//! After that the folder belongs to the author. We never change a folder that already exists.

use crate::artefact::failed;
use crate::shell::{Failure, Result};
use std::fs;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

mod embedded {
    //! The embedded files, by path; `build.rs` generates this module.
    include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
}

/// The folder for the SDK and the contract in a plugin's folder.
const COPY: &str = "beadle";
/// The manifest from which the SDK's manifest inherits.
const WORKSPACE: &str = "plugins/Cargo.toml";
const LOCK: &str = "plugins/Cargo.lock";
/// The example on the first page of the SDK's documentation, and its path relative to that page: in
/// the repository, and in a copy.
const EXAMPLE: &str = "plugins/echo/src/lib.rs";
const EXAMPLE_FROM: &str = "../../../plugins/echo/src/lib.rs";
const EXAMPLE_TO: &str = "../echo.rs";

/// The files of a new plugin: path and text. `@NAME@` stands for the plugin's name.
const TEMPLATE: [(&str, &str); 5] = [
    ("Cargo.toml", include_str!("new_plugin/Cargo.toml.in")),
    ("src/lib.rs", include_str!("new_plugin/lib.rs.in")),
    ("events/hello.json", include_str!("new_plugin/hello.json.in")),
    ("README.md", include_str!("new_plugin/README.md.in")),
    (".gitignore", include_str!("new_plugin/gitignore.in")),
];

/// A plugin's name must be valid in `[plugins.NAME]` and as a package name: 1 to 64 letters,
/// digits, `-` or `_`, beginning with a letter.
const NAME_BYTES: usize = 64;
/// Package names that a plugin cannot have, because one of its crates or a part of Rust has them.
const RESERVED: [&str; 12] = [
    "alloc",
    "beadle-plugin",
    "core",
    "crate",
    "proc_macro",
    "schemars",
    "self",
    "serde",
    "serde_json",
    "std",
    "super",
    "test",
];

/// Makes the folder of a plugin called `name` in `place` and returns its path. If the name is
/// invalid or the folder exists, this returns an error and writes nothing.
pub fn create(place: &Path, name: &str) -> Result<PathBuf> {
    check_name(name)?;
    let folder = place.join(name);
    if folder.exists() {
        return Err(Failure::new(format!("{} already exists; nothing was changed", folder.display())));
    }
    // We fill a temporary folder and rename it, so that no half-written plugin is ever visible.
    let temporary = place.join(format!(".{name}.{}", std::process::id()));
    let written = fill(&temporary, name);
    let moved = written.and_then(|()| fs::rename(&temporary, &folder).map_err(|error| failed("make", &folder, &error)));
    if moved.is_err() {
        // The first error is reported; if the folder cannot be removed either, that error adds
        // nothing.
        let _ = fs::remove_dir_all(&temporary);
    }
    moved.map(|()| folder)
}

/// Whether a plugin can have this name; the error says what a name must be.
pub fn check_name(name: &str) -> Result {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic());
    if !begins || name.len() > NAME_BYTES || !name.chars().all(fits) {
        let says = "must begin with a letter and have only letters, digits, `-` and `_`";
        return Err(Failure::new(format!("`{name}` cannot be a plugin's name: it {says}, at most {NAME_BYTES}")));
    }
    match RESERVED.contains(&name) {
        true => {
            Err(Failure::new(format!("`{name}` cannot be a plugin's name: a crate that plugins use has this name")))
        }
        false => Ok(()),
    }
}

fn fill(folder: &Path, name: &str) -> Result {
    for (path, text) in TEMPLATE {
        write(&folder.join(path), &text.replace("@NAME@", name))?;
    }
    let workspace = table(WORKSPACE, embedded(WORKSPACE)?)?;
    for (path, text) in embedded::FILES {
        let copy = folder.join(COPY).join(path);
        match *path {
            WORKSPACE => {}
            LOCK => write(&folder.join("Cargo.lock"), text)?,
            EXAMPLE => write(&folder.join(COPY).join("sdk/echo.rs"), text)?,
            "sdk/src/lib.rs" => write(&copy, &text.replace(EXAMPLE_FROM, EXAMPLE_TO))?,
            "sdk/Cargo.toml" => write(&copy, &standing_alone(table(path, text)?, &workspace)?)?,
            _ => write(&copy, text)?,
        }
    }
    Ok(())
}

fn embedded(path: &str) -> Result<&'static str> {
    let found = embedded::FILES.iter().find(|(name, _)| *name == path);
    found.map(|(_, text)| *text).ok_or_else(|| Failure::new(format!("this program does not contain {path}")))
}

fn table(path: &str, text: &str) -> Result<Table> {
    text.parse().map_err(|error| Failure::new(format!("{path}: {error}")))
}

/// Replaces what the SDK's manifest inherits from its workspace by the values, so that it needs no
/// workspace.
fn standing_alone(mut manifest: Table, workspace: &Table) -> Result<String> {
    let shared = |section: &str, key: &str| workspace.get("workspace")?.get(section)?.get(key).cloned();
    for (section, from) in [("package", "package"), ("dependencies", "dependencies")] {
        for (key, value) in manifest.get_mut(section).and_then(Value::as_table_mut).into_iter().flatten() {
            if value.get("workspace") == Some(&Value::Boolean(true)) {
                *value = shared(from, key).ok_or_else(|| {
                    Failure::new(format!("the SDK's manifest inherits `{key}`, which its workspace does not have"))
                })?;
            }
        }
    }
    // The plugin's own manifest is the root of the copy's workspace.
    if let Some(package) = manifest.get_mut("package").and_then(Value::as_table_mut) {
        package.remove("workspace");
    }
    Ok(format!("# A copy of Beadle's SDK, made by `beadle plugins new`.\n{manifest}"))
}

fn write(path: &Path, text: &str) -> Result {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| failed("make", folder, &error))?;
    }
    fs::write(path, text).map_err(|error| failed("write", path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_folder_is_complete_and_inherits_from_no_missing_workspace() {
        let place = tempfile::tempdir().unwrap();
        let folder = create(place.path(), "say-hello").unwrap();
        for file in [
            "src/lib.rs",
            "Cargo.lock",
            "beadle/sdk/src/lib.rs",
            "beadle/sdk/echo.rs",
            "beadle/wit/since-v0.1.0/types.wit",
        ] {
            assert!(folder.join(file).is_file(), "{file}");
        }
        let read = |file: &str| fs::read_to_string(folder.join(file)).unwrap();
        let sdk: Table = read("beadle/sdk/Cargo.toml").parse().unwrap();
        let package = sdk.get("package").unwrap();
        assert_eq!((package.get("workspace"), package.get("version").and_then(Value::as_str)), (None, Some("0.1.0")));
        assert!(!read("beadle/sdk/Cargo.toml").contains("workspace"));
        assert!(read("Cargo.toml").contains("name = \"say-hello\""));
        assert!(read("beadle/sdk/src/lib.rs").contains("include_str!(\"../echo.rs\")"));
        // Nothing else was written.
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[test]
    fn existing_folder_is_not_changed() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("mine")).unwrap();
        assert!(create(place.path(), "mine").unwrap_err().to_string().contains("already exists"));
        assert_eq!(fs::read_dir(place.path().join("mine")).unwrap().count(), 0);
    }

    #[test]
    fn invalid_names_are_errors() {
        let place = tempfile::tempdir().unwrap();
        for name in ["", "1st", "a b", "../x", "é", "-x", "std", &"x".repeat(65)] {
            assert!(
                create(place.path(), name).unwrap_err().to_string().contains("cannot be a plugin's name"),
                "{name}"
            );
        }
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }
}
