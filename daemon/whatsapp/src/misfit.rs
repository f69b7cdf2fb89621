//! What is authentic and cannot be understood: a letter for a person, with what came.
//!
//! A body that is no webhook is kept as it came, byte for byte. Of a webhook in which one part makes no sense, that part
//! is kept in the platform's own shape, as a small webhook of its own: what is understood about it later takes nothing
//! along that was taken in before. What is merely new (a type, a field) is none of this: see `unrouted` in
//! [`crate::webhook`].

use crate::app::App;
use crate::json::Json;
use beadle_store::step::NewLetter;
use serde_json::{Value, json};

/// The code of a body that is no webhook at all.
const UNREADABLE: &str = "webhook-unreadable";

/// The code of a part that makes no sense.
const NONSENSE: &str = "webhook-malformed";

/// Why no event and no receipt can be made of an element.
#[derive(Debug)]
pub(crate) enum Misfit {
    /// It is for a number that is not configured.
    Stranger,
    /// It is of a kind that this version does not know, and so is kept whole as an event.
    Unknown(String),
    /// It lacks what everything of its kind has.
    Nonsense(&'static str),
}

/// A body without a webhook in it.
pub(crate) fn unreadable(app: &App, body: &[u8]) -> NewLetter {
    let why = match serde_json::from_slice::<serde::de::IgnoredAny>(body) {
        Ok(_) => "it is JSON, and has no list `entry`".to_owned(),
        Err(error) => format!("it is no JSON: {error}"),
    };
    letter(app, UNREADABLE, why, body.to_vec())
}

/// A part of a webhook that makes no sense: `entry` is the entry with nothing but that part.
pub(crate) fn nonsense(app: &App, why: String, entry: &Value) -> NewLetter {
    let webhook = json!({"object": "whatsapp_business_account", "entry": [entry]});
    letter(app, NONSENSE, why, webhook.to_string().into_bytes())
}

fn letter(app: &App, code: &str, error: String, body: Vec<u8>) -> NewLetter {
    NewLetter { app: app.name().to_owned(), code: code.to_owned(), error, body }
}

/// A JSON value by its kind, for people.
pub(crate) fn kind_of(json: &Json<'_>) -> &'static str {
    match json {
        Json::Null => "nothing",
        Json::Bool(_) => "a yes or no",
        Json::Number(_) => "a number",
        Json::Text(_) => "a text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
        Json::Deep(_) => "nested without end",
    }
}
