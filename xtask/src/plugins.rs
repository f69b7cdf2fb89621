//! `cargo xtask plugins [NAME…]`: the plugins of `plugins/`, built and put where the demo and the tests look for them.
//!
//! The compiler and the way from module to plugin are the workshop's, as for any author; here is only which plugins this
//! repository has.

use crate::shell::{self, Failure, Result};
use beadle_workshop::{Built, TARGET, Toolchain, place};
use std::fs;
use std::path::Path;

/// Builds the plugins of these names, or all, and tells about them.
pub fn run(words: &[String]) -> Result {
    for plugin in build(words)? {
        println!("{plugin}");
    }
    Ok(())
}

/// Builds the plugins of these names, or all, into `plugins/` of the target folder.
pub fn build(names: &[String]) -> Result<Vec<Built>> {
    build_in("plugins", names, "plugins")
}

/// Builds the plugins that only scenarios and the bench use, into `test-plugins/` of the target folder: the demo must
/// not find them.
pub fn build_for_tests() -> Result<Vec<Built>> {
    build_in("plugins/tests", &[], "test-plugins")
}

/// Builds those in a folder of the repository into a folder of the target folder.
fn build_in(source: &str, names: &[String], into: &str) -> Result<Vec<Built>> {
    let names = chosen(names, there(&shell::root().join(source))?)?;
    let toolchain = Toolchain::find()?;
    eprintln!("plugins: building {} with {}", names.join(", "), toolchain.name());
    // A folder of their own: another compiler, perhaps, and no waiting for who builds the daemon.
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

/// The plugins of the repository: the folders that are packages.
fn there(folder: &Path) -> Result<Vec<String>> {
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

fn chosen(names: &[String], there: Vec<String>) -> Result<Vec<String>> {
    if names.is_empty() {
        return Ok(there);
    }
    match names.iter().find(|name| !there.contains(name)) {
        Some(name) => Err(Failure::new(format!("no plugin is called `{name}`; there are {}", there.join(", ")))),
        None => Ok(names.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_before_anything_is_built() {
        let there = || vec!["echo".to_owned(), "welcome".to_owned()];
        assert_eq!(chosen(&[], there()).unwrap(), there());
        assert_eq!(chosen(&["echo".into()], there()).unwrap(), ["echo"]);
        let failure = chosen(&["ecko".into()], there()).unwrap_err();
        assert_eq!(failure.to_string(), "no plugin is called `ecko`; there are echo, welcome");
    }
}
