//! The platform's JSON without anyone's number in it.
//!
//! Events keep what this version has no field for as the platform's JSON, and plugins get that too.
//! Before they do, ids of people are removed, ids of messages become handles, and anything else
//! that contains a number, readable or in base64, becomes an opaque handle.
//!
//! What a person sent on purpose (text, a contact card, the answers of a form) is content and
//! stays.

use crate::handles::{Handles, Kind};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::{Map, Value};

/// The shortest run of digits that counts as a phone number.
const NUMBER_DIGITS: usize = 7;
/// Members that identify a person, by the end of their name, so that `from_logical_id` or
/// `new_wa_id` need no entry of their own.
const PERSON_SUFFIXES: [&str; 8] =
    ["wa_id", "user_id", "logical_id", "recipient_id", "participant_id", "phone_number", "phone", "username"];
/// Members that identify a person, by their whole name.
const PERSON_NAMES: [&str; 8] =
    ["from", "to", "input", "participant", "participants", "recipient", "identity_key_hash", "lid"];

/// Redacts `json`. `number` is the phone number of the conversation's contact, if known.
pub fn redact(json: &Value, handles: &Handles, number: Option<&str>) -> Value {
    match json {
        Value::Object(members) => {
            let kept = members.iter().filter(|(name, _)| !is_person(name));
            let redact_both =
                |(name, value): (&String, &Value)| (redact_text(name, handles, number), redact(value, handles, number));
            let redacted = kept.map(redact_both);
            Value::Object(redacted.collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.iter().map(|item| redact(item, handles, number)).collect()),
        Value::String(text) => Value::String(redact_text(text, handles, number)),
        Value::Number(digits) if number.is_some_and(|number| digits.to_string().contains(number)) => Value::Null,
        other => other.clone(),
    }
}

fn is_person(name: &str) -> bool {
    PERSON_NAMES.contains(&name) || PERSON_SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

fn redact_text(text: &str, handles: &Handles, number: Option<&str>) -> String {
    if text.starts_with("wamid.") {
        return handles.seal(Kind::Message, text);
    }
    if hides_number(text) || number.is_some_and(|number| text.contains(number)) {
        return handles.seal(Kind::Other, text);
    }
    // A text that is only a number may be a time or an id; a number inside a sentence is someone's.
    if text.chars().any(char::is_alphabetic) { without_numbers(text) } else { text.to_owned() }
}

/// Whether a part of the text that is base64 contains a number, wherever in it the base64 starts.
fn hides_number(text: &str) -> bool {
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_');
    text.split(|c| !is_base64(c)).any(|token| {
        let token = token.replace('-', "+").replace('_', "/");
        (0..4).filter_map(|start| token.get(start..)).any(|rest| {
            let groups = rest.get(..rest.len() / 4 * 4).unwrap_or_default();
            STANDARD_NO_PAD.decode(groups).is_ok_and(|bytes| longest_run(&bytes) >= NUMBER_DIGITS)
        })
    })
}

fn longest_run(bytes: &[u8]) -> usize {
    let runs = bytes.split(|byte| !byte.is_ascii_digit());
    runs.map(<[u8]>::len).max().unwrap_or(0)
}

/// Replaces runs of digits that could be a phone number.
fn without_numbers(text: &str) -> String {
    let mut redacted = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from_digits) = rest.split_at(start);
        let end = from_digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(from_digits.len());
        let (digits, after) = from_digits.split_at(end);
        redacted.push_str(before);
        redacted.push_str(if digits.len() >= NUMBER_DIGITS { "…" } else { digits });
        rest = after;
    }
    redacted.push_str(rest);
    redacted
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ids_of_people_and_messages_are_replaced_and_the_rest_stays() {
        let handles = Handles::new(&[1; 32]);
        let wamid = "wamid.HBgLMzE2MTIzNDU2NzgVAgASGBQzQTdCNzlDOTZBNjg3QzhGMEVGNAA=";
        let group = "Y2FwaV9ncm91cDoxOTUwNTU1MDA3OToxMjAzNjMzOTQzMjA2NTQyNjM";
        let redacted = redact(
            &json!({
                "id": wamid, "group": group, "from_logical_id": "31612345678", "timestamp": "1749416383",
                "nested": [{"recipient_id": "31612345678", "template_id": "594425479261596", "count": 3}],
                "body": "Ana changed from 31612345678 to +31687654321", "address": "31612345678@lid",
            }),
            &handles,
            Some("31612345678"),
        );
        assert_eq!(
            redacted,
            json!({
                "id": handles.seal(Kind::Message, wamid), "group": handles.seal(Kind::Other, group),
                "timestamp": "1749416383", "nested": [{"template_id": "594425479261596", "count": 3}],
                "body": handles.seal(Kind::Other, "Ana changed from 31612345678 to +31687654321"),
                "address": handles.seal(Kind::Other, "31612345678@lid"),
            })
        );
        let sentence = redact(&json!("Ana changed from 31612345678 to +31687654321"), &handles, None);
        assert_eq!(sentence, json!("Ana changed from … to +…"));
    }
}
