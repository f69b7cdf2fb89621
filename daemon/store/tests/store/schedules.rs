//! Schedules: each planned time fires once, despite clock changes, edits and crashes.

use crate::env::*;
use beadle_model::{EventBody, PluginNo, Timestamp};
use beadle_store::Retention;
use beadle_store::schedules::{Firing, FiringOutcome, ScheduleDecision, ScheduleEntry, ScheduleRow};
use beadle_store::step::*;

const ECHO: PluginNo = PluginNo(1);
const OTHER: PluginNo = PluginNo(2);

fn entry(name: &str, plan: u8, plugins: &[PluginNo]) -> ScheduleEntry {
    ScheduleEntry { name: name.into(), renamed_from: None, plan: [plan; 16], plugins: plugins.to_vec() }
}

async fn configure(env: &TestEnv, entries: Vec<ScheduleEntry>, from: Timestamp) -> Vec<ScheduleRow> {
    env.store.configure_schedules(entries, from).await.unwrap()
}

/// A schedule for one plugin, planned from now on.
async fn one(env: &TestEnv) -> i64 {
    env.store.plugin_no("echo").await.unwrap();
    configure(env, vec![entry("digest", 1, &[ECHO])], NOW).await[0].no
}

fn firing(planned_at: Timestamp, outcome: FiringOutcome) -> Firing {
    let body = EventBody::Schedule {
        plugin: ECHO,
        no: 1,
        schedule: "digest".into(),
        planned_at,
        timezone: "UTC".into(),
        for_zone: false,
        late_by_ms: 0,
        caught_up: outcome == FiringOutcome::CaughtUp,
        manual: outcome == FiringOutcome::Manual,
        payload: serde_json::Value::Null,
    };
    let mut hash = [7; 16];
    hash[..8].copy_from_slice(&planned_at.0.to_be_bytes());
    let key = (outcome != FiringOutcome::Manual).then_some(EventKey { at: planned_at, hash });
    let event = (outcome != FiringOutcome::Missed).then_some((key, body));
    Firing { planned_at, due_at: planned_at, zone: String::new(), outcome, moments: 1, event }
}

fn decision(schedule: i64, firings: Vec<Firing>) -> ScheduleDecision {
    let until = firings.last().unwrap().planned_at;
    ScheduleDecision { schedule, plugin: ECHO, until, firings, skip_overlap: false }
}

/// The number of events; `None` if nothing was decided.
async fn fire(env: &TestEnv, decision: ScheduleDecision) -> Option<u64> {
    let counts = env.store.fire_schedules(vec![decision], env.clock.now()).await.unwrap()[0];
    counts.map(|counts| counts.fired + counts.caught_up)
}

fn history(env: &TestEnv, schedule: i64) -> Vec<(i64, &'static str)> {
    let rows = env.reader.firings(schedule, None, 100).unwrap();
    rows.iter().map(|row| (row.planned_at.since_ms(NOW) / HOUR, row.outcome.name())).collect()
}

fn at(hours: i64) -> Timestamp {
    NOW.plus_ms(hours * HOUR)
}

#[tokio::test]
async fn planned_time_fires_once_when_the_plan_repeats() {
    use FiringOutcome::{CaughtUp, Fired, Missed};
    let env = TestEnv::new();
    let no = one(&env).await;
    assert_eq!(fire(&env, decision(no, vec![firing(at(1), Missed), firing(at(3), CaughtUp)])).await, Some(1));
    // The clock was set back or the plan edited: the same times come again.
    assert_eq!(fire(&env, decision(no, vec![firing(at(3), Fired)])).await, Some(0));
    // A time that was missed only because the clock was ahead fires in its own time.
    assert_eq!(fire(&env, decision(no, vec![firing(at(1), Fired)])).await, Some(1));
    assert_eq!(fire(&env, decision(no, vec![firing(at(1), Missed)])).await, Some(0));
    let rows = env.crashed();
    assert_eq!(history(&rows, no), [(1, "fired"), (3, "caught-up")]);
    assert_eq!(rows.events().len(), 2);
    let plans = configure(&rows, vec![entry("digest", 1, &[ECHO])], at(9)).await;
    assert_eq!(plans[0].plugins, [(ECHO, at(1))], "how far it is");
    // Even without its row the event's key prevents a second firing.
    let key = firing(at(3), Fired);
    let renamed = configure(&rows, vec![entry("another", 1, &[ECHO])], at(0)).await[0].no;
    assert_eq!(fire(&rows, decision(renamed, vec![key])).await, Some(0));
}

