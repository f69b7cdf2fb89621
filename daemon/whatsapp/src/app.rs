//! A Meta app: one callback address, one secret, many numbers. Handshake and webhooks.

use crate::json::{self, Json};
use crate::{Secret, misfit, signature, webhook};
use beadle_model::word::Language;
use beadle_model::{Alias, AliasKind, Blame, Coded, Content, EventBody, Timestamp, language_of_number};
use beadle_store::step::{NewEvent, NewLetter, Receipt};
use std::collections::HashMap;

/// The largest body that is read. The platform says 3 MB (whatsapp.md 1.3) and may mean MiB; the rest is room for a
/// limit that it raises a little. The HTTP layer cuts off there.
pub const BODY_LIMIT_BYTES: usize = 3 * 1024 * 1024 + 256 * 1024;

/// What an [`App`] is made of.
#[derive(Clone, Debug)]
pub struct AppConfig {
    /// Its name in the configuration.
    pub name: String,
    /// What the platform says at the handshake.
    pub verify_token: Secret,
    /// What the platform signs webhooks with; where it is empty all are refused.
    pub app_secret: Secret,
    /// The channel's name in the configuration by `phone_number_id`.
    pub channels: HashMap<String, String>,
    /// The names of an account's channels by `business_account_id`, where that is configured: news of accounts name no number.
    pub accounts: HashMap<String, Vec<String>>,
    /// The tag of this installation ([`beadle_store`]'s `install`): only receipts that carry it are for our messages.
    pub install: String,
    /// Whose messages they are, as the answer to STOP names it.
    pub brand: String,
    /// The language of that answer where the word does not tell.
    pub language: Language,
    /// Whether somebody is taken to speak what is spoken where their number is from, until they tell otherwise.
    pub language_from_number: bool,
}

/// A Meta app, ready to take webhooks. Cheap to ask from many tasks at once.
pub struct App {
    config: AppConfig,
    webhook_key: signature::Key,
    handshake_key: signature::Key,
}

/// What a webhook brought.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed {
    /// In the order of their time stamps, then of their places.
    pub events: Vec<NewEvent>,
    /// Likewise.
    pub receipts: Vec<Receipt>,
    /// What could not be understood, for a person.
    pub letters: Vec<NewLetter>,
    /// How many of what, for metrics.
    pub counts: Counts,
    /// A number (`phone_number_id`) that something came for and that is not configured.
    pub unknown_number: Option<String>,
}

/// How many of what a webhook brought: nothing is dropped without being counted here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that became a message event.
    pub messages: usize,
    /// Those of them that are kept as [`Content::Other`].
    pub others: usize,
    /// Messages that became a reaction event.
    pub reactions: usize,
    /// Statuses that became a receipt.
    pub receipts: usize,
    /// Events that are news: of groups, contacts, channels, colleagues.
    pub news: usize,
    /// Events of kind `unrouted`, of all sorts.
    pub unrouted: usize,
    /// Those of them that are for a number which is not configured.
    pub unknown_number: usize,
    /// Bodies and parts of bodies that became a letter.
    pub unreadable: usize,
}

impl Counts {
    pub(crate) fn message(&mut self, body: &EventBody) {
        match body {
            EventBody::Reaction { .. } => self.reactions += 1,
            EventBody::Message { content, .. } => {
                self.messages += 1;
                self.others += usize::from(matches!(content, Content::Other { .. }));
            }
            EventBody::ContactChanged { .. } => self.news += 1,
            _ => {}
        }
    }
}

/// Why a webhook is not taken. Everything authentic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// Not signed by the app's secret, or not signed at all.
    #[error(
        "a webhook came with a wrong signature or none: it is not from this Meta app, or `app_secret` is another app's; \
         it was refused, and the platform repeats its own for up to 7 days"
    )]
    BadSignature,
    /// No secret is configured, so nothing can be told from a forgery.
    #[error("a webhook came and the app has no `app_secret`: without one every webhook is refused")]
    NoSecret,
    /// Larger than [`BODY_LIMIT_BYTES`].
    #[error("a webhook had {0} bytes, more than the {BODY_LIMIT_BYTES} that are read: the platform sends 3 MB at most")]
    TooLarge(usize),
    /// Not the question that the platform asks when the address is saved, or with another token.
    #[error("the handshake's verify token is not the one configured as `verify_token`, or it was no handshake at all")]
    BadHandshake,
}

