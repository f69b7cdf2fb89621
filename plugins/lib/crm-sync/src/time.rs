//! Times of other systems as milliseconds since 1970, and back.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;

/// Reads RFC 3339, or `YYYY-MM-DD HH:MM:SS` in UTC, or milliseconds.
pub fn parse_ms(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at.as_millisecond());
    }
    if let Ok(civil) = text.parse::<DateTime>() {
        return Some(civil.to_zoned_datetime(TimeZone::UTC).ok()?.timestamp().as_millisecond());
    }
    text.parse().ok()
}

/// Reads the `Date` header of HTTP.
pub fn parse_http_ms(text: &str) -> Option<i64> {
    Some(rfc2822::parse(text).ok()?.timestamp().as_millisecond())
}

/// RFC 3339 in UTC, with milliseconds only if there are some.
pub fn rfc3339(at_ms: i64) -> String {
    Timestamp::from_millisecond(at_ms).unwrap_or_default().to_string()
}

/// `YYYY-MM-DD HH:MM:SS` in UTC: EspoCRM and Odoo.
pub fn sql(at_ms: i64) -> String {
    Timestamp::from_millisecond(at_ms).unwrap_or_default().strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// The date in UTC.
pub fn date(at_ms: i64) -> String {
    Timestamp::from_millisecond(at_ms).unwrap_or_default().strftime("%Y-%m-%d").to_string()
}

/// The number of the day in UTC.
pub fn day(at_ms: i64) -> u32 {
    u32::try_from(at_ms.div_euclid(86_400_000)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_every_provider_are_read() {
        let expected = Some(1_790_000_000_000);
        for text in ["2026-09-21T14:13:20Z", "2026-09-21T16:13:20.000+02:00", "2026-09-21 14:13:20", "1790000000000"] {
            assert_eq!(parse_ms(text), expected, "{text}");
        }
        assert_eq!(parse_ms("yesterday"), None);
        assert_eq!(parse_http_ms("Mon, 21 Sep 2026 14:13:20 GMT"), expected);
    }

    #[test]
    fn times_are_written_as_each_provider_reads_them() {
        assert_eq!(rfc3339(1_790_000_000_000), "2026-09-21T14:13:20Z");
        assert_eq!(sql(1_790_000_000_999), "2026-09-21 14:13:20");
        assert_eq!((date(0), day(86_400_000)), ("1970-01-01".to_owned(), 1));
    }
}
