//! Guests that misbehave, one way each.

use super::*;
use crate::{Fault, FaultKind, Level};
use beadle_model::{Blame, Coded, Disposition};
use std::time::{Duration, Instant};

async fn fault(guest: &Guest<'_>) -> Fault {
    run(guest).await.outcome.unwrap_err()
}

#[tokio::test]
async fn endless_loop_ends_at_the_cpu_limit() {
    let began = Instant::now();
    let report = run(&Guest { handle: "(loop $on (br $on)) unreachable", ..Guest::default() }).await;
    let fault = report.outcome.unwrap_err();
    assert_eq!(fault.kind, FaultKind::CpuLimit { cpu_ms: 100 });
    assert_eq!(
        fault.to_string(),
        "plugin `guest` exceeded its CPU limit of 100 ms while handling evt_1; \
         if it needs more, raise `[plugins.guest] limits.cpu_ms`"
    );
    assert!((90_000..2_000_000).contains(&report.usage.cpu_us), "{:?}", report.usage);
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn endless_start_function_ends_at_the_cpu_limit() {
    let guest = Guest { items: "(func $start (loop $on (br $on))) (start $start)", ..Guest::default() };
    assert_eq!(fault(&guest).await.code(), "cpu-limit");
}

#[tokio::test]
async fn trap_in_the_start_function_is_a_trap() {
    let fault = fault(&Guest { items: "(func $start unreachable) (start $start)", ..Guest::default() }).await;
    assert_eq!(fault.code(), "trap");
    assert_eq!(fault.backtrace, ["start"]);
}

#[tokio::test]
async fn deep_recursion_overflows_the_stack() {
    let guest = Guest {
        items: "(func $deeper (param i32) (result i32)
            (i32.add (call $deeper (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))",
        handle: "(call $deeper (i32.const 0))",
        ..Guest::default()
    };
    let fault = fault(&guest).await;
    assert_eq!(fault.kind, FaultKind::StackOverflow);
    assert_eq!(fault.blame(), Blame::Plugin);
    assert!(fault.backtrace.len() <= crate::limits::BACKTRACE_FRAMES);
    assert_eq!(fault.backtrace.first().map(String::as_str), Some("deeper"));
}

#[tokio::test]
async fn trap_has_a_backtrace_of_function_names() {
    let guest = Guest {
        items: "(func $divide (param i32) (result i32) (i32.div_s (i32.const 1) (local.get 0)))
                (func $middle (result i32) (call $divide (i32.const 0)))",
        handle: "(call $middle)",
        ..Guest::default()
    };
    let fault = fault(&guest).await;
    assert_eq!(fault.kind, FaultKind::Trap { reason: "wasm trap: integer divide by zero".into() });
    assert_eq!(fault.backtrace.get(..2).unwrap(), ["divide", "middle"]);
}

/// Grows its memory page by page, and aborts as Rust does when it gets no more.
const BOMB: &str = "(loop $on (br_if $on (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable";

#[tokio::test]
async fn abort_after_a_refused_allocation_is_a_memory_limit() {
    let report = run(&Guest { handle: BOMB, ..Guest::default() }).await;
    let fault = report.outcome.unwrap_err();
    assert_eq!(fault.kind, FaultKind::MemoryLimit { memory_mib: 32 });
    assert!(fault.to_string().ends_with("raise `[plugins.guest] limits.memory_mib`"));
    // All but some of the last page: the metadata of the instance counts too.
    assert!(((32 << 20) - (64 << 10)..=32 << 20).contains(&report.usage.memory_bytes));
}

#[tokio::test]
async fn memories_of_an_instance_are_summed() {
    let guest = Guest {
        items: "(memory $second 300) (memory $third 200)",
        handle: "(drop (memory.grow $second (i32.const 64))) unreachable",
        ..Guest::default()
    };
    // 2 + 300 + 200 pages are 31.4 MiB. Each memory alone could grow by 64 pages.
    assert_eq!(fault(&guest).await.code(), "memory-limit");
}

#[tokio::test]
async fn initial_memories_over_the_limit_are_a_memory_limit() {
    let guest = Guest { items: "(memory $second 300) (memory $third 300)", ..Guest::default() };
    assert_eq!(fault(&guest).await.kind, FaultKind::MemoryLimit { memory_mib: 32 });
}

#[tokio::test]
async fn tables_count_as_memory() {
    let guest = Guest {
        items: "(table $t 1 funcref)",
        handle: "(loop $on
            (br_if $on (i32.ne (table.grow $t (ref.null func) (i32.const 100000)) (i32.const -1)))) unreachable",
        ..Guest::default()
    };
    assert_eq!(fault(&guest).await.code(), "memory-limit");
}

#[tokio::test]
async fn refused_allocation_alone_is_no_fault() {
    let guest = Guest { handle: "(drop (memory.grow (i32.const 10000))) (i32.const 16)", ..Guest::default() };
    assert!(run(&guest).await.outcome.is_ok());
}

#[tokio::test]
async fn invalid_return_value_is_a_trap() {
    for handle in ["(i32.store8 (i32.const 16) (i32.const 9)) (i32.const 16)", "(i32.const -4)", "(i32.const 17)"] {
        assert_eq!(fault(&Guest { handle, ..Guest::default() }).await.code(), "trap", "{handle}");
    }
}

/// `err(retry("busy"))` or `err(give-up(…))`, by the number.
fn failing(failure: u8) -> String {
    format!(
        "(i32.store8 (i32.const 16) (i32.const 1)) (i32.store8 (i32.const 20) (i32.const {failure}))
         (i32.store (i32.const 24) (i32.const 1024)) (i32.store (i32.const 28) (i32.const 5)) (i32.const 16)"
    )
}

#[tokio::test]
async fn reason_of_a_returned_failure_is_kept() {
    let items = r#"(data (i32.const 1024) "bu\0asy")"#;
    let retry = fault(&Guest { items, handle: &failing(0), ..Guest::default() }).await;
    assert_eq!(retry.kind, FaultKind::Retry { reason: "bu sy".into() });
    assert!(retry.retried());
    let gave_up = fault(&Guest { items, handle: &failing(1), ..Guest::default() }).await;
    assert_eq!(gave_up.to_string(), "plugin `guest` gave up (bu sy) while handling evt_1");
    assert!(!gave_up.retried());
}

#[tokio::test]
async fn giving_up_after_an_opt_out_passes_the_event() {
    let send = "(call $send_text (i32.const 0) (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
        (i32.const 64))";
    let handle = format!("{send} {}", failing(1));
    let guest = Guest {
        capabilities: &["replies"],
        imports: capabilities::REPLIES,
        items: r#"(data (i32.const 1024) "no one")"#,
        handle: &handle,
        ..Guest::default()
    };
    let plugin = load(&sandbox(), &guest).await;
    let mut opted_out = conversation();
    opted_out.contact.opted_out_since = Some(NOW);
    let event = Event { conversation: Some(Arc::new(opted_out)), ..event(1) };
    let report = plugin.handle(call_with(event)).await;
    let handled = report.outcome.unwrap();
    assert_eq!(handled.disposition, Disposition::Pass);
    assert!(handled.effects.is_empty());
    assert!(report.log.iter().any(|line| line.level == Level::Debug), "{:?}", report.log);
    // Giving up for any other reason is a failure.
    let fault = plugin.handle(call(2)).await.outcome.unwrap_err();
    assert_eq!(fault.code(), "plugin-gave-up");
}