impl WebhookError {
    /// The HTTP status to answer with.
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
    /// From its configuration.
    pub fn new(config: AppConfig) -> Self {
        let webhook_key = signature::Key::new(&config.app_secret);
        let handshake_key = signature::Key::new(&config.verify_token);
        Self { config, webhook_key, handshake_key }
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// The platform asks whether the address is ours. `query` is the query string as it came; the answer is the body to
    /// send, as plain text.
    pub fn handshake(&self, query: &str) -> Result<String, WebhookError> {
        let url = reqwest::Url::parse(&format!("http://localhost/?{query}")).map_err(|_| WebhookError::BadHandshake)?;
        let asked = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        match (asked("hub.mode"), asked("hub.verify_token"), asked("hub.challenge")) {
            (Some(mode), Some(token), Some(challenge)) if mode == "subscribe" && self.handshake_key.is(&token) => {
                Ok(challenge)
            }
            _ => Err(WebhookError::BadHandshake),
        }
    }

    /// A webhook: `signature` is the header `X-Hub-Signature-256`, `body` the bytes as they came, `now` civil time.
    ///
    /// What is authentic is never an error, whatever it says: answer 200 when what it brought has been stored.
    pub fn receive(&self, signature: Option<&str>, body: &[u8], now: Timestamp) -> Result<Parsed, WebhookError> {
        if body.len() > BODY_LIMIT_BYTES {
            return Err(WebhookError::TooLarge(body.len()));
        }
        if !self.webhook_key.is_set() {
            return Err(WebhookError::NoSecret);
        }
        if !signature.is_some_and(|signature| self.webhook_key.signed(signature, body)) {
            return Err(WebhookError::BadSignature);
        }
        Ok(self.understand(body, now))
    }

    /// What a body says that is known to be authentic: one that was kept because nobody could read it, for example.
    pub fn understand(&self, body: &[u8], now: Timestamp) -> Parsed {
        let read = |text: &[u8]| Json::parse(text).map(|tree| webhook::read(self, &tree, now));
        // A second look only where the first found no JSON at all.
        let parsed = read(body).or_else(|| read(json::mend(body).as_bytes()));
        parsed.flatten().unwrap_or_else(|| {
            let counts = Counts { unreadable: 1, ..Counts::default() };
            Parsed { letters: vec![misfit::unreadable(self, body)], counts, ..Parsed::default() }
        })
    }

    pub(crate) fn channel(&self, phone_number_id: &str) -> Option<&str> {
        self.config.channels.get(phone_number_id).map(String::as_str)
    }

    /// The one channel of an account; `None` where it has several, or it is not known which it has.
    pub(crate) fn only_channel(&self, account: &str) -> Option<&str> {
        let of_account = self.config.accounts.get(account).map(Vec::as_slice);
        match of_account {
            Some([only]) => Some(only),
            Some(_) => None,
            // An app with a single number has a single account.
            None if self.config.channels.len() == 1 => self.config.channels.values().next().map(String::as_str),
            None => None,
        }
    }

    pub(crate) fn install(&self) -> &str {
        &self.config.install
    }

    pub(crate) fn brand(&self) -> &str {
        &self.config.brand
    }

    pub(crate) fn language(&self) -> Language {
        self.config.language
    }

    /// What somebody with these names is taken to speak.
    pub(crate) fn guess_language(&self, names: &[Alias]) -> Option<String> {
        let numbers = names.iter().filter(|name| matches!(name.kind, AliasKind::Phone | AliasKind::WaId));
        let mut guesses =
            numbers.filter(|_| self.config.language_from_number).map(|name| language_of_number(&name.value));
        guesses.next().flatten().map(str::to_owned)
    }
}
