//! Authentic input that cannot be parsed becomes a rejected webhook.
//!
//! A body that is not a webhook is kept byte for byte. A malformed part of a webhook is kept in the
//! platform's own shape, as a webhook that contains nothing else: retrying it later takes in
//! nothing that was taken in before. Input that is only unknown (a new type, a new field) is not
//! rejected; see `unrouted` in [`crate::webhook`].

use crate::json::Json;
use beadle_store::step::NewRejectedWebhook;
use serde_json::{Value, json};

/// The code of a body that is not a webhook.
const UNREADABLE: &str = "webhook-unreadable";

/// The code of a malformed part.
const MALFORMED: &str = "webhook-malformed";

/// Characters of a name from a webhook that errors and kinds quote. The platform's names have up
/// to 40.
const MAX_QUOTED_CHARS: usize = 100;

/// The start of a name from a webhook, such as a field or a type.
pub(crate) fn quoted(name: &str) -> String {
    name.chars().take(MAX_QUOTED_CHARS).collect()
}

/// Why an element becomes neither an event nor a receipt.
#[derive(Debug)]
pub(crate) enum Unparsable {
    /// Its number is not configured.
    UnknownNumber,
    /// Its type is unknown to this version; it is kept whole as an event.
    UnknownKind(String),
    /// It lacks a member that every element of its kind has.
    Malformed(&'static str),
}

/// A body that is not a webhook.
pub(crate) fn rejected_body(app: &str, body: &[u8]) -> NewRejectedWebhook {
    let error = match serde_json::from_slice::<serde::de::IgnoredAny>(body) {
        Ok(_) => "the body has no array `entry`".to_owned(),
        Err(error) => format!("the body is not JSON: {error}"),
    };
    rejected(app, UNREADABLE, error, body.to_vec())
}

/// A malformed part of a webhook. `entry` is the entry reduced to that part.
pub(crate) fn rejected_part(app: &str, error: String, entry: &Value) -> NewRejectedWebhook {
    let webhook = json!({"object": "whatsapp_business_account", "entry": [entry]});
    rejected(app, MALFORMED, error, webhook.to_string().into_bytes())
}

fn rejected(app: &str, code: &str, error: String, body: Vec<u8>) -> NewRejectedWebhook {
    NewRejectedWebhook { app: app.to_owned(), code: code.to_owned(), error, body }
}

/// The kind of a JSON value, for error messages.
pub(crate) fn kind_of(json: &Json<'_>) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::Text(_) => "a string",
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
        Json::TooDeep(_) => "nested too deeply",
    }
}
