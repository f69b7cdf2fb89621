//! Plugins in WebAssembly text, for what no compiler produces: one whose start function never ends,
//! one that takes seconds to compile, one that requests an unknown interface.
//!
//! They are core modules with the component metadata that `cargo build` also embeds.

use std::fmt::Write as _;
use std::path::Path;
use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A plugin that exports `on-message`. `items` are more module fields (functions, tables, a start),
/// `handle` is the body of its handler (empty: it passes), `world` are more imports and exports in
/// WIT.
pub fn guest(items: &str, handle: &str, world: &str) -> Vec<u8> {
    // The memory at this address is zero, which is `ok(pass)`.
    let handle = if handle.is_empty() { "(i32.const 16)" } else { handle };
    let text = format!(
        r#"(module
            (memory (export "memory") 2)
            (global $heap (mut i32) (i32.const 65536))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
                (global.set $heap (i32.add (local.get $at) (local.get 3)))
                (local.get $at))
            {items}
            (func (export "beadle:plugin/on-message@0.1.0#handle") (param $event i32) (result i32) {handle})
            (func (export "cabi_post_beadle:plugin/on-message@0.1.0#handle") (param i32)
                (global.set $heap (i32.const 65536))))"#
    );
    let mut module = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"));
    let mut resolve = Resolve::default();
    let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugin-api/wit/since-v0.1.0");
    resolve.push_dir(&contract).unwrap_or_else(|error| panic!("{error:#}"));
    let wit = format!("package test:guest;\nworld guest {{ {world} export beadle:plugin/on-message@0.1.0; }}");
    let package = resolve.push_str("guest.wit", &wit).unwrap_or_else(|error| panic!("{error:#}\n{wit}"));
    let world = resolve.select_world(&[package], None).unwrap_or_else(|error| panic!("{error:#}"));
    let embedded = embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8);
    embedded.unwrap_or_else(|error| panic!("{error:#}"));
    module
}

/// A plugin whose compilation takes seconds: some hundred thousand instructions without effect.
pub fn heavy() -> Vec<u8> {
    heavy_with(600)
}

/// The same with this many functions.
pub fn heavy_with(functions: u32) -> Vec<u8> {
    let mut items = String::new();
    for function in 0..functions {
        let _ = write!(items, "(func (export \"f{function}\") (param i32) (result i32) (local.get 0)");
        for n in 0..700 {
            let _ = write!(items, "(i32.const {n})(i32.add)(i32.const {})(i32.mul)", function + n);
        }
        items.push(')');
    }
    guest(&items, "", "")
}
