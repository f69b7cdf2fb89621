//! Clock changes with expected times, and properties of every pattern in every zone.

use super::*;
use proptest::prelude::*;

fn zone(name: &str) -> Zone {
    Zone::named(name).unwrap()
}

fn at(text: &str) -> Timestamp {
    Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

/// The first matches after a time, in UTC, with the kind of their local time.
fn moments(pattern: &Pattern, zone: &Zone, after: &str, count: usize) -> Vec<String> {
    let mut after = at(after);
    (0..count)
        .map_while(|_| {
            let moment = pattern.next(zone, after)?;
            after = moment.at;
            let text = moment.at.to_string();
            let kind = match moment.kind {
                LocalTimeKind::Unique => "",
                LocalTimeKind::Gap => " skipped",
                LocalTimeKind::Fold => " twice",
            };
            Some(format!("{}{kind}", text.get(5..16).unwrap()))
        })
        .collect()
}

fn cron(text: &str, zone_name: &str, after: &str, count: usize) -> Vec<String> {
    moments(&Pattern::cron(text).unwrap(), &zone(zone_name), after, count)
}

/// 29 March 2026: 02:00 is 03:00 (01:00 UTC). 25 October 2026: 03:00 is 02:00 (01:00 UTC).
#[test]
fn patterns_follow_the_clock_changes_of_amsterdam() {
    let (spring, autumn) = ("2026-03-28T12:00:00Z", "2026-10-24T12:00:00Z");
    let amsterdam = "Europe/Amsterdam";
    // Fixed: once each day, at the first moment after the gap, and at the first of two occurrences.
    assert_eq!(cron("30 2 * * *", amsterdam, spring, 2), ["03-29T01:00 skipped", "03-30T00:30"]);
    assert_eq!(cron("30 2 * * *", amsterdam, autumn, 2), ["10-25T00:30 twice", "10-26T01:30"]);
    // A skipped time and a match right after the gap are one firing.
    let wanted = ["03-29T00:00", "03-29T01:00 skipped", "03-29T02:00"];
    assert_eq!(cron("0 1-4 * * *", amsterdam, "2026-03-28T23:59:00Z", 3), wanted);
    assert_eq!(cron("10,50 2 * * *", amsterdam, spring, 2), ["03-29T01:00 skipped", "03-30T00:10"]);
    let wanted = ["10-24T23:00", "10-25T00:00 twice", "10-25T02:00", "10-25T03:00"];
    assert_eq!(cron("0 1-4 * * *", amsterdam, "2026-10-24T22:59:00Z", 4), wanted);
    // In the second pass through the repeated hour, its matches have already fired.
    assert_eq!(cron("30 2 * * *", amsterdam, "2026-10-25T01:10:00Z", 1), ["10-26T01:30"]);
    // Periodic patterns follow elapsed time.
    let wanted = ["03-29T00:30", "03-29T01:30", "03-29T02:30"];
    assert_eq!(cron("30 * * * *", amsterdam, "2026-03-29T00:00:00Z", 3), wanted);
    let wanted = ["10-24T23:30", "10-25T00:30 twice", "10-25T01:30 twice", "10-25T02:30"];
    assert_eq!(cron("30 * * * *", amsterdam, "2026-10-24T23:00:00Z", 4), wanted);
    assert_eq!(cron("*/30 2 * * *", amsterdam, spring, 2), ["03-30T00:00", "03-30T00:30"]);
    let wanted = ["10-25T00:00 twice", "10-25T00:30 twice", "10-25T01:00 twice", "10-25T01:30 twice", "10-26T01:00"];
    assert_eq!(cron("*/30 2 * * *", amsterdam, autumn, 5), wanted);
}

#[test]
fn patterns_follow_unusual_clock_changes() {
    // Half an hour: 5 April 2026 02:00 is 01:30 (15:00 UTC of the 4th); 4 October 02:00 is 02:30
    // (15:30 UTC of the 3rd).
    let howe = "Australia/Lord_Howe";
    assert_eq!(cron("45 1 * * *", howe, "2026-04-04T00:00:00Z", 2), ["04-04T14:45 twice", "04-05T15:15"]);
    assert_eq!(cron("15 2 * * *", howe, "2026-10-03T00:00:00Z", 2), ["10-03T15:30 skipped", "10-04T15:15"]);
    // Midnight does not exist: 24 April 2026 in Cairo, 6 September in Santiago, 8 March in Havana.
    assert_eq!(cron("@daily", "Africa/Cairo", "2026-04-23T12:00:00Z", 2), ["04-23T22:00 skipped", "04-24T21:00"]);
    assert_eq!(cron("@daily", "America/Santiago", "2026-09-05T12:00:00Z", 2), ["09-06T04:00 skipped", "09-07T03:00"]);
    assert_eq!(cron("@daily", "America/Havana", "2026-03-07T12:00:00Z", 2), ["03-08T05:00 skipped", "03-09T04:00"]);
    // Samoa skipped 30 December 2011.
    let apia = cron("0 9 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z", 3);
    assert_eq!(apia, ["12-29T19:00", "12-30T10:00 skipped", "12-30T19:00"]);
    assert_eq!(cron("0 9 * * *", "Pacific/Kiritimati", "2026-01-01T00:00:00Z", 1), ["01-01T19:00"]);
}

#[test]
fn intervals_and_single_times_have_the_expected_moments() {
    let every = |ms: i64, anchor| Pattern::Every { period_ms: ms, anchor };
    let amsterdam = zone("Europe/Amsterdam");
    let from_anchor = every(90 * 60_000, TimeSpec::Local(DEFAULT_ANCHOR));
    // Counted from midnight of 1 January 2001 in Amsterdam, regardless of the clock change.
    let wanted = ["03-28T23:00", "03-29T00:30", "03-29T02:00", "03-29T03:30"];
    assert_eq!(moments(&from_anchor, &amsterdam, "2026-03-28T22:00:00Z", 4), wanted);
    let of_old = every(7 * 86_400_000, TimeSpec::Local(DEFAULT_ANCHOR));
    assert_eq!(moments(&of_old, &Zone::utc(), "2026-03-28T22:00:00Z", 2), ["03-30T00:00", "04-06T00:00"]);
    // Before the anchor it counts backwards.
    let future = every(3_600_000, TimeSpec::Exact(at("2030-01-01T00:10:00Z")));
    assert_eq!(moments(&future, &amsterdam, "2026-03-28T22:00:00Z", 2), ["03-28T22:10", "03-28T23:10"]);

    let at_once = Pattern::At(TimeSpec::Local("2026-12-24T18:00".parse().unwrap()));
    assert_eq!(moments(&at_once, &amsterdam, "2026-01-01T00:00:00Z", 2), ["12-24T17:00"]);
    assert!(moments(&at_once, &amsterdam, "2026-12-24T17:00:00Z", 2).is_empty());
    let in_gap = Pattern::At(TimeSpec::Local("2026-03-29T02:30".parse().unwrap()));
    assert_eq!(moments(&in_gap, &amsterdam, "2026-01-01T00:00:00Z", 2), ["03-29T01:00 skipped"]);
    let exact = Pattern::At(TimeSpec::Exact(at("2026-12-24T18:00:00+05:30")));
    assert_eq!(moments(&exact, &amsterdam, "2026-01-01T00:00:00Z", 2), ["12-24T12:30"]);
}

/// In Troll the clock goes from 01:00 to 03:00 on the last Sunday of March.
#[test]
fn hour_that_the_clock_skips_each_year_never_fires() {
    let pattern = Pattern::cron("* 1 * 3 SUNL").unwrap();
    assert!(moments(&pattern, &zone("Antarctica/Troll"), "2026-01-01T00:00:00Z", 2).is_empty());
    assert_eq!(moments(&pattern, &Zone::utc(), "2026-01-01T00:00:00Z", 1), ["03-29T01:00"]);
}

#[test]
fn extreme_timestamps_do_not_panic() {
    for text in ["0 0 29 2 *", "* * * * * *", "*/7 3 * * *"] {
        let pattern = Pattern::cron(text).unwrap();
        for end in [i64::MIN, -377_705_023_201_000, 253_402_207_200_000, i64::MAX] {
            let _ = pattern.next(&zone("America/New_York"), Timestamp(end));
        }
        assert_eq!(pattern.next(&Zone::utc(), Timestamp(i64::MAX)), None);
    }
    let every = Pattern::Every { period_ms: 1000, anchor: TimeSpec::Exact(Timestamp(i64::MIN)) };
    assert_eq!(every.next(&Zone::utc(), Timestamp(i64::MAX)), None);
}

/// Random patterns that use every form of field.
pub(crate) fn patterns() -> impl Strategy<Value = String> {
    fn field(low: u32, high: u32, star: u32) -> impl Strategy<Value = String> {
        let number = (low..=high).prop_map(|number| number.to_string()).boxed();
        let range = (low..=high, low..=high).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b)));
        let stepped = (1..=high.div_ceil(2)).prop_map(|step| format!("*/{step}"));
        let list = prop::collection::vec(low..=high, 2..4)
            .prop_map(|list| list.iter().map(u32::to_string).collect::<Vec<_>>().join(","));
        prop_oneof![star => Just("*".to_owned()), 4 => number, 1 => range, 1 => stepped, 1 => list]
    }
    let day = prop_oneof![4 => field(1, 28, 8), 1 => Just("L".to_owned()), 1 => Just("LW".to_owned()), 1 => Just("15W".to_owned())];
    let weekday = prop_oneof![4 => field(0, 7, 8), 1 => Just("FRI#2".to_owned()), 1 => Just("SUNL".to_owned())];
    (field(0, 59, 2), field(0, 23, 2), day, field(1, 12, 12), weekday)
        .prop_map(|(minute, hour, day, month, weekday)| format!("{minute} {hour} {day} {month} {weekday}"))
}

