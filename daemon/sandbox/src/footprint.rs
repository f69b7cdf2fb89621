//! What a fresh instance of a component costs besides its memories: instances and their metadata.
//!
//! Neither the memory limit nor the CPU limit covers this: wasmtime allocates it itself, and
//! compiling expands nested instantiations. A file of 2 KB whose components instantiate each other
//! can ask for millions of instances. So the cost is computed from the file, in time proportional
//! to its size, before it is compiled: every definition is measured once, and an instantiation adds
//! the measure of what it instantiates.

use crate::error::LoadError;
use crate::limits;
use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, ComponentTypeRef, ElementItems,
    Encoding, Instance, Parser, Payload, TypeRef,
};

/// Metadata of an instance of a module without globals and functions.
const INSTANCE_BYTES: u64 = 2048;
/// A global.
const GLOBAL_BYTES: u64 = 16;
/// An imported function, or one that can be referred to.
const FUNCTION_BYTES: u64 = 40;

/// The cost of one instantiation. Additions saturate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Instances of modules and of components.
    pub instances: u64,
    /// Metadata of the instances.
    pub bytes: u64,
}

impl Footprint {
    /// Of something that is not defined in the file. Components of supported toolchains do not
    /// instantiate such things, so it counts as too much.
    const UNKNOWN: Self = Self { instances: u64::MAX, bytes: u64::MAX };

