//! Civil time. Granted to all.

use crate::{TimestampMs, host};
use std::time::Duration;

/// Milliseconds since 1970 at the start of this try; it stands still while the handler runs.
pub fn now() -> TimestampMs {
    host::clock::now()
}

/// So long from now, for a timer or an expiry.
pub fn after(wait: Duration) -> TimestampMs {
    now().saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX))
}
