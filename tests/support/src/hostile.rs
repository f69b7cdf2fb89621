//! Plugins that are hostile by their file: what they do happens when they are read, compiled or
//! instantiated. Those that are hostile when they run are in `plugins/tests/probe` and
//! `plugins/tests/bomber`.

use crate::guest::{guest, heavy};
use std::fmt::Write as _;

/// The text of a component that exports `on-message` as far as one can see without compiling it.
fn component(items: &str) -> Vec<u8> {
    let text = format!(
        r#"(component {items}
            (component $nothing) (instance $handler (instantiate $nothing))
            (export "beadle:plugin/on-message@0.1.0" (instance $handler)))"#
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"))
}

/// A small file whose components instantiate each other: four million instances.
pub fn instances() -> Vec<u8> {
    let mut items = String::from("(component $c0)");
    for level in 1..=3 {
        let below = level - 1;
        let inner = format!("(instance (instantiate $c{below}))").repeat(160);
        let _ = write!(items, "(component $c{level} (alias outer 1 $c{below} (component $c{below})) {inner})");
    }
    component(&format!("{items} (instance (instantiate $c3))"))
}

/// Three hundred instances of a module with a hundred thousand globals: 480 MB of metadata.
pub fn globals() -> Vec<u8> {
    let globals = "(global i32 (i32.const 0))".repeat(100_000);
    let instances = "(core instance (instantiate $m))".repeat(300);
    component(&format!("(core module $m {globals}) {instances}"))
}

/// Forty exports whose names have almost a hundred kilobytes each, as much as a parser reads.
pub fn names() -> Vec<u8> {
    let mut items = String::new();
    for number in 0..40 {
        let _ = write!(items, r#"(func (export "{number}{}"))"#, "n".repeat(99_000));
    }
    guest(&items, "", "")
}

/// A file that keeps the compiler busy for seconds.
pub fn compilation() -> Vec<u8> {
    heavy()
}

/// A loop without end while an instance is created.
pub fn start() -> Vec<u8> {
    guest("(func $start (loop $on (br $on))) (start $start)", "", "")
}

/// A table that grows until it may not.
pub fn table() -> Vec<u8> {
    let grow =
        "(loop $on (br_if $on (i32.ne (table.grow $t (ref.null func) (i32.const 100000)) (i32.const -1)))) unreachable";
    guest("(table $t 1 funcref)", grow, "")
}

/// An `about` whose summary is too long.
pub fn about() -> Vec<u8> {
    describing(60_000, "")
}

/// A schema of its settings in which each definition refers twice to the next one: a validator
/// evaluates 2^60 of them.
pub fn schema() -> Vec<u8> {
    let mut definitions = String::new();
    for level in 0..60 {
        let next = format!(r##"{{"$ref":"#/$defs/d{}"}}"##, level + 1);
        let _ = write!(definitions, r#""d{level}":{{"allOf":[{next},{next}]}},"#);
    }
    describing(1, &format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{definitions}"d60":{{"type":"object"}}}}}}"##))
}

/// A plugin whose `about` has a summary of this length and this schema.
fn describing(summary_bytes: usize, schema: &str) -> Vec<u8> {
    let escaped: String = schema.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    let items = format!(
        r#"(data (i32.const 70000) "{escaped}")
        (func (export "beadle:plugin/about@0.1.0#describe") (result i32)
            (i32.store (i32.const 2048) (i32.const 4096)) (i32.store (i32.const 2052) (i32.const 1))
            (i32.store (i32.const 2056) (i32.const 4096)) (i32.store (i32.const 2060) (i32.const {summary_bytes}))
            (i32.store (i32.const 2064) (i32.const 70000)) (i32.store (i32.const 2068) (i32.const {}))
            (i32.const 2048))"#,
        schema.len()
    );
    guest(&items, "", "export beadle:plugin/about@0.1.0;")
}
