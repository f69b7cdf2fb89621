//! Commits: a handling with all its effects, or nothing.
//!
//! Checks come first and write nothing, so that a stale read does not roll back its group. An
//! event's progress is in its own row: `done` is a bit mask over the list of its subscribers that
//! SQLite itself merges, so that two handlings of one event may commit in any order.

use crate::codec::{ending_columns, to_json};
use crate::contact_edit::ContactEdit;
use crate::error::StoreError;
use crate::read::outbox::with_key;
use crate::step::{Commit, FailedAttempt, Fence, NewSend, Progress, SendState, Unhandled, UnhandledState};
use crate::tx::Tx;
use beadle_model::effect::ContactWrite;
use beadle_model::{EventId, HandlingId, PluginNo, Purpose, Scope, Timestamp};
use rusqlite::params;
use std::sync::Arc;

/// The maximum size of an error text: enough for a trap with its backtrace.
pub(crate) const MAX_ERROR_BYTES: usize = 4096;

/// A commit, serialised on the caller's thread.
pub(crate) struct PreparedCommit {
    commit: Arc<Commit>,
    bodies: Vec<String>,
}

impl PreparedCommit {
    pub(crate) fn new(commit: Arc<Commit>) -> Result<Self, StoreError> {
        let body = |send: &NewSend| match to_json("a message", &send.body) {
            Err(StoreError::Unreadable { subject, reason }) => Err(StoreError::Unstorable { subject, reason }),
            other => other,
        };
        let bodies = commit.sends.iter().map(body).collect::<Result<_, _>>()?;
        Ok(Self { commit, bodies })
    }
}

/// At most [`MAX_ERROR_BYTES`] of an error text.
pub(crate) fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_ERROR_BYTES)).unwrap_or(text)
}

