//! What the operator may set. README.md tells it with examples; the comments here are the schema's descriptions.

use beadle_plugin::settings::Span;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Settings of the welcome plugin.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Welcome {
    /// The name that people know you by.
    #[schemars(length(max = 60))]
    pub brand: String,
    /// What this is for, in a sentence.
    #[schemars(length(max = 400))]
    pub purpose: String,
    /// The rules, short. Without rules and link nobody is asked to agree to anything.
    #[schemars(length(max = 2000))]
    pub rules: String,
    /// Where the rules stand in full.
    #[schemars(length(max = 400))]
    pub rules_link: String,
    /// Raise it when the rules change: who agreed to an older version is asked again when they write next.
    #[schemars(range(min = 1))]
    pub rules_version: u32,
    /// The language of those whose language is not known, or not spoken here.
    #[schemars(length(min = 2, max = 8))]
    pub language: String,
    /// How long to wait for a yes before reminding; under 24 hours, since a reminder outside the window waits until
    /// they write.
    pub remind_after: Span,
    /// How often to remind.
    #[schemars(range(max = 5))]
    pub reminders: u32,
    /// How long after the last question they count as timed out.
    pub time_out_after: Span,
    /// Other words, by language: `en`, `nl`, `de`, `pt`, `et`, or one that you write whole.
    pub texts: BTreeMap<String, Words>,
}

/// The words in one language. What is not given is as it comes with the plugin. `{name}`, `{brand}` and `{purpose}` are
/// filled in, but for button and footer; `{name|there}` says what stands there where the name is not known.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Words {
    /// `purpose` in this language.
    #[schemars(length(max = 400))]
    pub purpose: Option<String>,
    /// `rules` in this language.
    #[schemars(length(max = 2000))]
    pub rules: Option<String>,
    /// `rules_link` in this language.
    #[schemars(length(max = 400))]
    pub rules_link: Option<String>,
    /// The greeting.
    #[schemars(length(max = 400))]
    pub greeting: Option<String>,
    /// The greeting of who comes back.
    #[schemars(length(max = 400))]
    pub greeting_again: Option<String>,
    /// The answer to ABOUT.
    #[schemars(length(max = 2000))]
    pub about: Option<String>,
    /// The line above the rules.
    #[schemars(length(max = 100))]
    pub rules_title: Option<String>,
    /// The answer to RULES where there are none.
    #[schemars(length(max = 400))]
    pub no_rules: Option<String>,
    /// The button; WhatsApp takes 20 characters.
    #[schemars(length(min = 1, max = 20))]
    pub agree: Option<String>,
    /// What asks for the tap, where the rules went ahead as a message of their own.
    #[schemars(length(max = 400))]
    pub please: Option<String>,
    /// The small line below; WhatsApp takes 60 characters.
    #[schemars(length(min = 1, max = 60))]
    pub footer: Option<String>,
    /// The thanks for the yes.
    #[schemars(length(min = 1, max = 400))]
    pub thanks: Option<String>,
    /// The reminder.
    #[schemars(length(max = 400))]
    pub reminder: Option<String>,
    /// What stands above rules that have changed.
    #[schemars(length(max = 400))]
    pub changed: Option<String>,
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
            // Soon enough to be remembered, late enough not to nag; well inside the 24 hours.
            remind_after: Span::hours(3),
            reminders: 1,
            // The window of the message that they joined with is over then.
            time_out_after: Span::hours(24),
            texts: BTreeMap::new(),
        }
    }
}

impl Welcome {
    /// Whether there is anything to agree to.
    pub fn has_rules(&self) -> bool {
        !self.rules.is_empty() || !self.rules_link.is_empty()
    }
}
