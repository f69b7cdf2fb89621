//! The test environment: a store in a directory of its own, a running pipeline, and a channel that records what is sent.

use beadle_clock::Clock;
use beadle_model::event::EventKind;
use beadle_model::{
    Alias, AliasKind, Content, Event, EventBody, EventId, MessageId, Outgoing, PluginNo, StateNo, Timestamp,
};
use beadle_pipeline::outbox::OnAmbiguous;
use beadle_pipeline::{
    Channel, OnFailure, OutboxSettings, Pipeline, PluginSlot, SendRequest, SendResponse, Stage, Subscription,
    Subscriptions, Suspension,
};
use beadle_store::step::*;
use beadle_store::{Reader, Store, StoreConfig};
use beadle_tasks::Tasks;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};

pub const NOW: Timestamp = Timestamp(1_795_293_360_000);
pub const CHANNEL: &str = "shop";

pub struct TestEnv {
    pub store: Store,
    pub reader: Reader,
    pub clock: Clock,
    pub pipeline: Pipeline,
    pub channel: Arc<FakeChannel>,
    pub sent: mpsc::UnboundedReceiver<SendRequest>,
    _dir: TempDir,
}

/// A channel that records requests and answers them as configured, or accepts them.
pub struct FakeChannel {
    name: String,
    responses: Mutex<VecDeque<SendResponse>>,
    sent: mpsc::UnboundedSender<SendRequest>,
}

impl FakeChannel {
    pub fn respond_next(&self, response: SendResponse) {
        self.responses.lock().unwrap().push_back(response);
    }
}

impl Channel for FakeChannel {
    fn name(&self) -> &str {
        &self.name
    }

    fn send<'a>(&'a self, request: &'a SendRequest) -> Pin<Box<dyn Future<Output = SendResponse> + Send + 'a>> {
        let next = self.responses.lock().unwrap().pop_front();
        let _ = self.sent.send(request.clone());
        Box::pin(async move { next.unwrap_or(SendResponse::Accepted(Some(format!("wamid.{}", request.message)))) })
    }
}

pub fn open(dir: &Path, clock: &Clock) -> Store {
    Store::open(StoreConfig { ballast_bytes: 0, readers: 2, ..StoreConfig::new(dir, clock.clone()) }).unwrap()
}

impl TestEnv {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (clock, _) = Clock::manual(NOW);
        Self::with(open(dir.path(), &clock), dir, clock)
    }

    pub fn with(store: Store, dir: TempDir, clock: Clock) -> Self {
        let (requests, sent) = mpsc::unbounded_channel();
        let channel = Arc::new(FakeChannel { name: CHANNEL.into(), responses: Mutex::default(), sent: requests });
        let settings = OutboxSettings {
            on_ambiguous: OnAmbiguous::Hold,
            ambiguous_wait_ms: 60_000,
            max_in_flight: 16,
            paces: HashMap::new(),
        };
        let channels: Vec<Arc<dyn Channel>> = vec![Arc::clone(&channel) as _];
        let pipeline = Pipeline::start(
            store.clone(),
            clock.clone(),
            Tasks::default(),
            settings,
            channels,
            watch::Sender::default(),
        )
        .unwrap();
        Self { reader: store.reader(), store, clock, pipeline, channel, sent, _dir: dir }
    }

    /// Takes in a text from this person; the event.
    pub async fn receive_text(&self, from: &str, text: &str) -> Event {
        let delivery = beadle_pipeline::Delivery { events: vec![message(from, text)], ..Default::default() };
        assert_eq!(self.pipeline.inbox().receive(delivery).await.unwrap().duplicates, 0);
        self.events().into_iter().rfind(|event| event.kind() == EventKind::Message).unwrap()
    }

    /// Queues a message in the conversation of this event, as a commit of plugin 1 does.
    pub async fn queue_text(&self, event: &Event, body: &str) -> MessageId {
        let message = self.store.reserve_message();
        let send = NewSend {
            message,
            conversation: event.conversation.as_ref().unwrap().id,
            body: Outgoing::Text { body: body.into(), preview_url: false, quote: None },
            reply: true,
            state: SendState::Queued,
            due_at: self.clock.now(),
        };
        self.store.commit(Commit { sends: vec![send], ..self.commit(event.id) }).await.unwrap();
        self.pipeline.outbox().rescan();
        message
    }

    pub fn commit(&self, event: EventId) -> Commit {
        let progress = Progress {
            event,
            subscriber_list: 1,
            done: 1,
            done_overflow: vec![],
            all: 1,
            overflow_count: 0,
            ending: None,
        };
        Commit {
            fence: self.store.fence(),
            plugin: PluginNo(1),
            was_waiting: false,
            now: self.clock.now(),
            progress,
            conversation: None,
            reads: vec![],
            state_no: StateNo(1),
            state: vec![],
            timers: vec![],
            media: vec![],
            sends: vec![],
        }
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

/// Polls until `check` holds.
pub async fn until(what: &str, check: impl AsyncFn() -> bool) {
    let held = tokio::time::timeout(Duration::from_secs(30), async {
        while !check().await {
            // tidy: the interval between two checks of a condition in another task
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    held.await.unwrap_or_else(|_| panic!("timed out waiting until {what}"));
}

pub fn alias(number: &str) -> Alias {
    Alias { kind: AliasKind::WaId, value: number.into() }
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
    let suspension = Suspension { code: "plugin-loading".into(), why: "not loaded".into(), at: NOW };
    let events: BTreeSet<EventKind> = events.iter().copied().collect();
    let slot = Arc::new(PluginSlot::vacant("plugin", no, events, suspension, Arc::default()));
    Subscriptions::new(vec![Arc::new(Subscription::new(slot, stage, 0, OnFailure::Hold, None))])
}
