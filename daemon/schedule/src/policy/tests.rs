//! Catch-up after outages at each setting, clock jumps, and properties of every schedule.

use super::*;
use crate::pattern::tests::{patterns, times, zones};
use crate::schedule::CatchUpPolicy;
use crate::schedule::tests::schedule;
use proptest::prelude::*;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// 2026-11-21T20:00:00Z
const EIGHT: Timestamp = Timestamp(1_795_291_200_000);

/// The planned times in minutes from eight, with their decisions.
fn summary(decisions: &Decisions) -> Vec<String> {
    let name = |decided: &Decided| match decided.decision {
        Decision::Fire => "fire".to_owned(),
        Decision::CatchUp => "catch up".to_owned(),
        Decision::Miss(count) => format!("miss {count}"),
    };
    decisions
        .decided
        .iter()
        .map(|decided| format!("{} {}", decided.planned_at.since_ms(EIGHT) / MINUTE, name(decided)))
        .collect()
}

/// A zone that was always active.
fn always(zone: Zone) -> ActiveZone {
    ActiveZone { zone, since: Timestamp(i64::MIN) }
}

fn utc() -> ActiveZone {
    always(Zone::utc())
}

fn hourly(missed: CatchUpPolicy) -> Schedule {
    Schedule { catch_up: missed, ..schedule("0 * * * *", &Zone::utc()) }
}

fn after_outage(missed: CatchUpPolicy, minutes: i64) -> Vec<String> {
    // Decided up to eight, then unavailable for this many minutes.
    summary(&decide(&hourly(missed), &[utc()], "", EIGHT, EIGHT.plus_ms(minutes * MINUTE), false))
}

#[test]
fn catch_up_mode_decides_what_fires_after_an_outage() {
    let with = |catch_up, limit, max_age_ms| CatchUpPolicy { mode: catch_up, limit, max_age_ms, grace_ms: MINUTE };
    let day = 24 * HOUR;
    for (missed, minutes, wanted) in [
        (with(CatchUpMode::None, 9, day), 125, &["60 miss 2"][..]),
        (with(CatchUpMode::Last, 9, day), 125, &["60 miss 1", "120 catch up"]),
        (with(CatchUpMode::All, 9, day), 125, &["60 catch up", "120 catch up"]),
        // Late by at most the grace is on time.
        (with(CatchUpMode::None, 9, day), 121, &["60 miss 1", "120 fire"]),
        (with(CatchUpMode::Last, 9, day), 121, &["60 catch up", "120 fire"]),
        (with(CatchUpMode::All, 9, day), 121, &["60 catch up", "120 fire"]),
        (with(CatchUpMode::None, 9, day), 61, &["60 fire"]),
        (with(CatchUpMode::All, 9, day), 59, &[]),
        // At most the limit, the latest ones.
        (with(CatchUpMode::All, 2, day), 305, &["60 miss 3", "240 catch up", "300 catch up"]),
        // None older than the maximum age.
        (with(CatchUpMode::All, 9, 90 * MINUTE), 305, &["60 miss 3", "240 catch up", "300 catch up"]),
        (with(CatchUpMode::Last, 9, 2 * MINUTE), 305, &["60 miss 5"]),
    ] {
        assert_eq!(after_outage(missed, minutes), wanted, "{missed:?} {minutes}");
    }
}

#[test]
fn long_outages_are_not_counted_one_by_one() {
    let missed = CatchUpPolicy { mode: CatchUpMode::All, limit: 3, max_age_ms: 10_000, grace_ms: 1000 };
    let mut each_second = schedule("* * * * * *", &Zone::utc());
    each_second.catch_up = missed;
    let now = EIGHT.plus_ms(500);
    let decisions = decide(&each_second, &[utc()], "", Timestamp(0), now, false);
    let outcomes: Vec<_> = decisions.decided.iter().map(|firing| firing.decision).collect();
    let caught_up = [Decision::CatchUp; 3];
    assert_eq!(outcomes, [&[Decision::Miss(MAX_COUNTED)][..], &caught_up, &[Decision::Fire]].concat());
    assert_eq!((decisions.until, decisions.next_due), (EIGHT, Some(EIGHT.plus_ms(1000))));
    // Also without catching up.
    each_second.catch_up.mode = CatchUpMode::None;
    let decisions = decide(&each_second, &[utc()], "", Timestamp(0), now, false);
    assert_eq!(summary(&decisions).len(), 2);
    assert_eq!(decisions.until, EIGHT);
}

#[test]
fn jitter_delays_later_times_unless_flushed() {
    let zones = [utc()];
    let mut each_minute = schedule("* * * * *", &Zone::utc());
    each_minute.jitter_ms = 10 * MINUTE;
    let due = |minute: i64| {
        let planned = EIGHT.plus_ms(minute * MINUTE);
        planned.plus_ms(each_minute.jitter("", &zones[0].zone, planned))
    };
    let now = EIGHT.plus_ms(5 * MINUTE);
    let held = decide(&each_minute, &zones, "", EIGHT, now, false);
    let first_held = (1..).find(|minute| due(*minute) > now).unwrap();
    assert_eq!((held.decided.len() as i64, held.next_due), (first_held - 1, Some(due(first_held))));
    assert_eq!(decide(&each_minute, &zones, "", EIGHT, now, true).decided.len(), 5);
}

