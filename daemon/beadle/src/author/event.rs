//! Test events: JSON files, or built-in samples of the most common events.
//!
//! A file may omit everything that does not matter for the test. The output of
//! `beadle events show ID --json` is accepted unchanged, so that a real event can be replayed on a
//! new version.

use beadle_model::{EventBody, EventKind, Timestamp};
use serde_json::{Value, json};
use std::path::Path;

/// The time of every test, 2026-01-05T09:00:00Z, as in the SDK's tests: results do not depend on
/// the day.
pub const NOW: Timestamp = Timestamp(1_767_603_600_000);

/// Built-in events by name.
pub const SAMPLES: [(&str, &str); 10] = [
    ("text", include_str!("samples/text.json")),
    ("button", include_str!("samples/button.json")),
    ("list-row", include_str!("samples/list-row.json")),
    ("image", include_str!("samples/image.json")),
    ("advertisement", include_str!("samples/advertisement.json")),
    ("reaction", include_str!("samples/reaction.json")),
    ("joined", include_str!("samples/joined.json")),
    ("left", include_str!("samples/left.json")),
    ("timer", include_str!("samples/timer.json")),
    ("failed", include_str!("samples/failed.json")),
];

/// An event for a test.
#[derive(Clone, Debug, PartialEq)]
pub struct TestEvent {
    /// The name of the sample or file.
    pub from: String,
    /// The contact's name.
    pub name: String,
    /// Whether the 24-hour window is open.
    pub window: bool,
    /// The event.
    pub body: EventBody,
}

/// Whether a sample has this name.
pub fn is_sample(word: &str) -> bool {
    SAMPLES.iter().any(|(name, _)| *name == word)
}

/// The names of all samples.
pub fn sample_names() -> String {
    SAMPLES.map(|(name, _)| name).join(", ")
}

/// All samples of the given kinds.
pub fn samples(kinds: impl Fn(EventKind) -> bool) -> Vec<TestEvent> {
    let all = SAMPLES.iter().filter_map(|(name, text)| parse(name, text).ok());
    all.flatten().filter(|event| kinds(event.body.kind())).collect()
}

/// The events of a file, else of the sample with this name.
pub fn load(word: &str) -> Result<Vec<TestEvent>, String> {
    if Path::new(word).is_file() {
        let text = std::fs::read_to_string(word).map_err(|error| format!("cannot read {word}: {error}"))?;
        return parse(word, &text);
    }
    match SAMPLES.iter().find(|(name, _)| *name == word) {
        Some((name, text)) => parse(name, text),
        None => Err(format!("there is no file or sample `{word}`; the samples are {}", sample_names())),
    }
}

/// One event, or an array of events.
fn parse(from: &str, text: &str) -> Result<Vec<TestEvent>, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("{from} is not valid JSON: {error}"))?;
    let events = match value {
        Value::Array(events) => events,
        event => vec![event],
    };
    events.into_iter().map(|event| read(from, event).map_err(|error| format!("{from}: {error}"))).collect()
}

fn read(from: &str, event: Value) -> Result<TestEvent, String> {
    let name = event.get("name").and_then(Value::as_str).unwrap_or("Ana").to_owned();
    let window = event.get("window").and_then(Value::as_bool).unwrap_or(true);
    // In the output of `events show --json`, the body is a member of the event.
    let mut body = event.get("body").cloned().unwrap_or(event);
    let kind = body.get("event").and_then(Value::as_str).unwrap_or_default().to_owned();
    let Some(fields) = body.as_object_mut() else { return Err("an event must be a JSON object".into()) };
    for key in ["name", "window"] {
        fields.remove(key);
    }
    // The tested plugin has number 1, and timers and receipts are its own.
    let defaults = match kind.as_str() {
        "message" => json!({ "message": "wamid.SAMPLE" }),
        "reaction" => json!({ "message": "wamid.SAMPLE", "emoji": null }),
        "timer" => {
            json!({ "plugin": 1, "scope": { "kind": "plugin" }, "due_at": NOW.as_ms(), "payload": [] })
        }
        "response" => json!({
            "plugin": 1, "request": "req_1", "context": "", "attempts": 1,
            "outcome": { "answered": { "status": 200, "url": "https://example.org/", "headers": [], "body": "" } }
        }),
        "webhook" => json!({ "plugin": 1, "hook": "sample", "body": "" }),
        "message-status" => json!({ "plugin": 1, "message": "msg_1" }),
        _ => json!({}),
    };
    for (key, value) in defaults.as_object().into_iter().flatten() {
        let entry = fields.entry(key.as_str()).or_insert_with(|| value.clone());
        if key == "plugin" {
            *entry = value.clone();
        }
    }
    // Payloads are bytes; in files they are written as text.
    if let Some(Value::String(text)) = fields.get("payload") {
        let bytes: Value = text.bytes().collect();
        fields.insert("payload".into(), bytes);
    }
    let names: Vec<&str> = EventKind::ALL.into_iter().map(EventKind::name).collect();
    if !names.contains(&kind.as_str()) {
        return Err(format!("`event` must be one of {}, not `{kind}`", names.join(", ")));
    }
    let body = serde_json::from_value(body).map_err(|error| format!("invalid `{kind}` event: {error}"))?;
    Ok(TestEvent { from: from.to_owned(), name, window, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_valid_events() {
        for (name, text) in SAMPLES {
            assert_eq!(parse(name, text).unwrap_or_else(|error| panic!("{error}")).len(), 1);
        }
    }

    #[test]
    fn output_of_events_show_is_accepted() {
        let printed = json!({ "id": "evt_12", "kind": "message", "name": "Bram", "happened_at": 5,
            "body": { "event": "message", "message": "wamid.7", "content": { "kind": "text", "value": "hi" } } });
        let event = read("x", printed).unwrap();
        assert_eq!((event.name.as_str(), event.body.kind()), ("Bram", EventKind::Message));
    }

    #[test]
    fn timers_belong_to_the_tested_plugin() {
        let event = read("x", json!({ "event": "timer", "plugin": 7, "key": "k", "payload": "ab" })).unwrap();
        let EventBody::Timer { plugin, payload, .. } = event.body else { panic!("{event:?}") };
        assert_eq!((plugin.0, payload), (1, b"ab".to_vec()));
    }

    #[test]
    fn errors_name_the_file_and_the_problem() {
        for (text, expected) in [
            ("{", "is not valid JSON"),
            ("7", "an event must be a JSON object"),
            (r#"{"event": "massage"}"#, "not `massage`"),
            (r#"{"event": "message"}"#, "invalid `message` event: missing field `content`"),
        ] {
            let error = parse("e.json", text).unwrap_err();
            assert!(error.contains(expected) && error.contains("e.json"), "{error}");
        }
        assert!(load("txt").unwrap_err().contains("the samples are text, button"));
    }
}
