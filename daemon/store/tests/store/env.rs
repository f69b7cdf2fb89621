//! The test environment: a store in a temporary directory, and shorthand for what happens to it.

use beadle_clock::{Clock, ManualClock};
use beadle_model::effect::{SendOptions, StateRead, StateWrite, TimerWrite};
use beadle_model::event::Problem;
use beadle_model::keyword::Language;
use beadle_model::{
    Alias, AliasKind, Content, Context, ConversationId, Ending, Event, EventBody, EventId, Keyword, MessageId,
    Outgoing, PluginNo, StateNo, Timestamp,
};
use beadle_store::step::*;
use beadle_store::{Feed, Reader, Store, StoreConfig};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// 2026-11-21T20:36:00Z, the initial time of the manual clock.
pub const NOW: Timestamp = Timestamp(1_795_293_360_000);
pub const HOUR: i64 = 60 * 60 * 1000;
pub const DAY: i64 = 24 * HOUR;

pub struct TestEnv {
    pub dir: TempDir,
    pub store: Store,
    pub reader: Reader,
    pub manual: ManualClock,
    pub clock: Clock,
}

/// The usual configuration with fewer resources.
pub fn config(dir: &Path, clock: &Clock) -> StoreConfig {
    StoreConfig { ballast_bytes: 0, readers: 2, ..StoreConfig::new(dir, clock.clone()) }
}

impl TestEnv {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut StoreConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (clock, manual) = Clock::manual(NOW);
        let mut config = config(dir.path(), &clock);
        change(&mut config);
        let store = Store::open(config).unwrap();
        Self { reader: store.reader(), dir, store, manual, clock }
    }

    /// Lets days pass with the hourly retention running, so that the clock does not count as one
    /// that jumped. Nothing is old enough to be deleted by it.
    pub async fn run_days(&self, days: i64) {
        let ms = i64::MAX / 4;
        let keep = beadle_store::Retention {
            events_ms: ms,
            outbox_ms: ms,
            dead_ms: ms,
            media_ms: ms,
            media_bytes: i64::MAX,
            states_ms: ms,
            requests_ms: ms,
            erased_identities_ms: ms,
            unanswered_ms: ms,
            upgrade_copies_ms: ms,
        };
        for _ in 0..days {
            self.manual.advance_ms(DAY);
            self.store.retain(keep, self.clock.now()).await.unwrap();
        }
    }

    /// Closes the store and opens the directory again.
    pub fn reopen(self) -> Self {
        let Self { dir, store, clock, manual, .. } = self;
        store.close();
        let store = Store::open(config(dir.path(), &clock)).unwrap();
        Self { reader: store.reader(), dir, store, manual, clock }
    }

    /// The store as after a power loss at this moment: its files, opened in another directory.
    pub fn crashed(&self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for file in ["beadle.db", "beadle.db-wal"] {
            std::fs::copy(self.dir.path().join(file), dir.path().join(file)).unwrap();
        }
        let store = Store::open(config(dir.path(), &self.clock)).unwrap();
        Self { reader: store.reader(), dir, store, clock: self.clock.clone(), manual: self.manual.clone() }
    }

    pub fn db(&self) -> PathBuf {
        self.dir.path().join("beadle.db")
    }

    pub async fn append(&self, events: Vec<NewEvent>) -> Appended {
        self.store.append(Batch { events, ..Batch::default() }).await.unwrap()
    }

    /// Appends an event and reads it back.
    pub async fn append_one(&self, event: NewEvent) -> Event {
        assert_eq!(self.append(vec![event]).await.duplicates, 0);
        let last = self.reader.events(&beadle_store::views::EventFilter { limit: 1, ..Default::default() }).unwrap();
        self.reader.event(last[0].id).unwrap().unwrap()
    }

    pub fn events(&self) -> Vec<Event> {
        let rows = self.reader.events_after(EventId(0), 1000).unwrap();
        rows.iter().map(|row| self.reader.event(row.id).unwrap().unwrap()).collect()
    }

    pub async fn receipt(&self, message: MessageId, status: &str) -> Appended {
        self.receipts(vec![receipt(message, status, self.clock.now())], vec![]).await
    }

    pub async fn receipts(&self, receipts: Vec<Receipt>, subscribers: Vec<PluginNo>) -> Appended {
        let interest = statuses_for(subscribers);
        self.store.append(Batch { receipts, interest, ..Batch::default() }).await.unwrap()
    }

    pub async fn settle(&self, message: MessageId, outcome: SendOutcome) {
        let settlement = Settlement { message, outcome, at: self.clock.now(), gate: None };
        self.store.settle(vec![settlement], Interest::default()).await.unwrap();
    }

    /// A commit of a plugin that is the only subscriber.
    pub fn commit(&self, event: EventId, plugin: PluginNo) -> Commit {
        // States are numbered like plugins as long as none was purged or migrated.
        Commit::empty(self.store.fence(), plugin, StateNo(plugin.0), self.clock.now(), progress(event, 1, 1))
    }

    /// Commits a message of this plugin in this conversation, in this state.
    pub async fn send(&self, event: &Event, plugin: PluginNo, state: SendState) -> MessageId {
        let message = self.store.reserve_message();
        let conversation = event.conversation.as_ref().unwrap().id;
        let sends = vec![new_send(message, conversation, state, self.clock.now())];
        self.store.commit(Commit { sends, ..self.commit(event.id, plugin) }).await.unwrap();
        message
    }

    pub fn state_of(&self, message: MessageId) -> SendState {
        self.reader.message_details(message).unwrap().unwrap().row.state
    }
}

