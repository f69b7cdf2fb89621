//! One number of the Cloud API as a channel: sends one thing, once, and says what became of it.
//!
//! The platform knows no idempotency key, so the difference between "did not leave", "was refused" and "nobody knows" is
//! what this module is about: only the first two may be tried again without a person seeing a message twice. It does not
//! retry, and neither does the HTTP client it uses.

use crate::errors::{self, Failure};
use crate::json::Json;
use crate::{Secret, body};
use beadle_model::event::Problem;
use beadle_model::{Blame, Coded, Outgoing};
use beadle_pipeline::{Advice, Answer, Channel, Shipment};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Response, StatusCode, Url};
use std::error::Error as _;
use std::pin::Pin;
use std::time::Duration;

/// Name, TCP and TLS together. Meta's edge answers in some 50 ms; 5 seconds allow one lost SYN (1 s) and its successor
/// (3 s), and end well before the whole request does, so that "did not connect" is not mistaken for "no answer".
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// An idle connection is closed by us before the far side does it: a request on a connection that is just being closed
/// is in doubt. Front ends commonly close after 60 seconds.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Answers have some 300 bytes; the error page of a proxy in between may have any number.
const ANSWER_BYTES: usize = 64 * 1024;

/// Characters of an answer that is not understood which are told.
const TOLD_CHARS: usize = 200;

/// What a [`CloudChannel`] is made of.
#[derive(Clone, Debug)]
pub struct CloudConfig {
    /// The channel's name in the configuration.
    pub name: String,
    /// `https://graph.facebook.com`, or the simulator's address.
    pub graph_url: String,
    /// `v26.0`
    pub graph_version: String,
    /// The number's id.
    pub phone_number_id: String,
    /// Of the app, with the right `whatsapp_business_messaging`.
    pub access_token: Secret,
    /// How long one request may take in all; [`CloudConfig::TIMEOUT`] but in tests.
    pub timeout: Duration,
}

impl CloudConfig {
    /// The platform mostly answers within a second and has been seen to take 10 when it is busy. What takes longer is in
    /// doubt, and a receipt will tell; the gate's margin before the end of a window counts on this.
    pub const TIMEOUT: Duration = Duration::from_secs(15);
}

/// Why a channel cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// `graph_url`, `graph_version` and `phone_number_id` make no address.
    #[error("channel `{channel}`: `{address}` is no http or https address: look at `graph_url` of its app")]
    BadGraphUrl {
        /// The channel.
        channel: String,
        /// What they make.
        address: String,
    },
    /// The token is empty or cannot stand in a header.
    #[error("channel `{channel}`: `access_token` is empty or has characters that no token has")]
    BadAccessToken {
        /// The channel.
        channel: String,
    },
    /// The HTTP client could not be made: no certificate authorities on this machine, as a rule.
    #[error("no HTTP client: {0}; if this machine has no certificate authorities, install `ca-certificates`")]
    HttpClient(String),
}

impl Coded for ChannelError {
    fn code(&self) -> &'static str {
        match self {
            ChannelError::BadGraphUrl { .. } => "bad-graph-url",
            ChannelError::BadAccessToken { .. } => "bad-access-token",
            ChannelError::HttpClient(_) => "http-client",
        }
    }

    fn blame(&self) -> Blame {
        Blame::Operator
    }
}

/// The one HTTP client that all channels share, with its pool of connections. It follows no redirects and repeats
/// nothing: what leaves, leaves once.
pub fn http_client() -> Result<reqwest::Client, ChannelError> {
    // The process has one TLS provider; if somebody has set it already, it is theirs.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .user_agent(concat!("beadle/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .build()
        .map_err(|error| ChannelError::HttpClient(story(&error)))
}

/// One number of the Cloud API.
pub struct CloudChannel {
    name: String,
    messages: Url,
    authorization: HeaderValue,
    token: Secret,
    timeout: Duration,
    client: reqwest::Client,
}

