//! The steps of broadcasts for other crates. [`crate::broadcasts`] contains their SQL.

use crate::broadcasts::{BroadcastReason, Handover, PlannedRecipient};
use crate::codec::to_json;
use crate::error::StoreError;
use crate::handle::Store;
use crate::step::{NewSend, OutboxRow};
use beadle_model::broadcast::BroadcastDefinition;
use beadle_model::{BroadcastId, BroadcastState, ContactId, PluginNo, Timestamp};
use rusqlite::params;
use std::sync::Arc;

impl Store {
    /// Creates a draft; `None` if the author already has a broadcast with this name.
    pub async fn create_broadcast(
        &self,
        plugin: PluginNo,
        by: String,
        definition: BroadcastDefinition,
    ) -> Result<Option<BroadcastId>, StoreError> {
        let now = self.now();
        self.ask(move |tx| tx.create_broadcast(plugin, &by, &definition, now)).await
    }

    /// Moves a broadcast from one state to another, with the reason. A pause or stop also takes
    /// back messages that were not tried. Returns whether it was in the first state, and planned if
    /// it is to be sent.
    pub async fn move_broadcast(
        &self,
        id: BroadcastId,
        states: (BroadcastState, BroadcastState),
        reason: Option<BroadcastReason>,
    ) -> Result<bool, StoreError> {
        let now = self.now();
        self.ask(move |tx| tx.move_broadcast(id, states, reason.as_ref(), now)).await
    }

    /// Begins to plan a broadcast. It cannot be started until planning has finished. Returns false
    /// if it is being sent or has ended.
    pub async fn begin_planning(&self, id: BroadcastId) -> Result<bool, StoreError> {
        self.ask(move |tx| {
            let changed = tx
                .conn
                .prepare_cached(
                    "UPDATE broadcasts SET plan = NULL, planned_at = NULL, state = CASE state WHEN 1 THEN 0 ELSE state END
                     WHERE id = ?1 AND state IN (0, 1, 3)",
                )?
                .execute([id.0])?;
            Ok(changed > 0)
        })
        .await
    }

    /// Deletes the recipients whose message was not handed over, of a slice of all after this one.
    /// Returns the last of the slice, if there are more.
    pub async fn unplan_broadcast(&self, id: BroadcastId, after: ContactId) -> Result<Option<ContactId>, StoreError> {
        self.ask(move |tx| tx.unplan(id, after)).await
    }

    /// Adds recipients. Existing rows are unchanged.
    pub async fn plan_recipients(&self, id: BroadcastId, recipients: Vec<PlannedRecipient>) -> Result<(), StoreError> {
        let recipients = Arc::new(recipients);
        self.ask(move |tx| tx.insert_recipients(id, &recipients)).await
    }

    /// Stores the plan, and moves a draft to `planned`. A paused broadcast stays paused.
    pub async fn finish_planning(&self, id: BroadcastId, plan: String) -> Result<(), StoreError> {
        let now = self.now();
        self.ask(move |tx| {
            tx.conn
                .prepare_cached(
                    "UPDATE broadcasts SET plan = ?2, planned_at = ?3, reason = NULL, approved_at = NULL, approved_by = NULL,
                         state = CASE state WHEN 0 THEN 1 ELSE state END
                     WHERE id = ?1",
                )?
                .execute(params![id.0, plan, now.0])?;
            Ok(())
        })
        .await
    }

    /// Records why a broadcast that a plugin asked to start was not started.
    pub async fn broadcast_not_started(&self, id: BroadcastId, reason: BroadcastReason) -> Result<(), StoreError> {
        self.ask(move |tx| {
            tx.conn
                .prepare_cached("UPDATE broadcasts SET reason = ?2, wants_start = 0 WHERE id = ?1")?
                .execute(params![id.0, to_json("a reason", &reason)?])?;
            Ok(())
        })
        .await
    }

    /// Records the approval of the plan of this time. Returns false if the broadcast was planned
    /// again or is neither planned nor paused.
    pub async fn approve_broadcast(
        &self,
        id: BroadcastId,
        planned_at: Option<Timestamp>,
        by: String,
    ) -> Result<bool, StoreError> {
        let now = self.now();
        self.ask(move |tx| {
            let changed = tx
                .conn
                .prepare_cached(
                    "UPDATE broadcasts SET approved_at = ?2, approved_by = ?3
                     WHERE id = ?1 AND planned_at = ?4 AND state IN (1, 3)",
                )?
                .execute(params![id.0, now.0, by, planned_at.map(|at| at.0)])?;
            Ok(changed > 0)
        })
        .await
    }

    /// Hands recipients over, holds or excludes them, if they are still planned or held and the
    /// broadcast is being sent. Returns the new rows of the outbox.
    pub async fn hand_over(
        &self,
        id: BroadcastId,
        plugin: PluginNo,
        decided: Vec<(ContactId, Handover)>,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        let now = self.now();
        let decided = Arc::new(decided);
        self.ask(move |tx| tx.hand_over(id, plugin, &decided, now)).await
    }

    /// Excludes a slice of the recipients of an expired broadcast whose message was not handed
    /// over. Returns whether there are more.
    pub async fn expire_recipients(&self, id: BroadcastId) -> Result<bool, StoreError> {
        self.ask(move |tx| tx.expire_recipients(id)).await
    }

    /// Queues a test message of a broadcast, which counts for no recipient.
    pub async fn queue_test(&self, plugin: PluginNo, send: NewSend) -> Result<OutboxRow, StoreError> {
        let now = self.now();
        self.ask(move |tx| {
            tx.insert_send(&send, None, plugin, now)?;
            Ok(send.clone().into_row(None, plugin, now))
        })
        .await
    }

    /// Plans recipients of a paused or finished broadcast whose message failed again, if it can
    /// succeed now ([`beadle_model::broadcast::can_repeat`]), of a slice of all after this one.
    /// Returns their number, and the last of the slice, if there are more.
    pub async fn retry_failed_recipients(
        &self,
        id: BroadcastId,
        after: ContactId,
    ) -> Result<(u64, Option<ContactId>), StoreError> {
        self.ask(move |tx| tx.retry_failed(id, after)).await
    }
}