impl Tx<'_> {
    pub(crate) fn check_fence(&self, fence: Fence) -> Result<(), StoreError> {
        let current = self.shared.fence;
        if fence.0 == current { Ok(()) } else { Err(StoreError::Fenced { fence: fence.0, current }) }
    }

    pub(crate) fn commit(&mut self, ready: &PreparedCommit) -> Result<(), StoreError> {
        let PreparedCommit { commit, bodies } = ready;
        self.check_fence(commit.fence)?;
        self.check_reads(commit.state_no, &commit.reads, commit.now)?;
        self.check_quotas(commit)?;
        self.check_request_quota(commit)?;
        let event = commit.progress.event;
        if commit.is_retry {
            self.check_is_dead(HandlingId { event, plugin: commit.plugin })?;
        }
        if self.cache.watched.remove(&(event.0, commit.plugin.0)) || commit.was_waiting {
            self.clear_failure(event, commit.plugin)?;
        }
        self.progress(&commit.progress)?;
        if !commit.state.is_empty() {
            self.write_state(commit.state_no, &commit.state, commit.now)?;
        }
        for timer in &commit.timers {
            self.write_timer(commit.plugin, timer, commit.conversation, commit.now)?;
        }
        for write in &commit.contacts {
            self.write_contact(write, commit.wants_consents, commit.now)?;
        }
        for created in &commit.media {
            self.insert_created_media(created, commit.plugin, commit.now)?;
        }
        for write in &commit.broadcasts {
            self.write_broadcast(write, commit.plugin, commit.now)?;
        }
        self.insert_requests(commit)?;
        for (send, body) in commit.sends.iter().zip(bodies) {
            self.insert_send_as(send, body, Some(event), commit.plugin, commit.now)?;
        }
        self.write_refused(event, commit.plugin, &commit.refused, commit.now)?;
        Ok(())
    }

    /// Applies a plugin's change of a contact. What is not possible any more is left out: the
    /// contact was checked when the plugin asked, and the handling must not fail for it.
    fn write_contact(&mut self, write: &ContactWrite, wants_event: bool, now: Timestamp) -> Result<(), StoreError> {
        let written = match write {
            ContactWrite::Edit { contact, edit } => {
                let edit = ContactEdit { profile: edit.clone(), ..ContactEdit::default() };
                self.edit_contact(*contact, &edit, now).map(drop)
            }
            ContactWrite::Consent(consent) => self.record_consent(consent, wants_event, now).map(drop),
        };
        match written {
            Err(error @ (StoreError::NotFound { .. } | StoreError::Profile { .. })) => {
                tracing::warn!(%error, "a plugin's change of a contact was not possible");
                Ok(())
            }
            other => other,
        }
    }

    /// Fails if a handling is no longer a dead letter.
    fn check_is_dead(&self, id: HandlingId) -> Result<(), StoreError> {
        let find = "SELECT 1 FROM dead_letters WHERE event = ?1 AND plugin = ?2 AND message IS NULL";
        match self.conn.prepare_cached(find)?.exists([id.event.0, id.plugin.0])? {
            true => Ok(()),
            false => Err(StoreError::NotDead { id }),
        }
    }

    /// Records the success of a handling that had failed, was a dead letter, or was waiting.
    fn clear_failure(&self, event: EventId, plugin: PluginNo) -> Result<(), StoreError> {
        self.conn
            .prepare_cached("UPDATE handlings SET state = 1, next_at = NULL WHERE event = ?1 AND plugin = ?2")?
            .execute([event.0, plugin.0])?;
        self.conn
            .prepare_cached("DELETE FROM dead_letters WHERE event = ?1 AND plugin = ?2 AND message IS NULL")?
            .execute([event.0, plugin.0])?;
        Ok(())
    }

    /// Records an event's progress; it is finished once every subscriber is done. The first caller
    /// fixes the list of subscribers: bits of another list (a dead letter retried out of order) do
    /// not count. The first ending stands.
    pub(crate) fn progress(&mut self, progress: &Progress) -> Result<(), StoreError> {
        let event = progress.event;
        self.cache.timers.handled(event);
        let overflow_done = progress.overflow_count == 0 || self.record_overflow(progress)?;
        let (how, by) = ending_columns(progress.ending);
        let changed = self
            .conn
            .prepare_cached(
                "UPDATE events SET
                     done = CASE WHEN coalesce(subscriber_list, ?2) = ?2 THEN done | ?3 ELSE done END,
                     state = CASE WHEN state = 2 OR coalesce(subscriber_list, ?2) <> ?2 THEN state
                         WHEN (done | ?3) & ?4 = ?4 AND ?5 THEN 2 ELSE 1 END,
                     subscriber_list = coalesce(subscriber_list, ?2),
                     ended_by = CASE WHEN ending IS NULL THEN ?7 ELSE ended_by END, ending = coalesce(ending, ?6)
                 WHERE id = ?1",
            )?
            .execute(params![event.0, progress.subscriber_list, progress.done, progress.all, overflow_done, how, by])?;
        if changed == 0 {
            return Err(StoreError::NotFound { object: "event", id: event.to_string() });
        }
        Ok(())
    }

    /// Records the subscribers that `done` has no bit for. Returns whether all of them are done.
    fn record_overflow(&self, progress: &Progress) -> Result<bool, StoreError> {
        let event = progress.event.0;
        for plugin in &progress.done_overflow {
            self.conn
                .prepare_cached(
                    "INSERT INTO handlings (event, plugin, state, overflow, attempts) VALUES (?1, ?2, 1, 1, 1)
                     ON CONFLICT (event, plugin) DO UPDATE
                     SET overflow = 1, state = max(state, 1), next_at = NULL",
                )?
                .execute([event, plugin.0])?;
        }
        let done: i64 = self
            .conn
            .prepare_cached("SELECT count(*) FROM handlings WHERE event = ?1 AND overflow = 1 AND state > 0")?
            .query_row([event], |row| row.get(0))?;
        Ok(usize::try_from(done).is_ok_and(|done| done >= progress.overflow_count))
    }

    pub(crate) fn record_failed_attempt(&mut self, failed: &FailedAttempt) -> Result<(), StoreError> {
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
                if failed.is_waiting { UnhandledState::Waiting as i64 } else { 0 }
            ])?;
        if !failed.is_waiting {
            self.cache.watched.insert((failed.event.0, failed.plugin.0));
        }
        Ok(())
    }

    /// Records a handling that did not happen, and the event's progress without it.
    pub(crate) fn record_unhandled(&mut self, unhandled: &Unhandled) -> Result<(), StoreError> {
        self.check_fence(unhandled.fence)?;
        let (event, plugin) = (unhandled.progress.event, unhandled.plugin);
        let error = cut(&unhandled.error);
        self.conn
            .prepare_cached(
                "INSERT INTO handlings (event, plugin, state, attempts, code, error) VALUES (?1, ?2, ?6, ?3, ?4, ?5)
                 ON CONFLICT (event, plugin) DO UPDATE
                 SET state = ?6, attempts = ?3, code = ?4, error = ?5, next_at = NULL",
            )?
            .execute(params![event.0, plugin.0, unhandled.attempts, unhandled.code, error, unhandled.state as i64])?;
        if unhandled.state == UnhandledState::DeadLetter {
            self.conn
                .prepare_cached(
                    "INSERT INTO dead_letters (event, plugin, attempts, code, error, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                     ON CONFLICT (event, plugin) WHERE message IS NULL DO UPDATE
                     SET attempts = ?3, code = ?4, error = ?5, at = ?6, retried_at = NULL",
                )?
                .execute(params![event.0, plugin.0, unhandled.attempts, unhandled.code, error, unhandled.at.0])?;
        }
        self.cache.watched.remove(&(event.0, plugin.0));
        self.progress(&unhandled.progress)?;
        self.write_refused(event, plugin, &unhandled.refused, unhandled.at)
    }

    /// Inserts an outbox row.
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
        // A message to someone who was erased while it was being written.
        if self.cache.people.is_erased(Scope::Conversation(send.conversation)) {
            return Ok(());
        }
        let key = send.options.key.as_deref();
        let repeats = key.map(|key| with_key(self.conn, plugin, key)).transpose()?.flatten();
        self.conn
            .prepare_cached(
                "INSERT INTO outbox (id, event, plugin, conversation, channel, reply, state, due_at, created_at,
                     purpose, key, repeats)
                 VALUES (?1, ?2, ?3, ?4, coalesce((SELECT channel FROM conversations WHERE id = ?4), ''), ?5, ?6, ?7, ?8,
                     ?9, ?10, ?11)",
            )?
            .execute(params![
                id,
                event.map(|event| event.0),
                plugin.0,
                self.cache.people.conversation(send.conversation).0,
                send.reply,
                send.state as i64,
                send.due_at.0,
                now.0,
                send.options.purpose.as_ref().map(Purpose::to_string),
                key,
                repeats.map(|message| message.0)
            ])?;
        self.conn
            .prepare_cached("INSERT INTO outbox_bodies (id, body, gate) VALUES (?1, ?2, ?3)")?
            .execute(params![id, body, send.gate])?;
        if let Some(outreach) = &send.outreach {
            self.count_outreach(send, outreach, now)?;
            if let Some(price) = &outreach.price {
                self.insert_pending_charge(send, plugin, price, now)?;
            }
        }
        if send.state == SendState::Sending {
            self.cache.note_sending(self.conn, id)?;
        }
        Ok(())
    }

    /// Moves rows from `queued` to `sending`. Returns those that were still queued.
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
                self.cache.note_sending(self.conn, message.0)?;
                self.set_outreach_time(*message, now)?;
                self.update_pending_charge(*message, true, now)?;
                claimed.push(*message);
            }
        }
        Ok(claimed)
    }
}
