//! The queue by itself: order, turns, paces and pauses, with a clock that is a number.

use super::classify::{ChannelPause, problem};
use super::queue::{PendingSend, Queue};
use super::settings::{OnAmbiguous, Pace, Settings};
use beadle_model::{
    Alias, AliasKind, Contact, ContactId, ConversationId, ConversationView, MessageId, Outgoing, PluginNo, Timestamp,
};
use beadle_store::step::{OutboxRow, SendState};
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;

fn settings(pace: Pace, max_in_flight: usize) -> Settings {
    let paces = HashMap::from([("shop".to_owned(), pace)]);
    Settings { on_ambiguous: OnAmbiguous::Hold, ambiguous_wait_ms: 60_000, max_in_flight, paces }
}

/// Without limits.
const FREE: Pace = Pace { messages_per_second: 1_000_000, contact_seconds: 0, contact_burst: 1 };

fn pending(message: i64, conversation: i64) -> PendingSend {
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
    PendingSend { row, view: Arc::new(view), checked_at: Timestamp(0) }
}

fn ids(sends: &[PendingSend]) -> Vec<i64> {
    sends.iter().map(|pending| pending.row.message.0).collect()
}

fn end(queue: &mut Queue, pending: &PendingSend, now: Timestamp) {
    queue.landed(&pending.view.channel);
    queue.unblock(pending.row.conversation, pending.row.message, now);
    queue.forget(pending.row.message);
}

#[test]
fn messages_of_one_conversation_leave_one_at_a_time() {
    let mut queue = Queue::new(settings(FREE, 10));
    for (message, conversation) in [(1, 1), (2, 1), (3, 2)] {
        queue.push_back(pending(message, conversation));
    }
    let now = Timestamp(1000);
    let go = queue.start(now, 10);
    assert_eq!(ids(&go), [1, 3]);
    assert!(queue.start(now, 10).is_empty());
    assert!(!queue.start_now(&pending(4, 1), now), "1 is in flight and 2 is before it");
    end(&mut queue, &go[0], now);
    assert_eq!(ids(&queue.start(now, 10)), [2]);
}

#[test]
fn a_free_channel_is_used_at_once() {
    let mut queue = Queue::new(settings(FREE, 1));
    let now = Timestamp(1000);
    let first = pending(1, 1);
    assert!(queue.start_now(&first, now));
    assert!(!queue.start_now(&pending(2, 2), now), "one at a time");
    end(&mut queue, &first, now);
    assert!(queue.start_now(&pending(2, 2), now));
}

#[test]
fn the_pair_rate_delays_one_contact_only() {
    let pace = Pace { messages_per_second: 1_000_000, contact_seconds: 6, contact_burst: 2 };
    let mut queue = Queue::new(settings(pace, 10));
    for message in 1..=4 {
        queue.push_back(pending(message, 1));
    }
    let mut now = Timestamp(1000);
    let mut times = Vec::new();
    loop {
        // As the dispatcher does: an end may let the next one go at the same moment.
        while let Some(pending) = queue.start(now, 1).pop() {
            times.push(now.as_ms());
            end(&mut queue, &pending, now);
        }
        let other = pending(100 + now.as_ms(), now.as_ms());
        assert!(queue.start_now(&other, now), "another contact goes at once");
        end(&mut queue, &other, now);
        if queue.len() == 0 {
            break;
        }
        now = queue.wake_at(now).unwrap();
    }
    assert_eq!(times, [1000, 1000, 7000, 13_000]);
}

#[test]
fn a_failing_channel_is_tried_with_one_message_after_each_pause() {
    let mut queue = Queue::new(settings(FREE, 10));
    let channel = Arc::from("shop");
    (1..=5).for_each(|n| queue.push_back(pending(n, n)));
    let short = ChannelPause::Short(problem("platform-unreachable", "", ""));
    let now = Timestamp(1000);
    assert_eq!(queue.pause(&channel, &short, now), 0);
    assert_eq!(queue.start(now, 10).len(), 1, "one at a time after a failure");
    for pause_ms in [1000, 2000, 4000, 8000, 30_000, 30_000] {
        assert_eq!(queue.pause(&channel, &short, now), pause_ms);
    }
    queue.landed(&channel);
    assert!(queue.start(now.plus_ms(29_999), 10).is_empty());
    assert_eq!(queue.start(now.plus_ms(30_000), 10).len(), 1);
    queue.succeeded(&channel);
    assert_eq!(queue.start(now.plus_ms(30_000), 10).len(), 3);
}

