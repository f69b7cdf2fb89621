//! Time stamps in JSON: `2026-11-21T20:36:00.123Z`. For `#[serde(with = "…")]`.

pub mod option;

use serde::{Deserialize, Deserializer, Serializer, de::Error};

/// A point in time: milliseconds since 1970-01-01T00:00:00Z here, RFC 3339 text in JSON.
pub type Ms = i64;

pub fn serialize<S: Serializer>(ms: &Ms, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&beadle_model::Timestamp(*ms))
}

pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Ms, D::Error> {
    let text = String::deserialize(from)?;
    text.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_millisecond).map_err(D::Error::custom)
}
