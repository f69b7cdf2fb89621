//! The task that sends: it hands messages to the outbox, at the rate that the channel allows and
//! that live messages leave.

use crate::commands::{self, new_send, template_problem};
use crate::context::{Context, Loaded, Wait, reason_of};
use crate::error::BroadcastError;
use crate::plan::Plan;
use crate::planner;
use crate::rules::{self, Load, Tally};
use crate::templates::{Templates, changed_template};
use beadle_gate::broadcast::BroadcastMessage;
use beadle_gate::{Check, Draft, GateVerdict};
use beadle_model::{BroadcastId, BroadcastState, ContactId, RecipientState, Timestamp};
use beadle_store::{BroadcastReason, BroadcastRow, Handover, Reader, RecipientRow, StoreError};
use beadle_tasks::Heartbeat;
use std::sync::Arc;
use std::time::Duration;

/// The interval between two batches while a broadcast is being sent.
const TICK_MS: i64 = 50;
/// The interval while it can only wait: for its channel, or for the last answers.
const IDLE_TICK_MS: i64 = 1000;
/// The longest time without a check, if the alarm does not ring. Real time.
const POLL_INTERVAL: Duration = Duration::from_secs(10);
/// The maximum number of messages that one transaction hands over.
const BATCH: u64 = 256;
/// The shortest interval at which the rules are applied.
const RULES_INTERVAL_MS: i64 = 1000;
/// The longest time until a restriction of the whole broadcast is checked again.
const MAX_WAIT_MS: i64 = 60_000;
/// The delay after an error of the store. Real time: a full disk does not follow the virtual clock.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The decisions about a batch of recipients.
#[derive(Default)]
struct Batch {
    decided: Vec<(ContactId, Handover)>,
    /// Set if the remaining recipients wait.
    wait: Option<Wait>,
    /// Set if the broadcast pauses.
    pause: Option<BroadcastReason>,
}

/// A plugin's broadcast while it is planned and started. It can be started again when this is
/// dropped, also by a panic.
struct Starting(Arc<Context>, BroadcastId);

impl Drop for Starting {
    fn drop(&mut self) {
        self.0.starting.lock().remove(&self.1);
    }
}

