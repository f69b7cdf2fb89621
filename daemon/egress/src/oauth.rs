//! OAuth 2 access tokens that the host gets and renews (RFC 6749): by client credentials
//! (section 4.4) or a refresh token (section 6).
//!
//! A token is kept in memory and renewed before it expires. There is one renewal at a time, which
//! goes on if the request that began it is given up, so that a rotated refresh token is not lost;
//! it is stored before the new access token is used. A failed renewal is repeated at growing
//! intervals, not by every request, and is shown by [`TokenSource::status`].

use crate::error::{EgressError, TokenError};
use crate::request::{EgressRequest, EgressResponse};
use crate::retry::Backoff;
use crate::scrub::Scrubber;
use crate::secret_rules::unusable;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use beadle_clock::Clock;
use beadle_model::{Secret, Timestamp};
use parking_lot::Mutex;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde_json::Value;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tracing::warn;

/// A token is renewed this long before it expires, or when a quarter of its time is left: longer
/// than the longest request.
const MARGIN_MS: i64 = 90_000;

/// The life of a token whose server does not state one. A refused token is renewed in any case.
const DEFAULT_LIFE_MS: i64 = 3_600_000;

/// Between attempts at a renewal. After a refusal the longest one, since only the operator can end
/// it.
const BACKOFF: Backoff = Backoff { first_ms: 1000, max_ms: 600_000 };

/// Characters of a server's answer that an error quotes.
const QUOTED_CHARS: usize = 200;

/// A future that does not borrow.
pub type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// How to get an access token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSettings {
    /// The plugin to which the secret belongs.
    pub plugin: String,
    /// The name of the secret.
    pub name: String,
    /// The token endpoint, in the form of a rule's `url`.
    pub url: String,
    /// Networks in which it may be, in addition to the internet.
    pub networks: Vec<String>,
    /// What is exchanged for a token.
    pub grant: Grant,
    /// The client's id.
    pub client_id: String,
    /// The client's secret; public clients have none.
    pub client_secret: Option<Secret>,
    /// How the client authenticates.
    pub client_auth: ClientAuth,
    /// The scope that is asked for.
    pub scope: Option<String>,
}

/// What is exchanged for an access token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// The client's own credentials.
    ClientCredentials,
    /// A refresh token: the stored one, if the server has rotated it, else the configured one.
    RefreshToken(Secret),
}

/// How a client authenticates at the token endpoint (RFC 6749, section 2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// By HTTP basic authentication.
    Basic,
    /// By `client_id` and `client_secret` in the body.
    Body,
}

/// Sends requests to token endpoints.
pub trait TokenTransport: Send + Sync {
    /// Sends one request. The response is not scrubbed.
    fn send(&self, settings: &TokenSettings, request: EgressRequest) -> Boxed<Result<EgressResponse, EgressError>>;
}

/// Keeps refresh tokens that a server has rotated.
pub trait TokenStore: Send + Sync {
    /// Stores a refresh token durably, for the secret whose settings these are.
    fn store(&self, settings: &TokenSettings, refresh_token: &Secret) -> Boxed<Result<(), String>>;

    /// The refresh token that was stored last for this secret. `None` if there is none, or if the
    /// operator has configured another one since.
    fn load(&self, settings: &TokenSettings) -> Option<Secret>;
}

/// The state of a token, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenStatus {
    /// When the access token expires, in civil time; `None` if there is none.
    pub expires_at: Option<Timestamp>,
    /// Why the last renewal failed.
    pub error: Option<TokenError>,
    /// Why a rotated refresh token could not be stored: it is lost when the daemon stops.
    pub not_stored: Option<String>,
}

/// An access token and how to renew it.
pub struct TokenSource {
    settings: TokenSettings,
    clock: Clock,
    store: Arc<dyn TokenStore>,
    state: Mutex<State>,
    renewal: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct State {
    access: Option<Access>,
    /// From the last rotation.
    refresh: Option<Secret>,
    failures: u32,
    /// In monotonic time.
    retry_at: Option<Timestamp>,
    error: Option<TokenError>,
    not_stored: Option<String>,
}

/// Its times are monotonic: a civil clock that is set back would keep an expired token.
#[derive(Clone)]
struct Access {
    token: Secret,
    renew_at: Timestamp,
    expires_at: Timestamp,
}

/// What a token endpoint answered.
struct Issued {
    token: Secret,
    life_ms: i64,
    refresh: Option<Secret>,
}

/// Why it gave no token.
enum Refusal {
    Refused(String),
    Unavailable(String),
}

impl TokenSource {
    /// A source that has no access token yet. Reads the stored refresh token.
    pub fn new(settings: TokenSettings, clock: Clock, store: Arc<dyn TokenStore>) -> Arc<Self> {
        let refresh = store.load(&settings).filter(|token| unusable(token).is_none());
        let state = Mutex::new(State { refresh, ..State::default() });
        Arc::new(Self { settings, clock, store, state, renewal: Arc::default() })
    }

