//! The queue by itself: order, turns, paces, pauses and shares, with a clock that is a number and a
//! disk that is a map.

use super::classify::{ChannelPause, problem};
use super::queue::{PendingSend, Queue, ReadRows};
use super::settings::{OnAmbiguous, Pace, Settings};
use beadle_model::{
    Alias, AliasKind, Contact, ContactId, ConversationId, ConversationView, MessageId, Outgoing, PluginNo, Timestamp,
};
use beadle_store::step::{OutboxPlace, OutboxRow, SendState};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

fn settings(pace: Pace, max_in_flight: usize) -> Settings {
    let paces = HashMap::from([("shop".to_owned(), pace)]);
    Settings { on_ambiguous: OnAmbiguous::Hold, ambiguous_wait_ms: 60_000, max_in_flight, paces }
}

/// A queue at a start with nothing on disk.
fn queue(settings: Settings) -> Queue {
    let mut queue = Queue::new(settings);
    assert!(queue.begin_lookup());
    queue.take_channels(vec![]);
    queue
}

/// The queued rows on disk.
#[derive(Default)]
struct Disk(BTreeMap<OutboxPlace, PendingSend>);

impl Disk {
    /// A new row is committed.
    fn commit(&mut self, queue: &mut Queue, pending: PendingSend) {
        self.0.insert(pending.place(), pending.clone());
        queue.arrive(pending);
    }

    /// Reads all that the queue asks for. `meanwhile`: committed while the first read runs.
    fn read(&mut self, queue: &mut Queue, now: Timestamp, mut meanwhile: Vec<PendingSend>) {
        while let Some(request) = queue.next_read(now, now) {
            let of_channel = |pending: &&PendingSend| pending.view.channel == request.channel;
            let range = (Bound::Excluded(request.after), Bound::Unbounded);
            let mut rest = self.0.range(range).map(|(_, pending)| pending).filter(of_channel);
            let rows: Vec<_> = rest.by_ref().take(request.rows).cloned().collect();
            let (last, is_end) = (rows.last().map(PendingSend::place), rest.next().is_none());
            meanwhile.drain(..).for_each(|pending| self.commit(queue, pending));
            queue.take_in(&request, ReadRows { rows, last, is_end, next_due: None });
        }
        meanwhile.into_iter().for_each(|pending| self.commit(queue, pending));
    }

    /// What goes now; it is claimed.
    fn start(&mut self, queue: &mut Queue, now: Timestamp, most: usize) -> Vec<PendingSend> {
        let started = queue.start(now, most);
        started.iter().for_each(|pending| assert!(self.0.remove(&pending.place()).is_some(), "sent twice"));
        started
    }

    /// It is queued again.
    fn put_back(&mut self, queue: &mut Queue, pending: PendingSend, at: Timestamp, now: Timestamp) {
        queue.send_ended(&pending.view.channel);
        self.0.insert(pending.place(), pending.clone());
        queue.put_back(pending, at, now);
    }
}

/// Without limits.
const FREE: Pace = Pace { messages_per_second: 1_000_000, contact_seconds: 0, contact_burst: 1 };

fn pending(message: i64, conversation: i64) -> PendingSend {
    pending_on("shop", message, conversation)
}

fn pending_on(channel: &str, message: i64, conversation: i64) -> PendingSend {
    let contact = Contact {
        id: ContactId(conversation),
        name: None,
        language: None,
        timezone: None,
        created_at: Timestamp(0),
        member_since: None,
        opted_out_since: None,
        marketing_stopped_since: None,
        profile: None,
    };
    let view = ConversationView {
        id: ConversationId(conversation),
        channel: channel.into(),
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
        options: Default::default(),
        state: SendState::Queued,
        due_at: Timestamp(0),
        attempts: 0,
        created_at: Timestamp(0),
        possibly_duplicate: false,
    };
    PendingSend { row, view: Arc::new(view), checked_at: Timestamp(0) }
}

fn ids(sends: &[PendingSend]) -> Vec<i64> {
    sends.iter().map(|pending| pending.row.message.0).collect()
}

fn end(queue: &mut Queue, pending: &PendingSend, now: Timestamp) {
    queue.send_ended(&pending.view.channel);
    queue.unblock(pending.row.conversation, pending.row.message, now);
    queue.forget(pending.row.message);
}

