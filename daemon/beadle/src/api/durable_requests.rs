//! Durable requests of plugins to other servers.

use super::common::Problem;
use super::rfc3339::Ms;
use serde::{Deserialize, Serialize};

/// A request in a list, and by itself: `GET /requests`, `GET /requests/{id}`.
#[derive(Debug, Deserialize, Serialize)]
pub struct DurableRequestRow {
    /// `req_…`
    pub id: String,
    /// The plugin that made it.
    pub plugin: String,
    /// The event in whose handling it did.
    pub event: String,
    /// `queued`, `being-sent`, `behind` (an earlier one with its key) or `given-up`.
    pub state: String,
    /// The method.
    pub method: String,
    /// The URL without its query, which may contain personal data.
    pub url: String,
    /// The size of the body.
    pub bytes: u64,
    /// Requests with the same key are sent one after another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// `live` or `backfill`.
    pub traffic: String,
    /// How often it was sent.
    pub attempts: u32,
    /// When it was made.
    #[serde(with = "super::rfc3339")]
    pub created_at: Ms,
    /// When it is sent next; none unless it is queued.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Ms>,
    /// When it is given up.
    #[serde(with = "super::rfc3339")]
    pub expires_at: Ms,
    /// When it was given up.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub given_up_at: Option<Ms>,
    /// The last failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}
