//! A JSON document as a tree that borrows from its text, with lenient accessors.
//!
//! Typed structs would be slightly faster, but one field of the wrong type would lose a whole
//! webhook. Here an unexpected shape is simply absent, and unused members can be kept as they are.
//! A document is parsed once, in about 2 µs per message. Values nested deeper than the platform
//! ever goes are kept as text, so that everything we store can be read back.

use beadle_model::Timestamp;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fmt;

/// Maximum depth that is parsed; the platform's webhooks have up to 14 levels. Deeper values are
/// kept as text. With the levels of our own envelope this stays well under the 128 at which
/// serde_json stops reading.
const MAX_DEPTH: u8 = 32;

/// The year 10000 in seconds. A later time stamp is not a time stamp.
const MAX_TIMESTAMP_SECS: i64 = 253_402_300_800;

/// A JSON value. Duplicate keys are all kept; the last one wins.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json<'a> {
    Null,
    Bool(bool),
    Number(Number),
    Text(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
    /// A value at [`MAX_DEPTH`], as text.
    TooDeep(&'a str),
}

impl<'a> Json<'a> {
    /// Parses a document; `None` if it is not JSON.
    pub(crate) fn parse(text: &'a [u8]) -> Option<Self> {
        let mut from = serde_json::Deserializer::from_slice(text);
        let tree = DepthLimited(MAX_DEPTH).deserialize(&mut from).ok()?;
        from.end().ok()?;
        Some(tree)
    }

    /// The value of a key, if this is an object that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Json<'a>> {
        match self {
            Json::Object(members) => members.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// [`Json::get`], but null counts as missing.
    pub(crate) fn present(&self, key: &str) -> Option<&Json<'a>> {
        self.get(key).filter(|value| !matches!(value, Json::Null))
    }

    /// The object of a key.
    pub(crate) fn object_of(&self, key: &str) -> Option<&Json<'a>> {
        self.get(key).filter(|value| matches!(value, Json::Object(_)))
    }

    /// The elements, if this is an array.
    pub(crate) fn items(&self) -> Option<&[Json<'a>]> {
        match self {
            Json::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The members, if this is an object.
    pub(crate) fn members(&self) -> Option<&[(Cow<'a, str>, Json<'a>)]> {
        match self {
            Json::Object(members) => Some(members),
            _ => None,
        }
    }

    /// A non-empty string, or a number as a string: the platform writes ids either way.
    pub(crate) fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Json::Text(text) if !text.is_empty() => Some(Cow::Borrowed(text)),
            Json::Number(number) => Some(Cow::Owned(number.to_string())),
            _ => None,
        }
    }

    /// [`Json::text`] of a key.
    pub(crate) fn text_of(&self, key: &str) -> Option<Cow<'_, str>> {
        self.get(key)?.text()
    }

    /// [`Json::text_of`], owned.
    pub(crate) fn string_of(&self, key: &str) -> Option<String> {
        self.text_of(key).map(Cow::into_owned)
    }

    /// A finite number, written as a number or a string.
    pub(crate) fn number_of(&self, key: &str) -> Option<f64> {
        let number = match self.get(key)? {
            Json::Text(text) => text.trim().parse().ok(),
            Json::Number(number) => number.as_f64(),
            _ => None,
        };
        number.filter(|number: &f64| number.is_finite())
    }

    /// A Unix time in seconds, written as a number or a string.
    pub(crate) fn timestamp_of(&self, key: &str) -> Option<Timestamp> {
        let secs = match self.get(key)? {
            Json::Text(text) => text.trim().parse().ok(),
            Json::Number(number) => number.as_i64(),
            _ => None,
        }?;
        (0..MAX_TIMESTAMP_SECS).contains(&secs).then(|| Timestamp::from_secs(secs))
    }

    /// A boolean, written as such or as a string.
    pub(crate) fn bool_of(&self, key: &str) -> Option<bool> {
        match self.get(key)? {
            Json::Bool(yes) => Some(*yes),
            Json::Text(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// Whether the value of a key is `true` or `"true"`.
    pub(crate) fn is_true(&self, key: &str) -> bool {
        self.bool_of(key) == Some(true)
    }

    /// An owned copy.
    pub(crate) fn to_value(&self) -> Value {
        match self {
            Json::Null => Value::Null,
            Json::Bool(yes) => Value::Bool(*yes),
            Json::Number(number) => Value::Number(number.clone()),
            Json::Text(text) => Value::String(text.clone().into_owned()),
            Json::Array(items) => Value::Array(items.iter().map(Json::to_value).collect()),
            Json::Object(_) => Value::Object(self.without(|_| false)),
            Json::TooDeep(text) => Value::String((*text).to_owned()),
        }
    }

    /// An owned copy of the members whose names are not excluded.
    pub(crate) fn without(&self, excluded: impl Fn(&str) -> bool) -> Map<String, Value> {
        let members = self.members().unwrap_or_default().iter().filter(|(name, _)| !excluded(name));
        members.map(|(name, value)| (name.clone().into_owned(), value.to_value())).collect()
    }

    /// Hashes the value, independently of the order of keys and of string escapes.
    pub(crate) fn hash_into(&self, hash: &mut Sha256) {
        match self {
            Json::Null => hash.update("n"),
            Json::Bool(yes) => hash.update(if *yes { "t" } else { "f" }),
            Json::Number(number) => hash_text(hash, "#", &number.to_string()),
            Json::Text(text) => hash_text(hash, "s", text),
            Json::TooDeep(text) => hash_text(hash, "d", text),
            Json::Array(items) => {
                hash_text(hash, "a", &items.len().to_string());
                items.iter().for_each(|item| item.hash_into(hash));
            }
            Json::Object(members) => {
                hash_text(hash, "o", &members.len().to_string());
                let mut sorted: Vec<_> = members.iter().collect();
                sorted.sort_by(|a, b| a.0.cmp(&b.0));
                for (name, value) in sorted {
                    hash_text(hash, "k", name);
                    value.hash_into(hash);
                }
            }
        }
    }
}

fn hash_text(hash: &mut Sha256, kind: &str, text: &str) {
    hash.update(kind);
    hash.update((text.len() as u64).to_le_bytes());
    hash.update(text);
}

/// Deserialises a value with this number of levels left.
#[derive(Clone, Copy)]
struct DepthLimited(u8);

impl<'de> DeserializeSeed<'de> for DepthLimited {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Json<'de>, D::Error> {
        if self.0 > 0 {
            return from.deserialize_any(self);
        }
        // serde_json skips a raw value without recursion, so its depth costs no stack.
        let text = <&RawValue as serde::Deserialize>::deserialize(from)?.get();
        if text.starts_with(['[', '{']) {
            return Ok(Json::TooDeep(text));
        }
        DepthLimited(1).deserialize(&mut serde_json::Deserializer::from_str(text)).map_err(serde::de::Error::custom)
    }
}

impl<'de> Visitor<'de> for DepthLimited {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, yes: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(yes))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json<'de>, E> {
        Ok(Json::Number(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json<'de>, E> {
        Ok(Json::Number(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Json<'de>, E> {
        Ok(Number::from_f64(number).map_or(Json::Null, Json::Number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Json<'de>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = from.next_element_seed(DepthLimited(self.0 - 1))? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Json<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(name) = from.next_key_seed(Name)? {
            members.push((name, from.next_value_seed(DepthLimited(self.0 - 1))?));
        }
        Ok(Json::Object(members))
    }
}

/// Deserialises a key, borrowed if it is written without escapes.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Cow<'de, str>, D::Error> {
        from.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

/// The object, or null if it has no members.
pub(crate) fn object_or_null(map: Map<String, Value>) -> Value {
    if map.is_empty() { Value::Null } else { Value::Object(map) }
}

/// Replaces everything that is not Unicode by `\u{fffd}`: bytes that are not UTF-8, and unpaired
/// surrogates. The platform writes the latter when it truncates a name inside an emoji, which makes
/// the whole body invalid JSON.
pub(crate) fn repair_unicode(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let mut repaired = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        repaired.push_str(before);
        let length = match (utf16_unit(escape), escape.get(6..).and_then(utf16_unit)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(_), _) => 6,
            // If the text is not JSON, the escaped character may have more than one byte.
            (None, _) => 1 + escape.chars().nth(1).map_or(0, char::len_utf8),
        };
        let (escaped, after) = escape.split_at(length);
        let unpaired = length == 6 && matches!(utf16_unit(escape), Some(0xd800..=0xdfff));
        repaired.push_str(if unpaired { "\\ufffd" } else { escaped });
        rest = after;
    }
    repaired.push_str(rest);
    repaired
}

/// The UTF-16 unit of a `\uXXXX` at the start of the text.
fn utf16_unit(text: &str) -> Option<u16> {
    u16::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Json<'_> {
        Json::parse(text.as_bytes()).unwrap()
    }

    fn hash(text: &str) -> Vec<u8> {
        let mut hash = Sha256::new();
        parse(text).hash_into(&mut hash);
        hash.finalize().to_vec()
    }

    #[test]
    fn ids_and_times_may_be_strings_or_numbers() {
        let tree =
            parse(r#"{"a":16505551234,"b":"16505551234","c":"","d":null,"e":[1],"t":"1749416383","u":1749416383}"#);
        assert_eq!(tree.text_of("a"), tree.text_of("b"));
        for key in ["c", "d", "e", "f"] {
            assert_eq!(tree.text_of(key), None);
        }
        assert_eq!(tree.timestamp_of("t"), Some(Timestamp(1_749_416_383_000)));
        assert_eq!(tree.timestamp_of("t"), tree.timestamp_of("u"));
        let tree = parse(r#"{"a":"-1","b":99999999999999999999,"c":"999999999999999","d":"soon","e":1.5}"#);
        for key in ["a", "b", "c", "d", "e"] {
            assert_eq!(tree.timestamp_of(key), None, "{key}");
        }
    }

    #[test]
    fn last_duplicate_key_wins() {
        assert_eq!(parse(r#"{"a":1,"a":2}"#).text_of("a").unwrap(), "2");
        assert_eq!(parse(r#"{"a":1,"a":2}"#).to_value(), serde_json::json!({"a": 2}));
    }

    #[test]
    fn deeply_nested_values_are_kept_as_text() {
        let levels = 200_000;
        let text = format!("{{\"a\":{}7{}}}", "[".repeat(levels), "]".repeat(levels));
        let kept = parse(&text).to_value().to_string();
        assert!(serde_json::from_str::<Value>(&kept).is_ok());
        assert_eq!(kept.matches('[').count(), levels);
        assert_eq!(Json::parse(text.trim_end_matches('}').as_bytes()), None);
        let at_limit = format!("{}\"x\"{}", "[".repeat(32), "]".repeat(32));
        assert_eq!(parse(&at_limit).to_value().to_string(), at_limit);
    }

    #[test]
    fn hash_ignores_key_order_and_escapes() {
        assert_eq!(hash(r#"{"a":"/","b":[1,"ä"]}"#), hash(r#"{ "b":[1, "\u00e4"], "a":"\/" }"#));
        for other in [r#"{"a":"/"}"#, r#"{"a":"/","b":["1","ä"]}"#, r#"{"a":"/","b":[["ä"],1]}"#, r#"["a","/"]"#] {
            assert_ne!(hash(r#"{"a":"/","b":[1,"ä"]}"#), hash(other));
        }
        assert_ne!(hash(r#"["ab","c"]"#), hash(r#"["a","bc"]"#));
    }

    #[test]
    fn unpaired_surrogates_are_replaced() {
        let broken = br#"{"name":"Ann \ud83d","text":"\ud83d\udc4d \udc4d \\ud83d \"","x":"\u00e4"}"#;
        assert_eq!(Json::parse(broken), None);
        let repaired = repair_unicode(broken);
        assert_eq!(
            parse(&repaired).to_value(),
            serde_json::json!({"name": "Ann \u{fffd}", "text": "👍 \u{fffd} \\ud83d \"", "x": "ä"})
        );
        assert_eq!(parse(&repair_unicode(b"{\"a\":\"\xff\"}")).text_of("a").unwrap(), "\u{fffd}");
    }

    proptest! {
        #[test]
        fn repairing_valid_json_changes_nothing(text in any::<String>(), bytes in any::<Vec<u8>>(), noise in "[\\\\uD8d0a-fé\"]{0,40}") {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(repair_unicode(json.as_bytes()), json);
            let _ = repair_unicode(&bytes);
            let _ = repair_unicode(noise.as_bytes());
        }
    }
}
