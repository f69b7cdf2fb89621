//! A year of schedules against a real store, with a clock that is turned by hand: the machine stops at random moments, stays
//! away for minutes or days, its clock is set forward and back; and every planned moment becomes one event.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers are tests: panicking is how they fail"
)]

use beadle_clock::{Alarm, Clock, Hand};
use beadle_model::{EventBody, EventId, EventKind, PluginNo, Timestamp};
use beadle_schedule::{
    ANCHOR, CatchUp, DaysOff, Missed, Overlap, Pattern, Schedule, Schedules, When, Zone, Zones, policy, run,
};
use beadle_store::step::{Batch, EventKey, NewEvent, Place, Progress, Sender};
use beadle_store::{Feed, Store, StoreConfig};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinHandle;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// 2026-01-01T00:00:00Z
const START: Timestamp = Timestamp(1_767_225_600_000);

/// Catches all of it up, however long it was away.
const ALL: Missed = Missed { catch_up: CatchUp::All, limit: 1000, max_age_ms: 31 * DAY, grace_ms: MINUTE };

fn schedule(name: &str, pattern: Pattern, zones: Zones) -> Schedule {
    Schedule {
        name: name.into(),
        was: None,
        said: ("cron", name.into()),
        pattern,
        zones,
        plugins: vec!["echo".into()],
        from: None,
        until: None,
        days_off: DaysOff::default(),
        jitter_ms: 0,
        missed: ALL,
        overlap: Overlap::Queue,
        enabled: true,
        payload: Arc::default(),
    }
}

fn zone(name: &str) -> Zone {
    Zone::named(name).unwrap()
}

fn schedules() -> Vec<Arc<Schedule>> {
    let cron = |text: &str| Pattern::cron(text).unwrap();
    let one = |name: &str| Zones::One(zone(name));
    let jittered = Schedule { jitter_ms: 3 * HOUR, ..schedule("jittered", cron("0 18 * * *"), one("America/Havana")) };
    let mut to_two = schedule("two", cron("30 2 * * *"), one("Europe/Amsterdam"));
    to_two.plugins.push("other".into());
    [
        schedule("work", cron("*/30 9 * * MON-FRI"), one("America/New_York")),
        schedule("half-hour", cron("45 1 * * *"), one("Australia/Lord_Howe")),
        schedule("monthly", Pattern::monthly("last friday 17:00").unwrap(), one("Africa/Casablanca")),
        schedule("every", Pattern::Every { period_ms: 7 * HOUR, anchor: When::Local(ANCHOR) }, one("UTC")),
        schedule("members", cron("0 9 * * SUN"), Zones::Members(zone("UTC"))),
        jittered,
        to_two,
    ]
    .map(Arc::new)
    .into()
}

/// Numbers that look random and are the same for one seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: i64) -> i64 {
        // Knuth's MMIX.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(self.0 >> 33).unwrap() % most
    }
}

/// A machine that runs.
struct Machine {
    dir: TempDir,
    store: Store,
    running: JoinHandle<()>,
    handling: JoinHandle<()>,
}

impl Machine {
    fn start(dir: TempDir, clock: &Clock) -> Self {
        let config = StoreConfig { ballast_bytes: 0, readers: 2, ..StoreConfig::new(dir.path(), clock.clone()) };
        let store = Store::open(config).unwrap();
        let present = Arc::new(|| vec![PluginNo(1), PluginNo(2)]);
        let bell = clock.alarm();
        let (_, keeper) = Schedules::new(store.clone(), clock.clone(), bell.clone(), present, schedules());
        let running = tokio::spawn(run(store.clone(), clock.clone(), bell.clone(), keeper));
        let handling = tokio::spawn(handle(store.clone(), store.feed().unwrap(), bell));
        Self { dir, store, running, handling }
    }

    /// What lies on its disk at this moment, in another directory.
    fn crash(self, clock: &Clock) -> Self {
        let Self { dir, store, running, handling } = self;
        let next = tempfile::tempdir().unwrap();
        for file in ["beadle.db", "beadle.db-wal"] {
            std::fs::copy(dir.path().join(file), next.path().join(file)).unwrap();
        }
        running.abort();
        handling.abort();
        drop(store);
        Self::start(next, clock)
    }
}

/// Takes what the feed gives and is through with it, as the pipeline does.
async fn handle(store: Store, mut feed: Feed, bell: Alarm) {
    let roster = store.roster(vec![]).await.unwrap();
    loop {
        for fed in feed.next(64).await {
            let event = fed.event.id;
            if matches!(fed.event.kind(), EventKind::MemberJoined | EventKind::MemberLeft) {
                bell.ring();
            }
            let progress =
                Progress { event, roster, done: 0, done_beyond: vec![], all: 0, all_beyond: 0, ending: None };
            store.finish(progress, store.fence()).await.unwrap();
            store.finished_below(EventId(event.0 + 1)).await.unwrap();
        }
    }
}

