//! Settlements: the outcomes of sends.
//!
//! A settlement must survive a full disk: the message was sent, and a row that stays `sending`
//! would be ambiguous after a restart. It is deferred in the writer's memory then, and written
//! before anything else.

use crate::append::platform_key;
use crate::codec::to_json;
use crate::deferred::{Deferred, SettlementBatch};
use crate::error::StoreError;
use crate::queue::Job;
use crate::step::{SendOutcome, Settlement};
use crate::tx::Tx;
use beadle_model::event::Problem;
use beadle_model::{ConversationId, EventBody, MessageId, PluginNo, Timestamp};
use rusqlite::{OptionalExtension, params};
use tokio::sync::oneshot;

/// The result of settling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Events that were appended for plugins that subscribe to their messages' statuses.
    pub events: usize,
    /// Settlements that could not be written. They are in memory and will be written first; do not
    /// repeat them.
    pub deferred: usize,
}

/// The job of settling.
pub(crate) struct Settle {
    pub(crate) batch: SettlementBatch,
    pub(crate) settled: Settled,
    pub(crate) to: oneshot::Sender<Result<Settled, StoreError>>,
}

impl Job for Settle {
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        self.settled = Settled { events: tx.settle(&self.batch)?, deferred: 0 };
        Ok(())
    }

    fn answer(self: Box<Self>, failed: Option<StoreError>) {
        let answer = match failed {
            Some(error) if self.settled.deferred == 0 => Err(error),
            _ => Ok(self.settled),
        };
        // The caller may have stopped waiting.
        let _ = self.to.send(answer);
    }

    fn runs_when_full(&self) -> bool {
        true
    }

    fn defer(&mut self, deferred: &mut Deferred) {
        let count = deferred.push(&self.batch);
        if count > 0 {
            self.settled = Settled { events: 0, deferred: count };
        }
    }
}

impl Tx<'_> {
    /// Settles batches that were deferred.
    pub(crate) fn settle_deferred(&mut self, deferred: &Deferred) -> Result<(), StoreError> {
        deferred.batches().iter().try_for_each(|batch| self.settle(batch).map(drop))
    }

    /// Settles a batch; returns the number of appended events.
    fn settle(&mut self, batch: &SettlementBatch) -> Result<usize, StoreError> {
        let mut events = 0;
        for settlement in &batch.settlements {
            events += self.settle_one(settlement, batch)?;
        }
        Ok(events)
    }

    fn settle_one(&mut self, settlement: &Settlement, batch: &SettlementBatch) -> Result<usize, StoreError> {
        let (id, at) = (settlement.message, settlement.at);
        let mut events = 0;
        if let Some(gate) = &settlement.gate {
            self.conn
                .prepare_cached("UPDATE outbox_bodies SET gate = ?2 WHERE id = ?1")?
                .execute(params![id.0, gate])?;
        }
        match &settlement.outcome {
            SendOutcome::Accepted(platform) => self.accepted(id, platform.as_deref(), None)?,
            SendOutcome::Held(platform) => self.accepted(id, platform.as_deref(), Some(at))?,
            SendOutcome::Failed(problem) => {
                let changed = self
                    .conn
                    .prepare_cached(
                        "UPDATE outbox SET state = 3, problem = ?2, failed_at = ?3 WHERE id = ?1 AND state IN (0, 1)",
                    )?
                    .execute(params![id.0, to_json("a problem", problem)?, at.0])?;
                if changed > 0 {
                    self.remove_outreach(id, &problem.code, at)?;
                    self.delete_pending_charge(id)?;
                    self.record_refusal_of(id, &problem.code, at, batch.interest.consent_changed)?;
                    events = self.append_failure(id, problem, (at, batch))?;
                }
            }
            SendOutcome::Later { due_at, counted, possibly_duplicate } => {
                self.conn
                    .prepare_cached(
                        "UPDATE outbox SET state = 0, due_at = ?2, attempts = attempts + ?3,
                             possibly_duplicate = possibly_duplicate OR ?4 WHERE id = ?1 AND state IN (0, 1)",
                    )?
                    .execute(params![id.0, due_at.0, counted, possibly_duplicate])?;
                self.update_pending_charge(id, false, *due_at)?;
            }
            SendOutcome::Dead(problem) => {
                let changed = self
                    .conn
                    .prepare_cached("UPDATE outbox SET state = 4, problem = ?2 WHERE id = ?1 AND state IN (0, 1)")?
                    .execute(params![id.0, to_json("a problem", problem)?])?;
                if changed > 0 {
                    self.insert_dead_send(id, problem, at)?;
                }
            }
            SendOutcome::Dropped => {
                self.conn
                    .prepare_cached("UPDATE outbox SET state = 5 WHERE id = ?1 AND state IN (0, 1)")?
                    .execute([id.0])?;
                self.delete_pending_charge(id)?;
            }
        }
        // Whatever the outcome, the row is in flight no longer. A receipt may have ended that
        // before.
        self.cache.sending.remove(&id.0);
        Ok(events)
    }

    /// Records the acceptance. Usually that is one statement. If a receipt, an operator or a
    /// timeout came first, only missing values are filled in, and the row is not ambiguous any
    /// more.
    fn accepted(&self, id: MessageId, platform: Option<&str>, held_at: Option<Timestamp>) -> Result<(), StoreError> {
        let held_at = held_at.map(|at| at.0);
        let key = platform.map(|platform| platform_key(id.0, platform));
        let usual = self
            .conn
            .prepare_cached(
                "UPDATE outbox SET state = 2, platform_id = ?2, platform_key = ?3, held_at = ?4
                 WHERE id = ?1 AND state = 1",
            )?
            .execute(params![id.0, platform, key, held_at])?;
        if usual > 0 {
            return Ok(());
        }
        self.conn
            .prepare_cached(
                "UPDATE outbox SET state = CASE state WHEN 3 THEN 3 ELSE 2 END, platform_id = coalesce(platform_id, ?2),
                     platform_key = coalesce(platform_key, ?3), held_at = ?4 WHERE id = ?1",
            )?
            .execute(params![id.0, platform, key, held_at])?;
        self.conn.prepare_cached("DELETE FROM dead_letters WHERE message = ?1")?.execute([id.0])?;
        Ok(())
    }

    /// Appends the failure for the plugin that sent the message, if it subscribes.
    fn append_failure(
        &mut self,
        id: MessageId,
        problem: &Problem,
        (at, batch): (Timestamp, &SettlementBatch),
    ) -> Result<usize, StoreError> {
        let row = self
            .conn
            .prepare_cached("SELECT plugin, conversation, platform_id FROM outbox WHERE id = ?1")?
            .query_row([id.0], |row| Ok((PluginNo(row.get(0)?), ConversationId(row.get(1)?), row.get(2)?)))
            .optional()?;
        let Some((plugin, conversation, platform)) = row else { return Ok(0) };
        if !batch.interest.message_status.contains(plugin) {
            return Ok(0);
        }
        let (message, status, problem) = (id, "failed".to_owned(), Some(problem.clone()));
        let (pricing, participant, extra) = (None, None, serde_json::Value::Null);
        let body = EventBody::MessageStatus { plugin, message, platform, status, problem, pricing, participant, extra };
        self.append_own(None, body, Some(conversation), (at, batch.now))?;
        Ok(1)
    }
}
