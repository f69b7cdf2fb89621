//! Days in UTC, by which costs are counted.

use crate::time::{DAY_MS, Timestamp};
use jiff::civil::{Date, date};
use jiff::{Span, Unit};
use std::fmt;
use std::str::FromStr;

/// A day in UTC: the number of days since 1970-01-01.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i64);

impl Day {
    /// The day of a moment.
    pub fn of(at: Timestamp) -> Self {
        Self(at.0.div_euclid(DAY_MS))
    }

    /// Its first moment.
    pub fn start(self) -> Timestamp {
        Timestamp(self.0.saturating_mul(DAY_MS))
    }

    /// The day after it.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The first day of its month.
    #[must_use]
    pub fn first_of_month(self) -> Self {
        self.date().and_then(|date| Self::of_date(date.first_of_month())).unwrap_or(self)
    }

    /// The first day of the month after it.
    #[must_use]
    pub fn first_of_next_month(self) -> Self {
        let next = self.date().and_then(|date| date.last_of_month().tomorrow().ok());
        next.and_then(Self::of_date).unwrap_or(self.next())
    }

    fn date(self) -> Option<Date> {
        date(1970, 1, 1).checked_add(Span::new().try_days(self.0).ok()?).ok()
    }

    fn of_date(day: Date) -> Option<Self> {
        let span = date(1970, 1, 1).until((Unit::Day, day)).ok()?;
        Some(Self(span.get_days().into()))
    }
}

/// `2026-11-21`
impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.date() {
            Some(date) => write!(f, "{date}"),
            None => write!(f, "day {}", self.0),
        }
    }
}

/// A text that is not a day.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a day such as 2026-11-21")]
pub struct ParseDayError(pub String);

impl FromStr for Day {
    type Err = ParseDayError;

    fn from_str(text: &str) -> Result<Self, ParseDayError> {
        // Without this, jiff accepts times of day after the date.
        let date = Some(text).filter(|text| text.len() == 10).and_then(|text| text.parse::<Date>().ok());
        date.and_then(Self::of_date).ok_or_else(|| ParseDayError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_months_are_those_of_the_calendar() {
        let day = |text: &str| text.parse::<Day>().unwrap();
        assert_eq!(day("1970-01-01"), Day(0));
        assert_eq!(Day::of(Timestamp(1_795_293_360_000)), day("2026-11-21"));
        assert_eq!(Day::of(Timestamp(-1)).to_string(), "1969-12-31");
        for (today, first, next) in [
            ("2026-11-21", "2026-11-01", "2026-12-01"),
            ("2026-12-31", "2026-12-01", "2027-01-01"),
            ("2028-02-29", "2028-02-01", "2028-03-01"),
        ] {
            assert_eq!(day(today).first_of_month(), day(first), "{today}");
            assert_eq!(day(today).first_of_next_month(), day(next), "{today}");
        }
        assert_eq!(Day::of(day("2026-11-21").start()), day("2026-11-21"));
        for text in ["", "2026-13-01", "2026-02-30", "2026-11-21T10:00", "21-11-2026", "2026-1-1"] {
            assert!(text.parse::<Day>().is_err(), "{text}");
        }
    }
}