async fn member(store: &Store, number: &str) {
    let aliases = vec![beadle_model::Alias { kind: beadle_model::AliasKind::WaId, value: number.into() }];
    let new = NewEvent {
        key: EventKey { at: START, hash: [number.as_bytes()[0]; 16] },
        place: Place::Sender(Sender { channel: "shop".into(), aliases, name: None, group: None }),
        happened_at: START,
        opens_window: true,
        word: None,
        body: EventBody::Message {
            message: number.into(),
            content: beadle_model::Content::Text("hello".into()),
            context: None,
            referral: None,
            word: None,
            addressed: None,
            extra: serde_json::Value::Null,
        },
    };
    store.append(Batch { events: vec![new], ..Batch::default() }).await.unwrap();
}

/// Each moment that became events, by schedule, plugin, zone and time, with how many.
fn fired(path: &Path, clock: &Clock) -> BTreeMap<(String, PluginNo, String, Timestamp), usize> {
    let store = Store::open(StoreConfig { ballast_bytes: 0, ..StoreConfig::new(path, clock.clone()) }).unwrap();
    let reader = store.reader();
    let (mut fired, mut after) = (BTreeMap::new(), EventId(0));
    loop {
        let rows = reader.events_after(after, 1000).unwrap();
        let Some(last) = rows.last() else { return fired };
        after = last.id;
        for row in rows {
            if let EventBody::Schedule { plugin, schedule, planned_at, timezone, .. } =
                reader.event(row.id).unwrap().unwrap().body
            {
                *fired.entry((schedule, plugin, timezone, planned_at)).or_default() += 1;
            }
        }
    }
}

/// Everything that is planned behind the start and is due until the end.
fn planned(install: &str, until: Timestamp, members: &[policy::Area]) -> Vec<(String, PluginNo, String, Timestamp)> {
    let mut planned = Vec::new();
    for schedule in schedules() {
        for policy::Area { zone, .. } in policy::areas(&schedule, members) {
            let mut after = START;
            while let Some(moment) = schedule.next(&zone, after) {
                after = moment.at;
                if after.plus_ms(schedule.jitter(install, &zone, after)) > until {
                    break;
                }
                for plugin in 0..schedule.plugins.len() {
                    let plugin = PluginNo(i64::try_from(plugin).unwrap() + 1);
                    planned.push((schedule.name.to_string(), plugin, zone.name().to_string(), after));
                }
            }
        }
    }
    planned.sort();
    planned
}

/// Lets what is due be done, and turns the clock to what comes next, until it is then.
async fn live_until(hand: &Hand, clock: &Clock, until: Timestamp) {
    loop {
        let beadle_clock::Rest::Until(next) = hand.resting().await else { unreachable!() };
        match next.filter(|next| *next <= until) {
            Some(next) => hand.set(next.max(clock.now())),
            None => return hand.set(until.max(clock.now())),
        }
    }
}

#[tokio::test]
async fn every_firing_of_a_year_is_one_event() {
    let seed = std::env::var("BEADLE_E2E_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("BEADLE_E2E_SEED={seed}");
    let mut dice = Dice(seed);
    let (clock, hand) = Clock::manual(START);
    let mut machine = Machine::start(tempfile::tempdir().unwrap(), &clock);
    for number in ["31600000001", "4915100000001", "5511987654321"] {
        member(&machine.store, number).await;
    }
    let members = ["America/Sao_Paulo", "Europe/Amsterdam", "Europe/Berlin"]
        .map(|name| policy::Area { zone: zone(name), since: START });
    let end = START.plus_ms(365 * DAY);
    while clock.now() < end {
        // It lives for a while …
        live_until(&hand, &clock, clock.now().plus_ms(dice.below(20 * DAY))).await;
        // … and stops, often in the middle of what it does: the clock is moved and it gets no time to finish.
        hand.advance_ms(dice.below(2 * HOUR));
        for _ in 0..dice.below(40) {
            tokio::task::yield_now().await;
        }
        // tidy: the moment of the crash is what is random
        tokio::time::sleep(Duration::from_micros(u64::try_from(dice.below(900)).unwrap())).await;
        machine = machine.crash(&clock);
        match dice.below(4) {
            // Back at once.
            0 => {}
            1 => hand.advance_ms(dice.below(3 * HOUR)),
            2 => hand.advance_ms(dice.below(3 * DAY)),
            // Its clock was wrong: what it fired since is not fired again.
            _ => hand.set(clock.now().plus_ms(-dice.below(5 * HOUR)).max(START)),
        }
    }
    live_until(&hand, &clock, clock.now().plus_ms(DAY)).await;
    let until = clock.now();
    let install = machine.store.install().to_owned();
    let Machine { dir, store, running, handling } = machine;
    running.abort();
    handling.abort();
    store.close();
    let fired = fired(dir.path(), &clock);
    let twice: Vec<_> = fired.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "seed {seed}: {twice:?}");
    let planned = planned(&install, until, &members);
    assert!(planned.len() > 3000, "{}", planned.len());
    let lost: Vec<_> = planned.iter().filter(|moment| !fired.contains_key(*moment)).take(5).collect();
    assert!(lost.is_empty(), "seed {seed}: {lost:?}");
    let extra: Vec<_> = fired.keys().filter(|moment| planned.binary_search(moment).is_err()).take(5).collect();
    assert!(extra.is_empty(), "seed {seed}: {extra:?}");
}
