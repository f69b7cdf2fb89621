//! The test environment: a store in a directory of its own, a running pipeline, and a channel that
//! records what is sent.

use beadle_clock::{Clock, ManualClock};
use beadle_gatekeeper::{Gatekeeper, Policy};
use beadle_model::event::EventKind;
use beadle_model::{
    Alias, AliasKind, Content, Event, EventBody, EventId, MessageId, Outgoing, PluginNo, StateNo, Timestamp,
};
use beadle_pipeline::outbox::{OnAmbiguous, Pace};
use beadle_pipeline::{
    Channel, OnFailure, OutboxSettings, Pipeline, PluginSlot, SendRequest, SendResponse, Stage, Subscription,
    Subscriptions, Suspension,
};
use beadle_store::fault::DatabaseLock;
use beadle_store::step::*;
use beadle_store::{Reader, Store, StoreConfig};
use beadle_tasks::Tasks;
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};

pub const NOW: Timestamp = Timestamp(1_795_293_360_000);
pub const CHANNEL: &str = "shop";

pub struct TestEnv {
    pub store: Store,
    pub reader: Reader,
    pub manual: ManualClock,
    pub pipeline: Pipeline,
    pub channel: Arc<FakeChannel>,
    pub sent: mpsc::UnboundedReceiver<SendRequest>,
    dir: TempDir,
}

/// A channel that records requests and answers them as configured, or accepts them.
pub struct FakeChannel {
    name: String,
    responses: Mutex<VecDeque<SendResponse>>,
    always: Mutex<Option<SendResponse>>,
    is_held: watch::Sender<bool>,
    sent: mpsc::UnboundedSender<SendRequest>,
}

impl FakeChannel {
    fn new(name: &str, sent: mpsc::UnboundedSender<SendRequest>) -> Arc<Self> {
        let (responses, always) = Default::default();
        Arc::new(Self { name: name.into(), responses, always, is_held: watch::Sender::new(false), sent })
    }

    pub fn respond_next(&self, response: SendResponse) {
        self.responses.lock().push_back(response);
    }

    pub fn respond_always(&self, response: Option<SendResponse>) {
        *self.always.lock() = response;
    }

    /// Responses wait until it is not held.
    pub fn hold(&self, is_held: bool) {
        self.is_held.send_replace(is_held);
    }
}

impl Channel for FakeChannel {
    fn name(&self) -> &str {
        &self.name
    }

    fn send<'a>(&'a self, request: &'a SendRequest) -> Pin<Box<dyn Future<Output = SendResponse> + Send + 'a>> {
        let next = self.responses.lock().pop_front().or_else(|| self.always.lock().clone());
        let _ = self.sent.send(request.clone());
        Box::pin(async move {
            self.is_held.subscribe().wait_for(|is_held| !is_held).await.unwrap();
            next.unwrap_or(SendResponse::accepted(Some(format!("wamid.{}", request.message))))
        })
    }
}

pub fn open(dir: &Path, clock: &Clock) -> Store {
    Store::open(StoreConfig { ballast_bytes: 0, readers: 2, ..StoreConfig::new(dir, clock.clone()) }).unwrap()
}

impl TestEnv {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (clock, manual) = Clock::manual(NOW);
        Self::with(open(dir.path(), &clock), dir, clock, manual)
    }

    pub fn with(store: Store, dir: TempDir, clock: Clock, manual: ManualClock) -> Self {
        let (requests, sent) = mpsc::unbounded_channel();
        let (channel, club) = (FakeChannel::new(CHANNEL, requests.clone()), FakeChannel::new("club", requests));
        let free = Pace { messages_per_second: 1_000_000, contact_seconds: 0, contact_burst: 1 };
        let settings = OutboxSettings {
            on_ambiguous: OnAmbiguous::Hold,
            ambiguous_wait_ms: 60_000,
            max_in_flight: 16,
            paces: HashMap::from([CHANNEL, "club"].map(|name| (name.to_owned(), free))),
        };
        let channels: Vec<Arc<dyn Channel>> = vec![Arc::clone(&channel) as _, club];
        let pipeline = Pipeline::start(
            store.clone(),
            clock.clone(),
            Tasks::default(),
            Gatekeeper::new(store.reader(), Policy::default()),
            settings,
            channels,
            watch::Sender::default(),
        )
        .unwrap();
        Self { reader: store.reader(), store, manual, pipeline, channel, sent, dir }
    }

    /// Keeps the store from writing until the answer is dropped.
    pub fn lock_database(&self) -> DatabaseLock {
        DatabaseLock::hold(self.dir.path()).unwrap()
    }

    /// Takes in a text from this person; the event.
    pub async fn receive_text(&self, from: &str, text: &str) -> Event {
        self.receive(message(from, text)).await
    }

    /// Takes in a message; its event.
    pub async fn receive(&self, message: NewEvent) -> Event {
        let delivery = beadle_pipeline::Delivery { events: vec![message], ..Default::default() };
        assert_eq!(self.pipeline.inbox().receive(delivery).await.unwrap().duplicates, 0);
        self.events().into_iter().rfind(|event| event.kind() == EventKind::Message).unwrap()
    }

    /// Queues a message in the conversation of this event, as a commit of plugin 1 does.
    pub async fn queue_text(&self, event: &Event, body: &str) -> MessageId {
        let message = queue_texts(&self.store, event, &[body], SendState::Queued).await.remove(0);
        self.pipeline.outbox().rescan();
        message
    }

    /// The next request that the channel got.
    pub async fn next_sent(&mut self) -> SendRequest {
        tokio::time::timeout(Duration::from_secs(30), self.sent.recv()).await.expect("a request in time").unwrap()
    }

    pub fn events(&self) -> Vec<Event> {
        let rows = self.reader.events_after(EventId(0), 1000).unwrap();
        rows.iter().map(|row| self.reader.event(row.id).unwrap().unwrap()).collect()
    }
}

