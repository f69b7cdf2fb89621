//! The outbox: from a plugin's effect to the platform's acceptance, or a clear reason why not
//! (docs/design.md#sending).
//!
//! Every row is in the store first. A message that can leave at once is staged in state `sending`
//! and committed with the handling that asked for it, so that sending costs no write of its own;
//! the others are `queued` and claimed later. Only a row in state `sending` can be ambiguous, after
//! a crash or a lost response, and that is never guessed away: a receipt settles it, or the rules
//! do, or a person.
//!
//! One send, top to bottom: [`Outbox::stage`] and [`Outbox::release`] here, `dispatcher` (what may
//! go, claimed on disk), `send` (gate, request, what follows), `classify` (what a response means).
//! `queue` and `ambiguous` are data structures. WhatsApp's rules are the gate's, its errors the
//! channel's.

mod ambiguous;
mod classify;
mod dispatcher;
mod queue;
#[cfg(test)]
mod queue_tests;
mod send;
mod settings;
mod state;

pub use settings::{OnAmbiguous, Pace, Settings};

use crate::append::Appender;
use crate::channel::Channel;
use crate::context::{Context, Phase};
use beadle_gatekeeper::Gatekeeper;
use beadle_model::effect::{Outreach, SendEffect, SendOptions};
use beadle_model::event::Problem;
use beadle_model::{ConversationId, ConversationView, EventId, GateTrace, MessageId, PluginNo, Timestamp};
use beadle_store::step::{Appended, NewSend, OutboxRow, SendState};
use beadle_tasks::Heartbeat;
use dispatcher::SendDispatcher;
use queue::PendingSend;
use send::Sender;
use state::Shared;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The messages of one handling, on their way through its commit. Dropped, none of them goes.
#[derive(Default)]
pub(crate) struct StagedSends {
    /// Until they are released.
    outbox: Option<Outbox>,
    /// To the event's own conversation.
    here: Vec<PendingSend>,
    /// To other conversations, which the dispatcher reads.
    elsewhere: Vec<OutboxRow>,
    /// What the gate decided about each, and how it counts.
    decisions: BTreeMap<MessageId, (GateTrace, Option<Outreach>)>,
}

impl StagedSends {
    /// The rows, for the commit.
    pub fn new_sends(&self) -> Vec<NewSend> {
        let new = |row: &OutboxRow| {
            let (gate, outreach) =
                self.decisions.get(&row.message).map(|(gate, outreach)| (gate, outreach.clone())).unzip();
            NewSend {
                message: row.message,
                conversation: row.conversation,
                body: row.body.clone(),
                reply: row.reply,
                options: row.options.clone(),
                state: row.state,
                // A row that is being sent says when.
                due_at: if row.state == SendState::Sending { row.created_at } else { row.due_at },
                gate: gate.and_then(send::trace_json),
                outreach: outreach.flatten(),
            }
        };
        self.here.iter().map(|pending| &pending.row).chain(&self.elsewhere).map(new).collect()
    }
}

impl Drop for StagedSends {
    fn drop(&mut self) {
        let Some(outbox) = self.outbox.take() else { return };
        let now = outbox.context.clock.monotonic();
        let mut memory = outbox.shared.lock();
        for pending in self.here.iter().filter(|pending| pending.row.state == SendState::Sending) {
            memory.release(pending, now);
        }
        drop(memory);
        outbox.shared.wake().ring();
    }
}

/// How much there is to send.
#[derive(Clone, Debug)]
pub struct Counts {
    /// Due and in memory; a paused channel's wait on disk.
    pub waiting: usize,
    /// In flight.
    pub sending: usize,
    /// Sent without a usable response.
    pub ambiguous: usize,
    /// Channels that do not send for now, with the problem where a person has to act.
    pub paused: Vec<(Arc<str>, Option<Problem>)>,
}

/// What a channel has to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelLoad {
    /// Messages that wait in memory.
    pub waiting: usize,
    /// Whether it does not send for now.
    pub is_paused: bool,
    /// Its throughput.
    pub messages_per_second: u32,
}

/// The outbox. Cheap to clone.
#[derive(Clone)]
pub struct Outbox {
    context: Arc<Context>,
    shared: Arc<Shared>,
    sender: Sender,
}

impl Outbox {
    pub(crate) fn new(
        context: Arc<Context>,
        appender: Appender,
        gatekeeper: Gatekeeper,
        settings: Settings,
        channels: Vec<Arc<dyn Channel>>,
    ) -> Self {
        let shared = Arc::new(Shared::new(settings, &context.clock));
        let sender = Sender::new(Arc::clone(&context), appender, gatekeeper, channels, Arc::clone(&shared));
        Self { context, shared, sender }
    }

    /// The loop; it ends when the pipeline drains.
    pub(crate) fn dispatch(&self, heartbeat: Heartbeat) -> impl Future<Output = ()> + Send + use<> {
        let Self { context, shared, sender } = self.clone();
        SendDispatcher { context, shared, sender, heartbeat }.run()
    }

