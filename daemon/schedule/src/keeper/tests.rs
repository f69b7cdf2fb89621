//! The keeper against a real store: edits, jitter, members who come, and a clock that jumps.

use super::*;
use crate::pattern::Pattern;
use crate::schedule::tests::schedule;
use crate::schedule::{CatchUp, Missed};
use crate::zone::Zone;
use beadle_clock::Hand;
use beadle_store::StoreConfig;
use tempfile::TempDir;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// 2026-11-21T20:00:00Z
const EIGHT: Timestamp = Timestamp(1_795_291_200_000);

/// A keeper that is turned by hand, and what it works on.
struct Bench {
    _dir: TempDir,
    store: Store,
    clock: Clock,
    hand: Hand,
    schedules: Schedules,
    keeper: Keeper,
}

impl Bench {
    fn new(schedules: Vec<Schedule>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (clock, hand) = Clock::manual(EIGHT);
        let config = StoreConfig { ballast_bytes: 0, ..StoreConfig::new(dir.path(), clock.clone()) };
        let store = Store::open(config).unwrap();
        let present = Arc::new(|| vec![PluginNo(1)]);
        let schedules = schedules.into_iter().map(Arc::new).collect();
        let (schedules, keeper) = Schedules::new(store.clone(), clock.clone(), clock.alarm(), present, schedules);
        Self { _dir: dir, store, clock, hand, schedules, keeper }
    }

    /// What is due at so many minutes past eight; when the next thing is.
    async fn at(&mut self, minute: i64) -> Option<i64> {
        self.hand.set(EIGHT.plus_ms(minute * MINUTE));
        let next = self.keeper.turn().await.unwrap();
        next.map(|next| next.since_ms(EIGHT) / MINUTE)
    }

    async fn edit(&mut self, schedule: Schedule) {
        self.schedules.configure(vec![Arc::new(schedule)]);
        self.keeper.turn().await.unwrap();
    }

    /// The minutes of what became of it, in order.
    fn history(&self) -> Vec<(i64, &'static str)> {
        let mut rows = self.store.reader().firings(1, None, 100).unwrap();
        rows.reverse();
        rows.iter().map(|row| (row.planned_at.since_ms(EIGHT) / MINUTE, row.outcome.name())).collect()
    }
}

fn each(cron: &str) -> Schedule {
    schedule(cron, &Zone::utc())
}

#[tokio::test]
async fn an_edit_takes_nothing_away_and_gives_nothing_twice() {
    let mut bench = Bench::new(vec![each("0 * * * *")]);
    assert_eq!(bench.at(0).await, Some(60));
    assert_eq!(bench.at(60).await, Some(120));
    // At the very moment of a firing that nobody looked at yet: it fires, then the edit holds.
    bench.hand.set(EIGHT.plus_ms(120 * MINUTE));
    bench.edit(each("30 * * * *")).await;
    assert_eq!(bench.at(121).await, Some(150));
    // And back: what fired does not fire again.
    bench.edit(each("0 * * * *")).await;
    assert_eq!(bench.at(180).await, Some(240));
    assert_eq!(bench.history(), [(60, "fired"), (120, "fired"), (180, "fired")]);
}

#[tokio::test]
async fn what_only_jitter_held_back_fires_before_an_edit_but_not_before_it_is_switched_off() {
    let jittered = || Schedule { jitter_ms: 30 * MINUTE, ..each("0 * * * *") };
    for (edit, wanted) in
        [(each("15 * * * *"), vec![(60, "fired")]), (Schedule { enabled: false, ..jittered() }, vec![])]
    {
        let mut bench = Bench::new(vec![jittered()]);
        let due = bench.at(0).await.unwrap();
        assert!((60..90).contains(&due));
        bench.hand.set(EIGHT.plus_ms(60 * MINUTE));
        bench.keeper.turn().await.unwrap();
        if due > 60 {
            bench.edit(edit).await;
            assert_eq!(bench.history(), wanted);
        }
    }
}

#[tokio::test]
async fn a_clock_that_jumps_and_is_set_back_neither_doubles_nor_loses() {
    let last = Missed { catch_up: CatchUp::Last, ..Missed::default() };
    let mut bench = Bench::new(vec![Schedule { missed: last, ..each("0 * * * *") }]);
    bench.at(0).await;
    bench.at(60).await;
    // For a moment it shows three hours later.
    assert_eq!(bench.at(245).await, Some(300));
    let ahead = [(60, "fired"), (120, "missed"), (240, "caught-up")];
    assert_eq!(bench.history(), ahead);
    // Set right: the plan goes on from here, not from there.
    assert_eq!(bench.at(61).await, Some(120));
    for minute in [120, 180, 240, 300] {
        bench.at(minute).await;
    }
    let mut history = bench.history();
    history.sort_unstable();
    let wanted = [(60, "fired"), (120, "fired"), (180, "fired"), (240, "caught-up"), (300, "fired")];
    assert_eq!(history, wanted, "what had fired did not fire again, what was taken for missed came in its time");
    // A correction of less than a second changes nothing.
    bench.hand.set(EIGHT.plus_ms(300 * MINUTE - 600));
    bench.keeper.turn().await.unwrap();
    assert_eq!(bench.at(300).await, Some(360));
    assert_eq!(bench.history().len(), 5);
    assert_eq!(bench.schedules.counts().read(), [("fired", 4), ("caught-up", 1), ("skipped", 0), ("missed", 2)]);
}

#[tokio::test]
async fn by_hand_it_fires_beside_its_plan() {
    let mut bench = Bench::new(vec![each("0 * * * *")]);
    bench.at(10).await;
    let kept = bench.schedules.find("test").unwrap();
    let events = bench.schedules.fire(&kept, &[Zone::utc()], &[PluginNo(1)]).await.unwrap();
    assert_eq!(events.len(), 1);
    let event = bench.store.reader().event(events[0]).unwrap().unwrap();
    assert!(matches!(event.body, beadle_model::EventBody::Schedule { by_hand: true, late_by_ms: 0, .. }), "{event:?}");
    assert!(bench.schedules.fire(&kept, &[Zone::utc()], &[PluginNo(2)]).await.unwrap().is_empty());
    assert_eq!(bench.at(60).await, Some(120));
    assert_eq!(bench.history(), [(10, "by-hand"), (60, "fired")]);
    assert_eq!(bench.clock.now(), EIGHT.plus_ms(HOUR));
}

#[tokio::test]
async fn ten_thousand_that_are_due_at_once_all_fire() {
    let many = (0..10_000).map(|n| Schedule { name: format!("s-{n}").into(), ..each("0 21 * * *") }).collect();
    let mut bench = Bench::new(many);
    bench.at(0).await;
    assert_eq!(bench.at(60).await, Some(25 * 60));
    assert_eq!(bench.schedules.counts().read()[0], ("fired", 10_000));
    // One of them is edited: that one, and nothing else, is planned anew.
    let mut edited: Vec<_> = bench.schedules.all().iter().map(|kept| Arc::clone(&kept.schedule)).collect();
    edited[5] = Arc::new(Schedule {
        name: "s-5".into(),
        said: ("cron", "30 21 * * *".into()),
        pattern: Pattern::cron("30 21 * * *").unwrap(),
        ..each("0 21 * * *")
    });
    bench.schedules.configure(edited);
    bench.at(61).await;
    assert_eq!(bench.at(90).await, Some(25 * 60));
    assert_eq!(bench.schedules.counts().read()[0], ("fired", 10_001));
}
