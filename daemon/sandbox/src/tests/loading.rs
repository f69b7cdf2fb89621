//! What is read from a file before it runs, and files that are not plugins.

use super::*;
use beadle_model::{Coded, EventKind};
use wit_component::ComponentEncoder;

#[tokio::test]
async fn exports_are_subscriptions_and_imports_are_requested_capabilities() {
    let guest = Guest {
        capabilities: &["log", "state"],
        imports: r#"(import "beadle:plugin/log@0.1.0" "write" (func (param i32 i32 i32)))
                    (import "beadle:plugin/state@0.1.0" "delete" (func (param i32 i32 i32 i32 i32 i32)))"#,
        ..Guest::default()
    };
    let plugin = load(&sandbox(), &guest).await;
    assert_eq!(plugin.subscriptions(), &BTreeSet::from([EventKind::Message]));
    assert_eq!(plugin.requested_capabilities(), &BTreeSet::from(["log", "state"]));
    assert_eq!(plugin.about(), None);
    assert_eq!(plugin.revision().len(), 64);
}

#[tokio::test]
async fn capability_that_a_core_module_never_calls_is_not_requested() {
    let guest = Guest { capabilities: &["messages"], ..Guest::default() };
    assert!(load(&sandbox(), &guest).await.requested_capabilities().is_empty());
}

#[tokio::test]
async fn component_is_loaded_unchanged() {
    let core = Guest::default().bytes();
    let component = ComponentEncoder::default().module(&core).unwrap().encode().unwrap();
    let sandbox = sandbox();
    let plugin = sandbox.load(spec(component.clone())).await.unwrap();
    assert!(plugin.handle(call(1)).await.outcome.is_ok());
    let from_core = sandbox.load(spec(core)).await.unwrap();
    assert_ne!(plugin.revision(), from_core.revision());
}

#[tokio::test]
async fn unknown_import_is_named() {
    let guest = Guest {
        wit: "package acme:bank@1.0.0 { interface vault { open: func(); } }",
        world: "import acme:bank/vault@1.0.0;",
        imports: r#"(import "acme:bank/vault@1.0.0" "open" (func))"#,
        ..Guest::default()
    };
    let error = load_error(guest.bytes()).await;
    assert_eq!(error.code(), "unknown-import");
    assert_eq!(error.to_string(), "the plugin imports `acme:bank/vault@1.0.0`, which this Beadle does not provide");
}

#[tokio::test]
async fn other_types_are_refused_before_the_plugin_runs() {
    let mut module = wat::parse_str(
        r#"(module (memory (export "memory") 1)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
            (func (export "beadle:plugin/on-message@0.1.0#handle") (param i32)))"#,
    )
    .unwrap();
    // The contract's package cannot be present twice, so this one is parsed without it.
    let mut resolve = Resolve::default();
    let wit = "package test:guest; package beadle:plugin@0.1.0 { interface on-message { handle: func(event: u32); } }
               world guest { export beadle:plugin/on-message@0.1.0; }";
    let package = resolve.push_str("guest.wit", wit).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    let error = load_error(module).await;
    assert_eq!(error.code(), "plugin-type-mismatch");
    assert!(error.to_string().contains("`handle` of `beadle:plugin/on-message@0.1.0` has other types"), "{error}");
}

#[tokio::test]
async fn files_that_are_not_plugins_have_a_code_each() {
    let core_without = Guest::default().core();
    let empty_component = wat::parse_str("(component)").unwrap();
    for (bytes, code) in [
        (vec![], "not-wasm"),
        (b"#!/bin/sh".to_vec(), "not-wasm"),
        (b"\x7fELF and so on".to_vec(), "precompiled"),
        (core_without, "not-a-plugin"),
        (empty_component, "no-events-exported"),
        (vec![0; crate::limits::FILE_BYTES + 1], "plugin-too-large"),
    ] {
        let error = load_error(bytes).await;
        assert_eq!(error.code(), code, "{error}");
    }
}

#[tokio::test]
async fn truncated_file_never_panics() {
    let whole = Guest::default().bytes();
    let component = ComponentEncoder::default().module(&whole).unwrap().encode().unwrap();
    let sandbox = sandbox();
    for bytes in [&whole, &component] {
        for length in (0..bytes.len()).step_by(7) {
            let error = sandbox.load(spec(bytes[..length].to_vec())).await.map(|plugin| format!("{plugin:?}"));
            let Err(error) = error else { continue };
            assert_ne!(error.code(), "host-panic", "{length}: {error}");
        }
    }
}

#[tokio::test]
async fn corrupted_file_never_panics() {
    let component = ComponentEncoder::default().module(&Guest::default().bytes()).unwrap().encode().unwrap();
    let sandbox = sandbox();
    for at in (8..component.len()).step_by(13) {
        let mut bent = component.clone();
        bent[at] ^= 0x55;
        if let Err(error) = sandbox.load(spec(bent)).await {
            assert_ne!(error.code(), "host-panic", "{at}: {error}");
        }
    }
}

#[tokio::test]
async fn initial_memory_over_the_limit_is_reported_when_loading() {
    let guest = Guest { items: "(memory $more 1024)", ..Guest::default() };
    let error = load_error(guest.bytes()).await;
    assert_eq!(
        error.to_string(),
        "the plugin needs 65 MiB of memory to start, and its limit is 32 MiB; raise `[plugins.guest] limits.memory_mib`"
    );
}