#[tokio::test]
async fn panic_in_the_host_ends_one_call() {
    let sandbox = sandbox_with(Arc::new(|| panic!("no more ids")));
    let plugin = load(&sandbox, &capabilities::echo()).await;
    let fault = plugin.handle(call(1)).await.outcome.unwrap_err();
    assert_eq!(fault.kind, FaultKind::HostPanic { reason: "no more ids".into() });
    assert_eq!(fault.blame(), Blame::Host);
    assert_eq!(plugin.warm_instances(), 0);
    let quiet = load(&sandbox, &Guest::default()).await;
    assert!(quiet.handle(call(2)).await.outcome.is_ok());
}

#[tokio::test]
async fn unexported_event_is_blamed_on_the_host() {
    let plugin = load(&sandbox(), &Guest::default()).await;
    let left = Event { body: EventBody::MemberLeft { reason: "stop".into() }, ..event(1) };
    let fault = plugin.handle(call_with(left)).await.outcome.unwrap_err();
    assert_eq!((fault.code(), fault.blame()), ("not-subscribed", Blame::Host));
}

#[tokio::test]
async fn plugin_at_its_cpu_limit_does_not_starve_others() {
    let sandbox = sandbox();
    let hog = load(&sandbox, &Guest { handle: "(loop $on (br $on)) unreachable", ..Guest::default() }).await;
    let good = load(&sandbox, &capabilities::echo()).await;
    let hogging: Vec<_> = (0..20)
        .map(|id| {
            let hog = Arc::clone(&hog);
            tokio::spawn(async move { hog.handle(call(id)).await })
        })
        .collect();
    // Twenty calls of 100 ms, four at a time on two threads, take a second. The other plugin is
    // done long before.
    for id in 100..150 {
        assert!(good.handle(call(id)).await.outcome.is_ok());
    }
    assert!(hogging.iter().any(|call| !call.is_finished()), "the other plugin waited for all of them");
    for call in hogging {
        let fault = call.await.unwrap().outcome.unwrap_err();
        assert_eq!(fault.code(), "cpu-limit");
    }
}

