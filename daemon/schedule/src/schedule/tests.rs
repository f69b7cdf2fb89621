//! From, until, days off, jitter, and what counts as an edit.

use super::*;
use crate::pattern::tests::{patterns, times, zones};
use jiff::civil::date;
use proptest::prelude::*;

/// A schedule that fires by this pattern in this zone, with everything else as usual.
pub(crate) fn schedule(cron: &str, zone: &Zone) -> Schedule {
    Schedule {
        name: "test".into(),
        renamed_from: None,
        said: ("cron", cron.into()),
        pattern: Pattern::cron(cron).unwrap(),
        zones: Zones::One(zone.clone()),
        plugins: vec!["echo".into()],
        from: None,
        until: None,
        days_off: DaysOff::default(),
        jitter_ms: 0,
        missed: Missed::default(),
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
fn from_and_until_are_in_it() {
    let zone = Zone::named("Europe/Amsterdam").unwrap();
    let mut daily = schedule("0 9 * * *", &zone);
    daily.from = Some(When::Local("2026-06-01T09:00".parse().unwrap()));
    daily.until = Some(When::Local("2026-06-03T09:00".parse().unwrap()));
    assert_eq!(planned(&daily, &zone, "2026-01-01T00:00:00Z", 9), ["06-01T07:00", "06-02T07:00", "06-03T07:00"]);
    assert_eq!(planned(&daily, &zone, "2026-06-02T07:00:00Z", 9), ["06-03T07:00"]);
}

#[test]
fn days_off_are_days_of_its_zone() {
    let zone = Zone::named("Pacific/Kiritimati").unwrap();
    let mut hourly = schedule("0 */12 * * *", &zone);
    hourly.days_off.dates = [date(2026, 1, 2), date(2026, 1, 3)].into();
    // 2 January begins there at 10:00 UTC of the first, and 4 January at 10:00 UTC of the third.
    assert_eq!(planned(&hourly, &zone, "2025-12-31T22:00:00Z", 2), ["01-03T10:00", "01-03T22:00"]);
    assert_eq!(planned(&hourly, &zone, "2025-12-31T09:00:00Z", 2), ["12-31T10:00", "12-31T22:00"]);
}

#[test]
fn one_that_is_always_on_a_day_off_comes_never() {
    let zone = Zone::utc();
    let mut christmas = schedule("0 9 25 12 *", &zone);
    let file = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:20001225\nRRULE:FREQ=YEARLY\nSUMMARY:Christmas\nEND:VEVENT\nEND:VCALENDAR";
    christmas.days_off.holidays = Some(Arc::new(crate::Holidays::read(file).unwrap()));
    assert_eq!(christmas.next(&zone, Timestamp(0).plus_ms(1_000_000_000_000)), None);
    let off = christmas.next_or_off(&zone, Timestamp(1_795_293_360_000)).unwrap();
    assert!(matches!(off, Next::Off(moment, "Christmas") if moment.wall.date() == date(2026, 12, 25)), "{off:?}");
}

#[test]
fn what_counts_as_an_edit() {
    let zone = Zone::utc();
    let plan = schedule("0 9 * * *", &zone).plan();
    let edited = |edit: fn(&mut Schedule)| {
        let mut schedule = schedule("0 9 * * *", &zone);
        edit(&mut schedule);
        schedule.plan() != plan
    };
    assert!(edited(|it| it.said.1 = "0 10 * * *".into()));
    assert!(edited(|it| it.zones = Zones::Members(Zone::utc())));
    assert!(edited(|it| it.zones = Zones::One(Zone::named("Europe/Amsterdam").unwrap())));
    assert!(edited(|it| it.enabled = false));
    assert!(edited(|it| it.pattern = Pattern::Every { period_ms: 1, anchor: When::Exact(Timestamp(1)) }));
    assert!(!edited(|it| it.payload = Arc::new(1.into())));
    assert!(!edited(|it| it.jitter_ms = 1));
    assert!(!edited(|it| it.plugins.clear()));
    assert!(!edited(|it| it.days_off.dates = [date(2026, 1, 1)].into()));
}

proptest! {
    #[test]
    fn bounds_and_days_off_hold(text in patterns(), zone in zones(), start in times(), days in 1_i64..400, off in prop::collection::btree_set(0_i32..60, 0..20)) {
        let Ok(_) = Pattern::cron(&text) else { return Ok(()) };
        let mut plan = schedule(&text, &zone);
        let until = start.plus_ms(days * 86_400_000);
        let first = zone.wall(start).date();
        plan.from = Some(When::Exact(start));
        plan.until = Some(When::Exact(until));
        plan.days_off.dates = off.iter().map(|day| first.checked_add(jiff::Span::new().days(*day)).unwrap()).collect();
        let mut after = start.plus_ms(-3_000_000_000);
        for _ in 0..40 {
            let Some(moment) = plan.next(&zone, after) else { break };
            prop_assert!(start <= moment.at && moment.at <= until && moment.at > after);
            prop_assert!(!plan.days_off.dates.contains(&moment.wall.date()));
            // Nothing planned was passed over: the bare pattern says the same, but for what is off.
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
    fn jitter_is_small_and_always_the_same(planned in times(), jitter in 1_i64..86_400_000) {
        let zone = Zone::utc();
        let mut plan = schedule("0 9 * * *", &zone);
        plan.jitter_ms = jitter;
        let put_off = plan.jitter("0a1b2c3d", &zone, planned);
        prop_assert!((0..jitter).contains(&put_off));
        prop_assert_eq!(plan.jitter("0a1b2c3d", &zone, planned), put_off);
        prop_assume!(jitter > 1_000_000);
        // Another installation or zone has its own; equal ones are rarer than anybody runs this test.
        let other = Zone::named("Europe/Amsterdam").unwrap();
        prop_assert!(plan.jitter("ffffffff", &zone, planned) != put_off || plan.jitter("0a1b2c3d", &other, planned) != put_off);
    }
}