    /// How it gets tokens.
    pub fn settings(&self) -> &TokenSettings {
        &self.settings
    }

    /// A valid access token, renewed if it is about to expire.
    ///
    /// # Errors
    /// [`TokenError`], at once if a renewal failed a short time ago.
    pub async fn token(self: &Arc<Self>, transport: &Arc<dyn TokenTransport>) -> Result<Secret, TokenError> {
        if let Some(result) = self.current() {
            return result;
        }
        let renewal = Arc::clone(&self.renewal).lock_owned().await;
        // Another request may have renewed it meanwhile.
        if let Some(result) = self.current() {
            return result;
        }
        let task = tokio::spawn({
            let (source, transport) = (Arc::clone(self), Arc::clone(transport));
            async move {
                source.renew(&transport).await;
                drop(renewal);
            }
        });
        let ended = task.await;
        self.current().unwrap_or_else(|| {
            let reason = if ended.is_err() { "the renewal panicked" } else { "the token expired at once" };
            Err(self.unavailable(reason.to_owned(), 0))
        })
    }

    /// Discards an access token that a server refused. A newer one stays.
    pub fn invalidate(&self, token: &Secret) {
        self.state.lock().access.take_if(|access| access.token == *token);
    }

    /// The state of the token.
    pub fn status(&self) -> TokenStatus {
        let (now, monotonic) = (self.clock.now(), self.clock.monotonic());
        let state = self.state.lock();
        TokenStatus {
            expires_at: state.access.as_ref().map(|access| now.plus_ms(access.expires_at.since_ms(monotonic))),
            error: state.error.clone(),
            not_stored: state.not_stored.clone(),
        }
    }

