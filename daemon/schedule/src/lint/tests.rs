//! Descriptions and warnings.

use super::*;
use crate::schedule::tests::schedule;
use crate::{Holidays, TimeSpec};
use std::sync::Arc;

/// 2026-01-15T12:00:00Z
const NOW: Timestamp = Timestamp(1_768_478_400_000);

fn amsterdam() -> Zone {
    Zone::named("Europe/Amsterdam").unwrap()
}

#[test]
fn patterns_are_described() {
    for (text, expected) in [
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
        assert_eq!(crate::describe(&schedule(text, &Zone::utc())), expected, "{text}");
    }
    let mut other = schedule("0 9 * * MON", &Zone::utc());
    other.source = ("monthly", "last friday 17:00".into());
    assert_eq!(crate::describe(&other), "at 17:00 on the last Friday of the month");
    other.pattern = Pattern::Every { period_ms: 90 * 60_000, anchor: TimeSpec::Local(crate::DEFAULT_ANCHOR) };
    assert_eq!(crate::describe(&other), "every 90 minutes");
    other.pattern = Pattern::Every { period_ms: 86_400_000, anchor: TimeSpec::parse("2026-01-01T08:00").unwrap().0 };
    assert_eq!(crate::describe(&other), "every day, counted from 2026-01-01 08:00");
    other.pattern = Pattern::At(TimeSpec::parse("2026-12-24T18:00").unwrap().0);
    assert_eq!(crate::describe(&other), "once, at 2026-12-24 18:00");
}

fn texts(schedule: &Schedule) -> Vec<String> {
    let zones = [schedule.zones.home().clone()];
    warnings(schedule, &zones, NOW)
        .into_iter()
        .map(|Warning { code, text }| format!("{}: {text}", code.trim_start_matches("schedule-")))
        .collect()
}

#[test]
fn unusual_patterns_have_warnings() {
    for (text, wanted) in [
        ("0 9 * * MON", vec![]),
        ("*/15 * * * *", vec![]),
        (
            "*/13 9 * * *",
            vec![
                "uneven-step: `*/13` does not fire every 13 minutes: it restarts each hour, and the last interval is 8 minutes; for a constant interval, use `every`",
            ],
        ),
        (
            "0 */5 * * *",
            vec![
                "uneven-step: `*/5` does not fire every 5 hours: it restarts each day, and the last interval is 4 hours; for a constant interval, use `every`",
            ],
        ),
        (
            "0 9 */2 * *",
            vec![
                "uneven-step: `*/2` does not fire every 2 days: it restarts each month, and months differ in length; for a constant interval, use `every`",
            ],
        ),
        (
            "0 9 13 * FRI",
            vec!["either-day: day of month and day of week are both set: it fires on days that match either of them"],
        ),
        (
            "0 9 31 * *",
            vec![
                "short-months: five months have no 31st day, so it does not fire then; for the last day of every month, use `L`",
            ],
        ),
        (
            "0 9 30 * *",
            vec![
                "short-months: February has no 30th day, so it does not fire then; for the last day of every month, use `L`",
            ],
        ),
        ("0 9 15,31 * *", vec![]),
        (
            "0 9 * * FRI#5",
            vec!["short-months: not every month has a fifth one; for the last one, use `L` after the weekday"],
        ),
        (
            "30 2 * * *",
            vec![
                "skipped-time: on 2026-03-29 the clocks in Europe/Amsterdam skip 02:30: it fires at the first moment after the gap",
                "repeated-time: on 2026-10-25 the clocks in Europe/Amsterdam show 02:30 twice: it fires the first time only",
            ],
        ),
        (
            "*/30 2 * * *",
            vec![
                "skipped-time: on 2026-03-29 the clocks in Europe/Amsterdam skip 02:00, the only hour in which it fires: it does not fire that day",
                "repeated-time: on 2026-10-25 the clocks in Europe/Amsterdam show 02:00 twice: it fires both times",
            ],
        ),
        // Clocks change on Sundays.
        ("30 2 * * MON", vec![]),
    ] {
        assert_eq!(texts(&schedule(text, &amsterdam())), wanted, "{text}");
    }
}

#[test]
fn unusual_settings_have_warnings() {
    let mut daily = schedule("0 9 * * *", &amsterdam());
    daily.pattern = Pattern::Every { period_ms: DAY_MS, anchor: TimeSpec::Local(crate::DEFAULT_ANCHOR) };
    assert!(texts(&daily)[0].starts_with("elapsed-days: "), "{:?}", texts(&daily));
    let mut in_utc = schedule("0 9 * * *", &Zone::utc());
    in_utc.pattern = daily.pattern;
    assert!(texts(&in_utc).is_empty());
    let mut past = schedule("0 9 * * *", &amsterdam());
    past.until = Some(TimeSpec::Exact(NOW));
    assert_eq!(texts(&past), ["never: it will not fire again: no planned time is left"]);
    past.enabled = false;
    assert!(texts(&past).is_empty());
    let mut holidays = schedule("0 9 * * *", &amsterdam());
    let file = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:20260301\nEND:VEVENT\nEND:VCALENDAR";
    holidays.days_off.holidays = Some(Arc::new(Holidays::parse(file).unwrap()));
    assert_eq!(
        texts(&holidays),
        ["holidays-end: the last holiday in its file is 2026-03-01; after that no day is excluded"]
    );
}

#[test]
fn times_in_a_clock_change_have_notes() {
    let zone = amsterdam();
    let note = |text: &str, after: &str| {
        let after = Timestamp(after.parse::<jiff::Timestamp>().unwrap().as_millisecond());
        crate::clock_change_note(&Pattern::cron(text).unwrap().next(&zone, after).unwrap(), &zone)
    };
    assert_eq!(
        note("30 2 * * *", "2026-03-28T12:00:00Z").unwrap(),
        "02:30 is skipped that day; fires at the first moment after the gap"
    );
    assert_eq!(
        note("30 2 * * *", "2026-10-24T12:00:00Z").unwrap(),
        "02:30 occurs twice that day; this is the first time"
    );
    assert_eq!(
        note("30 * * * *", "2026-10-25T00:45:00Z").unwrap(),
        "02:30 occurs twice that day; this is the second time"
    );
    assert_eq!(note("30 2 * * *", "2026-10-25T12:00:00Z"), None);
}
