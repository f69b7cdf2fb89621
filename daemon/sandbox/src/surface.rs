//! What a plugin's bytes say about it before any of them run: its subscriptions, its capabilities, its API version.
//!
//! The whole file is parsed and validated first, so that a file cut short or bent is told as such, in our words, and
//! never reaches the compiler. Nothing here trusts a name that the plugin gives itself; only imports and exports count.

use crate::abi::{self, Version};
use crate::{LoadError, limits};
use beadle_model::EventKind;
use std::collections::BTreeSet;
use wasmparser::{BinaryReaderError, Encoding, Parser, Payload, Validator};
use wit_component::ComponentEncoder;

/// The capabilities of the contract that this Beadle knows.
pub const CAPABILITIES: [&str; 12] = [
    "settings",
    "clock",
    "random",
    "log",
    "state",
    "timers",
    "replies",
    "messages",
    "contacts",
    "documents",
    "media",
    "groups",
];
/// Interfaces of the contract that have only types, so importing them asks for nothing.
const TYPES: [&str; 2] = ["types", "outgoing"];
/// What WASI 0.2 is made of; all of it is linked, and none of it gives anything.
const WASI: [&str; 6] = ["cli", "clocks", "filesystem", "io", "random", "sockets"];
/// The WASI packages' version, up to the patch.
const WASI_VERSION: &str = "0.2.";
/// How a file begins that wasmtime compiled beforehand.
const ELF: &[u8] = b"\x7fELF";

/// What imports and exports say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surface {
    /// The version of the contract that it was built for.
    pub version: Version,
    /// Events that it exports.
    pub subscriptions: BTreeSet<EventKind>,
    /// Capabilities that it imports.
    pub capabilities: BTreeSet<&'static str>,
    /// It exports `about`.
    pub about: bool,
    /// It exports `migration`.
    pub migration: bool,
    /// Imports of `wasi:http`, whole: they refuse when called.
    pub http: Vec<String>,
}

/// The events that a plugin's file exports, without compiling it.
///
/// # Errors
/// Where it is no plugin.
pub fn subscriptions(bytes: &[u8]) -> Result<BTreeSet<EventKind>, LoadError> {
    read(&component(bytes)?).map(|surface| surface.subscriptions)
}

/// The bytes as a component, validated. A core module, as `cargo build` leaves it, is made one.
pub fn component(bytes: &[u8]) -> Result<Vec<u8>, LoadError> {
    if bytes.len() > limits::FILE_BYTES {
        return Err(LoadError::TooBig { bytes: bytes.len(), most: limits::FILE_BYTES });
    }
    if bytes.starts_with(ELF) {
        return Err(LoadError::Precompiled);
    }
    let is_module = match Parser::new(0).parse_all(bytes).next() {
        Some(Ok(Payload::Version { encoding, .. })) => encoding == Encoding::Module,
        _ => return Err(LoadError::NotWasm),
    };
    Validator::new().validate_all(bytes).map_err(damaged)?;
    if !is_module {
        return Ok(bytes.to_vec());
    }
    if !Parser::new(0).parse_all(bytes).any(|payload| payload.is_ok_and(|payload| describes(&payload))) {
        return Err(LoadError::NotAPlugin { what: "it does not say what it exports and imports".into() });
    }
    let encoded = ComponentEncoder::default().module(bytes).and_then(|encoder| encoder.validate(true).encode());
    encoded.map_err(|error| LoadError::NotAPlugin { what: format!("{error:#}") })
}

/// The section in which a plugin's SDK wrote down its world.
fn describes(payload: &Payload<'_>) -> bool {
    matches!(payload, Payload::CustomSection(section) if section.name().starts_with("component-type"))
}

fn damaged(error: BinaryReaderError) -> LoadError {
    LoadError::Damaged { what: error.to_string() }
}

