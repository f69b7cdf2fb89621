//! Why a request was not sent, or has no response.

use crate::address::Network;
use beadle_model::{Blame, Coded};
use std::fmt;
use std::time::Duration;

/// Every error code of this crate.
pub const CODES: [&str; 29] = [
    "egress-url-invalid",
    "egress-scheme-unknown",
    "egress-user-info",
    "egress-host-not-allowed",
    "egress-scheme-not-allowed",
    "egress-port-not-allowed",
    "egress-path-not-allowed",
    "egress-path-ambiguous",
    "egress-method-not-allowed",
    "egress-method-invalid",
    "egress-network-not-allowed",
    "egress-secret-in-clear",
    "egress-secret-redirected",
    "egress-header-refused",
    "egress-request-too-large",
    "egress-too-many-redirects",
    "egress-busy",
    "egress-rate-limit",
    "egress-dns-failed",
    "egress-connect-failed",
    "egress-tls-failed",
    "egress-timeout",
    "egress-no-response",
    "egress-response-too-large",
    "egress-response-encoded",
    "egress-client-failed",
    "oauth-refused",
    "oauth-unavailable",
    "oauth-not-stored",
];

/// Characters of a URL that an error shows.
const QUOTED_CHARS: usize = 200;

/// A request that is not allowed, and what would allow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// One of [`CODES`].
    pub code: &'static str,
    /// What is not allowed, in a sentence without a full stop. `Display` cuts what it quotes.
    pub message: String,
    /// The lines of TOML that would allow it; `None` if nothing would.
    pub toml: Option<String>,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_cut(f, &self.message)?;
        match &self.toml {
            Some(toml) => write!(f, "; to allow it, set\n{toml}"),
            None => Ok(()),
        }
    }
}

/// Writes a message with each quotation cut. Only here, since a part of a secret would not be found
/// when secrets are removed. A URL contains no backtick.
fn write_cut(f: &mut fmt::Formatter<'_>, message: &str) -> fmt::Result {
    for (index, part) in message.split('`').enumerate() {
        if index > 0 {
            f.write_str("`")?;
        }
        let is_quoted = index % 2 == 1;
        match part.char_indices().nth(QUOTED_CHARS).filter(|_| is_quoted) {
            Some((end, _)) => write!(f, "{}…", part.get(..end).unwrap_or_default())?,
            None => f.write_str(part)?,
        }
    }
    Ok(())
}

impl std::error::Error for Denied {}

impl Coded for Denied {
    fn code(&self) -> &'static str {
        self.code
    }

    fn blame(&self) -> Blame {
        if self.toml.is_some() { Blame::Operator } else { Blame::Plugin }
    }
}

/// The part of a request that took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Name resolution, TCP and TLS.
    Connect,
    /// Until the response began.
    FirstByte,
    /// The whole request, with its redirects and the body of the response.
    Whole,
}

