//! Dead letters: what was given up, and an operator's decision about it.
//!
//! A dead letter is a handling, a message, a durable request or a rejected webhook and has its id:
//! `hnd_104.2`, `msg_77`, `req_5`, `whk_3` (see [`crate::rejected`]). Retrying a message or a
//! request queues its row. Retrying a handling or webhook is the caller's work, and the dead letter
//! stays until that is committed.

use crate::append::UNKNOWN_OUTCOME;
use crate::codec::ending_of;
use crate::error::StoreError;
use crate::read::{events, outbox};
use crate::step::{DeadLetterRef, RetriedDeadLetter};
use crate::tx::Tx;
use beadle_model::event::Problem;
use beadle_model::{MessageId, Timestamp};
use rusqlite::{OptionalExtension, params};
use std::sync::Arc;

impl Tx<'_> {
    /// Turns a send into a dead letter.
    pub(crate) fn insert_dead_send(&self, id: MessageId, problem: &Problem, at: Timestamp) -> Result<(), StoreError> {
        let error = problem.details.as_deref().unwrap_or(&problem.title);
        self.conn
            .prepare_cached(
                "INSERT INTO dead_letters (event, plugin, message, attempts, code, error, at)
                 SELECT event, plugin, id, attempts + 1, ?2, ?3, ?4 FROM outbox WHERE id = ?1
                 ON CONFLICT (message) DO UPDATE
                 SET attempts = excluded.attempts, code = ?2, error = ?3, at = ?4, retried_at = NULL",
            )?
            .execute(params![id.0, problem.code, error, at.0])?;
        Ok(())
    }

    pub(crate) fn retry(
        &mut self,
        dead_letter: DeadLetterRef,
        now: Timestamp,
    ) -> Result<RetriedDeadLetter, StoreError> {
        match dead_letter {
            DeadLetterRef::Handling(id) => {
                let changed = self
                    .conn
                    .prepare_cached(
                        "UPDATE dead_letters SET retried_at = ?3 WHERE event = ?1 AND plugin = ?2 AND message IS NULL",
                    )?
                    .execute([id.event.0, id.plugin.0, now.0])?;
                let event = if changed == 0 { None } else { events::load(self.conn, id.event)? };
                let event = event.ok_or_else(|| unknown(dead_letter))?;
                let ending = self
                    .conn
                    .prepare_cached("SELECT ending, ended_by FROM events WHERE id = ?1")?
                    .query_row([id.event.0], |row| Ok(ending_of(row.get(0)?, row.get(1)?)))?;
                self.cache.watched.insert((id.event.0, id.plugin.0));
                Ok(RetriedDeadLetter::Handling { event: Arc::new(event), plugin: id.plugin, ending })
            }
            DeadLetterRef::Message(id) => {
                self.delete_dead_letter(dead_letter)?;
                self.conn
                    .prepare_cached(
                        "UPDATE outbox SET state = 0, due_at = ?2, problem = NULL, attempts = attempts + 1,
                             possibly_duplicate = possibly_duplicate OR coalesce(json_extract(problem, '$.code') = ?3, 0)
                         WHERE id = ?1 AND state = 4",
                    )?
                    .execute(params![id.0, now.0, UNKNOWN_OUTCOME])?;
                self.update_pending_charge(id, false, now)?;
                Ok(RetriedDeadLetter::Send(Box::new(outbox::load(self.conn, id)?.ok_or_else(|| unknown(dead_letter))?)))
            }
            DeadLetterRef::Webhook(id) => {
                Ok(RetriedDeadLetter::Webhook(self.retry_rejected(id, now)?.ok_or_else(|| unknown(dead_letter))?))
            }
            DeadLetterRef::Request(id) => match self.retry_request(id, now)? {
                true => Ok(RetriedDeadLetter::Request),
                false => Err(unknown(dead_letter)),
            },
        }
    }

    /// Deletes a dead letter without a retry.
    pub(crate) fn drop_dead_letter(&mut self, dead_letter: DeadLetterRef) -> Result<(), StoreError> {
        self.delete_dead_letter(dead_letter)?;
        match dead_letter {
            DeadLetterRef::Handling(id) => {
                self.cache.watched.remove(&(id.event.0, id.plugin.0));
            }
            DeadLetterRef::Message(id) => {
                self.conn.prepare_cached("UPDATE outbox SET state = 5 WHERE id = ?1 AND state = 4")?.execute([id.0])?;
                self.delete_pending_charge(id)?;
            }
            DeadLetterRef::Webhook(_) | DeadLetterRef::Request(_) => {}
        }
        Ok(())
    }

    fn delete_dead_letter(&self, dead_letter: DeadLetterRef) -> Result<(), StoreError> {
        let deleted = match dead_letter {
            DeadLetterRef::Handling(id) => self
                .conn
                .prepare_cached(
                    "DELETE FROM dead_letters WHERE event = ?1 AND plugin = ?2 AND message IS NULL RETURNING id",
                )?
                .query_row([id.event.0, id.plugin.0], |row| row.get::<_, i64>(0))
                .optional()?,
            DeadLetterRef::Message(id) => self
                .conn
                .prepare_cached("DELETE FROM dead_letters WHERE message = ?1 RETURNING id")?
                .query_row([id.0], |row| row.get::<_, i64>(0))
                .optional()?,
            DeadLetterRef::Webhook(id) => self.delete_rejected(id)?.then_some(id.0),
            DeadLetterRef::Request(id) => self.drop_request(id)?.then_some(id.0),
        };
        deleted.map(drop).ok_or_else(|| unknown(dead_letter))
    }
}

fn unknown(dead_letter: DeadLetterRef) -> StoreError {
    StoreError::NotFound { object: "dead letter", id: dead_letter.to_string() }
}
