//! `from`, `until`, excluded days, jitter, and what counts as an edit.

use super::*;
use crate::pattern::tests::{patterns, times, zones};
use jiff::civil::date;
use proptest::prelude::*;

/// A schedule with this pattern and zone and default settings.
pub(crate) fn schedule(cron: &str, zone: &Zone) -> Schedule {
    Schedule {
        name: "test".into(),
        renamed_from: None,
        source: ("cron", cron.into()),
        pattern: Pattern::cron(cron).unwrap(),
        zones: Zones::One(zone.clone()),
        plugins: vec!["echo".into()],
        from: None,
        until: None,
        days_off: DaysOff::default(),
        jitter_ms: 0,
        catch_up: CatchUpPolicy::default(),
        overlap: Overlap::Queue,
        enabled: true,
        payload: Arc::default(),
    }
}

fn planned(schedule: &Schedule, zone: &Zone, after: &str, count: usize) -> Vec<String> {
    let mut after = Timestamp(after.parse::<jiff::Timestamp>().unwrap().as_millisecond());
    (0..count)
        .map_while(|_| {
            after = schedule.next(zone, after)?.at;
            after.to_string().get(5..16).map(str::to_owned)
        })
        .collect()
}

#[test]
fn from_and_until_are_inclusive() {
    let zone = Zone::named("Europe/Amsterdam").unwrap();
    let mut daily = schedule("0 9 * * *", &zone);
    daily.from = Some(TimeSpec::Local("2026-06-01T09:00".parse().unwrap()));
    daily.until = Some(TimeSpec::Local("2026-06-03T09:00".parse().unwrap()));
    assert_eq!(planned(&daily, &zone, "2026-01-01T00:00:00Z", 9), ["06-01T07:00", "06-02T07:00", "06-03T07:00"]);
    assert_eq!(planned(&daily, &zone, "2026-06-02T07:00:00Z", 9), ["06-03T07:00"]);
}

#[test]
fn excluded_days_are_days_in_its_zone() {
    let zone = Zone::named("Pacific/Kiritimati").unwrap();
    let mut hourly = schedule("0 */12 * * *", &zone);
    hourly.days_off.dates = [date(2026, 1, 2), date(2026, 1, 3)].into();
    // 2 January begins there at 10:00 UTC of the first, and 4 January at 10:00 UTC of the third.
    assert_eq!(planned(&hourly, &zone, "2025-12-31T22:00:00Z", 2), ["01-03T10:00", "01-03T22:00"]);
    assert_eq!(planned(&hourly, &zone, "2025-12-31T09:00:00Z", 2), ["12-31T10:00", "12-31T22:00"]);
}

#[test]
fn schedule_that_matches_excluded_days_only_never_fires() {
    let zone = Zone::utc();
    let mut christmas = schedule("0 9 25 12 *", &zone);
    let file = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:20001225\nRRULE:FREQ=YEARLY\nSUMMARY:Christmas\nEND:VEVENT\nEND:VCALENDAR";
    christmas.days_off.holidays = Some(Arc::new(crate::Holidays::parse(file).unwrap()));
    assert_eq!(christmas.next(&zone, Timestamp(0).plus_ms(1_000_000_000_000)), None);
    let off = christmas.next_match(&zone, Timestamp(1_795_293_360_000)).unwrap();
    assert!(
        matches!(off, NextMoment::Excluded(moment, "Christmas") if moment.wall.date() == date(2026, 12, 25)),
        "{off:?}"
    );
}

#[test]
fn pattern_zone_and_enabled_count_as_an_edit() {
    let zone = Zone::utc();
    let plan = schedule("0 9 * * *", &zone).plan_hash();
    let edited = |edit: fn(&mut Schedule)| {
        let mut schedule = schedule("0 9 * * *", &zone);
        edit(&mut schedule);
        schedule.plan_hash() != plan
    };
    assert!(edited(|schedule| schedule.source.1 = "0 10 * * *".into()));
    assert!(edited(|schedule| schedule.zones = Zones::Members(Zone::utc())));
    assert!(edited(|schedule| schedule.zones = Zones::One(Zone::named("Europe/Amsterdam").unwrap())));
    assert!(edited(|schedule| schedule.enabled = false));
    assert!(edited(
        |schedule| schedule.pattern = Pattern::Every { period_ms: 1, anchor: TimeSpec::Exact(Timestamp(1)) }
    ));
    assert!(!edited(|schedule| schedule.payload = Arc::new(1.into())));
    assert!(!edited(|schedule| schedule.jitter_ms = 1));
    assert!(!edited(|schedule| schedule.plugins.clear()));
    assert!(!edited(|schedule| schedule.days_off.dates = [date(2026, 1, 1)].into()));
}

proptest! {
    #[test]
    fn planned_times_respect_bounds_and_excluded_days(text in patterns(), zone in zones(), start in times(), days in 1_i64..400, off in prop::collection::btree_set(0_i32..60, 0..20)) {
        let Ok(_) = Pattern::cron(&text) else { return Ok(()) };
        let mut plan = schedule(&text, &zone);
        let until = start.plus_ms(days * 86_400_000);
        let first = zone.wall(start).date();
        plan.from = Some(TimeSpec::Exact(start));
        plan.until = Some(TimeSpec::Exact(until));
        plan.days_off.dates = off.iter().map(|day| first.checked_add(jiff::Span::new().days(*day)).unwrap()).collect();
        let mut after = start.plus_ms(-3_000_000_000);
        for _ in 0..40 {
            let Some(moment) = plan.next(&zone, after) else { break };
            prop_assert!(start <= moment.at && moment.at <= until && moment.at > after);
            prop_assert!(!plan.days_off.dates.contains(&moment.wall.date()));
            // Nothing was skipped: the bare pattern has the same times, except on excluded days.
            let mut bare = after.max(start.plus_ms(-1));
            loop {
                let next = plan.pattern.next(&zone, bare).unwrap();
                if next.at == moment.at { break; }
                prop_assert!(plan.days_off.dates.contains(&next.wall.date()));
                bare = next.at;
            }
            after = moment.at;
        }
    }

    #[test]
    fn jitter_is_bounded_and_constant(planned in times(), jitter in 1_i64..86_400_000) {
        let zone = Zone::utc();
        let mut plan = schedule("0 9 * * *", &zone);
        plan.jitter_ms = jitter;
        let delay = plan.jitter("0a1b2c3d", &zone, planned);
        prop_assert!((0..jitter).contains(&delay));
        prop_assert_eq!(plan.jitter("0a1b2c3d", &zone, planned), delay);
        prop_assume!(jitter > 1_000_000);
        // Another installation or zone has another delay; a collision of both is too rare to see
        // here.
        let other = Zone::named("Europe/Amsterdam").unwrap();
        prop_assert!(plan.jitter("ffffffff", &zone, planned) != delay || plan.jitter("0a1b2c3d", &other, planned) != delay);
    }
}
