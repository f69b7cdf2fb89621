//! One handling, whole: that it ended, and all that it asked for; or none of it.
//!
//! The checks come first and write nothing, so that a stale read costs its group no rollback. How far an event is lies
//! in its own row: `done` is a mask over the list of its subscribers, merged by SQLite itself, so that two handlings of
//! one event may be committed in any order.

use crate::StoreError;
use crate::codec::{ending_columns, to_json};
use crate::step::{Aside, Commit, FailedTry, Fence, NewSend, Progress, SendState, SetAside};
use crate::writer::Tx;
use beadle_model::{EventId, PluginNo, Timestamp};
use rusqlite::params;

/// An error's text is cut to so many bytes: enough for a trap with its trace, not for a plugin's whole memory.
pub(crate) const MOST_ERROR_BYTES: usize = 4096;

/// A commit made ready on the caller's thread.
pub(crate) struct Ready {
    commit: Commit,
    bodies: Vec<String>,
}

impl Ready {
    pub(crate) fn new(commit: Commit) -> Result<Self, StoreError> {
        let bodies = commit.sends.iter().map(|send| to_json("a message", &send.body)).collect::<Result<_, _>>()?;
        Ok(Self { commit, bodies })
    }
}

/// At most [`MOST_ERROR_BYTES`] of an error's text.
fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MOST_ERROR_BYTES)).unwrap_or(text)
}

