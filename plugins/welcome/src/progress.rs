//! The progress of a member: waiting → greeted, or rules sent → acknowledged, or reminded and
//! finally timed out. One value in the scope of the contact, so that it is erased with the person.

use beadle_plugin::TimestampMs;
use beadle_plugin::prelude::*;
use serde::{Deserialize, Serialize};

const KEY: &str = "progress";

/// The progress of one member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    pub step: Step,
    /// The latest version of the rules that they agreed to; 0 for none.
    pub agreed: u32,
    /// The version that they were last asked to agree to; 0 for none.
    pub asked: u32,
    /// They had been a member before.
    pub rejoined: bool,
    /// They have left.
    pub left: bool,
    /// A reminder was due outside the window.
    pub reminder_pending: bool,
    /// They joined with the message of this time, which is the next event.
    pub joined_with: Option<TimestampMs>,
}

/// The step a member is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Joined. The greeting waits until they write.
    #[default]
    Waiting,
    /// Greeted, without rules.
    Greeted,
    /// Greeted with rules and button.
    RulesSent,
    /// Reminded this many times.
    Reminded(u32),
    /// They agreed.
    Acknowledged,
    /// They did not agree, and are not asked again. A tap still counts.
    TimedOut,
}

impl Step {
    /// Whether they were asked and have not answered.
    pub fn is_open(self) -> bool {
        matches!(self, Step::RulesSent | Step::Reminded(_))
    }

    /// The number of reminders sent.
    pub fn reminders(self) -> u32 {
        match self {
            Step::Reminded(times) => times,
            _ => 0,
        }
    }
}

impl Progress {
    /// The progress of a contact, if there is any.
    pub fn load(contact: &Contact) -> Result<Option<Self>, Refusal> {
        state::get(contact, KEY)
    }

    /// Saves it.
    pub fn save(&self, contact: &Contact) -> Result<(), Refusal> {
        state::set(contact, KEY, self)
    }
}
