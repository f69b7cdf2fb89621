//! Extensions that other crons lack (`L`, `W`, `#`, seconds, names) with expected matches, and
//! rejected patterns.

use super::*;
use jiff::civil::DateTime;

/// The first matches at or after a local time.
fn matches(text: &str, from: &str, count: usize) -> Vec<String> {
    let cron = Cron::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let mut from: DateTime = from.parse().unwrap();
    (0..count)
        .map(|_| {
            let found = cron.fields.first_from(from).unwrap();
            from = found.checked_add(jiff::SignedDuration::from_secs(1)).unwrap();
            found.strftime("%F %T").to_string()
        })
        .collect()
}

/// The first matching days from 2026-01-01.
fn days(text: &str, count: usize) -> Vec<String> {
    let found = matches(&format!("0 0 {text}"), "2026-01-01", count);
    found.iter().map(|found| found.strip_suffix(" 00:00:00").unwrap().to_owned()).collect()
}

#[test]
fn day_fields_select_the_expected_days() {
    for (text, wanted) in [
        ("L * *", ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30"]),
        ("L-2 * *", ["2026-01-29", "2026-02-26", "2026-03-29", "2026-04-28"]),
        // Saturday 31 January, Saturday 28 February, Tuesday, Thursday; Sunday 31 May.
        ("LW * *", ["2026-01-30", "2026-02-27", "2026-03-31", "2026-04-30"]),
        ("LW 5,8 *", ["2026-05-29", "2026-08-31", "2027-05-31", "2027-08-31"]),
        // Thursday; Sunday goes to Monday, Sunday, Wednesday.
        ("15W * *", ["2026-01-15", "2026-02-16", "2026-03-16", "2026-04-15"]),
        // The nearest weekday is in the same month: Saturday 1 August, Sunday 31 May.
        ("1W 8 *", ["2026-08-03", "2027-08-02", "2028-08-01", "2029-08-01"]),
        ("31W 5,10 *", ["2026-05-29", "2026-10-30", "2027-05-31", "2027-10-29"]),
        // Short months have no 31st, so there is nothing near it.
        ("31W * *", ["2026-01-30", "2026-03-31", "2026-05-29", "2026-07-31"]),
        ("* * FRI#2", ["2026-01-09", "2026-02-13", "2026-03-13", "2026-04-10"]),
        ("* * 1#1", ["2026-01-05", "2026-02-02", "2026-03-02", "2026-04-06"]),
        // Not every month has a fifth Thursday.
        ("* * THU#5", ["2026-01-29", "2026-04-30", "2026-07-30", "2026-10-29"]),
        ("* * FRIL", ["2026-01-30", "2026-02-27", "2026-03-27", "2026-04-24"]),
        ("* * 5L", ["2026-01-30", "2026-02-27", "2026-03-27", "2026-04-24"]),
        ("* * 7L", ["2026-01-25", "2026-02-22", "2026-03-29", "2026-04-26"]),
        ("* * MON#1,MON#3", ["2026-01-05", "2026-01-19", "2026-02-02", "2026-02-16"]),
        // Both restricted: either may match …
        ("13 * FRI", ["2026-01-02", "2026-01-09", "2026-01-13", "2026-01-16"]),
        ("L * SUN", ["2026-01-04", "2026-01-11", "2026-01-18", "2026-01-25"]),
        // … unless one starts with a star: then both must match.
        ("*/10 * MON", ["2026-05-11", "2026-06-01", "2026-08-31", "2026-09-21"]),
        ("1-7 * */2", ["2026-01-01", "2026-01-03", "2026-01-04", "2026-01-06"]),
        ("29 2 *", ["2028-02-29", "2032-02-29", "2036-02-29", "2040-02-29"]),
        ("31 * *", ["2026-01-31", "2026-03-31", "2026-05-31", "2026-07-31"]),
        ("* * SAT-SUN", ["2026-01-03", "2026-01-04", "2026-01-10", "2026-01-11"]),
        ("* * 0", ["2026-01-04", "2026-01-11", "2026-01-18", "2026-01-25"]),
        ("* * 7", ["2026-01-04", "2026-01-11", "2026-01-18", "2026-01-25"]),
        ("* jan-mar/2 mon", ["2026-01-05", "2026-01-12", "2026-01-19", "2026-01-26"]),
        ("1 1,JUL ?", ["2026-01-01", "2026-07-01", "2027-01-01", "2027-07-01"]),
    ] {
        assert_eq!(days(text, 4), wanted, "{text}");
    }
}

#[test]
fn time_fields_and_nicknames_match_the_expected_times() {
    for (text, wanted) in [
        ("0 9 * * MON", ["2026-01-05 09:00:00", "2026-01-12 09:00:00", "2026-01-19 09:00:00"]),
        ("*/13 * * * *", ["2026-01-01 10:26:00", "2026-01-01 10:39:00", "2026-01-01 10:52:00"]),
        ("50 9-11 * * *", ["2026-01-01 10:50:00", "2026-01-01 11:50:00", "2026-01-02 09:50:00"]),
        ("5-20/7 10 * * *", ["2026-01-01 10:19:00", "2026-01-02 10:05:00", "2026-01-02 10:12:00"]),
        ("30 0 9 * * *", ["2026-01-02 09:00:30", "2026-01-03 09:00:30", "2026-01-04 09:00:30"]),
        ("*/20 18 10 * * *", ["2026-01-01 10:18:20", "2026-01-01 10:18:40", "2026-01-02 10:18:00"]),
        ("58,59 59 23 L 12 *", ["2026-12-31 23:59:58", "2026-12-31 23:59:59", "2027-12-31 23:59:58"]),
        ("@hourly", ["2026-01-01 11:00:00", "2026-01-01 12:00:00", "2026-01-01 13:00:00"]),
        ("@daily", ["2026-01-02 00:00:00", "2026-01-03 00:00:00", "2026-01-04 00:00:00"]),
        ("@midnight", ["2026-01-02 00:00:00", "2026-01-03 00:00:00", "2026-01-04 00:00:00"]),
        (" @Weekly ", ["2026-01-04 00:00:00", "2026-01-11 00:00:00", "2026-01-18 00:00:00"]),
        ("@monthly", ["2026-02-01 00:00:00", "2026-03-01 00:00:00", "2026-04-01 00:00:00"]),
        ("@yearly", ["2027-01-01 00:00:00", "2028-01-01 00:00:00", "2029-01-01 00:00:00"]),
        ("@annually", ["2027-01-01 00:00:00", "2028-01-01 00:00:00", "2029-01-01 00:00:00"]),
    ] {
        assert_eq!(matches(text, "2026-01-01T10:18:10", 3), wanted, "{text}");
    }
}

#[test]
fn monthly_translates_to_cron() {
    for (text, pattern) in [
        ("last friday 17:00", "0 17 * * FRIL"),
        ("first monday 9:00", "0 9 * * MON#1"),
        ("the 3rd Tuesday at 09:05", "5 9 * * TUE#3"),
        ("15 08:30", "30 8 15 * *"),
        ("on the 1st at 0:00", "0 0 1 * *"),
        ("last day 18:00", "0 18 L * *"),
        ("first day 18:00", "0 18 1 * *"),
        ("last weekday 17:30", "30 17 LW * *"),
        ("first weekday 17:30", "30 17 1W * *"),
        ("last fri 17:00", "0 17 * * FRIL"),
        ("last Sundays 23:59", "59 23 * * SUNL"),
    ] {
        assert_eq!(crate::monthly::cron(text).as_deref(), Ok(pattern), "{text}");
    }
    for (text, expected) in [
        ("last friday", "must end with a time of day"),
        ("last friday 24:00", "must end with a time of day"),
        ("last friday 9:5", "must end with a time of day"),
        ("friday 17:00", "does not name a day of the month"),
        ("sixth friday 17:00", "does not name a day of the month"),
        ("32 17:00", "does not name a day of the month"),
        ("last frigday 17:00", "does not name a day of the month"),
        ("", "must end with a time of day"),
    ] {
        let error = crate::monthly::cron(text).unwrap_err();
        assert!(error.problem.contains(expected) && error.hint.contains("last friday 17:00"), "{text}: {error}");
    }
}

#[test]
fn patterns_without_star_or_step_are_fixed() {
    for (text, fixed) in [
        ("30 2 * * *", true),
        ("0,30 1-3 */2 * *", true),
        ("* 30 2 * * *", true),
        ("@daily", true),
        ("0 * * * *", false),
        ("*/15 2 * * *", false),
        ("0-30/10 2 * * *", false),
        ("30 1-5/2 * * *", false),
    ] {
        assert_eq!(Cron::parse(text).unwrap().fixed, fixed, "{text}");
    }
}

#[test]
fn rejected_patterns_name_the_field() {
    for (text, expected) in [
        ("", "`` has 0 fields"),
        ("0 9 * *", "`0 9 * *` has 4 fields"),
        ("0 0 9 * * MON 2026", "has 7 fields"),
        ("60 9 * * *", "the minute `60` must be from 0 to 59"),
        ("60 0 9 * * *", "the second `60` must be from 0 to 59"),
        ("0 24 * * *", "the hour `24` must be from 0 to 23"),
        ("0 9 0 * *", "the day of month `0` must be from 1 to 31"),
        ("0 9 * 13 *", "the month `13` must be from 1 to 12"),
        ("0 9 * * 8", "the day of week `8` must be from 0 to 7"),
        // The crate croner reads these as January and as Friday.
        ("0 9 * MON *", "the month `MON` is not valid"),
        ("0 9 * * MAY", "the day of week `MAY` is not valid"),
        ("0 9 * * MONDAY", "the day of week `MONDAY` is not valid"),
        ("0 9 1,,5 * *", "the day of month has an empty list item"),
        ("0 9, * * *", "the hour has an empty list item"),
        ("0 17-9 * * *", "the hour `17-9` is a reversed range"),
        ("0 9 * * FRI-MON", "the day of week `FRI-MON` is a reversed range"),
        ("5/10 * * * *", "the minute `5/10` has a step on a single number"),
        ("*/0 * * * *", "the minute `*/0` must have a number above 0"),
        ("0 9 * * L", "the day of week `L` is not valid"),
        ("0 L * * *", "the hour `L` is not valid"),
        ("0 9 * * MON#6", "the day of week `MON#6` must have 1 to 5 after the `#`"),
        ("0 9 32W * *", "the day of month `32W` must be from 1 to 31"),
        ("0 9 L-0 * *", "the day of month `L-0` must have 1 to 30 after `L-`"),
        ("0 9 * * +MON", "the day of week `+MON` is not valid"),
        ("+5 9 * * *", "the minute `+5` is not valid"),
        ("0 0 30 2 *", "`0 0 30 2 *` never matches"),
        ("0 0 31 4,6,9,11 *", "never matches"),
        ("0 0 */13 * TUE#5", "never matches"),
        ("@reboot", "unknown nickname `@reboot`; must be one of @yearly"),
    ] {
        let error = Cron::parse(text).unwrap_err();
        assert!(error.to_string().contains(expected), "{text}: {error}");
        assert!(!error.hint.is_empty());
    }
}
