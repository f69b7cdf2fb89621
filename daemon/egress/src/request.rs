//! Requests and responses of plugins.

use crate::error::{Denied, EgressError};
use crate::retry::IDEMPOTENCY_KEY;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use std::fmt;

/// Characters of a header's name that an error quotes.
const QUOTED_CHARS: usize = 100;

/// Headers that the host sets itself, or that would change the meaning of a request behind the back
/// of the policy: framing and connections (RFC 9110, section 7), encodings, overridden methods.
const RESERVED_HEADERS: [&str; 18] = [
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
];

/// A request of a plugin. `Debug` shows neither query, headers nor body.
#[derive(Clone)]
pub struct EgressRequest {
    /// The method.
    pub method: Method,
    /// The URL; a fragment is not sent.
    pub url: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

/// A response. `Debug` shows neither URL, headers nor body.
#[derive(Clone)]
pub struct EgressResponse {
    /// The status.
    pub status: StatusCode,
    /// Where it comes from, after redirects.
    pub url: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, as it was sent: no encoding is accepted.
    pub body: Vec<u8>,
}

impl EgressRequest {
    /// A request from texts.
    ///
    /// # Errors
    /// [`EgressError`] if the method, or the name or value of a header, cannot be sent.
    pub fn new(method: &str, url: &str, headers: Vec<(String, String)>, body: Vec<u8>) -> Result<Self, EgressError> {
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| Denied {
            code: "egress-method-invalid",
            message: format!("`{method}` is not a method of HTTP"),
            toml: None,
        })?;
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let refused = |reason| {
                let name = name.chars().take(QUOTED_CHARS).collect();
                EgressError::Header { name, reason }
            };
            let key = HeaderName::try_from(name.as_str()).map_err(|_| refused("has a name that cannot be sent"))?;
            let value = HeaderValue::from_str(&value).map_err(|_| refused("has a value that cannot be sent"))?;
            map.append(key, value);
        }
        Ok(Self { method, url: url.to_owned(), headers: map, body })
    }

    /// Whether an `Idempotency-Key` is useful: a server that honours it executes a repeated request
    /// once. Not if the plugin set one.
    pub fn needs_idempotency_key(&self) -> bool {
        matches!(self.method, Method::POST | Method::PATCH) && !self.headers.contains_key(IDEMPOTENCY_KEY)
    }

    /// Sets the `Idempotency-Key`.
    pub fn set_idempotency_key(&mut self, key: &str) {
        if let Ok(value) = HeaderValue::from_str(key) {
            self.headers.insert(HeaderName::from_static(IDEMPOTENCY_KEY), value);
        }
    }

    /// The host of its URL; empty if it has none.
    pub(crate) fn host(&self) -> String {
        Url::parse(&self.url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
    }
}

impl EgressResponse {
    /// Names and values of its headers; bytes that are not UTF-8 are replaced.
    pub fn header_texts(&self) -> Vec<(String, String)> {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        self.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
    }
}

impl fmt::Debug for EgressRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.url.split(['?', '#']).next().unwrap_or_default();
        write!(f, "{} {url} ({} bytes)", self.method, self.body.len())
    }
}

impl fmt::Debug for EgressResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.status, self.body.len())
    }
}

/// Whether only the host may set a header.
pub(crate) fn is_reserved(name: &HeaderName) -> bool {
    RESERVED_HEADERS.contains(&name.as_str())
}

/// Bytes of all names and values.
pub(crate) fn size_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}
