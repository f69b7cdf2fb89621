//! What the configuration says of plugins.

use beadle_pipeline::{OnFailure, Stage};
use beadle_sandbox::{Isolation, Limits};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// `[plugins.NAME]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PluginConfig {
    /// When it is asked.
    pub stage: Stage,
    /// Its place in the stage.
    pub order: i64,
    /// For guards.
    pub on_failure: OnFailure,
    /// Whether its instances are kept warm.
    pub isolation: Isolation,
    /// Capabilities given besides those that everybody has.
    pub grant: Vec<String>,
    /// As JSON; an object, or null for none.
    pub settings: Value,
    /// See [`Limits`].
    pub limits: Limits,
    /// Through which channels it may send; none is all of them.
    pub channels: Option<Vec<String>>,
    /// A handling older than this is not begun, in milliseconds.
    pub max_age_ms: Option<i64>,
    /// Its folder of text files.
    pub documents: Option<PathBuf>,
}

impl PluginConfig {
    /// What a plugin is loaded with. When it changes the plugin is loaded anew; the rest is its place and its capabilities.
    pub(crate) fn load(&self) -> LoadConfig {
        let settings = if self.settings.is_null() { Value::Object(Default::default()) } else { self.settings.clone() };
        LoadConfig { settings, limits: self.limits, channels: self.channels.clone(), isolation: self.isolation }
    }
}

/// The part of [`PluginConfig`] that a plugin is loaded with.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LoadConfig {
    pub settings: Value,
    pub limits: Limits,
    pub channels: Option<Vec<String>>,
    pub isolation: Isolation,
}

/// Where plugins are, and what the configuration says of each.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The first is the operator's.
    pub dirs: Vec<PathBuf>,
    /// By name.
    pub plugins: BTreeMap<String, PluginConfig>,
    /// How often the folders are looked at without being told that something changed, in milliseconds of real time.
    pub poll_interval_ms: i64,
    /// For so long after a plugin folder has gone its plugins go on, in milliseconds of real time.
    pub folder_grace_ms: i64,
    /// For so long a start waits for its plugins, in milliseconds of real time.
    pub startup_timeout_ms: i64,
    /// For so long a removed plugin's state and timers are kept, in milliseconds of civil time.
    pub keep_removed_ms: i64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            dirs: Vec::new(),
            plugins: BTreeMap::new(),
            poll_interval_ms: Self::POLL_INTERVAL_MS,
            folder_grace_ms: Self::FOLDER_GRACE_MS,
            startup_timeout_ms: Self::STARTUP_TIMEOUT_MS,
            keep_removed_ms: Self::KEEP_REMOVED_MS,
        }
    }
}

impl Config {
    /// A notification that was lost delays a change by this, and costs nobody anything. On a network file system, which
    /// notifies of nothing, it is set to what one wants to wait.
    pub const POLL_INTERVAL_MS: i64 = 30_000;
    /// A folder that is moved, mounted or installed anew is back within this; who removed it on purpose can wait.
    pub const FOLDER_GRACE_MS: i64 = 10 * 60 * 1000;
    /// The largest plugins that there are, in Python, take some seconds of a slow machine the first time.
    pub const STARTUP_TIMEOUT_MS: i64 = 30_000;
    /// DESIGN section 7.
    pub const KEEP_REMOVED_MS: i64 = 30 * DAY_MS;
}
