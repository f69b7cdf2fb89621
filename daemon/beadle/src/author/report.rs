//! The results of `beadle plugins test` as text, a line per effect, or as JSON.

use super::event::TestEvent;
use beadle_model::effect::{Effects, Scope, SendEffect, StateWrite, TimerWrite};
use beadle_model::text::counted;
use beadle_model::{Coded as _, Content, Disposition, EventBody, Outgoing};
use beadle_sandbox::{Fault, Level, LogLine, Plugin, Usage};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Longer values and payloads are cut in text, not in JSON.
const MAX_VALUE_CHARS: usize = 200;

/// An event and what the plugin did with it.
pub struct TestResult<'a> {
    /// The event.
    pub event: &'a TestEvent,
    /// The plugin's decision and effects, or its failure.
    pub outcome: Result<(Disposition, Effects), Fault>,
    /// Log lines.
    pub log: Vec<LogLine>,
    /// Resource usage.
    pub usage: Usage,
}

/// The plugin that was loaded.
pub fn plugin(plugin: &Plugin, file: &str) -> String {
    let about = plugin.about().map_or_else(String::new, |about| format!(" {}: {}", about.version, about.summary));
    let events: Vec<&str> = plugin.subscriptions().iter().filter_map(|kind| kind.interface()).collect();
    let capabilities: Vec<&str> = plugin.requested_capabilities().iter().copied().collect();
    let list = |names: Vec<&str>| if names.is_empty() { "none".to_owned() } else { names.join(" ") };
    let mut text = format!(
        "{file} is `{}`{about}\n  events        {}\n  capabilities  {}\n",
        plugin.name(),
        list(events),
        list(capabilities)
    );
    let missing = beadle_catalog::grants::missing(plugin.requested_capabilities().iter().copied(), &BTreeSet::new());
    if !missing.is_empty() {
        let quoted: Vec<String> = missing.iter().map(|capability| format!("\"{capability}\"")).collect();
        let (name, quoted) = (plugin.name(), quoted.join(", "));
        let _ = writeln!(text, "  granted in this test; a daemon requires `[plugins.{name}] grant = [{quoted}]`");
    }
    text
}

impl TestResult<'_> {
    /// As text.
    pub fn text(&self) -> String {
        let mut text = format!("\n{}: {}\n", self.event.from, describe(self.event));
        match &self.outcome {
            Ok((disposition, effects)) => {
                let _ = writeln!(text, "  {}", name_of(*disposition));
                for (kind, details, _) in lines(effects) {
                    let _ = writeln!(text, "  {kind:<8} {details}");
                }
            }
            Err(fault) => {
                let _ = writeln!(text, "  failed   {fault} ({})", fault.code());
                for function in &fault.backtrace {
                    let _ = writeln!(text, "           in {function}");
                }
            }
        }
        for line in &self.log {
            let _ = writeln!(text, "  log      {}: {}", level(line.level), line.text);
        }
        let Usage { cpu_us, memory_bytes, host_calls, .. } = self.usage;
        let memory_kib = memory_bytes / 1024;
        let _ = writeln!(
            text,
            "  used     {}.{} ms CPU, {memory_kib} KiB, {}",
            cpu_us / 1000,
            cpu_us % 1000 / 100,
            counted(host_calls.into(), "host call", "host calls")
        );
        text
    }

    /// As JSON.
    pub fn json(&self) -> Value {
        let (disposition, effects, fault) = match &self.outcome {
            Ok((disposition, effects)) => {
                (Some(*disposition), lines(effects).into_iter().map(|(.., json)| json).collect(), None)
            }
            Err(fault) => {
                let fault = json!({ "code": fault.code(), "message": fault.to_string(), "backtrace": fault.backtrace });
                (None, Vec::new(), Some(fault))
            }
        };
        let log: Vec<Value> =
            self.log.iter().map(|line| json!({ "level": level(line.level), "text": line.text })).collect();
        json!({
            "from": self.event.from,
            "event": self.event.body,
            "disposition": disposition,
            "failure": fault,
            "effects": effects,
            "log": log,
            "used": { "cpu_us": self.usage.cpu_us, "memory_bytes": self.usage.memory_bytes, "host_calls": self.usage.host_calls },
        })
    }
}

/// The event in a few words.
fn describe(event: &TestEvent) -> String {
    let kind = event.body.kind().name();
    let details = match &event.body {
        EventBody::Message { content: Content::Text(text), .. } => format!(" {text:?}"),
        EventBody::Message { content: Content::Other { kind, .. }, .. } => format!(" ({kind})"),
        EventBody::Message { content: Content::Image(media) | Content::Document(media), .. } => {
            format!(" ({}) {:?}", media.mime_type, media.caption.as_deref().unwrap_or_default())
        }
        EventBody::Message {
            content: Content::Button(choice) | Content::ListRow(choice) | Content::TemplateButton(choice),
            ..
        } => format!(", tapped {:?} ({})", choice.title, choice.id),
        EventBody::Reaction { emoji, .. } => format!(" {}", emoji.as_deref().unwrap_or("removed")),
        EventBody::Timer { key, .. } => format!(" {key:?}"),
        EventBody::MessageStatus { status, .. } => format!(" {status}"),
        _ => String::new(),
    };
    format!("{kind}{details}, {}", event.name)
}

