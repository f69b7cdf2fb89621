//! Shapes that the other answers share: lists, problems, errors, and the answer to a command.

use super::rfc3339::Ms;
use serde::{Deserialize, Serialize};

/// A list, or a page of one.
#[derive(Debug, Deserialize, Serialize)]
pub struct List<T> {
    /// The daemon's time.
    #[serde(with = "super::rfc3339")]
    pub now: Ms,
    /// The items.
    pub items: Vec<T>,
    /// Pass it as `before` or `after` to get the next page; none on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The answer to a retry or a drop.
#[derive(Debug, Deserialize, Serialize)]
pub struct Done {
    /// What was done, in a sentence.
    pub message: String,
    /// A warning about the consequences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// `GET /why/{id}`: what happened, in steps.
#[derive(Debug, Deserialize, Serialize)]
pub struct Why {
    /// The daemon's time.
    #[serde(with = "super::rfc3339")]
    pub now: Ms,
    /// The id that was requested.
    pub id: String,
    /// In the order of cause and effect.
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Debug, Deserialize, Serialize)]
pub struct Step {
    /// The time, if it has one.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Ms>,
    /// What it is about: an id, a plugin, a rule.
    pub object: String,
    /// What happened.
    pub text: String,
}

/// An error response.
#[derive(Debug, Deserialize, Serialize)]
pub struct Failure {
    /// What is wrong.
    pub error: Problem,
}

/// A problem.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Problem {
    /// The code, see `beadle explain`.
    pub code: String,
    /// One sentence.
    pub message: String,
}
