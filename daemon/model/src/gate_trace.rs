//! What the gate decided about a message, check by check, as it is kept with the message.

use crate::refusal::Refusal;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckOutcome {
    /// Nothing against it.
    Pass,
    /// Not before this time.
    Later(Timestamp),
    /// Refused.
    Refused(Refusal),
}

/// The result of one check, with the reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceStep {
    /// The check's name.
    pub check: Cow<'static, str>,
    /// What it says.
    pub outcome: CheckOutcome,
    /// Why, as a sentence or the beginning of one that ends in `time`. For a refusal it is the
    /// refusal's message.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub reason: Cow<'static, str>,
    /// The time at the end of the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
}

impl TraceStep {
    /// The reason as a sentence.
    pub fn text(&self) -> String {
        match (&self.outcome, self.time) {
            (CheckOutcome::Refused(refusal), _) => refusal.message.clone(),
            (_, Some(time)) => format!("{} {}", self.reason, time.utc()),
            (_, None) => self.reason.clone().into_owned(),
        }
    }
}

/// The results of all checks at one time. A check that has nothing to say, because nothing is
/// restricted or the message is of another kind, is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateTrace {
    /// When it was decided.
    pub at: Timestamp,
    /// Whether the message was about to leave; otherwise its plugin asked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leaving: bool,
    /// In the order of the checks.
    pub steps: Vec<TraceStep>,
}
