//! Plugins, what they may do, and what they use.

use super::{Ms, Problem};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A document of a plugin: `GET /plugins/{name}/documents`.
#[derive(Debug, Deserialize, Serialize)]
pub struct DocumentRow {
    /// Its path in the folder; empty for the folder itself.
    pub name: String,
    /// In bytes; none where it is not taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
    /// When this content was seen first.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub seen_at: Option<super::Ms>,
    /// Why what lies there now is not taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<String>,
}

/// A value that a plugin keeps: `GET /plugins/{name}/state`.
#[derive(Debug, Deserialize, Serialize)]
pub struct StateRow {
    /// Its key.
    pub key: String,
    /// As text; its beginning, where it is long.
    pub value: String,
    /// How long it is.
    pub bytes: usize,
}

/// One plugin.
#[derive(Debug, Deserialize, Serialize)]
pub struct PluginRow {
    /// Its name.
    pub name: String,
    /// `active`, `probation`, `resting`, `suspended`, `disabled`, `loading`, `pending`, `broken`, `removed`.
    pub state: String,
    /// Why it does not serve, or why what lies in the folder does not take over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// The step at which what lies in the folder was refused, while an earlier revision serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_step: Option<String>,
    /// `guard`, `answer`, `observe`.
    pub stage: String,
    /// Its place in the stage.
    pub order: i64,
    /// As its author says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// As its author says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// The content's hash, 12 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Where it was loaded from; none where no folder has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The events it exports.
    pub events: Vec<String>,
    /// The rights it imports.
    pub requested_capabilities: Vec<String>,
    /// The rights it was granted by name.
    pub granted_capabilities: Vec<String>,
    /// What it understands as settings (JSON Schema), where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings_schema: Option<Value>,
    /// The channels that it may send through; none is all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<Vec<String>>,
    /// What its wishes let it do, and whether it may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<CapabilityRow>,
    /// Its limits, and the most that it used of each since it was loaded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<LimitRow>,
    /// Revisions that one can go back to, the latest first, 12 hex digits each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier_revisions: Vec<String>,
    /// The revision in the folder that was sent back and is not taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back: Option<String>,
    /// The steps by which it came into service, and how many milliseconds each took.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub load_steps: Vec<(String, f64)>,
    /// Calls so far, and those that failed.
    #[serde(default)]
    pub calls: (u64, u64),
    /// Events that are kept until it can be asked.
    #[serde(default)]
    pub waiting_events: u64,
    /// Its folder of text files, where it is configured; told where one plugin is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documents: Option<DocumentsView>,
    /// What it keeps; asked where one plugin is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_state: Option<StoredState>,
    /// What it kept before its state was brought over, to go back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_state: Option<StoredState>,
    /// Since when it is suspended.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub suspended_since: Option<Ms>,
    /// Since when a person has it switched off.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub disabled_since: Option<Ms>,
}

/// A plugin's folder of text files, in short.
#[derive(Debug, Deserialize, Serialize)]
pub struct DocumentsView {
    /// Where it is.
    pub folder: String,
    /// How many the plugin can read.
    pub files: usize,
    /// How many lie there and are not taken.
    pub rejected: usize,
}

/// A plugin's state as a whole.
#[derive(Debug, Deserialize, Serialize)]
pub struct StoredState {
    /// The version of its form; 0 where the plugin numbers none.
    pub version: u32,
    /// Values in it.
    pub values: u64,
    /// Bytes of its keys and values.
    pub bytes: u64,
    /// When the plugin took another.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub replaced_at: Option<Ms>,
}

/// A right that a plugin asks for.
#[derive(Debug, Deserialize, Serialize)]
pub struct CapabilityRow {
    /// Its interface.
    pub name: String,
    /// What it lets a plugin do.
    pub allows: String,
    /// `everybody`, `configuration`, `command`, or `no`.
    pub granted: String,
}

/// A limit, and what was used of it.
#[derive(Debug, Deserialize, Serialize)]
pub struct LimitRow {
    /// Its key in `[plugins.NAME.limits]`.
    pub key: String,
    /// As configured.
    pub limit: u64,
    /// The most that was used, in the same unit.
    pub used: f64,
}
