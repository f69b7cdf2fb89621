//! Brings updates to the callback: signed, side by side, again and again until they are answered 200.
//!
//! Lanes are connections. Updates about one person go by one lane and arrive in order while nothing fails; different
//! people's go side by side. What was not answered 200 waits for its back-off and goes again with the same bytes, behind
//! whatever has passed it by then: no order is kept for it, as with Meta. After seven days it is given up.
//!
//! Nothing leaves before the callback has echoed the challenge. Everything here is bounded by `MOST_UPDATES`.

use crate::deeds::Deed;
use crate::letter::Update;
use axum::body::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, watch};

mod rounds;

pub(crate) use rounds::{client, handshake, run};

/// Updates that may wait in all. At about 1 KB each this is 200 MB, and an outage of minutes under load.
const MOST_UPDATES: usize = 200_000;

/// Where webhooks go, and what goes with the handshake.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub url: String,
    pub verify_token: String,
}

impl Target {
    /// `url` is an http or https address.
    pub(crate) fn new(url: &str, verify_token: &str) -> Result<Self, String> {
        match reqwest::Url::parse(url) {
            Ok(parsed) if matches!(parsed.scheme(), "http" | "https") => {
                Ok(Self { url: url.to_owned(), verify_token: verify_token.to_owned() })
            }
            _ => Err(format!("the callback `{url}` is not an http or https address")),
        }
    }
}

/// Where the courier stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Load {
    /// Updates on their way: queued or in flight.
    pub open: usize,
    /// Updates and states that wait for civil time: back-off, late receipts, delays.
    pub waiting: usize,
    /// Deliveries answered 200, and not so.
    pub deliveries: u64,
    pub failures: u64,
    /// Updates given up after seven days, and those for which there was no room.
    pub abandoned: u64,
    pub overflowed: u64,
    /// The callback echoed the challenge.
    pub greeted: bool,
    pub paused: bool,
    /// Everything that was ever taken; it only grows.
    #[serde(skip)]
    taken: u64,
    #[serde(skip)]
    epoch: u64,
}

impl Load {
    /// Another value after anything was taken or brought.
    pub(crate) fn traffic(&self) -> (u64, u64, u64, u64) {
        (self.epoch, self.taken, self.deliveries, self.failures)
    }
}

/// What waits for its time.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Waiting {
    pub updates: Vec<(i64, Update)>,
    pub deeds: Vec<(i64, Deed)>,
    /// Bodies that wait to be tried again.
    #[serde(skip)]
    pub retries: usize,
}

struct Parcel {
    /// Of the reset it belongs to; an older one is thrown away.
    epoch: u64,
    content: Content,
}

enum Content {
    Update(Update),
    Letter(Letter),
}

/// A body as it was signed.
#[derive(Clone)]
struct Letter {
    body: Bytes,
    updates: usize,
    delivers: Vec<u64>,
    /// The messages it is about.
    about: Vec<u64>,
    failures: u32,
    first_ms: i64,
    /// The fault "same bytes again" made it; it is not doubled once more.
    copy: bool,
}

/// What is done when its time comes.
enum Errand {
    Deliver(usize, Content),
    /// With whether it was due at once, and so is counted as open.
    Do(Deed, bool),
}

/// By due time, then in the order in which they were put there.
type Agenda = BTreeMap<(i64, u64), (u64, Errand)>;

pub(crate) struct Courier {
    lanes: Vec<UnboundedSender<Parcel>>,
    load: watch::Sender<Load>,
    agenda: Mutex<(u64, Agenda)>,
    agenda_changed: Notify,
    target: Mutex<Arc<Target>>,
}

/// The other ends of the lanes, for [`run`].
pub(crate) struct Lanes(Vec<UnboundedReceiver<Parcel>>);

impl Courier {
    pub(crate) fn new(lanes: usize, target: Target) -> (Self, Lanes) {
        // Unbounded channels, bounded together by `MOST_UPDATES`: a lane that is full must not stop the others.
        let (lanes, ends) = (0..lanes.max(1)).map(|_| unbounded_channel()).unzip();
        let courier = Self {
            lanes,
            load: watch::Sender::new(Load::default()),
            agenda: Mutex::default(),
            agenda_changed: Notify::new(),
            target: Mutex::new(Arc::new(target)),
        };
        (courier, Lanes(ends))
    }

