//! Dead letters: what was given up, and what a person decides about it.
//!
//! A letter is of a handling, of a message, or of a webhook that was not understood, and is named like it: `hnd_104.2`,
//! `msg_77`, `whk_3` (see [`crate::letters`]). Having a message tried again queues its row; having a handling or a webhook
//! tried again is somebody else's work, who gets what it needs for that, and the letter stays until that is committed.

use crate::StoreError;
use crate::append::UNKNOWN_OUTCOME;
use crate::codec::ending_of;
use crate::read::{events, outbox};
use crate::shown::LetterShown;
use crate::step::OutboxRow;
use crate::writer::Tx;
use beadle_model::event::Problem;
use beadle_model::{Ending, Event, HandlingId, MessageId, ParseIdError, PluginNo, Timestamp, WebhookId};
use rusqlite::{OptionalExtension, params};
use serde::{Serialize, Serializer};
use std::{fmt, str::FromStr, sync::Arc};

/// What a dead letter is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeadRef {
    /// A handling that was given up.
    Handling(HandlingId),
    /// A message of which nobody knows what became, or that was given up.
    Message(MessageId),
    /// A webhook, or a part of one, that could not be understood.
    Webhook(WebhookId),
}

impl fmt::Display for DeadRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeadRef::Handling(id) => id.fmt(f),
            DeadRef::Message(id) => id.fmt(f),
            DeadRef::Webhook(id) => id.fmt(f),
        }
    }
}

impl FromStr for DeadRef {
    type Err = ParseIdError;
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        match text.split_once('_') {
            Some(("msg", _)) => text.parse().map(Self::Message),
            Some(("whk", _)) => text.parse().map(Self::Webhook),
            _ => text.parse().map(Self::Handling),
        }
    }
}

impl Serialize for DeadRef {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// What is to be tried again.
#[derive(Clone, Debug, PartialEq)]
pub enum Retried {
    /// A handling: to be run by the pipeline, out of order, marked late.
    Handling {
        /// The event, as it is now.
        event: Arc<Event>,
        /// In which plugin.
        plugin: PluginNo,
        /// How the event ended without it; claimed, where somebody answered meanwhile.
        ending: Option<Ending>,
    },
    /// A message: its row is queued and due at once.
    Send(Box<OutboxRow>),
    /// A webhook: to be read again.
    Webhook(LetterShown),
}

impl Tx<'_> {
    /// A send is given up for a person to decide.
    pub(crate) fn bury_send(&self, id: MessageId, problem: &Problem, at: Timestamp) -> Result<(), StoreError> {
        let error = problem.details.as_deref().unwrap_or(&problem.title);
        self.conn
            .prepare_cached(
                "INSERT INTO dead (event, plugin, message, attempts, code, error, at)
                 SELECT event, plugin, id, attempts + 1, ?2, ?3, ?4 FROM outbox WHERE id = ?1
                 ON CONFLICT (message) DO UPDATE
                 SET attempts = excluded.attempts, code = ?2, error = ?3, at = ?4, retried_at = NULL",
            )?
            .execute(params![id.0, problem.code, error, at.0])?;
        Ok(())
    }

    pub(crate) fn retry(&mut self, letter: DeadRef, now: Timestamp) -> Result<Retried, StoreError> {
        match letter {
            DeadRef::Handling(id) => {
                let changed = self
                    .conn
                    .prepare_cached(
                        "UPDATE dead SET retried_at = ?3 WHERE event = ?1 AND plugin = ?2 AND message IS NULL",
                    )?
                    .execute([id.event.0, id.plugin.0, now.0])?;
                let event = if changed == 0 { None } else { events::load(self.conn, id.event)? };
                let event = event.ok_or_else(|| unknown(letter))?;
                let ending = self
                    .conn
                    .prepare_cached("SELECT ending, ended_by FROM events WHERE id = ?1")?
                    .query_row([id.event.0], |row| Ok(ending_of(row.get(0)?, row.get(1)?)))?;
                self.shadow.watched.insert((id.event.0, id.plugin.0));
                Ok(Retried::Handling { event: Arc::new(event), plugin: id.plugin, ending })
            }
            DeadRef::Message(id) => {
                self.forget_letter(letter)?;
                self.conn
                    .prepare_cached(
                        "UPDATE outbox SET state = 0, due_at = ?2, problem = NULL, attempts = attempts + 1,
                             maybe_twice = maybe_twice OR coalesce(json_extract(problem, '$.code') = ?3, 0)
                         WHERE id = ?1 AND state = 4",
                    )?
                    .execute(params![id.0, now.0, UNKNOWN_OUTCOME])?;
                Ok(Retried::Send(Box::new(outbox::load(self.conn, id)?.ok_or_else(|| unknown(letter))?)))
            }
            DeadRef::Webhook(id) => Ok(Retried::Webhook(self.retry_letter(id, now)?.ok_or_else(|| unknown(letter))?)),
        }
    }

    /// It is not to be tried again.
    pub(crate) fn drop_letter(&mut self, letter: DeadRef) -> Result<(), StoreError> {
        self.forget_letter(letter)?;
        match letter {
            DeadRef::Handling(id) => {
                self.shadow.watched.remove(&(id.event.0, id.plugin.0));
            }
            DeadRef::Message(id) => {
                self.conn.prepare_cached("UPDATE outbox SET state = 5 WHERE id = ?1 AND state = 4")?.execute([id.0])?;
            }
            DeadRef::Webhook(_) => {}
        }
        Ok(())
    }

    fn forget_letter(&self, letter: DeadRef) -> Result<(), StoreError> {
        let gone = match letter {
            DeadRef::Handling(id) => self
                .conn
                .prepare_cached("DELETE FROM dead WHERE event = ?1 AND plugin = ?2 AND message IS NULL RETURNING id")?
                .query_row([id.event.0, id.plugin.0], |row| row.get::<_, i64>(0))
                .optional()?,
            DeadRef::Message(id) => self
                .conn
                .prepare_cached("DELETE FROM dead WHERE message = ?1 RETURNING id")?
                .query_row([id.0], |row| row.get::<_, i64>(0))
                .optional()?,
            DeadRef::Webhook(id) => self.forget_webhook(id)?.then_some(id.0),
        };
        gone.map(drop).ok_or_else(|| unknown(letter))
    }
}

fn unknown(letter: DeadRef) -> StoreError {
    StoreError::NotFound { what: "dead letter", id: letter.to_string() }
}
