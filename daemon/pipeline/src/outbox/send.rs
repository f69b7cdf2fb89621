//! One send: the gate's last check, the request, the platform's response, and what follows from it,
//! down to the row.
//!
//! A pending send that gets here is in flight in the queue and in state `sending` on disk. Every
//! path out of here frees its channel and settles or queues its row again; only an ambiguous send
//! stays `sending`. The queue's times are monotonic, those on disk civil.

use super::classify::{ChannelPause, ReceiptVerdict, SendVerdict, classify, classify_receipt, problem};
use super::queue::PendingSend;
use super::state::Shared;
use crate::append::{Appender, Delivery};
use crate::channel::{Advice, Channel, SendRequest, SendResponse};
use crate::context::{Context, NotStored};
use beadle_gate::{Draft, GateVerdict};
use beadle_gatekeeper::Gatekeeper;
use beadle_model::event::Problem;
use beadle_model::{Alias, AliasKind, Blame, Coded as _, GateTrace, MessageId, PluginNo, Timestamp};
use beadle_store::StoreError;
use beadle_store::step::{FailedReceipt, SendOutcome, SendState, Settlement};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// The gate's verdict holds for this long: half of the margin that it leaves before the end of a
/// window. Only a commit that waited for the disk takes longer, from a plugin's call to its send.
const GATE_HOLDS_MS: i64 = beadle_gate::WINDOW_MARGIN_MS / 2;

/// Why a pending send does not go now.
pub(crate) enum NotNow {
    /// The gate decided so, for these reasons (as JSON), or it has no destination.
    Settled(Box<SendOutcome>, Option<String>),
    /// The store could not be read; try again.
    Unreadable(StoreError),
}

/// Sends. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Sender(Arc<Inner>);

struct Inner {
    context: Arc<Context>,
    appender: Appender,
    gatekeeper: Gatekeeper,
    channels: HashMap<Arc<str>, Arc<dyn Channel>>,
    shared: Arc<Shared>,
    /// Outcomes that go to the store together.
    outcomes: Mutex<Vec<Settlement>>,
}

impl Sender {
    pub fn new(
        context: Arc<Context>,
        appender: Appender,
        gatekeeper: Gatekeeper,
        channels: Vec<Arc<dyn Channel>>,
        shared: Arc<Shared>,
    ) -> Self {
        let channels = channels.into_iter().map(|channel| (Arc::from(channel.name()), channel)).collect();
        Self(Arc::new(Inner { context, appender, gatekeeper, channels, shared, outcomes: Mutex::default() }))
    }

    /// Sends a message that is in flight in the queue and `sending` on disk.
    pub fn spawn(&self, pending: PendingSend) {
        let sender = self.clone();
        self.0.shared.send_began();
        let work = self.0.context.clock.work();
        tokio::spawn(async move {
            let _work = work;
            sender.send(pending).await;
            sender.0.shared.send_ended();
        });
    }

    async fn send(&self, mut pending: PendingSend) {
        let clock = &self.0.context.clock;
        // A check from the future was made before the clock was set back.
        let is_recent = (0..=GATE_HOLDS_MS).contains(&clock.now().since_ms(pending.checked_at));
        // Checked again after a withdrawal, and always for templates, Direct Send and messages with
        // a purpose or a key, whose verdict counts as old (`Outbox::stage`).
        if !is_recent || self.0.context.store.restricted_at() >= pending.checked_at {
            match self.check_until_readable(pending).await {
                Some(checked) => pending = checked,
                None => return,
            }
        }
        let mut response = self.request(&pending).await;
        if let SendResponse::Accepted(accepted) = &mut response
            && !accepted.events.is_empty()
            && !self.append_reported(std::mem::take(&mut accepted.events)).await
        {
            return;
        }
        self.0.context.health.responded(&response);
        let verdict = classify(response, &pending.row.body, pending.row.attempts);
        self.follow(pending, verdict).await;
    }

    /// The gate once more, with the conversation as it is now. `None`: the gate stopped it, or the
    /// pipeline is stopping.
    async fn check_until_readable(&self, pending: PendingSend) -> Option<PendingSend> {
        let context = &self.0.context;
        let checked = context.until_stored(|| {
            let (sender, pending, now) = (self.clone(), pending.clone(), context.clock.now());
            context.store.read(move |_| match sender.check(&pending, now) {
                Ok(checked) => Ok(Ok(checked)),
                Err(NotNow::Settled(outcome, gate)) => Ok(Err((*outcome, gate))),
                Err(NotNow::Unreadable(error)) => Err(error),
            })
        });
        let (stopped, gate) = match checked.await {
            Ok(Ok(checked)) => return Some(checked),
            Ok(Err(outcome)) => outcome,
            Err(NotStored::Stopping) => return None,
            Err(NotStored::Refused(error)) => (Self::conversation_unreadable(&error), None),
        };
        self.0.shared.lock().release(&pending, context.clock.monotonic());
        self.settle_explained(vec![(pending, stopped, gate)]).await;
        self.0.shared.wake().ring();
        None
    }

