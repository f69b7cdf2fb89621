//! Requests to the Graph API, and what its answers mean.
//!
//! What this module is about is the difference between "did not leave", "was refused" and "nobody knows": only the first two
//! may be tried again without a person seeing something twice. It does not retry, and neither does the HTTP client.

use crate::errors::{self, Failure};
use crate::json::Json;
use crate::{ChannelError, Secret};
use beadle_model::event::Problem;
use beadle_pipeline::{Advice, SendResponse};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use std::error::Error as _;
use std::time::Duration;

/// Answers have some 300 bytes, a group with eight members some thousand; the error page of a proxy may have any number.
const ANSWER_BYTES: usize = 64 * 1024;

/// Characters of an answer that is not understood which are told.
const TOLD_CHARS: usize = 200;

/// The platform for one token: where it is, and by which right we ask.
#[derive(Clone)]
pub(crate) struct Graph {
    /// `https://graph.facebook.com/v26.0/`
    base: Url,
    authorization: HeaderValue,
    token: Secret,
    timeout: Duration,
    client: reqwest::Client,
}

/// What a request carries.
pub(crate) enum Carries {
    Nothing,
    Json(Vec<u8>),
    /// A body with its content type.
    Form(String, Vec<u8>),
}

/// An answer that is none of the platform's errors: its status and its text, whole.
pub(crate) struct Heard {
    pub(crate) http: StatusCode,
    pub(crate) text: Vec<u8>,
}

impl Graph {
    pub(crate) fn new(
        channel: &str,
        (graph_url, graph_version): (&str, &str),
        token: Secret,
        timeout: Duration,
        client: reqwest::Client,
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

    /// The address of what lies under these names; each is one part of the path, whatever it holds.
    pub(crate) fn url(&self, parts: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(parts);
        }
        url
    }

    /// A request with our token, to the platform or to where it keeps files.
    pub(crate) fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.client.request(method, url).header(AUTHORIZATION, self.authorization.clone())
    }

    /// Whether an address that the platform names may be given our token: its own hosts, or the one that is configured.
    pub(crate) fn trusts(&self, url: &Url) -> bool {
        const HOSTS: [&str; 4] = [".fbsbx.com", ".facebook.com", ".whatsapp.net", ".fbcdn.net"];
        let same = url.origin() == self.base.origin();
        let host = url.host_str().unwrap_or_default();
        same || (url.scheme() == "https" && HOSTS.iter().any(|known| host.ends_with(known)))
    }

    /// Asks once. `Err`: it did not leave, was refused, or nobody knows.
    pub(crate) async fn ask(&self, method: Method, url: Url, carries: Carries) -> Result<Heard, SendResponse> {
        self.ask_within(method, url, carries, self.timeout).await
    }

    /// The same, with another time-out: files take longer.
    pub(crate) async fn ask_within(
        &self,
        method: Method,
        url: Url,
        carries: Carries,
        timeout: Duration,
    ) -> Result<Heard, SendResponse> {
        let request = self.request(method, url).timeout(timeout);
        let request = match carries {
            Carries::Nothing => request,
            Carries::Json(body) => {
                request.header(CONTENT_TYPE, HeaderValue::from_static("application/json")).body(body)
            }
            Carries::Form(kind, body) => request.header(CONTENT_TYPE, kind).body(body),
        };
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_connect() || error.is_builder() => return Err(SendResponse::NotSent(story(&error))),
            Err(error) => return Err(SendResponse::Ambiguous(story(&error))),
        };
        let http = response.status();
        let text = match read(response).await {
            Ok(text) => text,
            Err(error) => return Err(SendResponse::Ambiguous(format!("HTTP {http}, and then: {}", story(&error)))),
        };
        // An error counts whatever the status says, and a status only where there is nothing better.
        let tree = Json::parse(&text).unwrap_or(Json::Null);
        match tree.get("error").and_then(|error| self.refusal(error, http)) {
            Some(refused) => Err(refused),
            None => Ok(Heard { http, text }),
        }
    }

    /// An answer that is not what was to come.
    pub(crate) fn nonsense(&self, heard: &Heard) -> SendResponse {
        let http = heard.http;
        let told = self.scrub(&String::from_utf8_lossy(&heard.text).chars().take(TOLD_CHARS).collect::<String>());
        if http.is_success() || http.is_server_error() {
            return SendResponse::Ambiguous(format!("HTTP {http} with an answer that says nothing: {told}"));
        }
        // Something in between, or another server altogether: the platform itself never saw it.
        let advice = match http {
            StatusCode::TOO_MANY_REQUESTS => Advice::SlowChannel,
            _ => Advice::Retry { attempts: 3 },
        };
        let problem = Problem {
            code: "platform-bad-response".to_owned(),
            title: format!("HTTP {http} with an answer that is not the platform's"),
            details: Some(told),
            by: "platform".to_owned(),
        };
        SendResponse::Refused(problem, advice)
    }

    /// `error` of an answer; `None` where it has no code.
    fn refusal(&self, error: &Json<'_>, http: StatusCode) -> Option<SendResponse> {
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
        Some(SendResponse::Refused(problem, errors::advice(failure)))
    }

    /// Without the token: "Malformed access token EAA…" is a text of the platform's own.
    fn scrub(&self, text: &str) -> String {
        text.replace(self.token.expose(), "***")
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
pub(crate) fn story(error: &reqwest::Error) -> String {
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
