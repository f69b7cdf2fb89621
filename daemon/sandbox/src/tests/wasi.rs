//! What WASI provides to toolchains that require it.

use super::*;
use crate::FaultKind;
use beadle_model::Coded;

const CLOCKS: &str = "
    package wasi:io@0.2.0 { interface poll { resource pollable { block: func(); } } }
    package wasi:clocks@0.2.0 {
        interface wall-clock { record datetime { seconds: u64, nanoseconds: u32 } now: func() -> datetime; }
        interface monotonic-clock {
            use wasi:io/poll@0.2.0.{pollable};
            subscribe-duration: func(when: u64) -> pollable;
        }
    }";

#[tokio::test]
async fn waiting_counts_as_elapsed_but_not_as_cpu_time() {
    let guest = Guest {
        wit: CLOCKS,
        world: "import wasi:io/poll@0.2.0; import wasi:clocks/monotonic-clock@0.2.0;",
        imports: r#"
            (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $wait (param i64) (result i32)))
            (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))"#,
        handle: "(call $block (call $wait (i64.const 60000000000))) (i32.const 16)",
        ..Guest::default()
    };
    let limits = Limits { wall_ms: 150, ..Limits::default() };
    let plugin = sandbox().load(Spec { limits, ..spec(guest.bytes()) }).await.unwrap();
    assert!(plugin.requested_capabilities().is_empty(), "WASI is not a capability");
    let report = plugin.handle(call(1)).await;
    assert_eq!(report.outcome.unwrap_err().kind, FaultKind::WallLimit { wall_ms: 150 });
    assert!(report.usage.wall_us >= 150_000);
    assert!(report.usage.cpu_us < 100_000, "{:?}", report.usage);
}

#[tokio::test]
async fn wasi_clock_shows_the_time_of_the_handling() {
    let guest = Guest {
        wit: CLOCKS,
        world: "import wasi:clocks/wall-clock@0.2.0;",
        imports: r#"(import "wasi:clocks/wall-clock@0.2.0" "now" (func $now (param i32)))"#,
        handle: "(call $now (i32.const 64))
            (i32.store8 (i32.const 20) (i32.and
                (i64.eq (i64.load (i32.const 64)) (i64.const 1795293360))
                (i32.eq (i32.load (i32.const 72)) (i32.const 123000000))))
            (i32.const 16)",
        ..Guest::default()
    };
    let handled = run(&guest).await.outcome.unwrap();
    assert_eq!(handled.disposition, beadle_model::Disposition::Claimed);
}

#[tokio::test]
async fn wasi_random_numbers_depend_on_the_event() {
    let guest = Guest {
        wit: "package wasi:random@0.2.0 { interface random { get-random-u64: func() -> u64; } }",
        world: "import wasi:random/random@0.2.0; import beadle:plugin/random@0.1.0;",
        imports: r#"(import "wasi:random/random@0.2.0" "get-random-u64" (func $wasi (result i64)))
            (import "beadle:plugin/random@0.1.0" "number" (func $ours (result i64)))"#,
        // The lowest bit of the first number is returned as the disposition.
        handle: "(i32.store8 (i32.const 20) (i32.and (i32.wrap_i64 (call $wasi)) (i32.const 1)))
            (if (i64.eqz (call $ours)) (then unreachable)) (i32.const 16)",
        ..Guest::default()
    };
    let plugin = load(&sandbox(), &guest).await;
    let mut bits = vec![];
    for id in (0..32).chain(0..32) {
        bits.push(plugin.handle(call(id)).await.outcome.unwrap().disposition);
    }
    let (first, again) = bits.split_at(32);
    assert_eq!(first, again);
    assert!(first.iter().any(|bit| *bit != first[0]), "thirty-two random bits must not all be equal");
}

#[tokio::test]
async fn wasi_grants_nothing() {
    let guest = Guest {
        wit: "package wasi:cli@0.2.0 { interface environment {
                get-environment: func() -> list<tuple<string, string>>; get-arguments: func() -> list<string>; } }",
        world: "import wasi:cli/environment@0.2.0;",
        imports: r#"(import "wasi:cli/environment@0.2.0" "get-environment" (func $env (param i32)))
            (import "wasi:cli/environment@0.2.0" "get-arguments" (func $args (param i32)))"#,
        handle: "(call $env (i32.const 64)) (call $args (i32.const 72))
            (if (i32.or (i32.load (i32.const 68)) (i32.load (i32.const 76))) (then unreachable)) (i32.const 16)",
        ..Guest::default()
    };
    assert!(run(&guest).await.outcome.is_ok());
}

/// A part of the real package.
const HTTP: &str = "
    package wasi:http@0.2.0 {
        interface types {
            resource fields { constructor(); }
            resource outgoing-request { constructor(headers: fields); }
        }
        interface incoming-handler { use types.{fields}; handle: func(fields: fields); }
    }";

#[tokio::test]
async fn wasi_http_links_for_outgoing_requests_only() {
    let imports = r#"(import "wasi:http/types@0.2.0" "[constructor]fields" (func $fields (result i32)))
        (import "wasi:http/types@0.2.0" "[constructor]outgoing-request" (func $new (param i32) (result i32)))"#;
    let handle = "(drop (call $new (call $fields))) (i32.const 16)";
    let outgoing = Guest { wit: HTTP, world: "import wasi:http/types@0.2.0;", imports, handle, ..Guest::default() };
    assert!(run(&outgoing).await.outcome.is_ok());
    let imports = r#"(import "wasi:http/incoming-handler@0.2.0" "handle" (func $handle (param i32)))"#;
    let world = "import wasi:http/types@0.2.0; import wasi:http/incoming-handler@0.2.0;";
    let incoming = Guest { world, imports, handle: "(call $handle (i32.const 1)) (i32.const 16)", ..outgoing };
    assert_eq!(load_error(incoming.bytes()).await.code(), "unknown-import");
}

#[tokio::test]
async fn later_wasi_is_an_unknown_import() {
    let guest = Guest {
        wit: "package wasi:cli@0.3.0 { interface environment { get-arguments: func() -> list<string>; } }",
        world: "import wasi:cli/environment@0.3.0;",
        imports: r#"(import "wasi:cli/environment@0.3.0" "get-arguments" (func $args (param i32)))"#,
        ..Guest::default()
    };
    assert_eq!(load_error(guest.bytes()).await.code(), "unknown-import");
}

#[tokio::test]
async fn wasi_exit_is_a_trap() {
    let guest = Guest {
        wit: "package wasi:cli@0.2.0 { interface exit { exit: func(status: result); } }",
        world: "import wasi:cli/exit@0.2.0;",
        imports: r#"(import "wasi:cli/exit@0.2.0" "exit" (func $exit (param i32)))"#,
        handle: "(call $exit (i32.const 0)) unreachable",
        ..Guest::default()
    };
    assert_eq!(run(&guest).await.outcome.unwrap_err().code(), "trap");
}
