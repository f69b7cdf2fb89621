//! Requests and responses of plugins.

use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{Method, StatusCode};
use std::fmt;

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
