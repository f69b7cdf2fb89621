//! What everything in the simulator shares: the people and messages behind one lock, the clock, the courier, the log, and
//! the events for the page.
//!
//! One lock is enough: what is done under it takes microseconds, and the order in which things happen is then the order
//! in which they are told.

use crate::Config;
use crate::chance::Chance;
use crate::clock::Clock;
use crate::courier::Courier;
use crate::ids::Ids;
use crate::knobs::Knobs;
use crate::letter::{Letterhead, Update};
use crate::log::Log;
use crate::messages::{Counts, Messages};
use crate::people::{NewPerson, People};
use serde_json::Value;
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
    events: broadcast::Sender<Arc<str>>,
    world: Mutex<World>,
}

/// What is under the lock.
pub(crate) struct World {
    pub people: People,
    pub messages: Messages,
    pub knobs: Knobs,
    pub chance: Chance,
    pub counts: Counts,
    /// The moment from which the next send conforms to the throughput (GCRA); microseconds.
    pub throughput_free_us: i64,
    /// The month, and how many service messages it had.
    pub free_tier: (i64, u32),
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
            throughput_free_us: 0,
            free_tier: (0, 0),
        }
    }
}

impl Hub {
    pub(crate) fn new(config: Config, ids: Ids, courier: Courier) -> Self {
        Self {
            letterhead: Letterhead {
                business_account_id: config.business_account_id.clone(),
                phone_number_id: config.phone_number_id.clone(),
                display_number: config.display_number.clone(),
            },
            clock: Clock::new(config.clock),
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
