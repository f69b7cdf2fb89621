//! Outages at each setting, clocks that jump, and what holds whatever happens.

use super::*;
use crate::pattern::tests::{patterns, times, zones};
use crate::schedule::Missed;
use crate::schedule::tests::schedule;
use proptest::prelude::*;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// 2026-11-21T20:00:00Z
const EIGHT: Timestamp = Timestamp(1_795_291_200_000);

/// What came of it: minutes from eight, and what became of each.
fn said(turn: &Turn) -> Vec<String> {
    let name = |decided: &Decided| match decided.verdict {
        Verdict::Fire => "fire".to_owned(),
        Verdict::CatchUp => "catch up".to_owned(),
        Verdict::Miss(count) => format!("miss {count}"),
    };
    turn.decided.iter().map(|it| format!("{} {}", it.planned_at.since_ms(EIGHT) / MINUTE, name(it))).collect()
}

/// A zone with somebody in it since ever.
fn area(zone: Zone) -> Area {
    Area { zone, since: Timestamp(i64::MIN) }
}

fn utc() -> Area {
    area(Zone::utc())
}

fn hourly(missed: Missed) -> Schedule {
    Schedule { missed, ..schedule("0 * * * *", &Zone::utc()) }
}

fn after_outage(missed: Missed, minutes: i64) -> Vec<String> {
    // Decided up to eight; back so many minutes later.
    said(&turn(&hourly(missed), &[utc()], "", EIGHT, EIGHT.plus_ms(minutes * MINUTE), false))
}

#[test]
fn an_outage_at_each_setting() {
    let with = |catch_up, limit, max_age_ms| Missed { catch_up, limit, max_age_ms, grace_ms: MINUTE };
    let day = 24 * HOUR;
    for (missed, minutes, wanted) in [
        (with(CatchUp::None, 9, day), 125, &["60 miss 2"][..]),
        (with(CatchUp::Last, 9, day), 125, &["60 miss 1", "120 catch up"]),
        (with(CatchUp::All, 9, day), 125, &["60 catch up", "120 catch up"]),
        // Late by no more than the grace is not missed.
        (with(CatchUp::None, 9, day), 121, &["60 miss 1", "120 fire"]),
        (with(CatchUp::Last, 9, day), 121, &["60 catch up", "120 fire"]),
        (with(CatchUp::All, 9, day), 121, &["60 catch up", "120 fire"]),
        (with(CatchUp::None, 9, day), 61, &["60 fire"]),
        (with(CatchUp::All, 9, day), 59, &[]),
        // Not more than so many, the latest ones.
        (with(CatchUp::All, 2, day), 305, &["60 miss 3", "240 catch up", "300 catch up"]),
        // Not what is too old.
        (with(CatchUp::All, 9, 90 * MINUTE), 305, &["60 miss 3", "240 catch up", "300 catch up"]),
        (with(CatchUp::Last, 9, 2 * MINUTE), 305, &["60 miss 5"]),
    ] {
        assert_eq!(after_outage(missed, minutes), wanted, "{missed:?} {minutes}");
    }
}

#[test]
fn years_away_are_not_counted_second_by_second() {
    let missed = Missed { catch_up: CatchUp::All, limit: 3, max_age_ms: 10_000, grace_ms: 1000 };
    let mut each_second = schedule("* * * * * *", &Zone::utc());
    each_second.missed = missed;
    let now = EIGHT.plus_ms(500);
    let turn = turn(&each_second, &[utc()], "", Timestamp(0), now, false);
    let verdicts: Vec<_> = turn.decided.iter().map(|it| it.verdict).collect();
    let caught_up = [Verdict::CatchUp; 3];
    assert_eq!(verdicts, [&[Verdict::Miss(COUNTED)][..], &caught_up, &[Verdict::Fire]].concat());
    assert_eq!((turn.until, turn.next_due), (EIGHT, Some(EIGHT.plus_ms(1000))));
    // With nothing to catch up too.
    each_second.missed.catch_up = CatchUp::None;
    let turn = super::turn(&each_second, &[utc()], "", Timestamp(0), now, false);
    assert_eq!(said(&turn).len(), 2);
    assert_eq!(turn.until, EIGHT);
}

#[test]
fn jitter_holds_back_what_is_behind_it_unless_it_is_flushed() {
    let zones = [utc()];
    let mut each_minute = schedule("* * * * *", &Zone::utc());
    each_minute.jitter_ms = 10 * MINUTE;
    let due = |minute: i64| {
        let planned = EIGHT.plus_ms(minute * MINUTE);
        planned.plus_ms(each_minute.jitter("", &zones[0].zone, planned))
    };
    let now = EIGHT.plus_ms(5 * MINUTE);
    let held = turn(&each_minute, &zones, "", EIGHT, now, false);
    let first_held = (1..).find(|minute| due(*minute) > now).unwrap();
    assert_eq!((held.decided.len() as i64, held.next_due), (first_held - 1, Some(due(first_held))));
    assert_eq!(turn(&each_minute, &zones, "", EIGHT, now, true).decided.len(), 5);
}