/// Queued rows that are due, of all channels, in their order.
pub fn due_sends(reader: &Reader, now: Timestamp, rows: usize) -> Vec<OutboxRow> {
    let mut found = Vec::new();
    for channel in reader.outbox_channels().unwrap() {
        found.extend(reader.outbox_due(&due_of(&channel, now, rows)).unwrap().rows);
    }
    found.sort_by_key(|row| (row.due_at, row.message));
    found
}

/// A channel's queued rows from the first.
pub fn due_of(channel: &str, now: Timestamp, rows: usize) -> DueSends<'_> {
    DueSends { channel, after: OutboxPlace::START, now, latest: Timestamp(i64::MAX), rows, bytes: usize::MAX }
}

pub fn new_send(message: MessageId, conversation: ConversationId, state: SendState, due_at: Timestamp) -> NewSend {
    NewSend {
        message,
        conversation,
        body: text("hello"),
        reply: true,
        options: SendOptions::default(),
        state,
        due_at,
        gate: None,
        outreach: None,
    }
}

pub fn progress(event: EventId, done: i64, all: i64) -> Progress {
    Progress { event, subscriber_list: 1, done, done_overflow: vec![], all, overflow_count: 0, ending: None }
}

pub fn text(body: &str) -> Outgoing {
    Outgoing::Text { body: body.into(), preview_url: false, quote: None }
}

pub fn alias(kind: AliasKind, value: &str) -> Alias {
    Alias { kind, value: value.into() }
}

pub fn wa(number: &str) -> Alias {
    alias(AliasKind::WaId, number)
}

pub fn user(id: &str) -> Alias {
    alias(AliasKind::UserId, id)
}

/// A key that is as unique as its text.
pub fn key(text: &str, at: Timestamp) -> EventKey {
    let mut hash = [0xffu8; 16];
    for (n, byte) in text.bytes().enumerate() {
        hash[n % 16] = hash[n % 16].wrapping_mul(31).wrapping_add(byte);
    }
    EventKey { at, hash }
}

pub fn sender(aliases: Vec<Alias>) -> Sender {
    Sender { channel: "shop".into(), aliases, name: Some("Ana".into()), group: None, language: None }
}

/// A text message, identified by its platform id.
pub fn message(id: &str, from: Sender, body: &str) -> NewEvent {
    NewEvent {
        key: key(id, NOW),
        placement: Placement::Sender(from),
        happened_at: NOW,
        opens_window: true,
        keyword: None,
        body: EventBody::Message {
            message: id.into(),
            content: Content::Text(body.into()),
            context: None,
            referral: None,
            keyword: None,
            addressed: None,
            extra: serde_json::Value::Null,
        },
    }
}

/// A text message from a phone number.
pub fn from(number: &str, id: &str) -> NewEvent {
    message(id, sender(vec![wa(number)]), "hi")
}

/// A reserved word, with its reply.
pub fn keyword(number: &str, id: &str, keyword: Keyword) -> NewEvent {
    let matched = KeywordMatch::new(keyword, None, vec![(Language::En, text("noted"))]);
    NewEvent { keyword: Some(matched), ..from(number, id) }
}

/// These plugins export `on-message-status`.
pub fn statuses_for(plugins: Vec<PluginNo>) -> Interest {
    Interest { message_status: StatusSubscribers::Known(plugins.into()), ..Interest::default() }
}

/// A text that quotes a message by its platform id.
pub fn quoting(number: &str, id: &str, quoted: &str) -> NewEvent {
    let mut event = from(number, id);
    if let EventBody::Message { context, .. } = &mut event.body {
        *context = Some(Context { quoted: Some(quoted.into()), ..Context::default() });
    }
    event
}

pub fn receipt(message: MessageId, status: &str, at: Timestamp) -> Receipt {
    let problem = (status == "failed").then(|| problem("131026"));
    Receipt {
        message: ReceiptFor::Ours(message, format!("wamid.{}", message.0)),
        status: status.into(),
        at,
        problem,
        further_problems: vec![],
        pricing: None,
        participant: vec![],
        recipient: vec![],
        extra: serde_json::Value::Null,
        free_entry_until: None,
    }
}

pub fn problem(code: &str) -> Problem {
    Problem { code: code.into(), title: "It did not work".into(), details: None, by: "platform".into() }
}

/// Takes events from the feed until there are none for a moment.
pub async fn drain(feed: &mut Feed, most: usize) -> Vec<FeedItem> {
    let mut all = Vec::new();
    while let Ok(more) = tokio::time::timeout(Duration::from_millis(300), feed.next(most)).await {
        if more.is_empty() {
            break;
        }
        all.extend(more);
    }
    all
}

pub fn kinds(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(|event| event.kind().name()).collect()
}

pub fn set(scope: beadle_model::Scope, key: &str, value: &str) -> StateWrite {
    StateWrite::Set { scope, key: key.into(), value: value.into(), expires_at: None }
}

pub fn read_of(scope: beadle_model::Scope, key: &str, version: Option<i64>) -> StateRead {
    StateRead::Key { scope, key: key.into(), version }
}

pub fn timer(key: &str, due_at: Timestamp) -> TimerWrite {
    TimerWrite::Set { scope: beadle_model::Scope::Plugin, key: key.into(), due_at, payload: key.into() }
}

pub fn ids(fed: &[FeedItem]) -> Vec<i64> {
    fed.iter().map(|fed| fed.event.id.0).collect()
}

pub const CLAIMED: Option<Ending> = Some(Ending::Claimed(PluginNo(1)));

/// A number read by SQL.
pub fn number(env: &TestEnv, sql: &str) -> i64 {
    let conn = rusqlite::Connection::open(env.db()).unwrap();
    conn.query_row(sql, [], |row| row.get(0)).unwrap()
}
