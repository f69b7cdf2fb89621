//! The plugin's settings. The comments of the fields are the descriptions in the schema; README.md
//! has examples.

use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Settings of the community updates plugin.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Updates {
    /// The language for members whose language is unknown, or in whose language an update does not
    /// exist.
    #[schemars(length(min = 2, max = 8))]
    pub language: String,
    /// The time zone of `release_at` and `expires_at` (IANA).
    #[schemars(length(min = 1, max = 64))]
    pub timezone: String,
    /// The number of members per step.
    #[schemars(range(min = 1, max = 40))]
    pub per_step: u32,
    /// The time between two steps in seconds.
    #[schemars(range(max = 3600))]
    pub pause_seconds: u64,
    /// A template with one variable, the first line of the update: sent to members whose window is
    /// closed.
    #[schemars(length(min = 1, max = 512))]
    pub template: Option<String>,
    /// The topic of that template, if it is a marketing template.
    #[schemars(length(min = 1, max = 64))]
    pub topic: Option<String>,
    /// Send each update as a broadcast, which Beadle plans and paces, and which can be paused with
    /// `beadle broadcasts`.
    pub broadcast: Option<Broadcast>,
    /// What members who missed an update, or joined later, get when they write: "latest" or "none".
    pub missed_updates: MissedUpdates,
    /// Updates in the settings instead of files, by name.
    pub updates: BTreeMap<String, Inline>,
}

/// How an update becomes a broadcast.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Broadcast {
    /// What the recipients must have agreed to: `service`, `marketing`, `marketing:TOPIC`, `group`
    /// or `survey`.
    #[schemars(length(min = 1, max = 64))]
    pub purpose: String,
    /// A segment or list of the operator's. Default: all members.
    #[schemars(length(min = 1, max = 64))]
    pub segment: Option<String>,
    /// The channel. Default: the only one.
    #[schemars(length(min = 1, max = 64))]
    pub channel: Option<String>,
}

/// What members get who missed an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MissedUpdates {
    /// The latest update, when they write next.
    Latest,
    /// Nothing.
    None,
}

/// An update in the settings.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Inline {
    /// The text by language.
    pub text: BTreeMap<String, String>,
    /// Not sent before this time: `2026-07-01 09:00`.
    pub release_at: Option<String>,
    /// Not sent from this time on.
    pub expires_at: Option<String>,
    /// Another edition is another update, which every member can get again.
    pub edition: Option<String>,
}

impl Default for Updates {
    fn default() -> Self {
        Self {
            language: "en".to_owned(),
            timezone: "UTC".to_owned(),
            // A message and a state entry each are 80 of the 100 effects of an event.
            per_step: 40,
            // Twenty messages a second leave three quarters of a usual number's rate for answers.
            pause_seconds: 2,
            template: None,
            topic: None,
            broadcast: None,
            missed_updates: MissedUpdates::Latest,
            updates: BTreeMap::new(),
        }
    }
}
