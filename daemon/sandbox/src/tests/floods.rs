//! Guests that request too much.

use super::*;
use crate::{FaultKind, Level};
use beadle_model::Coded;

#[tokio::test]
async fn host_calls_are_limited() {
    let guest = Guest {
        capabilities: &["clock"],
        imports: r#"(import "beadle:plugin/clock@0.1.0" "now" (func $now (result i64)))"#,
        handle: "(loop $on (drop (call $now)) (br $on)) unreachable",
        ..Guest::default()
    };
    let report = run(&guest).await;
    assert_eq!(report.outcome.unwrap_err().kind, FaultKind::HostCalls { max: 10_000 });
    assert_eq!(report.usage.host_calls, 10_001);
}

const LOG: &str = r#"(import "beadle:plugin/log@0.1.0" "write" (func $write (param i32 i32 i32)))"#;

#[tokio::test]
async fn log_lines_over_the_limit_are_counted_and_dropped() {
    let guest = Guest {
        capabilities: &["log"],
        imports: LOG,
        items: "(global $left (mut i32) (i32.const 1000))",
        handle: "(loop $on
                (call $write (i32.const 1) (i32.const 2048) (i32.const 1024))
                (global.set $left (i32.sub (global.get $left) (i32.const 1)))
                (br_if $on (global.get $left)))
            (i32.const 16)",
        ..Guest::default()
    };
    let report = run(&guest).await;
    assert!(report.outcome.is_ok());
    // 64 KiB are 63 lines of 1024 + 16 bytes.
    assert_eq!(report.usage.log_dropped, 937);
    assert_eq!(report.log.len(), 64);
    let last = report.log.last().unwrap();
    assert_eq!(last.level, Level::Warn);
    assert_eq!(last.text, "937 more lines dropped: limit of 64 KiB reached (`[plugins.guest] limits.log_kib`)");
}

#[tokio::test]
async fn log_lines_are_printable_and_survive_a_trap() {
    let guest = Guest {
        capabilities: &["log"],
        imports: LOG,
        items: r#"(data (i32.const 2048) "\1b[31mred")"#,
        handle: "(call $write (i32.const 3) (i32.const 2048) (i32.const 8)) unreachable",
        ..Guest::default()
    };
    let report = run(&guest).await;
    assert_eq!(report.outcome.unwrap_err().code(), "trap");
    assert_eq!(report.log.first().unwrap().text, "\u{fffd}[31mred");
}

#[tokio::test]
async fn effects_are_limited() {
    let guest = Guest {
        capabilities: &["state"],
        imports: capabilities::STATE_DELETE,
        items: r#"(data (i32.const 2048) "key")"#,
        handle: "(loop $on (call $delete (i32.const 0) (i32.const 0) (i32.const 0)
                    (i32.const 2048) (i32.const 3) (i32.const 64)) (br $on))
            unreachable",
        ..Guest::default()
    };
    let fault = run(&guest).await.outcome.unwrap_err();
    assert_eq!(fault.kind, FaultKind::EffectLimit { effects: 100 });
    assert!(fault.to_string().contains("`[plugins.guest] limits.effects`"));
}

#[tokio::test]
async fn oversized_host_call_traps_before_it_is_copied() {
    let guest = Guest {
        capabilities: &["log"],
        imports: LOG,
        handle: "(drop (memory.grow (i32.const 64)))
            (call $write (i32.const 1) (i32.const 0) (i32.const 3000000)) (i32.const 16)",
        ..Guest::default()
    };
    let fault = run(&guest).await.outcome.unwrap_err();
    assert_eq!(fault.code(), "trap");
    assert!(fault.to_string().contains("too much"), "{fault}");
}

#[tokio::test]
async fn allocations_through_host_calls_are_limited() {
    // One byte at a time, for each of which the host calls the guest's allocator.
    let guest = Guest {
        capabilities: &["random"],
        imports: r#"(import "beadle:plugin/random@0.1.0" "bytes" (func $bytes (param i32 i32)))"#,
        items: "(global $left (mut i32) (i32.const 1000000))",
        // Eight bytes for each of the 10,000 calls that the host allows, and some.
        handle: "(drop (memory.grow (i32.const 8)))
            (loop $on
                (call $bytes (i32.const 1) (i32.const 64))
                (global.set $left (i32.sub (global.get $left) (i32.const 1)))
                (br_if $on (global.get $left)))
            (i32.const 16)",
        ..Guest::default()
    };
    let report = run(&guest).await;
    let fault = report.outcome.unwrap_err();
    assert!(["host-call-limit", "cpu-limit"].contains(&fault.code()), "{fault}");
    assert!(report.usage.host_calls <= 10_001 && report.usage.memory_bytes <= 32 << 20, "{:?}", report.usage);
}

#[tokio::test]
async fn effects_are_limited_in_bytes() {
    // 256 KiB at a time, each under a new key: 32 of them are 8 MiB without their keys.
    let guest = Guest {
        capabilities: &["state"],
        imports: capabilities::STATE,
        items: r#"(data (i32.const 2048) "key0") (global $left (mut i32) (i32.const 1000))"#,
        handle: "(drop (memory.grow (i32.const 8)))
            (loop $on
                (i32.store8 (i32.const 2048) (i32.and (global.get $left) (i32.const 127)))
                (i32.store8 (i32.const 2049) (i32.shr_u (global.get $left) (i32.const 7)))
                (call $set (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 2048) (i32.const 4)
                    (i32.const 65536) (i32.const 262144) (i32.const 0) (i64.const 0) (i32.const 64))
                (global.set $left (i32.sub (global.get $left) (i32.const 1)))
                (br_if $on (global.get $left)))
            (i32.const 16)",
        ..Guest::default()
    };
    let report = run(&guest).await;
    let fault = report.outcome.unwrap_err();
    assert_eq!((fault.code(), &fault.kind), ("effect-limit", &FaultKind::EffectBytes { max: 8 << 20 }));
    assert_eq!(report.usage.host_calls, 32);
    assert!(fault.to_string().contains("exceeded the limit of 8 MiB of effects in one call"), "{fault}");
}
