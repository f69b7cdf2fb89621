//! The test environment: people, a template, broadcasts, and a channel that records what is sent.

use beadle_broadcast::{BroadcastError, Broadcasts, Parts, Settings};
use beadle_clock::{Clock, ManualClock};
use beadle_gatekeeper::{Gatekeeper, Policy};
use beadle_model::broadcast::{BroadcastDefinition, BroadcastTemplate, TemplateValues, Texts};
use beadle_model::consent::rules::PlannedConsent;
use beadle_model::consent::{ConsentAct, ConsentSource, NewConsent};
use beadle_model::{
    Alias, AliasKind, Audience, BroadcastId, BroadcastState, ContactId, Content, EventBody, Purpose, RecipientState,
    TemplateDefinition, Timestamp,
};
use beadle_pipeline::outbox::{OnAmbiguous, Pace};
use beadle_pipeline::{Channel, Delivery, OutboxSettings, Pipeline, SendRequest, SendResponse};
use beadle_segments::{Definitions, Segments};
use beadle_store::step::{EventKey, Interest, NewEvent, Placement, Sender};
use beadle_store::{BroadcastRow, ContactEdit, ImportedContact, RecipientFilter, RecipientRow, Store, StoreConfig};
use beadle_tasks::{TaskKind, Tasks};
use parking_lot::Mutex;
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::watch;

/// Evening in Amsterdam, outside of the quiet hours of most tests.
pub const NOW: Timestamp = Timestamp(1_795_293_360_000);
pub const HOUR_MS: i64 = 3_600_000;
const CHANNEL: &str = "shop";
const ACCOUNT: &str = "102";

pub struct TestEnv {
    pub store: Store,
    pub clock: ManualClock,
    pub gatekeeper: Gatekeeper,
    pub broadcasts: Broadcasts,
    pub channel: Arc<FakeChannel>,
    pipeline: Pipeline,
    tasks: Tasks,
    _dir: TempDir,
}

/// Records requests and accepts them, unless it is told how to respond.
#[derive(Default)]
pub struct FakeChannel {
    sent: Mutex<Vec<SendRequest>>,
    pub response: Mutex<Option<SendResponse>>,
}

impl Channel for FakeChannel {
    fn name(&self) -> &str {
        CHANNEL
    }

    fn send<'a>(&'a self, request: &'a SendRequest) -> Pin<Box<dyn Future<Output = SendResponse> + Send + 'a>> {
        self.sent.lock().push(request.clone());
        let accepted = || SendResponse::accepted(Some(format!("wamid.{}", request.message)));
        let response = self.response.lock().clone().unwrap_or_else(accepted);
        Box::pin(async move { response })
    }
}

impl FakeChannel {
    /// How often each number was written to.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for request in self.sent.lock().iter() {
            *counts.entry(request.to.value.clone()).or_default() += 1;
        }
        counts
    }
}

/// The digits of a person.
pub fn number(person: i64) -> String {
    format!("3160000{person:04}")
}

/// The news by template: for everyone who agreed to it.
pub fn news(name: &str) -> BroadcastDefinition {
    let template = BroadcastTemplate {
        name: "news".into(),
        body: TemplateValues::Positional(vec![Texts::One("{first_name|there}".into())]),
        ..BroadcastTemplate::default()
    };
    BroadcastDefinition {
        name: name.into(),
        channel: String::new(),
        purpose: topic("news"),
        audience: Audience::Everyone,
        template: Some(template),
        text: None,
        file: None,
        expires: None,
    }
}

pub fn topic(name: &str) -> Purpose {
    Purpose::MarketingTopic(name.into())
}

pub fn template(language: &str, text: &str) -> TemplateDefinition {
    TemplateDefinition {
        platform_id: language.into(),
        name: "news".into(),
        language: language.into(),
        category: "marketing".into(),
        status: "approved".into(),
        quality: None,
        reason: None,
        is_named: false,
        components: json!([{"type": "BODY", "text": text}]),
        changed_at: NOW,
    }
}

impl TestEnv {
    pub async fn new() -> Self {
        Self::with(Settings::default(), 1000).await
    }

    /// With these settings, and a channel that sends this many messages a second.
    pub async fn with(settings: Settings, messages_per_second: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (clock, manual) = Clock::manual(NOW);
        let config = StoreConfig { ballast_bytes: 0, readers: 2, ..StoreConfig::new(dir.path(), clock.clone()) };
        let store = Store::open(config).unwrap();
        store.set_channel_accounts(vec![(CHANNEL.into(), ACCOUNT.into())]).await.unwrap();
        let gatekeeper = Gatekeeper::new(store.reader(), Policy::default());
        let channel = Arc::new(FakeChannel::default());
        let pace = Pace { messages_per_second, contact_seconds: 0, contact_burst: 1 };
        let outbox = OutboxSettings {
            on_ambiguous: OnAmbiguous::Hold,
            ambiguous_wait_ms: 60_000,
            max_in_flight: 16,
            paces: HashMap::from([(CHANNEL.to_owned(), pace)]),
        };
        let (tasks, publish) = (Tasks::default(), watch::Sender::default());
        let channels: Vec<Arc<dyn Channel>> = vec![Arc::clone(&channel) as _];
        let pipeline =
            Pipeline::start(store.clone(), clock.clone(), tasks.clone(), gatekeeper.clone(), outbox, channels, publish);
        let pipeline = pipeline.unwrap();
        let parts = Parts {
            store: store.clone(),
            clock,
            gatekeeper: gatekeeper.clone(),
            outbox: pipeline.outbox().clone(),
            segments: Segments::new(store.reader(), Definitions::default()),
            wake: pipeline.broadcasts_changed(),
        };
        let broadcasts = Broadcasts::new(parts, settings, vec![CHANNEL.into()]);
        let env = Self { store, clock: manual, gatekeeper, broadcasts, channel, pipeline, tasks, _dir: dir };
        env.set_templates(vec![template("en", "Hello {{1}}")]).await;
        env
    }

