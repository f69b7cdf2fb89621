//! Windows that are open.

use super::Ms;
use serde::{Deserialize, Serialize};

/// A window in a list.
#[derive(Debug, Deserialize, Serialize)]
pub struct WindowRow {
    /// `cnv_…`
    pub conversation: String,
    /// Its channel.
    pub channel: String,
    /// `con_…`; none where it is a group's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// Their name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The platform's group, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// When somebody wrote last.
    #[serde(with = "super::rfc3339")]
    pub last_inbound_at: Ms,
    /// When it closes.
    #[serde(with = "super::rfc3339")]
    pub closes_at: Ms,
    /// Until when the platform takes no money, where they came by an advertisement.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub free_entry_until: Option<Ms>,
}

/// Windows of one channel that close in the same hour: `GET /windows/by-hour`.
#[derive(Debug, Deserialize, Serialize)]
pub struct WindowHourRow {
    /// Which channel.
    pub channel: String,
    /// They close within so many hours, and not within one less.
    pub within_hours: i64,
    /// So many windows.
    pub windows: u64,
}
