//! `beadle why ID`: what happened to an event, a message, a handling, a contact or a rejected
//! webhook, in the order of cause and effect.
//!
//! Everything is read from the store, also what the gate decided, with the facts of that time;
//! except what begins with `now:`: what it would decide about a message that has not left, and the
//! state of the channel.

use super::context::Admin;
use super::data::{Names, ending, event_row, message_row, pause_of, read, receipts};
use super::failure::ApiError;
use super::outcome::Outcomes;
use crate::api::{Step, Why};
use axum::Json;
use axum::extract::{Path, State};
use beadle_gate::Draft;
use beadle_gatekeeper::Gatekeeper;
use beadle_model::event::Problem;
use beadle_model::text::counted;
use beadle_model::{CheckOutcome, GateTrace, PluginNo, Timestamp, TraceStep};
use beadle_pipeline::Stage;
use beadle_store::Reader;
use beadle_store::step::SendState;
use beadle_store::views::{
    ContactDetails, DeadLetter, EventDetails, EventFilter, EventState, OutboxDetails, RefusedMessage, Trace,
};
use std::collections::HashMap;
use std::sync::Arc;

/// The number of latest events shown of a contact.
const EVENTS_OF_CONTACT: usize = 20;

/// The number of latest refused messages shown of a contact.
const REFUSED_OF_CONTACT: usize = 5;

/// The number of latest broadcasts shown of a contact.
const BROADCASTS_OF_CONTACT: usize = 20;

/// `GET /why/{id}`
pub async fn why(State(admin): State<Arc<Admin>>, Path(id): Path<String>) -> Result<Json<Why>, ApiError> {
    let now = admin.clock.now();
    let (paused, gatekeeper) = (admin.pipeline.outbox().counts().paused, admin.gatekeeper.clone());
    let stages = admin.entries().iter().map(|entry| (entry.no, entry.config.stage)).collect();
    let answer = read(&admin, move |reader, names| {
        let (gatekeeper, stages) = (&gatekeeper, &stages);
        let mut trace = TraceBuilder { reader, names, stages, gatekeeper, paused: &paused, now, steps: Vec::new() };
        match reader.trace(&id)?.ok_or_else(|| ApiError::not_found("event, message, handling or contact", &id))? {
            Trace::Contact(contact) => trace.contact(&contact, &id)?,
            Trace::Webhook(webhook) => trace.webhook(&webhook),
            Trace::Event(event) => trace.event(&event)?,
            Trace::Message { message, event } => {
                if let Some(event) = event {
                    trace.origin(&event)?;
                }
                trace.message(&message)?;
            }
        }
        Ok(Why { now: now.as_ms(), id, steps: trace.steps })
    });
    Ok(Json(answer.await?))
}

/// What the gate decided, in a sentence.
fn gate_verdict(gate: &GateTrace) -> String {
    let refusal = gate.steps.iter().find_map(|step| match &step.outcome {
        CheckOutcome::Refused(refusal) => Some(format!("refused by {} ({})", step.check, refusal.code)),
        _ => None,
    });
    let later = || {
        let times = gate.steps.iter().filter_map(|step| match step.outcome {
            CheckOutcome::Later(until) => Some((until, step)),
            _ => None,
        });
        times
            .max_by_key(|(until, _)| *until)
            .map(|(until, step)| format!("not before {}, by {}", until.utc(), step.check))
    };
    refusal.or_else(later).unwrap_or_else(|| "may be sent".into())
}

/// One check of the gate.
pub fn gate_step(step: &TraceStep) -> String {
    let verdict = match &step.outcome {
        CheckOutcome::Pass => "",
        CheckOutcome::Later(_) => "later: ",
        CheckOutcome::Refused(_) => "refuses: ",
    };
    format!("{verdict}{}", step.text())
}