#[test]
fn messages_of_one_conversation_leave_one_at_a_time() {
    let mut queue = queue(settings(FREE, 10));
    for (message, conversation) in [(1, 1), (2, 1), (3, 2)] {
        queue.arrive(pending(message, conversation));
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
fn free_channel_is_used_at_once() {
    let mut queue = queue(settings(FREE, 1));
    let now = Timestamp(1000);
    let first = pending(1, 1);
    assert!(queue.start_now(&first, now));
    assert!(!queue.start_now(&pending(2, 2), now), "one at a time");
    end(&mut queue, &first, now);
    assert!(queue.start_now(&pending(2, 2), now));
}

#[test]
fn pair_rate_delays_one_contact_only() {
    let pace = Pace { messages_per_second: 1_000_000, contact_seconds: 6, contact_burst: 2 };
    let mut queue = queue(settings(pace, 10));
    for message in 1..=4 {
        queue.arrive(pending(message, 1));
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
fn failing_channel_is_tried_with_one_message_after_each_pause() {
    let (mut queue, mut disk) = (queue(settings(FREE, 10)), Disk::default());
    let channel = Arc::from("shop");
    (1..=5).for_each(|n| disk.commit(&mut queue, pending(n, n)));
    let short = ChannelPause::Short(problem("platform-unreachable", "", ""));
    let now = Timestamp(1000);
    assert_eq!(queue.pause(&channel, &short, now), 0);
    let tried = disk.start(&mut queue, now, 10);
    assert_eq!(tried.len(), 1, "one at a time after a failure");
    for pause_ms in [1000, 2000, 4000, 8000, 30_000, 30_000] {
        assert_eq!(queue.pause(&channel, &short, now), pause_ms);
    }
    disk.put_back(&mut queue, tried[0].clone(), now, now);
    disk.read(&mut queue, now.plus_ms(29_999), vec![]);
    assert_eq!((queue.len(), queue.wake_at(now)), (0, Some(now.plus_ms(30_000))), "a paused channel holds nothing");
    let now = now.plus_ms(30_000);
    disk.read(&mut queue, now, vec![]);
    assert_eq!(ids(&disk.start(&mut queue, now, 10)), [1]);
    queue.succeeded(&pending(1, 1), now);
    assert_eq!(ids(&disk.start(&mut queue, now, 10)), [2, 3, 4, 5]);
}

#[test]
fn success_resumes_what_was_stopped_with_the_app() {
    let mut queue = queue(settings(FREE, 10));
    let [shop, club, bar] = ["shop", "club", "bar"].map(Arc::<str>::from);
    let (expired, locked) =
        (ChannelPause::Stopped(problem("190", "", "")), ChannelPause::Stopped(problem("131031", "", "")));
    let now = Timestamp(1000);
    for channel in [&shop, &club, &bar] {
        queue.pause_with_app(channel, &expired, now);
    }
    // Meanwhile this one has a reason of its own.
    queue.pause(&bar, &locked, now);
    assert!(queue.succeeded(&pending_on(&shop, 1, 1), now), "all of its app were stopped with it");
    [&shop, &club, &bar].into_iter().for_each(|channel| queue.app_recovered(channel));
    let paused: Vec<_> = queue.paused(now).into_iter().map(|(name, cause)| (name, cause.unwrap().code)).collect();
    assert_eq!(paused, [(bar.clone(), "131031".to_owned())]);
    assert!(!queue.succeeded(&pending_on(&bar, 2, 2), now), "its own reason says nothing about the others");
    assert!(queue.paused(now).is_empty());
}

#[test]
fn receipt_stops_a_channel_until_a_receipt_shows_that_it_works() {
    let (mut queue, mut disk) = (queue(settings(FREE, 10)), Disk::default());
    let channel = Arc::from("shop");
    let payment = ChannelPause::Stopped(problem("131042", "", ""));
    let now = Timestamp(1000);
    (1..=5).for_each(|n| disk.commit(&mut queue, pending(n, n)));
    assert_eq!(disk.start(&mut queue, now, 1).len(), 1);
    assert_eq!(queue.pause_by_receipt(&channel, &payment, false, now), Some(60_000));
    assert_eq!(queue.pause_by_receipt(&channel, &payment, false, now), None, "reported once");
    queue.send_ended(&channel);
    queue.succeeded(&pending(1, 1), now);
    assert!(queue.trials_succeeded(&[MessageId(1)]).is_empty(), "it was sent before");
    // One message a minute is tried; that the platform accepts it means nothing yet.
    let (first, second) = (now.plus_ms(60_000), now.plus_ms(120_000));
    disk.read(&mut queue, first, vec![]);
    assert_eq!(ids(&disk.start(&mut queue, first, 10)), [2]);
    queue.send_ended(&channel);
    queue.succeeded(&pending(2, 2), first);
    disk.read(&mut queue, first, vec![]);
    assert!(disk.start(&mut queue, first, 10).is_empty());
    disk.read(&mut queue, second, vec![]);
    assert_eq!(ids(&disk.start(&mut queue, second, 10)), [3]);
    assert_eq!(queue.paused(second).len(), 1);
    queue.send_ended(&channel);
    assert_eq!(queue.trials_succeeded(&[MessageId(2)]), [(channel, false)]);
    disk.read(&mut queue, second, vec![]);
    assert_eq!(ids(&disk.start(&mut queue, second, 10)), [4, 5]);
    assert!(queue.paused(second).is_empty());
}

#[test]
fn receipts_slow_a_channel_once_per_pause() {
    let mut queue = queue(settings(FREE, 10));
    let channel = Arc::from("shop");
    let rate = ChannelPause::Short(problem("130429", "", ""));
    let now = Timestamp(1000);
    let pauses: Vec<_> = (0..50).map(|_| queue.pause_by_receipt(&channel, &rate, false, now)).collect();
    assert_eq!(pauses.into_iter().flatten().collect::<Vec<_>>(), [0, 1000]);
}

#[test]
fn receipt_slows_one_recipient_alone() {
    let mut queue = queue(settings(FREE, 10));
    let channel = Arc::from("shop");
    let now = Timestamp(1000);
    (2..=3).for_each(|n| queue.arrive(pending(n, n)));
    queue.slow(ConversationId(2), &channel, now.plus_ms(4000), now);
    assert_eq!(ids(&queue.start(now, 10)), [3]);
    queue.send_ended(&channel);
    assert_eq!(ids(&queue.start(now.plus_ms(4000), 10)), [2]);
}

#[test]
fn requeued_message_leaves_first_at_its_time() {
    let mut queue = queue(settings(FREE, 10));
    queue.arrive(pending(1, 1));
    queue.arrive(pending(2, 1));
    let now = Timestamp(1000);
    let first = queue.start(now, 10).remove(0);
    queue.send_ended(&first.view.channel);
    queue.put_back(first, Timestamp(5000), now);
    assert!(queue.start(now, 10).is_empty());
    assert_eq!(queue.wake_at(now), Some(Timestamp(5000)));
    assert_eq!(ids(&queue.start(Timestamp(5000), 10)), [1]);
}

#[test]
fn paused_channel_leaves_the_others_their_share() {
    let (mut queue, mut disk) = (queue(settings(FREE, 10)), Disk::default());
    let now = Timestamp(1000);
    let shop = Arc::from("shop");
    for n in 1..=25_000 {
        disk.commit(&mut queue, pending(n, n % 100));
    }
    assert!((10_000..=20_000).contains(&queue.len()), "{}", queue.len());
    queue.pause(&shop, &ChannelPause::Stopped(problem("190", "", "")), now);
    assert_eq!(queue.len(), 0);
    let club = |n| pending_on("club", n, n);
    disk.commit(&mut queue, club(30_001));
    assert_eq!(ids(&disk.start(&mut queue, now, 10)), [30_001], "at once");
    disk.read(&mut queue, now, vec![]);
    assert_eq!(queue.len(), 0, "the paused channel is not read");
    // Once it works again, everything leaves in order.
    queue.succeeded(&pending(1, 1), now);
    let mut gone = HashMap::<ConversationId, i64>::new();
    let mut count = 0;
    while count < 25_000 {
        disk.read(&mut queue, now, vec![]);
        assert!(queue.len() <= 20_000);
        let started = disk.start(&mut queue, now, 512);
        assert!(!started.is_empty(), "{count} left");
        for pending in started {
            let last = gone.insert(pending.row.conversation, pending.row.message.0);
            assert!(last < Some(pending.row.message.0));
            count += 1;
            end(&mut queue, &pending, now);
        }
    }
    assert!(disk.0.is_empty());
}

#[test]
fn slow_channel_leaves_the_others_their_share() {
    let slow = Pace { messages_per_second: 1, ..FREE };
    let (mut queue, mut disk) = (queue(settings(slow, 10)), Disk::default());
    let now = Timestamp(1000);
    let club = |n| pending_on("club", n, n);
    disk.commit(&mut queue, club(1));
    for n in 2..=25_001 {
        disk.commit(&mut queue, pending(n, n));
    }
    disk.read(&mut queue, now, vec![]);
    assert!(queue.len() <= 10_001, "{} rows of two channels", queue.len());
    for n in 30_001..=35_000 {
        disk.commit(&mut queue, club(n));
    }
    assert!(queue.len() > 15_000, "{}", queue.len());
    let started = disk.start(&mut queue, now, 100);
    let of_slow = started.iter().filter(|pending| &*pending.view.channel == "shop").count();
    assert!(of_slow <= 1 && started.len() >= 5, "{:?}", ids(&started));
}

#[test]
fn share_is_bounded_by_bytes() {
    let (mut queue, mut disk) = (queue(settings(FREE, 10)), Disk::default());
    for n in 1..=100 {
        let mut large = pending(n, n);
        large.row.body = Outgoing::Text { body: "x".repeat(1 << 20), preview_url: false, quote: None };
        disk.commit(&mut queue, large);
    }
    assert!((30..=40).contains(&queue.len()), "{} MiB", queue.len());
}

#[test]
fn rows_of_before_a_start_go_first() {
    let (mut queue, mut disk) = (Queue::new(settings(FREE, 10)), Disk::default());
    let now = Timestamp(1000);
    disk.0.insert(pending(1, 1).place(), pending(1, 1));
    assert!(!queue.start_now(&pending(2, 1), now), "what is on disk is not known yet");
    disk.commit(&mut queue, pending(2, 1));
    assert!(queue.begin_lookup());
    queue.take_channels(vec!["shop".into()]);
    disk.read(&mut queue, now, vec![pending(3, 1)]);
    for expected in 1..=3 {
        let started = disk.start(&mut queue, now, 10);
        assert_eq!(ids(&started), [expected]);
        end(&mut queue, &started[0], now);
    }
    assert!(queue.start_now(&pending(4, 1), now), "everything is in memory");
}

#[test]
fn rescan_during_a_lookup_repeats_it() {
    let (mut queue, mut disk) = (Queue::new(settings(FREE, 10)), Disk::default());
    assert!(queue.begin_lookup());
    // Committed after the lookup's snapshot, unknown to the queue.
    disk.0.insert(pending(1, 1).place(), pending(1, 1));
    queue.rescan();
    queue.take_channels(vec![]);
    assert!(queue.begin_lookup());
    queue.take_channels(vec!["shop".into()]);
    disk.read(&mut queue, Timestamp(1000), vec![]);
    assert_eq!(ids(&disk.start(&mut queue, Timestamp(1000), 10)), [1]);
}

#[test]
fn deferred_row_is_read_when_it_is_due() {
    let (mut queue, mut disk) = (queue(settings(FREE, 10)), Disk::default());
    let now = Timestamp(1000);
    let mut deferred = pending(1, 1);
    deferred.row.due_at = Timestamp(9000);
    disk.0.insert(deferred.place(), deferred);
    queue.defer(&Arc::from("shop"), MessageId(1), Timestamp(9000));
    assert_eq!(queue.next_due(), Some(Timestamp(9000)));
    disk.read(&mut queue, now, vec![]);
    assert!(disk.start(&mut queue, now, 10).is_empty());
    assert!(queue.start_now(&pending(2, 1), now), "others do not wait for it");
    disk.read(&mut queue, Timestamp(9000), vec![]);
    end(&mut queue, &pending(2, 1), now);
    assert_eq!(ids(&disk.start(&mut queue, Timestamp(9000), 10)), [1]);
}

#[test]
fn clock_set_back_does_not_hold_a_deferred_row() {
    let mut queue = queue(settings(FREE, 10));
    let (now, earlier) = (Timestamp(10_000_000_000), Timestamp(1000));
    queue.defer(&Arc::from("shop"), MessageId(1), now.plus_ms(16_000));
    assert!(queue.next_read(now, now).is_none());
    assert!(queue.next_read(now, earlier).is_some(), "no rule defers by months");
}

proptest! {
    /// Whatever is pushed, started at once or ends: each conversation goes in order, one at a time,
    /// and all of it goes.
    #[test]
    fn every_message_leaves_in_the_order_of_its_conversation(steps in prop::collection::vec((0..4i64, any::<bool>(), 0..3usize), 1..200), most in 1..5usize) {
        let mut queue = queue(settings(FREE, most));
        let (mut going, mut gone): (Vec<PendingSend>, Vec<(i64, i64)>) = (Vec::new(), Vec::new());
        let mut now = Timestamp(1000);
        let total = i64::try_from(steps.len()).unwrap();
        for (n, (conversation, at_once, ends)) in (1..).zip(&steps) {
            let new = pending(n, *conversation);
            if *at_once && queue.start_now(&new, now) { going.push(new) } else { queue.arrive(new) }
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
            let order: Vec<i64> = gone.iter().filter(|send| send.0 == conversation).map(|send| send.1).collect();
            prop_assert!(order.is_sorted());
        }
    }

    /// Whatever arrives, pauses, resumes, fails or is read in whatever order: each message of two
    /// channels leaves once and in the order of its conversation, and a paused channel holds
    /// nothing in memory.
    #[test]
    fn every_message_leaves_once_across_pauses(steps in prop::collection::vec((0..4i64, 0..9u8), 1..300)) {
        let (mut queue, mut disk) = (queue(settings(FREE, 2)), Disk::default());
        let (mut going, mut gone): (Vec<PendingSend>, Vec<(i64, i64)>) = (Vec::new(), Vec::new());
        let mut now = Timestamp(1000);
        let (mut total, mut late) = (0, Vec::new());
        let name = |conversation: i64| if conversation % 2 == 0 { "shop" } else { "club" };
        for (n, (conversation, step)) in (1..).zip(&steps) {
            let channel: Arc<str> = name(*conversation).into();
            match step {
                0..3 => {
                    disk.commit(&mut queue, pending_on(&channel, n, *conversation));
                    total += 1;
                }
                3 => {
                    // Committed while others are read; a conversation's own messages are committed
                    // in order.
                    late.push(pending_on(&channel, n, *conversation + 4));
                    total += 1;
                }
                4 => _ = queue.pause(&channel, &ChannelPause::Short(problem("x", "", "")), now),
                5 => _ = queue.succeeded(&pending_on(&channel, n, *conversation), now),
                6 => {
                    if let Some(failed) = going.pop() {
                        disk.put_back(&mut queue, failed, now.plus_ms(3), now);
                    }
                }
                7 => disk.read(&mut queue, now, std::mem::take(&mut late)),
                _ => {
                    if let Some(pending) = going.pop() {
                        gone.push((pending.row.conversation.0, pending.row.message.0));
                        end(&mut queue, &pending, now);
                    }
                }
            }
            going.extend(disk.start(&mut queue, now, 2));
            now = now.plus_ms(500);
        }
        late.into_iter().for_each(|pending| disk.commit(&mut queue, pending));
        for _ in 0..1000 {
            disk.read(&mut queue, now, vec![]);
            going.extend(disk.start(&mut queue, now, 100));
            for pending in going.drain(..) {
                gone.push((pending.row.conversation.0, pending.row.message.0));
                queue.succeeded(&pending, now);
                end(&mut queue, &pending, now);
            }
            now = now.plus_ms(1000);
        }
        prop_assert_eq!(gone.len(), total);
        for conversation in 0..8 {
            let order: Vec<i64> = gone.iter().filter(|send| send.0 == conversation).map(|send| send.1).collect();
            prop_assert!(order.is_sorted(), "{:?}", order);
        }
    }
}
