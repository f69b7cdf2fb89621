//! The platform's JSON without anyone's number in it.
//!
//! Events keep what this version has no field for as the platform's JSON, and plugins get that too.
//! Before they do, ids of people are removed, ids of messages become handles, and anything else
//! that contains a number, readable or in base64, becomes an opaque handle.
//!
//! Digits that could be someone's number stay only under names of times, codes, amounts and ids of
//! what is no person.
//!
//! What a person sent on purpose (text, a contact card, the answers of a form) is content and
//! stays.

use crate::handles::{Handles, Kind};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use beadle_model::text::is_hidden;
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

/// Members whose digits are no phone number: times, codes, amounts, and ids of what is no person. A
/// name counts that is one of these or ends in `_` and one of these.
const HARMLESS_NAMES: [&str; 31] = [
    "timestamp",
    "time",
    "at",
    "until",
    "ms",
    "seconds",
    "date",
    "expiration",
    "code",
    "subcode",
    "amount",
    "price",
    "offset",
    "quantity",
    "count",
    "limit",
    "size",
    "bytes",
    "width",
    "height",
    "version",
    "latitude",
    "longitude",
    "template_id",
    "flow_id",
    "catalog_id",
    "media_id",
    "account_id",
    "number_id",
    "app_id",
    "ad_id",
];
/// How many characters may be between two digits of a phone number, as in `+351 (0) 910-000-209`.
const MAX_GAP: usize = 3;

/// The length of a date, as in `2026-11-29`.
const DATE_BYTES: usize = 10;

/// Redacts `json`. `number` is the phone number of the conversation's contact, if known.
pub fn redact(json: &Value, handles: &Handles, number: Option<&str>) -> Value {
    redact_member(json, "", handles, number)
}

/// Redacts the value of a member; the elements of an array have the array's name.
fn redact_member(json: &Value, name: &str, handles: &Handles, number: Option<&str>) -> Value {
    match json {
        Value::Object(members) => {
            let kept = members.iter().filter(|(name, _)| !is_person(name));
            let redact_both = |(name, value): (&String, &Value)| {
                (redact_text(name, "", handles, number), redact_member(value, name, handles, number))
            };
            Value::Object(kept.map(redact_both).collect::<Map<_, _>>())
        }
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| redact_member(item, name, handles, number)).collect())
        }
        Value::String(text) => Value::String(redact_text(text, name, handles, number)),
        // A fraction is no phone number.
        Value::Number(value) if value.as_f64().is_none_or(|value| value.fract() == 0.0) => {
            let digits = value.to_string();
            let redacted = redact_text(&digits, name, handles, number);
            if redacted == digits { json.clone() } else { Value::String(redacted) }
        }
        other => other.clone(),
    }
}

fn is_harmless(name: &str) -> bool {
    HARMLESS_NAMES
        .iter()
        .any(|harmless| name.strip_suffix(harmless).is_some_and(|before| before.is_empty() || before.ends_with('_')))
}

fn is_person(name: &str) -> bool {
    PERSON_NAMES.contains(&name) || PERSON_SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

fn redact_text(text: &str, name: &str, handles: &Handles, number: Option<&str>) -> String {
    if text.starts_with("wamid.") {
        return handles.seal(Kind::Message, text);
    }
    if hides_number(text) || number.is_some_and(|number| text.contains(number)) {
        return handles.seal(Kind::Other, text);
    }
    let is_plain = text.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '-' | ':' | 'e'));
    if is_plain && is_harmless(name) {
        return text.to_owned();
    }
    let redacted = without_numbers(text);
    // A number inside a sentence is someone's; a text that is only a number may be the id of
    // something, and equal ones stay equal.
    match redacted == text || text.chars().any(char::is_alphabetic) {
        true => redacted,
        false => handles.seal(Kind::Other, text),
    }
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

