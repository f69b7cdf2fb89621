//! Guests that ask for too much of something.

use super::*;
use crate::{FaultKind, Level};
use beadle_model::Coded;

#[tokio::test]
async fn a_flood_of_host_calls_is_cut() {
    let guest = Guest {
        capabilities: &["clock"],
        imports: r#"(import "beadle:plugin/clock@0.1.0" "now" (func $now (result i64)))"#,
        handle: "(loop $on (drop (call $now)) (br $on)) unreachable",
        ..Guest::default()
    };
    let report = run(&guest).await;
    assert_eq!(report.outcome.unwrap_err().kind, FaultKind::HostCalls { most: 10_000 });
    assert_eq!(report.usage.host_calls, 10_001);
}

const LOG: &str = r#"(import "beadle:plugin/log@0.1.0" "write" (func $write (param i32 i32 i32)))"#;

#[tokio::test]
async fn a_flood_of_log_is_cut_counted_and_no_fault() {
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
    // 64 KiB are 63 lines of 1024 bytes and 16 each.
    assert_eq!(report.usage.log_dropped, 937);
    assert_eq!(report.log.len(), 64);
    let last = report.log.last().unwrap();
    assert_eq!(last.level, Level::Warn);
    assert_eq!(last.text, "937 lines more were dropped over the limit of 64 KiB (`[plugins.guest] limits.log_kib`)");
}

#[tokio::test]
async fn lines_cannot_paint_a_terminal_and_outlive_a_trap() {
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
async fn a_flood_of_effects_is_a_fault_and_none_of_them_is_done() {
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
async fn more_than_a_host_call_may_carry_is_a_trap_before_it_is_copied() {
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
async fn a_million_tiny_allocations_through_the_host_are_cut_and_cost_the_guest_only() {
    // One byte at a time, each put somewhere new by the guest's own allocator at the host's call.
    let guest = Guest {
        capabilities: &["random"],
        imports: r#"(import "beadle:plugin/random@0.1.0" "bytes" (func $bytes (param i32 i32)))"#,
        items: "(global $left (mut i32) (i32.const 1000000))",
        // Eight bytes for each of the 10,000 that the host allows, and some.
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
async fn a_flood_of_state_ends_at_the_quota_or_the_effects_and_writes_nothing() {
    // A quarter of a mebibyte at a time, under a new key each: 64 MiB are 256 of them, the effects end it at 100.
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
    assert_eq!(run(&guest).await.outcome.unwrap_err().code(), "effect-limit");
}
