//! Requests to hosts that the operator allowed in `[[plugins.NAME.egress]]`. Must be granted.
//!
//! ```no_run
//! use beadle_plugin::{Failure, http};
//!
//! fn opening_hours() -> Result<String, Failure> {
//!     let response = http::get("https://shop.example.org/hours.txt").send()?;
//!     if !response.is_success() {
//!         return Err(Failure::Retry(format!("status {}", response.status)));
//!     }
//!     Ok(response.text().into_owned())
//! }
//! ```
//!
//! The call waits for the response, within its limit of elapsed time. A plugin never sees a secret:
//! the operator binds it to an entry, and Beadle puts it into the request.

use crate::host;
use crate::types::Failure;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::borrow::Cow;
use std::time::Duration;

pub use crate::bindings::imports::http::{Cause, RequestError, Response};

/// A request that is not sent yet.
#[derive(Clone, Debug)]
#[must_use = "it is sent by `send`"]
pub struct Request(crate::bindings::imports::http::Request);

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
    Request(crate::bindings::imports::http::Request {
        method: method.into(),
        url: url.into(),
        headers: Vec::new(),
        body: Vec::new(),
        timeout_ms: None,
    })
}

/// Whether the operator configured a secret of this name. A plugin never gets its value.
pub fn has_secret(name: &str) -> bool {
    host::http::has_secret(name)
}

impl Request {
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

    /// Sets the maximum time to wait, if it is shorter than that of the call.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.timeout_ms = Some(u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX));
        self
    }

    /// Sends it and waits for the whole response. A response with any status is not an error.
    pub fn send(self) -> Result<Response, RequestError> {
        host::http::send(&self.0)
    }
}

impl Response {
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

/// What may be different in a later attempt is retried: a host that does not answer, or too many
/// requests at a time.
impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        let reason = format!("{} ({})", error.message, error.code);
        match error.cause {
            Cause::TooMany | Cause::Unreachable | Cause::TimedOut | Cause::NoToken => Failure::Retry(reason),
            _ => Failure::GiveUp(reason),
        }
    }
}