    /// Asks the gate, with the conversation as it is now.
    pub fn check(&self, pending: &PendingSend, now: Timestamp) -> Result<PendingSend, NotNow> {
        let PendingSend { row, .. } = pending;
        let view = match self.0.context.store.reader().conversation(row.conversation) {
            Ok(Some(view)) => view,
            Ok(None) => return Err(NotNow::Settled(Box::new(Self::conversation_gone()), None)),
            Err(error @ StoreError::Unreadable { .. }) => {
                return Err(NotNow::Settled(Box::new(Self::conversation_unreadable(&error)), None));
            }
            Err(error) => return Err(NotNow::Unreadable(error)),
        };
        let (host, message) = (row.plugin == PluginNo::HOST, Some(row.message));
        let draft = Draft { host, reply: row.reply, message, ..Draft::with(&row.body, &row.options) };
        let decision = match self.0.gatekeeper.ask(&draft, row.plugin, &view, now) {
            Ok(decision) => decision,
            Err(error @ StoreError::Unreadable { .. }) => {
                return Err(NotNow::Settled(Box::new(Self::conversation_unreadable(&error)), None));
            }
            Err(error) => return Err(NotNow::Unreadable(error)),
        };
        let outcome = match decision.verdict {
            GateVerdict::Send => return Ok(PendingSend { row: row.clone(), view: Arc::new(view), checked_at: now }),
            GateVerdict::Later { until, .. } => {
                let possibly_duplicate = row.possibly_duplicate;
                SendOutcome::Later { due_at: until, counted: false, possibly_duplicate }
            }
            GateVerdict::Refused(refusal) | GateVerdict::TemplateNeeded(refusal) => {
                let (code, title, details) = (refusal.code, refusal.message, refusal.instead);
                SendOutcome::Failed(Problem { code, title, details, by: "host".into() })
            }
        };
        Err(NotNow::Settled(Box::new(outcome), trace_json(&decision.trace)))
    }

    /// The outcome of a message whose conversation is gone.
    pub fn conversation_gone() -> SendOutcome {
        SendOutcome::Failed(no_recipient("The conversation no longer exists", String::new()))
    }

    /// The outcome of a message whose conversation this version cannot read: a later one may.
    pub fn conversation_unreadable(error: &StoreError) -> SendOutcome {
        SendOutcome::Dead(problem(error.code(), "The conversation cannot be read", error.to_string()))
    }

    async fn request(&self, PendingSend { row, view, .. }: &PendingSend) -> SendResponse {
        let Some(channel) = self.0.channels.get(&view.channel) else {
            let problem = problem("unknown-channel", "The channel is not configured", view.channel.as_ref());
            return SendResponse::Refused(problem, Advice::Fail);
        };
        let group_itself = || view.group.clone().map(|value| Alias { kind: AliasKind::WaId, value });
        let Some(to) = view.address.clone().or_else(group_itself) else {
            let problem = no_recipient("The contact has no known address", view.contact.id.to_string());
            return SendResponse::Refused(problem, Advice::Fail);
        };
        let callback = format!("{}@{}", row.message, self.0.context.store.install());
        let request =
            SendRequest { message: row.message, to, group: view.group.clone(), body: row.body.clone(), callback };
        channel.send(&request).await
    }

    /// What a response reported becomes events before the message counts as accepted. `false`: the
    /// pipeline is stopping.
    async fn append_reported(&self, events: Vec<beadle_store::step::NewEvent>) -> bool {
        let delivery = Delivery { events, ..Delivery::default() };
        match self.0.context.until_stored(|| self.0.appender.append(delivery.clone())).await {
            Ok(appended) => {
                if !appended.queued.is_empty() {
                    self.0.shared.push_unread(appended.queued);
                }
                true
            }
            Err(NotStored::Stopping) => false,
            Err(NotStored::Refused(error)) => {
                tracing::error!(%error, "events in a response could not be stored");
                true
            }
        }
    }

