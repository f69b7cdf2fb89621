//! A year of windows against a real store, with a clock that is turned by hand: people write at random, some webhooks are late,
//! the machine stops at random moments and stays away; and every window's end is told once, and its lead times at most once.

#![expect(clippy::unwrap_used, reason = "a test's helpers are tests: panicking is how they fail")]

mod support;

use beadle_clock::{Alarm, Clock};
use beadle_model::{Event, EventBody, Leads, Timestamp, WINDOW_MS};
use beadle_schedule::Windows;
use beadle_store::Store;
use beadle_store::step::{Batch, WindowNews};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use support::*;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

const ALL: WindowNews = WindowNews { expiring: true, closed: true };
const LEADS: [i64; 2] = [2 * HOUR, 30 * MINUTE];
const PEOPLE: usize = 12;

/// A machine that runs.
struct Machine {
    dir: TempDir,
    store: Store,
    changed: Alarm,
    tasks: [JoinHandle<()>; 2],
    /// Never changed: it has to be there.
    _leads: watch::Sender<Leads>,
}

impl Machine {
    fn start(dir: TempDir, clock: &Clock) -> Self {
        let store = open(dir.path(), clock);
        let changed = clock.alarm();
        let (keep, leads) = watch::channel(Leads::new(LEADS.to_vec()));
        let windows = Windows {
            store: store.clone(),
            clock: clock.clone(),
            changed: changed.clone(),
            leads,
            news: Box::new(|| ALL),
        };
        let tasks = [tokio::spawn(windows.run()), tokio::spawn(handle(store.clone(), store.feed().unwrap(), |_| {}))];
        Self { dir, store, changed, tasks, _leads: keep }
    }

    /// What lies on its disk at this moment, in another directory.
    fn crash(self, clock: &Clock) -> Self {
        let next = on_disk_now(&self.dir);
        self.tasks.iter().for_each(JoinHandle::abort);
        drop(self);
        Self::start(next, clock)
    }

    /// Somebody writes, as the platform's webhook tells it.
    async fn says(&self, number: usize, id: usize, happened_at: Timestamp) {
        let events = vec![says(&format!("31600000{number:03}"), &id.to_string(), happened_at)];
        let appended = self.store.append(Batch { events, window_news: ALL, ..Batch::default() }).await.unwrap();
        if let Some(due_at) = appended.window_due {
            self.changed.ring_before(due_at);
        }
    }
}

/// The windows as they should be: the end of each person's and whether it is open, and the ends that were.
#[derive(Default)]
struct Wanted {
    until: BTreeMap<usize, (Timestamp, bool)>,
    closed: BTreeSet<(usize, Timestamp)>,
    /// When each message took effect, to know what an end was at any time.
    renewed: Vec<(usize, Timestamp, Timestamp)>,
}

impl Wanted {
    /// What is over by now is told, since everything has come to rest; then the message counts by the platform's time.
    fn says(&mut self, number: usize, happened_at: Timestamp, now: Timestamp) {
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
        self.renewed.iter().rfind(|(who, at, _)| *who == number && *at <= then).map(|(.., until)| *until)
    }
}

/// What was told: the person, the lead time (none: closed), the end, and when.
fn told(path: &Path, clock: &Clock) -> Vec<(usize, Option<i64>, Timestamp, Timestamp)> {
    let told = |event: Event| {
        // Contacts have the numbers that they came in.
        let who = event.conversation.as_ref().map_or(0, |talk| usize::try_from(talk.contact.id.0).unwrap());
        match event.body {
            EventBody::WindowExpiring { closes_at, lead_ms } => {
                Some((who, Some(lead_ms), closes_at, event.received_at))
            }
            EventBody::WindowClosed { closed_at } => Some((who, None, closed_at, event.received_at)),
            _ => None,
        }
    };
    events(path, clock).into_iter().filter_map(told).collect()
}