#[test]
fn directory_of_compiled_code_must_be_absolute() {
    let world = sandbox();
    let config = SandboxConfig { cache_dir: Some("not/absolute".into()), ..SandboxConfig::default() };
    let error = Sandbox::new(config, world.store.reader(), Arc::new(|| MessageId(1)), [0; 32]).err().unwrap();
    assert_eq!(error.code(), "sandbox-engine-failed");
}

#[test]
fn file_in_place_of_the_cache_is_replaced() {
    let world = sandbox();
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    let start = || {
        let config = SandboxConfig { cache_dir: Some(cache.clone()), ..SandboxConfig::default() };
        Sandbox::new(config, world.store.reader(), Arc::new(|| MessageId(1)), [0; 32]).map(drop)
    };
    std::fs::write(&cache, "").unwrap();
    start().unwrap();
    std::fs::remove_dir_all(cache.join("code")).unwrap_or_default();
    std::fs::write(cache.join("code"), "").unwrap();
    start().unwrap();
    std::fs::remove_dir_all(&cache).unwrap();
    std::os::unix::fs::symlink(dir.path().join("away"), &cache).unwrap();
    start().unwrap();
    assert!(cache.join("seals").is_dir());
}

#[tokio::test]
async fn settings_must_be_a_table() {
    let wrong = Spec { settings: json!([1]), ..spec(Guest::default().bytes()) };
    assert_eq!(sandbox().load(wrong).await.unwrap_err().code(), "settings-not-a-table");
}

/// A guest with an `about`: three strings, one after the other.
fn with_about(version: &str, summary: &str, schema: &str) -> Vec<u8> {
    let at = |text: &str, address: usize| {
        let escaped: String = text.bytes().map(|byte| format!("\\{byte:02x}")).collect();
        format!("(data (i32.const {address}) \"{escaped}\")")
    };
    let (first, second, third) = (1024, 1024 + version.len(), 1024 + version.len() + summary.len());
    let items = format!(
        r#"{} {} {}
        (func (export "beadle:plugin/about@0.1.0#describe") (result i32)
            (i32.store (i32.const 128) (i32.const {first})) (i32.store (i32.const 132) (i32.const {}))
            (i32.store (i32.const 136) (i32.const {second})) (i32.store (i32.const 140) (i32.const {}))
            (i32.store (i32.const 144) (i32.const {third})) (i32.store (i32.const 148) (i32.const {}))
            (i32.const 128))"#,
        at(version, first),
        at(summary, second),
        at(schema, third),
        version.len(),
        summary.len(),
        schema.len(),
    );
    Guest { world: "export beadle:plugin/about@0.1.0;", items: &items, ..Guest::default() }.bytes()
}

#[tokio::test]
async fn about_is_read_when_loading() {
    let plugin = sandbox().load(spec(with_about("1.2.0", "Greets\x07.", r#"{"type":"object"}"#))).await.unwrap();
    let about = plugin.about().unwrap();
    assert_eq!((about.version.as_str(), about.summary.as_str()), ("1.2.0", "Greets\u{fffd}."));
    assert_eq!(about.settings_schema, Some(json!({ "type": "object" })));
}

#[tokio::test]
async fn invalid_about_is_reply_with_code() {
    for (bytes, expected) in [
        (with_about("1", &"x".repeat(257), ""), "its summary has 257 bytes"),
        (with_about("1", "fine", "{"), "its settings schema is not JSON"),
    ] {
        let error = load_error(bytes).await;
        assert_eq!(error.code(), "about-invalid");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn endless_about_ends_at_the_cpu_limit() {
    let guest = Guest {
        world: "export beadle:plugin/about@0.1.0;",
        items: r#"(func (export "beadle:plugin/about@0.1.0#describe") (result i32) (loop $on (br $on)) unreachable)"#,
        ..Guest::default()
    };
    let error = load_error(guest.bytes()).await;
    assert_eq!(error.code(), "cpu-limit");
    assert!(error.to_string().contains("while it was loaded"), "{error}");
}

#[test]
fn every_capability_and_event_of_the_contract_is_known() {
    let mut resolve = Resolve::default();
    let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugin-api/wit/since-v0.1.0");
    let (package, _) = resolve.push_dir(&contract).unwrap();
    let functions = |name: &str| resolve.interfaces[resolve.packages[package].interfaces[name]].functions.len();
    let names: BTreeSet<&str> = resolve.packages[package].interfaces.keys().map(String::as_str).collect();
    let (events, capabilities): (BTreeSet<&str>, BTreeSet<&str>) = names
        .into_iter()
        .filter(|name| functions(name) > 0 && !["about", "migration"].contains(name))
        .partition(|name| name.starts_with("on-") || *name == "privacy");
    assert_eq!(capabilities, crate::surface::CAPABILITIES.into_iter().collect());
    assert_eq!(events, EventKind::ALL.into_iter().filter_map(EventKind::interface).collect());
}

#[tokio::test]
async fn huge_about_is_refused_before_it_is_copied() {
    // A summary of 10 MiB.
    let guest = Guest {
        world: "export beadle:plugin/about@0.1.0;",
        items: r#"(func (export "beadle:plugin/about@0.1.0#describe") (result i32)
            (drop (memory.grow (i32.const 200)))
            (i32.store (i32.const 136) (i32.const 65536)) (i32.store (i32.const 140) (i32.const 10485760))
            (i32.const 128))"#,
        ..Guest::default()
    };
    let error = load_error(guest.bytes()).await;
    assert!(["trap", "about-invalid"].contains(&error.code()), "{error}");
    assert!(error.to_string().len() < 1000);
}
