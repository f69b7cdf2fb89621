//! An author's plugin: a cargo package in a folder, built without the network where that can be.
//!
//! Cargo itself is asked what the package is and where it builds, so that a plugin alone in its folder and one of a
//! workspace are the same here. The sources that are watched are those of the package and of every package beside it
//! that it uses by path (the SDK, for one); what is built from them is not.

use crate::artefact::{Built, failed, place};
use crate::shell::{self, Failure, Result};
use crate::toolchain::{TARGET, Toolchain};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// More files than this in a plugin's sources are a mistake (a home directory, say): the others are not looked at.
const MOST_FILES: usize = 5000;
/// Folders that hold no sources.
const NO_SOURCES: [&str; 2] = ["target", "node_modules"];

/// A plugin that can be built.
#[derive(Clone, Debug)]
pub struct Project {
    /// The plugin's name: the package's.
    pub name: String,
    /// Where its manifest is.
    pub folder: PathBuf,
    /// Packages by path that it is made of, its own among them.
    sources: Vec<PathBuf>,
    /// What cargo leaves.
    module: PathBuf,
}

/// What the sources looked like: another one means that something was saved.
pub type Print = Vec<(PathBuf, Option<SystemTime>, u64)>;

impl Project {
    /// The plugin in this folder. Where the crates that it is made of are not on this machine they are fetched, once.
    pub fn find(folder: &Path) -> Result<Self> {
        let folder = folder.canonicalize().map_err(|error| failed("open", folder, &error))?;
        let manifest = folder.join("Cargo.toml");
        if !manifest.is_file() {
            return Err(Failure::new(format!(
                "{} is no plugin's folder: it has no Cargo.toml. `beadle plugins new NAME` makes one",
                folder.display()
            )));
        }
        let said = match metadata(&folder) {
            Ok(said) => said,
            Err(offline) => fetched(&folder, &offline)?,
        };
        let unreadable =
            |error| Failure::new(format!("what cargo says of {} cannot be read: {error}", folder.display()));
        let said: Value = serde_json::from_str(&said).map_err(unreadable)?;
        Self::read(folder, &manifest, &said)
    }

    fn read(folder: PathBuf, manifest: &Path, said: &Value) -> Result<Self> {
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let list = |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        let packages = list(said, "packages");
        let path = |package: &Value| text(package, "manifest_path").map(PathBuf::from);
        let own = packages.iter().find(|package| path(package).as_deref() == Some(manifest));
        let Some(own) = own else {
            return Err(Failure::new(format!(
                "{} is a workspace, no package: name the folder of a plugin",
                manifest.display()
            )));
        };
        let is_module = |target: &&Value| list(target, "crate_types").iter().any(|kind| kind == "cdylib");
        let targets = list(own, "targets");
        let library = targets.iter().find(is_module).and_then(|target| text(target, "name"));
        let (Some(name), Some(library), Some(target)) = (text(own, "name"), library, text(said, "target_directory"))
        else {
            let says = "has no library that can be a plugin: write `[lib] crate-type = [\"cdylib\"]`";
            return Err(Failure::new(format!("{} {says}", manifest.display())));
        };
        // Packages of the same workspace that it does not use are watched too: a build more, never one too few.
        let local = packages.iter().filter(|package| package.get("source").is_none_or(Value::is_null));
        let mut sources: Vec<PathBuf> =
            local.filter_map(path).filter_map(|path| path.parent().map(Path::to_path_buf)).collect();
        sources.sort();
        let module =
            Path::new(&target).join(TARGET).join("release").join(format!("{}.wasm", library.replace('-', "_")));
        Ok(Self { name, folder, sources, module })
    }

    /// Builds it and puts it into a folder as NAME.wasm. What the compiler says goes to the terminal.
    pub fn build(&self, toolchain: Toolchain, into: &Path) -> Result<Built> {
        let mut command = toolchain.build();
        // What is missing was fetched when the project was found; a build asks nobody.
        command.args(["--offline", "--quiet", "--package", &self.name]).current_dir(&self.folder);
        shell::run(&mut command)?;
        place(&self.name, &self.module, into)
    }

