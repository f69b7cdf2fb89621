//! Handlings that are kept for a plugin which cannot be asked now: on disk, in order, each until it went well.

use crate::house::*;
use beadle_model::{EventId, PluginNo, Timestamp};
use beadle_store::Retention;
use beadle_store::shown::EventState;
use beadle_store::step::*;
use std::collections::BTreeSet;

const PLUGIN: PluginNo = PluginNo(1);

fn aside(house: &House, event: EventId, how: Aside, progress: Progress) -> SetAside {
    let (code, error) = ("plugin-suspended".into(), "it is suspended".into());
    SetAside {
        fence: house.store.fence(),
        plugin: PLUGIN,
        how,
        attempts: 0,
        code,
        error,
        at: NOW,
        progress: Progress { event, ..progress },
    }
}

/// So many events that are kept for the plugin, and finished by that.
async fn keep(house: &House, count: i64) -> Vec<EventId> {
    assert_eq!(house.store.plugin_no("tester").await.unwrap(), PLUGIN);
    let mut kept = Vec::new();
    for _ in 0..count {
        // No two of them alike, whatever was removed meanwhile.
        let id = format!("wamid.{:?}", house.events().last().map(|event| event.id));
        let event = house.said(from("31600000001", &id)).await.id;
        let step = aside(house, event, Aside::Waiting, progress(event, 1, 1));
        house.store.set_aside(step).await.unwrap();
        kept.push(event);
    }
    // Who writes first joins, and nobody wants to hear of it here.
    for event in house.events().iter().map(|event| event.id).filter(|id| !kept.contains(id)) {
        house.store.finish(progress(event, 1, 1), house.store.fence()).await.unwrap();
    }
    kept
}

fn waiting(house: &House, but: &[EventId], most: usize) -> Vec<EventId> {
    let but: BTreeSet<_> = but.iter().copied().collect();
    house.reader.waiting(PLUGIN, &but, most).unwrap().iter().map(|one| one.event.id).collect()
}

fn state_of(house: &House, event: EventId) -> (&'static str, EventState) {
    let shown = house.reader.event_shown(event).unwrap().unwrap();
    (shown.handlings.first().map_or("none", |handling| handling.state), shown.row.state)
}

#[tokio::test]
async fn what_is_kept_is_finished_for_the_feed_and_waits_in_order() {
    let house = House::new();
    let kept = keep(&house, 5).await;
    assert_eq!(state_of(&house, kept[0]), ("waiting", EventState::Finished));
    assert_eq!(waiting(&house, &[], 10), kept);
    assert_eq!(waiting(&house, &kept[..2], 2), kept[2..4]);
    assert_eq!(house.reader.waiting_counts().unwrap(), [(PLUGIN, 5)]);
    // It does not hold up the watermark, and a start does not feed it again.
    let next = EventId(kept[4].0 + 1);
    assert_eq!(house.store.finished_below(next).await.unwrap(), next);
    let house = house.reopen();
    assert!(drain(&mut house.store.feed().unwrap(), 10).await.is_empty());
    assert_eq!(waiting(&house, &[], 10), kept);
}

#[tokio::test]
async fn it_waits_until_it_went_well_whatever_happens_between() {
    let house = House::new();
    let kept = keep(&house, 3).await;
    let own = Progress { roster: 2, ..progress(kept[0], 1, 1) };
    // It fails, and the machine with it: still kept, with its tries.
    let failed = FailedTry {
        event: kept[0],
        plugin: PLUGIN,
        kept: true,
        attempts: 2,
        code: "trap".into(),
        error: "unreachable".into(),
        next_at: Timestamp(NOW.0 + 1000),
    };
    house.store.failed_try(failed).await.unwrap();
    let house = house.crashed();
    let first = &house.reader.waiting(PLUGIN, &BTreeSet::new(), 10).unwrap()[0];
    assert_eq!((first.event.id, first.attempts), (kept[0], 2));
    // Others who are through with the event change nothing about it.
    house.store.finish(progress(kept[0], 1, 1), house.store.fence()).await.unwrap();
    assert_eq!(waiting(&house, &[], 10), kept);
    house.store.commit(Commit { kept: true, progress: own, ..house.commit(kept[0], PLUGIN) }).await.unwrap();
    assert_eq!(waiting(&house, &[], 10), kept[1..]);
    assert_eq!(state_of(&house, kept[0]), ("done", EventState::Finished));
    // Given up it is a dead letter, as any other.
    house.store.set_aside(aside(&house, kept[1], Aside::Dead, progress(kept[1], 1, 1))).await.unwrap();
    assert_eq!(waiting(&house, &[], 10), kept[2..]);
    assert_eq!(state_of(&house, kept[1]).0, "dead");
}

#[tokio::test]
async fn a_place_beyond_the_bits_is_kept_too() {
    let house = House::new();
    let event = keep(&house, 1).await[0];
    let beyond = |done_beyond| Progress { done_beyond, all: 0, all_beyond: 2, ..progress(event, 0, 0) };
    house.store.set_aside(aside(&house, event, Aside::Waiting, beyond(vec![PLUGIN]))).await.unwrap();
    house.store.finish(beyond(vec![PLUGIN, PluginNo(2)]), house.store.fence()).await.unwrap();
    assert_eq!(waiting(&house, &[], 10), [event]);
}

#[tokio::test]
async fn who_is_passed_over_is_told_so_and_not_asked_later() {
    let house = House::new();
    house.store.plugin_no("tester").await.unwrap();
    let event = house.said(from("31600000001", "wamid.in")).await.id;
    house.store.set_aside(aside(&house, event, Aside::PassedOver, progress(event, 1, 1))).await.unwrap();
    assert_eq!(state_of(&house, event), ("passed-over", EventState::Finished));
    assert!(waiting(&house, &[], 10).is_empty());
    assert_eq!(house.reader.counts().unwrap().dead, 0);
}

#[tokio::test]
async fn an_event_that_waits_outlives_its_retention_but_not_for_ever_and_a_purge_ends_it() {
    let house = House::new();
    let kept = keep(&house, 2).await;
    house.store.finished_below(EventId(kept[1].0 + 1)).await.unwrap();
    let policy = Retention { events_ms: 10 * DAY, dead_ms: 60 * DAY, ..Retention::default() };
    house.hand.advance_ms(40 * DAY);
    house.store.retain(policy, house.clock.now()).await.unwrap();
    assert_eq!(waiting(&house, &[], 10), kept);
    assert_eq!(house.store.purge_plugin(PLUGIN).await.unwrap().events, 2);
    assert!(waiting(&house, &[], 10).is_empty());
    let third = keep(&house, 1).await[0];
    house.store.finished_below(EventId(third.0 + 1)).await.unwrap();
    house.hand.advance_ms(61 * DAY);
    house.store.retain(policy, house.clock.now()).await.unwrap();
    assert!(house.reader.waiting_counts().unwrap().is_empty());
}
