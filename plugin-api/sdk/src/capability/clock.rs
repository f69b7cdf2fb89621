//! Civil time. Granted to all.

use crate::{Refusal, TimestampMs, host};
use std::time::Duration;

/// Milliseconds since 1970 at the start of this try; it stands still while the handler runs.
pub fn now() -> TimestampMs {
    host::clock::now()
}

/// So long from now, for a timer or an expiry.
pub fn after(wait: Duration) -> TimestampMs {
    now().saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX))
}

/// What the wall clocks of an IANA zone show at a moment, as milliseconds since 1970 on that wall: add a day's length for the
/// same time tomorrow, divide for the time of day. Refused as `unknown-zone`.
pub fn wall(timezone: &str, at: TimestampMs) -> Result<i64, Refusal> {
    Ok(at.saturating_add(i64::from(host::clock::utc_offset(timezone, at)?) * 1000))
}

/// The moment at which the wall clocks of a zone show this; of two the later, and where they never do (in spring) an hour
/// beside it.
pub fn moment(timezone: &str, wall: i64) -> Result<TimestampMs, Refusal> {
    let ahead = |at| Ok::<_, Refusal>(i64::from(host::clock::utc_offset(timezone, at)?) * 1000);
    let near = wall.saturating_sub(ahead(wall)?);
    Ok(wall.saturating_sub(ahead(near)?))
}
