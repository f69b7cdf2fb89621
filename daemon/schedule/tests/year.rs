//! A year of schedules with a real store and a manual clock: the machine crashes at random times,
//! stays down for minutes or days, and its clock is set forward and back; every planned time still
//! becomes exactly one event.

#![expect(clippy::unwrap_used, reason = "a test's helpers are tests: panicking is how they fail")]

#[path = "support/plugins.rs"]
mod plugins;
mod support;

use beadle_clock::Clock;
use beadle_model::{Event, EventBody, PluginNo, Timestamp};
use beadle_schedule::{
    CatchUpMode, CatchUpPolicy, DEFAULT_ANCHOR, DaysOff, Overlap, Pattern, Schedule, Schedules, TimeSpec, Zone, Zones,
    policy, run,
};
use beadle_store::Store;
use beadle_store::step::Batch;
use beadle_tasks::{Heartbeat, TaskKind};
use plugins::subscribed;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use support::*;
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// Catches up everything, however long the outage.
const ALL: CatchUpPolicy =
    CatchUpPolicy { mode: CatchUpMode::All, limit: 1000, max_age_ms: 31 * DAY, grace_ms: MINUTE };

fn schedule(name: &str, pattern: Pattern, zones: Zones) -> Schedule {
    Schedule {
        name: name.into(),
        renamed_from: None,
        source: ("cron", name.into()),
        pattern,
        zones,
        plugins: vec!["echo".into()],
        from: None,
        until: None,
        days_off: DaysOff::default(),
        jitter_ms: 0,
        catch_up: ALL,
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
        schedule("every", Pattern::Every { period_ms: 7 * HOUR, anchor: TimeSpec::Local(DEFAULT_ANCHOR) }, one("UTC")),
        schedule("members", cron("0 9 * * SUN"), Zones::Members(zone("UTC"))),
        jittered,
        to_two,
    ]
    .map(Arc::new)
    .into()
}

/// A running machine.
struct Machine {
    dir: TempDir,
    store: Store,
    running: JoinHandle<()>,
    handling: JoinHandle<()>,
}

impl Machine {
    fn start(dir: TempDir, clock: &Clock) -> Self {
        let store = open(dir.path(), clock);
        let plugins = subscribed(&[PluginNo(1), PluginNo(2)]);
        let alarm = clock.alarm();
        let (_, scheduler) = Schedules::new(store.clone(), clock.clone(), alarm.clone(), plugins, schedules());
        let heartbeat = Heartbeat::unwatched(TaskKind::Schedules);
        let running = run(store.clone(), clock.clone(), alarm.clone(), scheduler, heartbeat);
        let running = tokio::spawn(async move { running.await.unwrap() });
        let on_event = move |event: &Event| {
            if event.kind().changes_membership() {
                alarm.ring();
            }
        };
        let handling = tokio::spawn(handle(store.clone(), store.feed().unwrap(), on_event));
        Self { dir, store, running, handling }
    }

    /// Restarts on a copy of the disk at this moment.
    fn crash(self, clock: &Clock) -> Self {
        let Self { dir, store, running, handling } = self;
        let next = on_disk_now(&dir);
        running.abort();
        handling.abort();
        drop(store);
        Self::start(next, clock)
    }
}

/// The number of events by schedule, plugin, zone and planned time.
fn fired(path: &Path, clock: &Clock) -> BTreeMap<(String, PluginNo, String, Timestamp), usize> {
    let mut fired = BTreeMap::new();
    for event in events(path, clock) {
        if let EventBody::Schedule { plugin, schedule, planned_at, timezone, .. } = event.body {
            *fired.entry((schedule, plugin, timezone, planned_at)).or_default() += 1;
        }
    }
    fired
}

/// Every planned time after the start that is due until the end.
fn planned(
    install: &str,
    until: Timestamp,
    members: &[policy::ActiveZone],
) -> Vec<(String, PluginNo, String, Timestamp)> {
    let mut planned = Vec::new();
    for schedule in schedules() {
        for policy::ActiveZone { zone, .. } in policy::active_zones(&schedule, members) {
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

#[tokio::test]
async fn every_firing_of_a_year_is_one_event() {
    let mut rng = Rng::seeded();
    let (clock, manual) = Clock::manual(START);
    let mut machine = Machine::start(tempfile::tempdir().unwrap(), &clock);
    for number in ["31600000001", "4915100000001", "5511987654321"] {
        machine.store.append(Batch { events: vec![message(number, number, START)], ..Batch::default() }).await.unwrap();
    }
    let members = ["America/Sao_Paulo", "Europe/Amsterdam", "Europe/Berlin"]
        .map(|name| policy::ActiveZone { zone: zone(name), since: START });
    let end = START.plus_ms(365 * DAY);
    while clock.now() < end {
        // Runs for a while …
        live_until(&manual, &clock, clock.now().plus_ms(rng.below(20 * DAY))).await;
        // … and crashes, often in the middle of a step.
        rng.stop_somewhere(&manual).await;
        machine = machine.crash(&clock);
        match rng.below(4) {
            // Restarts at once.
            0 => {}
            1 => manual.advance_ms(rng.below(3 * HOUR)),
            2 => manual.advance_ms(rng.below(3 * DAY)),
            // The clock was ahead: what fired since must not fire again.
            _ => manual.set(clock.now().plus_ms(-rng.below(5 * HOUR)).max(START)),
        }
    }
    live_until(&manual, &clock, clock.now().plus_ms(DAY)).await;
    let until = clock.now();
    let install = machine.store.install().to_owned();
    let Machine { dir, store, running, handling } = machine;
    running.abort();
    handling.abort();
    store.close();
    let fired = fired(dir.path(), &clock);
    let repeated: Vec<_> = fired.iter().filter(|(_, times)| **times > 1).collect();
    assert!(repeated.is_empty(), "{repeated:?}");
    let planned = planned(&install, until, &members);
    assert!(planned.len() > 3000, "{}", planned.len());
    let lost: Vec<_> = planned.iter().filter(|moment| !fired.contains_key(*moment)).take(5).collect();
    assert!(lost.is_empty(), "{lost:?}");
    let extra: Vec<_> = fired.keys().filter(|moment| planned.binary_search(moment).is_err()).take(5).collect();
    assert!(extra.is_empty(), "{extra:?}");
}
