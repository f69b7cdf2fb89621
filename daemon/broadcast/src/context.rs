//! The state that the modules of this crate share.

use crate::error::BroadcastError;
use crate::plan::Plan;
use crate::rules::Pace;
use crate::settings::Settings;
use beadle_clock::{Alarm, Clock};
use beadle_gate::broadcast::BroadcastMessage;
use beadle_gatekeeper::Gatekeeper;
use beadle_model::broadcast::BroadcastDefinition;
use beadle_model::{BroadcastId, BroadcastState, PluginNo, Timestamp};
use beadle_pipeline::outbox::Outbox;
use beadle_segments::Segments;
use beadle_store::{BroadcastReason, BroadcastRow, Store, StoreError};
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The author of operators' broadcasts, in the table of plugins. No plugin can have this name.
pub const OPERATOR: &str = "beadle:broadcasts";

/// The state that the modules of this crate share.
pub(crate) struct Context {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) gatekeeper: Gatekeeper,
    pub(crate) outbox: Outbox,
    pub(crate) settings: RwLock<Arc<Settings>>,
    /// Evaluates segments.
    pub(crate) segments: Segments,
    /// The configured channels.
    pub(crate) channels: Vec<String>,
    /// Rung when there may be something to send.
    pub(crate) wake: Alarm,
    /// Held while a broadcast is planned.
    pub(crate) planning: tokio::sync::Mutex<()>,
    /// The number of people that planning has decided about, while it runs.
    pub(crate) planned: Mutex<BTreeMap<BroadcastId, u64>>,
    /// The state between two batches.
    pub(crate) sending: Mutex<Memory>,
    /// The broadcasts that a restriction of the whole broadcast defers.
    pub(crate) waits: Mutex<BTreeMap<BroadcastId, Wait>>,
    /// The broadcasts of plugins that are being planned and started.
    pub(crate) starting: Mutex<BTreeSet<BroadcastId>>,
}

/// The state between two batches.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) paces: BTreeMap<String, Pace>,
    pub(crate) loaded: BTreeMap<BroadcastId, Arc<Loaded>>,
    /// Monotonic time.
    pub(crate) rules_applied_at: BTreeMap<BroadcastId, Timestamp>,
    /// How many messages of a broadcast that has handed over all wait in the outbox, and for how
    /// long it waits for them, in milliseconds.
    pub(crate) last_messages: BTreeMap<BroadcastId, (u64, i64)>,
}

/// A broadcast that is being sent.
pub(crate) struct Loaded {
    pub(crate) definition: BroadcastDefinition,
    pub(crate) message: BroadcastMessage,
    pub(crate) plan: Plan,
    pub(crate) planned_at: Option<Timestamp>,
}

/// Why a broadcast waits, and until when.
#[derive(Clone, Debug)]
pub(crate) struct Wait {
    pub(crate) code: String,
    pub(crate) until: Timestamp,
}

impl Context {
    /// The number of the author of operators' broadcasts.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub(crate) async fn operator(&self) -> Result<PluginNo, StoreError> {
        self.store.plugin_no(OPERATOR).await
    }

    /// The broadcast with this id or name. A name that several authors use is the operator's.
    ///
    /// # Errors
    /// If there is none, or the store cannot be read.
    pub(crate) async fn find(&self, text: &str) -> Result<BroadcastRow, BroadcastError> {
        let operator = self.operator().await?;
        let (id, name) = (text.parse::<BroadcastId>().ok(), text.to_owned());
        let found = self.store.read(move |reader| match id {
            Some(id) => reader.broadcast(id),
            None => {
                let mut named = reader.broadcasts_named(&name)?;
                named.sort_by_key(|row| row.plugin != operator);
                Ok(named.into_iter().next())
            }
        });
        found.await?.ok_or_else(|| BroadcastError::Unknown(text.to_owned()))
    }

    pub(crate) async fn row(&self, id: BroadcastId) -> Result<BroadcastRow, BroadcastError> {
        self.store.read(move |reader| reader.broadcast(id)).await?.ok_or_else(|| BroadcastError::unknown(id))
    }

    /// A broadcast with its definition, as written and parsed.
    pub(crate) async fn load(
        &self,
        id: BroadcastId,
    ) -> Result<(BroadcastRow, BroadcastDefinition, BroadcastMessage), BroadcastError> {
        let read = self.store.read(move |reader| Ok(reader.broadcast(id)?.zip(reader.broadcast_texts(id)?)));
        let (row, (definition, _)) = read.await?.ok_or_else(|| BroadcastError::unknown(id))?;
        let message = BroadcastMessage::new(&definition, self.gatekeeper.template_language().as_deref())
            .map_err(BroadcastError::Invalid)?;
        Ok((row, definition, message))
    }

    /// Refuses an expired broadcast.
    pub(crate) fn check_expiry(
        &self,
        row: &BroadcastRow,
        definition: &BroadcastDefinition,
    ) -> Result<(), BroadcastError> {
        match definition.expires {
            Some(expires) if expires <= self.clock.now() => {
                Err(BroadcastError::Expired { name: row.name.clone(), expires })
            }
            _ => Ok(()),
        }
    }

    /// Pauses a broadcast and reports the reason.
    pub(crate) async fn pause_for(&self, row: &BroadcastRow, reason: BroadcastReason) -> Result<(), StoreError> {
        let states = (BroadcastState::Sending, BroadcastState::Paused);
        if self.store.move_broadcast(row.id, states, Some(reason.clone())).await? {
            tracing::error!(broadcast = %row.name, code = reason.code, reason = reason.message, "broadcast paused");
        }
        Ok(())
    }
}

/// An error as the reason why a broadcast is paused or was not started.
pub(crate) fn reason_of(error: &BroadcastError) -> BroadcastReason {
    BroadcastReason { code: error.code_text(), message: error.to_string() }
}
