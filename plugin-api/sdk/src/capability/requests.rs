//! Durable requests to hosts that the operator allowed in `[[plugins.NAME.egress]]`: kept until
//! they are answered, which [`OnResponse`](crate::OnResponse) gets. Must be granted.
//!
//! ```no_run
//! use beadle_plugin::{Failure, requests};
//!
//! fn tell_crm(contact: &str, name: &str) -> Result<(), Failure> {
//!     requests::post("https://crm.example.org/people")
//!         .about(contact)
//!         .key(contact)
//!         .json(&serde_json::json!({ "name": name }))?
//!         .context(contact)
//!         .send()?;
//!     Ok(())
//! }
//! ```
//!
//! A request is made when the handling has succeeded, and repeated while that may help. Requests
//! with the same key are sent one after another.

use crate::host;
use crate::types::{ContactId, Failure, Refusal, Scope, TimestampMs};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::borrow::Cow;

pub use crate::bindings::imports::requests::Traffic;
use crate::records::{GivenUp, RequestResponse};

/// A request that is not made yet.
#[derive(Clone, Debug)]
#[must_use = "it is made by `send`"]
pub struct Request(crate::bindings::imports::requests::Request);

/// A `GET` request.
pub fn get(url: impl Into<String>) -> Request {
    request("GET", url)
}

/// A `POST` request. The operator must allow the method.
pub fn post(url: impl Into<String>) -> Request {
    request("POST", url)
}

/// A request with any method, in capitals.
pub fn request(method: impl Into<String>, url: impl Into<String>) -> Request {
    Request(crate::bindings::imports::requests::Request {
        scope: Scope::Plugin,
        method: method.into(),
        url: url.into(),
        headers: Vec::new(),
        body: Vec::new(),
        key: None,
        traffic: Traffic::Live,
        context: String::new(),
        expires_at: None,
    })
}

impl Request {
    /// Says about whom it is: it is deleted when they are erased.
    pub fn about(mut self, contact: impl Into<ContactId>) -> Self {
        self.0.scope = Scope::Contact(contact.into());
        self
    }

    /// Sends it after earlier requests with this key, and before later ones.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.0.key = Some(key.into());
        self
    }

    /// Lets requests that are not backfill go first.
    pub fn backfill(mut self) -> Self {
        self.0.traffic = Traffic::Backfill;
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.0.body = body.into();
        self
    }

    /// Sets the body, as JSON with its `Content-Type`.
    pub fn json(self, body: &impl Serialize) -> Result<Self, Failure> {
        let body = serde_json::to_vec(body)?;
        Ok(self.header("Content-Type", "application/json").body(body))
    }

    /// What comes back with the response: at most 4 KiB.
    pub fn context(mut self, context: impl Into<String>) -> Self {
        self.0.context = context.into();
        self
    }

    /// Gives it up at this time instead of in a day; in a week at the latest.
    pub fn expires_at(mut self, at: TimestampMs) -> Self {
        self.0.expires_at = Some(at);
        self
    }

    /// Makes it.
    pub fn send(self) -> Result<(), Refusal> {
        host::requests::send(&self.0)
    }
}

impl RequestResponse {
    /// Whether the status is one of 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The body as text; bytes that are not UTF-8 are replaced.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// The body read as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }
}

impl From<GivenUp> for Failure {
    fn from(given_up: GivenUp) -> Self {
        Failure::GiveUp(format!("{} ({})", given_up.message, given_up.code))
    }
}
