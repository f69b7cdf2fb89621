//! What became of sends.
//!
//! A settlement is the one thing that is kept when the disk fails: the bytes have left, and a row that stays `sending`
//! is in doubt after a restart. It waits with the writer then, and is written before anything else.

use crate::StoreError;
use crate::append::platform_key;
use crate::codec::to_json;
use crate::queue::Job;
use crate::step::{Outcome, Settlement};
use crate::writer::Tx;
use beadle_model::event::Problem;
use beadle_model::{ConversationId, EventBody, MessageId, PluginNo, Timestamp};
use rusqlite::{OptionalExtension, params};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Settlements kept while the disk fails; far more than can be on their way at once.
const MOST_KEPT: usize = 100_000;

/// What became of some settlements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Events that were appended, for plugins that listen for failures of their messages.
    pub events: usize,
    /// Settlements that the disk had no room for: they are in memory, and are written first when it has. They are not
    /// to be given again.
    pub kept: usize,
}

/// A batch of settlements, and who hears of failures.
#[derive(Clone)]
pub(crate) struct Batch {
    pub(crate) settlements: Vec<Settlement>,
    pub(crate) listeners: Arc<[PluginNo]>,
    pub(crate) now: Timestamp,
}

/// What waits for the disk.
#[derive(Default)]
pub(crate) struct Kept(Vec<Batch>);

impl Kept {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(|batch| batch.settlements.len()).sum()
    }

    pub(crate) fn write(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        self.0.iter().try_for_each(|batch| tx.settle(batch).map(drop))
    }
}

/// The job of settling.
pub(crate) struct Settle {
    pub(crate) batch: Batch,
    pub(crate) settled: Settled,
    pub(crate) to: oneshot::Sender<Result<Settled, StoreError>>,
}

impl Job for Settle {
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        self.settled = Settled { events: tx.settle(&self.batch)?, kept: 0 };
        Ok(())
    }

    fn answer(self: Box<Self>, failed: Option<StoreError>) {
        let answer = match failed {
            Some(error) if self.settled.kept == 0 => Err(error),
            _ => Ok(self.settled),
        };
        // A caller that went away does not want to know.
        let _ = self.to.send(answer);
    }

    fn when_full(&self) -> bool {
        true
    }

    fn keep(&mut self, kept: &mut Kept) {
        let count = self.batch.settlements.len();
        if kept.len().saturating_add(count) <= MOST_KEPT {
            kept.0.push(self.batch.clone());
            self.settled = Settled { events: 0, kept: count };
        }
    }
}

impl Tx<'_> {
    /// Settles these; says how many events came of it.
    fn settle(&mut self, batch: &Batch) -> Result<usize, StoreError> {
        let mut events = 0;
        for settlement in &batch.settlements {
            events += self.settle_one(settlement, batch)?;
        }
        Ok(events)
    }

    fn settle_one(&mut self, settlement: &Settlement, batch: &Batch) -> Result<usize, StoreError> {
        let (id, at) = (settlement.message, settlement.at);
        let mut events = 0;
        match &settlement.outcome {
            Outcome::Accepted(platform) => self.accepted(id, platform.as_deref())?,
            Outcome::Failed(problem) => {
                let changed = self
                    .conn
                    .prepare_cached(
                        "UPDATE outbox SET state = 3, problem = ?2, failed_at = ?3 WHERE id = ?1 AND state IN (0, 1)",
                    )?
                    .execute(params![id.0, to_json("a problem", problem)?, at.0])?;
                if changed > 0 {
                    events = self.tell_failure(id, problem, (at, batch))?;
                }
            }
            Outcome::Later { due_at, counted, maybe_twice } => {
                self.conn
                    .prepare_cached(
                        "UPDATE outbox SET state = 0, due_at = ?2, attempts = attempts + ?3,
                             maybe_twice = maybe_twice OR ?4 WHERE id = ?1 AND state IN (0, 1)",
                    )?
                    .execute(params![id.0, due_at.0, counted, maybe_twice])?;
            }
            Outcome::Dead(problem) => {
                let changed = self
                    .conn
                    .prepare_cached("UPDATE outbox SET state = 4, problem = ?2 WHERE id = ?1 AND state IN (0, 1)")?
                    .execute(params![id.0, to_json("a problem", problem)?])?;
                if changed > 0 {
                    self.bury_send(id, problem, at)?;
                }
            }
            Outcome::Dropped => {
                self.conn
                    .prepare_cached("UPDATE outbox SET state = 5 WHERE id = ?1 AND state IN (0, 1)")?
                    .execute([id.0])?;
            }
        }
        // Whatever it was, it is on its way no longer; a receipt may have said so before.
        self.shadow.sending.remove(&id.0);
        Ok(events)
    }

    /// The platform has it. Usually that is one statement; where a receipt, a person or a time-out was there first, only
    /// what is still open is filled in, and the doubt is over.
    fn accepted(&self, id: MessageId, platform: Option<&str>) -> Result<(), StoreError> {
        let key = platform.map(|platform| platform_key(id.0, platform));
        let usual = self
            .conn
            .prepare_cached(
                "UPDATE outbox SET state = 2, platform = ?2, platform_key = ?3 WHERE id = ?1 AND state = 1",
            )?
            .execute(params![id.0, platform, key])?;
        if usual > 0 {
            return Ok(());
        }
        self.conn
            .prepare_cached(
                "UPDATE outbox SET state = CASE state WHEN 3 THEN 3 ELSE 2 END, platform = coalesce(platform, ?2),
                     platform_key = coalesce(platform_key, ?3) WHERE id = ?1",
            )?
            .execute(params![id.0, platform, key])?;
        self.conn.prepare_cached("DELETE FROM dead WHERE message = ?1")?.execute([id.0])?;
        Ok(())
    }

    /// The plugin that sent it hears of it, where it listens.
    fn tell_failure(
        &mut self,
        id: MessageId,
        problem: &Problem,
        (at, batch): (Timestamp, &Batch),
    ) -> Result<usize, StoreError> {
        let row = self
            .conn
            .prepare_cached("SELECT plugin, conversation, platform FROM outbox WHERE id = ?1")?
            .query_row([id.0], |row| Ok((PluginNo(row.get(0)?), ConversationId(row.get(1)?), row.get(2)?)))
            .optional()?;
        let Some((plugin, conversation, platform)) = row else { return Ok(0) };
        if !batch.listeners.contains(&plugin) {
            return Ok(0);
        }
        let (message, status, problem) = (id, "failed".to_owned(), Some(problem.clone()));
        let (pricing, participant, extra) = (None, None, serde_json::Value::Null);
        let body = EventBody::MessageStatus { plugin, message, platform, status, problem, pricing, participant, extra };
        self.append_own(None, body, Some(conversation), (at, batch.now))?;
        Ok(1)
    }
}