/// Why a request has no response.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// The policy does not allow it.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// A plugin must not set this header.
    #[error("the header `{name}` {reason}")]
    Header {
        /// Its name.
        name: String,
        /// Completes the sentence.
        reason: &'static str,
    },
    /// The body of the request is over the limit.
    #[error("the body of the request has {size_bytes} bytes, more than {limit_bytes}")]
    RequestTooLarge {
        /// Its size.
        size_bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
    /// Redirects without end.
    #[error("more than {0} redirects")]
    TooManyRedirects(usize),
    /// As many requests as allowed are in progress.
    #[error("{0} requests are already in progress {1}")]
    Busy(usize, &'static str),
    /// The host takes no more requests at the moment.
    #[error("`{host}` takes no more requests for {wait_ms} ms: the rate that the operator set, or its own wish")]
    Rate {
        /// Host and port.
        host: String,
        /// When it takes the next, in milliseconds from now.
        wait_ms: i64,
    },
    /// The name has no address.
    #[error("cannot resolve `{host}`: {reason}")]
    Dns {
        /// The name.
        host: String,
        /// From the resolver.
        reason: String,
    },
    /// No connection.
    #[error("cannot connect to {origin}: {reason}")]
    Connect {
        /// Scheme, host and port.
        origin: String,
        /// From the system.
        reason: String,
    },
    /// The certificate is not accepted, or TLS failed otherwise.
    #[error("cannot connect to {origin} by TLS: {reason}")]
    Tls {
        /// Scheme, host and port.
        origin: String,
        /// From rustls.
        reason: String,
    },
    /// Too slow.
    #[error("no response from {origin} within {limit:?} ({phase:?})")]
    Timeout {
        /// Scheme, host and port.
        origin: String,
        /// What took too long.
        phase: Phase,
        /// The limit.
        limit: Duration,
        /// Whether the request may have reached the server.
        may_be_sent: bool,
    },
    /// The connection ended before a whole and valid response.
    #[error("no valid response from {origin}: {reason}")]
    NoResponse {
        /// Scheme, host and port.
        origin: String,
        /// From the HTTP library.
        reason: String,
    },
    /// Headers or body of the response are over the limit.
    #[error("the {part} of the response from {origin} has more than {limit_bytes} bytes")]
    ResponseTooLarge {
        /// Scheme, host and port.
        origin: String,
        /// `headers` or `body`.
        part: &'static str,
        /// The limit.
        limit_bytes: usize,
    },
    /// The response is compressed although the request accepts no encoding. Secrets could not be
    /// scrubbed from it, nor its size limited.
    #[error("the response from {origin} has the content encoding `{encoding}`, which was not accepted")]
    ResponseEncoded {
        /// Scheme, host and port.
        origin: String,
        /// From the response.
        encoding: String,
    },
    /// The HTTP client could not be created.
    #[error("cannot create the HTTP client: {0}")]
    Client(String),
    /// There is no access token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A request after a redirect failed. The server that redirected may have executed the first:
    /// 303 is the usual answer to a form that was accepted.
    #[error("after a redirect: {0}")]
    Redirected(Box<EgressError>),
}

/// Why there is no OAuth 2 access token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The authorization server refuses the credentials (RFC 6749, section 5.2). Only the operator
    /// can change that.
    #[error("the authorization server refuses a token for the secret `{name}`: {reason}")]
    Refused {
        /// The secret.
        name: String,
        /// From the server.
        reason: String,
    },
    /// The authorization server did not answer, or not with a token. It is asked again.
    #[error("cannot get a token for the secret `{name}`: {reason}; next attempt in {retry_ms} ms")]
    Unavailable {
        /// The secret.
        name: String,
        /// What happened.
        reason: String,
        /// Time until the next attempt.
        retry_ms: i64,
    },
}

impl Coded for TokenError {
    fn code(&self) -> &'static str {
        match self {
            TokenError::Refused { .. } => "oauth-refused",
            TokenError::Unavailable { .. } => "oauth-unavailable",
        }
    }

    fn blame(&self) -> Blame {
        match self {
            TokenError::Refused { .. } => Blame::Operator,
            TokenError::Unavailable { .. } => Blame::Remote,
        }
    }

    fn retried(&self) -> bool {
        matches!(self, TokenError::Unavailable { .. })
    }
}

impl EgressError {
    /// The error with every text from outside replaced, to remove secrets.
    pub(crate) fn map_text(mut self, replace: impl Fn(&str) -> String) -> Self {
        self.replace_text(&replace);
        self
    }

    fn replace_text(&mut self, replace: &dyn Fn(&str) -> String) {
        match self {
            EgressError::Denied(denied) => {
                denied.message = replace(&denied.message);
                denied.toml = denied.toml.as_deref().map(replace);
            }
            EgressError::Redirected(error) => error.replace_text(replace),
            EgressError::Dns { reason, .. }
            | EgressError::Connect { reason, .. }
            | EgressError::Tls { reason, .. }
            | EgressError::NoResponse { reason, .. }
            | EgressError::ResponseEncoded { encoding: reason, .. } => *reason = replace(reason),
            // The texts of the others are Beadle's own; a token error is scrubbed where it is made.
            _ => {}
        }
    }

    /// Whether the server may have received and executed the request, although there is no
    /// response. If not, any request may be repeated.
    pub fn may_be_sent(&self) -> bool {
        match self {
            EgressError::Timeout { may_be_sent, .. } => *may_be_sent,
            EgressError::NoResponse { .. }
            | EgressError::ResponseTooLarge { .. }
            | EgressError::ResponseEncoded { .. }
            | EgressError::TooManyRedirects(_)
            | EgressError::Redirected(_) => true,
            _ => false,
        }
    }
}

