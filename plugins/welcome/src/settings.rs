//! The plugin's settings. The comments of the fields are the descriptions in the schema; README.md
//! has examples.

use beadle_plugin::settings::Span;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Settings of the welcome plugin.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Welcome {
    /// The name of your community or business.
    #[schemars(length(max = 60))]
    pub brand: String,
    /// What the community is for, in one sentence.
    #[schemars(length(max = 400))]
    pub purpose: String,
    /// A summary of the rules. If neither `rules` nor `rules_link` is set, members are not asked to
    /// agree.
    #[schemars(length(max = 2000))]
    pub rules: String,
    /// The URL of the complete rules.
    #[schemars(length(max = 400))]
    pub rules_link: String,
    /// The version of the rules. Increment it when they change: members who agreed to an earlier
    /// version are asked again with their next message.
    #[schemars(range(min = 1))]
    pub rules_version: u32,
    /// The language for members whose language is unknown or not available.
    #[schemars(length(min = 2, max = 8))]
    pub language: String,
    /// How long to wait for an agreement before a reminder is sent. Keep it below 24 hours: outside
    /// the window a reminder waits until the member writes.
    pub remind_after: Span,
    /// The maximum number of reminders.
    #[schemars(range(max = 5))]
    pub reminders: u32,
    /// How long after the last request it counts as timed out.
    pub time_out_after: Span,
    /// Your own texts by language. `en`, `nl`, `de`, `pt` and `et` are built in; you can add
    /// others.
    pub texts: BTreeMap<String, Texts>,
}

/// Texts in one language. Omitted texts are the built-in ones. `{name}`, `{brand}` and `{purpose}`
/// are replaced, except in button and footer; `{name|there}` becomes `there` if the name is
/// unknown.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Texts {
    /// `purpose` in this language.
    #[schemars(length(max = 400))]
    pub purpose: Option<String>,
    /// `rules` in this language.
    #[schemars(length(max = 2000))]
    pub rules: Option<String>,
    /// `rules_link` in this language.
    #[schemars(length(max = 400))]
    pub rules_link: Option<String>,
    /// The greeting of a new member.
    #[schemars(length(max = 400))]
    pub greeting: Option<String>,
    /// The greeting of a returning member.
    #[schemars(length(max = 400))]
    pub welcome_back: Option<String>,
    /// The answer to ABOUT.
    #[schemars(length(max = 2000))]
    pub about: Option<String>,
    /// The heading of the rules.
    #[schemars(length(max = 100))]
    pub rules_title: Option<String>,
    /// The answer to RULES if there are no rules.
    #[schemars(length(max = 400))]
    pub no_rules: Option<String>,
    /// The label of the button, at most 20 characters.
    #[schemars(length(min = 1, max = 20))]
    pub agree: Option<String>,
    /// The text above the button if the rules are too long for one message and were sent before it.
    #[schemars(length(max = 400))]
    pub prompt: Option<String>,
    /// The footer of the message, at most 60 characters.
    #[schemars(length(min = 1, max = 60))]
    pub footer: Option<String>,
    /// The answer to an agreement.
    #[schemars(length(min = 1, max = 400))]
    pub thanks: Option<String>,
    /// The reminder.
    #[schemars(length(max = 400))]
    pub reminder: Option<String>,
    /// The text above rules that have changed.
    #[schemars(length(max = 400))]
    pub rules_changed: Option<String>,
}

impl Default for Welcome {
    fn default() -> Self {
        Self {
            brand: String::new(),
            purpose: String::new(),
            rules: String::new(),
            rules_link: String::new(),
            rules_version: 1,
            language: "en".to_owned(),
            // Soon enough to be remembered, late enough not to annoy, and well inside the window.
            remind_after: Span::hours(3),
            reminders: 1,
            // When the window of the message with which they joined has closed.
            time_out_after: Span::hours(24),
            texts: BTreeMap::new(),
        }
    }
}

impl Welcome {
    /// Whether there are rules to agree to.
    pub fn has_rules(&self) -> bool {
        !self.rules.is_empty() || !self.rules_link.is_empty()
    }
}
