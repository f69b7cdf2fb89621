//! Quiet hours: from one time of day to another, where the recipient lives.

use beadle_model::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;

/// A time of day in minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeOfDay {
    /// 0 to 23.
    pub hour: i8,
    /// 0 to 59.
    pub minute: i8,
}

/// From `from` to before `to`; over midnight if `to` is not later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuietHours {
    /// The first quiet minute.
    pub from: TimeOfDay,
    /// The first minute after them.
    pub to: TimeOfDay,
}

impl QuietHours {
    /// When the quiet hours end that it is in now, in an IANA zone; `None` outside of them. An
    /// unknown zone is UTC.
    pub fn end(&self, now: Timestamp, zone: &str) -> Option<Timestamp> {
        let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
        let instant = jiff::Timestamp::from_millisecond(now.as_ms()).ok()?;
        let now = zone.to_datetime(instant);
        let (from, to) = (time(self.from)?, time(self.to)?);
        let (is_quiet, ends_tomorrow) = if from < to {
            (now.time() >= from && now.time() < to, false)
        } else {
            (now.time() >= from || now.time() < to, now.time() >= from)
        };
        if !is_quiet {
            return None;
        }
        let day = if ends_tomorrow { now.date().tomorrow().ok()? } else { now.date() };
        // A time that a clock change skips is taken after the gap, one that it repeats the first
        // time.
        let end = zone.to_ambiguous_timestamp(day.to_datetime(to)).compatible().ok()?;
        // In the repeated hour the quiet hours have ended already, although the clock shows a time
        // before their end.
        (end > instant).then(|| Timestamp(end.as_millisecond()))
    }
}

fn time(at: TimeOfDay) -> Option<Time> {
    Time::new(at.hour, at.minute, 0, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    fn hours(from: i8, to: i8) -> QuietHours {
        let on_the_hour = |hour| TimeOfDay { hour, minute: 0 };
        QuietHours { from: on_the_hour(from), to: on_the_hour(to) }
    }

    #[test]
    fn quiet_hours_end_in_the_recipients_morning() {
        for (now, zone, expected) in [
            ("2026-11-21T20:30:00Z", "Europe/Amsterdam", Some("2026-11-22T07:00:00Z")),
            ("2026-11-21T19:59:59Z", "Europe/Amsterdam", None),
            ("2026-11-22T06:59:59Z", "Europe/Amsterdam", Some("2026-11-22T07:00:00Z")),
            ("2026-11-22T07:00:00Z", "Europe/Amsterdam", None),
            ("2026-11-21T20:30:00Z", "America/Sao_Paulo", None),
            ("2026-11-22T01:00:00Z", "America/Sao_Paulo", Some("2026-11-22T11:00:00Z")),
            ("2026-11-21T21:00:00Z", "Nowhere/Atall", Some("2026-11-22T08:00:00Z")),
            // The night in which clocks go back is an hour longer.
            ("2026-10-24T20:00:00Z", "Europe/Amsterdam", Some("2026-10-25T07:00:00Z")),
        ] {
            assert_eq!(hours(21, 8).end(at(now), zone), expected.map(at), "{now} {zone}");
        }
    }

    #[test]
    fn quiet_hours_within_a_day() {
        assert_eq!(hours(12, 14).end(at("2026-11-21T13:00:00Z"), "UTC"), Some(at("2026-11-21T14:00:00Z")));
        assert_eq!(hours(12, 14).end(at("2026-11-21T14:00:00Z"), "UTC"), None);
        assert_eq!(hours(12, 14).end(at("2026-11-21T11:59:00Z"), "UTC"), None);
    }

    #[test]
    fn repeated_hour_ends_the_quiet_hours_the_first_time() {
        let quiet = QuietHours { from: TimeOfDay { hour: 22, minute: 0 }, to: TimeOfDay { hour: 2, minute: 30 } };
        for (now, expected) in [
            ("2026-10-25T00:10:00Z", Some("2026-10-25T00:30:00Z")),
            ("2026-10-25T00:30:00Z", None),
            // 02:10 for the second time.
            ("2026-10-25T01:10:00Z", None),
            ("2026-10-25T01:40:00Z", None),
        ] {
            assert_eq!(quiet.end(at(now), "Europe/Amsterdam"), expected.map(at), "{now}");
        }
    }

    /// A skipped morning hour ends the quiet hours at the first moment after it.
    #[test]
    fn skipped_hour_ends_the_quiet_hours_once() {
        let end = hours(22, 2).end(at("2026-03-28T23:00:00Z"), "Europe/Amsterdam");
        assert_eq!(end, Some(at("2026-03-29T01:00:00Z")));
    }
}
