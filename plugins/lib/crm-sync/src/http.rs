//! Requests and responses of HTTP, as the host carries them out.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value as Json;

/// A request. Credentials are not in it: the host adds the operator's secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    /// `GET`, `POST`, `REPORT`, …
    pub method: &'static str,
    /// The whole URL.
    pub url: String,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

/// A response, or the call of a hook.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpResponse {
    /// The status; 0 of a hook.
    pub status: u16,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

/// Everything but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Encodes a part of a path or query.
pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

impl HttpRequest {
    /// A request without a body.
    pub fn new(method: &'static str, url: String) -> Self {
        Self { method, url, headers: Vec::new(), body: Vec::new() }
    }

    /// A request with JSON.
    pub fn json(method: &'static str, url: String, body: &Json) -> Self {
        Self::new(method, url).header("content-type", "application/json").body(body.to_string())
    }

    /// With a header.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// With a body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

impl HttpResponse {
    /// A header, by any capitalisation of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Option<Json> {
        serde_json::from_slice(&self.body).ok()
    }

    /// `Retry-After` in milliseconds, if it is a number of seconds.
    pub fn retry_after_ms(&self) -> Option<i64> {
        Some(self.header("retry-after")?.trim().parse::<i64>().ok()?.saturating_mul(1000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_characters_are_encoded() {
        assert_eq!(encode("+31 6/ä?&"), "%2B31%206%2F%C3%A4%3F%26");
        assert_eq!(encode("a-b_c.d~"), "a-b_c.d~");
    }
}
