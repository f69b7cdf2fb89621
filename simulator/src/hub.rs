//! The state that all parts of the simulator share: the world behind one lock, the clock, the
//! webhook sender, the log, and the events for the chat page.
//!
//! One lock suffices, because it is held for microseconds; and it makes the order of changes the
//! order in which they are reported. This module imports only what it holds; everything that acts
//! on the hub imports it.

use crate::Config;
use crate::account::{Account, ChatTerms};
use crate::clock::Clock;
use crate::envelope::{Envelope, Update};
use crate::faults::Faults;
use crate::groups::Groups;
use crate::ids::Ids;
use crate::log::Log;
use crate::media::Media;
use crate::messages::{Chat, Counts, Messages};
use crate::people::{NewPerson, People};
use crate::refusal::Refusal;
use crate::rng::Rng;
use crate::templates::Templates;
use crate::webhook_sender::WebhookSender;
use parking_lot::{Mutex, MutexGuard};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::broadcast;

/// How many events a slow page may lag behind before it has to reload everything.
const EVENT_BUFFER: usize = 1024;

/// The people at the start, with Portuguese, Dutch and Estonian numbers.
const DEFAULT_PEOPLE: [(&str, &str); 3] = [("Ana", "351910000101"), ("Bram", "31610000102"), ("Kadri", "37255500103")];

pub(crate) struct Hub {
    pub config: Config,
    pub envelope: Envelope,
    pub clock: Clock,
    pub ids: Ids,
    pub webhook_sender: WebhookSender,
    pub log: Log,
    /// Delivers webhooks and queries the follower.
    pub client: reqwest::Client,
    addr: SocketAddr,
    /// Serialises changes of the clock.
    pub clock_lock: tokio::sync::Mutex<()>,
    /// Where the state of the daemon that follows the clock can be queried.
    follower: Mutex<Option<String>>,
    tokens: Mutex<Tokens>,
    events: broadcast::Sender<Arc<str>>,
    world: Mutex<World>,
}

/// Valid access tokens. They are outside the world because secrets are not saved.
struct Tokens {
    access: String,
    /// The app's own token. The platform accepts it for subscriptions only; here it is accepted
    /// everywhere.
    app: String,
}

/// The state of the simulated platform.
pub(crate) struct World {
    pub people: People,
    pub messages: Messages,
    pub faults: Faults,
    pub rng: Rng,
    pub counts: Counts,
    pub groups: Groups,
    pub templates: Templates,
    pub media: Media,
    pub account: Account,
    /// The business's profile.
    pub profile: Value,
    /// The time in microseconds from which the next send conforms to the throughput (GCRA).
    pub throughput_free_us: i64,
    /// The times of group operations within the last minute.
    pub group_operations_ms: Vec<i64>,
}

impl World {
    fn new(config: &Config) -> Self {
        let mut people = People::default();
        let defaults = DEFAULT_PEOPLE.iter().filter(|_| config.default_people);
        let defaults = defaults.map(|(name, number)| ((*name).to_owned(), (*number).to_owned()));
        for (name, number) in defaults.chain(config.people.iter().cloned()) {
            // Fails only if a name or number occurs twice; the first person keeps it.
            let _ = people.add(NewPerson { name, number: Some(number), ..NewPerson::default() });
        }
        Self {
            people,
            messages: Messages::new(config.max_messages),
            faults: Faults::default(),
            rng: Rng::new(config.seed),
            counts: Counts::default(),
            groups: Groups::default(),
            templates: Templates::default(),
            media: Media::default(),
            account: Account::default(),
            profile: serde_json::json!({"about": "A local WhatsApp", "vertical": "OTHER"}),
            throughput_free_us: 0,
            group_operations_ms: Vec::new(),
        }
    }
}

impl World {
    /// The state of a chat that determines prices.
    pub(crate) fn chat_terms(&self, chat: Chat, now_ms: i64) -> ChatTerms {
        match chat {
            Chat::Person(no) => {
                let person = self.people.get(no);
                ChatTerms {
                    is_group: false,
                    window_open: person.is_some_and(|person| person.window_open(now_ms)),
                    free_entry: person.is_some_and(|person| now_ms < person.free_until_ms),
                }
            }
            Chat::Group(no) => ChatTerms {
                is_group: true,
                window_open: self.groups.get(no).is_some_and(|group| group.window_open(now_ms)),
                free_entry: false,
            },
        }
    }
}

