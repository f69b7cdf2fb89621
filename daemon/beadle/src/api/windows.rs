//! Open windows.

use super::rfc3339::Ms;
use serde::{Deserialize, Serialize};

/// A window in a list.
#[derive(Debug, Deserialize, Serialize)]
pub struct WindowRow {
    /// `cnv_…`
    pub conversation: String,
    /// Its channel.
    pub channel: String,
    /// `con_…`; none for a group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// Their name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The platform's id of the group, for a group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// When the last message arrived.
    #[serde(with = "super::rfc3339")]
    pub last_inbound_at: Ms,
    /// When it closes.
    #[serde(with = "super::rfc3339")]
    pub closes_at: Ms,
    /// Until when messages are free, if the contact came from an advertisement.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub free_entry_until: Option<Ms>,
}

/// Windows of one channel that close in the same hour: `GET /windows/by-hour`.
#[derive(Debug, Deserialize, Serialize)]
pub struct WindowHourRow {
    /// The channel.
    pub channel: String,
    /// The hours until they close, rounded up.
    pub within_hours: i64,
    /// The number of windows.
    pub windows: u64,
}
