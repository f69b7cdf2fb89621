//! What a plugin's file says about the plugin before any of it runs: subscriptions, requested
//! capabilities, and the version of the contract.
//!
//! The whole file is parsed and validated first, so that a truncated or corrupted file is reported
//! as such and never reaches the compiler. Only imports and exports count; names that the plugin
//! gives itself are not used.

use crate::error::LoadError;
use crate::limits;
use crate::version::{self, Version};
use beadle_model::EventKind;
use std::collections::BTreeSet;
use wasmparser::{BinaryReaderError, Encoding, Parser, Payload, Validator};
use wit_component::ComponentEncoder;

/// The capabilities of the contract.
pub const CAPABILITIES: [&str; 19] = [
    "settings",
    "clock",
    "random",
    "log",
    "state",
    "timers",
    "replies",
    "messages",
    "contacts",
    "contacts-identity",
    "contacts-edit",
    "consents",
    "segments",
    "broadcasts",
    "documents",
    "media",
    "groups",
    "http",
    "requests",
];
/// Interfaces of the contract that have only types: importing them requests nothing.
const TYPES: [&str; 2] = ["types", "outgoing"];
/// The packages of WASI 0.2 that are linked besides `wasi:http`. None of them grants access to
/// anything.
const WASI: [&str; 6] = ["cli", "clocks", "filesystem", "io", "random", "sockets"];
/// What is linked of `wasi:http`.
const WASI_HTTP: [&str; 2] = ["wasi:http/types@", "wasi:http/outgoing-handler@"];
/// The version of the WASI packages, without the patch number.
const WASI_VERSION: &str = "0.2.";
/// The first bytes of a file that wasmtime compiled.
const ELF: &[u8] = b"\x7fELF";

/// The imports and exports of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surface {
    /// The version of the contract that it was built for.
    pub version: Version,
    /// The events that it exports.
    pub subscriptions: BTreeSet<EventKind>,
    /// The capabilities that it imports.
    pub capabilities: BTreeSet<&'static str>,
    /// It exports `about`.
    pub about: bool,
    /// It exports `migration`.
    pub migration: bool,
}

/// The events that a plugin's file exports. Does not compile the file.
///
/// # Errors
/// If the file is not a plugin.
pub fn subscriptions(bytes: &[u8]) -> Result<BTreeSet<EventKind>, LoadError> {
    read(&component(bytes)?).map(|surface| surface.subscriptions)
}

/// Validates the file and returns it as a component. A core module as produced by `cargo build` is
/// converted.
pub fn component(bytes: &[u8]) -> Result<Vec<u8>, LoadError> {
    if bytes.len() > limits::FILE_BYTES {
        return Err(LoadError::TooBig { bytes: bytes.len(), max: limits::FILE_BYTES });
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
        return Err(LoadError::NotAPlugin { reason: "it does not describe its imports and exports".into() });
    }
    let encoded = ComponentEncoder::default().module(bytes).and_then(|encoder| encoder.validate(true).encode());
    encoded.map_err(|error| LoadError::NotAPlugin { reason: format!("{error:#}") })
}

/// Whether this is the section in which the SDK describes the plugin's world.
fn describes(payload: &Payload<'_>) -> bool {
    matches!(payload, Payload::CustomSection(section) if section.name().starts_with("component-type"))
}

fn damaged(error: BinaryReaderError) -> LoadError {
    LoadError::Damaged { reason: error.to_string() }
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
    };
    names(component, |name, is_import| if is_import { surface.import(name) } else { surface.export(name) })?;
    if surface.subscriptions.is_empty() {
        return Err(LoadError::NoEvents);
    }
    Ok(surface)
}

/// Calls `each` with every name that the outermost component imports (`true`) or exports (`false`).
fn names(component: &[u8], mut each: impl FnMut(&str, bool) -> Result<(), LoadError>) -> Result<(), LoadError> {
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(damaged)? {
            // Imports and exports of nested components are resolved by the components around them.
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

/// The version of the contract that all its interfaces have. An unsupported version is reported
/// before anything else, by the newest interface: that one decides which Beadle the plugin needs.
fn version(component: &[u8]) -> Result<Version, LoadError> {
    let mut found: Vec<(String, String)> = Vec::new();
    names(component, |name, _| {
        if let Some((interface, version)) = contract(name) {
            found.push((version.into(), interface.into()));
        }
        Ok(())
    })?;
    let newest = found.iter().max_by_key(|(version, _)| version::numbers(version));
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
        if let Some((interface, _)) = contract(name) {
            if let Some(capability) = CAPABILITIES.into_iter().find(|capability| *capability == interface) {
                self.capabilities.insert(capability);
            } else if !TYPES.contains(&interface) {
                return Err(LoadError::UnknownImport { import: name.into() });
            }
            return Ok(());
        }
        match wasi(name) {
            Some("http") if WASI_HTTP.iter().any(|interface| name.starts_with(interface)) => {}
            Some(package) if WASI.contains(&package) => {}
            _ => return Err(LoadError::UnknownImport { import: name.into() }),
        }
        Ok(())
    }

    fn export(&mut self, name: &str) -> Result<(), LoadError> {
        let Some((interface, _)) = contract(name) else {
            // Toolchains export more (`wasi:cli/run`, …), which is never called.
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

/// The interface and version of a name of the contract; none for a name of another package.
fn contract(name: &str) -> Option<(&str, &str)> {
    let rest = name.strip_prefix("beadle:plugin/")?;
    Some(rest.split_once('@').unwrap_or((rest, "no version")))
}

/// The package of a name of WASI 0.2; none for any other name.
fn wasi(name: &str) -> Option<&str> {
    let (package, rest) = name.strip_prefix("wasi:")?.split_once('/')?;
    let (_, version) = rest.split_once('@')?;
    version.starts_with(WASI_VERSION).then_some(package)
}
