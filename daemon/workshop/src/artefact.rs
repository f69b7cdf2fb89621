//! Copies the module that a build made into the plugin folder, and lists its exports and imports.
//!
//! The daemon loads the core module that cargo makes, so the module is copied unchanged, under the
//! plugin's name. We also convert it to a component, but only to show the author what Beadle will
//! see: the events that the plugin exports and the capabilities that it imports.

use crate::shell::{Failure, Result};
use std::path::{Path, PathBuf};
use std::{fmt, fs};
use wit_component::{ComponentEncoder, DecodedWasm};

/// The prefix of the name of each interface in the contract.
const CONTRACT: &str = "beadle:plugin/";

/// A plugin that was built.
#[derive(Debug)]
pub struct Built {
    /// The plugin's name: the file name without its extension.
    pub name: String,
    /// Path of the copied module.
    pub path: PathBuf,
    /// Size of the module in bytes.
    pub bytes: usize,
    /// True if the module differs from the one that was there before.
    pub is_new: bool,
    interfaces: Interfaces,
}

/// The interfaces of a plugin, which Beadle reads before it runs any of the plugin's code.
#[derive(Debug, Default, PartialEq, Eq)]
struct Interfaces {
    exports: Vec<String>,
    imports: Vec<String>,
}

/// Copies a module into the plugin folder as `NAME.wasm`, by a rename, so that no half-written file
/// is ever visible. A file that is already the same is not written, so a daemon that watches the
/// folder loads nothing.
///
/// `module` is the file that cargo made. `folder` is created if it does not exist. If the module is
/// not a plugin, this returns an error and copies nothing.
pub fn place(name: &str, module: &Path, folder: &Path) -> Result<Built> {
    let bytes = fs::read(module).map_err(|error| failed("read", module, &error))?;
    fs::create_dir_all(folder).map_err(|error| failed("make", folder, &error))?;
    let interfaces = interfaces(&bytes).map_err(|error| Failure::new(format!("{name} is not a plugin: {error:#}")))?;
    let path = folder.join(format!("{name}.wasm"));
    let is_new = fs::read(&path).ok().as_deref() != Some(bytes.as_slice());
    if is_new {
        let temporary = folder.join(format!(".{name}.{}", std::process::id()));
        fs::write(&temporary, &bytes).map_err(|error| failed("write", &temporary, &error))?;
        fs::rename(&temporary, &path).map_err(|error| failed("write", &path, &error))?;
    }
    Ok(Built { name: name.to_owned(), path, bytes: bytes.len(), is_new, interfaces })
}

/// Converts the module to a component and reads its exports and imports, as the daemon does.
fn interfaces(module: &[u8]) -> std::result::Result<Interfaces, Box<dyn std::error::Error>> {
    let component = ComponentEncoder::default().validate(true).module(module)?.encode()?;
    let DecodedWasm::Component(resolve, world) = wit_component::decode(&component)? else {
        return Err("the module was converted to a WIT package".into());
    };
    let Some(world) = resolve.worlds.get(world) else { return Err("the component has no world".into()) };
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

/// Shortens `beadle:plugin/on-message@0.1.0` to `on-message`. Names outside the contract are not
/// changed.
fn short(name: &str) -> &str {
    name.strip_prefix(CONTRACT).and_then(|name| name.split_once('@')).map_or(name, |(name, _)| name)
}

pub(crate) fn failed(verb: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot {verb} {}: {error}", path.display()))
}

impl fmt::Display for Built {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `types` and `outgoing` have no functions, so they are not capabilities. `about` is not an
        // event.
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
    fn only_contract_names_are_shortened() {
        assert_eq!(short("beadle:plugin/on-message@0.1.0"), "on-message");
        assert_eq!(short("wasi:cli/environment@0.2.0"), "wasi:cli/environment@0.2.0");
    }

    #[test]
    fn bytes_that_are_not_a_module_are_an_error() {
        assert!(interfaces(b"no wasm").is_err());
        // A module without the contract's custom sections is a component without exports and
        // imports.
        assert_eq!(interfaces(b"\0asm\x01\0\0\0").unwrap(), Interfaces::default());
    }
}
