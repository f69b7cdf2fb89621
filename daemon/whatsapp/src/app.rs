//! A Meta app: one callback URL, one secret, many numbers. Answers the handshake and parses
//! webhooks.
//!
//! A body that is signed with the app's secret is never refused, whatever it contains; see
//! [`App::receive`].

use crate::config::AppConfig;
use crate::json::{self, Json};
use crate::webhook::{self, Counts, Parsed};
use crate::{signature, unparsable};
use beadle_model::{Blame, Coded, Timestamp};

/// Maximum size of a webhook body in bytes; the HTTP layer stops reading there. The platform
/// documents 3 MB (docs/whatsapp.md#delivery) and may mean MiB; the margin allows for a slightly
/// raised limit.
pub const BODY_LIMIT_BYTES: usize = 3 * 1024 * 1024 + 256 * 1024;

/// A Meta app, ready to receive webhooks from many tasks concurrently.
pub struct App {
    config: AppConfig,
    webhook_key: signature::Key,
    handshake_key: signature::Key,
}

/// Why a request to the callback URL is refused. Authentic webhooks never are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// The signature is missing or was made with another secret.
    #[error(
        "the webhook's signature is missing or wrong, so it was refused: either the sender is not this Meta app, or \
         `app_secret` belongs to another app; the platform resends its webhooks for up to 7 days"
    )]
    BadSignature,
    /// No secret is configured, so no signature can be verified.
    #[error("the app has no `app_secret`; every webhook is refused until one is configured")]
    NoSecret,
    /// Larger than [`BODY_LIMIT_BYTES`].
    #[error("the webhook has {0} bytes; the maximum is {BODY_LIMIT_BYTES} (the platform sends at most 3 MB)")]
    TooLarge(usize),
    /// Not a handshake, or one with another token.
    #[error("the handshake was refused: `hub.verify_token` must equal the configured `verify_token`")]
    BadHandshake,
}

impl WebhookError {
    /// The HTTP status of the response.
    pub fn status(&self) -> u16 {
        match self {
            WebhookError::TooLarge(_) => 413,
            WebhookError::BadSignature | WebhookError::NoSecret | WebhookError::BadHandshake => 403,
        }
    }
}

impl Coded for WebhookError {
    fn code(&self) -> &'static str {
        match self {
            WebhookError::BadSignature => "webhook-bad-signature",
            WebhookError::NoSecret => "webhook-no-secret",
            WebhookError::TooLarge(_) => "webhook-too-large",
            WebhookError::BadHandshake => "webhook-bad-handshake",
        }
    }

    fn blame(&self) -> Blame {
        match self {
            WebhookError::NoSecret => Blame::Operator,
            _ => Blame::Remote,
        }
    }
}

impl App {
    /// Creates the app.
    pub fn new(config: AppConfig) -> Self {
        let webhook_key = signature::Key::new(&config.app_secret);
        let handshake_key = signature::Key::new(&config.verify_token);
        Self { config, webhook_key, handshake_key }
    }

    /// The app's name in the configuration.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Answers the request that verifies the callback URL. `query` is the raw query string; the
    /// result is the plain text body of the response.
    pub fn handshake(&self, query: &str) -> Result<String, WebhookError> {
        let url = reqwest::Url::parse(&format!("http://localhost/?{query}")).map_err(|_| WebhookError::BadHandshake)?;
        let parameter =
            |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        match (parameter("hub.mode"), parameter("hub.verify_token"), parameter("hub.challenge")) {
            (Some(mode), Some(token), Some(challenge)) if mode == "subscribe" && self.handshake_key.equals(&token) => {
                Ok(challenge)
            }
            _ => Err(WebhookError::BadHandshake),
        }
    }

    /// Checks whether the header `X-Hub-Signature-256` can be a signature at all. If not, the
    /// request must be refused before its body is read.
    pub fn check_signature_form(&self, signature: Option<&str>) -> Result<(), WebhookError> {
        if !self.webhook_key.is_set() {
            return Err(WebhookError::NoSecret);
        }
        match signature {
            Some(signature) if signature::is_well_formed(signature) => Ok(()),
            _ => Err(WebhookError::BadSignature),
        }
    }

    /// Verifies and parses a webhook. `signature` is the header `X-Hub-Signature-256`, `body` the
    /// raw bytes, `now` civil time. The response must be 200 once the result is stored, and not
    /// before.
    ///
    /// # Errors
    /// Only if the body is too large or not authentic; never because of its contents.
    pub fn receive(&self, signature: Option<&str>, body: &[u8], now: Timestamp) -> Result<Parsed, WebhookError> {
        if body.len() > BODY_LIMIT_BYTES {
            return Err(WebhookError::TooLarge(body.len()));
        }
        if !self.webhook_key.is_set() {
            return Err(WebhookError::NoSecret);
        }
        if !signature.is_some_and(|signature| self.webhook_key.verifies(signature, body)) {
            return Err(WebhookError::BadSignature);
        }
        Ok(self.parse(body, now))
    }

    /// Parses a body that is known to be authentic, such as a rejected webhook that is retried.
    pub fn parse(&self, body: &[u8], now: Timestamp) -> Parsed {
        let read = |text: &[u8]| Json::parse(text).map(|tree| webhook::read(&self.config, &tree, now));
        // Repairing copies the whole body, so it is done only if the body is not JSON as it stands.
        let parsed = read(body).or_else(|| read(json::repair_unicode(body).as_bytes()));
        parsed.flatten().unwrap_or_else(|| {
            let counts = Counts { rejected: 1, ..Counts::default() };
            Parsed { rejected: vec![unparsable::rejected_body(&self.config.name, body)], counts, ..Parsed::default() }
        })
    }
}
