//! The scheduler with a real store: edits, jitter, clock jumps, manual firing, load.

#[path = "../../tests/support/plugins.rs"]
mod plugins;
#[path = "../../tests/support/store.rs"]
mod store;

use super::*;
use crate::Schedules;
use crate::pattern::Pattern;
use crate::schedule::tests::schedule;
use crate::schedule::{CatchUpMode, CatchUpPolicy};
use crate::zone::Zone;
use beadle_clock::ManualClock;
use plugins::subscribed;
use store::open;
use tempfile::TempDir;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// 2026-11-21T20:00:00Z
const EIGHT: Timestamp = Timestamp(1_795_291_200_000);

/// A scheduler, its store and a manual clock.
struct Fixture {
    _dir: TempDir,
    store: Store,
    clock: Clock,
    manual: ManualClock,
    schedules: Schedules,
    scheduler: Scheduler,
}

impl Fixture {
    fn new(schedules: Vec<Schedule>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (clock, manual) = Clock::manual(EIGHT);
        let store = open(dir.path(), &clock);
        let schedules = schedules.into_iter().map(Arc::new).collect();
        let (schedules, scheduler) =
            Schedules::new(store.clone(), clock.clone(), clock.alarm(), subscribed(&[PluginNo(1)]), schedules);
        Self { _dir: dir, store, clock, manual, schedules, scheduler }
    }

    /// Fires what is due at this many minutes past eight; returns the next due time in minutes past
    /// eight.
    async fn at(&mut self, minute: i64) -> Option<i64> {
        self.manual.set(EIGHT.plus_ms(minute * MINUTE));
        let next = self.scheduler.fire_due().await.unwrap();
        next.map(|next| next.since_ms(EIGHT) / MINUTE)
    }

    async fn edit(&mut self, schedule: Schedule) {
        self.schedules.configure(vec![Arc::new(schedule)]);
        self.scheduler.fire_due().await.unwrap();
    }

    /// The planned times in minutes past eight with their outcomes, oldest first.
    fn history(&self) -> Vec<(i64, &'static str)> {
        let mut rows = self.store.reader().firings(1, None, 100).unwrap();
        rows.reverse();
        rows.iter().map(|row| (row.planned_at.since_ms(EIGHT) / MINUTE, row.outcome.name())).collect()
    }
}

fn with_pattern(cron: &str) -> Schedule {
    schedule(cron, &Zone::utc())
}

#[tokio::test]
async fn edits_neither_lose_nor_repeat_firings() {
    let mut fixture = Fixture::new(vec![with_pattern("0 * * * *")]);
    assert_eq!(fixture.at(0).await, Some(60));
    assert_eq!(fixture.at(60).await, Some(120));
    // The edit comes at a due time that was not processed yet: it fires first, then the edit
    // applies.
    fixture.manual.set(EIGHT.plus_ms(120 * MINUTE));
    fixture.edit(with_pattern("30 * * * *")).await;
    assert_eq!(fixture.at(121).await, Some(150));
    // Edited back: what fired does not fire again.
    fixture.edit(with_pattern("0 * * * *")).await;
    assert_eq!(fixture.at(180).await, Some(240));
    assert_eq!(fixture.history(), [(60, "fired"), (120, "fired"), (180, "fired")]);
}

#[tokio::test]
async fn firings_delayed_by_jitter_fire_before_an_edit_but_not_before_disabling() {
    let jittered = || Schedule { jitter_ms: 30 * MINUTE, ..with_pattern("0 * * * *") };
    for (edit, wanted) in
        [(with_pattern("15 * * * *"), vec![(60, "fired")]), (Schedule { enabled: false, ..jittered() }, vec![])]
    {
        let mut fixture = Fixture::new(vec![jittered()]);
        let due = fixture.at(0).await.unwrap();
        assert!((60..90).contains(&due));
        fixture.manual.set(EIGHT.plus_ms(60 * MINUTE));
        fixture.scheduler.fire_due().await.unwrap();
        if due > 60 {
            fixture.edit(edit).await;
            assert_eq!(fixture.history(), wanted);
        }
    }
}

#[tokio::test]
async fn clock_jump_and_correction_neither_lose_nor_repeat_firings() {
    let last = CatchUpPolicy { mode: CatchUpMode::Last, ..CatchUpPolicy::default() };
    let mut fixture = Fixture::new(vec![Schedule { catch_up: last, ..with_pattern("0 * * * *") }]);
    fixture.at(0).await;
    fixture.at(60).await;
    // The clock is three hours ahead for a moment.
    assert_eq!(fixture.at(245).await, Some(300));
    let ahead = [(60, "fired"), (120, "missed"), (240, "caught-up")];
    assert_eq!(fixture.history(), ahead);
    // Corrected: the plan continues from the corrected time.
    assert_eq!(fixture.at(61).await, Some(120));
    for minute in [120, 180, 240, 300] {
        fixture.at(minute).await;
    }
    let mut history = fixture.history();
    history.sort_unstable();
    let wanted = [(60, "fired"), (120, "fired"), (180, "fired"), (240, "caught-up"), (300, "fired")];
    assert_eq!(history, wanted, "fired times must not repeat, times recorded as missed must fire");
    // An adjustment of less than a second changes nothing.
    fixture.manual.set(EIGHT.plus_ms(300 * MINUTE - 600));
    fixture.scheduler.fire_due().await.unwrap();
    assert_eq!(fixture.at(300).await, Some(360));
    assert_eq!(fixture.history().len(), 5);
    assert_eq!(fixture.schedules.counts().read(), [("fired", 4), ("caught-up", 1), ("skipped", 0), ("missed", 2)]);
}

