//! The licence texts of everything that is linked into our programs and plugins, for packages:
//! their licences require that the texts come with the binaries. `deny.toml` says which licences
//! are accepted.

use crate::shell::{self, Failure, Result, cargo, output};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The workspaces, and the packages of each that are distributed; all of them where empty.
const WORKSPACES: [(&str, &[&str]); 2] = [(".", &["beadle", "beadle-simulator"]), ("plugins", &[])];
/// What packages are built for.
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// The beginnings of names of files with licence texts.
const NAMES: [&str; 5] = ["license", "licence", "copying", "notice", "unlicense"];

/// A crate that is linked.
struct Linked {
    /// Name and version.
    name: String,
    license: String,
    folder: PathBuf,
}

/// Writes `licenses/THIRD-PARTY.txt` in the target folder.
pub fn run() -> Result {
    let mut linked = BTreeMap::new();
    for (workspace, packages) in WORKSPACES {
        for package in crates(workspace, packages)? {
            linked.insert(package.name.clone(), package);
        }
    }
    let text = document(&linked.into_values().collect::<Vec<_>>())?;
    let folder = shell::target_dir().join("licenses");
    let path = folder.join("THIRD-PARTY.txt");
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&path, text))
        .map_err(|error| Failure::new(format!("cannot write {}: {error}", path.display())))?;
    println!("{}", path.display());
    Ok(())
}

/// The crates from registries that are linked into these packages.
fn crates(workspace: &str, packages: &[&str]) -> Result<Vec<Linked>> {
    let folder = shell::root().join(workspace);
    let mut tree = cargo();
    tree.current_dir(&folder).args(["tree", "--locked", "--edges", "normal,no-proc-macro", "--target", TARGET]);
    tree.args(["--prefix", "none", "--format", "{p}"]);
    match packages {
        [] => tree.arg("--workspace"),
        packages => tree.args(packages.iter().flat_map(|package| ["--package", package])),
    };
    // `name v1.2.3`, and more for paths and repeated crates.
    let names: BTreeSet<String> = output(&mut tree)?
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some(format!("{} {}", words.next()?, words.next()?.trim_start_matches('v')))
        })
        .collect();
    let mut metadata = cargo();
    metadata.current_dir(&folder).args(["metadata", "--locked", "--format-version", "1", "--filter-platform", TARGET]);
    let metadata: Value = serde_json::from_str(&output(&mut metadata)?)
        .map_err(|error| Failure::new(format!("cargo metadata is not JSON: {error}")))?;
    let packages = metadata.get("packages").and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |package: &Value, key: &str| package.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let from_registry = packages.iter().filter(|package| package.get("source").is_some_and(|source| !source.is_null()));
    let linked = from_registry.map(|package| Linked {
        name: format!("{} {}", text(package, "name"), text(package, "version")),
        license: text(package, "license"),
        folder: Path::new(&text(package, "manifest_path")).parent().map_or_else(PathBuf::new, Path::to_path_buf),
    });
    Ok(linked.filter(|package| names.contains(&package.name)).collect())
}

/// The list of crates, then each text once with the crates that have it.
fn document(linked: &[Linked]) -> Result<String> {
    let mut document = String::from(
        "Beadle contains the following software by others, under the licences that are named with it.\n\
         The texts of the licences follow the list.\n\n",
    );
    let mut texts: BTreeMap<[u8; 32], (String, Vec<&str>)> = BTreeMap::new();
    for Linked { name, license, folder } in linked {
        document.push_str(&format!("{name}: {license}\n"));
        let found = texts_in(folder, 1)?;
        if found.is_empty() && license.is_empty() {
            return Err(Failure::new(format!("{name} names no licence and contains no text of one")));
        }
        for text in found {
            let users = &mut texts.entry(Sha256::digest(&text).into()).or_insert((text, Vec::new())).1;
            if users.last() != Some(&name.as_str()) {
                users.push(name);
            }
        }
    }
    let mut texts: Vec<_> = texts.into_values().collect();
    texts.sort_by(|(_, a), (_, b)| a.cmp(b));
    for (text, users) in texts {
        document.push_str(&format!("\n{}\n{}:\n\n{}\n", "=".repeat(100), users.join(", "), text.trim_end()));
    }
    Ok(document)
}

/// The licence texts in a folder, and in the folders of bundled software `depth` levels below it.
fn texts_in(folder: &Path, depth: u32) -> Result<Vec<String>> {
    let unreadable = |error| Failure::new(format!("cannot read {}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).map_err(unreadable)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let mut texts = Vec::new();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        if path.is_dir() && depth > 0 {
            texts.extend(texts_in(&path, depth - 1)?);
        } else if path.is_file() && NAMES.iter().any(|start| name.starts_with(start)) && !name.ends_with(".rs") {
            texts.push(String::from_utf8_lossy(&fs::read(&path).map_err(unreadable)?).replace("\r\n", "\n"));
        }
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_is_listed_once_with_its_crates() {
        let folder = std::env::temp_dir().join(format!("beadle-licenses-{}", std::process::id()));
        for (name, text) in [("a", "the terms\n"), ("b", "the terms\r\n"), ("c/bundled", "other terms")] {
            fs::create_dir_all(folder.join(name)).unwrap();
            fs::write(folder.join(name).join("LICENSE-X"), text).unwrap();
        }
        let linked = ["a", "b", "c"].map(|name| Linked {
            name: format!("{name} 1.0.0"),
            license: "MIT".into(),
            folder: folder.join(name),
        });
        let document = document(&linked).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(document.matches("the terms").count(), 1);
        assert!(document.contains("a 1.0.0, b 1.0.0:\n\nthe terms\n"), "{document}");
        assert!(document.contains("c 1.0.0:\n\nother terms\n"), "{document}");
    }

    #[test]
    fn crate_without_any_terms_is_an_error() {
        let folder = std::env::temp_dir();
        let linked = [Linked { name: "x 1.0.0".into(), license: String::new(), folder: folder.join("beadle-nowhere") }];
        assert!(document(&linked).is_err());
    }
}