impl Tx<'_> {
    pub(crate) fn check_fence(&self, fence: Fence) -> Result<(), StoreError> {
        let current = self.shared.fence;
        if fence.0 == current { Ok(()) } else { Err(StoreError::Fenced { given: fence.0, current }) }
    }

    pub(crate) fn commit(&mut self, ready: &Ready) -> Result<(), StoreError> {
        let Ready { commit, bodies } = ready;
        self.check_fence(commit.fence)?;
        self.check_reads(commit.state_no, &commit.reads, commit.now)?;
        let event = commit.progress.event;
        if self.shadow.watched.remove(&(event.0, commit.plugin.0)) || commit.kept {
            self.handled_after_all(event, commit.plugin)?;
        }
        self.progress(&commit.progress)?;
        if !commit.state.is_empty() {
            self.write_state(commit.state_no, &commit.state, commit.now)?;
        }
        for timer in &commit.timers {
            self.write_timer(commit.plugin, timer, commit.conversation)?;
        }
        for made in &commit.media {
            self.make_media(made, commit.plugin, commit.now)?;
        }
        for (send, body) in commit.sends.iter().zip(bodies) {
            self.insert_send_as(send, body, Some(event), commit.plugin, commit.now)?;
        }
        Ok(())
    }

    /// A handling that had failed before, was dead, or was kept, went well.
    fn handled_after_all(&self, event: EventId, plugin: PluginNo) -> Result<(), StoreError> {
        self.conn
            .prepare_cached("UPDATE handlings SET state = 1, next_at = NULL WHERE event = ?1 AND plugin = ?2")?
            .execute([event.0, plugin.0])?;
        self.conn
            .prepare_cached("DELETE FROM dead WHERE event = ?1 AND plugin = ?2 AND message IS NULL")?
            .execute([event.0, plugin.0])?;
        Ok(())
    }

    /// Notes how far an event is; finished once every subscriber is through. The list of subscribers is fixed by the
    /// first one who notes it: bits of another list (a dead letter tried again out of order) say nothing about it. The
    /// first ending stands.
    pub(crate) fn progress(&self, progress: &Progress) -> Result<(), StoreError> {
        let event = progress.event;
        let beyond_done = progress.all_beyond == 0 || self.beyond(progress)?;
        let (how, by) = ending_columns(progress.ending);
        let changed = self
            .conn
            .prepare_cached(
                "UPDATE events SET
                     done = CASE WHEN coalesce(roster, ?2) = ?2 THEN done | ?3 ELSE done END,
                     state = CASE WHEN state = 2 OR coalesce(roster, ?2) <> ?2 THEN state
                         WHEN (done | ?3) & ?4 = ?4 AND ?5 THEN 2 ELSE 1 END,
                     roster = coalesce(roster, ?2),
                     ended_by = CASE WHEN ending IS NULL THEN ?7 ELSE ended_by END, ending = coalesce(ending, ?6)
                 WHERE id = ?1",
            )?
            .execute(params![event.0, progress.roster, progress.done, progress.all, beyond_done, how, by])?;
        if changed == 0 {
            return Err(StoreError::NotFound { what: "event", id: event.to_string() });
        }
        Ok(())
    }

    /// Notes the subscribers that `done` has no bit for; whether all of them are through.
    fn beyond(&self, progress: &Progress) -> Result<bool, StoreError> {
        let event = progress.event.0;
        for plugin in &progress.done_beyond {
            self.conn
                .prepare_cached(
                    "INSERT INTO handlings (event, plugin, state, beyond, attempts) VALUES (?1, ?2, 1, 1, 1)
                     ON CONFLICT (event, plugin) DO UPDATE
                     SET beyond = 1, state = max(state, 1), next_at = NULL",
                )?
                .execute([event, plugin.0])?;
        }
        let done: i64 = self
            .conn
            .prepare_cached("SELECT count(*) FROM handlings WHERE event = ?1 AND beyond = 1 AND state > 0")?
            .query_row([event], |row| row.get(0))?;
        Ok(usize::try_from(done).is_ok_and(|done| done >= progress.all_beyond))
    }

    pub(crate) fn failed_try(&mut self, failed: &FailedTry) -> Result<(), StoreError> {
        self.conn
            .prepare_cached(
                "INSERT INTO handlings (event, plugin, state, attempts, code, error, next_at)
                 VALUES (?1, ?2, ?7, ?3, ?4, ?5, ?6) ON CONFLICT (event, plugin) DO UPDATE
                 SET state = ?7, attempts = ?3, code = ?4, error = ?5, next_at = ?6",
            )?
            .execute(params![
                failed.event.0,
                failed.plugin.0,
                failed.attempts,
                failed.code,
                cut(&failed.error),
                failed.next_at.0,
                if failed.kept { Aside::Waiting as i64 } else { 0 }
            ])?;
        if !failed.kept {
            self.shadow.watched.insert((failed.event.0, failed.plugin.0));
        }
        Ok(())
    }

    /// A handling is given up, kept or passed over, and the event goes on without it.
    pub(crate) fn set_aside(&mut self, aside: &SetAside) -> Result<(), StoreError> {
        self.check_fence(aside.fence)?;
        let (event, plugin) = (aside.progress.event, aside.plugin);
        let error = cut(&aside.error);
        self.conn
            .prepare_cached(
                "INSERT INTO handlings (event, plugin, state, attempts, code, error) VALUES (?1, ?2, ?6, ?3, ?4, ?5)
                 ON CONFLICT (event, plugin) DO UPDATE
                 SET state = ?6, attempts = ?3, code = ?4, error = ?5, next_at = NULL",
            )?
            .execute(params![event.0, plugin.0, aside.attempts, aside.code, error, aside.how as i64])?;
        if aside.how == Aside::Dead {
            self.conn
                .prepare_cached(
                    "INSERT INTO dead (event, plugin, attempts, code, error, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                     ON CONFLICT (event, plugin) WHERE message IS NULL DO UPDATE
                     SET attempts = ?3, code = ?4, error = ?5, at = ?6, retried_at = NULL",
                )?
                .execute(params![event.0, plugin.0, aside.attempts, aside.code, error, aside.at.0])?;
        }
        self.shadow.watched.remove(&(event.0, plugin.0));
        self.progress(&aside.progress)
    }

    /// A row of the outbox.
    pub(crate) fn insert_send(
        &mut self,
        send: &NewSend,
        event: Option<EventId>,
        plugin: PluginNo,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let body = to_json("a message", &send.body)?;
        self.insert_send_as(send, &body, event, plugin, now)
    }

    fn insert_send_as(
        &mut self,
        send: &NewSend,
        body: &str,
        event: Option<EventId>,
        plugin: PluginNo,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let id = send.message.0;
        self.conn
            .prepare_cached(
                "INSERT INTO outbox (id, event, plugin, conversation, reply, state, due_at, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                id,
                event.map(|event| event.0),
                plugin.0,
                self.shadow.people.conversation(send.conversation).0,
                send.reply,
                send.state as i64,
                send.due_at.0,
                now.0
            ])?;
        self.conn.prepare_cached("INSERT INTO outbox_bodies (id, body) VALUES (?1, ?2)")?.execute(params![id, body])?;
        if send.state == SendState::Sending {
            self.shadow.starts_sending(self.conn, id)?;
        }
        Ok(())
    }

    /// Rows that are given a slot: from `queued` to `sending`. Says which were still queued.
    pub(crate) fn claim(
        &mut self,
        messages: &[beadle_model::MessageId],
        now: Timestamp,
    ) -> Result<Vec<beadle_model::MessageId>, StoreError> {
        let mut claimed = Vec::with_capacity(messages.len());
        for message in messages {
            let changed = self
                .conn
                .prepare_cached("UPDATE outbox SET state = 1, due_at = ?2 WHERE id = ?1 AND state = 0")?
                .execute([message.0, now.0])?;
            if changed > 0 {
                self.shadow.starts_sending(self.conn, message.0)?;
                claimed.push(*message);
            }
        }
        Ok(claimed)
    }
}