    pub async fn set_templates(&self, templates: Vec<TemplateDefinition>) {
        self.store.replace_templates(ACCOUNT.into(), templates, NOW).await.unwrap();
    }

    /// Starts the task that sends.
    pub fn run(&self) {
        let broadcasts = self.broadcasts.clone();
        self.tasks.spawn(TaskKind::Broadcasts, move |heartbeat| broadcasts.run(heartbeat));
    }

    /// Imports people who agreed to what they are asked for, and to news.
    pub async fn people(&self, count: i64) {
        for start in (1..=count).step_by(500) {
            let people = (start..=count.min(start + 499)).map(|n| imported(n, &[Purpose::Service, topic("news")]));
            self.import(people.collect()).await;
        }
    }

    /// Imports a person who agreed to this, with the next number.
    pub async fn person(&self, n: i64, purposes: &[Purpose], edit: ContactEdit) {
        self.import(vec![ImportedContact { edit, ..imported(n, purposes) }]).await;
    }

    async fn import(&self, people: Vec<ImportedContact>) {
        self.store.import_contacts(CHANNEL, people, Interest::default()).await.unwrap();
    }

    /// A person writes, which opens their window.
    pub async fn write(&self, person: i64, text: &str) {
        let address = Alias { kind: AliasKind::WaId, value: number(person) };
        let sender =
            Sender { channel: CHANNEL.into(), aliases: vec![address], name: None, group: None, language: None };
        let mut hash = [0; 16];
        format!("{person}{text}").bytes().zip(&mut hash).for_each(|(byte, to)| *to = byte);
        let event = NewEvent {
            key: EventKey { at: NOW, hash },
            placement: Placement::Sender(sender),
            happened_at: NOW,
            opens_window: true,
            keyword: None,
            body: EventBody::Message {
                message: format!("wamid.{person}.{text}"),
                content: Content::Text(text.into()),
                context: None,
                referral: None,
                keyword: None,
                addressed: None,
                extra: serde_json::Value::Null,
            },
        };
        self.pipeline.inbox().receive(Delivery { events: vec![event], ..Delivery::default() }).await.unwrap();
    }

    /// A person withdraws their consent to news.
    pub async fn withdraw(&self, person: i64) {
        let consent = consent(person, topic("news"), ConsentAct::Withdrawn);
        self.store.record_consent(consent, Interest::default()).await.unwrap();
    }

    pub async fn create(&self, definition: BroadcastDefinition) -> Result<BroadcastId, BroadcastError> {
        let author = self.broadcasts.operator().await.unwrap();
        self.broadcasts.create(author, "Ana", definition).await
    }

    /// Creates, plans and starts it.
    pub async fn send(&self, definition: BroadcastDefinition) -> BroadcastId {
        let id = self.create(definition).await.unwrap();
        self.broadcasts.plan(id).await.unwrap();
        self.broadcasts.start(id).await.unwrap();
        id
    }

    pub fn row(&self, id: BroadcastId) -> BroadcastRow {
        self.store.reader().broadcast(id).unwrap().unwrap()
    }

    pub fn recipients(&self, id: BroadcastId) -> Vec<RecipientRow> {
        let (mut rows, mut after) = (Vec::new(), None);
        loop {
            let filter = RecipientFilter { state: None, after, limit: 500 };
            let page = self.store.reader().recipients(id, &filter).unwrap();
            after = page.last().map(|row| row.contact);
            if page.is_empty() {
                return rows;
            }
            rows.extend(page);
        }
    }

    /// The state and code of a recipient.
    pub fn state(&self, id: BroadcastId, person: i64) -> (RecipientState, Option<String>) {
        let row = self.store.reader().recipient(id, ContactId(person)).unwrap().unwrap();
        (row.state, row.code)
    }

    /// How many recipients are in this state.
    pub fn count(&self, id: BroadcastId, state: RecipientState) -> usize {
        self.recipients(id).iter().filter(|row| row.state == state).count()
    }

    /// Advances the clock until this holds.
    pub async fn until(&self, what: &str, check: impl Fn() -> bool) {
        let held = tokio::time::timeout(Duration::from_secs(60), async {
            while !check() {
                self.clock.advance_ms(50);
                // tidy: the interval between two checks of a condition in another task
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        held.await.unwrap_or_else(|_| panic!("timed out waiting until {what}"));
    }

    pub async fn until_state(&self, id: BroadcastId, state: BroadcastState) {
        self.until(state.name(), || self.row(id).state == state).await;
    }
}

fn consent(person: i64, purpose: Purpose, act: ConsentAct) -> PlannedConsent {
    let consent = NewConsent {
        contact: ContactId(person),
        purpose,
        act,
        source: ConsentSource::Paper,
        wording: None,
        at: NOW,
        expires_at: None,
        evidence: None,
        actor: "operator".into(),
    };
    PlannedConsent { consent, question: None }
}

fn imported(person: i64, purposes: &[Purpose]) -> ImportedContact {
    ImportedContact {
        phone: number(person),
        name: Some(format!("Person {person}")),
        edit: ContactEdit::default(),
        consents: purposes.iter().map(|purpose| consent(0, purpose.clone(), ConsentAct::Granted)).collect(),
    }
}

/// The code of a result.
pub fn code<T>(result: Result<T, BroadcastError>) -> String {
    result.map_or_else(|error| error.code_text(), |_| "ok".to_owned())
}
