//! Civil time as milliseconds since 1970-01-01T00:00:00Z.
//!
//! A plain number, because that is what a column, an index and a comparison need. It is not a
//! clock: the current time comes from `beadle-clock`.

use serde::{Deserialize, Serialize};

/// An hour in milliseconds.
pub const HOUR_MS: i64 = 60 * 60 * 1000;

/// 24 hours in milliseconds.
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// A time that was stored as the present, and is later than this after it, was stored by a clock
/// that was ahead. A clock that is corrected by less changes nothing.
pub const CLOCK_AHEAD_MS: i64 = 10 * 60 * 1000;

/// A time in milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// From seconds, the platform's unit.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Milliseconds since the epoch.
    pub const fn as_ms(self) -> i64 {
        self.0
    }

    /// The time `ms` milliseconds later; saturates at the ends of the range.
    #[must_use]
    pub const fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// For people: `2026-11-21 20:36:00 UTC`. [`Display`](std::fmt::Display) is for programs.
    pub fn utc(self) -> String {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
            Err(_) => self.to_string(),
        }
    }

    /// The date of an HTTP message (RFC 9110), such as `Sun, 06 Nov 1994 08:49:37 GMT`.
    pub fn from_http_date(date: &str) -> Option<Self> {
        let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
        Some(Self(at.as_millisecond()))
    }

    /// Milliseconds from `earlier` to this time; negative if `earlier` is later.
    pub const fn since_ms(self, earlier: Timestamp) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// RFC 3339 in UTC, such as `2026-11-21T20:36:00.123Z`. Years beyond 9999 are not representable
/// there and print as milliseconds.
impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => write!(f, "{at:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn displays_as_rfc_3339() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_293_360_123, "2026-11-21T20:36:00.123Z"),
            (i64::MAX, "9223372036854775807 ms"),
        ] {
            assert_eq!(Timestamp(ms).to_string(), text);
        }
    }

    #[test]
    fn people_see_seconds_and_the_zone() {
        assert_eq!(Timestamp(1_795_293_360_999).utc(), "2026-11-21 20:36:00 UTC");
        assert_eq!(Timestamp(i64::MAX).utc(), "9223372036854775807 ms");
    }
}