#[tokio::test]
async fn planned_time_between_a_correction_and_its_detection_fires() {
    let mut fixture = Fixture::new(vec![with_pattern("0 * * * *")]);
    fixture.at(0).await;
    // Two years ahead, and corrected; the loop looks only when the next planned time has passed.
    fixture.at(2 * 365 * 24 * 60).await;
    fixture.manual.set(EIGHT.plus_ms(60 * MINUTE - 500));
    fixture.manual.advance_ms(600);
    assert_eq!(fixture.scheduler.fire_due().await.unwrap(), Some(EIGHT.plus_ms(120 * MINUTE)));
    let fired = fixture.history().into_iter().filter(|row| *row == (60, "fired")).count();
    assert_eq!(fired, 1, "{:?}", fixture.history());
    // Nothing fires twice.
    fixture.at(61).await;
    assert_eq!(fixture.history().into_iter().filter(|row| *row == (60, "fired")).count(), 1);
}

#[tokio::test]
async fn loop_notices_that_the_clock_was_set_back() {
    let mut fixture = Fixture::new(vec![with_pattern("0 * * * *")]);
    fixture.at(0).await;
    let alarm = fixture.clock.alarm();
    let heartbeat = beadle_tasks::Heartbeat::unwatched(beadle_tasks::TaskKind::Schedules);
    let (store, clock, manual) = (fixture.store.clone(), fixture.clock.clone(), fixture.manual.clone());
    let firing = tokio::spawn(crate::run(store, clock, alarm, fixture.scheduler, heartbeat));
    let reader = fixture.store.reader();
    let wait_for = async |wanted: &dyn Fn(i64, &str) -> bool| {
        let found = async {
            let is_wanted = |row: &beadle_store::views::FiringRow| {
                wanted(row.planned_at.since_ms(EIGHT) / MINUTE, row.outcome.name())
            };
            while !reader.firings(1, None, 100).unwrap().iter().any(is_wanted) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), found).await.expect("a firing");
    };
    manual.set(EIGHT.plus_ms(2 * 365 * 24 * HOUR));
    wait_for(&|_, outcome| outcome == "missed").await;
    // Less than the loop waits without a wake-up.
    manual.set(EIGHT.plus_ms(59 * MINUTE));
    manual.advance_ms(MINUTE);
    wait_for(&|minute, outcome| (minute, outcome) == (60, "fired")).await;
    firing.abort();
}

#[tokio::test]
async fn manual_firing_leaves_the_plan_unchanged() {
    let mut fixture = Fixture::new(vec![with_pattern("0 * * * *")]);
    fixture.at(10).await;
    let configured = fixture.schedules.find("test").unwrap();
    let events = fixture.schedules.fire(&configured, &[Zone::utc()], &[PluginNo(1)]).await.unwrap();
    assert_eq!(events.len(), 1);
    let event = fixture.store.reader().event(events[0]).unwrap().unwrap();
    assert!(matches!(event.body, beadle_model::EventBody::Schedule { manual: true, late_by_ms: 0, .. }), "{event:?}");
    assert!(fixture.schedules.fire(&configured, &[Zone::utc()], &[PluginNo(2)]).await.unwrap().is_empty());
    assert_eq!(fixture.at(60).await, Some(120));
    assert_eq!(fixture.history(), [(10, "manual"), (60, "fired")]);
    assert_eq!(fixture.clock.now(), EIGHT.plus_ms(HOUR));
}

#[tokio::test]
async fn ten_thousand_schedules_due_at_once_all_fire() {
    let many = (0..10_000).map(|n| Schedule { name: format!("s-{n}").into(), ..with_pattern("0 21 * * *") }).collect();
    let mut fixture = Fixture::new(many);
    fixture.at(0).await;
    assert_eq!(fixture.at(60).await, Some(25 * 60));
    assert_eq!(fixture.schedules.counts().read()[0], ("fired", 10_000));
    // Only the edited schedule starts a new plan.
    let mut edited: Vec<_> =
        fixture.schedules.all().iter().map(|configured| Arc::clone(&configured.schedule)).collect();
    edited[5] = Arc::new(Schedule {
        name: "s-5".into(),
        source: ("cron", "30 21 * * *".into()),
        pattern: Pattern::cron("30 21 * * *").unwrap(),
        ..with_pattern("0 21 * * *")
    });
    fixture.schedules.configure(edited);
    fixture.at(61).await;
    assert_eq!(fixture.at(90).await, Some(25 * 60));
    assert_eq!(fixture.schedules.counts().read()[0], ("fired", 10_001));
}
