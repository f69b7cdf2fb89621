//! One number of the Cloud API as a channel: sends one thing, once, and says what became of it.
//!
//! A message is one request ([`crate::graph`]); before one with a file of ours the file is uploaded. What the answer tells
//! beside the message's id (another spelling of their number) becomes an event.

use crate::graph::{Carries, Graph, Heard, story};
use crate::json::Json;
use crate::{Secret, body, key, upload};
use beadle_clock::Clock;
use beadle_model::{Alias, AliasKind, Blame, Coded, EventBody, MediaId, Outgoing, Timestamp};
use beadle_pipeline::{Channel, SendRequest, SendResponse};
use beadle_store::Store;
use beadle_store::step::{NewEvent, Place, Sender};
use reqwest::{Method, Url};
use serde_json::Value;
use std::pin::Pin;
use std::time::Duration;

/// Name, TCP and TLS together. Meta's edge answers in some 50 ms; 5 seconds allow one lost SYN (1 s) and its successor
/// (3 s), and end well before the whole request does, so that "did not connect" is not mistaken for "no answer".
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// An idle connection is closed by us before the far side does it: a request on a connection that is just being closed
/// is in doubt. Front ends commonly close after 60 seconds.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The platform could not take or find the message's file: what was uploaded is not to be used again.
const MEDIA_CODES: [&str; 2] = ["131052", "131053"];

/// What a [`CloudChannel`] is made of.
#[derive(Clone, Debug)]
pub struct CloudConfig {
    /// The channel's name in the configuration.
    pub name: String,
    /// Its app's name in the configuration: what stops the app stops the channel.
    pub app: String,
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
            ChannelError::HttpClient(_) => "http-client-failed",
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

/// Where files and people are known.
#[derive(Clone)]
pub struct Depot {
    /// Files, and the names of people.
    pub store: Store,
    /// Civil time, for what expires.
    pub clock: Clock,
}

/// One number of the Cloud API.
pub struct CloudChannel {
    name: String,
    app: String,
    number: String,
    messages: Url,
    pub(crate) graph: Graph,
    depot: Option<Depot>,
}

impl CloudChannel {
    /// From its configuration and the shared client of [`http_client`].
    pub fn new(config: CloudConfig, client: reqwest::Client) -> Result<Self, ChannelError> {
        let CloudConfig { name, app, graph_url, graph_version, phone_number_id: number, access_token, timeout } =
            config;
        let graph = Graph::new(&name, (&graph_url, &graph_version), access_token, timeout, client)?;
        let messages = graph.url(&[&number, "messages"]);
        Ok(Self { name, app, number, messages, graph, depot: None })
    }

    /// With the store, for whatever has to do with files and people: without it those are refused.
    #[must_use]
    pub fn with_depot(mut self, depot: Depot) -> Self {
        self.depot = Some(depot);
        self
    }

    pub(crate) fn depot(&self) -> Result<&Depot, SendResponse> {
        self.depot.as_ref().ok_or_else(|| SendResponse::NotSent("the channel has no store".to_owned()))
    }

    pub(crate) fn channel_name(&self) -> &str {
        &self.name
    }

    pub(crate) fn number_url(&self, what: &str) -> Url {
        self.graph.url(&[&self.number, what])
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.depot.as_ref().map(|depot| depot.clock.now()).unwrap_or_default()
    }

    pub(crate) fn install(&self) -> String {
        self.depot.as_ref().map(|depot| depot.store.install().to_owned()).unwrap_or_default()
    }

    async fn try_send(&self, shipment: &SendRequest) -> SendResponse {
        if let Outgoing::Group(change) = &shipment.body {
            return self.change_group(shipment, change).await;
        }
        let uploaded = match shipment.body.media() {
            Some(media) => match self.upload(media).await {
                Ok(uploaded) => Some(uploaded),
                Err(answer) => return answer,
            },
            None => None,
        };
        let body = body::write(shipment, uploaded.as_deref());
        let answer = match self.graph.ask(Method::POST, self.messages.clone(), Carries::Json(body)).await {
            Ok(heard) => self.understand(shipment, &heard),
            Err(answer) => answer,
        };
        if let (Some(media), SendResponse::Refused(problem, _)) = (shipment.body.media(), &answer)
            && MEDIA_CODES.contains(&problem.code.as_str())
            && let Some(depot) = &self.depot
        {
            upload::forget(depot, &self.name, media).await;
        }
        answer
    }

    async fn upload(&self, media: MediaId) -> Result<String, SendResponse> {
        upload::upload(&self.graph, &self.name, self.number_url("media"), self.depot()?, media).await
    }

    fn understand(&self, shipment: &SendRequest, heard: &Heard) -> SendResponse {
        let tree = Json::parse(&heard.text).unwrap_or(Json::Null);
        if heard.http.is_success() {
            let first = tree.get("messages").and_then(Json::items).and_then(<[_]>::first);
            match (&shipment.body, first.and_then(|message| message.string_of("id"))) {
                (Outgoing::MarkRead { .. } | Outgoing::Typing { .. }, _) if tree.is_true("success") => {
                    return SendResponse::Accepted(None);
                }
                (Outgoing::Pin { .. }, id) => return SendResponse::Accepted(id),
                (Outgoing::MarkRead { .. } | Outgoing::Typing { .. }, _) | (_, None) => {}
                (_, id) => {
                    return match self.spelling(shipment, &tree) {
                        Some(news) => SendResponse::AcceptedWith(id, vec![news]),
                        None => SendResponse::Accepted(id),
                    };
                }
            }
        }
        self.graph.nonsense(heard)
    }

    /// The account answers to another number than the one we wrote to (Brazil, Mexico, Argentina): both are this person's.
    fn spelling(&self, shipment: &SendRequest, tree: &Json<'_>) -> Option<NewEvent> {
        let ours = &shipment.to;
        if shipment.group.is_some() || !matches!(ours.kind, AliasKind::Phone | AliasKind::WaId) {
            return None;
        }
        let theirs = tree.get("contacts")?.items()?.first()?.string_of("wa_id")?;
        if theirs == ours.value || !theirs.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let key = key::of_names(None, &["spelling", &self.number, &ours.value, &theirs]);
        let aliases = vec![ours.clone(), Alias { kind: AliasKind::WaId, value: theirs }];
        let sender = Sender { channel: self.name.clone(), aliases, name: None, group: None, language: None };
        Some(NewEvent {
            key,
            place: Place::Sender(sender),
            happened_at: self.now(),
            opens_window: false,
            word: None,
            body: EventBody::ContactChanged { change: "other-spelling".to_owned(), merged: None, extra: Value::Null },
        })
    }
}

impl Channel for CloudChannel {
    fn name(&self) -> &str {
        &self.name
    }

    fn app(&self) -> &str {
        &self.app
    }

    fn send<'a>(&'a self, shipment: &'a SendRequest) -> Pin<Box<dyn Future<Output = SendResponse> + Send + 'a>> {
        Box::pin(self.try_send(shipment))
    }
}