/// Replaces digits that could be a phone number, also those of other scripts, and also in groups.
fn without_numbers(text: &str) -> String {
    let mut redacted = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(char::is_numeric) {
        let (before, from_digits) = rest.split_at(start);
        let date = from_digits.get(..DATE_BYTES).filter(|date| is_date(date));
        let end = date.map_or_else(|| number_end(from_digits), str::len);
        let (digits, after) = from_digits.split_at(end);
        let is_number = date.is_none() && digits.chars().filter(|c| c.is_numeric()).count() >= NUMBER_DIGITS;
        redacted.push_str(before);
        redacted.push_str(if is_number { "…" } else { digits });
        rest = after;
    }
    redacted.push_str(rest);
    redacted
}

/// The end of the digits with which a text begins, across what people write between the groups of a
/// phone number.
fn number_end(text: &str) -> usize {
    let is_between = |c: char| {
        c.is_whitespace()
            || is_hidden(c)
            || matches!(c, '\u{200c}' | '\u{200d}' | '+' | '-' | '.' | '(' | ')' | '‐'..='―')
    };
    let (mut end, mut gap) = (0, 0);
    for (place, c) in text.char_indices() {
        match c {
            _ if c.is_numeric() => (end, gap) = (place + c.len_utf8(), 0),
            _ if is_between(c) && gap < MAX_GAP => gap += 1,
            _ => break,
        }
    }
    end
}

/// Whether the text is a date, as in `2026-11-29`.
fn is_date(text: &str) -> bool {
    let parts: Vec<Option<u32>> = text.split('-').map(|part| part.parse().ok()).collect();
    matches!(parts[..], [Some(1900..=2100), Some(1..=12), Some(1..=31)]) && text.len() == DATE_BYTES
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

    #[test]
    fn number_of_anyone_in_any_spelling_is_replaced() {
        let handles = Handles::new(&[1; 32]);
        for text in [
            "351910000209",
            "+351910000209",
            "+31 600 000 001",
            "(351) 910-000-209",
            "06.12.34.56.78",
            "0612-345678",
            "+31 (0) 6 1234 5678",
            "351\u{a0}910\u{2009}000\u{202f}209",
            "\u{200e}351910000209",
            "35191\u{2060}0000209",
            "٣٥١٩١٠٠٠٠٢٠٩",
            "３５１９１００００２０９",
            "351‑910‑000‑209",
        ] {
            for name in ["mentions", "caller", "sender", "author", "display", "id", "account", "update", "value"] {
                let redacted = redact(&json!({ name: [text] }), &handles, Some("31600000001"));
                assert_eq!(redacted, json!({ name: [handles.seal(Kind::Other, text)] }), "{name} {text}");
            }
            let sentence = redact(&json!(format!("Call {text}, please")), &handles, None).to_string();
            assert!(!sentence.chars().any(char::is_numeric), "{sentence}");
            // A name says what a value is, not how it is written.
            let time = redact(&json!({ "timestamp": text }), &handles, None);
            assert!(
                text.chars().all(|c| c.is_ascii_digit() || "-.".contains(c)) || time != json!({ "timestamp": text })
            );
        }
        let members =
            redact(&json!({ "members": [{ "id": 351_910_000_209_u64 }, 351_910_000_209_u64] }), &handles, None);
        let handle = handles.seal(Kind::Other, "351910000209");
        assert_eq!(members, json!({ "members": [{ "id": handle }, handle] }));
    }

    #[test]
    fn times_amounts_codes_and_dates_stay() {
        let handles = Handles::new(&[1; 32]);
        let kept = json!({
            "timestamp": "1749416383", "expiration_timestamp": 1_749_416_383, "expires_at": 1_749_416_383_000_u64,
            "error_code": 131_047, "error_subcode": 2_494_102, "total_amount": "12500000", "latitude": 52.370_216,
            "share": 0.123_456_789, "business_account_id": "102290129340398", "message_template_id": 594_425_479_261_596_u64,
            "text": "Ends on 2026-11-29 21:00:00, room 123456.", "date": "2026-11-29", "short": "123-456", "count": 3,
        });
        assert_eq!(redact(&kept, &handles, Some("31612345678")), kept);
        // Not if it is the person's number after all.
        let own = redact(&json!({ "timestamp": "31612345678" }), &handles, Some("31612345678"));
        assert_eq!(own, json!({ "timestamp": handles.seal(Kind::Other, "31612345678") }));
    }
}
