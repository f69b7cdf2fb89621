//! A file as calendar servers write it, and rejected files.

use super::*;
use jiff::civil::date;

/// Folded lines, a byte order mark, parameters, CR LF.
const FILE: &str = "\u{feff}BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Holidays//NL\r\n\
BEGIN:VEVENT\r\nUID:1\r\nDTSTART;VALUE=DATE:20260405\r\nDTEND;VALUE=DATE:20260407\r\nSUMMARY;LANGUAGE=nl:Pasen\\, eer\r\n ste en tweede\r\nEND:VEVENT\r\n\
BEGIN:VEVENT\r\nUID:2\r\nDTSTART;VALUE=DATE:20201225\r\nRRULE:FREQ=YEARLY\r\nEXDATE;VALUE=DATE:20281225\r\nSUMMARY:Kerst\r\nEND:VEVENT\r\n\
BEGIN:VEVENT\r\nUID:3\r\nDTSTART;VALUE=DATE:20201126\r\nRRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=4TH\r\nSUMMARY:Thanksgiving\r\nEND:VEVENT\r\n\
BEGIN:VEVENT\r\nUID:4\r\nDTSTART;VALUE=DATE:20200525\r\nRRULE:FREQ=YEARLY;BYMONTH=5;BYDAY=-1MO;UNTIL=20290101T000000Z\r\nSUMMARY:Spring bank holiday\r\nEND:VEVENT\r\n\
BEGIN:VEVENT\r\nUID:5\r\nDTSTART;VALUE=DATE:20200518\r\nRRULE:FREQ=YEARLY;BYMONTH=5;BYDAY=MO;BYMONTHDAY=18,19,20,21,22,23,24\r\nSUMMARY:Victoria Day\r\nEND:VEVENT\r\n\
BEGIN:VEVENT\r\nUID:6\r\nDTSTART;VALUE=DATE:20201231\r\nRRULE:FREQ=YEARLY;INTERVAL=2;COUNT=3\r\nDTEND;VALUE=DATE:20210102\r\nSUMMARY:Oud en nieuw\r\nEND:VEVENT\r\n\
BEGIN:VEVENT\r\nUID:7\r\nDTSTART:20260101T100000Z\r\nSUMMARY:A concert\r\nEND:VEVENT\r\n\
BEGIN:VEVENT\r\nUID:8\r\nDTSTART;VALUE=DATE:20260102\r\nSTATUS:CANCELLED\r\nSUMMARY:Not this year\r\nEND:VEVENT\r\n\
END:VCALENDAR\r\n";

#[test]
fn public_holidays_of_a_file_are_found() {
    let holidays = Holidays::parse(FILE).unwrap();
    for (year, month, day, wanted) in [
        (2026, 4, 4, None),
        (2026, 4, 5, Some("Pasen, eerste en tweede")),
        (2026, 4, 6, Some("Pasen, eerste en tweede")),
        (2026, 4, 7, None),
        (2027, 4, 5, None),
        (2019, 12, 25, None),
        (2020, 12, 25, Some("Kerst")),
        (2027, 12, 25, Some("Kerst")),
        (2028, 12, 25, None),
        (2029, 12, 25, Some("Kerst")),
        (2026, 11, 26, Some("Thanksgiving")),
        (2026, 11, 19, None),
        (2028, 11, 23, Some("Thanksgiving")),
        (2028, 5, 29, Some("Spring bank holiday")),
        (2028, 5, 22, Some("Victoria Day")),
        (2027, 5, 31, Some("Spring bank holiday")),
        (2027, 5, 24, Some("Victoria Day")),
        (2029, 5, 28, None),
        (2026, 5, 18, Some("Victoria Day")),
        (2026, 5, 25, Some("Spring bank holiday")),
        (2020, 12, 31, Some("Oud en nieuw")),
        (2021, 1, 1, Some("Oud en nieuw")),
        (2021, 12, 31, None),
        (2024, 12, 31, Some("Oud en nieuw")),
        (2026, 12, 31, None),
        (2026, 1, 1, None),
        (2026, 1, 2, None),
    ] {
        assert_eq!(holidays.on(date(year, month, day)), wanted, "{year}-{month}-{day}");
    }
    assert_eq!((holidays.timed, holidays.end()), (1, None));
}

/// A series with a moved, a changed and a cancelled instance, as calendar servers export edits of a
/// series.
const EDITED: &str = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:kiln\nDTSTART;VALUE=DATE:20200427\nDURATION:P2D\nRRULE:FREQ=YEARLY\nSUMMARY:Kiln day\n\
BEGIN:VALARM\nTRIGGER:-P1D\nDURATION:PT15M\nSUMMARY:Reminder\nEND:VALARM\nEND:VEVENT\n\
BEGIN:VEVENT\nUID:kiln\nRECURRENCE-ID;VALUE=DATE:20270427\nDTSTART;VALUE=DATE:20270420\nSUMMARY:Kiln day (moved)\nEND:VEVENT\n\
BEGIN:VEVENT\nUID:kiln\nRECURRENCE-ID;VALUE=DATE:20280427\nDTSTART;VALUE=DATE:20280427\nSTATUS:CANCELLED\nSUMMARY:Kiln day\nEND:VEVENT\n\
BEGIN:VEVENT\nUID:kiln\nRECURRENCE-ID;VALUE=DATE:20290427\nDTSTART:20290427T080000Z\nSUMMARY:Kiln morning\nEND:VEVENT\n\
BEGIN:VEVENT\nUID:old\nSEQUENCE:1\nDTSTART;VALUE=DATE:20260601\nSUMMARY:Old date\nEND:VEVENT\n\
BEGIN:VEVENT\nUID:old\nSEQUENCE:2\nDTSTART;VALUE=DATE:20260608\nSUMMARY:New date\nEND:VEVENT\nEND:VCALENDAR";