#[test]
fn members_zones_each_have_their_own_moments() {
    let zones = ["Europe/Amsterdam", "America/New_York", "Asia/Kolkata"].map(|name| area(Zone::named(name).unwrap()));
    let mut daily = schedule("0 9 * * *", &Zone::utc());
    daily.zones = Zones::Members(Zone::utc());
    daily.missed.catch_up = CatchUp::Last;
    // Two days away: each zone has its last one.
    let turn = turn(&daily, &zones, "", EIGHT, EIGHT.plus_ms(48 * HOUR), false);
    let mut lasts: Vec<usize> =
        turn.decided.iter().filter(|it| it.verdict == Verdict::CatchUp).map(|it| it.area).collect();
    lasts.sort_unstable();
    assert_eq!(lasts, [0, 1, 2]);
    assert!(turn.decided.is_sorted_by_key(|it| it.planned_at));
    assert_eq!(super::areas(&daily, &zones), zones);
    assert_eq!(super::areas(&schedule("0 9 * * *", &zones[1].zone), &zones), zones[1..2]);
    assert_eq!(super::turn(&daily, &[], "", EIGHT, EIGHT.plus_ms(HOUR), false).next_due, None);
}

#[test]
fn what_was_before_anybody_lived_there_is_not_missed() {
    let mut daily = schedule("0 9 * * *", &Zone::utc());
    daily.zones = Zones::Members(Zone::utc());
    // Two days later somebody joined, at nine sharp.
    let since = EIGHT.plus_ms(2 * 24 * HOUR - 11 * HOUR);
    let joined = [Area { zone: Zone::utc(), since }];
    let turn = turn(&daily, &joined, "", EIGHT, since, false);
    assert_eq!(said(&turn), ["2220 fire"]);
    let later = [Area { zone: Zone::utc(), since: since.plus_ms(1) }];
    assert_eq!(said(&super::turn(&daily, &later, "", EIGHT, since.plus_ms(1), false)), Vec::<String>::new());
}

proptest! {
    /// Whenever one looks, each planned moment is decided exactly once, and in order within its kind.
    #[test]
    fn each_moment_is_decided_once(
        text in patterns(), zone in zones(), start in times(), jitter in 0_i64..7_200_000,
        looks in prop::collection::vec(1_i64..5 * 86_400_000, 1..30),
        catch_up in prop::sample::select(vec![CatchUp::None, CatchUp::Last, CatchUp::All]), limit in 1_u32..20,
    ) {
        let Ok(_) = crate::Pattern::cron(&text) else { return Ok(()) };
        let mut plan = schedule(&text, &zone);
        plan.jitter_ms = jitter;
        plan.missed = Missed { catch_up, limit, max_age_ms: 2 * 86_400_000, grace_ms: 60_000 };
        let zones = [area(zone.clone())];
        let (mut now, mut until, mut decided) = (start, start, 0_u64);
        for look in looks {
            now = now.plus_ms(look);
            let turn = turn(&plan, &zones, "x", until, now, false);
            prop_assert!(turn.until >= until && turn.until <= now);
            for it in &turn.decided {
                prop_assert!(it.planned_at > until && it.planned_at <= now && it.due_at <= now);
                prop_assert!((0..jitter.max(1)).contains(&it.due_at.since_ms(it.planned_at)));
                match it.verdict {
                    Verdict::Miss(count) => decided += u64::from(count),
                    Verdict::Fire => { decided += 1; prop_assert!(now.since_ms(it.due_at) <= 60_000) }
                    Verdict::CatchUp => { decided += 1; prop_assert!(now.since_ms(it.due_at) > 60_000) }
                }
            }
            let caught_up = turn.decided.iter().filter(|it| it.verdict == Verdict::CatchUp).count();
            let most = match catch_up { CatchUp::None => 0, CatchUp::Last => 1, CatchUp::All => limit as usize };
            prop_assert!(caught_up <= most);
            // The next one is the first that was not decided.
            let next = plan.next(&zone, turn.until).map(|moment| moment.at.plus_ms(plan.jitter("x", &zone, moment.at)));
            prop_assert_eq!(turn.next_due, next);
            until = turn.until;
        }
        let (mut planned, mut after) = (0_u64, start);
        while let Some(moment) = plan.next(&zone, after).filter(|moment| moment.at <= until) {
            planned += 1;
            after = moment.at;
        }
        prop_assume!(planned < u64::from(COUNTED));
        prop_assert_eq!(decided, planned);
    }
}
