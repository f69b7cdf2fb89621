//! What the operator may set. README.md tells it with examples; the comments here are the schema's descriptions.

use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Settings of the updates.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Updates {
    /// For members whose language is not known, or in whose language an update was not written.
    #[schemars(length(min = 2, max = 8))]
    pub language: String,
    /// `release_at` and `expires_at` are by the clocks of this zone (IANA).
    #[schemars(length(min = 1, max = 64))]
    pub timezone: String,
    /// Contacts (`con_…`) who get the report, and may write `!updates` and `!preview NAME`.
    #[schemars(length(max = 20))]
    pub admins: Vec<String>,
    /// Members who are written to in one step.
    #[schemars(range(min = 1, max = 40))]
    pub per_step: u32,
    /// Seconds between two steps.
    #[schemars(range(max = 3600))]
    pub pause_seconds: u64,
    /// Who joins later, or could not be written to, gets the latest update when they write: "latest" or "none".
    pub catch_up: CatchUp,
    /// Updates that stand here rather than in a file, by name.
    pub updates: BTreeMap<String, Inline>,
}

/// What those get who were not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CatchUp {
    /// The latest update, with their next message.
    Latest,
    /// Nothing.
    None,
}

/// An update in the settings.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Inline {
    /// What it says, by language.
    pub text: BTreeMap<String, String>,
    /// Nobody gets it before: `2026-07-01 09:00`.
    pub release_at: Option<String>,
    /// Nobody gets it from then on.
    pub expires_at: Option<String>,
    /// Another edition is another update: everybody may get it again.
    pub edition: Option<String>,
}

impl Default for Updates {
    fn default() -> Self {
        Self {
            language: "en".to_owned(),
            timezone: "UTC".to_owned(),
            admins: Vec::new(),
            // A message and a note of it each are 80 of the 100 effects of an event.
            per_step: 40,
            // Twenty a second leave a usual number three quarters of its pace for answers.
            pause_seconds: 2,
            catch_up: CatchUp::Latest,
            updates: BTreeMap::new(),
        }
    }
}
