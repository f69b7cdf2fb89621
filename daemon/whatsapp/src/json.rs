//! A JSON document as a tree that borrows its text, and forgiving ways to look into it.
//!
//! Typed structs would be a little faster, and would lose a whole webhook over one field of the wrong type. Here a shape
//! that is not expected is simply not found, and what was not used can be kept as it was: one parse, about 2 µs a message.
//! Below a depth that the platform never comes near, a document is kept as text, so that what we store can be read again.

use beadle_model::Timestamp;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fmt;

/// Levels of nesting that are looked into; the platform's webhooks have up to 14. What lies below is kept as text.
/// Together with the levels that our own envelope adds it stays well under the 128 at which serde_json stops reading.
const DEPTH: u8 = 32;

/// The year 10000, in seconds: a later time stamp is no time stamp.
const LAST_SECOND: i64 = 253_402_300_800;

/// A JSON value. Keys that come twice are all there; the last one counts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json<'a> {
    Null,
    Bool(bool),
    Number(Number),
    Text(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
    /// Nested too deep to be looked into: its text.
    Deep(&'a str),
}

impl<'a> Json<'a> {
    /// The document; `None` where it is none.
    pub(crate) fn parse(text: &'a [u8]) -> Option<Self> {
        let mut from = serde_json::Deserializer::from_slice(text);
        let tree = Levels(DEPTH).deserialize(&mut from).ok()?;
        from.end().ok()?;
        Some(tree)
    }

    /// The value of a key, where this is an object that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Json<'a>> {
        match self {
            Json::Object(members) => members.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The elements, where it is an array.
    pub(crate) fn items(&self) -> Option<&[Json<'a>]> {
        match self {
            Json::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The members, where it is an object.
    pub(crate) fn members(&self) -> Option<&[(Cow<'a, str>, Json<'a>)]> {
        match self {
            Json::Object(members) => Some(members),
            _ => None,
        }
    }

    /// A text that is not empty, or a number as text: the platform writes ids either way.
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

    /// A number, as a number or a text.
    pub(crate) fn number_of(&self, key: &str) -> Option<f64> {
        let number = match self.get(key)? {
            Json::Text(text) => text.trim().parse().ok(),
            Json::Number(number) => number.as_f64(),
            _ => None,
        };
        number.filter(|number: &f64| number.is_finite())
    }

    /// Seconds since 1970, as a text or a number.
    pub(crate) fn moment_of(&self, key: &str) -> Option<Timestamp> {
        let secs = match self.get(key)? {
            Json::Text(text) => text.trim().parse().ok(),
            Json::Number(number) => number.as_i64(),
            _ => None,
        }?;
        (0..LAST_SECOND).contains(&secs).then(|| Timestamp::from_secs(secs))
    }

    /// A yes that may be written as a text.
    pub(crate) fn is_true(&self, key: &str) -> bool {
        match self.get(key) {
            Some(Json::Bool(yes)) => *yes,
            Some(Json::Text(text)) => text == "true",
            _ => false,
        }
    }

    /// As serde_json has it, owned.
    pub(crate) fn to_value(&self) -> Value {
        match self {
            Json::Null => Value::Null,
            Json::Bool(yes) => Value::Bool(*yes),
            Json::Number(number) => Value::Number(number.clone()),
            Json::Text(text) => Value::String(text.clone().into_owned()),
            Json::Array(items) => Value::Array(items.iter().map(Json::to_value).collect()),
            Json::Object(_) => Value::Object(self.without(|_| false)),
            Json::Deep(text) => Value::String((*text).to_owned()),
        }
    }

    /// The members of an object but for some.
    pub(crate) fn without(&self, some: impl Fn(&str) -> bool) -> Map<String, Value> {
        let members = self.members().unwrap_or_default().iter().filter(|(name, _)| !some(name));
        members.map(|(name, value)| (name.clone().into_owned(), value.to_value())).collect()
    }

    /// Feeds a hash with what the document says, whatever the order of its keys and the way its texts are escaped.
    pub(crate) fn hash_into(&self, hash: &mut Sha256) {
        match self {
            Json::Null => hash.update("n"),
            Json::Bool(yes) => hash.update(if *yes { "t" } else { "f" }),
            Json::Number(number) => hash_text(hash, "#", &number.to_string()),
            Json::Text(text) => hash_text(hash, "s", text),
            Json::Deep(text) => hash_text(hash, "d", text),
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

/// Reads a value with so many levels left.
#[derive(Clone, Copy)]
struct Levels(u8);

impl<'de> DeserializeSeed<'de> for Levels {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Json<'de>, D::Error> {
        if self.0 > 0 {
            return from.deserialize_any(self);
        }
        // serde_json skips over it without recursion, so that its depth costs no stack.
        let text = <&RawValue as serde::Deserialize>::deserialize(from)?.get();
        if text.starts_with(['[', '{']) {
            return Ok(Json::Deep(text));
        }
        Levels(1).deserialize(&mut serde_json::Deserializer::from_str(text)).map_err(serde::de::Error::custom)
    }
}

impl<'de> Visitor<'de> for Levels {
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
        while let Some(item) = from.next_element_seed(Levels(self.0 - 1))? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Json<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(name) = from.next_key_seed(Name)? {
            members.push((name, from.next_value_seed(Levels(self.0 - 1))?));
        }
        Ok(Json::Object(members))
    }
}

/// Reads a key, borrowed where it is written without escapes.
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

/// The text with what is not Unicode replaced by `\u{fffd}`: bytes that are not UTF-8, and halves of surrogate pairs
/// (a name that the platform cut in the middle of an emoji is written so, and would cost all that came with it).
pub(crate) fn mend(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let mut mended = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        mended.push_str(before);
        let length = match (unit(escape), escape.get(6..).and_then(unit)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(_), _) => 6,
            // The escaped character may have more than one byte where the text is not JSON at all.
            (None, _) => 1 + escape.chars().nth(1).map_or(0, char::len_utf8),
        };
        let (escaped, behind) = escape.split_at(length);
        let half = length == 6 && matches!(unit(escape), Some(0xd800..=0xdfff));
        mended.push_str(if half { "\\ufffd" } else { escaped });
        rest = behind;
    }
    mended.push_str(rest);
    mended
}

/// The UTF-16 unit of a `\uXXXX` that the text begins with.
fn unit(text: &str) -> Option<u16> {
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
    fn ids_are_texts_or_numbers_and_times_too() {
        let tree =
            parse(r#"{"a":16505551234,"b":"16505551234","c":"","d":null,"e":[1],"t":"1749416383","u":1749416383}"#);
        assert_eq!(tree.text_of("a"), tree.text_of("b"));
        for key in ["c", "d", "e", "f"] {
            assert_eq!(tree.text_of(key), None);
        }
        assert_eq!(tree.moment_of("t"), Some(Timestamp(1_749_416_383_000)));
        assert_eq!(tree.moment_of("t"), tree.moment_of("u"));
        let tree = parse(r#"{"a":"-1","b":99999999999999999999,"c":"999999999999999","d":"soon","e":1.5}"#);
        for key in ["a", "b", "c", "d", "e"] {
            assert_eq!(tree.moment_of(key), None, "{key}");
        }
    }

    #[test]
    fn the_last_of_two_keys_counts() {
        assert_eq!(parse(r#"{"a":1,"a":2}"#).text_of("a").unwrap(), "2");
        assert_eq!(parse(r#"{"a":1,"a":2}"#).to_value(), serde_json::json!({"a": 2}));
    }

    #[test]
    fn any_depth_is_read_and_what_is_deep_kept_as_text() {
        let levels = 200_000;
        let text = format!("{{\"a\":{}7{}}}", "[".repeat(levels), "]".repeat(levels));
        let kept = parse(&text).to_value().to_string();
        assert!(serde_json::from_str::<Value>(&kept).is_ok());
        assert_eq!(kept.matches('[').count(), levels);
        assert_eq!(Json::parse(text.trim_end_matches('}').as_bytes()), None);
        let just = format!("{}\"x\"{}", "[".repeat(32), "]".repeat(32));
        assert_eq!(parse(&just).to_value().to_string(), just);
    }

    #[test]
    fn the_hash_is_of_what_is_said() {
        assert_eq!(hash(r#"{"a":"/","b":[1,"ä"]}"#), hash(r#"{ "b":[1, "\u00e4"], "a":"\/" }"#));
        for other in [r#"{"a":"/"}"#, r#"{"a":"/","b":["1","ä"]}"#, r#"{"a":"/","b":[["ä"],1]}"#, r#"["a","/"]"#] {
            assert_ne!(hash(r#"{"a":"/","b":[1,"ä"]}"#), hash(other));
        }
        assert_ne!(hash(r#"["ab","c"]"#), hash(r#"["a","bc"]"#));
    }

    #[test]
    fn half_an_emoji_is_mended() {
        let broken = br#"{"name":"Ann \ud83d","text":"\ud83d\udc4d \udc4d \\ud83d \"","x":"\u00e4"}"#;
        assert_eq!(Json::parse(broken), None);
        let mended = mend(broken);
        assert_eq!(
            parse(&mended).to_value(),
            serde_json::json!({"name": "Ann \u{fffd}", "text": "👍 \u{fffd} \\ud83d \"", "x": "ä"})
        );
        assert_eq!(parse(&mend(b"{\"a\":\"\xff\"}")).text_of("a").unwrap(), "\u{fffd}");
    }

    proptest! {
        #[test]
        fn mending_harms_nothing(text in any::<String>(), bytes in any::<Vec<u8>>(), noise in "[\\\\uD8d0a-fé\"]{0,40}") {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(mend(json.as_bytes()), json);
            let _ = mend(&bytes);
            let _ = mend(noise.as_bytes());
        }
    }
}