#[test]
fn instances_of_a_series_are_moved_and_cancelled() {
    let holidays = Holidays::parse(EDITED).unwrap();
    for (year, month, day, wanted) in [
        (2026, 4, 27, Some("Kiln day")),
        (2026, 4, 28, Some("Kiln day")),
        (2026, 4, 29, None),
        (2027, 4, 20, Some("Kiln day (moved)")),
        (2027, 4, 27, None),
        (2027, 4, 28, None),
        (2028, 4, 27, None),
        (2029, 4, 27, None),
        (2030, 4, 28, Some("Kiln day")),
        (2026, 6, 1, None),
        (2026, 6, 8, Some("New date")),
    ] {
        assert_eq!(holidays.on(date(year, month, day)), wanted, "{year}-{month}-{day}");
    }
    assert_eq!(holidays.timed, 1);
}

#[test]
fn durations_are_whole_days() {
    let file = |duration: &str| {
        format!("BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:20260101\n{duration}\nEND:VEVENT\nEND:VCALENDAR")
    };
    for (duration, last) in [("DURATION:P3D", 3), ("DURATION:P1W", 7), ("DURATION:+P1D", 1), ("X-A;B=\":\":c", 1)] {
        let holidays = Holidays::parse(&file(duration)).unwrap();
        assert_eq!(holidays.end(), Some(date(2026, 1, last)), "{duration}");
    }
    for duration in ["DURATION:PT36H", "DURATION:-P1D", "DURATION:P0D", "DURATION:P1DT1H", "DURATION:P"] {
        let error = Holidays::parse(&file(duration)).unwrap_err().to_string();
        assert!(error.starts_with("line 4: the duration `"), "{error}");
    }
}

#[test]
fn extra_and_excluded_dates_apply_to_series_and_single_events() {
    let event = "DTSTART;VALUE=DATE:20260101\nRDATE;VALUE=DATE:20260105,20260106\nEXDATE;VALUE=DATE:20260105";
    for rule in ["", "\nRRULE:FREQ=YEARLY;COUNT=1"] {
        let text = format!("BEGIN:VCALENDAR\nBEGIN:VEVENT\n{event}{rule}\nEND:VEVENT\nEND:VCALENDAR");
        let holidays = Holidays::parse(&text).unwrap();
        let days: Vec<i8> = (1..10).filter(|day| holidays.on(date(2026, 1, *day)).is_some()).collect();
        assert_eq!(days, [1, 6], "{rule}");
    }
}

#[test]
fn errors_name_the_line() {
    let file = |lines: &str| {
        format!("BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:20260101\n{lines}\nEND:VEVENT\nEND:VCALENDAR")
    };
    for (text, expected) in [
        (String::new(), "line 1: not a calendar"),
        ("<html>".into(), "line 1: not a calendar"),
        (file("RRULE:FREQ=MONTHLY"), "line 4: a recurring holiday must have FREQ=YEARLY"),
        (file("RRULE:FREQ=YEARLY;BYEASTER=1"), "line 4: `BYEASTER=1` is not supported"),
        (file("RRULE:FREQ=YEARLY;BYDAY=1MO"), "line 4: BYDAY without BYMONTH"),
        (file("RRULE:FREQ=YEARLY;BYMONTH=13"), "line 4: `BYMONTH=13`"),
        (file("RRULE:FREQ=YEARLY;BYMONTH=1;BYDAY=9XX"), "line 4: `BYDAY=9XX`"),
        (file("SUMMARY:x\nDTEND;VALUE=DATE:2026"), "line 5: `2026` is not a date"),
        (
            file(
                "UID:a\nRRULE:FREQ=YEARLY\nEND:VEVENT\nBEGIN:VEVENT\nUID:a\nRECURRENCE-ID;RANGE=THISANDFUTURE:20270101",
            ),
            "line 9: a change of all following holidays",
        ),
        (file("DTEND;VALUE=DATE:20280101"), "line 3: a holiday of 730 days"),
        ("BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:20260101".into(), "line 2: this event has no END:VEVENT"),
    ] {
        let error = Holidays::parse(&text).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn end_is_the_last_day_unless_a_recurrence_is_endless() {
    let text = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:20261225\nEND:VEVENT\nEND:VCALENDAR";
    let holidays = Holidays::parse(text).unwrap();
    assert_eq!((holidays.end(), holidays.on(date(2026, 12, 25))), (Some(date(2026, 12, 25)), Some("holiday")));
    assert_eq!(Holidays::parse("BEGIN:VCALENDAR\nEND:VCALENDAR").unwrap(), Holidays::default());
}
