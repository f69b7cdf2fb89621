//! `cargo xtask plugins [NAME…]`: the plugins of `plugins/`, built and put where the demo and the tests look for them.
//!
//! What cargo leaves, a core module, is what the daemon takes; it is only copied, under the name of its folder, which
//! is the plugin's. It is made a component here too, but only to show its author what Beadle will read off it: the
//! events that it exports and the rights that it imports.

use crate::shell::{self, Failure, Result};
use crate::toolchain::{TARGET, Toolchain};
use std::path::{Path, PathBuf};
use std::{fmt, fs};
use wit_component::{ComponentEncoder, DecodedWasm};

/// The package of the contract, as it stands before each interface's name.
const CONTRACT: &str = "beadle:plugin/";

/// A plugin that was built.
#[derive(Debug)]
pub struct Built {
    /// Its folder's name, and its own.
    pub name: String,
    /// The module.
    pub path: PathBuf,
    bytes: usize,
    interfaces: Interfaces,
}

/// What Beadle reads off a plugin before any of it runs.
#[derive(Debug, Default, PartialEq, Eq)]
struct Interfaces {
    exports: Vec<String>,
    imports: Vec<String>,
}

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
    fs::create_dir_all(&folder).map_err(|error| failed("make", &folder, &error))?;
    names.into_iter().map(|name| place(name, &modules, &folder)).collect()
}

/// The plugins of the repository: the folders that are packages.
fn there(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).map_err(|error| failed("read", folder, &error))?;
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

/// Copies a module to where it is looked for, whole or not at all, and leaves it alone where it is the same: a daemon
/// that watches the folder has nothing to load then.
fn place(name: String, modules: &Path, folder: &Path) -> Result<Built> {
    let module = modules.join(format!("{}.wasm", name.replace('-', "_")));
    let bytes = fs::read(&module).map_err(|error| failed("read", &module, &error))?;
    let interfaces = interfaces(&bytes).map_err(|error| Failure::new(format!("{name} is no plugin: {error:#}")))?;
    let path = folder.join(format!("{name}.wasm"));
    if fs::read(&path).ok().as_deref() != Some(bytes.as_slice()) {
        let whole = folder.join(format!(".{name}.{}", std::process::id()));
        fs::write(&whole, &bytes).map_err(|error| failed("write", &whole, &error))?;
        fs::rename(&whole, &path).map_err(|error| failed("write", &path, &error))?;
    }
    Ok(Built { name, path, bytes: bytes.len(), interfaces })
}

/// What the module exports and imports as a component, as the daemon sees it.
fn interfaces(module: &[u8]) -> std::result::Result<Interfaces, Box<dyn std::error::Error>> {
    let component = ComponentEncoder::default().validate(true).module(module)?.encode()?;
    let DecodedWasm::Component(resolve, world) = wit_component::decode(&component)? else {
        return Err("it came out as a WIT package".into());
    };
    let Some(world) = resolve.worlds.get(world) else { return Err("it has no world".into()) };
    let names = |keys: &mut dyn Iterator<Item = String>| {
        let mut names: Vec<String> = keys.map(|name| short(&name).to_owned()).collect();
        names.sort();
        names
    };
    Ok(Interfaces {
        exports: names(&mut world.exports.keys().map(|key| resolve.name_world_key(key))),
        imports: names(&mut world.imports.keys().map(|key| resolve.name_world_key(key))),
    })
}

/// `on-message` for `beadle:plugin/on-message@0.1.0`; what is not the contract's keeps its whole name.
fn short(name: &str) -> &str {
    name.strip_prefix(CONTRACT).and_then(|name| name.split_once('@')).map_or(name, |(name, _)| name)
}

fn failed(verb: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot {verb} {}: {error}", path.display()))
}

impl fmt::Display for Built {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `types` and `outgoing` have no functions: they are no wishes. `about` is shown, it is no event.
        let list = |names: &[String], hidden: &[&str]| {
            let names: Vec<&str> = names.iter().map(String::as_str).filter(|name| !hidden.contains(name)).collect();
            if names.is_empty() { "none".to_owned() } else { names.join(" ") }
        };
        writeln!(f, "{:<12} {} kB  {}", self.name, self.bytes.div_ceil(1000), self.path.display())?;
        writeln!(f, "  events     {}", list(&self.interfaces.exports, &["about"]))?;
        write!(f, "  rights     {}", list(&self.interfaces.imports, &["types", "outgoing"]))
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

    #[test]
    fn the_contract_needs_no_full_name() {
        assert_eq!(short("beadle:plugin/on-message@0.1.0"), "on-message");
        assert_eq!(short("wasi:cli/environment@0.2.0"), "wasi:cli/environment@0.2.0");
    }

    #[test]
    fn what_is_no_module_is_told() {
        assert!(interfaces(b"no wasm").is_err());
        // A module without the contract's types would ask for everything and export nothing.
        assert_eq!(interfaces(b"\0asm\x01\0\0\0").unwrap(), Interfaces::default());
    }
}