    /// Every secret that takes part, to scrub them.
    pub fn secrets(&self) -> Vec<Secret> {
        let state = self.state.lock();
        let configured = match &self.settings.grant {
            Grant::RefreshToken(token) => Some(token),
            Grant::ClientCredentials => None,
        };
        let access = state.access.as_ref().map(|access| &access.token);
        [access, state.refresh.as_ref(), configured, self.settings.client_secret.as_ref()]
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// The token or error that needs no renewal now.
    fn current(&self) -> Option<Result<Secret, TokenError>> {
        let (now, state) = (self.clock.monotonic(), self.state.lock());
        let wait_ms = state.retry_at.map_or(0, |at| at.since_ms(now));
        match &state.access {
            Some(access) if now < access.renew_at => Some(Ok(access.token.clone())),
            Some(access) if now < access.expires_at && wait_ms > 0 => Some(Ok(access.token.clone())),
            _ if wait_ms > 0 => state.error.clone().map(|error| Err(with_wait(error, wait_ms))),
            _ => None,
        }
    }

    async fn renew(&self, transport: &Arc<dyn TokenTransport>) {
        let response = transport.send(&self.settings, self.request()).await;
        let issued = match response {
            Ok(response) => read(&response),
            Err(error) => Err(Refusal::Unavailable(error.to_string())),
        };
        match issued {
            Ok(issued) => self.keep(issued).await,
            Err(refusal) => self.fail(refusal),
        }
    }

    async fn keep(&self, issued: Issued) {
        if let Some(refresh) = &issued.refresh
            && self.refresh_token().as_ref() != Some(refresh)
        {
            // The server may accept the new one only from now on.
            self.state.lock().refresh = Some(refresh.clone());
            let stored = self.store.store(&self.settings, refresh).await;
            if let Err(error) = &stored {
                let (plugin, secret) = (&self.settings.plugin, &self.settings.name);
                warn!(%plugin, %secret, code = "oauth-not-stored", %error, "rotated refresh token not stored");
            }
            self.state.lock().not_stored = stored.err();
        }
        let expires_at = self.clock.monotonic().plus_ms(issued.life_ms);
        let renew_at = expires_at.plus_ms(-MARGIN_MS.min(issued.life_ms / 4));
        let mut state = self.state.lock();
        state.access = Some(Access { token: issued.token, renew_at, expires_at });
        (state.failures, state.retry_at, state.error) = (0, None, None);
    }

    fn fail(&self, refusal: Refusal) {
        let scrubber = Scrubber::new(&self.secrets());
        let mut state = self.state.lock();
        state.failures = state.failures.saturating_add(1);
        let seed = u64::from(state.failures) ^ self.clock.now().as_ms().unsigned_abs();
        let (error, wait_ms) = match refusal {
            Refusal::Refused(reason) => {
                // Cut last: a part of a secret would not be found.
                let reason = scrubber.scrub_text(&reason).chars().take(QUOTED_CHARS).collect();
                (TokenError::Refused { name: self.settings.name.clone(), reason }, BACKOFF.max_ms)
            }
            Refusal::Unavailable(reason) => {
                let wait_ms = BACKOFF.interval_ms(state.failures, seed);
                (self.unavailable(scrubber.scrub_text(&reason), wait_ms), wait_ms)
            }
        };
        let (plugin, failures) = (&self.settings.plugin, state.failures);
        warn!(%plugin, failures, %error, "token renewal failed");
        state.retry_at = Some(self.clock.monotonic().plus_ms(wait_ms));
        state.error = Some(error);
    }

    fn unavailable(&self, reason: String, retry_ms: i64) -> TokenError {
        TokenError::Unavailable { name: self.settings.name.clone(), reason, retry_ms }
    }

    fn refresh_token(&self) -> Option<Secret> {
        match &self.settings.grant {
            Grant::ClientCredentials => None,
            Grant::RefreshToken(configured) => Some(self.state.lock().refresh.as_ref().unwrap_or(configured).clone()),
        }
    }

    fn request(&self) -> EgressRequest {
        let TokenSettings { url, client_id, client_secret, client_auth, scope, .. } = &self.settings;
        let secret = client_secret.as_ref().map(Secret::expose);
        let mut fields = Vec::new();
        let refresh = self.refresh_token();
        match &refresh {
            None => fields.push(("grant_type", "client_credentials")),
            Some(token) => fields.extend([("grant_type", "refresh_token"), ("refresh_token", token.expose())]),
        }
        fields.extend(scope.as_deref().map(|scope| ("scope", scope)));
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        match (client_auth, secret) {
            (ClientAuth::Basic, Some(secret)) => {
                let user_password = format!("{}:{}", form_encode(client_id), form_encode(secret));
                if let Ok(mut value) = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(user_password))) {
                    value.set_sensitive(true);
                    headers.insert(AUTHORIZATION, value);
                }
            }
            _ => {
                fields.push(("client_id", client_id));
                fields.extend(secret.map(|secret| ("client_secret", secret)));
            }
        }
        let body = fields.iter().map(|(name, value)| format!("{name}={}", form_encode(value)));
        let body = body.collect::<Vec<_>>().join("&").into_bytes();
        EgressRequest { method: Method::POST, url: url.clone(), headers, body }
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSource").field("settings", &self.settings).field("status", &self.status()).finish()
    }
}

fn with_wait(mut error: TokenError, wait_ms: i64) -> TokenError {
    if let TokenError::Unavailable { retry_ms, .. } = &mut error {
        *retry_ms = wait_ms;
    }
    error
}

/// `application/x-www-form-urlencoded`.
fn form_encode(text: &str) -> String {
    let Ok(mut url) = Url::parse("http://form/") else { return String::new() };
    url.query_pairs_mut().append_key_only(text);
    url.query().unwrap_or_default().to_owned()
}

