//! What the operator may set. README.md tells it with examples; the comments here are the schema's descriptions.

use beadle_plugin::settings::Span;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Settings of the reminder.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Reminder {
    /// The language of those whose language is not known, or not spoken here.
    #[schemars(length(min = 2, max = 8))]
    pub language: String,
    /// Nobody is nudged from this hour on …
    #[schemars(range(max = 23))]
    pub quiet_from: u32,
    /// … until this one; the same hour twice is no quiet at all.
    #[schemars(range(max = 23))]
    pub quiet_until: u32,
    /// By the clocks of this zone, for those whose own is not known (IANA, such as `Europe/Amsterdam`).
    #[schemars(length(min = 1, max = 64))]
    pub timezone: String,
    /// A window whose last so-and-so long falls into the quiet hours is nudged about before they begin.
    pub before: Span,
    /// So many nudges a person gets in seven days at most.
    #[schemars(range(min = 1, max = 7))]
    pub per_week: u32,
    /// Other words, by language.
    pub texts: BTreeMap<String, Words>,
}

/// The words in one language; what is not given is as it comes with the plugin. `{name|there}` is the first name, or "there".
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Words {
    /// Where they wrote and nobody has answered.
    #[schemars(length(min = 1, max = 1000))]
    pub unanswered: Option<String>,
    /// Where we asked and they have not answered.
    #[schemars(length(min = 1, max = 1000))]
    pub asked: Option<String>,
}

impl Default for Reminder {
    fn default() -> Self {
        Self {
            language: "en".to_owned(),
            // When most people mind a message about nothing urgent.
            quiet_from: 21,
            quiet_until: 8,
            timezone: "UTC".to_owned(),
            before: Span::hours(2),
            per_week: 2,
            texts: BTreeMap::new(),
        }
    }
}
