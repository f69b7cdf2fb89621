//! What the gate says about a message.

use super::common::Problem;
use super::rfc3339::Ms;
use serde::{Deserialize, Serialize};

/// `GET /gate/explain/{recipient}`
#[derive(Debug, Deserialize, Serialize)]
pub struct GateView {
    /// The daemon's time.
    #[serde(with = "super::rfc3339")]
    pub now: Ms,
    /// `cnv_…`
    pub conversation: String,
    /// `send`, `later`, `template-needed` or `refused`.
    pub verdict: String,
    /// The earliest time, for `later`.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Ms>,
    /// Why it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// What could be done instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead: Option<String>,
    /// `service`, `utility`, `marketing`, `authentication` or `unknown`.
    pub category: String,
    /// For a template: the language that is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// What each check says; those with nothing to say are left out.
    pub checks: Vec<GateCheck>,
    /// Templates that could be sent, if the window is closed.
    pub candidates: Vec<TemplateCandidate>,
}

/// What one check says.
#[derive(Debug, Deserialize, Serialize)]
pub struct GateCheck {
    /// Its name.
    pub check: String,
    /// `pass`, `later` or `refused`.
    pub outcome: String,
    /// Why.
    pub reason: String,
}

/// A template that could be sent.
#[derive(Debug, Deserialize, Serialize)]
pub struct TemplateCandidate {
    /// Its name.
    pub name: String,
    /// The language that fits the recipient best.
    pub language: String,
    /// Its category.
    pub category: String,
    /// What has to be filled in.
    pub parameters: Vec<String>,
}
