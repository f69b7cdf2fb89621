//! Requests to the Graph API, and the classification of its responses.
//!
//! The point of this module is to distinguish "not sent", "refused" and "ambiguous": only after the
//! first two may a request be repeated without the risk that a person sees something twice. Neither
//! this module nor the HTTP client retries.

use crate::errors::{self, Failure};
use crate::host_clock::HostClock;
use crate::json::Json;
use beadle_clock::Clock;
use beadle_model::event::Problem;
use beadle_model::{Blame, Coded, Secret};
use beadle_pipeline::{Advice, SendResponse};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, RequestBuilder, StatusCode, Url};
use std::error::Error as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time limit for name resolution, TCP and TLS together. Meta's edge responds in about 50 ms; 5
/// seconds allow for one lost SYN (1 s) and its retransmission (3 s), and stay well below the limit
/// of the whole request, so that "did not connect" is never reported as "no response".
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Idle connections are closed before the server closes them, because a request on a connection
/// that is being closed is ambiguous. Front ends usually close after 60 seconds.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Maximum size of a response that is read. Responses have about 300 bytes, a group with eight
/// members about a thousand, a page of 100 templates at most a million; the error page of a proxy
/// may have any size.
const MAX_RESPONSE_BYTES: usize = 2 * 1024 * 1024;

/// The name of the error object in a response.
const ERROR: &[u8] = b"\"error\"";

/// Characters of an unexpected response that are quoted in the error.
const QUOTED_CHARS: usize = 200;

/// Why a channel cannot be created.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// `graph_url` and `graph_version` do not form a URL.
    #[error("channel `{channel}`: `{address}` must be an http or https URL; check `graph_url` of its app")]
    BadGraphUrl {
        /// The channel.
        channel: String,
        /// The address that they form.
        address: String,
    },
    /// The token is empty or cannot be sent in a header.
    #[error("channel `{channel}`: `access_token` must not be empty and must contain only visible ASCII characters")]
    BadAccessToken {
        /// The channel.
        channel: String,
    },
    /// The HTTP client could not be created, usually because the machine has no certificate
    /// authorities.
    #[error(
        "cannot create the HTTP client: {0}; if this machine has no certificate authorities, install `ca-certificates`"
    )]
    HttpClient(String),
}

impl Coded for ChannelError {
    fn code(&self) -> &'static str {
        match self {
            ChannelError::BadGraphUrl { .. } => "bad-graph-url",
            ChannelError::BadAccessToken { .. } => "bad-access-token",
            ChannelError::HttpClient(_) => "http-client-failed",
        }
    }

    fn blame(&self) -> Blame {
        Blame::Operator
    }
}

/// The HTTP client that all channels share, with its connection pool. It follows no redirects and
/// never retries: a request is sent at most once.
#[derive(Clone, Debug)]
pub struct HttpClient {
    client: reqwest::Client,
    host_clock: Arc<HostClock>,
}

impl HttpClient {
    /// Creates it. The platform's answers are compared with this clock.
    ///
    /// # Errors
    /// [`ChannelError::HttpClient`].
    pub fn new(clock: &Clock) -> Result<Self, ChannelError> {
        Ok(Self { client: http_client()?, host_clock: Arc::new(HostClock::new(clock.clone())) })
    }

    /// What the answers tell about the host's clock.
    pub fn host_clock(&self) -> &Arc<HostClock> {
        &self.host_clock
    }
}

fn http_client() -> Result<reqwest::Client, ChannelError> {
    // A process has one TLS provider. If another one is installed already, it stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .user_agent(concat!("beadle/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        // Other crates enable HTTP/2; this client was measured and tested without.
        .http1_only()
        .build()
        .map_err(|error| ChannelError::HttpClient(error_chain(&error)))
}

/// A connection to the Graph API with one access token.
#[derive(Clone)]
pub(crate) struct Graph {
    /// Such as `https://graph.facebook.com/v26.0/`.
    base: Url,
    authorization: HeaderValue,
    token: Secret,
    timeout: Duration,
    client: HttpClient,
}

/// The body of a request.
pub(crate) enum RequestBody {
    Empty,
    Json(Vec<u8>),
    /// A multipart form: its content type and its bytes.
    Form(String, Vec<u8>),
}

/// A response that is not an error of the platform.
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    pub(crate) body: Vec<u8>,
}