/// A message that the gate refused when a plugin asked for it, without the name of the plugin.
fn refused_ask(refused: &RefusedMessage) -> String {
    let what = match refused.kind.as_str() {
        "text" => "a text".to_owned(),
        kind if kind.starts_with("template ") => kind.to_owned(),
        kind => format!("a message ({kind})"),
    };
    let to = refused.contact.map_or_else(|| refused.conversation.to_string(), |contact| contact.to_string());
    let purpose = refused.purpose.as_ref().map(|purpose| format!(" for {purpose}")).unwrap_or_default();
    let verdict = refused.gate.as_ref().map_or_else(|| format!("refused ({})", refused.code), gate_verdict);
    let reason = refused.gate.iter().flat_map(|gate| &gate.steps).find_map(|step| match &step.outcome {
        CheckOutcome::Refused(refusal) => Some(format!(": {}", refusal.message)),
        _ => None,
    });
    format!("asked for {what} to {to}{purpose}: {verdict}{}", reason.unwrap_or_default())
}

/// The state of a message and the requests that were made for it.
fn state_of(state: SendState, attempts: u32) -> String {
    let count = counted(attempts.into(), "attempt", "attempts");
    match (state, attempts) {
        (SendState::Queued, 0) => "queued".into(),
        (SendState::Queued, _) => format!("queued, {count}"),
        (SendState::Sending, _) => format!("being sent, attempt {attempts}"),
        (SendState::Accepted, _) => format!("accepted by WhatsApp after {count}"),
        (SendState::Failed, 0) => "failed before the first attempt".into(),
        (SendState::Failed, _) => format!("failed after {count}"),
        (SendState::Dead, _) => format!("given up after {count}"),
        (SendState::Dropped, _) => format!("dropped after {count}"),
    }
}

struct TraceBuilder<'a> {
    reader: &'a Reader,
    names: &'a Names,
    stages: &'a HashMap<PluginNo, Stage>,
    gatekeeper: &'a Gatekeeper,
    paused: &'a [(Arc<str>, Option<Problem>)],
    now: Timestamp,
    steps: Vec<Step>,
}

