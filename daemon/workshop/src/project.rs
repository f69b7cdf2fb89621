//! A plugin's source: a cargo package in a folder, built offline if its crates are already on this
//! machine.
//!
//! `cargo metadata` tells us the package's name and its target folder, so a plugin in its own
//! folder and a plugin in a workspace work the same way. The watched sources are those of the
//! package and of all packages that it uses by path, such as the SDK; build results are not
//! watched.

use crate::artefact::{Built, failed, place};
use crate::shell::{self, Failure, Result};
use crate::toolchain::{TARGET, Toolchain};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// The most source files that we look at. More are probably an error, such as a package in a home
/// directory.
const MOST_FILES: usize = 5000;
/// Folders that contain no sources.
const NO_SOURCES: [&str; 2] = ["target", "node_modules"];

/// The source of a plugin that can be built.
#[derive(Clone, Debug)]
pub struct Project {
    /// The name of the package, which is the plugin's name.
    pub name: String,
    /// The folder with the manifest.
    pub folder: PathBuf,
    /// Folders of the package and of the packages that it uses by path.
    sources: Vec<PathBuf>,
    /// Path of the module that cargo makes.
    module: PathBuf,
}

/// Path, modification time and size of each source file. A different fingerprint means that a file
/// was saved.
pub type Fingerprint = Vec<(PathBuf, Option<SystemTime>, u64)>;

impl Project {
    /// Reads the plugin in this folder. If its crates are not on this machine yet, cargo fetches
    /// them.
    pub fn find(folder: &Path) -> Result<Self> {
        let folder = folder.canonicalize().map_err(|error| failed("open", folder, &error))?;
        let manifest = folder.join("Cargo.toml");
        if !manifest.is_file() {
            return Err(Failure::new(format!(
                "{} is not a plugin's folder: it has no Cargo.toml. `beadle plugins new NAME` makes one",
                folder.display()
            )));
        }
        let output = match metadata(&folder) {
            Ok(output) => output,
            Err(offline) => fetched(&folder, &offline)?,
        };
        let unreadable = |error| Failure::new(format!("cannot read cargo's metadata of {}: {error}", folder.display()));
        let described: Value = serde_json::from_str(&output).map_err(unreadable)?;
        Self::read(folder, &manifest, &described)
    }

    fn read(folder: PathBuf, manifest: &Path, described: &Value) -> Result<Self> {
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let list = |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        let packages = list(described, "packages");
        let path = |package: &Value| text(package, "manifest_path").map(PathBuf::from);
        let own = packages.iter().find(|package| path(package).as_deref() == Some(manifest));
        let Some(own) = own else {
            return Err(Failure::new(format!(
                "{} is a workspace, not a package: name the folder of a plugin",
                manifest.display()
            )));
        };
        let is_module = |target: &&Value| list(target, "crate_types").iter().any(|kind| kind == "cdylib");
        let targets = list(own, "targets");
        let library = targets.iter().find(is_module).and_then(|target| text(target, "name"));
        let (Some(name), Some(library), Some(target)) =
            (text(own, "name"), library, text(described, "target_directory"))
        else {
            let says = "has no library that can be a plugin: write `[lib] crate-type = [\"cdylib\"]`";
            return Err(Failure::new(format!("{} {says}", manifest.display())));
        };
        // This includes packages of the same workspace that the plugin does not use. At worst we
        // build once too often.
        let local = packages.iter().filter(|package| package.get("source").is_none_or(Value::is_null));
        let mut sources: Vec<PathBuf> =
            local.filter_map(path).filter_map(|path| path.parent().map(Path::to_path_buf)).collect();
        sources.sort();
        let module =
            Path::new(&target).join(TARGET).join("release").join(format!("{}.wasm", library.replace('-', "_")));
        Ok(Self { name, folder, sources, module })
    }

    /// Builds the plugin and copies it to `NAME.wasm` in the folder `into`. Compiler output goes to
    /// the terminal.
    pub fn build(&self, toolchain: Toolchain, into: &Path) -> Result<Built> {
        let mut command = toolchain.build();
        // Missing crates were fetched by `find`, so a build needs no network.
        command.args(["--offline", "--quiet", "--package", &self.name]).current_dir(&self.folder);
        shell::run(&mut command)?;
        place(&self.name, &self.module, into)
    }

