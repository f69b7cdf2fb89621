//! Plugins that migrate their state: their input, what they may do, and how they fail.

use super::capabilities::{REPLIES, STATE, echo};
use super::*;
use crate::{During, Fault, FaultKind, MigratedPage, StatePage};
use beadle_model::{Coded, Scope};
use beadle_store::StateEntry;

/// `name` at 2048, `no` at 2052, `copy` at 2054.
const KEYS: &str = r#"(data (i32.const 2048) "namenocopy")"#;

/// A guest whose state has version 3. `migrate` has the flat parameters `$from`, `$number`,
/// `$entries`, `$count` and `$last` of the page, and the result at address 16, where memory is
/// zero: `ok(more)`.
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

/// Writes a value (pointer, length) under a key of the plugin's scope.
fn put(key: (u32, u32), pointer: &str, length: &str) -> String {
    format!(
        "(call $set (i32.const 0) (i32.const 0) (i32.const 0) (i32.const {}) (i32.const {}) {pointer} {length}
            (i32.const 0) (i64.const 0) (i32.const 128))
         (if (i32.load8_u (i32.const 128)) (then unreachable))",
        key.0, key.1
    )
}

fn page(values: usize) -> StatePage {
    let entry = |n: usize| StateEntry {
        scope: Scope::Plugin,
        key: format!("k{n}"),
        value: format!("value {n}").into_bytes(),
        expires_at: None,
    };
    StatePage { from_version: 2, number: 7, entries: (0..values).map(entry).collect(), last: true, now: NOW }
}

async fn migrated(world: &Fixture, bytes: Vec<u8>) -> Result<MigratedPage, Fault> {
    let plugin = world.load(spec(bytes)).await.unwrap();
    assert_eq!(plugin.state_version(), 3);
    plugin.migrate(page(2)).await
}

fn set(key: &str, value: &[u8]) -> StateWrite {
    StateWrite::Set { scope: Scope::Plugin, key: key.into(), value: value.to_vec(), expires_at: None }
}

#[tokio::test]
async fn migration_reads_its_page_and_reads_and_writes_state() {
    let world = sandbox();
    world.stored(vec![set("name", b"Beadle")]).await;
    // Copies the first entry's value and the state's `name`, and returns `done` if the page is as
    // expected.
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
    let page = migrated(&world, guest(&migrate)).await.unwrap();
    assert_eq!(page.state, [set("copy", b"value 0"), set("no", b"Beadle")]);
    assert!(page.is_done);
    // The writes are returned, not carried out.
    assert!(world.store.reader().state_get(StateNo(1), Scope::Plugin, "copy", NOW).unwrap().is_none());
}

#[tokio::test]
async fn migration_cannot_send() {
    let send = format!(
        "(call $send_text (i32.const 2048) (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 64)) {}",
        put((2048, 4), "(i32.load (i32.const 68))", "(i32.load (i32.const 72))")
    );
    let page = migrated(&sandbox(), guest(&send)).await.unwrap();
    assert_eq!(page.state, [set("name", b"host-call-at-start")]);
    assert!(!page.is_done);
}

#[tokio::test]
async fn failed_migration_is_a_fault() {
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
        assert!(fault.to_string().contains("while migrating its state"), "{fault}");
    }
    // Each value of a full page may be written four times.
    assert_eq!(migrated(&world, guest(&many.replace("201", "200"))).await.unwrap().state.len(), 200);
}

#[tokio::test]
async fn state_version_must_be_positive_and_returned_in_time() {
    assert!(matches!(load_error(guest_of(0, "")).await, LoadError::StateVersion));
    let without = load(&sandbox(), &echo()).await;
    assert_eq!(without.state_version(), 0);
    let items = r#"
        (func (export "beadle:plugin/migration@0.1.0#version") (result i32) (loop $again (br $again)) (i32.const 1))
        (func (export "beadle:plugin/migration@0.1.0#migrate") (param i32 i32 i32 i32 i32 i32 i32) (result i32)
            (i32.const 16))"#;
    let guest = Guest { world: "export beadle:plugin/migration@0.1.0;", items, ..Guest::default() };
    let LoadError::Failed(fault) = load_error(guest.bytes()).await else { panic!("it must fail") };
    assert_eq!((fault.kind, fault.during), (FaultKind::CpuLimit { cpu_ms: 100 }, During::Loading));
}

#[tokio::test]
async fn migration_of_a_plugin_without_one_is_a_fault() {
    let plugin = load(&sandbox(), &echo()).await;
    let fault = plugin.migrate(page(1)).await.unwrap_err();
    assert_eq!(fault.during, During::Migrating);
}