impl Graph {
    pub(crate) fn new(
        channel: &str,
        (graph_url, graph_version): (&str, &str),
        token: Secret,
        timeout: Duration,
        client: HttpClient,
    ) -> Result<Self, ChannelError> {
        let address = format!("{}/{graph_version}/", graph_url.trim_end_matches('/'));
        let base = Url::parse(&address)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| ChannelError::BadGraphUrl { channel: channel.to_owned(), address })?;
        let mut authorization = Some(&token)
            .filter(|token| !token.is_empty())
            .and_then(|token| HeaderValue::from_str(&format!("Bearer {}", token.expose())).ok())
            .ok_or_else(|| ChannelError::BadAccessToken { channel: channel.to_owned() })?;
        authorization.set_sensitive(true);
        Ok(Self { base, authorization, token, timeout, client })
    }

    /// The URL of a path. Each element is one segment, whatever it contains.
    pub(crate) fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// A request with our token, to the platform or to one of its file servers.
    pub(crate) fn authorized(&self, method: Method, url: Url) -> RequestBuilder {
        self.client.client.request(method, url).header(AUTHORIZATION, self.authorization.clone())
    }

    /// Whether a URL in a response may be sent our token: only the platform's own hosts and the
    /// configured one.
    pub(crate) fn trusts(&self, url: &Url) -> bool {
        const HOSTS: [&str; 4] = [".fbsbx.com", ".facebook.com", ".whatsapp.net", ".fbcdn.net"];
        let same = url.origin() == self.base.origin();
        let host = url.host_str().unwrap_or_default();
        same || (url.scheme() == "https" && HOSTS.iter().any(|known| host.ends_with(known)))
    }

    /// Sends a request once. An error is one of not sent, refused by the platform, or ambiguous.
    pub(crate) async fn request(&self, method: Method, url: Url, body: RequestBody) -> Result<Response, SendResponse> {
        self.request_within(method, url, body, self.timeout).await
    }

    /// The same with another time limit, for files.
    pub(crate) async fn request_within(
        &self,
        method: Method,
        url: Url,
        body: RequestBody,
        timeout: Duration,
    ) -> Result<Response, SendResponse> {
        let request = self.authorized(method, url).timeout(timeout);
        let request = match body {
            RequestBody::Empty => request,
            RequestBody::Json(body) => {
                request.header(CONTENT_TYPE, HeaderValue::from_static("application/json")).body(body)
            }
            RequestBody::Form(content_type, body) => request.header(CONTENT_TYPE, content_type).body(body),
        };
        let host_clock = &self.client.host_clock;
        let (sent_at, began) = (host_clock.now(), Instant::now());
        let response = match request.send().await {
            Ok(response) => {
                host_clock.measure(response.headers(), sent_at, began.elapsed());
                response
            }
            Err(error) if error.is_connect() || error.is_builder() => {
                return Err(SendResponse::NotSent(error_chain(&error)));
            }
            Err(error) => return Err(SendResponse::Ambiguous(error_chain(&error))),
        };
        let status = response.status();
        let body = match read(response).await {
            Ok(body) => body,
            Err(error) => {
                return Err(SendResponse::Ambiguous(format!("HTTP {status}, then {}", error_chain(&error))));
            }
        };
        // The platform's error object takes precedence over the HTTP status. Accepted messages are
        // not parsed for one.
        let may_have_error = !status.is_success() || body.windows(ERROR.len()).any(|bytes| bytes == ERROR);
        let tree = if may_have_error { Json::parse(&body).unwrap_or(Json::Null) } else { Json::Null };
        match tree.get("error").and_then(|error| self.refusal(error, status)) {
            Some(refused) => Err(refused),
            None => Ok(Response { status, body }),
        }
    }

    /// Classifies a response that does not have the expected form.
    pub(crate) fn unexpected(&self, response: &Response) -> SendResponse {
        let status = response.status;
        let quoted: String = String::from_utf8_lossy(&response.body).chars().take(QUOTED_CHARS).collect();
        let quoted = self.redact(&quoted);
        if status.is_success() || status.is_server_error() {
            return SendResponse::Ambiguous(format!("HTTP {status} with an unexpected response: {quoted}"));
        }
        // From a proxy or another server: the platform did not see the request.
        let advice = match status {
            StatusCode::TOO_MANY_REQUESTS => Advice::SlowChannel,
            _ => Advice::Retry { attempts: 3 },
        };
        let problem = Problem {
            code: "platform-bad-response".to_owned(),
            title: format!("HTTP {status} with a response that is not from the platform"),
            details: Some(quoted),
            by: "platform".to_owned(),
        };
        SendResponse::Refused(problem, advice)
    }

    /// The refusal in the `error` member of a response; `None` if it has no code.
    fn refusal(&self, error: &Json<'_>, status: StatusCode) -> Option<SendResponse> {
        let code: i64 = error.text_of("code")?.parse().ok()?;
        let message = error.text_of("message").unwrap_or_default();
        let details = error.get("error_data").and_then(|data| data.text_of("details")).unwrap_or_default();
        let text = format!("{message} {details}");
        let transient = error.is_true("is_transient");
        let failure = Failure { code, details: &text, transient, status: status.as_u16() };
        let code = code.to_string();
        let title = errors::title(&code, error.text_of("error_subcode").as_deref(), &message).to_owned();
        let description = if details.is_empty() { message } else { details };
        let problem = Problem {
            title,
            details: (!description.is_empty()).then(|| self.redact(&description)),
            by: "platform".to_owned(),
            code,
        };
        Some(SendResponse::Refused(problem, errors::advice(failure)))
    }

    /// Removes the token: the platform itself quotes it in "Malformed access token EAA…".
    fn redact(&self, text: &str) -> String {
        text.replace(self.token.expose(), "***")
    }
}

/// Reads a response body up to [`MAX_RESPONSE_BYTES`].
async fn read(mut response: reqwest::Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while body.len() < MAX_RESPONSE_BYTES
        && let Some(chunk) = response.chunk().await?
    {
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The causes of an error, without the URL (which is in the configuration).
pub(crate) fn error_chain(error: &reqwest::Error) -> String {
    let mut text = if error.is_timeout() { "timed out".to_owned() } else { String::new() };
    let mut cause = error.source();
    while let Some(error) = cause {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&error.to_string());
        cause = error.source();
    }
    if text.is_empty() { "the request failed".to_owned() } else { text }
}
