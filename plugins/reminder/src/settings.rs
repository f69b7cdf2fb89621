//! The plugin's settings. The comments of the fields are the descriptions in the schema; README.md
//! has examples.

use beadle_plugin::settings::Span;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Settings of the reminder.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Reminder {
    /// The language for people whose language is unknown or not available.
    #[schemars(length(min = 2, max = 8))]
    pub language: String,
    /// The hour at which quiet hours start.
    #[schemars(range(max = 23))]
    pub quiet_from: u32,
    /// The hour at which quiet hours end. Equal hours: no quiet hours.
    #[schemars(range(max = 23))]
    pub quiet_until: u32,
    /// The time zone for people whose own is unknown (IANA, such as `Europe/Amsterdam`).
    #[schemars(length(min = 1, max = 64))]
    pub timezone: String,
    /// If this long before the end of a window it is in quiet hours, the nudge is sent before they
    /// start.
    pub before: Span,
    /// The maximum number of nudges per person in seven days.
    #[schemars(range(min = 1, max = 7))]
    pub per_week: u32,
    /// Your own texts by language.
    pub texts: BTreeMap<String, Texts>,
}

/// Texts in one language. Omitted texts are the built-in ones. `{name|there}` becomes the first
/// name, or `there`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Texts {
    /// For a message that has not been answered.
    #[schemars(length(min = 1, max = 1000))]
    pub unanswered: Option<String>,
    /// For a question that they have not answered.
    #[schemars(length(min = 1, max = 1000))]
    pub asked: Option<String>,
}

impl Default for Reminder {
    fn default() -> Self {
        Self {
            language: "en".to_owned(),
            // When most people do not want a message that is not urgent.
            quiet_from: 21,
            quiet_until: 8,
            timezone: "UTC".to_owned(),
            before: Span::hours(2),
            per_week: 2,
            texts: BTreeMap::new(),
        }
    }
}
