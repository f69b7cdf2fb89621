//! `wasi:http` for tool-chains that bring it along (JavaScript): it links, and refuses when called.
//!
//! Its functions are made from what the component says it imports, whatever their version of 0.2 has. Types that it has
//! from `wasi:io` must be the very ones that are linked there; its own are types of which there never is one.

use super::{HostState, Stop};
use wasmtime::Engine;
use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::component::{Component, Linker, ResourceType};
use wasmtime_wasi::p2::bindings::io;

/// Whatever `wasi:http` calls a resource.
struct Nothing;

/// A type of `wasi:io` as the component names it, and as we have it.
type Shared = (ResourceType, ResourceType);

/// Defines these imports so that the component links, and a call of them ends the plugin's call.
pub fn refuse_http(linker: &mut Linker<HostState>, component: &Component, imports: &[String]) -> wasmtime::Result<()> {
    let engine = linker.engine().clone();
    let component = component.component_type();
    let instances = || {
        component.imports(&engine).filter_map(|(name, import)| match import.ty {
            ComponentItem::ComponentInstance(instance) => Some((name, instance)),
            _ => None,
        })
    };
    let shared: Vec<Shared> = instances()
        .filter(|(name, _)| name.starts_with("wasi:io/"))
        .flat_map(|(_, instance)| shared(&engine, &instance))
        .collect();
    for (name, instance) in instances().filter(|(name, _)| imports.iter().any(|import| import == name)) {
        refuse_all(linker, name, &instance, &shared)?;
    }
    Ok(())
}

fn shared(engine: &Engine, instance: &ComponentInstance) -> Vec<Shared> {
    let types = instance.exports(engine).filter_map(|(name, item)| match item.ty {
        ComponentItem::Resource(theirs) => Some((theirs, ours(name)?)),
        _ => None,
    });
    types.collect()
}

fn ours(name: &str) -> Option<ResourceType> {
    Some(match name {
        "error" => ResourceType::host::<io::error::Error>(),
        "pollable" => ResourceType::host::<io::poll::Pollable>(),
        "input-stream" => ResourceType::host::<io::streams::InputStream>(),
        "output-stream" => ResourceType::host::<io::streams::OutputStream>(),
        _ => return None,
    })
}

fn refuse_all(
    linker: &mut Linker<HostState>,
    name: &str,
    instance: &ComponentInstance,
    shared: &[Shared],
) -> wasmtime::Result<()> {
    let engine = linker.engine().clone();
    let mut into = linker.instance(name)?;
    for (export, item) in instance.exports(&engine) {
        match item.ty {
            ComponentItem::ComponentFunc(_) => {
                let what = format!("{name}#{export}");
                into.func_new(export, move |_, _, _, _| Err(Stop::Http(what.clone()).into()))?;
            }
            ComponentItem::Resource(theirs) => {
                let known = shared.iter().find(|(shared, _)| *shared == theirs).map(|(_, ours)| *ours);
                into.resource(export, known.unwrap_or_else(ResourceType::host::<Nothing>), |_, _| Ok(()))?;
            }
            _ => {}
        }
    }
    Ok(())
}