/// The loop.
///
/// # Errors
/// The store is closed, or belongs to another process.
pub(crate) async fn run(context: Arc<Context>, heartbeat: Heartbeat) -> Result<(), StoreError> {
    loop {
        heartbeat.beat();
        match advance(&context, &heartbeat).await {
            Ok(wake_at) => heartbeat.idle(context.wake.wait(wake_at, POLL_INTERVAL)).await,
            Err(error) if error.is_fatal() => return Err(error),
            Err(error) => {
                tracing::warn!(%error, "broadcasts not read or written, retrying");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}

/// Starts what plugins asked for, and hands over one batch of each broadcast. Returns when to call
/// it again.
async fn advance(context: &Arc<Context>, heartbeat: &Heartbeat) -> Result<Option<Timestamp>, StoreError> {
    let rows = context.store.read(Reader::active_broadcasts).await?;
    forget_inactive(context, &rows);
    let mut wake_at: Option<Timestamp> = None;
    for row in rows {
        heartbeat.beat();
        if row.wants_start {
            // Planning takes long, and other broadcasts are sent meanwhile.
            if context.starting.lock().insert(row.id) {
                let starting = Starting(Arc::clone(context), row.id);
                let context = Arc::clone(context);
                tokio::spawn(async move {
                    plan_and_start(&context, &row).await;
                    drop(starting);
                    context.wake.ring();
                });
            }
            continue;
        }
        let next = match hand_over_batch(context, heartbeat, &row).await {
            Ok(next) => next,
            Err(BroadcastError::Store(error)) if !error.is_refusal() => return Err(error),
            Err(error) => {
                // The cause is this broadcast, so the others continue.
                context.pause_for(&row, reason_of(&error)).await?;
                None
            }
        };
        wake_at = [wake_at, next].into_iter().flatten().min();
    }
    Ok(wake_at)
}

fn forget_inactive(context: &Arc<Context>, rows: &[BroadcastRow]) {
    let is_active = |id: &BroadcastId| rows.iter().any(|row| row.id == *id);
    let mut memory = context.sending.lock();
    memory.loaded.retain(|id, _| is_active(id));
    memory.rules_applied_at.retain(|id, _| is_active(id));
    memory.last_messages.retain(|id, _| is_active(id));
    context.waits.lock().retain(|id, _| is_active(id));
}

/// Plans and starts a plugin's broadcast. An error is kept for the operator.
async fn plan_and_start(context: &Arc<Context>, row: &BroadcastRow) {
    let started = async {
        if row.state == BroadcastState::Draft {
            planner::plan(context, row.id).await?;
        }
        commands::start(context, row.id).await
    };
    let Err(error) = started.await else { return };
    let reason = reason_of(&error);
    tracing::warn!(broadcast = %row.name, code = reason.code, %error, "broadcast not started");
    if let Err(error) = context.store.broadcast_not_started(row.id, reason).await {
        tracing::warn!(broadcast = %row.name, %error, "reason not stored");
    }
}

/// Hands over as many messages as the channel can send now. Returns when to call it again.
async fn hand_over_batch(
    context: &Arc<Context>,
    heartbeat: &Heartbeat,
    row: &BroadcastRow,
) -> Result<Option<Timestamp>, BroadcastError> {
    let now = context.clock.now();
    let loaded = load_active(context, row).await?;
    if loaded.definition.expires.is_some_and(|expires| expires <= now) {
        while context.store.expire_recipients(row.id).await? {
            heartbeat.beat();
        }
        return finish_or_wait(context, row, &loaded).await;
    }
    if apply_rules(context, row, &loaded).await? {
        return Ok(None);
    }
    // One that ends later was set before the clock was set back.
    let is_current = |wait: &&Wait| (1..=MAX_WAIT_MS).contains(&wait.until.since_ms(now));
    if let Some(wait) = context.waits.lock().get(&row.id).filter(is_current) {
        return Ok(Some(wait.until));
    }
    context.waits.lock().remove(&row.id);
    if context.outbox.load(&row.channel).is_paused {
        return Ok(Some(now.plus_ms(IDLE_TICK_MS)));
    }
    let count = available(context, row, now).await?.min(BATCH);
    if count == 0 {
        return Ok(Some(now.plus_ms(TICK_MS)));
    }
    let batch = decide(context, row, &loaded, now, count).await?;
    if batch.decided.is_empty() && batch.wait.is_none() && batch.pause.is_none() {
        return finish_or_wait(context, row, &loaded).await;
    }
    if !batch.decided.is_empty() {
        let rows = context.store.hand_over(row.id, row.plugin, batch.decided).await?;
        let count = rows.len() as u64;
        if !rows.is_empty() {
            context.outbox.enqueue(rows);
        }
        if let Some(pace) = context.sending.lock().paces.get_mut(&row.channel) {
            pace.take(count);
        }
    }
    if let Some(reason) = batch.pause {
        context.pause_for(row, reason).await?;
        return Ok(None);
    }
    if let Some(wait) = batch.wait {
        let until = wait.until;
        context.waits.lock().insert(row.id, wait);
        return Ok(Some(until));
    }
    Ok(Some(now))
}

async fn available(context: &Arc<Context>, row: &BroadcastRow, now: Timestamp) -> Result<u64, StoreError> {
    let (gatekeeper, channel) = (context.gatekeeper.clone(), row.channel.clone());
    let read = move |reader: &Reader| {
        Ok((reader.broadcasts_in_outbox(&channel, now)?, gatekeeper.messaging_limit(&channel, now)?))
    };
    let ((own_waiting, own_in_flight), limit) = context.store.read(read).await?;
    let load = context.outbox.load(&row.channel);
    let load = Load {
        per_second: u64::from(load.messages_per_second),
        waiting: load.waiting as u64,
        own_waiting,
        own_in_flight,
        is_paused: load.is_paused,
    };
    let monotonic = context.clock.monotonic();
    let available = {
        let mut memory = context.sending.lock();
        memory.paces.entry(row.channel.clone()).or_default().available(load, monotonic.0)
    };
    // Messages beyond the messaging limit would wait in the outbox. At least one is checked, so
    // that the gate says until when the limit is used up.
    let left = limit.map_or(u64::MAX, |(used, limit)| limit.saturating_sub(used + own_waiting).max(1));
    Ok(available.min(left))
}

/// No recipient is due: finishes the broadcast, or returns when to check it again.
async fn finish_or_wait(
    context: &Arc<Context>,
    row: &BroadcastRow,
    loaded: &Loaded,
) -> Result<Option<Timestamp>, BroadcastError> {
    let id = row.id;
    let read = move |reader: &Reader| Ok((reader.recipient_counts(id)?, reader.recipients_next_due(id)?));
    let (counts, next_due) = context.store.read(read).await?;
    let of = |state| counts.iter().filter(|count| count.state == state).map(|count| count.recipients).sum::<u64>();
    let queued = of(RecipientState::Queued);
    if of(RecipientState::Planned) > 0 {
        return Ok(Some(context.clock.now().plus_ms(IDLE_TICK_MS)));
    }
    if queued > 0 {
        // The outbox may keep the last messages for hours: as long as nothing changes, ever more
        // time passes between two looks.
        let mut memory = context.sending.lock();
        let wait = memory.last_messages.entry(id).or_default();
        let wait_ms = if wait.0 == queued { (wait.1 * 2).min(MAX_WAIT_MS) } else { IDLE_TICK_MS };
        *wait = (queued, wait_ms);
        return Ok(Some(context.clock.now().plus_ms(wait_ms)));
    }
    if let Some(due_at) = next_due {
        return Ok(loaded.definition.expires.map_or(Some(due_at), |expires| Some(due_at.min(expires))));
    }
    let states = (BroadcastState::Sending, BroadcastState::Finished);
    if context.store.move_broadcast(id, states, None).await? {
        tracing::info!(broadcast = %row.name, "broadcast finished");
    }
    Ok(None)
}

async fn load_active(context: &Arc<Context>, row: &BroadcastRow) -> Result<Arc<Loaded>, BroadcastError> {
    let id = row.id;
    if let Some(loaded) = context.sending.lock().loaded.get(&id).filter(|loaded| loaded.planned_at == row.planned_at) {
        return Ok(Arc::clone(loaded));
    }
    let found = context.store.read(move |reader| reader.broadcast_texts(id)).await?;
    let (definition, plan) = found.ok_or_else(|| BroadcastError::unknown(id))?;
    let message = BroadcastMessage::new(&definition, context.gatekeeper.template_language().as_deref())
        .map_err(BroadcastError::Invalid)?;
    let plan = plan.and_then(|json| Plan::read(&json)).unwrap_or_default();
    let loaded = Arc::new(Loaded { definition, message, plan, planned_at: row.planned_at });
    context.sending.lock().loaded.insert(id, Arc::clone(&loaded));
    Ok(loaded)
}

/// Applies the rules once a second. Returns whether they paused the broadcast.
async fn apply_rules(context: &Arc<Context>, row: &BroadcastRow, loaded: &Loaded) -> Result<bool, BroadcastError> {
    let id = row.id;
    // Monotonic: the clock may be set back.
    let now = context.clock.monotonic();
    let last = context.sending.lock().rules_applied_at.get(&id).copied();
    if last.is_some_and(|last| now.since_ms(last) < RULES_INTERVAL_MS) {
        return Ok(false);
    }
    context.sending.lock().rules_applied_at.insert(id, now);
    let channel = row.channel.clone();
    let read = move |reader: &Reader| {
        let baseline = reader.broadcast_baseline(id)?;
        let opted_out = reader.broadcast(id)?.map_or(0, |row| row.opted_out);
        Ok((reader.recipient_counts(id)?, opted_out, baseline, reader.channel_quality(&channel)?))
    };
    let (counts, opted_out, baseline, quality) = context.store.read(read).await?;
    let since = Tally::of(&counts, opted_out).since(Tally::of(&baseline.counts, baseline.opted_out));
    let settings = Arc::clone(&context.settings.read());
    let reason = rules::pause(&settings, since)
        .or_else(|| rules::pause_for_quality(baseline.quality.as_deref(), quality.as_deref()));
    if let Some(mut reason) = reason {
        reason.message = reason.message.replace("NAME", &row.name);
        context.pause_for(row, reason).await?;
        return Ok(true);
    }
    if let Some(error) = template_problem(context, row, &loaded.plan, &loaded.message).await? {
        context.pause_for(row, reason_of(&error)).await?;
        return Ok(true);
    }
    Ok(false)
}

/// Asks the gate about the recipients that are due.
async fn decide(
    context: &Arc<Context>,
    row: &BroadcastRow,
    loaded: &Arc<Loaded>,
    now: Timestamp,
    count: u64,
) -> Result<Batch, StoreError> {
    let (shared, loaded, row) = (Arc::clone(context), Arc::clone(loaded), row.clone());
    context
        .store
        .read(move |reader| {
            let due = reader.recipients_due(row.id, now, usize::try_from(count).unwrap_or(1))?;
            decide_batch(&shared, reader, &row, &loaded, due, now)
        })
        .await
}

fn decide_batch(
    context: &Context,
    reader: &Reader,
    row: &BroadcastRow,
    loaded: &Loaded,
    due: Vec<RecipientRow>,
    now: Timestamp,
) -> Result<Batch, StoreError> {
    let Loaded { definition, message, .. } = loaded;
    let templates = Templates::read(reader, &context.gatekeeper, &row.channel, message)?;
    let mut batch = Batch::default();
    if let Some(error) = changed_template(&templates, &loaded.plan, &row.name) {
        batch.pause = Some(reason_of(&error));
        return Ok(batch);
    }
    let contacts: Vec<ContactId> = due.iter().map(|recipient| recipient.contact).collect();
    let views = reader.conversations_on(&row.channel, &contacts)?;
    for (recipient, (contact, view)) in due.into_iter().zip(views) {
        let Some(view) = view else {
            batch.decided.push((contact, Handover::Refused("no-recipient".into())));
            continue;
        };
        let purpose = &definition.purpose;
        // Planning froze the language.
        let frozen = (recipient.language.as_deref().unwrap_or_default(), recipient.parameters.as_slice());
        let body = templates.prepare(message, &view, frozen, now).map(|(body, _)| body);
        let body = match body {
            Ok(body) => body,
            Err(code) => {
                batch.decided.push((contact, Handover::Refused(code.into())));
                continue;
            }
        };
        let draft = Draft { purpose: Some(purpose), expires: definition.expires, ..Draft::new(&body) };
        let decision = context.gatekeeper.ask(&draft, row.plugin, &view, now)?;
        match &decision.verdict {
            GateVerdict::Send => {
                let message = context.store.reserve_message();
                let send = new_send(message, view.id, body, purpose, &decision);
                batch.decided.push((contact, Handover::Send(Box::new(send))));
            }
            // These restrict the whole broadcast.
            GateVerdict::Later {
                until,
                check: check @ (Check::StopSwitch | Check::Budget | Check::MessagingLimit),
            } => {
                let until = Timestamp(until.0.min(now.plus_ms(MAX_WAIT_MS).0));
                batch.wait = Some(Wait { code: check.name().to_owned(), until });
                return Ok(batch);
            }
            GateVerdict::Later { until, check } => {
                batch.decided.push((contact, Handover::Held(*until, check.name().to_owned())));
            }
            GateVerdict::TemplateNeeded(_) => batch.decided.push((contact, Handover::Refused("window-closed".into()))),
            GateVerdict::Refused(refusal) if concerns_broadcast(&refusal.code) => {
                batch.pause = Some(BroadcastReason { code: refusal.code.clone(), message: refusal.message.clone() });
                return Ok(batch);
            }
            GateVerdict::Refused(refusal) => batch.decided.push((contact, Handover::Refused(refusal.code.clone()))),
        }
    }
    Ok(batch)
}

/// Whether the reason of a refusal is the broadcast, not the recipient.
fn concerns_broadcast(code: &str) -> bool {
    matches!(
        code,
        "over-budget" | "template-unknown" | "template-not-approved" | "template-paused" | "template-disabled"
    )
}
