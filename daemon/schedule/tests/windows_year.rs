//! A year of windows with a real store and a manual clock: people write at random times, some
//! webhooks are late, the machine crashes at random times and stays down; every closed window is
//! reported once, every lead time at most once.

#![expect(clippy::unwrap_used, reason = "a test's helpers are tests: panicking is how they fail")]

mod support;

use beadle_clock::{Alarm, Clock};
use beadle_model::{Event, EventBody, LeadTimes, Timestamp, WINDOW_MS};
use beadle_schedule::Windows;
use beadle_store::Store;
use beadle_store::step::{Batch, Interest};
use beadle_tasks::{Heartbeat, TaskKind};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use support::*;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

fn all() -> Interest {
    Interest { window_expiring: true, window_closed: true, ..Interest::default() }
}
const LEADS: [i64; 2] = [2 * HOUR, 30 * MINUTE];
const PEOPLE: usize = 12;

/// A running machine.
struct Machine {
    dir: TempDir,
    store: Store,
    changed: Alarm,
    tasks: [JoinHandle<()>; 2],
    /// Kept so that the receiver stays open.
    _leads: watch::Sender<LeadTimes>,
}

impl Machine {
    fn start(dir: TempDir, clock: &Clock) -> Self {
        let store = open(dir.path(), clock);
        let changed = clock.alarm();
        let (keep, leads) = watch::channel(LeadTimes::new(LEADS.to_vec()));
        let windows = Windows {
            store: store.clone(),
            clock: clock.clone(),
            changed: changed.clone(),
            leads,
            // Plugins that are not known yet may subscribe to everything.
            subscriptions: watch::channel(Arc::default()).1,
        };
        let looking = async { windows.run(Heartbeat::unwatched(TaskKind::Windows)).await.unwrap() };
        let tasks = [tokio::spawn(looking), tokio::spawn(handle(store.clone(), store.feed().unwrap(), |_| {}))];
        Self { dir, store, changed, tasks, _leads: keep }
    }

    /// Restarts on a copy of the disk at this moment.
    fn crash(self, clock: &Clock) -> Self {
        let next = on_disk_now(&self.dir);
        self.tasks.iter().for_each(JoinHandle::abort);
        drop(self);
        Self::start(next, clock)
    }

    /// Appends a message as the webhook handler does.
    async fn message(&self, number: usize, id: usize, happened_at: Timestamp) {
        let events = vec![message(&format!("31600000{number:03}"), &id.to_string(), happened_at)];
        let appended = self.store.append(Batch { events, interest: all(), ..Batch::default() }).await.unwrap();
        if let Some(due_at) = appended.window_due {
            self.changed.ring_before(due_at);
        }
    }
}

/// The expected windows: each person's current end and whether it is open, and all ends that
/// passed.
#[derive(Default)]
struct Expected {
    until: BTreeMap<usize, (Timestamp, bool)>,
    closed: BTreeSet<(usize, Timestamp)>,
    /// The end after each message, to look up the end at any time.
    renewed: Vec<(usize, Timestamp, Timestamp)>,
}

impl Expected {
    /// A window that ended by now has been reported, because the loop is idle. Then the message
    /// counts by its own time.
    fn message(&mut self, number: usize, happened_at: Timestamp, now: Timestamp) {
        let (until, open) = self.until.entry(number).or_default();
        if *open && *until <= now {
            self.closed.insert((number, *until));
            *open = false;
        }
        let renewed = (*until).max(happened_at.plus_ms(WINDOW_MS));
        *open |= renewed > *until && renewed > now;
        *until = renewed;
        self.renewed.push((number, now, *until));
    }

    fn end_at(&self, number: usize, then: Timestamp) -> Option<Timestamp> {
        self.renewed.iter().rfind(|(person, at, _)| *person == number && *at <= then).map(|(.., until)| *until)
    }
}

/// The reported steps: person, lead time (none: closed), end, and when it was reported.
fn reported(path: &Path, clock: &Clock) -> Vec<(usize, Option<i64>, Timestamp, Timestamp)> {
    let step = |event: Event| {
        // Contacts have the numbers that they came in.
        let person =
            event.conversation.as_ref().map_or(0, |conversation| usize::try_from(conversation.contact.id.0).unwrap());
        match event.body {
            EventBody::WindowExpiring { closes_at, lead_ms } => {
                Some((person, Some(lead_ms), closes_at, event.received_at))
            }
            EventBody::WindowClosed { closed_at } => Some((person, None, closed_at, event.received_at)),
            _ => None,
        }
    };
    events(path, clock).into_iter().filter_map(step).collect()
}

