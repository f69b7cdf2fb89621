//! The plan of a broadcast: stored as JSON.

use beadle_model::ContactId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The plan of a broadcast: what planning froze, and its counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The hash of the template's definition by language. A template with another hash is not sent.
    pub templates: BTreeMap<String, String>,
    /// The quality of the template by language.
    pub quality: BTreeMap<String, String>,
    /// People in the audience.
    pub audience: u64,
    /// Those who get the message.
    pub recipients: u64,
    /// Those who do not get it, by the code of the refusal.
    pub excluded: BTreeMap<String, u64>,
    /// Recipients whose message would have been deferred at the time of planning, by the check.
    pub deferred: BTreeMap<String, u64>,
    /// Recipients whose window is open.
    pub open_windows: u64,
    /// Recipients by language.
    pub languages: BTreeMap<String, u64>,
    /// Recipients by market and category.
    pub costs: Vec<PlanCost>,
    /// The currency of the amounts; empty without rates.
    pub currency: String,
    /// The message as some recipients would read it.
    pub samples: Vec<Sample>,
}

/// Recipients with the same price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanCost {
    /// ISO 3166; empty if unknown.
    pub country: String,
    /// `marketing`, `utility`, … or `service`, which is free.
    pub category: String,
    /// The number of recipients.
    pub recipients: u64,
    /// Their total cost in millionths of the currency. `None`: the rate is unknown.
    pub amount: Option<u64>,
}

/// The message as a recipient would read it.
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
    /// Parses the stored JSON; `None` if another version wrote it.
    pub fn read(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }
}