/// Reads the surface of a valid component.
pub fn read(component: &[u8]) -> Result<Surface, LoadError> {
    let version = version(component)?;
    let mut surface = Surface {
        version,
        subscriptions: BTreeSet::new(),
        capabilities: BTreeSet::new(),
        about: false,
        migration: false,
        http: vec![],
    };
    names(component, |name, is_import| if is_import { surface.import(name) } else { surface.export(name) })?;
    if surface.subscriptions.is_empty() {
        return Err(LoadError::NoEvents);
    }
    Ok(surface)
}

/// Gives each name that the component as a whole imports (`true`) or exports.
fn names(component: &[u8], mut each: impl FnMut(&str, bool) -> Result<(), LoadError>) -> Result<(), LoadError> {
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(damaged)? {
            // What is nested speaks to the component around it, not to us.
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(imports) if depth == 1 => {
                for import in imports {
                    let import = import.map_err(damaged)?;
                    each(import.name.name, true)?;
                }
            }
            Payload::ComponentExportSection(exports) if depth == 1 => {
                for export in exports {
                    let export = export.map_err(damaged)?;
                    each(export.name.name, false)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The version of the contract that all its interfaces are of. One that we do not speak is told before anything else is
/// said of the plugin, with its newest interface: that is what decides on which Beadle it runs.
fn version(component: &[u8]) -> Result<Version, LoadError> {
    let mut found: Vec<(String, String)> = Vec::new();
    names(component, |name, _| {
        if let Some((interface, version)) = ours(name) {
            found.push((version.into(), interface.into()));
        }
        Ok(())
    })?;
    let newest = found.iter().max_by_key(|(version, _)| abi::numbers(version));
    let Some((wants, interface)) = newest else { return Err(LoadError::NoEvents) };
    let Some(version) = Version::named(wants) else {
        return Err(LoadError::ApiVersion { interface: interface.clone(), wants: wants.clone() });
    };
    match found.iter().find(|(other, _)| other != wants) {
        Some((other, interface)) => {
            let (first, second) = (wants.clone(), other.clone());
            Err(LoadError::MixedVersions { interface: interface.clone(), first, second })
        }
        None => Ok(version),
    }
}

impl Surface {
    fn import(&mut self, name: &str) -> Result<(), LoadError> {
        if let Some((interface, _)) = ours(name) {
            if let Some(capability) = CAPABILITIES.into_iter().find(|capability| *capability == interface) {
                self.capabilities.insert(capability);
            } else if !TYPES.contains(&interface) {
                return Err(LoadError::UnknownImport { import: name.into() });
            }
            return Ok(());
        }
        match wasi(name) {
            Some("http") => self.http.push(name.into()),
            Some(package) if WASI.contains(&package) => {}
            _ => return Err(LoadError::UnknownImport { import: name.into() }),
        }
        Ok(())
    }

    fn export(&mut self, name: &str) -> Result<(), LoadError> {
        let Some((interface, _)) = ours(name) else {
            // What else a tool-chain exports (`wasi:cli/run`, …) is nobody's business.
            return Ok(());
        };
        if interface == "about" {
            self.about = true;
        } else if interface == "migration" {
            self.migration = true;
        } else if let Some(kind) = EventKind::ALL.into_iter().find(|kind| kind.interface() == Some(interface)) {
            self.subscriptions.insert(kind);
        } else if !TYPES.contains(&interface) {
            return Err(LoadError::UnknownEvent { export: name.into() });
        }
        Ok(())
    }
}

/// The interface that `name` is of our contract, and its version; none where it is another package's.
fn ours(name: &str) -> Option<(&str, &str)> {
    let rest = name.strip_prefix("beadle:plugin/")?;
    Some(rest.split_once('@').unwrap_or((rest, "no version")))
}

/// The package that `name` is of WASI 0.2; none where it is something else.
fn wasi(name: &str) -> Option<&str> {
    let (package, rest) = name.strip_prefix("wasi:")?.split_once('/')?;
    let (_, version) = rest.split_once('@')?;
    version.starts_with(WASI_VERSION).then_some(package)
}
