//! How long an instance lives.

use super::*;
use beadle_model::Coded;

/// Claims the first event that an instance sees and stops the third; else passes. So what it says tells how often its
/// instance was used.
const COUNTING: Guest<'static> = Guest {
    capabilities: &[],
    world: "",
    wit: "",
    imports: "",
    items: "(global $seen (mut i32) (i32.const 0))",
    handle: "(global.set $seen (i32.add (global.get $seen) (i32.const 1)))
        (i32.store8 (i32.const 20) (i32.eq (global.get $seen) (i32.const 1)))
        (if (i32.eq (global.get $seen) (i32.const 3)) (then (i32.store8 (i32.const 20) (i32.const 2))))
        (i32.const 16)",
};

use beadle_model::Disposition::{Claimed, Pass, Stopped};

#[tokio::test]
async fn a_kept_instance_is_used_again_and_a_dropped_one_is_not() {
    let plugin = load(&sandbox(), &COUNTING).await;
    let first = plugin.handle(call(1)).await;
    assert!(first.usage.fresh);
    let first = first.outcome.unwrap();
    assert_eq!(first.disposition, Claimed);
    assert_eq!(plugin.warm_instances(), 0);
    first.instance.keep();
    assert_eq!(plugin.warm_instances(), 1);

    let second = plugin.handle(call(2)).await;
    assert!(!second.usage.fresh);
    assert_eq!(second.outcome.unwrap().disposition, Pass, "the report, and with it the instance, is dropped here");
    assert_eq!(plugin.handle(call(3)).await.outcome.unwrap().disposition, Claimed);
}

#[tokio::test]
async fn per_event_isolation_keeps_nothing() {
    let spec = Spec { isolation: Isolation::PerEvent, ..spec(COUNTING.bytes()) };
    let plugin = sandbox().load(spec).await.unwrap();
    for id in 1..5 {
        let handled = plugin.handle(call(id)).await.outcome.unwrap();
        assert_eq!(handled.disposition, Claimed);
        handled.instance.keep();
    }
    assert_eq!(plugin.warm_instances(), 0);
}

#[tokio::test]
async fn a_failure_destroys_the_instance() {
    let guest = Guest {
        items: "(global $seen (mut i32) (i32.const 0))",
        handle: "(global.set $seen (i32.add (global.get $seen) (i32.const 1)))
            (if (i32.eq (global.get $seen) (i32.const 2)) (then unreachable)) (i32.const 16)",
        ..Guest::default()
    };
    let plugin = load(&sandbox(), &guest).await;
    plugin.handle(call(1)).await.outcome.unwrap().instance.keep();
    assert_eq!(plugin.handle(call(2)).await.outcome.unwrap_err().code(), "trap");
    assert_eq!(plugin.warm_instances(), 0);
    assert!(plugin.handle(call(2)).await.outcome.is_ok());
}

#[tokio::test]
async fn forgotten_instances_do_not_come_back() {
    let plugin = load(&sandbox(), &COUNTING).await;
    let (waiting, out) = (plugin.handle(call(1)).await, plugin.handle(call(2)).await);
    waiting.outcome.unwrap().instance.keep();
    plugin.forget_instances();
    assert_eq!(plugin.warm_instances(), 0);
    out.outcome.unwrap().instance.keep();
    assert_eq!(plugin.warm_instances(), 0, "it was out when the others were forgotten");
    plugin.handle(call(3)).await.outcome.unwrap().instance.keep();
    assert_eq!(plugin.warm_instances(), 1);
}

#[tokio::test]
async fn an_instance_is_renewed_after_its_events() {
    let plugin = load(&sandbox(), &COUNTING).await;
    let mut claimed = vec![];
    for id in 1..=i64::from(crate::limits::INSTANCE_CALLS) + 2 {
        let handled = plugin.handle(call(id)).await.outcome.unwrap();
        match handled.disposition {
            Claimed => claimed.push(id),
            Stopped => assert!(id % 3 == 0 || id > 3),
            Pass => {}
        }
        handled.instance.keep();
    }
    assert_eq!(claimed, [1, i64::from(crate::limits::INSTANCE_CALLS) + 1]);
}

#[tokio::test]
async fn what_waits_is_bounded_by_number_and_by_memory() {
    let sandbox = sandbox();
    let small = load(&sandbox, &COUNTING).await;
    let mut out = vec![];
    for id in 0..40 {
        out.push(small.handle(call(id)).await.outcome.unwrap());
    }
    out.into_iter().for_each(|handled| handled.instance.keep());
    assert_eq!(small.warm_instances(), crate::limits::WARM_INSTANCES);

    let grows = Guest { handle: "(drop (memory.grow (i32.const 500))) (i32.const 16)", ..Guest::default() };
    let large = load(&sandbox, &grows).await;
    let mut out = vec![];
    for id in 0..10 {
        out.push(large.handle(call(id)).await.outcome.unwrap());
    }
    out.into_iter().for_each(|handled| handled.instance.keep());
    // Each has 502 pages, 31.4 MiB: four are within 128 MiB.
    assert_eq!(large.warm_instances(), 4);
}

#[tokio::test]
async fn calls_side_by_side_have_instances_of_their_own() {
    let plugin = load(&sandbox(), &COUNTING).await;
    let calls: Vec<_> = (0..64)
        .map(|id| {
            let plugin = Arc::clone(&plugin);
            tokio::spawn(async move { plugin.handle(call(id)).await.outcome.unwrap() })
        })
        .collect();
    for call in calls {
        // None is kept before all are done, so each saw its first event.
        assert_eq!(call.await.unwrap().disposition, Claimed);
    }
}
