//! Civil time. Granted by default.

use crate::host;
use crate::types::{Refusal, TimestampMs};
use std::time::Duration;

/// Milliseconds since 1970-01-01T00:00:00Z at the start of this attempt. Constant during a call.
pub fn now() -> TimestampMs {
    host::clock::now()
}

/// The time after a duration, for a timer or an expiry.
pub fn after(duration: Duration) -> TimestampMs {
    now().saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
}

/// The wall-clock time of an IANA time zone, in milliseconds since 1970-01-01T00:00:00 on that wall
/// clock: add a day for the same time tomorrow, take the remainder for the time of day. Refused
/// with `unknown-zone`.
pub fn wall(timezone: &str, at: TimestampMs) -> Result<i64, Refusal> {
    Ok(at.saturating_add(i64::from(host::clock::utc_offset(timezone, at)?) * 1000))
}

/// The time at which the wall clocks of a zone show `wall`. If they do so twice, the later time; if
/// never (in spring), an hour off.
pub fn moment(timezone: &str, wall: i64) -> Result<TimestampMs, Refusal> {
    let offset = |at| Ok::<_, Refusal>(i64::from(host::clock::utc_offset(timezone, at)?) * 1000);
    let near = wall.saturating_sub(offset(wall)?);
    Ok(wall.saturating_sub(offset(near)?))
}
