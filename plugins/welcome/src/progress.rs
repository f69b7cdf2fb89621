//! How far a person has come: waiting → greeted, or rules sent → acknowledged, or reminded and at last timed out.
//!
//! One value in the scope of the contact, so that it goes when the person is erased.

use beadle_plugin::TimestampMs;
use beadle_plugin::prelude::*;
use serde::{Deserialize, Serialize};

const KEY: &str = "progress";

/// A person's way through the welcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    pub step: Step,
    /// The newest version of the rules that they agreed to; 0 for none.
    pub agreed: u32,
    /// The version that they were asked about last; 0 for none.
    pub asked: u32,
    /// They had left before: the greeting is "welcome back".
    pub again: bool,
    /// They are gone now.
    pub left: bool,
    /// A reminder was due outside the window.
    pub reminder_waits: bool,
    /// They joined with the message of this time, which comes next.
    pub joined_with: Option<TimestampMs>,
}

/// Where they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// They joined; the greeting waits until they write.
    #[default]
    Waiting,
    /// Greeted, and there were no rules to agree to.
    Greeted,
    /// Greeted, with rules and button.
    RulesSent,
    /// Reminded so many times.
    Reminded(u32),
    /// They agreed.
    Acknowledged,
    /// They did not, and nobody asks again by itself. A tap counts all the same.
    TimedOut,
}

impl Step {
    /// They were asked and have not answered.
    pub fn is_open(self) -> bool {
        matches!(self, Step::RulesSent | Step::Reminded(_))
    }

    /// How often they were reminded.
    pub fn reminders(self) -> u32 {
        match self {
            Step::Reminded(times) => times,
            _ => 0,
        }
    }
}

impl Progress {
    /// What is known of this person, if anything.
    pub fn of(who: &Contact) -> Result<Option<Self>, Refusal> {
        state::get(who, KEY)
    }

    /// Remembers it.
    pub fn keep(&self, who: &Contact) -> Result<(), Refusal> {
        state::set(who, KEY, self)
    }
}
