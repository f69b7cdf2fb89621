//! The lifetime of instances.

use super::*;
use beadle_model::Coded;

/// Claims the first event of an instance, stops the third, and passes others. So the disposition
/// shows how often the instance was used.
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
async fn kept_instance_is_reused_and_dropped_one_is_not() {
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
    assert_eq!(second.outcome.unwrap().disposition, Pass, "the report is dropped here, and the instance with it");
    assert_eq!(plugin.handle(call(3)).await.outcome.unwrap().disposition, Claimed);
}

#[tokio::test]
async fn per_event_isolation_keeps_no_instance() {
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
async fn failure_destroys_the_instance() {
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
async fn discarded_instances_do_not_return() {
    let plugin = load(&sandbox(), &COUNTING).await;
    let (waiting, out) = (plugin.handle(call(1)).await, plugin.handle(call(2)).await);
    waiting.outcome.unwrap().instance.keep();
    plugin.discard_instances();
    assert_eq!(plugin.warm_instances(), 0);
    out.outcome.unwrap().instance.keep();
    assert_eq!(plugin.warm_instances(), 0, "it was in use when the others were discarded");
    plugin.handle(call(3)).await.outcome.unwrap().instance.keep();
    assert_eq!(plugin.warm_instances(), 1);
}

#[tokio::test]
async fn instance_is_replaced_after_its_maximum_of_calls() {
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
async fn idle_instances_are_bounded_in_number_and_memory() {
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
    // Each has 502 pages, 31.4 MiB. Four fit into 128 MiB.
    assert_eq!(large.warm_instances(), 4);
}

#[tokio::test]
async fn concurrent_calls_use_separate_instances() {
    let plugin = load(&sandbox(), &COUNTING).await;
    let calls: Vec<_> = (0..64)
        .map(|id| {
            let plugin = Arc::clone(&plugin);
            tokio::spawn(async move { plugin.handle(call(id)).await.outcome.unwrap() })
        })
        .collect();
    for call in calls {
        // No instance is kept before all calls are done, so each handled its first event.
        assert_eq!(call.await.unwrap().disposition, Claimed);
    }
}