#[tokio::test]
async fn dropped_call_releases_its_permit() {
    let sandbox = sandbox();
    let mut limits = Limits { cpu_ms: 60_000, wall_ms: 60_000, ..Limits::default() };
    let looping = Guest { handle: "(loop $on (br $on)) unreachable", ..Guest::default() }.bytes();
    let plugin = sandbox.load(Spec { limits, ..spec(looping) }).await.unwrap();
    for id in 0..8 {
        // Twice as many as may run at once: later calls wait until earlier ones have ended.
        let call = tokio::time::timeout(Duration::from_millis(20), plugin.handle(call(id)));
        assert!(call.await.is_err());
    }
    limits.cpu_ms = 1;
    let other = sandbox.load(Spec { limits, ..spec(Guest::default().bytes()) }).await.unwrap();
    assert!(other.handle(call(9)).await.outcome.is_ok());
}

#[tokio::test]
async fn metadata_of_instances_counts_as_memory() {
    let globals = "(global i64 (i64.const 1))".repeat(100_000);
    let guest = Guest { items: &globals, ..Guest::default() };
    let sandbox = sandbox();
    let mut spec = spec(guest.bytes());
    spec.limits.memory_mib = 1;
    let error = sandbox.load(spec).await.map(drop).unwrap_err();
    assert!(matches!(error, LoadError::Memory { needs_mib: 2, memory_mib: 1, .. }), "{error}");
}

#[tokio::test]
async fn memories_grow_by_what_the_metadata_leaves() {
    // The globals take 1.5 MiB and the memory begins with two pages: of 2 MiB, about six are left.
    let globals = "(global i64 (i64.const 1))".repeat(100_000);
    for (pages, fits) in [(4, true), (16, false)] {
        let handle =
            format!("(if (i32.eq (memory.grow (i32.const {pages})) (i32.const -1)) (then unreachable)) (i32.const 16)");
        let guest = Guest { items: &globals, handle: &handle, ..Guest::default() };
        let sandbox = sandbox();
        let mut spec = spec(guest.bytes());
        spec.limits.memory_mib = 2;
        let outcome = sandbox.load(spec).await.unwrap().handle(call(1)).await.outcome;
        assert_eq!(outcome.map(drop).map_err(|fault| fault.code()), if fits { Ok(()) } else { Err("memory-limit") });
    }
}

#[tokio::test]
async fn cpu_time_is_compared_after_a_call_that_was_not_interrupted() {
    // Filling memory is one instruction, during which nothing is checked.
    let guest = Guest {
        handle: "(drop (memory.grow (i32.const 256)))
            (memory.fill (i32.const 131072) (i32.const 1) (i32.const 16777216))
            (i32.const 16)",
        ..Guest::default()
    };
    let sandbox = sandbox();
    let mut spec = spec(guest.bytes());
    spec.limits.cpu_ms = 1;
    let plugin = sandbox.load(spec).await.unwrap();
    let fault = plugin.handle(call(1)).await.outcome.map(drop).unwrap_err();
    assert_eq!(fault.kind, FaultKind::CpuLimit { cpu_ms: 1 });
}