    /// What the verdict means for the queue, the channel and the row.
    async fn follow(&self, mut pending: PendingSend, verdict: SendVerdict) {
        let Inner { context, shared, .. } = &*self.0;
        let (now, channel) = (context.clock.monotonic(), Arc::clone(&pending.view.channel));
        let possibly_duplicate = pending.row.possibly_duplicate;
        if matches!(verdict, SendVerdict::Settle(_) | SendVerdict::Retry { .. }) {
            self.channel_works(&pending, now);
        }
        match verdict {
            SendVerdict::Settle(outcome) => {
                let others_wait = {
                    let mut memory = shared.lock();
                    memory.release(&pending, now);
                    memory.queue.others_wait()
                };
                if others_wait {
                    shared.wake().ring();
                }
                self.settle_soon(Settlement {
                    message: pending.row.message,
                    outcome,
                    at: context.clock.now(),
                    gate: None,
                });
                return;
            }
            SendVerdict::Retry { after_ms, counted, blocks: true } => {
                shared.lock().queue.send_ended(&channel);
                self.requeue(&mut pending, counted).await;
                shared.lock().queue.put_back(pending, now.plus_ms(after_ms), now);
            }
            SendVerdict::Retry { after_ms, counted, blocks: false } => {
                shared.lock().release(&pending, now);
                let due_at = context.clock.now().plus_ms(after_ms);
                self.settle(vec![(pending, SendOutcome::Later { due_at, counted, possibly_duplicate })]).await;
            }
            SendVerdict::Pause(pause) => {
                shared.lock().queue.send_ended(&channel);
                let pause_ms = shared.lock().queue.pause(&channel, &pause, now);
                log_pause(&channel, &pause, pause_ms);
                self.requeue(&mut pending, false).await;
                shared.lock().queue.put_back(pending, now, context.clock.monotonic());
            }
            SendVerdict::PauseApp(pause) => {
                shared.lock().queue.send_ended(&channel);
                for channel in self.of_same_app(&channel) {
                    let pause_ms = shared.lock().queue.pause_with_app(&channel, &pause, now);
                    log_pause(&channel, &pause, pause_ms);
                }
                self.requeue(&mut pending, false).await;
                shared.lock().queue.put_back(pending, now, context.clock.monotonic());
            }
            SendVerdict::HoldOutreach(problem) => {
                shared.lock().release(&pending, now);
                let due_at = self.hold_outreach(&channel, &problem);
                let outcome = if pending.row.body.is_outreach() {
                    SendOutcome::Later { due_at, counted: false, possibly_duplicate }
                } else {
                    SendOutcome::Failed(problem)
                };
                self.settle(vec![(pending, outcome)]).await;
            }
            SendVerdict::Ambiguous(reason) => {
                let message = pending.row.message;
                tracing::warn!(id = %message, %channel, error = reason, "send is ambiguous: waiting for a receipt");
                let mut memory = shared.lock();
                memory.queue.send_ended(&channel);
                // Others would meet the same silence: one at a time, until one is answered.
                let silence = problem("platform-no-response", "The platform did not answer", reason.clone());
                memory.queue.pause(&channel, &ChannelPause::Short(silence), now);
                memory.ambiguous.insert(pending, now, reason);
            }
        }
        shared.wake().ring();
    }

    /// Queued again at its own place: first on disk, so that a crash does not leave it ambiguous.
    /// The caller puts it back to the head of its conversation.
    async fn requeue(&self, pending: &mut PendingSend, counted: bool) {
        let due_at = pending.row.due_at;
        let outcome = SendOutcome::Later { due_at, counted, possibly_duplicate: pending.row.possibly_duplicate };
        let (message, at) = (pending.row.message, self.0.context.clock.now());
        self.write_outcomes(vec![Settlement { message, outcome, at, gate: None }]).await;
        pending.row.attempts += u32::from(counted);
        pending.row.state = SendState::Queued;
    }

