//! Values of fields, in one form for both sides, and hashes of them.
//!
//! The state of a link keeps hashes instead of values: it stays small, and holds nothing about a
//! person that a reader could use.

use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use std::fmt;

/// A value of a field. An empty one is `None` where values are optional.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// Yes or no.
    Flag(bool),
    /// A number, with the digits that it was written with.
    Number(serde_json::Number),
    /// A text.
    Text(String),
    /// Several texts, whose order does not matter.
    List(Vec<String>),
}

/// Most elements of a list that are compared; a contact has at most 100 tags.
const MAX_ELEMENTS: usize = 100;

impl Value {
    /// A text; `None` if it is empty.
    pub fn text(text: impl Into<String>) -> Option<Self> {
        Self::Text(text.into()).tidied()
    }

    /// A list; `None` if it is empty.
    pub fn list<T: Into<String>>(elements: impl IntoIterator<Item = T>) -> Option<Self> {
        Self::List(elements.into_iter().map(Into::into).collect()).tidied()
    }

    /// Without what makes no difference: spaces around texts, order and repetition in lists.
    pub fn tidied(self) -> Option<Self> {
        match self {
            Self::Text(text) => {
                let trimmed = text.trim();
                (!trimmed.is_empty()).then(|| Self::Text(trimmed.to_owned()))
            }
            Self::List(elements) => {
                let trimmed = elements.iter().map(|element| element.trim().to_owned());
                let mut elements: Vec<String> = trimmed.filter(|element| !element.is_empty()).collect();
                elements.sort();
                elements.dedup();
                elements.truncate(MAX_ELEMENTS);
                (!elements.is_empty()).then_some(Self::List(elements))
            }
            other => Some(other),
        }
    }

    /// Reads a value of JSON. Objects are not values of fields.
    pub fn from_json(json: &Json) -> Option<Self> {
        match json {
            Json::Null | Json::Object(_) => None,
            Json::Bool(flag) => Some(Self::Flag(*flag)),
            Json::Number(number) => Some(Self::Number(number.clone())),
            Json::String(text) => Self::text(text),
            Json::Array(elements) => {
                let texts = elements.iter().filter_map(|element| Some(Self::from_json(element)?.to_string()));
                Self::list(texts)
            }
        }
    }

    /// As JSON.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Flag(flag) => Json::Bool(*flag),
            Self::Number(number) => Json::Number(number.clone()),
            Self::Text(text) => Json::String(text.clone()),
            Self::List(elements) => Json::from(elements.clone()),
        }
    }

    /// Its elements: of a text, the text.
    pub fn elements(&self) -> Vec<String> {
        match self {
            Self::List(elements) => elements.clone(),
            other => vec![other.to_string()],
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => flag.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
            Self::List(elements) => f.write_str(&elements.join(", ")),
        }
    }
}

/// The hash of a value. `5` and `"5"`, or `true` and `"true"`, are the same value: some systems
/// return everything as texts. Nothing is 0.
pub fn hash(value: Option<&Value>) -> u64 {
    match value {
        None => 0,
        Some(Value::List(elements)) => {
            let mut text = String::new();
            for element in elements {
                text.push('\u{1e}');
                text.push_str(element);
            }
            hash_text(&text)
        }
        Some(other) => hash_text(&other.to_string()),
    }
}

/// The hash of a text: the first eight bytes of SHA-256, never 0.
pub fn hash_text(text: &str) -> u64 {
    first_eight(&Sha256::digest(text.as_bytes())).max(1)
}

/// The keyed hash of something that must be recognised after it was erased.
pub fn keyed_hash(key: &[u8], text: &str) -> u64 {
    // HMAC takes keys of any length; without one the hash is still one of the text.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return hash_text(text) };
    mac.update(text.as_bytes());
    first_eight(&mac.finalize().into_bytes())
}

/// A UUID (version 8, RFC 9562) that is the same for the same text.
pub fn uuid(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let mut bytes = [0u8; 16];
    for (to, from) in bytes.iter_mut().zip(digest.iter()) {
        *to = *from;
    }
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
    *version = *version & 0x0f | 0x80;
    *variant = *variant & 0x3f | 0x80;
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}

fn first_eight(digest: &[u8]) -> u64 {
    digest.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_of_a_value_makes_no_difference() {
        let json = |text| Value::from_json(&serde_json::from_str(text).unwrap());
        for (one, other) in [
            ("5", "\"5\""),
            ("true", "\"true\""),
            ("\" Ana \"", "\"Ana\""),
            ("[\"b\",\"a\",\"a\"]", "[\"a\",\"b\"]"),
            ("null", "\"  \""),
            ("[]", "{}"),
        ] {
            assert_eq!(hash(json(one).as_ref()), hash(json(other).as_ref()), "{one} {other}");
        }
        assert_ne!(hash(json("[\"a\",\"b\"]").as_ref()), hash(json("\"a, b\"").as_ref()));
        assert_ne!(hash(json("\"a\"").as_ref()), hash(json("[\"a\"]").as_ref()));
    }

    #[test]
    fn uuids_have_their_form_and_repeat() {
        assert_eq!(uuid("con_7"), uuid("con_7"));
        assert_ne!(uuid("con_7"), uuid("con_8"));
        let uuid = uuid("con_7");
        assert_eq!((uuid.len(), uuid.get(14..15)), (36, Some("8")));
    }

    #[test]
    fn keyed_hashes_differ_by_key() {
        assert_eq!(keyed_hash(b"key", "x"), keyed_hash(b"key", "x"));
        assert_ne!(keyed_hash(b"key", "x"), keyed_hash(b"another", "x"));
    }
}
