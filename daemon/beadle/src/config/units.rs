//! Durations in the configuration: `500ms`, `60s`, `15m`, `24h`, `7d`.
//!
//! One number and one unit (`90m`, not `1h30m`), so that equal values look equal. A number without
//! a unit is not accepted.

/// Units in milliseconds, ascending.
const UNITS: [(&str, i64); 5] =
    [("ms", 1), ("s", 1000), ("m", 60 * 1000), ("h", 60 * 60 * 1000), ("d", 24 * 60 * 60 * 1000)];

/// The accepted form, for error messages.
pub const FORM: &str = "a number with a unit (ms, s, m, h or d), such as \"60s\"";

/// Milliseconds; `None` if the text has another form or is out of range.
pub fn parse_ms(text: &str) -> Option<i64> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(unit_at)?;
    let (_, unit_ms) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
    number.parse::<i64>().ok()?.checked_mul(unit_ms)
}

/// The text for a duration, in the largest unit that is exact.
pub fn print_ms(ms: i64) -> String {
    let exact = UNITS.into_iter().rev().find(|(_, unit_ms)| ms % unit_ms == 0 && (ms != 0 || *unit_ms == 1000));
    let (name, unit_ms) = exact.unwrap_or(("ms", 1));
    format!("{}{name}", ms / unit_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_round_trip() {
        for (text, ms) in [("500ms", 500), ("60s", 60_000), ("15m", 900_000), ("24h", 86_400_000), ("0s", 0)] {
            assert_eq!(parse_ms(text), Some(ms), "{text}");
            assert_eq!(parse_ms(&print_ms(ms)), Some(ms), "{text}");
        }
        assert_eq!(print_ms(60_000), "1m");
    }

    #[test]
    fn other_forms_are_rejected() {
        for text in ["", "60", "s", "1h30m", "-5s", "1.5h", "5 s", "1w", "99999999999999999d", "١s"] {
            assert_eq!(parse_ms(text), None, "{text}");
        }
    }
}
