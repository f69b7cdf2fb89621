//! Retention: what is old and through goes, slice by slice; nothing else does.

use crate::house::*;
use beadle_model::{EventId, PluginNo};
use beadle_store::step::*;
use beadle_store::{Retained, Retention};

/// All slices of one pass.
async fn pass(house: &House, policy: Retention) -> Retained {
    let mut all = Retained::default();
    loop {
        let slice = house.store.retain(policy, house.clock.now()).await.unwrap();
        all.events += slice.events;
        all.outbox += slice.outbox;
        all.dead += slice.dead;
        if !slice.more {
            return all;
        }
    }
}

#[tokio::test]
async fn only_what_is_old_and_through_goes() {
    let house = House::new();
    let mut events = vec![];
    for n in 0..1200 {
        events.push(NewEvent { place: Place::Nowhere, ..from("1", &format!("{n}")) });
    }
    events.push(from("31600000001", "last"));
    house.append(events).await;
    let last = house.reader.event(EventId(1202)).unwrap().unwrap();
    let (gone, waits) = (
        house.send(&last, PluginNo(1), SendState::Sending).await,
        house.send(&last, PluginNo(1), SendState::Queued).await,
    );
    house.settle(gone, Outcome::Accepted(Some("wamid.x".into()))).await;
    let fence = house.store.fence();
    for id in (1..=1200).filter(|id| *id != 3) {
        house.store.finish(progress(EventId(id), 0, 0), fence).await.unwrap();
    }
    let burial = SetAside {
        fence,
        plugin: PluginNo(1),
        how: Aside::Dead,
        attempts: 1,
        code: "trap".into(),
        error: "x".into(),
        at: NOW.plus_ms(60 * DAY),
        progress: progress(EventId(3), 1, 1),
    };
    house.store.finished_below(EventId(1201)).await.unwrap();
    let policy = Retention { events_ms: 0, outbox_ms: 0, dead_ms: 40 * DAY, ..Retention::default() };
    house.hand.advance_ms(8 * DAY);
    assert_eq!(pass(&house, policy).await, Retained::default(), "eight days are kept whatever is asked for");
    house.hand.advance_ms(1);
    assert_eq!(pass(&house, policy).await.events, 2, "the third is not finished");
    house.store.set_aside(burial).await.unwrap();
    house.store.finished_below(EventId(1201)).await.unwrap();
    assert_eq!(pass(&house, policy).await.events, 1197, "the third has a dead letter");
    house.hand.advance_ms(40 * DAY);
    assert_eq!(pass(&house, policy).await.outbox, 1);
    house.hand.advance_ms(60 * DAY);
    let rest = pass(&house, policy).await;
    assert_eq!((rest.dead, pass(&house, policy).await.events + rest.events), (1, 1));
    assert_eq!(house.state_of(waits), SendState::Queued);
    for (table, rows) in [("events", 2), ("event_bodies", 2), ("outbox", 1), ("outbox_bodies", 1), ("handlings", 0)] {
        assert_eq!(number(&house, &format!("SELECT count(*) FROM {table}")), rows, "{table}");
    }
}

#[tokio::test]
async fn numbers_of_what_is_gone_are_not_given_again() {
    let house = House::new();
    let event = house.said(from("31600000001", "a")).await;
    let message = house.send(&event, PluginNo(1), SendState::Sending).await;
    house.settle(message, Outcome::Accepted(None)).await;
    for id in [EventId(1), event.id] {
        house.store.finish(progress(id, 0, 0), house.store.fence()).await.unwrap();
    }
    house.store.finished_below(EventId(3)).await.unwrap();
    house.hand.advance_ms(400 * DAY);
    assert_eq!(pass(&house, Retention::default()).await, Retained { events: 2, outbox: 1, ..Retained::default() });
    let house = house.reopen();
    assert!(house.store.reserve_message() > message);
    assert_eq!(house.said(from("31600000001", "b")).await.id, EventId(3));
    assert_eq!(ids(&drain(&mut house.store.feed().unwrap(), 9).await), [3]);
}
