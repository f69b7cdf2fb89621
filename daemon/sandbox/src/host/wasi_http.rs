//! `wasi:http` for toolchains that always import it (JavaScript): it links, and every call ends the
//! handling with a trap.
//!
//! The functions are created from the component's own imports, whatever patch version of 0.2 they
//! have. Types that they use from `wasi:io` must be those that are linked there; resources of
//! `wasi:http` itself never exist.

use super::answer::Stop;
use super::host_state::HostState;
use wasmtime::Engine;
use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::component::{Component, Linker, ResourceType};
use wasmtime_wasi::p2::bindings::io;

/// The type of every resource of `wasi:http`.
struct Nothing;

/// A type of `wasi:io` as the component has it, and as it is linked.
type Shared = (ResourceType, ResourceType);

/// Defines the given imports of `wasi:http`.
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
        .flat_map(|(_, instance)| shared_resources(&engine, &instance))
        .collect();
    for (name, instance) in instances().filter(|(name, _)| imports.iter().any(|import| import == name)) {
        refuse_instance(linker, name, &instance, &shared)?;
    }
    Ok(())
}

fn shared_resources(engine: &Engine, instance: &ComponentInstance) -> Vec<Shared> {
    let types = instance.exports(engine).filter_map(|(name, item)| match item.ty {
        ComponentItem::Resource(theirs) => Some((theirs, linked_resource(name)?)),
        _ => None,
    });
    types.collect()
}

fn linked_resource(name: &str) -> Option<ResourceType> {
    Some(match name {
        "error" => ResourceType::host::<io::error::Error>(),
        "pollable" => ResourceType::host::<io::poll::Pollable>(),
        "input-stream" => ResourceType::host::<io::streams::InputStream>(),
        "output-stream" => ResourceType::host::<io::streams::OutputStream>(),
        _ => return None,
    })
}

fn refuse_instance(
    linker: &mut Linker<HostState>,
    name: &str,
    instance: &ComponentInstance,
    shared: &[Shared],
) -> wasmtime::Result<()> {
    let engine = linker.engine().clone();
    let mut linked = linker.instance(name)?;
    for (export, item) in instance.exports(&engine) {
        match item.ty {
            ComponentItem::ComponentFunc(_) => {
                let function = format!("{name}#{export}");
                linked.func_new(export, move |_, _, _, _| Err(Stop::Http(function.clone()).into()))?;
            }
            ComponentItem::Resource(theirs) => {
                let known = shared.iter().find(|(shared, _)| *shared == theirs).map(|(_, ours)| *ours);
                linked.resource(export, known.unwrap_or_else(ResourceType::host::<Nothing>), |_, _| Ok(()))?;
            }
            _ => {}
        }
    }
    Ok(())
}
