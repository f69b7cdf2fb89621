//! What a merge moves in addition to aliases and conversations: plugin state, timers, group
//! memberships, join requests and receipts, what was sent to the contact as marketing, and
//! which messages the gate refused.

use crate::error::StoreError;
use crate::tx::Tx;
use crate::views::{MergeReport, MergedPlugin};
use beadle_model::{ContactId, PluginNo, Scope, Timestamp};
use rusqlite::params;

/// The number of dropped keys in a report: enough to see what they are.
const MAX_REPORTED_KEYS: usize = 10;

impl Tx<'_> {
    /// Moves every plugin's values and timers from one scope to another. If both have one, the
    /// target's stays.
    pub(super) fn move_scope(
        &self,
        from: Scope,
        into: Scope,
        version: i64,
        now: Timestamp,
        report: &mut MergeReport,
    ) -> Result<(), StoreError> {
        let plugins: Vec<i64> = self
            .conn
            .prepare_cached("SELECT no FROM plugins ORDER BY no")?
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for no in plugins {
            let nothing = MergedPlugin::new(PluginNo(no));
            let mut moved = nothing.clone();
            // States from before a migration move too, because a rollback may return to them.
            for state in self.states_of(no)? {
                self.move_state(state, from, into, (version, now), &mut moved)?;
            }
            self.move_timers(no, from, into, &mut moved)?;
            if moved != nothing {
                report.add_plugin(moved);
            }
        }
        Ok(())
    }

    fn states_of(&self, plugin: i64) -> Result<Vec<i64>, StoreError> {
        let mut read =
            self.conn.prepare_cached("SELECT no FROM states WHERE plugin = ?1 AND draft IS NULL ORDER BY no")?;
        let states = read.query_map([plugin], |row| row.get(0))?;
        Ok(states.collect::<Result<_, _>>()?)
    }

    fn move_state(
        &self,
        state: i64,
        from: Scope,
        into: Scope,
        (version, now): (i64, Timestamp),
        moved: &mut MergedPlugin,
    ) -> Result<(), StoreError> {
        let ((kind, removed), (_, keep)) = (from.as_columns(), into.as_columns());
        // Expired values do not exist and must not displace others.
        let (mut bytes, _) = self.drop_state(
            "DELETE FROM state_values WHERE state_no = ?1 AND scope = ?2 AND scope_id IN (?3, ?4) AND expires_at <= ?5
             RETURNING key, octet_length(key) + CASE typeof(value) WHEN 'integer' THEN 8 ELSE octet_length(value) END",
            params![state, kind, removed, keep, now.0],
        )?;
        let (lost, keys) = self.drop_state(
            "DELETE FROM state_values WHERE state_no = ?1 AND scope = ?2 AND scope_id = ?3
               AND key IN (SELECT key FROM state_values WHERE state_no = ?1 AND scope = ?2 AND scope_id = ?4)
             RETURNING key, octet_length(key) + CASE typeof(value) WHEN 'integer' THEN 8 ELSE octet_length(value) END",
            params![state, kind, removed, keep],
        )?;
        bytes += lost;
        moved.values_dropped += keys.len();
        moved.keys_dropped.extend(keys.into_iter().take(MAX_REPORTED_KEYS));
        // A new version makes concurrent reads of these values stale.
        moved.values += self
            .conn
            .prepare_cached(
                "UPDATE state_values SET scope_id = ?4, version = ?5 WHERE state_no = ?1 AND scope = ?2 AND scope_id = ?3",
            )?
            .execute([state, kind, removed, keep, version])?;
        if bytes > 0 {
            self.conn
                .prepare_cached("UPDATE states SET bytes = max(0, bytes - ?2) WHERE no = ?1")?
                .execute([state, bytes])?;
        }
        Ok(())
    }

    /// Deletes values; returns their size and keys.
    fn drop_state(&self, sql: &str, bounds: &[&dyn rusqlite::ToSql]) -> Result<(i64, Vec<String>), StoreError> {
        let mut delete = self.conn.prepare_cached(sql)?;
        let mut rows = delete.query(bounds)?;
        let (mut bytes, mut keys) = (0, Vec::new());
        while let Some(row) = rows.next()? {
            keys.push(row.get(0)?);
            bytes += row.get::<_, i64>(1)?;
        }
        Ok((bytes, keys))
    }

    fn move_timers(&self, plugin: i64, from: Scope, into: Scope, moved: &mut MergedPlugin) -> Result<(), StoreError> {
        let ((kind, removed), (_, keep)) = (from.as_columns(), into.as_columns());
        self.conn
            .prepare_cached(
                "UPDATE durable_requests SET scope_id = ?4 WHERE scope > 0 AND scope = ?2 AND scope_id = ?3 AND plugin = ?1",
            )?
            .execute([plugin, kind, removed, keep])?;
        moved.timers_dropped += self
            .conn
            .prepare_cached(
                "DELETE FROM timers WHERE plugin = ?1 AND scope = ?2 AND scope_id = ?3
                   AND key IN (SELECT key FROM timers WHERE plugin = ?1 AND scope = ?2 AND scope_id = ?4)",
            )?
            .execute([plugin, kind, removed, keep])?;
        moved.timers += self
            .conn
            .prepare_cached("UPDATE timers SET scope_id = ?4 WHERE plugin = ?1 AND scope = ?2 AND scope_id = ?3")?
            .execute([plugin, kind, removed, keep])?;
        Ok(())
    }

    /// Marketing to either counts for both, and the longer refusal and the later failed delivery of
    /// the platform apply. What the gate refused for either is listed for both.
    pub(super) fn merge_outreach(&self, keep: ContactId, removed: ContactId) -> Result<(), StoreError> {
        for sql in [
            "UPDATE outreach SET contact = ?1 WHERE contact = ?2",
            "UPDATE refused_asks SET contact = ?1 WHERE contact = ?2",
            "INSERT INTO marketing_refusals (contact, code, times, until)
             SELECT ?1, code, times, until FROM marketing_refusals WHERE contact = ?2
             ON CONFLICT DO UPDATE SET times = max(times, excluded.times), until = max(until, excluded.until)",
            "INSERT INTO unreachable (contact, at, code) SELECT ?1, at, code FROM unreachable WHERE contact = ?2
             ON CONFLICT DO UPDATE SET at = max(at, excluded.at)",
        ] {
            self.conn.prepare_cached(sql)?.execute([keep.0, removed.0])?;
        }
        self.conn.prepare_cached("DELETE FROM marketing_refusals WHERE contact = ?1")?.execute([removed.0])?;
        self.conn.prepare_cached("DELETE FROM unreachable WHERE contact = ?1")?.execute([removed.0])?;
        Ok(())
    }

    /// Moves group memberships, join requests and receipts. These tables have no index by contact,
    /// to keep their inserts cheap; a merge scans them.
    pub(super) fn merge_groups(
        &self,
        keep: ContactId,
        removed: ContactId,
        report: &mut MergeReport,
    ) -> Result<(), StoreError> {
        let both = |sql: &str| -> Result<usize, StoreError> {
            Ok(self.conn.prepare_cached(sql)?.execute([keep.0, removed.0])?)
        };
        let gone_alone =
            |sql: &str| -> Result<usize, StoreError> { Ok(self.conn.prepare_cached(sql)?.execute([removed.0])?) };
        // In both: since the earlier date, and still a member if either is.
        report.groups = both(
            "INSERT INTO group_members (conversation, contact, joined_at, left_at)
             SELECT conversation, ?1, joined_at, left_at FROM group_members WHERE contact = ?2
             ON CONFLICT DO UPDATE SET joined_at = min(joined_at, excluded.joined_at),
                 left_at = CASE WHEN left_at IS NULL OR excluded.left_at IS NULL THEN NULL
                     ELSE max(left_at, excluded.left_at) END",
        )?;
        gone_alone("DELETE FROM group_members WHERE contact = ?1")?;
        report.join_requests = both("UPDATE join_requests SET contact = ?1 WHERE contact = ?2")?;
        report.receipts = both(
            "INSERT INTO group_receipts (message, participant, receipt, at, pricing)
             SELECT message, ?1, receipt, at, pricing FROM group_receipts WHERE participant = ?2
             ON CONFLICT DO UPDATE SET at = CASE WHEN excluded.receipt > receipt THEN excluded.at ELSE at END,
                 receipt = max(receipt, excluded.receipt), pricing = coalesce(pricing, excluded.pricing)",
        )?;
        gone_alone("DELETE FROM group_receipts WHERE participant = ?1")?;
        Ok(())
    }
}