    /// A receipt reports that a message failed which the platform had accepted. Of several reasons,
    /// each is counted and logged, and the gravest decides.
    pub fn receipt_failed(&self, failed: &FailedReceipt, now: Timestamp) {
        let Inner { context, channels, shared, .. } = &*self.0;
        let name: Arc<str> = failed.channel.as_str().into();
        let unknown = || problem("unknown", "The platform gives no reason", "");
        let mut gravest = (failed.problem.clone().unwrap_or_else(unknown), Advice::Fail);
        for problem in std::iter::once(gravest.0.clone()).chain(failed.further_problems.clone()) {
            let (advice, blame) =
                channels.get(&name).map_or((Advice::Fail, Blame::Remote), |channel| channel.assess(&problem));
            log_failed_receipt(failed, &problem, advice, blame);
            context.health.message_failed(&problem.code);
            if advice > gravest.1 {
                gravest = (problem, advice);
            }
        }
        let (problem, advice) = gravest;
        let mut memory = shared.lock();
        match classify_receipt(problem, advice) {
            ReceiptVerdict::Continue => return,
            ReceiptVerdict::SlowRecipient { pause_ms } => {
                memory.queue.slow(failed.conversation, &name, now.plus_ms(pause_ms), now);
            }
            ReceiptVerdict::HoldOutreach(problem) => {
                drop(memory);
                self.hold_outreach(&name, &problem);
                return;
            }
            ReceiptVerdict::Pause(pause) => {
                let paused = memory.queue.pause_by_receipt(&name, &pause, false, now);
                paused.into_iter().for_each(|pause_ms| log_pause(&name, &pause, pause_ms));
            }
            ReceiptVerdict::PauseApp(pause) => {
                for channel in self.of_same_app(&name) {
                    let paused = memory.queue.pause_by_receipt(&channel, &pause, true, now);
                    paused.into_iter().for_each(|pause_ms| log_pause(&channel, &pause, pause_ms));
                }
            }
        }
        drop(memory);
        shared.wake().ring();
    }

    /// What the business sends first on a channel waits. Returns until when.
    fn hold_outreach(&self, channel: &Arc<str>, problem: &Problem) -> Timestamp {
        let (hold, is_new) = self.0.gatekeeper.hold_outreach(channel, problem, self.0.context.clock.now());
        let (Problem { code, title, .. }, until) = (problem, hold.until);
        // Many messages are refused at once.
        if is_new {
            tracing::error!(%channel, code, title, %until, "templates and Direct Send wait; review what the number sends");
            let (store, work, channel) =
                (self.0.context.store.clone(), self.0.context.clock.work(), Arc::clone(channel));
            tokio::spawn(async move {
                let _work = work;
                if let Err(error) = store.keep_outreach_hold(channel.to_string(), hold).await {
                    tracing::warn!(%channel, %error, "templates and Direct Send would not wait after a restart");
                }
            });
        }
        until
    }

    /// Receipts report that these messages went on: a channel that a receipt had stopped works
    /// again if one of them was sent since.
    pub fn receipts_progressed(&self, messages: &[MessageId]) {
        let mut memory = self.0.shared.lock();
        let recovered = memory.queue.trials_succeeded(messages);
        for (channel, with_app) in &recovered {
            tracing::info!(%channel, "channel works again");
            if *with_app {
                self.of_same_app(channel).iter().for_each(|channel| memory.queue.app_recovered(channel));
            }
        }
        drop(memory);
        if !recovered.is_empty() {
            self.0.shared.wake().ring();
        }
    }

    fn channel_works(&self, pending: &PendingSend, now: Timestamp) {
        let mut memory = self.0.shared.lock();
        if memory.queue.succeeded(pending, now) {
            self.of_same_app(&pending.view.channel).iter().for_each(|channel| memory.queue.app_recovered(channel));
        }
    }

    /// Writes what became of a send, together with the others that end before the runtime has taken
    /// up the tasks that are ready now: an outcome alone costs as much as its row.
    fn settle_soon(&self, settlement: Settlement) {
        self.0.shared.send_began();
        let is_first = {
            let mut outcomes = self.0.outcomes.lock();
            outcomes.push(settlement);
            outcomes.len() == 1
        };
        if !is_first {
            return;
        }
        let (sender, work) = (self.clone(), self.0.context.clock.work());
        tokio::spawn(async move {
            let _work = work;
            tokio::task::yield_now().await;
            let outcomes = std::mem::take(&mut *sender.0.outcomes.lock());
            let count = outcomes.len();
            sender.write_outcomes(outcomes).await;
            (0..count).for_each(|_| sender.0.shared.send_ended());
        });
    }

    /// Writes what became of sends that are no longer in flight, until the store takes it; deferred
    /// ones are read from disk when they are due.
    pub async fn settle(&self, outcomes: Vec<(PendingSend, SendOutcome)>) {
        let outcomes = outcomes.into_iter().map(|(pending, outcome)| (pending, outcome, None));
        self.settle_explained(outcomes.collect()).await;
    }

    /// The same for what the gate stopped, with its reasons.
    pub async fn settle_explained(&self, outcomes: Vec<(PendingSend, SendOutcome, Option<String>)>) {
        let at = self.0.context.clock.now();
        let mut deferred = Vec::new();
        let settlements = outcomes.into_iter().map(|(PendingSend { row, view, .. }, outcome, gate)| {
            if let SendOutcome::Later { due_at, .. } = outcome {
                deferred.push((Arc::clone(&view.channel), row.message, due_at));
            }
            Settlement { message: row.message, outcome, at, gate }
        });
        let settlements = settlements.collect();
        self.write_outcomes(settlements).await;
        if deferred.is_empty() {
            return;
        }
        let mut memory = self.0.shared.lock();
        for (channel, message, due_at) in deferred {
            memory.queue.defer(&channel, message, due_at);
        }
        drop(memory);
        self.0.shared.wake().ring();
    }

