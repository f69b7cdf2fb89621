//! Plugins that bring their state over: what they are given, what they may do meanwhile, and what becomes of bad ones.

use super::capabilities::{REPLIES, STATE, echo};
use super::*;
use crate::{During, Fault, FaultKind, Moved, Page};
use beadle_model::{Coded, Scope};
use beadle_store::StateEntry;

/// `name` at 2048, `no` at 2052, `copy` at 2054.
const KEYS: &str = r#"(data (i32.const 2048) "namenocopy")"#;

/// One whose state has version 3; `migrate` has the page flat (`$from`, `$number`, `$entries`, `$count`, `$last`) and leaves
/// the answer's address; memory there is zero, which is `ok(more)`.
fn guest(migrate: &str) -> Vec<u8> {
    guest_of(3, migrate)
}

fn guest_of(version: i32, migrate: &str) -> Vec<u8> {
    let items = format!(
        r#"{KEYS}
        (func (export "beadle:plugin/migration@0.1.0#version") (result i32) (i32.const {version}))
        (func (export "beadle:plugin/migration@0.1.0#migrate")
            (param $from i32) (param $number i32) (param $entries i32) (param $count i32) (param $last i32)
            (param $extra i32) (param $extra_length i32) (result i32) {migrate} (i32.const 16))"#
    );
    let imports = format!("{STATE} {REPLIES}");
    let world = "export beadle:plugin/migration@0.1.0;";
    Guest { capabilities: &["state", "replies"], world, imports: &imports, items: &items, ..Guest::default() }.bytes()
}

/// Writes what lies at these addresses (pointer, length) under a key of the plugin's own.
fn put(key: (u32, u32), pointer: &str, length: &str) -> String {
    format!(
        "(call $set (i32.const 0) (i32.const 0) (i32.const 0) (i32.const {}) (i32.const {}) {pointer} {length}
            (i32.const 0) (i64.const 0) (i32.const 128))
         (if (i32.load8_u (i32.const 128)) (then unreachable))",
        key.0, key.1
    )
}

fn page(values: usize) -> Page {
    let entry = |n: usize| StateEntry {
        scope: Scope::Plugin,
        key: format!("k{n}"),
        value: format!("value {n}").into_bytes(),
        expires_at: None,
    };
    Page { from: 2, number: 7, entries: (0..values).map(entry).collect(), last: true, now: NOW }
}

async fn migrated(world: &World, bytes: Vec<u8>) -> Result<Moved, Fault> {
    let plugin = world.load(spec(bytes)).await.unwrap();
    assert_eq!(plugin.state_version(), 3);
    plugin.migrate(page(2)).await
}

fn set(key: &str, value: &[u8]) -> StateWrite {
    StateWrite::Set { scope: Scope::Plugin, key: key.into(), value: value.to_vec(), expires_at: None }
}

#[tokio::test]
async fn a_page_is_read_and_the_state_is_read_and_written() {
    let world = sandbox();
    world.stored(vec![set("name", b"Beadle")]).await;
    // The first entry's value, what the state has under `name`; and it is enough, if the page is what it is said to be.
    let migrate = format!(
        "{} (call $get (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 2048) (i32.const 4) (i32.const 64)) {}
         (if (i32.and (i32.and (i32.eq (local.get $from) (i32.const 2)) (i32.eq (local.get $number) (i32.const 7)))
                      (i32.and (i32.eq (local.get $count) (i32.const 2)) (local.get $last)))
             (then (i32.store8 (i32.const 20) (i32.const 1))))",
        put(
            (2054, 4),
            "(i32.load (i32.add (local.get $entries) (i32.const 20)))",
            "(i32.load (i32.add (local.get $entries) (i32.const 24)))"
        ),
        // `ok(some(pointer, length))`
        put((2052, 2), "(i32.load (i32.const 72))", "(i32.load (i32.const 76))"),
    );
    let moved = migrated(&world, guest(&migrate)).await.unwrap();
    assert_eq!(moved.state, [set("copy", b"value 0"), set("no", b"Beadle")]);
    assert!(moved.is_enough);
    // Nothing of it is done by itself.
    assert!(world.store.reader().state_get(StateNo(1), Scope::Plugin, "copy", NOW).unwrap().is_none());
}

#[tokio::test]
async fn nothing_leaves_meanwhile() {
    let send = format!(
        "(call $send_text (i32.const 2048) (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 64)) {}",
        put((2048, 4), "(i32.load (i32.const 68))", "(i32.load (i32.const 72))")
    );
    let moved = migrated(&sandbox(), guest(&send)).await.unwrap();
    assert_eq!(moved.state, [set("name", b"host-call-at-start")]);
    assert!(!moved.is_enough);
}

#[tokio::test]
async fn one_that_traps_never_ends_gives_up_or_writes_too_much_fails() {
    let world = sandbox();
    let many = format!(
        "(local $n i32) (loop $again {} (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if $again (i32.lt_u (local.get $n) (i32.const 201))))",
        put((2052, 2), "(i32.const 2048)", "(i32.const 4)")
    );
    // `err(give-up("name"))`
    let gives_up = "(i32.store8 (i32.const 16) (i32.const 1)) (i32.store8 (i32.const 20) (i32.const 1))
        (i32.store (i32.const 24) (i32.const 2048)) (i32.store (i32.const 28) (i32.const 4))";
    for (migrate, code) in [
        ("unreachable", "trap"),
        ("(loop $again (br $again))", "cpu-limit"),
        (gives_up, "plugin-gave-up"),
        (&many, "effect-limit"),
    ] {
        let fault = migrated(&world, guest(migrate)).await.unwrap_err();
        assert_eq!((fault.code(), fault.during), (code, During::Migrating), "{fault}");
        assert!(fault.to_string().contains("while it brought its state over"), "{fault}");
    }
    // Each value of a full page may be written four times.
    assert_eq!(migrated(&world, guest(&many.replace("201", "200"))).await.unwrap().state.len(), 200);
}

#[tokio::test]
async fn a_version_is_1_or_more_and_soon_told() {
    assert!(matches!(load_error(guest_of(0, "")).await, LoadError::StateVersion));
    let without = load(&sandbox(), &echo()).await;
    assert_eq!(without.state_version(), 0);
    let items = r#"
        (func (export "beadle:plugin/migration@0.1.0#version") (result i32) (loop $again (br $again)) (i32.const 1))
        (func (export "beadle:plugin/migration@0.1.0#migrate") (param i32 i32 i32 i32 i32 i32 i32) (result i32)
            (i32.const 16))"#;
    let guest = Guest { world: "export beadle:plugin/migration@0.1.0;", items, ..Guest::default() };
    let LoadError::Failed(fault) = load_error(guest.bytes()).await else { panic!("it fails while it is asked") };
    assert_eq!((fault.kind, fault.during), (FaultKind::CpuLimit { cpu_ms: 100 }, During::Loading));
}

#[tokio::test]
async fn one_without_a_migration_is_not_asked_to() {
    let plugin = load(&sandbox(), &echo()).await;
    let fault = plugin.migrate(page(1)).await.unwrap_err();
    assert_eq!(fault.during, During::Migrating);
}