/// Commits messages in the conversation of this event, in one commit of plugin 1.
pub async fn queue_texts(store: &Store, event: &Event, bodies: &[&str], state: SendState) -> Vec<MessageId> {
    let send = |body: &&str| NewSend {
        message: store.reserve_message(),
        conversation: event.conversation.as_ref().unwrap().id,
        body: Outgoing::Text { body: (*body).into(), preview_url: false, quote: None },
        reply: true,
        options: Default::default(),
        state,
        due_at: NewSend::AT_ONCE,
        gate: None,
        outreach: None,
    };
    let sends: Vec<NewSend> = bodies.iter().map(send).collect();
    let messages = sends.iter().map(|send| send.message).collect();
    store.commit(Commit { sends, ..commit(store, event.id) }).await.unwrap();
    messages
}

/// A commit of plugin 1, the only subscriber.
pub fn commit(store: &Store, event: EventId) -> Commit {
    let progress = Progress::of_one(event, 1);
    Commit::empty(store.fence(), PluginNo(1), StateNo(1), NOW, progress)
}

/// Polls until `check` holds.
pub async fn until(condition: &str, check: impl AsyncFn() -> bool) {
    let held = tokio::time::timeout(Duration::from_secs(30), async {
        while !check().await {
            // tidy: the interval between two checks of a condition in another task
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    held.await.unwrap_or_else(|_| panic!("timed out waiting until {condition}"));
}

pub fn alias(number: &str) -> Alias {
    Alias { kind: AliasKind::WaId, value: number.into() }
}

/// A message on the second channel.
pub fn message_on_club(from: &str, text: &str) -> NewEvent {
    let placement = match sender(from, None) {
        Placement::Sender(sender) => Placement::Sender(Sender { channel: "club".into(), ..sender }),
        other => other,
    };
    NewEvent { placement, ..message(from, text) }
}

pub fn sender(number: &str, name: Option<&str>) -> Placement {
    Placement::Sender(Sender {
        channel: CHANNEL.into(),
        aliases: vec![alias(number)],
        name: name.map(str::to_owned),
        group: None,
        language: None,
    })
}

pub fn key(name: &str) -> EventKey {
    let mut hash = [0; 16];
    name.bytes().zip(&mut hash).for_each(|(byte, to)| *to = byte);
    EventKey { at: NOW, hash }
}

pub fn message(from: &str, text: &str) -> NewEvent {
    NewEvent {
        key: key(&format!("{from}{text}")),
        placement: sender(from, None),
        happened_at: NOW,
        opens_window: true,
        keyword: None,
        body: EventBody::Message {
            message: format!("wamid.{from}.{text}"),
            content: Content::Text(text.into()),
            context: None,
            referral: None,
            keyword: None,
            addressed: None,
            extra: serde_json::Value::Null,
        },
    }
}

/// One plugin whose revision is not loaded: its events are dispatched and kept.
pub fn vacant(no: PluginNo, stage: Stage, events: &[EventKind]) -> Subscriptions {
    let suspension = Suspension { code: "plugin-loading".into(), reason: "not loaded".into(), at: NOW };
    let events: BTreeSet<EventKind> = events.iter().copied().collect();
    let slot = Arc::new(PluginSlot::vacant("plugin", no, events, suspension, Arc::default()));
    Subscriptions::new(vec![Arc::new(Subscription::new(slot, stage, 0, OnFailure::Hold, None))])
}
