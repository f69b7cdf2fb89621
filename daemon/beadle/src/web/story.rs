//! `beadle why ID`: the story of an event, a message, a handling, a contact or a webhook that was not understood, in the
//! order of what led to what.
//!
//! Everything told here is read from what was kept; the gate's part is asked again with what is true now, by the same
//! table that decided then, and says so.

use super::Admin;
use super::data::{Names, ask, event_row, message_row, receipts};
use super::failure::No;
use crate::api::{Step, Why};
use axum::Json;
use axum::extract::{Path, State};
use beadle_gate::{Draft, Facts};
use beadle_model::{PluginNo, Timestamp};
use beadle_store::Reader;
use beadle_store::views::{ContactDetails, DeadLetter, EventDetails, EventFilter, HandlingRow, OutboxDetails, Trace};
use std::sync::Arc;

/// Events of a contact's story: the latest.
const EVENTS_OF_CONTACT: usize = 20;

/// `GET /why/{id}`
pub async fn why(State(admin): State<Arc<Admin>>, Path(id): Path<String>) -> Result<Json<Why>, No> {
    let now = admin.clock.now();
    let why = ask(&admin, move |reader, names| {
        let mut story = Story { reader, names, now, steps: Vec::new() };
        match reader.trace(&id)?.ok_or_else(|| No::not_found("event, message, handling or contact", &id))? {
            Trace::Contact(contact) => story.contact(&contact, &id)?,
            Trace::Webhook(letter) => story.webhook(&letter),
            Trace::Event(event) => story.event(&event)?,
            Trace::Message { message, event } => {
                if let Some(event) = event {
                    story.origin(&event)?;
                }
                story.message(&message)?;
            }
        }
        Ok(Why { now: now.as_ms(), id, steps: story.steps })
    });
    Ok(Json(why.await?))
}

struct Story<'a> {
    reader: &'a Reader,
    names: &'a Names,
    now: Timestamp,
    steps: Vec<Step>,
}

