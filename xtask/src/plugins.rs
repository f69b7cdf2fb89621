//! `cargo xtask plugins [NAME…]`: builds the plugins of `plugins/` into the folder in which the
//! demo and the tests look.
//!
//! The compiler and the conversion are beadle-workshop's, as for any author.

use crate::shell::{self, Failure, Result};
use beadle_workshop::{Built, TARGET, Toolchain, place};
use std::fs;
use std::path::Path;

/// Builds the plugins with these names, or all, and prints them.
pub fn run(words: &[String]) -> Result {
    for plugin in build(words)? {
        println!("{plugin}");
    }
    Ok(())
}

/// Builds the plugins with these names, or all, into `plugins/` of the target folder.
pub fn build(names: &[String]) -> Result<Vec<Built>> {
    build_in("plugins", names, "plugins")
}

/// Builds the plugins for scenarios and the bench into `test-plugins/` of the target folder, where
/// the demo does not look.
pub fn build_for_tests() -> Result<Vec<Built>> {
    build_in("plugins/tests", &[], "test-plugins")
}

/// Builds plugins of a folder of the repository into a folder below the target folder.
fn build_in(source: &str, names: &[String], into: &str) -> Result<Vec<Built>> {
    let names = chosen(names, packages_in(&shell::root().join(source))?)?;
    let toolchain = Toolchain::find()?;
    eprintln!("plugins: building {} with {}", names.join(", "), toolchain.name());
    // A target folder of their own: another target, and no waiting for the lock of a daemon build.
    let built = shell::root().join("plugins/target");
    let mut command = toolchain.build();
    command.current_dir(shell::root().join("plugins")).env("CARGO_TARGET_DIR", &built);
    for name in &names {
        command.args(["--package", name]);
    }
    shell::run(&mut command)?;
    let modules = built.join(TARGET).join("release");
    let folder = shell::target_dir().join(into);
    let module = |name: &str| modules.join(format!("{}.wasm", name.replace('-', "_")));
    names.iter().map(|name| place(name, &module(name), &folder)).collect()
}

/// The names of the packages in a folder.
fn packages_in(folder: &Path) -> Result<Vec<String>> {
    let unreadable = |error| Failure::new(format!("cannot read {}: {error}", folder.display()));
    let entries = fs::read_dir(folder).map_err(unreadable)?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.path().join("Cargo.toml").is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    Ok(names)
}

fn chosen(names: &[String], known: Vec<String>) -> Result<Vec<String>> {
    if names.is_empty() {
        return Ok(known);
    }
    match names.iter().find(|name| !known.contains(name)) {
        Some(name) => Err(Failure::new(format!("unknown plugin `{name}`; known are {}", known.join(", ")))),
        None => Ok(names.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_name_is_refused_before_the_build() {
        let known = || vec!["echo".to_owned(), "welcome".to_owned()];
        assert_eq!(chosen(&[], known()).unwrap(), known());
        assert_eq!(chosen(&["echo".into()], known()).unwrap(), ["echo"]);
        let failure = chosen(&["ecko".into()], known()).unwrap_err();
        assert_eq!(failure.to_string(), "unknown plugin `ecko`; known are echo, welcome");
    }
}