#[tokio::test]
async fn overlap_is_skipped_while_the_previous_event_runs() {
    use FiringOutcome::{CaughtUp, Fired};
    let env = TestEnv::new();
    let no = one(&env).await;
    let skipping = |firings| ScheduleDecision { skip_overlap: true, ..decision(no, firings) };
    assert_eq!(fire(&env, skipping(vec![firing(at(1), CaughtUp), firing(at(2), CaughtUp)])).await, Some(2));
    assert_eq!(fire(&env, skipping(vec![firing(at(3), Fired)])).await, Some(0));
    let fence = env.store.fence();
    for event in env.events() {
        env.store.finish(progress(event.id, 0, 0), fence).await.unwrap();
    }
    assert_eq!(fire(&env, skipping(vec![firing(at(4), Fired)])).await, Some(1));
    // Without `overlap = "skip"` it waits instead.
    assert_eq!(fire(&env, decision(no, vec![firing(at(5), Fired)])).await, Some(1));
    assert_eq!(history(&env, no), [(5, "fired"), (4, "fired"), (3, "skipped"), (2, "caught-up"), (1, "caught-up")]);
    let rows = env.reader.firings(no, None, 2).unwrap();
    assert_eq!(env.reader.firings(no, Some(rows[1].id), 9).unwrap().len(), 3);
}

#[tokio::test]
async fn absent_plugin_catches_up() {
    let env = TestEnv::new();
    let no = one(&env).await;
    env.store.set_present_plugins(vec![]).await.unwrap();
    assert_eq!(fire(&env, decision(no, vec![firing(at(1), FiringOutcome::Fired)])).await, None);
    assert_eq!((history(&env, no), env.events().len()), (vec![], 0));
    env.store.set_present_plugins(vec![ECHO]).await.unwrap();
    assert_eq!(fire(&env, decision(no, vec![firing(at(1), FiringOutcome::CaughtUp)])).await, Some(1));
    let taken_out = configure(&env, vec![entry("digest", 1, &[OTHER])], at(2)).await;
    assert_eq!(taken_out[0].plugins, [(OTHER, at(2))]);
    assert_eq!(fire(&env, decision(no, vec![firing(at(3), FiringOutcome::Fired)])).await, None);
}

#[tokio::test]
async fn manual_runs_always_fire() {
    let env = TestEnv::new();
    let no = one(&env).await;
    let manual = || decision(no, vec![firing(at(1), FiringOutcome::Manual)]);
    for _ in 0..2 {
        assert_eq!(env.store.run_schedules_now(vec![manual()]).await.unwrap().len(), 1);
    }
    // The planned time of the same moment still fires.
    assert_eq!(fire(&env, decision(no, vec![firing(at(1), FiringOutcome::Fired)])).await, Some(1));
    assert_eq!(history(&env, no), [(1, "fired"), (1, "manual"), (1, "manual")]);
}