#[tokio::test]
async fn each_closing_is_reported_once_and_each_lead_time_at_most_once() {
    let mut rng = Rng::seeded();
    let (clock, manual) = Clock::manual(START);
    let mut machine = Machine::start(tempfile::tempdir().unwrap(), &clock);
    let mut expected = Expected::default();
    // Everyone writes once at the start, in the order of their numbers.
    for number in 1..=PEOPLE {
        machine.message(number, number, START).await;
        expected.message(number, START, START);
    }
    let (end, mut id, mut away) = (START.plus_ms(365 * DAY), PEOPLE, Vec::new());
    while clock.now() < end {
        for _ in 0..rng.below(30) {
            live_until(&manual, &clock, clock.now().plus_ms(rng.below(DAY))).await;
            manual.wait_until_idle().await;
            id += 1;
            let number = usize::try_from(rng.below(i64::try_from(PEOPLE).unwrap())).unwrap() + 1;
            // One in four webhooks is late, some so late that they open no window.
            let late = if rng.below(4) == 0 { rng.below(30 * HOUR) } else { 0 };
            let (now, happened_at) = (clock.now(), clock.now().plus_ms(-late).max(START));
            machine.message(number, id, happened_at).await;
            expected.message(number, happened_at, now);
        }
        let stopped = clock.now();
        rng.stop_somewhere(&manual).await;
        machine = machine.crash(&clock);
        match rng.below(3) {
            0 => {}
            1 => manual.advance_ms(rng.below(3 * HOUR)),
            _ => manual.advance_ms(rng.below(3 * DAY)),
        }
        manual.wait_until_idle().await;
        away.push((stopped, clock.now()));
    }
    live_until(&manual, &clock, clock.now().plus_ms(2 * DAY)).await;
    manual.wait_until_idle().await;
    expected
        .closed
        .extend(expected.until.iter().filter(|(_, (_, open))| *open).map(|(number, (until, _))| (*number, *until)));
    let Machine { dir, store, tasks, .. } = machine;
    tasks.iter().for_each(JoinHandle::abort);
    store.close();
    assert_reported(&expected, &reported(dir.path(), &clock), &away);
}

fn assert_reported(
    expected: &Expected,
    reported: &[(usize, Option<i64>, Timestamp, Timestamp)],
    away: &[(Timestamp, Timestamp)],
) {
    let closed: Vec<_> = reported.iter().filter(|event| event.1.is_none()).map(|event| (event.0, event.2)).collect();
    let once: BTreeSet<_> = closed.iter().copied().collect();
    assert_eq!(closed.len(), once.len(), "a closing was reported twice");
    assert!(expected.closed.len() > 300, "{}", expected.closed.len());
    let (lost, extra): (Vec<_>, Vec<_>) =
        (expected.closed.difference(&once).collect(), once.difference(&expected.closed).collect());
    assert!(lost.is_empty() && extra.is_empty(), "not reported: {lost:?}; unexpected: {extra:?}");
    let mut leads = BTreeSet::new();
    for (person, lead, until, at) in reported.iter().filter_map(|event| Some((event.0, event.1?, event.2, event.3))) {
        assert!(leads.insert((person, lead, until)), "{person}: {lead} ms before {until:?} was reported twice");
        assert_eq!(expected.end_at(person, at), Some(until), "{person} had written again");
        assert!(until.plus_ms(-lead) <= at && at < until, "{person}: {lead} ms before {until:?}, reported at {at:?}");
    }
    // If the machine ran from before the first lead time to the end, all were reported.
    for (person, until) in &expected.closed {
        let from = until.plus_ms(-LEADS[0]);
        let there = away.iter().all(|(stopped, back)| *back < from || *stopped > *until);
        let late = expected.renewed.iter().any(|(number, at, end)| number == person && end == until && *at >= from);
        if there && !late {
            for lead in LEADS {
                assert!(
                    leads.contains(&(*person, lead, *until)),
                    "{person}: {lead} ms before {until:?} was not reported"
                );
            }
        }
    }
}
