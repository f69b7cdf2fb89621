//! What planning froze and counted: kept as JSON with the broadcast.

use beadle_model::ContactId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What planning froze and counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The definition of the template by language, as a hash: what changes later is not sent.
    pub templates: BTreeMap<String, String>,
    /// The quality of the template by language.
    pub quality: BTreeMap<String, String>,
    /// People in the audience.
    pub audience: u64,
    /// Those of them who get it.
    pub recipients: u64,
    /// Those who do not, by code.
    pub excluded: BTreeMap<String, u64>,
    /// Recipients who would have to wait if it was sent now, by the check that defers it.
    pub deferred: BTreeMap<String, u64>,
    /// Recipients whose window is open.
    pub open_windows: u64,
    /// Recipients by language.
    pub languages: BTreeMap<String, u64>,
    /// Recipients by what the price depends on.
    pub costs: Vec<PlanCost>,
    /// The currency of the amounts; empty without rates.
    pub currency: String,
    /// What some of them would read.
    pub samples: Vec<Sample>,
}

/// Recipients with the same price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanCost {
    /// ISO 3166; empty if it is not known.
    pub country: String,
    /// `marketing`, `utility`, … or `service`, which is free.
    pub category: String,
    /// How many.
    pub recipients: u64,
    /// What they cost together, in millionths. `None`: the rate is not known.
    pub amount: Option<u64>,
}

/// What a recipient would read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// `template in nl`, `text`, …
    pub kind: String,
    /// The recipient.
    pub contact: ContactId,
    /// The lines.
    pub lines: Vec<String>,
}

impl Plan {
    /// Reads what was stored; `None` if another version wrote it.
    pub fn read(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }
}