    /// What the sources look like now. Files that come and go meanwhile are seen the next time.
    pub fn print(&self) -> Print {
        let mut print = Print::new();
        let mut folders = self.sources.clone();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let (name, path) = (entry.file_name(), entry.path());
                let name = name.to_string_lossy();
                let Ok(facts) = entry.metadata() else { continue };
                // An editor's file on its way to a better name, git's own, and what is built.
                if name.starts_with('.') || name.ends_with('~') || NO_SOURCES.contains(&name.as_ref()) {
                    continue;
                }
                if facts.is_dir() {
                    folders.push(path);
                } else if !name.ends_with(".wasm") && print.len() < MOST_FILES {
                    print.push((path, facts.modified().ok(), facts.len()));
                }
            }
        }
        print.sort();
        print.dedup();
        print
    }
}

/// What cargo knows of the folder without asking anybody.
fn metadata(folder: &Path) -> Result<String> {
    let mut command = shell::cargo();
    command.args(["metadata", "--offline", "--format-version", "1", "--filter-platform", TARGET]).current_dir(folder);
    let output = command.output().map_err(|error| no_cargo(&command, &error))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(Failure::new(String::from_utf8_lossy(&output.stderr).trim())),
    }
}

/// Fetches the crates, says so, and asks again. `offline`: what cargo said before; the answer where nothing is fetched.
fn fetched(folder: &Path, offline: &Failure) -> Result<String> {
    // A mistake in the manifest is told as it is: fetching mends nothing.
    if !offline.to_string().contains("--offline") {
        return Err(Failure::new(offline.to_string()));
    }
    eprintln!("fetching the crates that the plugin is made of; from now on it builds without the network");
    let mut fetch = shell::cargo();
    shell::run(fetch.arg("fetch").current_dir(folder)).map_err(|error| {
        Failure::new(format!("the plugin's crates are not on this machine and cannot be fetched: {error}"))
    })?;
    metadata(folder)
}

fn no_cargo(command: &Command, error: &std::io::Error) -> Failure {
    let says = "Rust is needed to build a plugin; rustup.rs has it";
    Failure::new(format!("`{}` did not start: {error}. {says}", shell::line(command)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(crate_type: &str) -> Value {
        json!({
            "target_directory": "/x/target",
            "packages": [
                { "name": "hello", "manifest_path": "/x/Cargo.toml", "source": null,
                  "targets": [{ "name": "hello_there", "crate_types": [crate_type] }] },
                { "name": "beadle-plugin", "manifest_path": "/x/beadle/sdk/Cargo.toml", "source": null, "targets": [] },
                { "name": "serde", "manifest_path": "/c/serde/Cargo.toml", "source": "registry+x", "targets": [] },
            ],
        })
    }

    #[test]
    fn cargo_says_what_is_built_and_from_which_sources() {
        let project = Project::read("/x".into(), Path::new("/x/Cargo.toml"), &said("cdylib")).unwrap();
        assert_eq!(project.name, "hello");
        assert_eq!(project.module, Path::new("/x/target/wasm32-unknown-unknown/release/hello_there.wasm"));
        assert_eq!(project.sources, [Path::new("/x"), Path::new("/x/beadle/sdk")]);
    }

    #[test]
    fn what_is_no_plugin_is_told_with_what_to_write() {
        let error = Project::read("/x".into(), Path::new("/x/Cargo.toml"), &said("lib")).unwrap_err();
        assert!(error.to_string().contains("crate-type = [\"cdylib\"]"), "{error}");
        let error = Project::read("/y".into(), Path::new("/y/Cargo.toml"), &said("cdylib")).unwrap_err();
        assert!(error.to_string().contains("is a workspace, no package"), "{error}");
        let empty = tempfile::tempdir().unwrap();
        let error = Project::find(empty.path()).unwrap_err();
        assert!(error.to_string().contains("`beadle plugins new NAME` makes one"), "{error}");
    }

    #[test]
    fn a_saved_source_shows_and_what_is_built_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let (source, built) = (folder.path().join("src"), folder.path().join("target"));
        for sub in [&source, &built] {
            fs::create_dir(sub).unwrap();
        }
        let mut project = Project::read("/x".into(), Path::new("/x/Cargo.toml"), &said("cdylib")).unwrap();
        project.sources = vec![folder.path().to_path_buf()];
        let empty = project.print();
        for (path, shows) in [
            (built.join("hello.rs"), false),
            (folder.path().join("hello.wasm"), false),
            (source.join(".lib.rs.swp"), false),
            (source.join("lib.rs"), true),
        ] {
            fs::write(&path, "fn main() {}").unwrap();
            assert_eq!(project.print() != empty, shows, "{}", path.display());
        }
        let before = project.print();
        fs::write(source.join("lib.rs"), "fn longer() {}").unwrap();
        assert_ne!(project.print(), before);
    }
}
