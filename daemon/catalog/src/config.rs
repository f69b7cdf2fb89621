//! The configuration of plugins and plugin folders.

use beadle_pipeline::{OnFailure, Stage};
use beadle_sandbox::{Isolation, Limits};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// `[plugins.NAME]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PluginConfig {
    /// When it gets an event.
    pub stage: Stage,
    /// Its position in the stage.
    pub order: i64,
    /// What happens to an event if this guard fails.
    pub on_failure: OnFailure,
    /// Whether instances are reused.
    pub isolation: Isolation,
    /// Capabilities granted in addition to the default ones.
    pub grant: Vec<String>,
    /// A JSON object, or null if there are none.
    pub settings: Value,
    /// See [`Limits`].
    pub limits: Limits,
    /// The channels through which it may send; `None` means all.
    pub channels: Option<Vec<String>>,
    /// Older handlings become dead letters, in milliseconds.
    pub max_age_ms: Option<i64>,
    /// Its folder of documents.
    pub documents: Option<PathBuf>,
}

impl PluginConfig {
    /// The part that a plugin is loaded with. If it changes, the plugin is loaded again.
    pub(crate) fn load(&self) -> LoadConfig {
        let settings = if self.settings.is_null() { Value::Object(Default::default()) } else { self.settings.clone() };
        LoadConfig { settings, limits: self.limits, channels: self.channels.clone(), isolation: self.isolation }
    }
}

/// See [`PluginConfig::load`].
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LoadConfig {
    pub settings: Value,
    pub limits: Limits,
    pub channels: Option<Vec<String>>,
    pub isolation: Isolation,
}

/// The plugin folders and the configuration of each plugin.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// In order of precedence; the first is the operator's.
    pub dirs: Vec<PathBuf>,
    /// By plugin name.
    pub plugins: BTreeMap<String, PluginConfig>,
    /// How often folders are checked without a reported change, in milliseconds of real time.
    pub poll_interval_ms: i64,
    /// How long the plugins of a missing folder stay active, in milliseconds of real time.
    pub folder_grace_ms: i64,
    /// How long a start waits for its plugins, in milliseconds of real time.
    pub startup_timeout_ms: i64,
    /// How long the state, timers and events of a removed plugin are kept, in milliseconds of civil
    /// time.
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
    /// A lost notification delays a change by this. Network file systems send none, so there it is
    /// the reaction time.
    pub const POLL_INTERVAL_MS: i64 = 30_000;
    /// A folder that is moved, mounted or installed again is back within this time.
    pub const FOLDER_GRACE_MS: i64 = 10 * 60 * 1000;
    /// The largest plugins (Python) take some seconds on a slow machine the first time.
    pub const STARTUP_TIMEOUT_MS: i64 = 30_000;
    /// See `docs/design.md#reload`.
    pub const KEEP_REMOVED_MS: i64 = 30 * beadle_model::time::DAY_MS;
}
