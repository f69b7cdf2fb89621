//! Plugins built for another version of the contract than the latest: older ones run, newer ones
//! are refused with both versions named.
//!
//! `lottery.wasm` was built once for contract 0.0.9 and is kept as an operator would have it: tests
//! do not build it, so that it cannot change with what it has to outlive.

use super::*;
use crate::version::{self, Version};
use beadle_model::effect::StateWrite;
use beadle_model::{Coded, Disposition, EventKind, Scope};

const LOTTERY: &[u8] = include_bytes!("../abi/since_v0_0_9/lottery.wasm");

fn joined(id: i64) -> Call {
    let body = EventBody::MemberJoined { reason: "invite".into(), again: false };
    call_with(Event { body, ..event(id) })
}

#[tokio::test]
async fn older_plugin_loads_with_its_subscriptions_and_capabilities() {
    let plugin = sandbox().load(spec(LOTTERY.to_vec())).await.unwrap();
    assert_eq!(plugin.subscriptions(), &BTreeSet::from([EventKind::Reaction, EventKind::MemberJoined]));
    assert_eq!(plugin.requested_capabilities(), &BTreeSet::from(["random", "state"]));
    assert_eq!(plugin.state_version(), 0);
}

#[tokio::test]
async fn changed_event_and_capability_are_converted() {
    let world = sandbox();
    let plugin = world.load(spec(LOTTERY.to_vec())).await.unwrap();
    let handled = plugin.handle(joined(1)).await.outcome.unwrap();
    assert_eq!(handled.disposition, Disposition::Claimed);
    let [StateWrite::Set { scope: Scope::Plugin, key, value, expires_at: None }] = handled.effects.state.as_slice()
    else {
        panic!("{:?}", handled.effects)
    };
    // A version's `state` is the latest's, its `random` is the latest's cut to 32 bits.
    assert_eq!((key.as_str(), value.len()), ("invite", 4));
    let again = plugin.handle(joined(1)).await.outcome.unwrap();
    assert_eq!(again.effects.state, handled.effects.state, "the same event gives the same random numbers");
}

#[tokio::test]
async fn unchanged_event_is_shared_with_the_latest_version() {
    let world = sandbox();
    let plugin = world.load(spec(LOTTERY.to_vec())).await.unwrap();
    let body = EventBody::Reaction { message: "wamid.1".into(), own_message: None, emoji: None, extra: Value::Null };
    let handled = plugin.handle(call_with(Event { body, ..event(1) })).await.outcome.unwrap();
    assert_eq!((handled.disposition, handled.effects.is_empty()), (Disposition::Claimed, true));
}

/// A module that imports `state` of this version of the contract.
fn of_version(version: &str) -> Vec<u8> {
    let text = format!(
        r#"(module (import "beadle:plugin/state@{version}" "get" (func)) (memory (export "memory") 1)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable) (func (export "run")))"#
    );
    let mut module = wat::parse_str(text).unwrap();
    let wit = format!(
        "package test:guest; package beadle:plugin@{version} {{ interface state {{ get: func(); }} }}
         world guest {{ import beadle:plugin/state@{version}; export run: func(); }}"
    );
    describe(&mut module, &wit);
    module
}

#[tokio::test]
async fn newer_version_is_refused_and_both_versions_are_named() {
    let error = load_error(of_version("0.2.0")).await;
    assert_eq!(error.code(), "api-version-unsupported");
    assert_eq!(
        error.to_string(),
        "the plugin was built for plugin API 0.2.0 (`state`); this version of Beadle supports 0.0.9 to 0.1.0; install a \
         newer Beadle, or rebuild the plugin with an SDK for 0.1.0"
    );
}

#[tokio::test]
async fn version_that_is_no_longer_supported_is_refused() {
    let error = load_error(of_version("0.0.1")).await;
    assert_eq!(error.code(), "api-version-unsupported");
    let expected = "which is no longer supported; this version of Beadle supports 0.0.9 to 0.1.0";
    assert!(error.to_string().contains(expected), "{error}");
}

#[tokio::test]
async fn two_versions_in_one_plugin_are_refused() {
    let guest = Guest {
        wit: "package beadle:plugin@0.0.9 { interface random { number: func() -> u32; } }",
        world: "import beadle:plugin/random@0.0.9;",
        imports: r#"(import "beadle:plugin/random@0.0.9" "number" (func (result i32)))"#,
        ..Guest::default()
    };
    let error = load_error(guest.bytes()).await;
    assert_eq!(error.code(), "api-version-unsupported");
    assert!(error.to_string().contains("mixes plugin API 0.1.0 and 0.0.9"), "{error}");
}

#[test]
fn versions_are_ordered_and_the_latest_is_last() {
    assert!(Version::ALL.is_sorted());
    assert_eq!(Version::ALL.last(), Some(&Version::LATEST));
    let numbers: Vec<_> = Version::ALL.iter().map(|version| version::numbers(version.name()).unwrap()).collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
}

#[test]
#[ignore = "rebuilds lottery.wasm from its source; the file is supposed to stay as it is"]
fn rebuild_lottery() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/abi/since_v0_0_9");
    let mut module = wat::parse_file(folder.join("lottery.wat")).unwrap();
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(folder.join("wit")).unwrap();
    let world = resolve.select_world(&[package], Some("host")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    std::fs::write(folder.join("lottery.wasm"), module).unwrap();
}
