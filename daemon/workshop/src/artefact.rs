//! What a build leaves, put where it is looked for, and what Beadle will read off it.
//!
//! What cargo leaves, a core module, is what the daemon takes; it is only copied, under the plugin's name. It is made a
//! component here too, but only to show its author what Beadle will see: the events that it exports and the capabilities that
//! it imports.

use crate::shell::{Failure, Result};
use std::path::{Path, PathBuf};
use std::{fmt, fs};
use wit_component::{ComponentEncoder, DecodedWasm};

/// The package of the contract, as it stands before each interface's name.
const CONTRACT: &str = "beadle:plugin/";

/// A plugin that was built.
#[derive(Debug)]
pub struct Built {
    /// Its name: the file's stem.
    pub name: String,
    /// The module.
    pub path: PathBuf,
    /// Its size.
    pub bytes: usize,
    /// It differs from what lay there before.
    pub is_new: bool,
    interfaces: Interfaces,
}

/// What Beadle reads off a plugin before any of it runs.
#[derive(Debug, Default, PartialEq, Eq)]
struct Interfaces {
    exports: Vec<String>,
    imports: Vec<String>,
}

/// Copies a module to where it is looked for, whole or not at all, and leaves it alone where it is the same: a daemon
/// that watches the folder has nothing to load then.
///
/// `module`: what cargo left. `folder`: made where it is not there. What is no plugin is an error, and nothing is copied.
pub fn place(name: &str, module: &Path, folder: &Path) -> Result<Built> {
    let bytes = fs::read(module).map_err(|error| failed("read", module, &error))?;
    fs::create_dir_all(folder).map_err(|error| failed("make", folder, &error))?;
    let interfaces = interfaces(&bytes).map_err(|error| Failure::new(format!("{name} is no plugin: {error:#}")))?;
    let path = folder.join(format!("{name}.wasm"));
    let is_new = fs::read(&path).ok().as_deref() != Some(bytes.as_slice());
    if is_new {
        let whole = folder.join(format!(".{name}.{}", std::process::id()));
        fs::write(&whole, &bytes).map_err(|error| failed("write", &whole, &error))?;
        fs::rename(&whole, &path).map_err(|error| failed("write", &path, &error))?;
    }
    Ok(Built { name: name.to_owned(), path, bytes: bytes.len(), is_new, interfaces })
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

pub(crate) fn failed(verb: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot {verb} {}: {error}", path.display()))
}

impl fmt::Display for Built {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `types` and `outgoing` have no functions: they are no capabilities. `about` is shown, it is no event.
        let list = |names: &[String], hidden: &[&str]| {
            let names: Vec<&str> = names.iter().map(String::as_str).filter(|name| !hidden.contains(name)).collect();
            if names.is_empty() { "none".to_owned() } else { names.join(" ") }
        };
        writeln!(f, "{:<12} {} kB  {}", self.name, self.bytes.div_ceil(1000), self.path.display())?;
        writeln!(f, "  events        {}", list(&self.interfaces.exports, &["about"]))?;
        write!(f, "  capabilities  {}", list(&self.interfaces.imports, &["types", "outgoing"]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