/// A server need not have gigabytes of address space for a plugin of a few MiB.
#[tokio::test]
async fn no_memory_reserves_gigabytes() {
    let sandbox = sandbox();
    let plugin = load(&sandbox, &Guest::default()).await;
    let report = plugin.handle(call(1)).await;
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let size = |line: &str| {
        let (start, end) = line.split_once(' ')?.0.split_once('-')?;
        Some(u64::from_str_radix(end, 16).ok()? - u64::from_str_radix(start, 16).ok()?)
    };
    assert!(maps.lines().filter_map(size).max().unwrap() < 4 << 30);
    drop(report);
}

/// A guest that may call `$create`; the media type is at 2048.
fn creates_files(handle: &str) -> Guest<'_> {
    Guest {
        capabilities: &["media"],
        imports: r#"(import "beadle:plugin/media@0.1.0" "create"
            (func $create (param i32 i32 i32 i32 i32 i32 i32 i32)))"#,
        items: r#"(data (i32.const 2048) "image/png")"#,
        handle,
        ..Guest::default()
    }
}

#[tokio::test]
async fn files_of_failed_and_dry_calls_are_deleted() {
    let sandbox = sandbox();
    let files = || {
        let folder = sandbox.store.reader().files().path(beadle_model::MediaId(1));
        let folders = folder.parent().unwrap().parent().unwrap().read_dir().into_iter().flatten();
        folders.flatten().filter_map(|folder| folder.path().read_dir().ok()).flatten().count()
    };
    for (end, left) in [("unreachable", 0), ("(i32.const 16)", 1)] {
        let handle = format!(
            "(call $create (i32.const 2048) (i32.const 9) (i32.const 0) (i32.const 0) (i32.const 0)
                (i32.const 2048) (i32.const 9) (i32.const 64))
            (if (i32.load8_u (i32.const 64)) (then unreachable))
            {end}"
        );
        let guest = creates_files(&handle);
        let plugin = load(&sandbox, &guest).await;
        let report = plugin.dry_run(call(1)).await;
        assert_eq!(files(), 0, "dry run ending with {end}");
        assert_eq!(report.outcome.map_or(0, |handled| handled.effects.media.len()), left);
        let report = plugin.handle(call(1)).await;
        assert_eq!(report.outcome.is_ok(), left == 1);
        assert_eq!(files(), left, "call ending with {end}");
    }
}

#[tokio::test]
async fn file_of_sixteen_mebibytes_can_be_created_and_a_larger_one_is_refused() {
    for (bytes, refused) in [(16 << 20, 0), ((16 << 20) + 1, 1)] {
        let handle = format!(
            "(drop (memory.grow (i32.const 270)))
            (call $create (i32.const 2048) (i32.const 9) (i32.const 0) (i32.const 0) (i32.const 0)
                (i32.const 65536) (i32.const {bytes}) (i32.const 64))
            (if (i32.ne (i32.load8_u (i32.const 64)) (i32.const {refused})) (then unreachable))
            (i32.const 16)"
        );
        let guest = creates_files(&handle);
        let limits = Limits { cpu_ms: 10_000, ..Limits::default() };
        let sandbox = sandbox();
        let plugin = sandbox.load(Spec { limits, ..spec(guest.bytes()) }).await.unwrap();
        let report = plugin.dry_run(call(1)).await;
        assert!(report.outcome.is_ok(), "{bytes}: {:?}", report.outcome.err());
    }
}

#[tokio::test]
async fn file_with_a_long_name_is_refused() {
    // The name is at 4096, where all bytes are zero.
    for (length, refused) in [(1, 0), (255, 0), (256, 1), (60_000, 1)] {
        let handle = format!(
            "(call $create (i32.const 2048) (i32.const 9) (i32.const 1) (i32.const 4096) (i32.const {length})
                (i32.const 2048) (i32.const 9) (i32.const 64))
            (if (i32.ne (i32.load8_u (i32.const 64)) (i32.const {refused})) (then unreachable))
            (i32.const 16)"
        );
        let report = run(&creates_files(&handle)).await;
        assert_eq!(report.outcome.unwrap().effects.media.len(), 1 - refused, "{length} bytes");
    }
}