    /// Applies new settings. What is in flight ends as it began; a pace that did not change keeps
    /// its state.
    pub fn configure(&self, settings: Settings) {
        self.shared.configure(settings);
    }

    /// Gives each message of a handling its place: in flight where nothing is before it, else
    /// behind the others.
    pub(crate) fn stage(
        &self,
        conversation: Option<&Arc<ConversationView>>,
        event: EventId,
        plugin: PluginNo,
        sends: Vec<SendEffect>,
        now: Timestamp,
    ) -> StagedSends {
        if sends.is_empty() {
            return StagedSends::default();
        }
        let mut staged = StagedSends {
            outbox: Some(self.clone()),
            here: Vec::new(),
            elsewhere: Vec::new(),
            decisions: BTreeMap::new(),
        };
        let is_running = self.context.phase() == Phase::Running;
        let elapsed = self.context.clock.monotonic();
        let mut memory = self.shared.lock();
        for SendEffect { conversation: to, body, message, reply, options, deferred, gate, outreach } in sends {
            staged.decisions.insert(message, (gate, outreach));
            let (state, due_at) = (SendState::Queued, NewSend::AT_ONCE);
            let is_checked_again = body.is_outreach() || options != SendOptions::default();
            let send =
                NewSend { message, conversation: to, body, reply, options, state, due_at, gate: None, outreach: None };
            let row = send.into_row(Some(event), plugin, now);
            let Some(view) = conversation.filter(|view| view.id == to) else {
                staged.elsewhere.push(row);
                continue;
            };
            // Templates and Direct Send are counted when they are sent; a key or a consent may be
            // used or withdrawn by then.
            let checked_at = if is_checked_again { Timestamp::default() } else { now };
            let mut pending = PendingSend { row, view: Arc::clone(view), checked_at };
            // The second message of a handling finds the first one before it, and waits.
            if is_running && !deferred && memory.queue.start_now(&pending, elapsed) {
                pending.row.state = SendState::Sending;
            }
            staged.here.push(pending);
        }
        staged
    }

    /// The commit is done: what is in flight goes, the rest waits.
    pub(crate) fn release(&self, mut staged: StagedSends) {
        staged.outbox = None;
        let (here, elsewhere) = (std::mem::take(&mut staged.here), std::mem::take(&mut staged.elsewhere));
        let (sending, waiting): (Vec<_>, Vec<_>) =
            here.into_iter().partition(|pending| pending.row.state == SendState::Sending);
        sending.into_iter().for_each(|pending| self.sender.spawn(pending));
        if !waiting.is_empty() {
            self.shared.push(waiting);
        }
        if !elsewhere.is_empty() {
            self.shared.push_unread(elsewhere);
        }
    }

    /// What an append did to the outbox: receipts settled messages, and the host's own answers were
    /// queued.
    pub(crate) fn received(&self, appended: &Appended) {
        let now = self.context.clock.monotonic();
        appended.merged.iter().for_each(|(gone, kept)| self.join(*gone, *kept));
        if !appended.received.is_empty() {
            let mut memory = self.shared.lock();
            let settled = appended.received.iter().filter(|message| memory.received(**message, now)).count();
            drop(memory);
            if settled > 0 {
                self.shared.wake().ring();
            }
        }
        appended.failed.iter().for_each(|failed| self.sender.receipt_failed(failed, now));
        self.sender.receipts_progressed(&appended.progressed);
        if !appended.queued.is_empty() {
            self.shared.push_unread(appended.queued.clone());
        }
    }

    /// A person changed rows on disk (`dead-letters retry`): reads them.
    pub fn rescan(&self) {
        self.shared.rescan();
    }

    /// A conversation was merged into another (`contacts merge`): its waiting messages go before
    /// what the other sends from now on.
    pub fn join(&self, gone: ConversationId, kept: ConversationId) {
        let now = self.context.clock.monotonic();
        self.shared.lock().queue.join(gone, kept, now);
    }

    /// New rows, which are on disk: they wait for their turn.
    pub fn enqueue(&self, rows: Vec<OutboxRow>) {
        self.shared.push_unread(rows);
    }

    /// How much a channel has to send, and how fast it may.
    pub fn load(&self, channel: &str) -> ChannelLoad {
        let now = self.context.clock.monotonic();
        let messages_per_second = self.shared.settings().pace(channel).messages_per_second;
        let memory = self.shared.lock();
        let (waiting, is_paused) = memory.queue.load(channel, now);
        // The channels of new rows are not read yet, so that they count for each.
        ChannelLoad { waiting: waiting + memory.arrivals(), is_paused, messages_per_second }
    }

    /// Returns when nothing is in flight and every outcome is on disk.
    pub(crate) async fn drained(&self) {
        self.shared.drained().await;
    }

    /// What waits in memory, what is in flight, and what is ambiguous.
    pub fn counts(&self) -> Counts {
        let memory = self.shared.lock();
        Counts {
            waiting: memory.queue.len(),
            sending: memory.queue.in_flight(),
            ambiguous: memory.ambiguous.len(),
            paused: memory.queue.paused(self.context.clock.monotonic()),
        }
    }
}