/// Reads the answer of a token endpoint (RFC 6749, sections 5.1 and 5.2).
fn read(response: &EgressResponse) -> Result<Issued, Refusal> {
    let status = response.status;
    let unavailable = |reason: &str| Err(Refusal::Unavailable(format!("HTTP {status} {reason}")));
    let json: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let text = |name: &str| json.get(name).and_then(Value::as_str);
    if !status.is_success() {
        let Some(error) = text("error").filter(|_| status.is_client_error() && status.as_u16() != 429) else {
            return unavailable("without the JSON of an OAuth 2 error");
        };
        let description = text("error_description").unwrap_or_default();
        let reason = format!("{error} {description}");
        return Err(Refusal::Refused(reason.trim().to_owned()));
    }
    let Some(token) = text("access_token").map(Secret::new) else {
        return unavailable("without an `access_token`");
    };
    if text("token_type").is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return unavailable("with a `token_type` other than Bearer");
    }
    if let Some(reason) = unusable(&token) {
        return unavailable(&format!("with an access token that {reason}"));
    }
    let seconds = json.get("expires_in").and_then(|life| life.as_i64().or_else(|| life.as_str()?.parse().ok()));
    let life_ms = seconds.map_or(DEFAULT_LIFE_MS, |seconds| seconds.max(1).saturating_mul(1000));
    // A short refresh token could not be scrubbed; the earlier one stays.
    let refresh = text("refresh_token").map(Secret::new).filter(|token| unusable(token).is_none());
    Ok(Issued { token, life_ms, refresh })
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::StatusCode;
    use std::collections::VecDeque;

    /// A token endpoint that answers as told, and remembers what it was asked.
    #[derive(Default)]
    struct Server {
        answers: Mutex<VecDeque<(u16, String)>>,
        requests: Mutex<Vec<(HeaderMap, String)>>,
        hold: Option<Arc<tokio::sync::Semaphore>>,
    }

    impl TokenTransport for Server {
        fn send(&self, _: &TokenSettings, request: EgressRequest) -> Boxed<Result<EgressResponse, EgressError>> {
            let body = String::from_utf8(request.body).unwrap();
            self.requests.lock().push((request.headers, body));
            let (status, body) = self.answers.lock().pop_front().unwrap();
            let hold = self.hold.clone();
            Box::pin(async move {
                if let Some(hold) = hold {
                    hold.acquire().await.unwrap().forget();
                }
                let status = StatusCode::from_u16(status).unwrap();
                Ok(EgressResponse { status, url: String::new(), headers: HeaderMap::new(), body: body.into_bytes() })
            })
        }
    }

    /// Stores tokens, or fails.
    #[derive(Default)]
    struct Stored(Mutex<Vec<Secret>>, bool);

    impl TokenStore for Stored {
        fn load(&self, _: &TokenSettings) -> Option<Secret> {
            self.0.lock().last().cloned()
        }

        fn store(&self, _: &TokenSettings, refresh_token: &Secret) -> Boxed<Result<(), String>> {
            self.0.lock().push(refresh_token.clone());
            let result = if self.1 { Err("disk full".to_owned()) } else { Ok(()) };
            Box::pin(async move { result })
        }
    }

    fn settings(grant: Grant, client_auth: ClientAuth) -> TokenSettings {
        TokenSettings {
            plugin: "crm".into(),
            name: "hubspot".into(),
            url: "https://login.example.org/token".into(),
            networks: vec![],
            grant,
            client_id: "id".into(),
            client_secret: Some(Secret::new("client secret&")),
            client_auth,
            scope: Some("a b".into()),
        }
    }

    struct Env {
        source: Arc<TokenSource>,
        server: Arc<Server>,
        transport: Arc<dyn TokenTransport>,
        stored: Arc<Stored>,
        clock: beadle_clock::ManualClock,
    }

    fn env(grant: Grant, client_auth: ClientAuth, answers: &[(u16, &str)], server: Server, stored: Stored) -> Env {
        let (clock, manual) = Clock::manual(Timestamp(1_000_000));
        let (server, stored) = (Arc::new(server), Arc::new(stored));
        *server.answers.lock() = answers.iter().map(|(status, body)| (*status, (*body).to_owned())).collect();
        let store = Arc::clone(&stored) as Arc<dyn TokenStore>;
        let source = TokenSource::new(settings(grant, client_auth), clock, store);
        let transport = Arc::clone(&server) as Arc<dyn TokenTransport>;
        Env { source, server, transport, stored, clock: manual }
    }

    fn client(answers: &[(u16, &str)]) -> Env {
        env(Grant::ClientCredentials, ClientAuth::Basic, answers, Server::default(), Stored::default())
    }

    impl Env {
        async fn token(&self) -> Result<String, TokenError> {
            self.source.token(&self.transport).await.map(|token| token.expose().to_owned())
        }

        fn asked(&self) -> usize {
            self.server.requests.lock().len()
        }
    }

    const FIRST: &str = r#"{"access_token":"first-token","token_type":"bearer","expires_in":3600}"#;
    const SECOND: &str = r#"{"access_token":"second-token","token_type":"Bearer","expires_in":"3600"}"#;

    #[tokio::test]
    async fn token_is_kept_and_renewed_before_it_expires() {
        let env = client(&[(200, FIRST), (200, SECOND)]);
        assert_eq!(env.token().await.unwrap(), "first-token");
        env.clock.advance_ms(3_600_000 - MARGIN_MS - 1);
        assert_eq!(env.token().await.unwrap(), "first-token");
        assert_eq!(env.asked(), 1);
        env.clock.advance_ms(1);
        assert_eq!(env.token().await.unwrap(), "second-token");
        let (headers, body) = env.server.requests.lock()[0].clone();
        // RFC 6749, section 2.3.1: form-encoded before Base64.
        let basic = format!("Basic {}", STANDARD.encode("id:client+secret%26"));
        assert_eq!(headers[AUTHORIZATION], basic.as_str());
        assert_eq!(body, "grant_type=client_credentials&scope=a+b");
    }

    #[tokio::test]
    async fn token_is_renewed_on_time_although_the_civil_clock_is_set_back() {
        const DAY_MS: i64 = 86_400_000;
        let env = client(&[(200, FIRST), (503, "busy"), (200, SECOND)]);
        env.token().await.unwrap();
        assert_eq!(env.source.status().expires_at, Some(Timestamp(1_000_000 + 3_600_000)));
        env.clock.advance_ms(-DAY_MS);
        assert_eq!(env.source.status().expires_at, Some(Timestamp(1_000_000 + 3_600_000 - DAY_MS)));
        env.clock.advance_ms(3_600_000 - MARGIN_MS - 1);
        assert_eq!(env.token().await.unwrap(), "first-token");
        assert_eq!(env.asked(), 1);
        env.clock.advance_ms(1);
        assert_eq!(env.token().await.unwrap(), "first-token");
        assert_eq!(env.asked(), 2);
        // So is the next attempt.
        env.clock.advance_ms(-DAY_MS);
        env.clock.advance_ms(1000);
        assert_eq!(env.token().await.unwrap(), "second-token");
    }

    #[tokio::test]
    async fn failed_renewal_is_repeated_at_growing_intervals_while_the_token_is_valid() {
        let env = client(&[(200, FIRST), (503, "busy"), (500, ""), (200, SECOND)]);
        env.token().await.unwrap();
        env.clock.advance_ms(3_600_000 - MARGIN_MS);
        assert_eq!(env.token().await.unwrap(), "first-token");
        assert_eq!(env.token().await.unwrap(), "first-token");
        assert_eq!(env.asked(), 2);
        let error = env.source.status().error.unwrap();
        assert_eq!(beadle_model::Coded::code(&error), "oauth-unavailable");
        env.clock.advance_ms(1000);
        env.token().await.unwrap();
        assert_eq!(env.asked(), 3);
        env.clock.advance_ms(1000);
        env.token().await.unwrap();
        assert_eq!(env.asked(), 3, "the second interval is two seconds");
        env.clock.advance_ms(1000);
        assert_eq!(env.token().await.unwrap(), "second-token");
        assert_eq!(env.source.status().error, None);
    }

    #[tokio::test]
    async fn expired_token_is_an_error_until_the_next_attempt() {
        let env = client(&[(200, FIRST), (502, "<html>"), (200, SECOND)]);
        env.token().await.unwrap();
        env.clock.advance_ms(3_600_000);
        assert!(env.token().await.unwrap_err().to_string().contains("HTTP 502"));
        assert!(env.token().await.is_err());
        assert_eq!(env.asked(), 2);
        env.clock.advance_ms(1000);
        assert_eq!(env.token().await.unwrap(), "second-token");
    }

    #[tokio::test]
    async fn refusal_is_for_the_operator_and_shows_no_secret() {
        let refused = r#"{"error":"invalid_client","error_description":"bad client secret& or client%20secret%26"}"#;
        let env = client(&[(401, refused)]);
        let error = env.token().await.unwrap_err();
        assert_eq!(beadle_model::Coded::code(&error), "oauth-refused");
        assert!(error.to_string().ends_with("invalid_client bad *** or ***"), "{error}");
        env.clock.advance_ms(BACKOFF.max_ms - 1);
        assert_eq!(env.token().await.unwrap_err(), error);
        assert!(!format!("{:?}", env.source).contains("client secret&"));
    }

    #[tokio::test]
    async fn refusal_is_cut_after_it_is_scrubbed() {
        for padding in [170, 175, 180, 190] {
            let description = format!("{}client secret&{}", "x".repeat(padding), "y".repeat(300));
            let refused = format!(r#"{{"error":"invalid","error_description":"{description}"}}"#);
            let TokenError::Refused { reason, .. } = client(&[(401, &refused)]).token().await.unwrap_err() else {
                panic!("not a refusal");
            };
            assert!(!reason.contains('c') && reason.contains("x*"), "{reason}");
            assert_eq!(reason.chars().count(), QUOTED_CHARS);
        }
        let refused = format!(r#"{{"error":"e","error_description":"{}client secret&"}}"#, "x".repeat(190));
        let error = client(&[(401, &refused)]).token().await.unwrap_err();
        assert!(error.to_string().ends_with("xx***"), "{error}");
    }

    #[tokio::test]
    async fn rotated_refresh_token_is_stored_and_used() {
        let rotated = r#"{"access_token":"first-token","expires_in":3600,"refresh_token":"rotated-refresh"}"#;
        let again = r#"{"access_token":"second-token","expires_in":3600,"refresh_token":"rotated-refresh"}"#;
        let grant = Grant::RefreshToken(Secret::new("configured-refresh"));
        let answers = [(200, rotated), (200, again)];
        let env = env(grant, ClientAuth::Body, &answers, Server::default(), Stored::default());
        env.token().await.unwrap();
        env.clock.advance_ms(3_600_000);
        env.token().await.unwrap();
        let bodies: Vec<String> = env.server.requests.lock().iter().map(|(_, body)| body.clone()).collect();
        let credentials = "client_id=id&client_secret=client+secret%26";
        let expected = format!("grant_type=refresh_token&refresh_token=configured-refresh&scope=a+b&{credentials}");
        assert_eq!(bodies[0], expected);
        assert!(bodies[1].contains("refresh_token=rotated-refresh"));
        assert_eq!(*env.stored.0.lock(), [Secret::new("rotated-refresh")]);
    }

    #[tokio::test]
    async fn refresh_token_that_is_not_stored_is_visible_and_used() {
        let rotated = r#"{"access_token":"first-token","refresh_token":"rotated-refresh"}"#;
        let grant = Grant::RefreshToken(Secret::new("configured-refresh"));
        let env = env(grant, ClientAuth::Body, &[(200, rotated)], Server::default(), Stored(Mutex::default(), true));
        assert_eq!(env.token().await.unwrap(), "first-token");
        assert_eq!(env.source.status().not_stored.as_deref(), Some("disk full"));
    }

    #[tokio::test]
    async fn one_renewal_at_a_time_survives_the_request_that_began_it() {
        let hold = Arc::new(tokio::sync::Semaphore::new(0));
        let server = Server { hold: Some(Arc::clone(&hold)), ..Server::default() };
        let env = env(Grant::ClientCredentials, ClientAuth::Basic, &[(200, FIRST)], server, Stored::default());
        let env = Arc::new(env);
        let first = tokio::spawn({
            let env = Arc::clone(&env);
            async move { env.token().await }
        });
        while env.asked() == 0 {
            tokio::task::yield_now().await;
        }
        first.abort();
        let others: Vec<_> = (0..5)
            .map(|_| {
                let env = Arc::clone(&env);
                tokio::spawn(async move { env.token().await.unwrap() })
            })
            .collect();
        hold.add_permits(1);
        for other in others {
            assert_eq!(other.await.unwrap(), "first-token");
        }
        assert_eq!(env.asked(), 1);
    }

    #[tokio::test]
    async fn invalidated_token_is_renewed_and_a_newer_one_stays() {
        let env = client(&[(200, FIRST), (200, SECOND)]);
        env.token().await.unwrap();
        env.source.invalidate(&Secret::new("first-token"));
        assert_eq!(env.token().await.unwrap(), "second-token");
        env.source.invalidate(&Secret::new("first-token"));
        assert_eq!(env.token().await.unwrap(), "second-token");
        assert_eq!(env.asked(), 2);
    }

    #[tokio::test]
    async fn nonsense_is_no_token() {
        for (status, body) in [
            (200, "OK"),
            (200, r#"{"access_token":7}"#),
            (200, r#"{"access_token":"abc"}"#),
            (200, r#"{"access_token":"a token\nwith a line","token_type":"bearer"}"#),
            (200, r#"{"access_token":"long-enough","token_type":"mac"}"#),
            (302, ""),
            (429, r#"{"error":"slow_down"}"#),
        ] {
            let error = client(&[(status, body)]).token().await.unwrap_err();
            assert!(matches!(error, TokenError::Unavailable { .. }), "{status} {body} {error}");
        }
    }
}
