//! What everything in the simulator shares: the people and messages behind one lock, the clock, the courier, the log, and
//! the events for the page.
//!
//! One lock is enough: what is done under it takes microseconds, and the order in which things happen is then the order
//! in which they are told.

use crate::Config;
use crate::account::Account;
use crate::chance::Chance;
use crate::clock::Clock;
use crate::courier::Courier;
use crate::groups::Groups;
use crate::ids::Ids;
use crate::knobs::Knobs;
use crate::letter::{Letterhead, Update};
use crate::log::Log;
use crate::media::Media;
use crate::messages::{Counts, Messages};
use crate::people::{NewPerson, People};
use crate::templates::Templates;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::broadcast;

/// Events that a slow page may be behind by before it is told to look at everything again.
const EVENTS_AHEAD: usize = 1024;

/// Who is there at the start: Portuguese, Dutch, Estonian, by their numbers.
const FIRST_PEOPLE: [(&str, &str); 3] = [("Ana", "351910000101"), ("Bram", "31610000102"), ("Kadri", "37255500103")];

pub(crate) struct Hub {
    pub config: Config,
    pub letterhead: Letterhead,
    pub clock: Clock,
    pub ids: Ids,
    pub courier: Courier,
    pub log: Log,
    /// Of the webhooks.
    pub client: reqwest::Client,
    addr: SocketAddr,
    /// Held by whoever turns the clock.
    pub turning: tokio::sync::Mutex<()>,
    /// Where the daemon that follows the clock can be asked about it.
    follower: Mutex<Option<String>>,
    tokens: Mutex<Tokens>,
    events: broadcast::Sender<Arc<str>>,
    world: Mutex<World>,
}

/// What callers may show. It is outside the world: secrets are not saved.
struct Tokens {
    access: String,
    /// Of the app itself; it may do nothing but subscribe, and nothing here needs to tell the two apart.
    app: String,
}

/// What is under the lock.
pub(crate) struct World {
    pub people: People,
    pub messages: Messages,
    pub knobs: Knobs,
    pub chance: Chance,
    pub counts: Counts,
    pub groups: Groups,
    pub templates: Templates,
    pub media: Media,
    pub account: Account,
    /// The business's profile.
    pub profile: Value,
    /// The moment from which the next send conforms to the throughput (GCRA); microseconds.
    pub throughput_free_us: i64,
    /// Operations on groups within the last minute.
    pub group_operations_ms: Vec<i64>,
}

impl World {
    fn new(config: &Config) -> Self {
        let mut people = People::default();
        if config.first_people {
            for (name, number) in FIRST_PEOPLE {
                // Three different names and numbers into an empty house.
                let _ = people.add(NewPerson {
                    name: name.to_owned(),
                    number: Some(number.to_owned()),
                    ..NewPerson::default()
                });
            }
        }
        Self {
            people,
            messages: Messages::new(config.keep_messages),
            knobs: Knobs::default(),
            chance: Chance::new(config.seed),
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

impl Hub {
    pub(crate) fn new(config: Config, ids: Ids, courier: Courier, client: reqwest::Client, addr: SocketAddr) -> Self {
        Self {
            addr,
            turning: tokio::sync::Mutex::default(),
            follower: Mutex::default(),
            client,
            tokens: Mutex::new(Tokens { access: config.access_token.clone(), app: format!("1|{}", ids.link()) }),
            letterhead: Letterhead {
                business_account_id: config.business_account_id.clone(),
                phone_number_id: config.phone_number_id.clone(),
                display_number: config.display_number.clone(),
            },
            clock: Clock::new(config.clock, config.speed),
            ids,
            courier,
            log: Log::new(config.log),
            events: broadcast::Sender::new(EVENTS_AHEAD),
            world: Mutex::new(World::new(&config)),
            config,
        }
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the daemon that follows the clock can be asked about it.
    pub(crate) fn follower(&self) -> Option<String> {
        self.follower.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_follower(&self, follower: Option<String>) {
        *self.follower.lock().unwrap_or_else(PoisonError::into_inner) = follower;
    }

    /// Where it is reached, for addresses in webhooks.
    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub(crate) fn knows_token(&self, token: &str) -> bool {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        token == tokens.access || token == tokens.app
    }

    pub(crate) fn app_token(&self) -> String {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).app.clone()
    }

    /// Another access token; the old one is nobody's.
    pub(crate) fn renew_token(&self, token: &str) {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).access = token.to_owned();
    }

    /// Tells the open pages; made only where there are any.
    pub(crate) fn tell(&self, event: impl FnOnce() -> Value) {
        if self.events.receiver_count() > 0 {
            // That the last page left a moment ago is no error.
            let _ = self.events.send(event().to_string().into());
        }
    }

    pub(crate) fn listen(&self) -> broadcast::Receiver<Arc<str>> {
        self.events.subscribe()
    }

    /// Gives an update to the courier, with what befalls it on the way. False where the backlog is full.
    pub(crate) fn deliver(&self, world: &mut World, mut update: Update) -> bool {
        let fault = world.knobs.webhook_fault(&mut world.chance);
        if world.knobs.batch_most > 1 {
            // What is to share a body has to meet on one lane.
            update.lane = 0;
        }
        if fault.again {
            self.courier.take(Update { lane: random_lane(world), ..update.clone() }, None);
        }
        if let Some(ms) = fault.held_ms {
            update.lane = random_lane(world);
            return self.courier.hold(update, ms);
        }
        let due_ms = fault.delay_ms.map(|ms| self.clock.now_ms().saturating_add_unsigned(ms));
        self.courier.take(update, due_ms)
    }

    /// Everything as at the start: people, messages, knobs, chance, what waits to be delivered. The clock and the
    /// handshake stay, and ids go on, so that a daemon that keeps its data takes nothing for a repeat.
    pub(crate) fn reset(&self) {
        self.courier.forget_everything();
        *self.world() = World::new(&self.config);
        self.courier.pause(false);
        self.log.clear();
        self.tell(|| serde_json::json!({"kind": "reset"}));
    }
}

pub(crate) fn random_lane(world: &mut World) -> usize {
    // More than there are lanes; the courier takes the remainder.
    usize::try_from(world.chance.below(1 << 16)).unwrap_or(0)
}
