//! The waiting room, by itself: order, turns, paces and pauses, with a clock that is a number.

use super::judge::{Pause, problem};
use super::waiting::Waiting;
use super::{OnAmbiguous, Pace, Parcel, Settings};
use beadle_model::{
    Alias, AliasKind, Contact, ContactId, ConversationId, ConversationView, MessageId, Outgoing, PluginNo, Timestamp,
};
use beadle_store::step::{OutboxRow, SendState};
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;

fn settings(pace: Pace, slots: usize) -> Settings {
    let paces = HashMap::from([("shop".to_owned(), pace)]);
    Settings { on_ambiguous: OnAmbiguous::Hold, ambiguous_wait_ms: 60_000, max_in_flight: slots, paces }
}

/// No limit that could be met here.
const FREE: Pace = Pace { messages_per_second: 1_000_000, contact_seconds: 0, contact_burst: 1 };

fn parcel(message: i64, conversation: i64) -> Parcel {
    let contact = Contact {
        id: ContactId(conversation),
        name: None,
        language: None,
        timezone: None,
        created_at: Timestamp(0),
        member_since: None,
        opted_out_since: None,
        marketing_stopped_since: None,
    };
    let view = ConversationView {
        id: ConversationId(conversation),
        channel: "shop".into(),
        contact,
        group: None,
        address: Some(Alias { kind: AliasKind::WaId, value: "16505551234".into() }),
        window_until: Some(Timestamp(i64::MAX)),
        free_entry_until: None,
    };
    let row = OutboxRow {
        message: MessageId(message),
        event: None,
        plugin: PluginNo(1),
        conversation: ConversationId(conversation),
        body: Outgoing::Text { body: "hi".into(), preview_url: false, quote: None },
        reply: true,
        state: SendState::Queued,
        due_at: Timestamp(0),
        attempts: 0,
        created_at: Timestamp(0),
        maybe_twice: false,
    };
    Parcel { row, view: Arc::new(view), asked_at: Timestamp(0) }
}

fn ids(parcels: &[Parcel]) -> Vec<i64> {
    parcels.iter().map(|parcel| parcel.row.message.0).collect()
}

fn end(waiting: &mut Waiting, parcel: &Parcel, now: Timestamp) {
    waiting.free_slot(&parcel.view.channel);
    waiting.free_line(parcel.row.conversation, parcel.row.message, now);
    waiting.forget(parcel.row.message);
}

#[test]
fn a_conversation_goes_one_by_one_and_others_beside_it() {
    let mut waiting = Waiting::new(settings(FREE, 10));
    for (message, conversation) in [(1, 1), (2, 1), (3, 2)] {
        waiting.put(parcel(message, conversation));
    }
    let now = Timestamp(1000);
    let go = waiting.collect(now, 10);
    assert_eq!(ids(&go), [1, 3]);
    assert!(waiting.collect(now, 10).is_empty());
    assert!(!waiting.take_now(&parcel(4, 1), now), "1 is on its way and 2 is before it");
    end(&mut waiting, &go[0], now);
    assert_eq!(ids(&waiting.collect(now, 10)), [2]);
}

#[test]
fn a_slot_that_is_free_is_taken_at_once() {
    let mut waiting = Waiting::new(settings(FREE, 1));
    let now = Timestamp(1000);
    let first = parcel(1, 1);
    assert!(waiting.take_now(&first, now));
    assert!(!waiting.take_now(&parcel(2, 2), now), "there is one slot");
    end(&mut waiting, &first, now);
    assert!(waiting.take_now(&parcel(2, 2), now));
}

#[test]
fn a_fast_contact_waits_for_the_pair_rate_and_holds_back_nobody() {
    let pace = Pace { messages_per_second: 1_000_000, contact_seconds: 6, contact_burst: 2 };
    let mut waiting = Waiting::new(settings(pace, 10));
    for message in 1..=4 {
        waiting.put(parcel(message, 1));
    }
    let mut now = Timestamp(1000);
    let mut times = Vec::new();
    loop {
        // As the loop does: whatever ends may let the next one go at the same moment.
        while let Some(parcel) = waiting.collect(now, 1).pop() {
            times.push(now.as_ms());
            end(&mut waiting, &parcel, now);
        }
        let other = parcel(100 + now.as_ms(), now.as_ms());
        assert!(waiting.take_now(&other, now), "another contact goes at once");
        end(&mut waiting, &other, now);
        if waiting.count() == 0 {
            break;
        }
        now = waiting.wake_at(now).unwrap();
    }
    assert_eq!(times, [1000, 1000, 7000, 13_000]);
}

