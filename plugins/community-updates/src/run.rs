//! A send: an update on its way through all members, a step at a time.
//!
//! Each step is one event, so it happens whole or not at all: its messages, the note with each member that they had it, and
//! how far the send is. Whatever crashes, nobody gets it twice.

use beadle_plugin::TimestampMs;
use beadle_plugin::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How far a send is; under `run/KEY` in the plugin's scope, with the zone behind it where it is for one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The update's name.
    pub item: String,
    /// What nobody gets twice.
    pub key: String,
    /// Only for members who live there; those whose zone is not known are taken along with the first.
    pub zone: Option<String>,
    pub began_at: TimestampMs,
    /// The last contact that was looked at.
    pub after: Option<String>,
    pub sent: u32,
    /// How many could not be written to, by reason.
    pub missed: BTreeMap<String, u32>,
    /// `sent`, `expired` or `cancelled`, once it is over.
    pub ended: Option<String>,
}

impl Run {
    /// Where it is kept; its timer has the same name.
    pub fn place(key: &str, zone: Option<&str>) -> String {
        zone.map_or_else(|| format!("run/{key}"), |zone| format!("run/{key}/{zone}"))
    }

    /// The one that is kept there.
    pub fn at(place: &str) -> Result<Option<Self>, Refusal> {
        state::get(Scope::Plugin, place)
    }

    /// Remembers it.
    pub fn keep(&self) -> Result<(), Refusal> {
        state::set(Scope::Plugin, &Self::place(&self.key, self.zone.as_deref()), self)
    }
}

/// The note with a member that they had it: the message.
pub fn had(key: &str) -> String {
    format!("had/{key}")
}