    pub(crate) fn load(&self) -> Load {
        *self.load.borrow()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Load> {
        self.load.subscribe()
    }

    /// When the next thing that waits for civil time is due.
    pub(crate) fn next_due_ms(&self) -> Option<i64> {
        self.agenda().1.keys().next().map(|(due, _)| *due)
    }

    pub(crate) fn pause(&self, paused: bool) {
        self.load.send_modify(|load| load.paused = paused);
    }

    /// Whether so many more updates fit.
    pub(crate) fn has_room(&self, updates: usize) -> bool {
        let load = self.load();
        load.open + load.waiting + updates <= MOST_UPDATES
    }

    /// Takes an update, to be delivered at once or when it is due. False where there is no room: it is dropped and counted.
    pub(crate) fn take(&self, update: Update, due_ms: Option<i64>) -> bool {
        let lane = update.lane;
        let Some(epoch) = self.admit(due_ms.is_some()) else { return false };
        match due_ms {
            None => self.send(lane, Parcel { epoch, content: Content::Update(update) }),
            Some(due_ms) => self.enter(epoch, due_ms, Errand::Deliver(lane, Content::Update(update))),
        }
        true
    }

    /// Takes an update that others may overtake for so many real milliseconds.
    pub(crate) fn hold(&self, update: Update, real_ms: u64) -> bool {
        let Some(epoch) = self.admit(false) else { return false };
        if let Some(lane) = self.lane(update.lane).cloned() {
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(real_ms)).await;
                // The lanes end only with the program.
                let _ = lane.send(Parcel { epoch, content: Content::Update(update) });
            });
        }
        true
    }

    /// Has something done when it is due. What is due at once counts as open until it is done.
    pub(crate) fn later(&self, now_ms: i64, due_ms: i64, deed: Deed) {
        let at_once = due_ms <= now_ms;
        if let Some(epoch) = self.admit(!at_once) {
            self.enter(epoch, due_ms, Errand::Do(deed, at_once));
        }
    }

    pub(crate) fn target(&self) -> Arc<Target> {
        Arc::clone(&self.target.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set_target(&self, target: Target) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(target);
    }

    /// The callback echoed the challenge.
    pub(crate) fn greeted(&self) {
        self.load.send_modify(|load| load.greeted = true);
    }

    /// What waits for its time, to be saved. Retries are not: their bytes are signed, and belong to the callback that
    /// did not take them.
    pub(crate) fn waiting(&self) -> Waiting {
        let agenda = self.agenda();
        let mut waiting = Waiting::default();
        for ((due_ms, _), (_, errand)) in &agenda.1 {
            match errand {
                Errand::Deliver(_, Content::Update(update)) => waiting.updates.push((*due_ms, update.clone())),
                Errand::Deliver(_, Content::Letter(_)) => waiting.retries += 1,
                Errand::Do(deed, _) => waiting.deeds.push((*due_ms, deed.clone())),
            }
        }
        waiting
    }

    /// Throws away whatever is on its way.
    pub(crate) fn forget_everything(&self) {
        self.agenda().1.clear();
        self.load.send_modify(|load| {
            *load = Load { epoch: load.epoch + 1, greeted: load.greeted, paused: load.paused, ..Load::default() };
        });
    }

    fn admit(&self, waits: bool) -> Option<u64> {
        let mut epoch = None;
        self.load.send_modify(|load| {
            if load.open + load.waiting >= MOST_UPDATES {
                load.overflowed += 1;
                return;
            }
            epoch = Some(load.epoch);
            load.taken += 1;
            if waits {
                load.waiting += 1;
            } else {
                load.open += 1;
            }
        });
        epoch
    }

    /// Changes the load for things of this epoch; those of an older one are counted no more.
    fn settle(&self, epoch: u64, change: impl FnOnce(&mut Load)) {
        self.load.send_if_modified(|load| {
            let current = load.epoch == epoch;
            if current {
                change(load);
            }
            current
        });
    }

    fn lane(&self, lane: usize) -> Option<&UnboundedSender<Parcel>> {
        self.lanes.get(lane % self.lanes.len().max(1))
    }

    fn send(&self, lane: usize, parcel: Parcel) {
        if let Some(lane) = self.lane(lane) {
            let _ = lane.send(parcel);
        }
    }

    fn agenda(&self) -> MutexGuard<'_, (u64, Agenda)> {
        self.agenda.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, epoch: u64, due_ms: i64, errand: Errand) {
        {
            let mut agenda = self.agenda();
            let order = agenda.0;
            agenda.0 += 1;
            agenda.1.insert((due_ms, order), (epoch, errand));
        }
        self.agenda_changed.notify_one();
    }

    fn take_due(&self, now_ms: i64) -> Vec<(u64, Errand)> {
        let mut agenda = self.agenda();
        let later = agenda.1.split_off(&(now_ms.saturating_add(1), 0));
        std::mem::replace(&mut agenda.1, later).into_values().collect()
    }
}

impl Content {
    fn updates(&self) -> usize {
        match self {
            Self::Update(_) => 1,
            Self::Letter(letter) => letter.updates,
        }
    }
}
