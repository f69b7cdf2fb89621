//! What the daemon's `/api/v1` answers: the shapes that web and command line share.
//!
//! Every answer is plain JSON; moments are milliseconds since 1970 UTC, ids are typed text, and each list carries the
//! daemon's own time (`now`), which in a simulation is not the machine's. Fields are added, never renamed: scripts read
//! this. It knows nothing of the store's rows and nothing of how things are shown.

mod events;
mod people;
mod plugins;
mod status;

pub use events::*;
pub use people::*;
pub use plugins::*;
pub use status::*;

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type Ms = i64;

/// A list, or a page of one.
#[derive(Debug, Deserialize, Serialize)]
pub struct List<T> {
    /// The daemon's time.
    pub now: Ms,
    /// What was asked for.
    pub items: Vec<T>,
    /// Ask with this to get more; none where that was all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The answer to a retry or a drop.
#[derive(Debug, Deserialize, Serialize)]
pub struct Done {
    /// What was done, in a sentence.
    pub message: String,
    /// What to know about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// `GET /why/{id}`: a story in steps.
#[derive(Debug, Deserialize, Serialize)]
pub struct Why {
    /// The daemon's time.
    pub now: Ms,
    /// What was asked about.
    pub id: String,
    /// In the order of what led to what.
    pub steps: Vec<Step>,
}

/// One step of a story.
#[derive(Debug, Deserialize, Serialize)]
pub struct Step {
    /// When, where it has a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Ms>,
    /// What it is about: an id, a plugin, a rule.
    pub what: String,
    /// What happened.
    pub says: String,
}

/// An answer that is a "no".
#[derive(Debug, Deserialize, Serialize)]
pub struct Failure {
    /// What is wrong.
    pub error: Problem,
}