#[test]
fn a_channel_in_trouble_waits_ever_longer_and_tries_with_one() {
    let mut waiting = Waiting::new(settings(FREE, 10));
    let channel = Arc::from("shop");
    (1..=5).for_each(|n| waiting.put(parcel(n, n)));
    let short = Pause::Short(problem("platform-unreachable", "", ""));
    let now = Timestamp(1000);
    assert_eq!(waiting.pause(&channel, &short, now), 0);
    assert_eq!(waiting.collect(now, 10).len(), 1, "one at a time after a failure");
    for pause_ms in [1000, 2000, 4000, 8000, 30_000, 30_000] {
        assert_eq!(waiting.pause(&channel, &short, now), pause_ms);
    }
    waiting.free_slot(&channel);
    assert!(waiting.collect(now.plus_ms(29_999), 10).is_empty());
    assert_eq!(waiting.collect(now.plus_ms(30_000), 10).len(), 1);
    waiting.succeeded(&channel);
    assert_eq!(waiting.collect(now.plus_ms(30_000), 10).len(), 3);
}

#[test]
fn what_stopped_an_app_is_over_for_all_its_channels_and_what_stopped_a_channel_is_not() {
    let mut waiting = Waiting::new(settings(FREE, 10));
    let [shop, club, bar] = ["shop", "club", "bar"].map(Arc::<str>::from);
    let (expired, locked) = (Pause::Stopped(problem("190", "", "")), Pause::Stopped(problem("131031", "", "")));
    let now = Timestamp(1000);
    for channel in [&shop, &club, &bar] {
        waiting.pause_with_app(channel, &expired, now);
    }
    // Meanwhile this one has found a reason of its own.
    waiting.pause(&bar, &locked, now);
    assert!(waiting.succeeded(&shop), "all of its app were stopped with it");
    [&shop, &club, &bar].into_iter().for_each(|channel| waiting.app_works(channel));
    let paused: Vec<_> = waiting.paused(now).into_iter().map(|(name, why)| (name, why.unwrap().code)).collect();
    assert_eq!(paused, [(bar.clone(), "131031".to_owned())]);
    assert!(!waiting.succeeded(&bar), "its own reason says nothing of the others");
    assert!(waiting.paused(now).is_empty());
}

#[test]
fn what_comes_back_goes_first_and_not_before_its_time() {
    let mut waiting = Waiting::new(settings(FREE, 10));
    waiting.put(parcel(1, 1));
    waiting.put(parcel(2, 1));
    let now = Timestamp(1000);
    let first = waiting.collect(now, 10).remove(0);
    waiting.free_slot(&first.view.channel);
    waiting.put_first(first, Timestamp(5000));
    waiting.free_line(ConversationId(1), MessageId(1), now);
    assert!(waiting.collect(now, 10).is_empty());
    assert_eq!(waiting.wake_at(now), Some(Timestamp(5000)));
    assert_eq!(ids(&waiting.collect(Timestamp(5000), 10)), [1]);
}

proptest! {
    /// Whatever comes, is taken at once, ends or waits: each conversation goes in order, one at a time, and all of it goes.
    #[test]
    fn order_holds_and_nothing_is_forgotten(steps in prop::collection::vec((0..4i64, any::<bool>(), 0..3usize), 1..200), slots in 1..5usize) {
        let mut waiting = Waiting::new(settings(FREE, slots));
        let (mut going, mut gone): (Vec<Parcel>, Vec<(i64, i64)>) = (Vec::new(), Vec::new());
        let mut now = Timestamp(1000);
        let total = i64::try_from(steps.len()).unwrap();
        for (n, (conversation, at_once, ends)) in (1..).zip(&steps) {
            let parcel = parcel(n, *conversation);
            if *at_once && waiting.take_now(&parcel, now) { going.push(parcel) } else { waiting.put(parcel) }
            going.extend(waiting.collect(now, 2));
            for _ in 0..*ends {
                if let Some(parcel) = going.pop() {
                    gone.push((parcel.row.conversation.0, parcel.row.message.0));
                    end(&mut waiting, &parcel, now);
                }
            }
            prop_assert!(going.len() <= slots && waiting.on_their_way() == going.len());
            let mut busy: Vec<i64> = going.iter().map(|parcel| parcel.row.conversation.0).collect();
            busy.sort_unstable();
            prop_assert!(busy.windows(2).all(|pair| pair[0] != pair[1]));
            now = now.plus_ms(1);
        }
        while waiting.count() + going.len() > 0 {
            going.extend(waiting.collect(now, 100));
            for parcel in going.drain(..) {
                gone.push((parcel.row.conversation.0, parcel.row.message.0));
                end(&mut waiting, &parcel, now);
            }
            now = now.plus_ms(1);
        }
        prop_assert_eq!(i64::try_from(gone.len()).unwrap(), total);
        for conversation in 0..4 {
            let order: Vec<i64> = gone.iter().filter(|it| it.0 == conversation).map(|it| it.1).collect();
            prop_assert!(order.is_sorted());
        }
    }
}
