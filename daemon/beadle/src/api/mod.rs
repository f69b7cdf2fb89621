//! The responses of the daemon's `/api/v1`: types shared by the HTTP server and the command line.
//!
//! Every answer is plain JSON; moments are milliseconds since 1970 UTC, ids are typed text, and each list carries the
//! daemon's own time (`now`), which in a simulation is not the machine's. Fields are added, never renamed: scripts read
//! this. It does not know the store's rows, nor how responses are printed.

mod events;
mod people;
mod plugins;
mod schedules;
mod status;
mod windows;

pub use events::*;
pub use people::*;
pub use plugins::*;
pub use schedules::*;
pub use status::*;
pub use windows::*;

use serde::{Deserialize, Serialize};

/// A point in time: milliseconds since 1970-01-01T00:00:00Z here, RFC 3339 text in JSON ([`rfc3339`]).
pub type Ms = i64;

/// Time stamps in JSON: `2026-11-21T20:36:00.123Z`.
mod rfc3339 {
    use super::Ms;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(ms: &Ms, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&beadle_model::Timestamp(*ms))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Ms, D::Error> {
        parse(&String::deserialize(from)?).map_err(D::Error::custom)
    }

    fn parse(text: &str) -> Result<Ms, jiff::Error> {
        text.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_millisecond)
    }

    /// The same for a time that may be missing.
    pub mod option {
        use super::{Deserialize, Deserializer, Error, Ms, Serializer};

        #[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
        pub fn serialize<S: Serializer>(ms: &Option<Ms>, to: S) -> Result<S::Ok, S::Error> {
            match ms {
                Some(ms) => super::serialize(ms, to),
                None => to.serialize_none(),
            }
        }

        pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Ms>, D::Error> {
            let text = Option::<String>::deserialize(from)?;
            text.map(|text| super::parse(&text).map_err(D::Error::custom)).transpose()
        }
    }
}

/// A list, or a page of one.
#[derive(Debug, Deserialize, Serialize)]
pub struct List<T> {
    /// The daemon's time.
    #[serde(with = "rfc3339")]
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
    #[serde(with = "rfc3339")]
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
    #[serde(with = "rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Ms>,
    /// What it is about: an id, a plugin, a rule.
    pub what: String,
    /// What happened.
    pub text: String,
}

/// An error response.
#[derive(Debug, Deserialize, Serialize)]
pub struct Failure {
    /// What is wrong.
    pub error: Problem,
}