/// Zones with unusual clock changes.
pub(crate) fn zones() -> impl Strategy<Value = Zone> {
    let names =
        ["Europe/Amsterdam", "Australia/Lord_Howe", "Africa/Casablanca", "America/Havana", "Antarctica/Troll", "UTC"];
    prop::sample::select(names.to_vec()).prop_map(zone)
}

/// A time between 2024 and 2031.
pub(crate) fn times() -> impl Strategy<Value = Timestamp> {
    (1_704_067_200_000..1_924_992_000_000_i64).prop_map(Timestamp)
}

proptest! {
    #[test]
    fn matches_increase_and_agree_with_local_time(text in patterns(), zone in zones(), start in times()) {
        let Ok(pattern) = Pattern::cron(&text) else { return Ok(()) };
        let Pattern::Cron(cron) = &pattern else { unreachable!() };
        let mut after = start;
        for _ in 0..30 {
            let Some(moment) = pattern.next(&zone, after) else {
                // `* 1 * 3 SUNL` in Antarctica/Troll: the hour that the clock skips on that day of
                // every year.
                prop_assert!(!cron.fixed, "{text} {zone:?}: nothing after {after}");
                break;
            };
            prop_assert!(moment.at > after, "{text} {zone:?}: {} is not after {after}", moment.at);
            match moment.kind {
                LocalTimeKind::Gap => {
                    prop_assert!(cron.fixed);
                    // The local time does not occur, and the moment before shows an earlier one.
                    prop_assert!(zone.wall(moment.at.plus_ms(-1)) < moment.wall && moment.wall < zone.wall(moment.at));
                }
                LocalTimeKind::Unique | LocalTimeKind::Fold => prop_assert_eq!(zone.wall(moment.at), moment.wall),
            }
            after = moment.at;
        }
    }

    #[test]
    fn next_is_the_same_from_any_time_between_two_matches(text in patterns(), zone in zones(), start in times(), part in 0.0..1.0_f64) {
        let Ok(pattern) = Pattern::cron(&text) else { return Ok(()) };
        // None: the clock skips its only hour every year.
        let Some(first) = pattern.next(&zone, start) else { return Ok(()) };
        let Some(second) = pattern.next(&zone, first.at) else { return Ok(()) };
        let between = first.at.plus_ms((second.at.since_ms(first.at) as f64 * part) as i64);
        prop_assert_eq!(pattern.next(&zone, between).unwrap(), second);
        prop_assert_eq!(pattern.next(&zone, second.at.plus_ms(-1)).unwrap(), second);
    }
}