#[tokio::test]
async fn only_an_edit_restarts_a_plan() {
    let env = TestEnv::new();
    let no = one(&env).await;
    fire(&env, decision(no, vec![firing(at(1), FiringOutcome::Fired)])).await;
    let decided = |rows: &[ScheduleRow]| rows.iter().map(|row| (row.no, row.plugins.clone())).collect::<Vec<_>>();
    let same = configure(&env, vec![entry("digest", 1, &[ECHO])], at(5)).await;
    assert_eq!(decided(&same), [(no, vec![(ECHO, at(1))])]);
    let joined = configure(&env, vec![entry("digest", 1, &[ECHO, OTHER])], at(6)).await;
    assert_eq!(decided(&joined), [(no, vec![(ECHO, at(1)), (OTHER, at(6))])]);
    let edited = configure(&env, vec![entry("digest", 2, &[ECHO, OTHER])], at(7)).await;
    assert_eq!(decided(&edited), [(no, vec![(ECHO, at(7)), (OTHER, at(7))])]);
    // A renaming keeps number, plan and history, also if it stays configured.
    for _ in 0..2 {
        let renamed = ScheduleEntry { renamed_from: Some("digest".into()), ..entry("weekly", 2, &[ECHO]) };
        let rows = configure(&env, vec![renamed], at(8)).await;
        assert_eq!(decided(&rows), [(no, vec![(ECHO, at(7))])]);
    }
    assert_eq!(env.reader.schedule_no("weekly").unwrap(), Some(no));
    assert_eq!(env.reader.schedule_no("digest").unwrap(), None);
    // A name that is in use is not taken over.
    let both = vec![
        ScheduleEntry { renamed_from: Some("weekly".into()), ..entry("third", 3, &[ECHO]) },
        entry("weekly", 2, &[ECHO]),
    ];
    let rows = configure(&env, both, at(8)).await;
    assert!(rows[0].no != no && rows[1].no == no);
    // Removed and added again: continues from then on, with its history.
    configure(&env, vec![], at(9)).await;
    let back = configure(&env, vec![entry("weekly", 2, &[ECHO])], at(10)).await;
    assert_eq!(decided(&back), [(no, vec![(ECHO, at(10))])]);
    assert_eq!(history(&env, no), [(1, "fired")]);
}

#[tokio::test]
async fn latest_outcome_is_kept_and_removed_schedules_are_deleted() {
    let env = TestEnv::new();
    let no = one(&env).await;
    for hour in 1..=3 {
        fire(&env, decision(no, vec![firing(at(hour), FiringOutcome::Fired)])).await;
    }
    env.manual.advance_ms(40 * DAY);
    let retained = env.store.retain(Retention::default(), env.clock.now()).await.unwrap();
    assert_eq!((retained.firings, history(&env, no)), (2, vec![(3, "fired")]));
    configure(&env, vec![], at(0)).await;
    env.run_days(40).await;
    assert_eq!(env.store.retain(Retention::default(), env.clock.now()).await.unwrap().firings, 1);
    assert_eq!(env.reader.schedule_no("digest").unwrap(), None);
}

#[tokio::test]
async fn member_zones_lists_zones_of_members() {
    let env = TestEnv::new();
    assert!(env.reader.member_zones().unwrap().is_empty());
    for (number, id) in [("31600000001", "a"), ("31600000002", "b"), ("4915100000001", "c"), ("12025550123", "d")] {
        let happened_at = env.clock.now();
        env.append(vec![NewEvent { happened_at, ..from(number, id) }]).await;
        env.manual.set(NOW.plus_ms(HOUR));
    }
    let zones = env.reader.member_zones().unwrap();
    let zones: Vec<_> = zones.iter().map(|(zone, since)| (zone.as_deref(), since.since_ms(NOW) / HOUR)).collect();
    assert_eq!(zones, [(None, 1), (Some("Europe/Amsterdam"), 0), (Some("Europe/Berlin"), 1)]);
}

#[tokio::test]
async fn orderly_shutdown_is_recorded_once() {
    let env = TestEnv::new();
    assert_eq!(env.store.closed_at(), None);
    env.manual.advance_ms(5000);
    let env = env.reopen();
    assert_eq!(env.store.closed_at(), Some(NOW.plus_ms(5000)));
    assert_eq!(env.crashed().store.closed_at(), None);
}
