//! The operator's settings for the gate: `[gate]`.

use crate::quiet::QuietHours;
use beadle_gate::StopSwitch;
use beadle_gate::costs::{Budget, Rates};
use std::collections::BTreeMap;

/// The settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `stop`
    pub stop: StopSwitch,
    /// `advertising = "refuse"`
    pub refuses_advertising: bool,
    /// `template_language`: used if a template does not exist in the recipient's language.
    pub template_language: Option<String>,
    /// `join_replies`: texts that follow each other in the replies to one event are one message.
    pub join_replies: bool,
    /// `[gate.quiet_hours]`
    pub quiet_hours: Option<QuietHours>,
    /// `[gate.quiet_hours] applies_to`
    pub quiet_for: QuietFor,
    /// `[gate.marketing_caps]`
    pub caps: MarketingCaps,
    /// `[costs] rates`: the content of the file.
    pub rates: Rates,
    /// `[[budgets]]`
    pub budgets: Vec<Budget>,
    /// The zone of recipients whose zone is not known.
    pub timezone: String,
    /// `no_marketing_in`: countries (ISO 3166) to whose numbers WhatsApp delivers no marketing
    /// templates.
    pub no_marketing_in: Vec<String>,
    /// The business portfolio of each channel. Its numbers share the messaging limit.
    pub portfolios: BTreeMap<String, String>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            stop: StopSwitch::Open,
            refuses_advertising: true,
            template_language: None,
            join_replies: false,
            quiet_hours: None,
            quiet_for: QuietFor::Marketing,
            caps: MarketingCaps::default(),
            rates: Rates::default(),
            budgets: Vec::new(),
            timezone: "UTC".into(),
            no_marketing_in: vec!["US".into()],
            portfolios: BTreeMap::new(),
        }
    }
}

impl Policy {
    pub(crate) fn portfolio(&self, channel: &str) -> String {
        self.portfolios.get(channel).cloned().unwrap_or_else(|| channel.to_owned())
    }
}

/// The messages that wait during quiet hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuietFor {
    /// Marketing.
    Marketing,
    /// Every message that is not a reply.
    Outreach,
}

/// Maximum number of marketing messages to a person. None: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MarketingCaps {
    /// In 24 hours.
    pub per_day: Option<u32>,
    /// In seven days.
    pub per_week: Option<u32>,
    /// Of one topic in seven days.
    pub topic_per_week: Option<u32>,
}
