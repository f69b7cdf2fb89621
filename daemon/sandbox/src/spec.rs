//! What is needed to load a plugin, and what a plugin says about itself.

use crate::first_calls::FirstCalls;
use crate::limits::Limits;
use beadle_model::{PluginNo, StateNo};
use serde_json::Value;

/// A plugin to load.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The stem of its file name.
    pub name: String,
    /// Its number in the store.
    pub no: PluginNo,
    /// The state that it reads and writes.
    pub state: StateNo,
    /// The contents of its file.
    pub bytes: Vec<u8>,
    /// `[plugins.NAME] settings`: an object, or null if there are none.
    pub settings: Value,
    /// Its limits.
    pub limits: Limits,
    /// `[plugins.NAME] channels`: the channels on which it may send; none for all.
    pub channels: Option<Vec<String>>,
    /// The lifetime of its instances.
    pub isolation: Isolation,
    /// Where the first calls of its fresh instances are reported, if anywhere.
    pub first_calls: Option<FirstCalls>,
}

/// The lifetime of instances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// An instance handles many events, one at a time.
    #[default]
    Warm,
    /// An instance handles one event.
    PerEvent,
}

/// What a plugin says about itself. Shown to people, never used as an identity.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct About {
    /// Its own version.
    pub version: String,
    /// One line.
    pub summary: String,
    /// JSON Schema of its settings, if it has any.
    pub settings_schema: Option<Value>,
}