#[tokio::test]
async fn every_end_of_a_year_is_told_once_and_no_lead_time_twice() {
    let mut dice = Dice::seeded();
    let (clock, hand) = Clock::manual(START);
    let mut machine = Machine::start(tempfile::tempdir().unwrap(), &clock);
    let mut wanted = Wanted::default();
    // Nobody is told of what was over before anybody was there; and the first of all come in the order of their numbers.
    for number in 1..=PEOPLE {
        machine.says(number, number, START).await;
        wanted.says(number, START, START);
    }
    let (end, mut id, mut away) = (START.plus_ms(365 * DAY), PEOPLE, Vec::new());
    while clock.now() < end {
        for _ in 0..dice.below(30) {
            live_until(&hand, &clock, clock.now().plus_ms(dice.below(DAY))).await;
            hand.resting().await;
            id += 1;
            let number = usize::try_from(dice.below(i64::try_from(PEOPLE).unwrap())).unwrap() + 1;
            // One in four webhooks is late, one of them so much that it opens nothing.
            let late = if dice.below(4) == 0 { dice.below(30 * HOUR) } else { 0 };
            let (now, happened_at) = (clock.now(), clock.now().plus_ms(-late).max(START));
            machine.says(number, id, happened_at).await;
            wanted.says(number, happened_at, now);
        }
        let stopped = clock.now();
        dice.stop_somewhere(&hand).await;
        machine = machine.crash(&clock);
        match dice.below(3) {
            0 => {}
            1 => hand.advance_ms(dice.below(3 * HOUR)),
            _ => hand.advance_ms(dice.below(3 * DAY)),
        }
        hand.resting().await;
        away.push((stopped, clock.now()));
    }
    live_until(&hand, &clock, clock.now().plus_ms(2 * DAY)).await;
    hand.resting().await;
    wanted
        .closed
        .extend(wanted.until.iter().filter(|(_, (_, open))| *open).map(|(number, (until, _))| (*number, *until)));
    let Machine { dir, store, tasks, .. } = machine;
    tasks.iter().for_each(JoinHandle::abort);
    store.close();
    assert_told(&wanted, &told(dir.path(), &clock), &away);
}

fn assert_told(wanted: &Wanted, told: &[(usize, Option<i64>, Timestamp, Timestamp)], away: &[(Timestamp, Timestamp)]) {
    let closed: Vec<_> = told.iter().filter(|it| it.1.is_none()).map(|it| (it.0, it.2)).collect();
    let once: BTreeSet<_> = closed.iter().copied().collect();
    assert_eq!(closed.len(), once.len(), "an end was told twice");
    assert!(wanted.closed.len() > 300, "{}", wanted.closed.len());
    let (lost, extra): (Vec<_>, Vec<_>) =
        (wanted.closed.difference(&once).collect(), once.difference(&wanted.closed).collect());
    assert!(lost.is_empty() && extra.is_empty(), "not told: {lost:?}; told, and not so: {extra:?}");
    let mut leads = BTreeSet::new();
    for (who, lead, until, at) in told.iter().filter_map(|it| Some((it.0, it.1?, it.2, it.3))) {
        assert!(leads.insert((who, lead, until)), "{who} was told twice of {lead} ms before {until:?}");
        assert_eq!(wanted.end_at(who, at), Some(until), "{who} had written meanwhile");
        assert!(until.plus_ms(-lead) <= at && at < until, "{who}: {lead} ms before {until:?}, told at {at:?}");
    }
    // Where the machine was there from before the first lead time to the end, each was told.
    for (who, until) in &wanted.closed {
        let from = until.plus_ms(-LEADS[0]);
        let there = away.iter().all(|(stopped, back)| *back < from || *stopped > *until);
        let late = wanted.renewed.iter().any(|(number, at, end)| number == who && end == until && *at >= from);
        if there && !late {
            for lead in LEADS {
                assert!(leads.contains(&(*who, lead, *until)), "{who} was not told {lead} ms before {until:?}");
            }
        }
    }
}