impl Hub {
    /// Adds a template that was approved before the start.
    pub(crate) fn add_template(&self, template: &serde_json::Value) -> Result<(), Refusal> {
        let draft = crate::templates::draft::check_draft(template)?;
        let mut world = self.world();
        let id = world.templates.create(self.ids.number(), draft, self.clock.now_ms())?.id.clone();
        if let Some(template) = world.templates.get_mut(&id) {
            template.status = crate::templates::Status::Approved;
        }
        Ok(())
    }

    pub(crate) fn new(
        config: Config,
        ids: Ids,
        webhook_sender: WebhookSender,
        client: reqwest::Client,
        addr: SocketAddr,
    ) -> Self {
        Self {
            addr,
            clock_lock: tokio::sync::Mutex::default(),
            follower: Mutex::default(),
            client,
            tokens: Mutex::new(Tokens { access: config.access_token.clone(), app: format!("1|{}", ids.link()) }),
            envelope: Envelope {
                business_account_id: config.business_account_id.clone(),
                phone_number_id: config.phone_number_id.clone(),
                display_number: config.display_number.clone(),
            },
            clock: Clock::new(config.clock, config.speed),
            ids,
            webhook_sender,
            log: Log::new(config.max_log_entries),
            events: broadcast::Sender::new(EVENT_BUFFER),
            world: Mutex::new(World::new(&config)),
            config,
        }
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock()
    }

    /// Where the state of the daemon that follows the clock can be queried.
    pub(crate) fn follower(&self) -> Option<String> {
        self.follower.lock().clone()
    }

    pub(crate) fn set_follower(&self, follower: Option<String>) {
        *self.follower.lock() = follower;
    }

    /// The simulator's own URL, for file URLs in webhooks.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub(crate) fn accepts_token(&self, token: &str) -> bool {
        let tokens = self.tokens.lock();
        token == tokens.access || token == tokens.app
    }

    pub(crate) fn app_token(&self) -> String {
        self.tokens.lock().app.clone()
    }

    /// Replaces the access token; the previous one becomes invalid.
    pub(crate) fn set_token(&self, token: &str) {
        self.tokens.lock().access = token.to_owned();
    }

    /// Sends an event to the open chat pages. It is built only if there are any.
    pub(crate) fn publish(&self, event: impl FnOnce() -> Value) {
        if self.events.receiver_count() > 0 {
            // Fails if the last page has just closed, which does not matter.
            let _ = self.events.send(event().to_string().into());
        }
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<str>> {
        self.events.subscribe()
    }

    /// Queues an update for delivery, with the faults that affect it. Returns `false` if the
    /// backlog is full.
    pub(crate) fn deliver(&self, world: &mut World, mut update: Update) -> bool {
        let fault = world.faults.webhook_fault(&mut world.rng);
        if world.faults.max_batch_size > 1 {
            // Updates can share a body only if they are on the same lane.
            update.lane = 0;
        }
        if fault.rebatched {
            self.webhook_sender.enqueue(Update { lane: random_lane(world), ..update.clone() }, None);
        }
        if let Some(ms) = fault.hold_real_ms {
            update.lane = random_lane(world);
            return self.webhook_sender.enqueue_after(update, ms);
        }
        let due_ms = fault.delay_ms.map(|ms| self.clock.now_ms().saturating_add_unsigned(ms));
        self.webhook_sender.enqueue(update, due_ms)
    }

    /// Restores the initial state: people, messages, faults, the random sequence, and an empty
    /// delivery queue. The clock and the handshake are kept, and ids continue, so that a daemon
    /// that keeps its data sees no duplicates.
    pub(crate) fn reset(&self) {
        self.webhook_sender.discard_all();
        *self.world() = World::new(&self.config);
        self.webhook_sender.pause(false);
        self.log.clear();
        self.publish(|| serde_json::json!({"kind": "reset"}));
    }
}

pub(crate) fn random_lane(world: &mut World) -> usize {
    // More than there are lanes; the sender takes the remainder.
    usize::try_from(world.rng.below(1 << 16)).unwrap_or(0)
}
