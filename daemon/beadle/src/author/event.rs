//! An event as an author writes it down: the body of an event, with whatever does not matter left out.
//!
//! What `beadle events show ID --json` prints is taken as it is, so that a real event can be tried on a new version. Some
//! samples are built in, one for each thing that happens often.

use beadle_model::{EventBody, EventKind};
use serde_json::{Value, json};
use std::path::Path;

/// Events for trying, by name.
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

/// An event to try.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// Where it is from: a sample's name or a file's.
    pub from: String,
    /// Who it is about.
    pub name: String,
    /// Whether a person wrote within the last day.
    pub window: bool,
    /// What happened.
    pub body: EventBody,
}

/// Every sample of these kinds, in their order.
pub fn samples(kinds: impl Fn(EventKind) -> bool) -> Vec<Trial> {
    let all = SAMPLES.iter().filter_map(|(name, text)| parse(name, text).ok());
    all.flatten().filter(|trial| kinds(trial.body.kind())).collect()
}

/// The events that a word names: a file's, else a sample.
pub fn named(word: &str) -> Result<Vec<Trial>, String> {
    if Path::new(word).is_file() {
        let text = std::fs::read_to_string(word).map_err(|why| format!("{word} cannot be read: {why}"))?;
        return parse(word, &text);
    }
    match SAMPLES.iter().find(|(name, _)| *name == word) {
        Some((name, text)) => parse(name, text),
        None => {
            let names: Vec<&str> = SAMPLES.iter().map(|(name, _)| *name).collect();
            Err(format!("there is no file {word}, and no sample of that name; the samples are {}", names.join(", ")))
        }
    }
}

/// One event, or a list of them that come one after the other.
fn parse(from: &str, text: &str) -> Result<Vec<Trial>, String> {
    let value: Value = serde_json::from_str(text).map_err(|why| format!("{from} is not JSON: {why}"))?;
    let events = match value {
        Value::Array(events) => events,
        event => vec![event],
    };
    events.into_iter().map(|event| read(from, event).map_err(|why| format!("{from}: {why}"))).collect()
}

fn read(from: &str, event: Value) -> Result<Trial, String> {
    let name = event.get("name").and_then(Value::as_str).unwrap_or("Ana").to_owned();
    let window = event.get("window").and_then(Value::as_bool).unwrap_or(true);
    // As `events show --json` prints it, the body stands in the event.
    let mut body = event.get("body").cloned().unwrap_or(event);
    let kind = body.get("event").and_then(Value::as_str).unwrap_or_default().to_owned();
    let Some(fields) = body.as_object_mut() else { return Err("an event is an object".into()) };
    for key in ["name", "window"] {
        fields.remove(key);
    }
    // The plugin is the first of its installation, and what it was sent is its own.
    let defaults = match kind.as_str() {
        "message" => json!({ "message": "wamid.SAMPLE" }),
        "reaction" => json!({ "message": "wamid.SAMPLE", "emoji": null }),
        "timer" => {
            json!({ "plugin": 1, "scope": { "kind": "plugin" }, "due_at": super::trial::NOW.as_ms(), "payload": [] })
        }
        "message-status" => json!({ "plugin": 1, "message": "msg_1" }),
        _ => json!({}),
    };
    for (key, value) in defaults.as_object().into_iter().flatten() {
        let entry = fields.entry(key.as_str()).or_insert_with(|| value.clone());
        if key == "plugin" {
            *entry = value.clone();
        }
    }
    // Bytes are written as text, which they are in most plugins.
    if let Some(Value::String(text)) = fields.get("payload") {
        let bytes: Value = text.bytes().collect();
        fields.insert("payload".into(), bytes);
    }
    let names: Vec<&str> = EventKind::ALL.into_iter().map(EventKind::name).collect();
    if !names.contains(&kind.as_str()) {
        return Err(format!("`event` is one of {}, not `{kind}`", names.join(", ")));
    }
    let body = serde_json::from_value(body).map_err(|why| format!("this is no `{kind}`: {why}"))?;
    Ok(Trial { from: from.to_owned(), name, window, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_is_an_event() {
        for (name, text) in SAMPLES {
            assert_eq!(parse(name, text).unwrap_or_else(|why| panic!("{why}")).len(), 1);
        }
    }

    #[test]
    fn what_the_daemon_shows_is_taken_as_it_is() {
        let shown = json!({ "id": "evt_12", "kind": "message", "name": "Bram", "happened_at": 5,
            "body": { "event": "message", "message": "wamid.7", "content": { "kind": "text", "value": "hi" } } });
        let trial = read("x", shown).unwrap();
        assert_eq!((trial.name.as_str(), trial.body.kind()), ("Bram", EventKind::Message));
    }

    #[test]
    fn a_timer_is_the_plugins_own_whoever_it_was_before() {
        let trial = read("x", json!({ "event": "timer", "plugin": 7, "key": "k", "payload": "ab" })).unwrap();
        let EventBody::Timer { plugin, payload, .. } = trial.body else { panic!("{trial:?}") };
        assert_eq!((plugin.0, payload), (1, b"ab".to_vec()));
    }

    #[test]
    fn mistakes_are_told() {
        for (text, says) in [
            ("{", "is not JSON"),
            ("7", "an event is an object"),
            (r#"{"event": "massage"}"#, "not `massage`"),
            (r#"{"event": "message"}"#, "this is no `message`: missing field `content`"),
        ] {
            let why = parse("e.json", text).unwrap_err();
            assert!(why.contains(says) && why.contains("e.json"), "{why}");
        }
        assert!(named("txt").unwrap_err().contains("the samples are text, button"));
    }
}
