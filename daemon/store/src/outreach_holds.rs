//! Channels that the platform does not let write first for a while. They are few, so each is one
//! value in `meta`.

use crate::codec::to_json;
use crate::error::StoreError;
use crate::read::{Reader, readable};
use crate::tx::Tx;
use beadle_model::Timestamp;
use beadle_model::event::Problem;
use rusqlite::params;
use serde::{Deserialize, Serialize};

/// The beginning of the keys in `meta`; the name of the channel follows.
const KEY: &str = "outreach_hold:";

/// A channel that may not write first for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutreachHold {
    /// Until then.
    pub until: Timestamp,
    /// Its length in milliseconds; the next one is longer.
    pub duration_ms: i64,
    /// The platform's reason.
    pub problem: Problem,
}

impl Tx<'_> {
    /// Keeps the hold of a channel instead of an earlier one.
    pub(crate) fn keep_outreach_hold(&self, channel: &str, hold: &OutreachHold) -> Result<(), StoreError> {
        let mut write = self.conn.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?;
        write.execute(params![format!("{KEY}{channel}"), to_json("a hold", hold)?])?;
        Ok(())
    }
}

impl Reader {
    /// The last hold of each channel, also those that have ended. One that cannot be read is left
    /// out with a warning: the channel writes first until WhatsApp refuses it again.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn outreach_holds(&self) -> Result<Vec<(String, OutreachHold)>, StoreError> {
        self.all(|conn| {
            let mut read = conn.prepare_cached("SELECT key, value FROM meta WHERE key >= ?1 AND key < ?2")?;
            // `;` is the character after `:`.
            let rows = read.query_map([KEY, "outreach_hold;"], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let mut holds = Vec::new();
            for row in rows {
                let (key, value): (String, String) = row?;
                let hold = serde_json::from_str(&value).map_err(|error| StoreError::unreadable(key.clone(), error));
                holds.extend(readable(hold)?.map(|hold| (key.trim_start_matches(KEY).to_owned(), hold)));
            }
            Ok(holds)
        })
    }
}
