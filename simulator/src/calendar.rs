//! Calendar dates in UTC: the month of the free tier, and the one date that appears as text.

use jiff::civil::DateTime;
use jiff::tz::Offset;

/// The civil date and time; 1970 if the clock is out of the calendar's range.
fn date(now_ms: i64) -> DateTime {
    Offset::UTC.to_datetime(jiff::Timestamp::from_millisecond(now_ms).unwrap_or_default())
}

/// The calendar month, counted from year 0.
pub(crate) fn month(now_ms: i64) -> i64 {
    let date = date(now_ms);
    i64::from(date.year()) * 12 + i64::from(date.month()) - 1
}

/// The date as Meta's documentation writes it: `November 30, 2026`.
pub(crate) fn format_date(now_ms: i64) -> String {
    date(now_ms).strftime("%B %-d, %Y").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn month_ends_at_midnight() {
        // 2026-11-30 23:59:59.999 and 2026-12-01; 2028-02-29 and 2028-03-01.
        for first in [1_796_083_200_000, 1_835_481_600_000] {
            assert_eq!(month(first - 1) + 1, month(first));
            assert_eq!(month(first), month(first + 27 * 86_400_000));
        }
    }

    #[test]
    fn dates_are_written_in_words() {
        for (at_ms, text) in [
            (0, "January 1, 1970"),
            (1_796_083_199_999, "November 30, 2026"),
            (1_796_083_200_000, "December 1, 2026"),
            (1_835_481_599_999, "February 29, 2028"),
            (1_835_481_600_000, "March 1, 2028"),
        ] {
            assert_eq!(format_date(at_ms), text);
        }
    }
}
