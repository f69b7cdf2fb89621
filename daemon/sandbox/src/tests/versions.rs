//! Plugins that were built for another version of the contract than the latest: older ones run, newer ones are told.
//!
//! `greeter.wasm` was built once for the invented API 0.0.9 and lies here as the file that an operator has: no test makes
//! it, so that it cannot change with what it is to outlive.

use super::*;
use crate::abi::Version;
use crate::{Fault, FaultKind};
use beadle_model::{Coded, Disposition, EventKind, Outgoing};

const GREETER: &[u8] = include_bytes!("../abi/since_v0_0_9/greeter.wasm");

#[tokio::test]
async fn a_binary_of_an_older_version_loads_and_acts_through_the_latest() {
    let world = sandbox();
    let plugin = world.load(spec(GREETER.to_vec())).await.unwrap();
    assert_eq!(plugin.subscriptions(), &BTreeSet::from([EventKind::Message]));
    assert_eq!(plugin.requested_capabilities(), &BTreeSet::from(["replies"]));
    assert_eq!(plugin.state_version(), 0);
    let handled = plugin.handle(call(1)).await.outcome.unwrap();
    assert_eq!(handled.disposition, Disposition::Claimed);
    let [send] = handled.effects.sends.as_slice() else { panic!("{:?}", handled.effects) };
    assert_eq!(send.body, Outgoing::Text { body: "ping".into(), preview_url: false, quote: None });
    assert!(send.reply);
}

#[tokio::test]
async fn a_refusal_of_the_latest_is_its_code_to_the_older() {
    let world = sandbox();
    let plugin = world.load(spec(GREETER.to_vec())).await.unwrap();
    let mut view = conversation();
    view.window_until = None;
    let closed = Event { conversation: Some(Arc::new(view)), ..event(1) };
    let Fault { kind, .. } = plugin.handle(call_with(closed)).await.outcome.unwrap_err();
    assert_eq!(kind, FaultKind::Retry { reason: "window-closed".into() });
}

#[tokio::test]
async fn what_the_older_version_cannot_tell_passes_its_guests() {
    let world = sandbox();
    let plugin = world.load(spec(GREETER.to_vec())).await.unwrap();
    let mut tapped = event(1);
    if let EventBody::Message { content, .. } = &mut tapped.body {
        *content = Content::Button(beadle_model::content::Choice { id: "yes".into(), ..Default::default() });
    }
    let handled = plugin.handle(call_with(tapped)).await.outcome.unwrap();
    assert_eq!((handled.disposition, handled.effects.is_empty()), (Disposition::Pass, true));
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
async fn a_newer_version_is_told_with_both_ranges() {
    let error = load_error(of_version("0.2.0")).await;
    assert_eq!(error.code(), "api-version-unsupported");
    assert_eq!(
        error.to_string(),
        "The plugin was built for plugin API 0.2.0 (`state`) and runs on a Beadle that speaks 0.2.0 or later; this Beadle \
         speaks 0.0.9 to 0.1.0. Install a newer Beadle, or rebuild the plugin with an SDK for 0.1.0."
    );
}

#[tokio::test]
async fn a_version_that_is_gone_is_told_so() {
    let error = load_error(of_version("0.0.1")).await;
    assert_eq!(error.code(), "api-version-unsupported");
    assert!(error.to_string().contains("which this Beadle speaks no more: it speaks 0.0.9 to 0.1.0"), "{error}");
}

#[tokio::test]
async fn two_versions_in_one_plugin_are_refused() {
    let imports = r#"(import "beadle:plugin/replies@0.0.9" "send" (func (param i32 i32 i32)))"#;
    let guest = Guest {
        wit: "package beadle:plugin@0.0.9 { interface replies { send: func(body: string) -> result<string, string>; } }",
        world: "import beadle:plugin/replies@0.0.9;",
        imports,
        ..Guest::default()
    };
    let error = load_error(guest.bytes()).await;
    assert_eq!(error.code(), "api-version-unsupported");
    assert!(error.to_string().contains("mixes plugin API 0.1.0 and 0.0.9"), "{error}");
}

#[test]
fn versions_are_in_order_and_the_latest_is_the_last() {
    assert!(Version::ALL.is_sorted());
    assert_eq!(Version::ALL.last(), Some(&Version::LATEST));
    let numbers: Vec<_> = Version::ALL.iter().map(|version| crate::abi::numbers(version.name()).unwrap()).collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
}

#[test]
#[ignore = "writes greeter.wasm anew from its source; it is to stay as it is"]
fn make_the_greeter() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/abi/since_v0_0_9");
    let mut module = wat::parse_file(folder.join("greeter.wat")).unwrap();
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(&folder).unwrap();
    let world = resolve.select_world(&[package], Some("host")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    std::fs::write(folder.join("greeter.wasm"), module).unwrap();
}
