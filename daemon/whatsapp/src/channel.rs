//! One number of the Cloud API as a channel: sends one thing, once, and reports the outcome.
//!
//! A message is one request ([`crate::graph`]), preceded by an upload if it carries one of our
//! files. If the response shows that the recipient's account has another spelling of their number,
//! that becomes an event. This module does not retry; the outbox does.

use crate::graph::{ChannelError, Graph, HttpClient, RequestBody, Response};
use crate::json::Json;
use crate::number::Number;
use crate::upload::{self, MediaStore};
use crate::{body, errors, group_change, key};
use beadle_model::event::Problem;
use beadle_model::{Alias, AliasKind, Blame, EventBody, MediaId, Outgoing, Secret, phone};
use beadle_pipeline::{Acceptance, Advice, Channel, SendRequest, SendResponse};
use beadle_store::step::{NewEvent, Placement, Sender};
use parking_lot::Mutex;
use reqwest::{Method, Url};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashMap;
use std::pin::Pin;
use std::time::Duration;

/// Errors after which an upload must not be used again: the platform could not read or find the
/// message's file.
const MEDIA_CODES: [&str; 2] = ["131052", "131053"];

/// The recipient is not on a test number's list. The list may hold the other spelling of their
/// number.
const NOT_ON_LIST: &str = "131030";

/// The `message_status` of a template message that is held until WhatsApp has assessed the quality
/// of the first ones (`docs/whatsapp.md#limits`).
const HELD: &str = "held_for_quality_assessment";

/// Numbers whose other spelling is on that list. A list has five entries.
const MAX_SPELLINGS: usize = 16;

/// Configuration of a [`CloudChannel`].
#[derive(Clone, Debug)]
pub struct CloudConfig {
    /// The channel's name in the configuration.
    pub name: String,
    /// The app's name in the configuration: an error that stops the app stops all its channels.
    pub app: String,
    /// `https://graph.facebook.com`, or the simulator's address.
    pub graph_url: String,
    /// Such as `v26.0`.
    pub graph_version: String,
    /// The platform's id of the number.
    pub phone_number_id: String,
    /// The app's token, with the permission `whatsapp_business_messaging`.
    pub access_token: Secret,
    /// Time limit of one request; [`CloudConfig::TIMEOUT`] except in tests.
    pub timeout: Duration,
}

impl CloudConfig {
    /// The platform usually responds within a second and has been seen to take 10 when busy. A
    /// slower request is ambiguous until its receipt arrives. The gate's margin before the end of a
    /// window relies on this limit.
    pub const TIMEOUT: Duration = Duration::from_secs(15);
}

/// One number of the Cloud API.
pub struct CloudChannel {
    number: Number,
    app: String,
    messages: Url,
    /// Numbers that are on a test number's list in their other spelling, which goes first. The
    /// sender's own spelling comes back with each of their messages, so the contact does not keep
    /// it.
    spellings: Mutex<HashMap<String, String>>,
}

impl CloudChannel {
    /// Creates the channel; `client` is shared by all channels.
    ///
    /// # Errors
    /// If the address or the token is invalid.
    pub fn new(config: CloudConfig, client: HttpClient) -> Result<Self, ChannelError> {
        let CloudConfig { name, app, graph_url, graph_version, phone_number_id: id, access_token, timeout } = config;
        let graph = Graph::new(&name, (&graph_url, &graph_version), access_token, timeout, client)?;
        let messages = graph.url(&[&id, "messages"]);
        let number = Number { channel: name, id, graph, media_store: None };
        Ok(Self { number, app, messages, spellings: Mutex::default() })
    }

    /// Adds the store. Without it, requests that need files or contacts are not sent.
    #[must_use]
    pub fn with_media_store(mut self, media_store: MediaStore) -> Self {
        self.number.media_store = Some(media_store);
        self
    }

    async fn try_send(&self, request: &SendRequest) -> SendResponse {
        if let Outgoing::Group(change) = &request.body {
            return group_change::send(&self.number, request, change).await;
        }
        let uploaded = match request.body.media() {
            Some(media) => match self.upload(media).await {
                Ok(uploaded) => Some(uploaded),
                Err(outcome) => return outcome,
            },
            None => None,
        };
        let known = self.spellings.lock().get(&request.to.value).cloned();
        let first = known.map_or(Cow::Borrowed(request), |spelling| Cow::Owned(spelled(request, spelling)));
        let mut outcome = self.post(&first, uploaded.as_deref()).await;
        if let SendResponse::Refused(problem, _) = &outcome
            && problem.code == NOT_ON_LIST
            && let Some(other) = other_recipient(&first)
            && let SendResponse::Accepted(accepted) = self.post(&other, uploaded.as_deref()).await
        {
            self.remember_spelling(&request.to.value, &other.to.value);
            let events = vec![self.same_person(&request.to, other.to.value)];
            outcome = SendResponse::Accepted(Acceptance { events, ..accepted });
        }
        if let (Some(media), SendResponse::Refused(problem, _)) = (request.body.media(), &outcome)
            && MEDIA_CODES.contains(&problem.code.as_str())
            && let Some(media_store) = &self.number.media_store
        {
            upload::forget(media_store, &self.number.channel, media).await;
        }
        outcome
    }