    /// The current fingerprint of the sources. It may miss files that appear while it is taken; the
    /// next one has them.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut fingerprint = Fingerprint::new();
        let mut folders = self.sources.clone();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let (name, path) = (entry.file_name(), entry.path());
                let name = name.to_string_lossy();
                let Ok(facts) = entry.metadata() else { continue };
                // Temporary files of editors, git's files, and build results.
                if name.starts_with('.') || name.ends_with('~') || NO_SOURCES.contains(&name.as_ref()) {
                    continue;
                }
                if facts.is_dir() {
                    folders.push(path);
                } else if !name.ends_with(".wasm") && fingerprint.len() < MOST_FILES {
                    fingerprint.push((path, facts.modified().ok(), facts.len()));
                }
            }
        }
        fingerprint.sort();
        fingerprint.dedup();
        fingerprint
    }
}

/// The output of `cargo metadata --offline` for the folder.
fn metadata(folder: &Path) -> Result<String> {
    let mut command = shell::cargo();
    command.args(["metadata", "--offline", "--format-version", "1", "--filter-platform", TARGET]).current_dir(folder);
    let output = command.output().map_err(|error| no_cargo(&command, &error))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(Failure::new(String::from_utf8_lossy(&output.stderr).trim())),
    }
}

/// Fetches the crates and reads the metadata again. `offline` is the error of the offline attempt;
/// it is returned if fetching cannot help.
fn fetched(folder: &Path, offline: &Failure) -> Result<String> {
    // The error does not concern the network (an error in the manifest, for example): fetching does
    // not help.
    if !offline.to_string().contains("--offline") {
        return Err(Failure::new(offline.to_string()));
    }
    eprintln!("fetching the plugin's crates; later builds need no network");
    let mut fetch = shell::cargo();
    shell::run(fetch.arg("fetch").current_dir(folder)).map_err(|error| {
        Failure::new(format!("the plugin's crates are not on this machine and cannot be fetched: {error}"))
    })?;
    metadata(folder)
}

fn no_cargo(command: &Command, error: &std::io::Error) -> Failure {
    let says = "building a plugin needs Rust: see https://rustup.rs";
    Failure::new(format!("`{}` did not start: {error}. {says}", shell::line(command)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn described(crate_type: &str) -> Value {
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
    fn metadata_gives_the_name_the_module_and_the_sources() {
        let project = Project::read("/x".into(), Path::new("/x/Cargo.toml"), &described("cdylib")).unwrap();
        assert_eq!(project.name, "hello");
        assert_eq!(project.module, Path::new("/x/target/wasm32-unknown-unknown/release/hello_there.wasm"));
        assert_eq!(project.sources, [Path::new("/x"), Path::new("/x/beadle/sdk")]);
    }

    #[test]
    fn folder_that_is_not_a_plugin_is_an_error_that_says_what_to_do() {
        let error = Project::read("/x".into(), Path::new("/x/Cargo.toml"), &described("lib")).unwrap_err();
        assert!(error.to_string().contains("crate-type = [\"cdylib\"]"), "{error}");
        let error = Project::read("/y".into(), Path::new("/y/Cargo.toml"), &described("cdylib")).unwrap_err();
        assert!(error.to_string().contains("is a workspace, not a package"), "{error}");
        let empty = tempfile::tempdir().unwrap();
        let error = Project::find(empty.path()).unwrap_err();
        assert!(error.to_string().contains("`beadle plugins new NAME` makes one"), "{error}");
    }

    #[test]
    fn fingerprint_changes_with_sources_and_not_with_build_results() {
        let folder = tempfile::tempdir().unwrap();
        let (source, built) = (folder.path().join("src"), folder.path().join("target"));
        for sub in [&source, &built] {
            fs::create_dir(sub).unwrap();
        }
        let mut project = Project::read("/x".into(), Path::new("/x/Cargo.toml"), &described("cdylib")).unwrap();
        project.sources = vec![folder.path().to_path_buf()];
        let empty = project.fingerprint();
        for (path, shows) in [
            (built.join("hello.rs"), false),
            (folder.path().join("hello.wasm"), false),
            (source.join(".lib.rs.swp"), false),
            (source.join("lib.rs"), true),
        ] {
            fs::write(&path, "fn main() {}").unwrap();
            assert_eq!(project.fingerprint() != empty, shows, "{}", path.display());
        }
        let before = project.fingerprint();
        fs::write(source.join("lib.rs"), "fn longer() {}").unwrap();
        assert_ne!(project.fingerprint(), before);
    }
}
