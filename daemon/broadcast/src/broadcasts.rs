//! The interface of this crate.

use crate::context::Context;
use crate::error::BroadcastError;
use crate::plan::Plan;
use crate::settings::Settings;
use crate::{commands, planner, sender};
use beadle_clock::{Alarm, Clock};
use beadle_gatekeeper::Gatekeeper;
use beadle_model::broadcast::BroadcastDefinition;
use beadle_model::{BroadcastId, ContactId, MessageId, PluginNo};
use beadle_pipeline::outbox::Outbox;
use beadle_segments::Segments;
use beadle_store::{BroadcastRow, RecipientCount, Store, StoreError};
use beadle_tasks::Heartbeat;
use parking_lot::RwLock;
use std::sync::Arc;

/// Creates, plans and sends broadcasts. Cheap to clone.
#[derive(Clone)]
pub struct Broadcasts(Arc<Context>);

/// The dependencies of broadcasts.
pub struct Parts {
    /// The database.
    pub store: Store,
    /// Civil time.
    pub clock: Clock,
    /// Decides what may be sent.
    pub gatekeeper: Gatekeeper,
    /// Sends.
    pub outbox: Outbox,
    /// Evaluates segments.
    pub segments: Segments,
    /// Rung when a plugin changed a broadcast.
    pub wake: Alarm,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

/// The progress of a broadcast.
#[derive(Clone, Debug)]
pub struct Progress {
    /// The broadcast.
    pub row: BroadcastRow,
    /// The number of recipients by state and code.
    pub counts: Vec<RecipientCount>,
    /// The plan.
    pub plan: Option<Plan>,
    /// The number of people that planning has decided about, while it runs.
    pub planning: Option<u64>,
    /// The check that defers the whole broadcast, and until when.
    pub wait: Option<(String, beadle_model::Timestamp)>,
    /// The throughput of the channel.
    pub per_second: u32,
}

impl Broadcasts {
    /// Creates it with the operator's settings. `channels`: those that are configured.
    pub fn new(parts: Parts, settings: Settings, channels: Vec<String>) -> Self {
        let Parts { store, clock, gatekeeper, outbox, segments, wake } = parts;
        let settings = RwLock::new(Arc::new(settings));
        let (planning, planned, sending, waits, starting) = Default::default();
        Self(Arc::new(Context {
            store,
            clock,
            gatekeeper,
            outbox,
            settings,
            segments,
            channels,
            wake,
            planning,
            planned,
            sending,
            waits,
            starting,
        }))
    }

    /// Applies new settings.
    pub fn configure(&self, settings: Settings) {
        *self.0.settings.write() = Arc::new(settings);
        self.0.wake.ring();
    }

    /// The settings.
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.0.settings.read())
    }

    /// The progress of a broadcast.
    ///
    /// # Errors
    /// If it does not exist, or the store cannot be read.
    pub async fn progress(&self, id: BroadcastId) -> Result<Progress, BroadcastError> {
        let read = self.0.store.read(move |reader| {
            let Some(row) = reader.broadcast(id)? else { return Ok(None) };
            Ok(Some((row, reader.recipient_counts(id)?, reader.broadcast_plan(id)?)))
        });
        let (row, counts, plan) = read.await?.ok_or_else(|| BroadcastError::unknown(id))?;
        let per_second = self.0.outbox.load(&row.channel).messages_per_second;
        Ok(Progress {
            plan: plan.and_then(|json| Plan::read(&json)),
            planning: self.0.planned.lock().get(&id).copied(),
            wait: self.0.waits.lock().get(&id).map(|wait| (wait.code.clone(), wait.until)),
            row,
            counts,
            per_second,
        })
    }

    /// Creates a draft. `author`: the plugin, or [`Broadcasts::operator`]; `by`: the name of who
    /// created it.
    ///
    /// # Errors
    /// If the definition is not valid, or the author has a broadcast with this name.
    pub async fn create(
        &self,
        author: PluginNo,
        by: &str,
        definition: BroadcastDefinition,
    ) -> Result<BroadcastId, BroadcastError> {
        commands::create(&self.0, author, by, definition).await
    }

    /// Sends the message to some people now, in any state of the broadcast; it counts for no
    /// recipient. The gate is asked as for every message.
    ///
    /// # Errors
    /// If the gate refuses or defers one of the messages.
    pub async fn test(&self, id: BroadcastId, contacts: Vec<ContactId>) -> Result<Vec<MessageId>, BroadcastError> {
        commands::test(&self.0, id, contacts).await
    }

    /// Records the approval of a second person.
    ///
    /// # Errors
    /// If it is not planned, or this person created it.
    pub async fn approve(&self, id: BroadcastId, by: &str) -> Result<BroadcastRow, BroadcastError> {
        commands::approve(&self.0, id, by).await
    }

    /// Starts to send a planned broadcast.
    ///
    /// # Errors
    /// If it is not planned, needs approval, has no recipients, or a template changed since
    /// planning.
    pub async fn start(&self, id: BroadcastId) -> Result<BroadcastRow, BroadcastError> {
        commands::start(&self.0, id).await
    }

    /// Resumes a paused broadcast. With `failed`, messages that failed are sent again, also of a
    /// finished broadcast. Returns the number of these.
    ///
    /// # Errors
    /// As [`Broadcasts::start`].
    pub async fn resume(&self, id: BroadcastId, failed: bool) -> Result<u64, BroadcastError> {
        commands::resume(&self.0, id, failed).await
    }

    /// Hands over no more messages, and takes back those that were not tried.
    ///
    /// # Errors
    /// If it is not being sent.
    pub async fn pause(&self, id: BroadcastId) -> Result<BroadcastRow, BroadcastError> {
        commands::pause(&self.0, id).await
    }

    /// Ends a broadcast, which cannot be resumed, and takes back messages that were not tried.
    ///
    /// # Errors
    /// If it has ended.
    pub async fn stop(&self, id: BroadcastId) -> Result<BroadcastRow, BroadcastError> {
        commands::stop(&self.0, id).await
    }

    /// Plans a draft, or plans a planned or paused broadcast again: recipients whose message was
    /// handed over keep their row.
    ///
    /// # Errors
    /// If it is being sent or has ended, or its template does not fit.
    pub async fn plan(&self, id: BroadcastId) -> Result<Plan, BroadcastError> {
        planner::plan(&self.0, id).await
    }

    /// The broadcast with this id or name. If several authors use the name, the operator's.
    ///
    /// # Errors
    /// If it does not exist, or the store cannot be read.
    pub async fn find(&self, text: &str) -> Result<BroadcastRow, BroadcastError> {
        self.0.find(text).await
    }

    /// The author of operators' broadcasts.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub async fn operator(&self) -> Result<PluginNo, StoreError> {
        self.0.operator().await
    }

    /// Sends until the store is closed.
    ///
    /// # Errors
    /// The store is closed, or belongs to another process.
    pub fn run(&self, heartbeat: Heartbeat) -> impl Future<Output = Result<(), StoreError>> + Send + use<> {
        sender::run(Arc::clone(&self.0), heartbeat)
    }
}