    /// Writes what became of sends. Returns when it is on disk, or the pipeline stops.
    pub async fn write_outcomes(&self, settlements: Vec<Settlement>) {
        let context = &self.0.context;
        for Settlement { message, outcome, .. } in &settlements {
            if let SendOutcome::Failed(problem) | SendOutcome::Dead(problem) = outcome {
                let is_dead_letter = matches!(outcome, SendOutcome::Dead(_));
                log_failure(*message, problem, is_dead_letter);
                context.health.message_failed(&problem.code);
            }
        }
        let Err(refused) = self.write(settlements.clone()).await else { return };
        if settlements.len() == 1 {
            tracing::error!(error = %refused, "outcome of a send refused by the database: ambiguous at the next start");
            return;
        }
        // One of them was refused, and nothing was written.
        for settlement in settlements {
            let message = settlement.message;
            if let Err(error) = self.write(vec![settlement]).await {
                tracing::error!(id = %message, %error, "outcome of a send refused by the database: ambiguous at the next start");
            }
        }
    }

    /// `Err`: the store refused them for good.
    async fn write(&self, settlements: Vec<Settlement>) -> Result<(), StoreError> {
        let context = &self.0.context;
        let interest = self.0.appender.subscriptions.borrow().interest().clone();
        match context.until_stored(|| context.store.settle(settlements.clone(), interest.clone())).await {
            Ok(settled) if settled.deferred > 0 => context.until_deferred_is_written().await,
            Ok(_) | Err(NotStored::Stopping) => {}
            Err(NotStored::Refused(error)) => return Err(error),
        }
        Ok(())
    }

    /// The channels that share an app with this one, and itself.
    fn of_same_app(&self, name: &Arc<str>) -> Vec<Arc<str>> {
        let channels = &self.0.channels;
        let app = channels.get(name).map(|channel| channel.app().to_owned()).unwrap_or_default();
        let is_same = |(other, channel): &(&Arc<str>, &Arc<dyn Channel>)| {
            *other == name || (!app.is_empty() && channel.app() == app)
        };
        channels.iter().filter(is_same).map(|(name, _)| Arc::clone(name)).collect()
    }
}

/// What the gate decided, as it is stored.
pub(super) fn trace_json(trace: &GateTrace) -> Option<String> {
    // It can be written: texts, numbers and lists.
    serde_json::to_string(trace).ok()
}

fn no_recipient(title: &str, details: String) -> Problem {
    problem("no-recipient", title, details)
}

fn log_failure(message: MessageId, Problem { code, title, details, .. }: &Problem, is_dead_letter: bool) {
    let details = details.as_deref().unwrap_or("");
    if is_dead_letter {
        tracing::warn!(id = %message, code, title, details, "message given up: dead letter");
    } else {
        tracing::warn!(id = %message, code, title, details, "message refused");
    }
}

/// The level says whose problem it is. A pause has its own line ([`log_pause`]), which is an error
/// where an operator must act; what concerns the recipient alone (no WhatsApp, too much marketing)
/// is part of normal operation.
fn log_failed_receipt(failed: &FailedReceipt, problem: &Problem, advice: Advice, blame: Blame) {
    let FailedReceipt { message, channel, .. } = failed;
    let Problem { code, title, details, .. } = problem;
    let details = details.as_deref().unwrap_or("");
    match (advice, blame) {
        (Advice::Fail | Advice::Retry { .. }, Blame::Remote) => {
            tracing::info!(id = %message, %channel, code, title, details, "message failed after acceptance");
        }
        (Advice::Fail | Advice::Retry { .. }, _) => {
            tracing::warn!(id = %message, %channel, code, title, details, "message failed after acceptance");
        }
        _ => tracing::debug!(id = %message, %channel, code, title, details, "message failed after acceptance"),
    }
}

fn log_pause(channel: &Arc<str>, pause: &ChannelPause, pause_ms: i64) {
    match pause {
        ChannelPause::Short(Problem { code, title, .. }) => {
            tracing::warn!(%channel, code, title, pause_ms, "channel pauses");
        }
        ChannelPause::Stopped(Problem { code, title, details, .. }) => {
            let details = details.as_deref().unwrap_or("");
            tracing::error!(%channel, code, title, details, "channel stopped until the operator acts");
        }
    }
}
