//! The same for a time that may be missing.

use super::Ms;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A time stamp in its JSON form.
#[derive(Deserialize, Serialize)]
struct Stamp(#[serde(with = "crate::api::rfc3339")] Ms);

#[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
pub fn serialize<S: Serializer>(ms: &Option<Ms>, to: S) -> Result<S::Ok, S::Error> {
    ms.map(Stamp).serialize(to)
}

pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Ms>, D::Error> {
    Ok(Option::<Stamp>::deserialize(from)?.map(|Stamp(ms)| ms))
}
