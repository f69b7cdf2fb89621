//! What people asked the operator for.

use super::rfc3339::Ms;
use serde::{Deserialize, Serialize};

/// Something that a person asked the operator for.
#[derive(Debug, Deserialize, Serialize)]
pub struct RequestRow {
    /// Its number.
    pub id: i64,
    /// `human` (to talk to a person), `export` (a copy of their data) or `erase`.
    pub kind: String,
    /// The person: `con_…`
    pub contact: String,
    /// Their name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where they asked: `cnv_…`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// When.
    #[serde(with = "super::rfc3339")]
    pub asked_at: Ms,
    /// When they confirmed it.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<Ms>,
}