    fn add(&mut self, other: Self) {
        self.instances = self.instances.saturating_add(other.instances);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// Measures a valid component.
///
/// # Errors
/// If it needs more instances than [`limits::INSTANCES`].
pub fn measure(component: &[u8]) -> Result<Footprint, LoadError> {
    let footprint = walk(component).map_err(|error| LoadError::Damaged { reason: error.to_string() })?;
    if footprint.instances > limits::INSTANCES {
        return Err(LoadError::TooComplex { instances: footprint.instances, max: limits::INSTANCES });
    }
    Ok(footprint)
}

/// A module or component that is being read.
enum Frame {
    Module { globals: u64, imported: u64, defined: u64, referred: u64 },
    Component { modules: Vec<Footprint>, components: Vec<Footprint>, cost: Footprint },
}

impl Frame {
    fn new(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Module => Frame::Module { globals: 0, imported: 0, defined: 0, referred: 0 },
            Encoding::Component => {
                let cost = Footprint { instances: 1, bytes: INSTANCE_BYTES };
                Frame::Component { modules: vec![], components: vec![], cost }
            }
        }
    }

    /// The cost of instantiating it.
    fn cost(&self) -> Footprint {
        match self {
            Frame::Module { globals, imported, defined, referred } => {
                let functions = imported.saturating_add((*referred).min(*defined));
                let bytes = INSTANCE_BYTES
                    .saturating_add(globals.saturating_mul(GLOBAL_BYTES))
                    .saturating_add(functions.saturating_mul(FUNCTION_BYTES));
                Footprint { instances: 1, bytes }
            }
            Frame::Component { cost, .. } => *cost,
        }
    }

    /// A definition of this component, by its index.
    fn definition(&self, is_module: bool, index: u32) -> Footprint {
        let Frame::Component { modules, components, .. } = self else { return Footprint::UNKNOWN };
        let definitions = if is_module { modules } else { components };
        definitions.get(index as usize).copied().unwrap_or(Footprint::UNKNOWN)
    }

    fn define(&mut self, is_module: bool, footprint: Footprint) {
        if let Frame::Component { modules, components, .. } = self {
            if is_module { modules.push(footprint) } else { components.push(footprint) }
        }
    }

    fn instantiate(&mut self, is_module: bool, index: u32) {
        let footprint = self.definition(is_module, index);
        if let Frame::Component { cost, .. } = self {
            cost.add(footprint);
        }
    }
}

fn walk(component: &[u8]) -> wasmparser::Result<Footprint> {
    let mut frames: Vec<Frame> = Vec::new();
    for payload in Parser::new(0).parse_all(component) {
        match payload? {
            Payload::Version { encoding, .. } => frames.push(Frame::new(encoding)),
            Payload::End(_) => {
                let Some(ended) = frames.pop() else { break };
                let Some(parent) = frames.last_mut() else { return Ok(ended.cost()) };
                parent.define(matches!(ended, Frame::Module { .. }), ended.cost());
            }
            payload => match frames.last() {
                Some(Frame::Module { .. }) => read_module(&payload, frames.last_mut())?,
                Some(Frame::Component { .. }) => read_component(payload, &mut frames)?,
                None => {}
            },
        }
    }
    Ok(Footprint::UNKNOWN)
}

fn read_module(payload: &Payload<'_>, frame: Option<&mut Frame>) -> wasmparser::Result<()> {
    let Some(Frame::Module { globals, imported, defined, referred }) = frame else { return Ok(()) };
    match payload {
        Payload::ImportSection(section) => {
            for import in section.clone().into_imports() {
                match import?.ty {
                    TypeRef::Global(_) => *globals += 1,
                    TypeRef::Func(_) => *imported += 1,
                    _ => {}
                }
            }
        }
        Payload::FunctionSection(section) => *defined += u64::from(section.count()),
        Payload::GlobalSection(section) => *globals += u64::from(section.count()),
        Payload::ExportSection(section) => *referred += u64::from(section.count()),
        Payload::ElementSection(section) => {
            for element in section.clone() {
                *referred += u64::from(match element?.items {
                    ElementItems::Functions(items) => items.count(),
                    ElementItems::Expressions(_, items) => items.count(),
                });
            }
        }
        _ => {}
    }
    Ok(())
}

fn read_component(payload: Payload<'_>, frames: &mut [Frame]) -> wasmparser::Result<()> {
    let Some((current, outer)) = frames.split_last_mut() else { return Ok(()) };
    match payload {
        Payload::InstanceSection(section) => {
            for instance in section {
                if let Instance::Instantiate { module_index, .. } = instance? {
                    current.instantiate(true, module_index);
                }
            }
        }
        Payload::ComponentInstanceSection(section) => {
            for instance in section {
                if let ComponentInstance::Instantiate { component_index, .. } = instance? {
                    current.instantiate(false, component_index);
                }
            }
        }
        Payload::ComponentAliasSection(section) => {
            for alias in section {
                match alias? {
                    ComponentAlias::Outer { kind, count, index } => {
                        let is_module = match kind {
                            ComponentOuterAliasKind::CoreModule => true,
                            ComponentOuterAliasKind::Component => false,
                            _ => continue,
                        };
                        let definition = match (count as usize).checked_sub(1) {
                            None => current.definition(is_module, index),
                            Some(up) => outer
                                .iter()
                                .rev()
                                .nth(up)
                                .map_or(Footprint::UNKNOWN, |frame| frame.definition(is_module, index)),
                        };
                        current.define(is_module, definition);
                    }
                    ComponentAlias::InstanceExport { kind: ComponentExternalKind::Module, .. } => {
                        current.define(true, Footprint::UNKNOWN);
                    }
                    ComponentAlias::InstanceExport { kind: ComponentExternalKind::Component, .. } => {
                        current.define(false, Footprint::UNKNOWN);
                    }
                    _ => {}
                }
            }
        }
        Payload::ComponentImportSection(section) => {
            for import in section {
                match import?.ty {
                    ComponentTypeRef::Module(_) => current.define(true, Footprint::UNKNOWN),
                    ComponentTypeRef::Component(_) => current.define(false, Footprint::UNKNOWN),
                    _ => {}
                }
            }
        }
        // An exported definition gets an index of its own.
        Payload::ComponentExportSection(section) => {
            for export in section {
                let export = export?;
                let is_module = match export.kind {
                    ComponentExternalKind::Module => true,
                    ComponentExternalKind::Component => false,
                    _ => continue,
                };
                let definition = current.definition(is_module, export.index);
                current.define(is_module, definition);
            }
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(text: &str) -> Result<Footprint, LoadError> {
        measure(&wat::parse_str(text).unwrap())
    }

    #[test]
    fn instances_are_counted_through_nested_components() {
        let text = "(component
            (core module $m (global i32 (i32.const 0)))
            (component $inner
                (alias outer 1 $m (core module $m))
                (core instance (instantiate $m)) (core instance (instantiate $m)))
            (instance (instantiate $inner)) (instance (instantiate $inner)) (instance (instantiate $inner)))";
        // The outermost, three inner ones, six modules.
        assert_eq!(component(text).unwrap().instances, 10);
    }

    #[test]
    fn exponential_instantiation_is_refused_without_expanding_it() {
        let mut text = "(component $c0)".to_owned();
        for level in 1..60 {
            let below = level - 1;
            let two = format!("(instance (instantiate $c{below}))").repeat(2);
            text += &format!("(component $c{level} (alias outer 1 $c{below} (component $c{below})) {two})");
        }
        let error = component(&format!("(component {text} (instance (instantiate $c59)))")).unwrap_err();
        assert!(matches!(error, LoadError::TooComplex { .. }), "{error}");
    }

    #[test]
    fn globals_and_functions_are_metadata() {
        let globals = "(global i32 (i32.const 0))".repeat(1000);
        let one = component(&format!("(component (core module $m {globals}) (core instance (instantiate $m)))"));
        assert!(one.unwrap().bytes >= 16_000);
        let imported = r#"(import "a" "b" (func))"#.repeat(1000);
        let module = format!(
            r#"(core module $a (func (export "b"))) (core instance $a (instantiate $a))
            (core module $m {imported}) (core instance (instantiate $m (with "a" (instance $a))))"#
        );
        assert!(component(&format!("(component {module})")).unwrap().bytes >= 40_000);
        // In an element segment, so that they can be called through a table.
        let referred = format!("(func $f) {} (elem declare func $f)", "(func)".repeat(999));
        let exported: String = (0..1000).map(|n| format!(r#"(func (export "f{n}"))"#)).collect();
        for (functions, expected) in [(referred, FUNCTION_BYTES), (exported, 1000 * FUNCTION_BYTES)] {
            let text = format!("(component (core module $m {functions}) (core instance (instantiate $m)))");
            assert_eq!(component(&text).unwrap().bytes, 2 * INSTANCE_BYTES + expected);
        }
        let defined_only = component("(component (core module $m (func)))").unwrap();
        assert_eq!(defined_only, Footprint { instances: 1, bytes: INSTANCE_BYTES });
    }

    #[test]
    fn imported_components_count_as_too_much() {
        let text = "(component (import \"c\" (component $c)) (instance (instantiate $c)))";
        assert!(matches!(component(text), Err(LoadError::TooComplex { .. })));
    }
}
