//! `beadle plugins new`: a folder with a plugin in it that builds as it is, with its own copy of the SDK and the contract.
//!
//! The copy is what this Beadle was built with, so that the plugin and the daemon cannot be of different versions, and
//! nothing is fetched for it. The crates that the SDK stands on come with their exact versions (`Cargo.lock`); cargo has
//! them on a machine that ever built a plugin, and fetches them once on one that did not.
//!
//! The folder is the author's from then on: nothing here ever changes one that is there.

use crate::artefact::failed;
use crate::shell::{Failure, Result};
use std::fs;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

mod embedded {
    //! Every file, by its path; made by `build.rs`.
    include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
}

/// Where the SDK and the contract are put in a plugin's folder.
const COPY: &str = "beadle";
/// The SDK's manifest inherits from this one.
const WORKSPACE: &str = "plugins/Cargo.toml";
const LOCK: &str = "plugins/Cargo.lock";
/// The example on the SDK's first page, and where the page looks for it: in the repository, and in a copy.
const EXAMPLE: &str = "plugins/echo/src/lib.rs";
const EXAMPLE_FROM: &str = "../../../plugins/echo/src/lib.rs";
const EXAMPLE_TO: &str = "../echo.rs";

/// What a new plugin is made of: where, and the text; `@NAME@` stands for its name.
const TEMPLATE: [(&str, &str); 5] = [
    ("Cargo.toml", include_str!("fresh/Cargo.toml.in")),
    ("src/lib.rs", include_str!("fresh/lib.rs.in")),
    ("events/hello.json", include_str!("fresh/hello.json.in")),
    ("README.md", include_str!("fresh/README.md.in")),
    (".gitignore", include_str!("fresh/gitignore.in")),
];

/// A name is what can stand in `[plugins.NAME]` and be a package's: 1 to 64 letters, digits, `-` or `_`, a letter first.
const NAME_BYTES: usize = 64;
/// Names that a package of a plugin cannot have: its crates are called so, or Rust is.
const TAKEN: [&str; 12] = [
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

/// Makes the folder of a plugin called `name` in `place`, and gives its path. A name that cannot be one, or a folder that
/// is there already, is an error and nothing is written.
pub fn create(place: &Path, name: &str) -> Result<PathBuf> {
    check(name)?;
    let folder = place.join(name);
    if folder.exists() {
        return Err(Failure::new(format!("{} is there already; nothing was changed", folder.display())));
    }
    // Whole or not at all: a folder that is half written would look like a plugin's.
    let aside = place.join(format!(".{name}.{}", std::process::id()));
    let written = fill(&aside, name);
    let moved = written.and_then(|()| fs::rename(&aside, &folder).map_err(|error| failed("make", &folder, &error)));
    if moved.is_err() {
        // What is left of it is no plugin; that it cannot be removed either is told by the first error.
        let _ = fs::remove_dir_all(&aside);
    }
    moved.map(|()| folder)
}

fn check(name: &str) -> Result {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic());
    if !begins || name.len() > NAME_BYTES || !name.chars().all(fits) {
        let says = "begins with a letter and has letters, digits, `-` or `_`";
        return Err(Failure::new(format!("`{name}` cannot be a plugin's name: it {says}, {NAME_BYTES} at most")));
    }
    match TAKEN.contains(&name) {
        true => {
            Err(Failure::new(format!("`{name}` cannot be a plugin's name: a crate that it is made of is called so")))
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
    found.map(|(_, text)| *text).ok_or_else(|| Failure::new(format!("this program was built without {path}")))
}

fn table(path: &str, text: &str) -> Result<Table> {
    text.parse().map_err(|error| Failure::new(format!("{path}: {error}")))
}

/// The SDK's manifest without its workspace: what it inherits is written into it.
fn standing_alone(mut manifest: Table, workspace: &Table) -> Result<String> {
    let shared = |section: &str, key: &str| workspace.get("workspace")?.get(section)?.get(key).cloned();
    for (section, from) in [("package", "package"), ("dependencies", "dependencies")] {
        for (key, value) in manifest.get_mut(section).and_then(Value::as_table_mut).into_iter().flatten() {
            if value.get("workspace") == Some(&Value::Boolean(true)) {
                *value = shared(from, key)
                    .ok_or_else(|| Failure::new(format!("the SDK inherits a `{key}` that is not there")))?;
            }
        }
    }
    // The copy belongs to the workspace that the plugin's own manifest begins.
    if let Some(package) = manifest.get_mut("package").and_then(Value::as_table_mut) {
        package.remove("workspace");
    }
    Ok(format!("# The copy of Beadle's SDK that `beadle plugins new` wrote.\n{manifest}"))
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
    fn the_folder_has_everything_and_names_no_workspace_that_is_not_there() {
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
        // Nothing of another plugin, nothing half done.
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_there_is_left_alone() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("mine")).unwrap();
        assert!(create(place.path(), "mine").unwrap_err().to_string().contains("is there already"));
        assert_eq!(fs::read_dir(place.path().join("mine")).unwrap().count(), 0);
    }

    #[test]
    fn names_that_cannot_be_are_told() {
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