#[test]
fn a_success_resumes_what_was_stopped_with_the_app() {
    let mut queue = Queue::new(settings(FREE, 10));
    let [shop, club, bar] = ["shop", "club", "bar"].map(Arc::<str>::from);
    let (expired, locked) =
        (ChannelPause::Stopped(problem("190", "", "")), ChannelPause::Stopped(problem("131031", "", "")));
    let now = Timestamp(1000);
    for channel in [&shop, &club, &bar] {
        queue.pause_with_app(channel, &expired, now);
    }
    // Meanwhile this one has a reason of its own.
    queue.pause(&bar, &locked, now);
    assert!(queue.succeeded(&shop), "all of its app were stopped with it");
    [&shop, &club, &bar].into_iter().for_each(|channel| queue.app_recovered(channel));
    let paused: Vec<_> = queue.paused(now).into_iter().map(|(name, why)| (name, why.unwrap().code)).collect();
    assert_eq!(paused, [(bar.clone(), "131031".to_owned())]);
    assert!(!queue.succeeded(&bar), "its own reason says nothing about the others");
    assert!(queue.paused(now).is_empty());
}

#[test]
fn a_requeued_message_leaves_first_at_its_time() {
    let mut queue = Queue::new(settings(FREE, 10));
    queue.push_back(pending(1, 1));
    queue.push_back(pending(2, 1));
    let now = Timestamp(1000);
    let first = queue.start(now, 10).remove(0);
    queue.landed(&first.view.channel);
    queue.push_front(first, Timestamp(5000));
    queue.unblock(ConversationId(1), MessageId(1), now);
    assert!(queue.start(now, 10).is_empty());
    assert_eq!(queue.wake_at(now), Some(Timestamp(5000)));
    assert_eq!(ids(&queue.start(Timestamp(5000), 10)), [1]);
}

#[test]
fn a_clock_set_back_ends_pauses_and_waits() {
    let mut queue = Queue::new(settings(FREE, 10));
    let channel = Arc::from("shop");
    let (now, earlier) = (Timestamp(10_000_000_000), Timestamp(1000));
    queue.push_back(pending(1, 1));
    queue.push_back(pending(2, 2));
    // One conversation waits to be tried again, then the channel pauses.
    let first = queue.start(now, 1).remove(0);
    queue.landed(&channel);
    queue.push_front(first.clone(), now.plus_ms(5000));
    queue.unblock(first.row.conversation, first.row.message, now);
    assert_eq!(queue.start(now, 10).len(), 1);
    queue.pause(&channel, &ChannelPause::Stopped(problem("190", "", "")), now);
    queue.landed(&channel);
    assert!(queue.start(now, 10).is_empty());
    assert_eq!(ids(&queue.start(earlier, 10)), [first.row.message.0], "the pause and the wait are over");
}

proptest! {
    /// Whatever is pushed, started at once or ends: each conversation goes in order, one at a time, and all of it goes.
    #[test]
    fn every_message_leaves_in_the_order_of_its_conversation(steps in prop::collection::vec((0..4i64, any::<bool>(), 0..3usize), 1..200), most in 1..5usize) {
        let mut queue = Queue::new(settings(FREE, most));
        let (mut going, mut gone): (Vec<PendingSend>, Vec<(i64, i64)>) = (Vec::new(), Vec::new());
        let mut now = Timestamp(1000);
        let total = i64::try_from(steps.len()).unwrap();
        for (n, (conversation, at_once, ends)) in (1..).zip(&steps) {
            let new = pending(n, *conversation);
            if *at_once && queue.start_now(&new, now) { going.push(new) } else { queue.push_back(new) }
            going.extend(queue.start(now, 2));
            for _ in 0..*ends {
                if let Some(pending) = going.pop() {
                    gone.push((pending.row.conversation.0, pending.row.message.0));
                    end(&mut queue, &pending, now);
                }
            }
            prop_assert!(going.len() <= most && queue.in_flight() == going.len());
            let mut busy: Vec<i64> = going.iter().map(|pending| pending.row.conversation.0).collect();
            busy.sort_unstable();
            prop_assert!(busy.windows(2).all(|pair| pair[0] != pair[1]));
            now = now.plus_ms(1);
        }
        while queue.len() + going.len() > 0 {
            going.extend(queue.start(now, 100));
            for pending in going.drain(..) {
                gone.push((pending.row.conversation.0, pending.row.message.0));
                end(&mut queue, &pending, now);
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
