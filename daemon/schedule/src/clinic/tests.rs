//! What is said, and what is warned of.

use super::*;
use crate::schedule::tests::schedule;
use crate::{Holidays, When};
use std::sync::Arc;

/// 2026-01-15T12:00:00Z
const NOW: Timestamp = Timestamp(1_768_478_400_000);

fn amsterdam() -> Zone {
    Zone::named("Europe/Amsterdam").unwrap()
}

#[test]
fn patterns_in_words() {
    for (text, said) in [
        ("0 9 * * MON", "at 09:00 on Monday"),
        ("0 9,17 * * MON-FRI", "at 09:00 and 17:00 on Monday to Friday"),
        ("30 0 9 * * *", "at 09:00:30 every day"),
        ("* * * * *", "every minute every day"),
        ("*/15 * * * *", "every 15th minute of every hour every day"),
        ("*/15 9-17 * * MON-FRI", "every 15th minute of hours 9 through 17 on Monday to Friday"),
        ("0 */4 * * *", "minute 0 of every 4th hour every day"),
        ("0,30 * * * *", "minutes 0 and 30 of every hour every day"),
        ("0 0 1 1 *", "at 00:00 on the 1st in January"),
        ("0 0 13 * FRI", "at 00:00 on the 13th and on Friday"),
        ("0 0 */2 * FRI", "at 00:00 on every 2nd day of the month from the 1st that is also on Friday"),
        ("0 0 L * *", "at 00:00 on the last day of the month"),
        ("0 0 LW 3,6-8 *", "at 00:00 on the last day from Monday to Friday of the month in March and June to August"),
        ("0 0 15W,22 * *", "at 00:00 on the day from Monday to Friday nearest the 15th and the 22nd"),
        ("0 17 * * FRI#2", "at 17:00 on the 2nd Friday of the month"),
        ("0 17 * * FRIL", "at 17:00 on the last Friday of the month"),
        ("@weekly", "at 00:00 on Sunday"),
        ("*/10 * * * * *", "every 10th second of every minute every day"),
    ] {
        assert_eq!(words(&schedule(text, &Zone::utc())), said, "{text}");
    }
    let mut other = schedule("0 9 * * MON", &Zone::utc());
    other.said = ("monthly", "last friday 17:00".into());
    assert_eq!(words(&other), "at 17:00 on the last Friday of the month");
    other.pattern = Pattern::Every { period_ms: 90 * 60_000, anchor: When::Local(crate::ANCHOR) };
    assert_eq!(words(&other), "every 90 minutes");
    other.pattern = Pattern::Every { period_ms: 86_400_000, anchor: When::read("2026-01-01T08:00").unwrap().0 };
    assert_eq!(words(&other), "every day, counted from 2026-01-01 08:00");
    other.pattern = Pattern::At(When::read("2026-12-24T18:00").unwrap().0);
    assert_eq!(words(&other), "once, at 2026-12-24 18:00");
}

fn said(schedule: &Schedule) -> Vec<String> {
    let zones = [schedule.zones.home().clone()];
    warnings(schedule, &zones, NOW)
        .into_iter()
        .map(|Warning { code, text }| format!("{}: {text}", code.trim_start_matches("schedule-")))
        .collect()
}

#[test]
fn surprises_of_patterns() {
    for (text, wanted) in [
        ("0 9 * * MON", vec![]),
        ("*/15 * * * *", vec![]),
        (
            "*/13 9 * * *",
            vec![
                "uneven-step: `*/13` is not every 13 minutes: it begins anew each hour, and the last of them is only 8 before the next; `every` counts on",
            ],
        ),
        (
            "0 */5 * * *",
            vec![
                "uneven-step: `*/5` is not every 5 hours: it begins anew each day, and the last of them is only 4 before the next; `every` counts on",
            ],
        ),
        (
            "0 9 */2 * *",
            vec![
                "uneven-step: `*/2` is not every 2 days: it begins anew each month, and months are of different lengths; `every` counts on",
            ],
        ),
        (
            "0 9 13 * FRI",
            vec!["either-day: day of month and day of week are both given: it fires on days that match either of them"],
        ),
        (
            "0 9 31 * *",
            vec![
                "short-months: five months have no 31st, and it does not fire in them; `L` is the last day of whatever month",
            ],
        ),
        (
            "0 9 30 * *",
            vec![
                "short-months: February has no such day in most years, and it does not fire in them; `L` is the last day of whatever month",
            ],
        ),
        ("0 9 15,31 * *", vec![]),
        ("0 9 * * FRI#5", vec!["short-months: not every month has a fifth one: `L` behind the weekday is the last"]),
        (
            "30 2 * * *",
            vec![
                "skipped-time: on 2026-03-29 the clock in Europe/Amsterdam skips 02:30: it fires at the first moment after it",
                "double-time: on 2026-10-25 the clock in Europe/Amsterdam shows 02:30 twice: it fires the first time only",
            ],
        ),
        (
            "*/30 2 * * *",
            vec![
                "skipped-time: on 2026-03-29 the clock in Europe/Amsterdam skips 02:00, the only hour in which it fires: not at all that day",
                "double-time: on 2026-10-25 the clock in Europe/Amsterdam shows 02:00 twice: it fires both times",
            ],
        ),
        // Not on a Sunday, so not on such a night.
        ("30 2 * * MON", vec![]),
    ] {
        assert_eq!(said(&schedule(text, &amsterdam())), wanted, "{text}");
    }
}

#[test]
fn surprises_of_all_else() {
    let mut daily = schedule("0 9 * * *", &amsterdam());
    daily.pattern = Pattern::Every { period_ms: DAY_MS, anchor: When::Local(crate::ANCHOR) };
    assert!(said(&daily)[0].starts_with("elapsed-days: "), "{:?}", said(&daily));
    let mut in_utc = schedule("0 9 * * *", &Zone::utc());
    in_utc.pattern = daily.pattern;
    assert!(said(&in_utc).is_empty());
    let mut past = schedule("0 9 * * *", &amsterdam());
    past.until = Some(When::Exact(NOW));
    assert_eq!(said(&past), ["never: it never fires any more"]);
    past.enabled = false;
    assert!(said(&past).is_empty());
    let mut holidays = schedule("0 9 * * *", &amsterdam());
    let file = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:20260301\nEND:VEVENT\nEND:VCALENDAR";
    holidays.days_off.holidays = Some(Arc::new(Holidays::read(file).unwrap()));
    assert_eq!(
        said(&holidays),
        ["holidays-end: the last holiday in its file is on 2026-03-01: after that it fires on every day"]
    );
}

#[test]
fn what_is_odd_about_a_moment() {
    let zone = amsterdam();
    let odd = |text: &str, after: &str| {
        let after = Timestamp(after.parse::<jiff::Timestamp>().unwrap().as_millisecond());
        oddity(&Pattern::cron(text).unwrap().next(&zone, after).unwrap(), &zone)
    };
    assert_eq!(
        odd("30 2 * * *", "2026-03-28T12:00:00Z").unwrap(),
        "the clock skips 02:30 that day: the first moment after it"
    );
    assert_eq!(odd("30 2 * * *", "2026-10-24T12:00:00Z").unwrap(), "02:30 comes twice that day: the first time");
    assert_eq!(odd("30 * * * *", "2026-10-25T00:45:00Z").unwrap(), "02:30 comes twice that day: the second time");
    assert_eq!(odd("30 2 * * *", "2026-10-25T12:00:00Z"), None);
}
