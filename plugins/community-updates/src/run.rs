//! The run of an update through all members, step by step.
//!
//! Each step is one event, so its messages, the entry of each member who got the update, and the
//! progress are committed together or not at all. So no one gets an update twice, even after a
//! crash.

use beadle_plugin::TimestampMs;
use beadle_plugin::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The progress of a run, under `run/KEY` or `run/KEY/ZONE` in the plugin's scope.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The update's name.
    pub update: String,
    /// Identifies the update and its edition; each member gets it at most once.
    pub key: String,
    /// Only for members who live in this zone. Members whose zone is unknown belong to the first
    /// run.
    pub zone: Option<String>,
    pub started_at: TimestampMs,
    /// The last contact that was checked.
    pub after: Option<String>,
    pub sent: u32,
    /// Of these, the number of members who were notified by a template.
    #[serde(default)]
    pub announced: u32,
    /// The broadcast that sends it. None: the plugin sends it itself.
    #[serde(default)]
    pub broadcast: Option<String>,
    /// The number of members who could not be sent to, by reason.
    pub missed: BTreeMap<String, u32>,
    /// `sent`, `expired` or `cancelled`. None while it runs.
    pub ended: Option<String>,
}

impl Run {
    /// The key of its state and of its timer.
    pub fn state_key(key: &str, zone: Option<&str>) -> String {
        zone.map_or_else(|| format!("run/{key}"), |zone| format!("run/{key}/{zone}"))
    }

    /// Loads a run.
    pub fn load(state_key: &str) -> Result<Option<Self>, Refusal> {
        state::get(Scope::Plugin, state_key)
    }

    /// Saves it.
    pub fn save(&self) -> Result<(), Refusal> {
        state::set(Scope::Plugin, &Self::state_key(&self.key, self.zone.as_deref()), self)
    }
}

/// The key of a member's entry that they got an update. Its value is the message.
pub fn received(key: &str) -> String {
    format!("received/{key}")
}

/// The key of a member's entry that they were notified of an update by a template, and have not got
/// it. Its value is the message.
pub fn announced(key: &str) -> String {
    format!("announced/{key}")
}