impl Coded for EgressError {
    fn code(&self) -> &'static str {
        match self {
            EgressError::Denied(denied) => denied.code,
            EgressError::Header { .. } => "egress-header-refused",
            EgressError::RequestTooLarge { .. } => "egress-request-too-large",
            EgressError::TooManyRedirects(_) => "egress-too-many-redirects",
            EgressError::Busy(..) => "egress-busy",
            EgressError::Rate { .. } => "egress-rate-limit",
            EgressError::Dns { .. } => "egress-dns-failed",
            EgressError::Connect { .. } => "egress-connect-failed",
            EgressError::Tls { .. } => "egress-tls-failed",
            EgressError::Timeout { .. } => "egress-timeout",
            EgressError::NoResponse { .. } => "egress-no-response",
            EgressError::ResponseTooLarge { .. } => "egress-response-too-large",
            EgressError::ResponseEncoded { .. } => "egress-response-encoded",
            EgressError::Client(_) => "egress-client-failed",
            EgressError::Token(error) => error.code(),
            EgressError::Redirected(error) => error.code(),
        }
    }

    fn blame(&self) -> Blame {
        match self {
            EgressError::Denied(denied) => denied.blame(),
            EgressError::Token(error) => error.blame(),
            EgressError::Redirected(error) => error.blame(),
            EgressError::Header { .. } | EgressError::RequestTooLarge { .. } | EgressError::Busy(..) => Blame::Plugin,
            EgressError::Rate { .. } => Blame::Remote,
            EgressError::Client(_) => Blame::Operator,
            _ => Blame::Remote,
        }
    }

    /// Whether a later attempt may succeed; only the retry rules decide whether there is one.
    fn retried(&self) -> bool {
        match self {
            EgressError::Token(error) => error.retried(),
            EgressError::Redirected(error) => error.retried(),
            EgressError::Busy(..)
            | EgressError::Rate { .. }
            | EgressError::Dns { .. }
            | EgressError::Connect { .. }
            | EgressError::Timeout { .. }
            | EgressError::NoResponse { .. } => true,
            _ => false,
        }
    }
}

/// Why an entry of an allow-list cannot be used. The reader of the configuration adds the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// `url` cannot be the base of requests.
    #[error("`url` {0}")]
    Url(&'static str),
    /// A method cannot be allowed.
    #[error("`{0}` cannot be allowed: methods are upper-case words such as GET and PROPFIND, except CONNECT and TRACE")]
    Method(String),
    /// A network cannot be allowed.
    #[error("`{0}` is not one of the networks that can be allowed: {list}", list = Network::allowable_list())]
    Network(String),
    /// A secret cannot be bound in this way.
    #[error("secret `{name}` {reason}")]
    Secret {
        /// The secret.
        name: String,
        /// Completes the sentence.
        reason: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_quotations_are_cut() {
        let (long, cut) = ("ä".repeat(300), "ä".repeat(QUOTED_CHARS));
        for (message, shown) in [
            ("the port 0 does not exist".to_owned(), "the port 0 does not exist".to_owned()),
            (format!("no `{long}` of `h` {long}"), format!("no `{cut}…` of `h` {long}")),
            (format!("`{cut}`"), format!("`{cut}`")),
        ] {
            assert_eq!(Denied { code: "egress-url-invalid", message, toml: None }.to_string(), shown);
        }
    }

    #[test]
    fn every_code_in_the_sources_is_listed() {
        let sources = [
            include_str!("client.rs"),
            include_str!("error.rs"),
            include_str!("oauth.rs"),
            include_str!("policy.rs"),
            include_str!("redirect.rs"),
            include_str!("request.rs"),
        ];
        let list = format!("{CODES:?}");
        let words = sources.iter().flat_map(|source| source.split('"'));
        let is_code = |word: &&str| {
            let is_name = word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
            is_name && (word.starts_with("egress-") || word.starts_with("oauth-")) && word.len() > "egress-".len()
        };
        for code in words.filter(is_code) {
            assert!(list.contains(&format!("\"{code}\"")), "{code}");
        }
    }
}
