//! Single values of the database, in the table `meta`.

use crate::error::StoreError;
use beadle_model::LeadTimes;
use rusqlite::{Connection, OptionalExtension, params};

/// The key of the lead times in `meta`, separated by commas: due times in `windows` depend on them.
pub(crate) const LEAD_TIMES_KEY: &str = "window_lead_times";

/// The key of the time until which something may count as a reaction to a broadcast.
pub(crate) const REACTIONS_UNTIL_KEY: &str = "broadcast_reactions_until";

/// Reads a numeric value.
pub(crate) fn meta(conn: &Connection, key: &str) -> Result<Option<i64>, StoreError> {
    let mut read = conn.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
    Ok(read.query_row([key], |row| row.get(0)).optional()?)
}

/// Writes a numeric value.
pub(crate) fn set_meta(conn: &Connection, key: &str, value: i64) -> Result<(), StoreError> {
    let mut write = conn.prepare_cached(
        "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    )?;
    write.execute(params![key, value])?;
    Ok(())
}

/// The lead times that checks are set for.
pub(crate) fn lead_times(conn: &Connection) -> Result<LeadTimes, StoreError> {
    let mut read = conn.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
    let text: Option<String> = read.query_row([LEAD_TIMES_KEY], |row| row.get(0)).optional()?;
    Ok(LeadTimes::new(text.unwrap_or_default().split(',').filter_map(|lead_ms| lead_ms.parse().ok()).collect()))
}