impl Story<'_> {
    fn tell(&mut self, at: Option<i64>, what: impl Into<String>, says: impl Into<String>) {
        self.steps.push(Step { at, what: what.into(), text: says.into() });
    }

    /// What came in.
    fn origin(&mut self, shown: &EventDetails) -> Result<(), No> {
        let row = event_row(self.reader, self.names, &shown.row)?;
        let who = row.contact.map(|contact| format!(" from {contact}")).unwrap_or_default();
        let on = row.channel.map(|channel| format!(" on {channel}")).unwrap_or_default();
        self.tell(Some(row.happened_at), &row.id, format!("{}{who}{on}: {}", row.kind, row.summary));
        self.tell(Some(row.received_at), row.id, "was received and is durable");
        Ok(())
    }

    fn event(&mut self, shown: &EventDetails) -> Result<(), No> {
        self.origin(shown)?;
        if shown.subscribers.is_empty() {
            self.tell(None, shown.row.id.to_string(), "no plugin is through with it yet, or none wants it");
        }
        for plugin in &shown.subscribers {
            let handling = shown.handlings.iter().find(|handling| handling.id.plugin == *plugin);
            let says = self.part_of(shown, *plugin, handling);
            self.tell(None, self.names.of(*plugin), says);
        }
        let ending = super::data::ending(self.names, shown.row.ending, shown.row.state);
        self.tell(None, shown.row.id.to_string(), format!("ended: {ending}"));
        shown.sends.iter().try_for_each(|send| self.message(send))
    }

    /// What one plugin has to do with an event.
    fn part_of(&self, shown: &EventDetails, plugin: PluginNo, handling: Option<&HandlingRow>) -> String {
        let trouble = handling.map(|it| {
            let error = it.error.as_deref().unwrap_or("no reason was kept");
            let code = it.code.as_deref().unwrap_or("-");
            let next = it.next_at.map(|at| format!(", again at {at}")).unwrap_or_default();
            format!("{} tries, {}: {error} ({code}){next}", it.attempts, it.state)
        });
        match (shown.done.contains(&plugin), trouble) {
            (true, None) => "is through with it".into(),
            (true, Some(trouble)) => format!("is through with it; {trouble}"),
            (false, None) => "has not had it yet".into(),
            (false, Some(trouble)) => trouble,
        }
    }

    fn message(&mut self, shown: &OutboxDetails) -> Result<(), No> {
        let row = message_row(self.names, shown);
        self.tell(Some(row.created_at), &row.id, format!("{} asked for it: {}", row.plugin, row.summary));
        if let Some(conversation) = self.reader.conversation(shown.row.conversation)? {
            let draft = Draft { body: &shown.row.body, host: shown.row.plugin == PluginNo::HOST };
            for step in beadle_gate::trace(&draft, &Facts { conversation: &conversation, now: self.now }) {
                let stops = if step.refuses { "no: " } else { "" };
                self.tell(None, format!("gate, now: {}", step.rule.name()), format!("{stops}{}", step.reason));
            }
        }
        let tries = if row.attempts == 0 { String::new() } else { format!(", {} tries before", row.attempts) };
        let twice = if row.maybe_twice { ", may have been sent twice" } else { "" };
        self.tell(Some(row.due_at), &row.id, format!("is {}{tries}{twice}", row.state));
        if let Some(platform) = &row.platform {
            self.tell(None, &row.id, format!("the platform calls it {platform}"));
        }
        for (name, at) in receipts(shown) {
            self.tell(Some(at), &row.id, format!("the platform says: {name}"));
        }
        if let Some(problem) = &row.problem {
            self.tell(None, &row.id, format!("{} ({})", problem.message, problem.code));
        }
        Ok(())
    }

    fn webhook(&mut self, shown: &DeadLetter) {
        let id = shown.of.to_string();
        let webhook = shown.webhook.as_ref();
        let what = webhook.map(|it| format!(" for {}, {} bytes", it.app, it.bytes)).unwrap_or_default();
        self.tell(Some(shown.at.as_ms()), &id, format!("came{what}, {} times by now", shown.attempts));
        self.tell(None, &id, format!("is not understood: {} ({})", shown.error, shown.code));
        if let Some(at) = shown.retried_at {
            self.tell(Some(at.as_ms()), &id, "was read again, in vain");
        }
        self.tell(None, id, "is a dead letter: `beadle dead-letters show`, `retry` or `drop`");
    }

    fn contact(&mut self, shown: &ContactDetails, asked: &str) -> Result<(), No> {
        let contact = &shown.contact;
        let text = contact.id.to_string();
        if asked != text {
            self.tell(None, asked, format!("is one with {text} now, on a person's word"));
        }
        self.tell(Some(contact.created_at.as_ms()), &text, "became known");
        if let Some(since) = contact.member_since {
            self.tell(Some(since.as_ms()), &text, "became a member");
        }
        if let Some(since) = contact.opted_out_since {
            self.tell(Some(since.as_ms()), &text, "said STOP: no message leaves until they say START");
        }
        for it in &shown.conversations {
            let says = match it.window_until {
                Some(until) if until > self.now => format!("on {}: the window is open until {until}", it.channel),
                Some(until) => format!("on {}: the window closed at {until}", it.channel),
                None => format!("on {}: no window was ever opened", it.channel),
            };
            self.tell(it.last_inbound_at.map(|at| at.as_ms()), it.id.to_string(), says);
        }
        let filter = EventFilter { contact: Some(contact.id), limit: EVENTS_OF_CONTACT, ..EventFilter::default() };
        for row in self.reader.events(&filter)?.iter().rev() {
            let row = event_row(self.reader, self.names, row)?;
            self.tell(Some(row.happened_at), &row.id, format!("{}: {}, {}", row.kind, row.summary, row.ending));
        }
        Ok(())
    }
}