#[test]
fn each_member_zone_has_its_own_planned_times() {
    let zones = ["Europe/Amsterdam", "America/New_York", "Asia/Kolkata"].map(|name| always(Zone::named(name).unwrap()));
    let mut daily = schedule("0 9 * * *", &Zone::utc());
    daily.zones = Zones::Members(Zone::utc());
    daily.catch_up.mode = CatchUpMode::Last;
    // After two days without the plugin each zone catches up its latest time.
    let decisions = decide(&daily, &zones, "", EIGHT, EIGHT.plus_ms(48 * HOUR), false);
    let mut lasts: Vec<usize> = decisions
        .decided
        .iter()
        .filter(|firing| firing.decision == Decision::CatchUp)
        .map(|firing| firing.zone)
        .collect();
    lasts.sort_unstable();
    assert_eq!(lasts, [0, 1, 2]);
    assert!(decisions.decided.is_sorted_by_key(|firing| firing.planned_at));
    assert_eq!(active_zones(&daily, &zones), zones);
    assert_eq!(active_zones(&schedule("0 9 * * *", &zones[1].zone), &zones), zones[1..2]);
    assert_eq!(decide(&daily, &[], "", EIGHT, EIGHT.plus_ms(HOUR), false).next_due, None);
}

#[test]
fn times_before_the_first_member_joined_are_not_missed() {
    let mut daily = schedule("0 9 * * *", &Zone::utc());
    daily.zones = Zones::Members(Zone::utc());
    // The first member joined two days later, at exactly nine.
    let since = EIGHT.plus_ms(2 * 24 * HOUR - 11 * HOUR);
    let joined = [ActiveZone { zone: Zone::utc(), since }];
    let decisions = decide(&daily, &joined, "", EIGHT, since, false);
    assert_eq!(summary(&decisions), ["2220 fire"]);
    let later = [ActiveZone { zone: Zone::utc(), since: since.plus_ms(1) }];
    assert_eq!(summary(&decide(&daily, &later, "", EIGHT, since.plus_ms(1), false)), Vec::<String>::new());
}

proptest! {
    #[test]
    fn each_planned_time_is_decided_once(
        text in patterns(), zone in zones(), start in times(), jitter in 0_i64..7_200_000,
        looks in prop::collection::vec(1_i64..5 * 86_400_000, 1..30),
        catch_up in prop::sample::select(vec![CatchUpMode::None, CatchUpMode::Last, CatchUpMode::All]), limit in 1_u32..20,
    ) {
        let Ok(_) = crate::Pattern::cron(&text) else { return Ok(()) };
        let mut plan = schedule(&text, &zone);
        plan.jitter_ms = jitter;
        plan.catch_up = CatchUpPolicy { mode: catch_up, limit, max_age_ms: 2 * 86_400_000, grace_ms: 60_000 };
        let zones = [always(zone.clone())];
        let (mut now, mut until, mut decided) = (start, start, 0_u64);
        for look in looks {
            now = now.plus_ms(look);
            let decisions = decide(&plan, &zones, "x", until, now, false);
            prop_assert!(decisions.until >= until && decisions.until <= now);
            for firing in &decisions.decided {
                prop_assert!(firing.planned_at > until && firing.planned_at <= now && firing.due_at <= now);
                prop_assert!((0..jitter.max(1)).contains(&firing.due_at.since_ms(firing.planned_at)));
                match firing.decision {
                    Decision::Miss(count) => decided += u64::from(count),
                    Decision::Fire => { decided += 1; prop_assert!(now.since_ms(firing.due_at) <= 60_000) }
                    Decision::CatchUp => { decided += 1; prop_assert!(now.since_ms(firing.due_at) > 60_000) }
                }
            }
            let caught_up = decisions.decided.iter().filter(|firing| firing.decision == Decision::CatchUp).count();
            let most = match catch_up { CatchUpMode::None => 0, CatchUpMode::Last => 1, CatchUpMode::All => limit as usize };
            prop_assert!(caught_up <= most);
            // The next due time is that of the first undecided one.
            let next = plan.next(&zone, decisions.until).map(|moment| moment.at.plus_ms(plan.jitter("x", &zone, moment.at)));
            prop_assert_eq!(decisions.next_due, next);
            until = decisions.until;
        }
        let (mut planned, mut after) = (0_u64, start);
        while let Some(moment) = plan.next(&zone, after).filter(|moment| moment.at <= until) {
            planned += 1;
            after = moment.at;
        }
        prop_assume!(planned < u64::from(MAX_COUNTED));
        prop_assert_eq!(decided, planned);
    }
}