    fn remember_spelling(&self, ours: &str, theirs: &str) {
        let mut spellings = self.spellings.lock();
        if spellings.len() >= MAX_SPELLINGS {
            spellings.clear();
        }
        spellings.insert(ours.to_owned(), theirs.to_owned());
    }

    async fn post(&self, request: &SendRequest, uploaded: Option<&str>) -> SendResponse {
        let body = RequestBody::Json(body::write(request, uploaded));
        match self.number.graph.request(Method::POST, self.messages.clone(), body).await {
            Ok(response) => self.classify(request, &response),
            Err(outcome) => outcome,
        }
    }

    async fn upload(&self, media: MediaId) -> Result<String, SendResponse> {
        let Number { channel, graph, .. } = &self.number;
        upload::upload(graph, channel, self.number.url("media"), self.number.media_store()?, media).await
    }

    fn classify(&self, request: &SendRequest, response: &Response) -> SendResponse {
        let tree = Json::parse(&response.body).unwrap_or(Json::Null);
        if response.status.is_success() {
            let first = tree.get("messages").and_then(Json::items).and_then(<[_]>::first);
            match (&request.body, first.and_then(|message| message.string_of("id"))) {
                (Outgoing::MarkRead { .. } | Outgoing::Typing { .. }, _) if tree.is_true("success") => {
                    return SendResponse::accepted(None);
                }
                (Outgoing::Pin { .. }, id) => return SendResponse::accepted(id),
                (Outgoing::MarkRead { .. } | Outgoing::Typing { .. }, _) | (_, None) => {}
                (_, id) => {
                    let status = first.and_then(|message| message.text_of("message_status"));
                    return SendResponse::Accepted(Acceptance {
                        platform_id: id,
                        is_held: status.as_deref() == Some(HELD),
                        events: self.other_spelling(request, &tree).into_iter().collect(),
                    });
                }
            }
        }
        self.number.graph.unexpected(response)
    }

    /// The event that the recipient's account has another spelling of the number that we sent to
    /// (Brazil, Mexico, Argentina): both belong to the same person.
    fn other_spelling(&self, request: &SendRequest, tree: &Json<'_>) -> Option<NewEvent> {
        let ours = &request.to;
        if request.group.is_some() || !matches!(ours.kind, AliasKind::Phone | AliasKind::WaId) {
            return None;
        }
        let theirs = tree.get("contacts")?.items()?.first()?.string_of("wa_id")?;
        if theirs == ours.value || !theirs.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Some(self.same_person(ours, theirs))
    }

    /// The event that two spellings of a number belong to one person.
    fn same_person(&self, ours: &Alias, theirs: String) -> NewEvent {
        let Number { id, channel, .. } = &self.number;
        let key = key::of_id(None, &["spelling", id, &ours.value, &theirs]);
        let aliases = vec![ours.clone(), Alias { kind: AliasKind::WaId, value: theirs }];
        let sender = Sender { channel: channel.clone(), aliases, name: None, group: None, language: None };
        NewEvent {
            key,
            placement: Placement::Sender(sender),
            happened_at: self.number.now(),
            opens_window: false,
            keyword: None,
            body: EventBody::ContactChanged { change: "other-spelling".to_owned(), merged: None, extra: Value::Null },
        }
    }
}

/// The same message to the other spelling of the recipient's number, if there is one.
fn other_recipient(request: &SendRequest) -> Option<SendRequest> {
    if request.group.is_some() || !matches!(request.to.kind, AliasKind::Phone | AliasKind::WaId) {
        return None;
    }
    Some(spelled(request, phone::other_spelling(&request.to.value)?))
}

/// The same message to this spelling of the recipient's number.
fn spelled(request: &SendRequest, value: String) -> SendRequest {
    SendRequest { to: Alias { kind: request.to.kind, value }, ..request.clone() }
}

impl Channel for CloudChannel {
    fn name(&self) -> &str {
        &self.number.channel
    }

    fn app(&self) -> &str {
        &self.app
    }

    fn assess(&self, problem: &Problem) -> (Advice, Blame) {
        errors::assess(problem)
    }

    fn send<'a>(&'a self, request: &'a SendRequest) -> Pin<Box<dyn Future<Output = SendResponse> + Send + 'a>> {
        Box::pin(self.try_send(request))
    }
}