/// Each effect: its kind, its details, and its JSON.
fn lines(effects: &Effects) -> Vec<(&'static str, String, Value)> {
    let sends = effects.sends.iter().map(send);
    sends.chain(effects.state.iter().map(state)).chain(effects.timers.iter().map(timer)).collect()
}

fn send(effect: &SendEffect) -> (&'static str, String, Value) {
    let kind = if effect.reply { "reply" } else { "message" };
    let text = match &effect.body {
        Outgoing::Text { body, .. } => format!("{body:?}"),
        Outgoing::Buttons { body, buttons, .. } => {
            let titles: Vec<String> = buttons.iter().map(|button| format!("[{}]", button.title)).collect();
            format!("{body:?} {}", titles.join(" "))
        }
        Outgoing::List { body, sections, .. } => {
            let rows: Vec<String> =
                sections.iter().flat_map(|section| &section.rows).map(|row| format!("[{}]", row.title)).collect();
            format!("{body:?} {}", rows.join(" "))
        }
        other => serde_json::to_string(other).unwrap_or_default(),
    };
    let text = if effect.reply { text } else { format!("to {}: {text}", effect.conversation) };
    let json =
        json!({ "effect": kind, "id": effect.message, "conversation": effect.conversation, "body": effect.body });
    (kind, text, json)
}

fn state(write: &StateWrite) -> (&'static str, String, Value) {
    let (scope, key, text, json) = match write {
        StateWrite::Set { scope, key, value, expires_at } => {
            let until = expires_at.map_or_else(String::new, |at| format!(", until {at}"));
            let json = json!({ "effect": "state-set", "scope": scope, "key": key, "value": content(value), "expires_at": expires_at });
            (scope, key, format!(" = {}{until}", short(value)), json)
        }
        StateWrite::Delete { scope, key } => {
            (scope, key, " deleted".to_owned(), json!({ "effect": "state-delete", "scope": scope, "key": key }))
        }
        StateWrite::Add { scope, key, delta } => {
            let json = json!({ "effect": "state-add", "scope": scope, "key": key, "delta": delta });
            (scope, key, format!(" {delta:+}"), json)
        }
    };
    ("state", format!("{} {key:?}{text}", about(*scope)), json)
}

fn timer(write: &TimerWrite) -> (&'static str, String, Value) {
    let (scope, key, text, json) = match write {
        TimerWrite::Set { scope, key, due_at, payload } => {
            let json = json!({ "effect": "timer-set", "scope": scope, "key": key, "due_at": due_at, "payload": content(payload) });
            let with = if payload.is_empty() { String::new() } else { format!(" with {}", short(payload)) };
            (scope, key, format!(" due {due_at}{with}"), json)
        }
        TimerWrite::Move { scope, key, due_at } => {
            let json = json!({ "effect": "timer-move", "scope": scope, "key": key, "due_at": due_at });
            (scope, key, format!(" moved to {due_at}"), json)
        }
        TimerWrite::Cancel { scope, key } => {
            (scope, key, " cancelled".to_owned(), json!({ "effect": "timer-cancel", "scope": scope, "key": key }))
        }
    };
    ("timer", format!("{} {key:?}{text}", about(*scope)), json)
}

fn about(scope: Scope) -> String {
    match scope {
        Scope::Plugin => "plugin".to_owned(),
        Scope::Contact(id) => id.to_string(),
        Scope::Conversation(id) => id.to_string(),
    }
}

/// Bytes as JSON if they are JSON, else as text, else as an array of numbers.
fn content(bytes: &[u8]) -> Value {
    let as_json = serde_json::from_slice(bytes).ok();
    let as_text = || std::str::from_utf8(bytes).ok().map(Value::from);
    as_json.or_else(as_text).unwrap_or_else(|| bytes.iter().copied().collect())
}

fn short(bytes: &[u8]) -> String {
    let text = content(bytes).to_string();
    match text.char_indices().nth(MAX_VALUE_CHARS) {
        Some((at, _)) => format!("{}… ({} bytes)", text.get(..at).unwrap_or_default(), bytes.len()),
        None => text,
    }
}

fn name_of(disposition: Disposition) -> &'static str {
    match disposition {
        Disposition::Pass => "pass: the next plugin may answer",
        Disposition::Claimed => "claimed: no other plugin answers",
        Disposition::Stopped => "stopped: no plugin answers",
    }
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    }
}