impl TraceBuilder<'_> {
    fn add(&mut self, at: Option<i64>, object: impl Into<String>, text: impl Into<String>) {
        self.steps.push(Step { at, object: object.into(), text: text.into() });
    }

    /// The event and its receipt.
    fn origin(&mut self, details: &EventDetails) -> Result<(), ApiError> {
        let row = event_row(self.reader, self.names, &details.row)?;
        let from = row.contact.map(|contact| format!(" from {contact}")).unwrap_or_default();
        let on = row.channel.map(|channel| format!(" on {channel}")).unwrap_or_default();
        self.add(Some(row.happened_at), &row.id, format!("{}{from}{on}: {}", row.kind, row.summary));
        self.add(Some(row.received_at), row.id, "was received and stored");
        Ok(())
    }

    fn event(&mut self, details: &EventDetails) -> Result<(), ApiError> {
        self.origin(details)?;
        self.opt_out(details)?;
        let (id, row) = (details.row.id.to_string(), &details.row);
        let has_ended = row.ending.is_some() || row.state == EventState::Finished;
        if details.subscribers.is_empty() {
            let text = if has_ended { "no plugin is subscribed" } else { "no plugin has handled it yet" };
            self.add(None, &id, text);
        }
        let outcomes = Outcomes { event: details, names: self.names, stages: self.stages };
        for plugin in &details.subscribers {
            self.add(None, self.names.name(*plugin), outcomes.of(*plugin));
        }
        if has_ended {
            self.add(None, id, format!("ended: {}", ending(self.names, row.ending, row.state)));
        }
        for refused in &details.refused {
            let plugin = self.names.name(refused.plugin);
            self.add(Some(refused.at.as_ms()), plugin, refused_ask(refused));
            for step in refused.gate.iter().flat_map(|gate| &gate.steps) {
                self.add(None, format!("gate {}", step.check), gate_step(step));
            }
            if refused.further > 0 {
                let count = counted(refused.further, "further message was", "further messages were");
                self.add(None, self.names.name(refused.plugin), format!("{count} refused"));
            }
        }
        details.sends.iter().try_for_each(|send| self.message(send))
    }

    /// Why a plugin's message was refused without a row in the outbox: the contact had sent STOP
    /// before.
    fn opt_out(&mut self, details: &EventDetails) -> Result<(), ApiError> {
        let Some(conversation) = details.row.conversation else { return Ok(()) };
        let Some(conversation) = self.reader.conversation(conversation)? else { return Ok(()) };
        let contact = conversation.contact;
        let is_before = |since: &Timestamp| details.row.contact == Some(contact.id) && *since < details.row.happened_at;
        if let Some(since) = contact.opted_out_since.filter(is_before) {
            let text = "had sent STOP: messages to them are refused (opted-out)";
            self.add(Some(since.as_ms()), contact.id.to_string(), text);
        }
        Ok(())
    }

    fn message(&mut self, details: &OutboxDetails) -> Result<(), ApiError> {
        let row = message_row(self.names, details);
        match self.reader.broadcast_of_message(details.row.message)? {
            Some((id, name)) => {
                self.add(Some(row.created_at), &row.id, format!("part of broadcast {name} ({id}): {}", row.summary));
            }
            None => {
                let purpose = details.row.options.purpose.as_ref();
                let purpose = purpose.map(|purpose| format!(" for {purpose}")).unwrap_or_default();
                let text = format!("requested by {}{purpose}: {}", row.plugin, row.summary);
                self.add(Some(row.created_at), &row.id, text);
            }
        }
        if let Some(gate) = &details.gate {
            let when = if gate.leaving { "about to leave" } else { "requested" };
            self.add(Some(gate.at.as_ms()), format!("gate, when {when}"), gate_verdict(gate));
            for step in &gate.steps {
                self.add(None, format!("gate {}", step.check), gate_step(step));
            }
        }
        self.present_obstacles(details)?;
        let duplicate = if row.possibly_duplicate { ", WhatsApp may have received it twice" } else { "" };
        self.add(Some(row.due_at), &row.id, format!("{}{duplicate}", state_of(details.row.state, row.attempts)));
        if let Some(id) = &row.platform_id {
            // The whole id contains the person's number.
            let tail: String = id.chars().skip(id.chars().count().saturating_sub(8)).collect();
            self.add(None, &row.id, format!("WhatsApp's id ends with {tail}"));
        }
        if let Some(at) = details.held_at {
            let text = "held by WhatsApp for a quality assessment";
            let next = if receipts(details).is_empty() { ": it is sent later, or fails (132015)" } else { "" };
            self.add(Some(at.as_ms()), &row.id, format!("{text}{next}"));
        }
        for (name, at) in receipts(details) {
            self.add(Some(at), &row.id, format!("receipt: {name}"));
        }
        if let Some(problem) = &row.problem {
            self.add(None, &row.id, format!("{} ({})", problem.message, problem.code));
        }
        Ok(())
    }

    /// What the gate and the channel say now. They say nothing about a message that was sent or has
    /// failed.
    fn present_obstacles(&mut self, details: &OutboxDetails) -> Result<(), ApiError> {
        if matches!(details.row.state, SendState::Accepted | SendState::Failed | SendState::Dropped) {
            return Ok(());
        }
        let Some(conversation) = self.reader.conversation(details.row.conversation)? else { return Ok(()) };
        let row = &details.row;
        let (host, message) = (row.plugin == PluginNo::HOST, Some(row.message));
        let draft = Draft { host, reply: row.reply, message, ..Draft::with(&row.body, &row.options) };
        let present = self.gatekeeper.explain(&draft, row.plugin, &conversation, self.now)?;
        for step in &present.steps {
            self.add(None, format!("gate {}", step.check), format!("now: {}", gate_step(step)));
        }
        let pause = pause_of(self.paused, &conversation.channel).unwrap_or_else(|| "open".into());
        self.add(None, format!("channel {}", conversation.channel), format!("now: {pause}"));
        Ok(())
    }

    fn webhook(&mut self, dead_letter: &DeadLetter) {
        let id = dead_letter.reference.to_string();
        let webhook = dead_letter.webhook.as_ref();
        let size = webhook.map(|webhook| format!(" for {}, {} bytes", webhook.app, webhook.bytes)).unwrap_or_default();
        let times = counted(dead_letter.attempts.into(), "time", "times");
        self.add(Some(dead_letter.at.as_ms()), &id, format!("received{size}, {times}"));
        self.add(None, &id, format!("could not be parsed: {} ({})", dead_letter.error, dead_letter.code));
        if let Some(at) = dead_letter.retried_at {
            self.add(Some(at.as_ms()), &id, "was parsed again without success");
        }
        let text = format!(
            "is a dead letter; run `beadle dead-letters show {id}`, then `beadle dead-letters retry {id}` or \
             `beadle dead-letters drop {id}`"
        );
        self.add(None, id, text);
    }

    fn contact(&mut self, details: &ContactDetails, requested: &str) -> Result<(), ApiError> {
        let contact = &details.contact;
        let text = contact.id.to_string();
        if requested != text {
            self.add(None, requested, format!("was merged into {text}"));
        }
        self.add(Some(contact.created_at.as_ms()), &text, "contact created");
        if let Some(since) = contact.member_since {
            self.add(Some(since.as_ms()), &text, "became a member");
        }
        if let Some(since) = contact.opted_out_since {
            self.add(Some(since.as_ms()), &text, "sent STOP: no messages until they send START");
        }
        if let Some((at, code)) = self.reader.unreachable(contact.id, self.now)? {
            let reason =
                format!("WhatsApp could not deliver to them ({code}): no templates until they write (unreachable)");
            self.add(Some(at.as_ms()), &text, reason);
        }
        for conversation in &details.conversations {
            let text = match conversation.window_until {
                Some(until) if until > self.now => {
                    format!("window on {} open until {}", conversation.channel, until.utc())
                }
                Some(until) => format!("window on {} closed at {}", conversation.channel, until.utc()),
                None => format!("no window on {} yet", conversation.channel),
            };
            self.add(conversation.last_inbound_at.map(|at| at.as_ms()), conversation.id.to_string(), text);
        }
        let filter = EventFilter { contact: Some(contact.id), limit: EVENTS_OF_CONTACT, ..EventFilter::default() };
        for row in self.reader.events(&filter)?.iter().rev() {
            let row = event_row(self.reader, self.names, row)?;
            self.add(Some(row.happened_at), &row.id, format!("{}: {}, {}", row.kind, row.summary, row.ending));
        }
        for refused in self.reader.refused_messages(contact.id, REFUSED_OF_CONTACT)?.iter().rev() {
            let text = format!("{} {}", self.names.name(refused.plugin), refused_ask(refused));
            self.add(Some(refused.at.as_ms()), refused.event.to_string(), text);
        }
        let broadcasts = self.reader.broadcasts_of(contact.id)?;
        for (id, name, row) in broadcasts.iter().skip(broadcasts.len().saturating_sub(BROADCASTS_OF_CONTACT)) {
            let code = row.code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
            let message = row.message.map(|message| format!(", {message}")).unwrap_or_default();
            let text = format!("broadcast {name}: {}{code}{message}", row.state.name());
            self.add(row.sent_at.map(|at| at.as_ms()), id.to_string(), text);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::state_of;
    use beadle_store::step::SendState;

    #[test]
    fn message_in_a_final_state_has_no_attempts_to_come() {
        for (state, attempts, text) in [
            (SendState::Queued, 0, "queued"),
            (SendState::Queued, 1, "queued, 1 attempt"),
            (SendState::Sending, 2, "being sent, attempt 2"),
            (SendState::Accepted, 1, "accepted by WhatsApp after 1 attempt"),
            (SendState::Failed, 0, "failed before the first attempt"),
            (SendState::Dead, 4, "given up after 4 attempts"),
        ] {
            assert_eq!(state_of(state, attempts), text);
        }
    }
}
