//! Conversion between columns and types: enums as numbers, bodies as JSON.

use crate::error::StoreError;
use crate::step::SendState;
use beadle_model::{Alias, AliasKind, Ending, EventBody, EventKind, PluginNo, Timestamp};
use serde::{Serialize, de::DeserializeOwned};

/// Serialises a body. If that fails, so does the step.
pub(crate) fn to_json(subject: &str, value: &impl Serialize) -> Result<String, StoreError> {
    let json = serde_json::to_string(value).map_err(|error| StoreError::unreadable(subject, error))?;
    if is_too_deep(&json) {
        return Err(StoreError::unreadable(subject, "the JSON is nested too deeply"));
    }
    Ok(json)
}

/// The maximum nesting of a body: less than the 128 levels that the parser reads, because a value
/// that cannot be read back would block its row.
const MAX_DEPTH: usize = 120;

fn is_too_deep(json: &str) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    json.bytes().any(|byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > MAX_DEPTH
    })
}

/// A received body as JSON. One that could not be read back is replaced by an unrouted one that
/// holds its JSON as text; the replacement is returned.
pub(crate) fn event_to_json(body: &EventBody) -> Result<(Option<EventBody>, String), StoreError> {
    let json = serde_json::to_string(body).map_err(|error| StoreError::unreadable("an event", error))?;
    if !is_too_deep(&json) {
        return Ok((None, json));
    }
    let kind = format!("{}/too-deep", body.kind().name());
    let body = EventBody::Unrouted { kind, json: serde_json::Value::String(json) };
    let json = to_json("an event", &body)?;
    Ok((Some(body), json))
}

/// Parses a body; `what` and `id` name the row in the error.
pub(crate) fn from_json<T: DeserializeOwned>(subject: &str, id: i64, json: &str) -> Result<T, StoreError> {
    serde_json::from_str(json).map_err(|error| StoreError::unreadable(format!("{subject} {id}"), error))
}

/// An event's ending as two columns.
pub(crate) fn ending_columns(ending: Option<Ending>) -> (Option<i64>, Option<i64>) {
    match ending {
        None => (None, None),
        Some(Ending::Passed) => (Some(0), None),
        Some(Ending::Claimed(by)) => (Some(1), Some(by.0)),
        Some(Ending::Stopped(by)) => (Some(2), Some(by.0)),
        Some(Ending::Host) => (Some(3), None),
        Some(Ending::Asked(by)) => (Some(4), Some(by.0)),
    }
}

/// The reverse. An unknown number is read as passed, which cannot cause a second answer.
pub(crate) fn ending_of(how: Option<i64>, by: Option<i64>) -> Option<Ending> {
    let by = PluginNo(by.unwrap_or_default());
    how.map(|how| match how {
        1 => Ending::Claimed(by),
        2 => Ending::Stopped(by),
        3 => Ending::Host,
        4 => Ending::Asked(by),
        _ => Ending::Passed,
    })
}

/// An event's kind.
pub(crate) fn kind_of(number: i64) -> Result<EventKind, StoreError> {
    EventKind::from_number(number).ok_or_else(|| StoreError::unreadable("an event", format!("kind {number}")))
}

/// The state of an outbox row.
pub(crate) fn send_state_of(number: i64) -> Result<SendState, StoreError> {
    use SendState::{Accepted, Dead, Dropped, Failed, Queued, Sending};
    [Queued, Sending, Accepted, Failed, Dead, Dropped]
        .into_iter()
        .find(|state| *state as i64 == number)
        .ok_or_else(|| StoreError::unreadable("an outbox row", format!("state {number}")))
}

/// A contact's alias.
pub(crate) fn alias_of(kind: i64, value: String) -> Result<Alias, StoreError> {
    use AliasKind::{ParentUserId, Phone, UserId, WaId};
    [Phone, WaId, UserId, ParentUserId]
        .into_iter()
        .find(|known| *known as i64 == kind)
        .map(|kind| Alias { kind, value })
        .ok_or_else(|| StoreError::unreadable("an alias", format!("kind {kind}")))
}

/// A time in a column where 0 means never.
pub(crate) fn time_of(ms: i64) -> Option<Timestamp> {
    (ms != 0).then_some(Timestamp(ms))
}
