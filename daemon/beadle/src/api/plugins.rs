//! Plugins, what they may do, and what they use.

use super::common::Problem;
use super::rfc3339::Ms;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A document of a plugin: `GET /plugins/{name}/documents`.
#[derive(Debug, Deserialize, Serialize)]
pub struct DocumentRow {
    /// Its path in the folder; empty for the folder itself.
    pub name: String,
    /// In bytes; none if it was rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
    /// When this content was first seen.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub seen_at: Option<Ms>,
    /// Why the current file was rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<String>,
}

/// A value that a plugin has stored: `GET /plugins/{name}/state`.
#[derive(Debug, Deserialize, Serialize)]
pub struct StateRow {
    /// Its key.
    pub key: String,
    /// The value as text, truncated if it is long.
    pub value: String,
    /// The length of the value.
    pub bytes: usize,
}

/// One plugin.
#[derive(Debug, Deserialize, Serialize)]
pub struct PluginRow {
    /// Its name.
    pub name: String,
    /// `active`, `probation`, `resting`, `suspended`, `disabled`, `loading`, `pending`, `broken`,
    /// `removed`.
    pub state: String,
    /// Why it is not available, or why the file in the folder is not active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// The step at which the file in the folder was refused, while an earlier revision is active.
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
    /// The file from which it was loaded; none if no folder contains it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The events it exports.
    pub events: Vec<String>,
    /// The capabilities that it imports.
    pub requested_capabilities: Vec<String>,
    /// The capabilities that were granted by name.
    pub granted_capabilities: Vec<String>,
    /// The JSON Schema of its settings, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings_schema: Option<Value>,
    /// The channels through which it may send; none means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<Vec<String>>,
    /// The capabilities that it requests, what each allows, and whether it is granted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<CapabilityRow>,
    /// Its limits, and the maximum use of each since it was loaded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<LimitRow>,
    /// Revisions available for a rollback, latest first, 12 hex digits each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier_revisions: Vec<String>,
    /// The revision in the folder that was rolled back and is not loaded again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back: Option<String>,
    /// The steps of its loading.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub load_steps: Vec<LoadStep>,
    /// Calls since it was loaded.
    #[serde(default)]
    pub calls: u64,
    /// Those of them that failed.
    #[serde(default)]
    pub failed_calls: u64,
    /// Events that are kept until it is available.
    #[serde(default)]
    pub waiting_events: u64,
    /// Its folder of text files, if one is configured. Only in the view of one plugin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documents: Option<DocumentsView>,
    /// Its state. Only in the view of one plugin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_state: Option<StoredState>,
    /// Its state before the migration, for a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_state: Option<StoredState>,
    /// What it may request. Only in the view of one plugin, as everything about requests and hooks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub egress: Vec<EgressRow>,
    /// Its requests since the daemon was started, by outcome.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<RequestCount>,
    /// The last request that was refused and could be allowed, since its rules changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_request: Option<Problem>,
    /// Its secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretRow>,
    /// Addresses that other programs call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<HookRow>,
    /// When it was suspended.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub suspended_since: Option<Ms>,
    /// When an operator disabled it.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub disabled_since: Option<Ms>,
}

/// A step of loading a plugin.
#[derive(Debug, Deserialize, Serialize)]
pub struct LoadStep {
    /// `read`, `compile`, `settle`, …
    pub name: String,
    /// Its duration in milliseconds.
    pub ms: f64,
}

/// An entry of a plugin's allow-list.
#[derive(Debug, Deserialize, Serialize)]
pub struct EgressRow {
    /// Scheme, host, port and path prefix.
    pub url: String,
    /// The methods that it allows.
    pub methods: Vec<String>,
    /// Networks that it allows in addition to the internet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    /// Names of the secrets that Beadle puts into its requests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
}

/// How many requests had one outcome.
#[derive(Debug, Deserialize, Serialize)]
pub struct RequestCount {
    /// A class of status codes such as `2xx`, or an error code.
    pub outcome: String,
    /// Their number.
    pub count: u64,
}

/// A secret of a plugin, without its value.
#[derive(Debug, Deserialize, Serialize)]
pub struct SecretRow {
    /// Its name.
    pub name: String,
    /// `fixed` or `access-token`.
    pub kind: String,
    /// When an access token expires; none if there is none yet.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Ms>,
    /// Why it could not be renewed or stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// A hook of a plugin.
#[derive(Debug, Deserialize, Serialize)]
pub struct HookRow {
    /// Its path on the public address.
    pub path: String,
    /// Requests that were stored since it was configured.
    pub accepted: u64,
    /// Requests that were refused since then.
    pub refused: u64,
    /// Why the last one was refused, within a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// A plugin's folder of text files, in short.
#[derive(Debug, Deserialize, Serialize)]
pub struct DocumentsView {
    /// Where it is.
    pub folder: String,
    /// The number of files that the plugin can read.
    pub files: usize,
    /// The number of files that were rejected.
    pub rejected: usize,
}

/// A plugin's state as a whole.
#[derive(Debug, Deserialize, Serialize)]
pub struct StoredState {
    /// The version of its format; 0 if the plugin exports no `migration`.
    pub version: u32,
    /// Values in it.
    pub values: u64,
    /// Bytes of its keys and values.
    pub bytes: u64,
    /// When another state replaced it.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub replaced_at: Option<Ms>,
}

/// A capability that a plugin requests.
#[derive(Debug, Deserialize, Serialize)]
pub struct CapabilityRow {
    /// Its interface.
    pub name: String,
    /// What it allows a plugin to do.
    pub allows: String,
    /// `default`, `configuration`, `command`, or `no`.
    pub granted: String,
}

/// A limit and its use.
#[derive(Debug, Deserialize, Serialize)]
pub struct LimitRow {
    /// Its key in `[plugins.NAME.limits]`.
    pub key: String,
    /// As configured.
    pub limit: u64,
    /// The maximum that was used, in the same unit.
    pub used: f64,
}
