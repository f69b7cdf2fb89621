//! `clock`: civil time at the start of the attempt. It stands still during a call, so that a plugin
//! cannot measure time and a repeated handling gets the same answers.

use super::answer::{Answer, HostError, answer};
use super::host_state::HostState;
use crate::bindings::latest::clock::Host;
use beadle_model::Refusal;
use jiff::Timestamp;
use jiff::tz::TimeZone;

impl Host for HostState {
    async fn now(&mut self) -> wasmtime::Result<i64> {
        self.enter()?;
        Ok(self.inputs.now().as_ms())
    }

    async fn utc_offset(&mut self, timezone: String, at: i64) -> Answer<i32> {
        self.enter()?;
        answer(offset(&timezone, at).map_err(HostError::from))
    }
}

/// The offset of a zone from UTC in seconds. A time outside the calendar counts as its nearest end.
fn offset(timezone: &str, at_ms: i64) -> Result<i32, Refusal> {
    let unknown = |_| {
        Refusal::new("unknown-zone", format!("`{timezone}` is not a time zone of the IANA database."))
            .instead("Write it as `Europe/Amsterdam`, or `UTC`.")
    };
    let zone = TimeZone::get(timezone).map_err(unknown)?;
    let nearest = if at_ms < 0 { Timestamp::MIN } else { Timestamp::MAX };
    let at = Timestamp::from_millisecond(at_ms).unwrap_or(nearest);
    Ok(zone.to_offset(at).seconds())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offset_follows_the_season() {
        let (january, july) = (1_767_603_600_000, 1_782_900_000_000);
        for (zone, at, seconds) in [
            ("Europe/Amsterdam", january, 3600),
            ("Europe/Amsterdam", july, 7200),
            ("America/New_York", july, -4 * 3600),
            ("Asia/Kathmandu", july, 20_700),
            ("UTC", july, 0),
            ("UTC", i64::MAX, 0),
            ("UTC", i64::MIN, 0),
        ] {
            assert_eq!(offset(zone, at), Ok(seconds), "{zone} {at}");
        }
        assert_eq!(offset("Europe/Atlantis", 0).unwrap_err().code, "unknown-zone");
    }
}