impl CloudChannel {
    /// From its configuration and the shared client of [`http_client`].
    pub fn new(config: CloudConfig, client: reqwest::Client) -> Result<Self, ChannelError> {
        let CloudConfig { name, graph_url, graph_version, phone_number_id, access_token, timeout } = config;
        let address = format!("{}/{graph_version}/{phone_number_id}/messages", graph_url.trim_end_matches('/'));
        let messages = Url::parse(&address)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| ChannelError::BadGraphUrl { channel: name.clone(), address })?;
        let mut authorization = Some(&access_token)
            .filter(|token| !token.is_empty())
            .and_then(|token| HeaderValue::from_str(&format!("Bearer {}", token.expose())).ok())
            .ok_or_else(|| ChannelError::BadAccessToken { channel: name.clone() })?;
        authorization.set_sensitive(true);
        Ok(Self { name, messages, authorization, token: access_token, timeout, client })
    }

    async fn try_send(&self, shipment: &Shipment) -> Answer {
        let request = self
            .client
            .post(self.messages.clone())
            .header(AUTHORIZATION, self.authorization.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .timeout(self.timeout)
            .body(body::write(shipment, None));
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_connect() || error.is_builder() => return Answer::Unsent(story(&error)),
            Err(error) => return Answer::Unknown(story(&error)),
        };
        let http = response.status();
        match read(response).await {
            Ok(text) => self.understand(&shipment.body, http, &text),
            Err(error) => Answer::Unknown(format!("HTTP {http}, and then: {}", story(&error))),
        }
    }

    /// An error counts whatever the status says, and a status only where there is nothing better.
    fn understand(&self, sent: &Outgoing, http: StatusCode, text: &[u8]) -> Answer {
        let tree = Json::parse(text).unwrap_or(Json::Null);
        if let Some(refused) = tree.get("error").and_then(|error| self.refusal(error, http)) {
            return refused;
        }
        if http.is_success() {
            let first = tree.get("messages").and_then(Json::items).and_then(<[_]>::first);
            match (sent, first.and_then(|message| message.string_of("id"))) {
                (Outgoing::MarkRead { .. } | Outgoing::Typing { .. }, _) if tree.is_true("success") => {
                    return Answer::Accepted(None);
                }
                (Outgoing::MarkRead { .. } | Outgoing::Typing { .. }, _) | (_, None) => {}
                (_, id) => return Answer::Accepted(id),
            }
        }
        let told = self.scrub(&String::from_utf8_lossy(text).chars().take(TOLD_CHARS).collect::<String>());
        if http.is_success() || http.is_server_error() {
            return Answer::Unknown(format!("HTTP {http} with an answer that says nothing: {told}"));
        }
        // Something in between, or another server altogether: the platform itself never saw it.
        let advice = match http {
            StatusCode::TOO_MANY_REQUESTS => Advice::SlowChannel,
            _ => Advice::Retry { attempts: 3 },
        };
        let problem = Problem {
            code: "unreadable-answer".to_owned(),
            title: format!("HTTP {http} with an answer that is not the platform's"),
            details: Some(told),
            by: "platform".to_owned(),
        };
        Answer::Refused(problem, advice)
    }

    /// `error` of an answer; `None` where it has no code.
    fn refusal(&self, error: &Json<'_>, http: StatusCode) -> Option<Answer> {
        let code: i64 = error.text_of("code")?.parse().ok()?;
        let message = error.text_of("message").unwrap_or_default();
        let details = error.get("error_data").and_then(|data| data.text_of("details")).unwrap_or_default();
        let all = format!("{message} {details}");
        let failure = Failure { code, details: &all, transient: error.is_true("is_transient"), http: http.as_u16() };
        let code = code.to_string();
        let told = if details.is_empty() { message } else { details };
        let problem = Problem {
            title: errors::title_of(&code).to_owned(),
            details: (!told.is_empty()).then(|| self.scrub(&told)),
            by: "platform".to_owned(),
            code,
        };
        Some(Answer::Refused(problem, errors::advice(failure)))
    }

    /// Without the token: "Malformed access token EAA…" is a text of the platform's own.
    fn scrub(&self, text: &str) -> String {
        text.replace(self.token.expose(), "***")
    }
}

impl Channel for CloudChannel {
    fn name(&self) -> &str {
        &self.name
    }

    fn send<'a>(&'a self, shipment: &'a Shipment) -> Pin<Box<dyn Future<Output = Answer> + Send + 'a>> {
        Box::pin(self.try_send(shipment))
    }
}

/// The body of an answer, as much of it as may be.
async fn read(mut response: Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut text = Vec::new();
    while text.len() < ANSWER_BYTES
        && let Some(chunk) = response.chunk().await?
    {
        text.extend_from_slice(&chunk);
    }
    Ok(text)
}

/// An error with what caused it, without the address (which is in the configuration).
fn story(error: &reqwest::Error) -> String {
    let mut told = if error.is_timeout() { "timed out".to_owned() } else { String::new() };
    let mut cause = error.source();
    while let Some(error) = cause {
        if !told.is_empty() {
            told.push_str(": ");
        }
        told.push_str(&error.to_string());
        cause = error.source();
    }
    if told.is_empty() { "the request failed".to_owned() } else { told }
}
