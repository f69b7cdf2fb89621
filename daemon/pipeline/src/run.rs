//! One event on its way through its subscribers: who they are, which are done, how it ended.
//!
//! The subscribers and their places are fixed at dispatch and are on disk with the first commit;
//! after a crash the run is resumed with the same ones. A plugin that passed and had no effects
//! gets no write of its own: its bit is written with the next commit, and after a crash the plugin
//! is called again, which has no effect that anyone can see.

use crate::admission::Ticket;
use crate::lane::LaneKey;
use crate::policy::Stage;
use crate::subscriptions::Subscription;
use beadle_model::effect::RefusedAsks;
use beadle_model::{Ending, Event, EventBody, EventKind, PluginNo};
use beadle_store::step::{Progress, Resume, WaitingHandling};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

/// Places that have a bit in the event's own row: as many as a signed 64-bit column holds. Later
/// places get rows.
const BITS: usize = 63;

/// A subscriber of an event.
#[derive(Clone)]
pub(crate) struct Subscriber {
    pub no: PluginNo,
    /// `None`: the plugin took part when the event was dispatched, before a restart, and no longer
    /// does.
    pub subscription: Option<Arc<Subscription>>,
}

impl Subscriber {
    pub fn new(subscription: Arc<Subscription>) -> Self {
        Self { no: subscription.no(), subscription: Some(subscription) }
    }

    fn stage(&self) -> Option<Stage> {
        self.subscription.as_ref().map(|subscription| subscription.stage)
    }
}

/// An event and its progress.
pub(crate) struct EventRun {
    pub event: Arc<Event>,
    pub subscribers: Vec<Subscriber>,
    /// The number of the list of subscribers in the store.
    subscriber_list: i64,
    /// Bits of the places that are done.
    done: AtomicI64,
    /// Those of them that are on disk.
    committed: AtomicI64,
    /// Plugins that are done and have no bit.
    done_overflow: Mutex<Vec<PluginNo>>,
    /// Failed attempts before the restart.
    failed_before: Vec<(PluginNo, u32)>,
    ending: OnceLock<Ending>,
    /// What the gate refused in the last attempt of each place.
    refused: Mutex<Vec<(usize, RefusedAsks)>>,
    /// It waited on disk for its one subscriber; the others have finished.
    pub is_waiting: bool,
    /// While it is in flight.
    ticket: Option<Ticket>,
}

impl EventRun {
    pub fn new(event: Arc<Event>, subscribers: Vec<Subscriber>, subscriber_list: i64) -> Self {
        Self {
            event,
            subscribers,
            subscriber_list,
            done: AtomicI64::new(0),
            committed: AtomicI64::new(0),
            done_overflow: Mutex::default(),
            failed_before: Vec::new(),
            ending: OnceLock::new(),
            refused: Mutex::default(),
            is_waiting: false,
            ticket: None,
        }
    }

    /// An event that waited for a plugin. `subscriber_list`: the one with that plugin alone.
    pub fn waiting(waiting: WaitingHandling, subscription: Arc<Subscription>, subscriber_list: i64) -> Self {
        Self {
            failed_before: vec![(subscription.no(), waiting.attempts)],
            ending: waiting.ending.map(OnceLock::from).unwrap_or_default(),
            is_waiting: true,
            ..Self::new(waiting.event, vec![Subscriber::new(subscription)], subscriber_list)
        }
    }

    /// An event that was in flight before a restart: the same subscribers, as far as they were.
    pub fn resumed(event: Arc<Event>, subscribers: Vec<Subscriber>, resume: Resume) -> Self {
        Self {
            done: AtomicI64::new(resume.done),
            committed: AtomicI64::new(resume.done),
            done_overflow: Mutex::new(resume.done_overflow),
            failed_before: resume.failing,
            ending: resume.ending.map(OnceLock::from).unwrap_or_default(),
            ..Self::new(event, subscribers, resume.subscriber_list)
        }
    }

    /// The run holds this ticket from now on.
    pub fn with_ticket(self, ticket: Ticket) -> Self {
        Self { ticket: Some(ticket), ..self }
    }

    /// The size of its body, if it is in flight.
    pub fn bytes(&self) -> usize {
        self.ticket.as_ref().map_or(0, Ticket::bytes)
    }

    /// The chain has ended: its lane and plugins can take other events.
    pub fn leave_chain(&self) {
        self.ticket.iter().for_each(Ticket::chain_ended);
    }

    /// The lane of the chain. Timers return to the lane in which they were set; receipts have their
    /// own.
    pub fn lane(&self) -> LaneKey {
        if let EventBody::Schedule { plugin, no, .. } = &self.event.body {
            return LaneKey::Schedule(*plugin, *no);
        }
        let conversation = self.event.conversation.as_ref().map(|conversation| conversation.id);
        let only = self.subscribers.first();
        let observes = only.and_then(Subscriber::stage) == Some(Stage::Observe);
        match (conversation, self.event.kind(), only.map(|subscriber| subscriber.no)) {
            (Some(conversation), EventKind::MessageStatus, Some(no)) => LaneKey::Receipts(no, conversation),
            (Some(conversation), EventKind::Timer, Some(no)) if observes => LaneKey::Observer(no, conversation),
            (Some(conversation), ..) => LaneKey::Conversation(conversation),
            (None, _, no) => LaneKey::Plugin(no.unwrap_or(PluginNo::HOST)),
        }
    }

    /// The lane of one place: the chain's, or an observer's own.
    pub fn lane_of(&self, place: usize) -> LaneKey {
        let kind = self.event.kind();
        match (self.subscribers.get(place), &self.event.conversation) {
            (Some(subscriber), conversation)
                if kind.is_notification() || kind.is_staged() && subscriber.stage() == Some(Stage::Observe) =>
            {
                match conversation {
                    Some(conversation) => LaneKey::Observer(subscriber.no, conversation.id),
                    None => LaneKey::Plugin(subscriber.no),
                }
            }
            _ => self.lane(),
        }
    }

    /// The plugins of the chain.
    pub fn chain_plugins(&self) -> Arc<[PluginNo]> {
        self.chain().into_iter().filter_map(|place| self.no(place)).collect()
    }

    /// How often this place failed before the restart: a restart gives no new attempts.
    pub fn attempts_before(&self, place: usize) -> u32 {
        let no = self.no(place);
        self.failed_before.iter().find(|(failed, _)| Some(*failed) == no).map_or(0, |(_, attempts)| *attempts)
    }

    /// How the chain ended, once it has.
    pub fn ending(&self) -> Option<Ending> {
        self.ending.get().copied()
    }

    /// The chain has ended like this; the first ending stands.
    pub fn end(&self, ending: Ending) -> Ending {
        *self.ending.get_or_init(|| ending)
    }

    /// This place is done without a commit of its own: the next commit carries its bit.
    pub fn pass(&self, place: usize) {
        match bit(place) {
            Some(bit) => _ = self.done.fetch_or(bit, Ordering::Relaxed),
            None => self.done_overflow.lock().extend(self.no(place)),
        }
    }

    /// Whether this place is done.
    pub fn is_done(&self, place: usize) -> bool {
        match (bit(place), self.no(place)) {
            (Some(bit), _) => self.done.load(Ordering::Relaxed) & bit != 0,
            (None, Some(no)) => self.done_overflow.lock().contains(&no),
            (None, None) => true,
        }
    }

    /// The places of the chain, in order; for an event of one plugin, that plugin.
    pub fn chain(&self) -> Vec<usize> {
        if self.event.kind().is_notification() {
            return Vec::new();
        }
        self.places(|stage| stage != Stage::Observe)
    }

    /// The chain as it is called: the plugin that the event is addressed to comes right after the
    /// guards.
    pub fn chain_in_order(&self) -> Vec<usize> {
        let mut chain = self.chain();
        let EventBody::Message { addressed: Some(addressed), .. } = &self.event.body else { return chain };
        let subscriber = |place: &usize| self.subscribers.get(*place);
        let is_guard = |subscriber: &&Subscriber| subscriber.stage() == Some(Stage::Guard);
        let guards = chain.iter().filter_map(subscriber).take_while(is_guard).count();
        let addressee = chain.iter().filter_map(subscriber).position(|subscriber| subscriber.no == *addressed);
        if let Some(addressee) = addressee.filter(|addressee| *addressee > guards) {
            let place = chain.remove(addressee);
            chain.insert(guards, place);
        }
        chain
    }

    /// The places that get the event after the chain: observers, and every subscriber of a
    /// notification.
    pub fn observers(&self) -> Vec<usize> {
        let kind = self.event.kind();
        if kind.is_notification() || kind.is_staged() {
            self.places(|stage| stage == Stage::Observe)
        } else {
            Vec::new()
        }
    }

    /// What the gate refused in an attempt: it is recorded however the handling ends.
    pub fn set_refused(&self, place: usize, asks: RefusedAsks) {
        let mut refused = self.refused.lock();
        refused.retain(|(of, _)| *of != place);
        if !asks.is_empty() {
            refused.push((place, asks));
        }
    }

    /// What the gate refused in the last attempt of this place.
    pub fn refused(&self, place: usize) -> RefusedAsks {
        let refused = self.refused.lock();
        refused.iter().find(|(of, _)| *of == place).map(|(_, asks)| asks.clone()).unwrap_or_default()
    }

    fn places(&self, wanted: impl Fn(Stage) -> bool) -> Vec<usize> {
        let is_staged = self.event.kind().is_staged();
        // Without a subscription there is no plugin to call: see `gone`.
        let is_wanted = |subscriber: &Subscriber| subscriber.stage().is_some_and(|stage| !is_staged || wanted(stage));
        self.subscribers
            .iter()
            .enumerate()
            .filter(|(_, subscriber)| is_wanted(subscriber))
            .map(|(place, _)| place)
            .collect()
    }

    /// Places whose plugin no longer takes part.
    pub fn gone(&self) -> impl Iterator<Item = usize> {
        let is_gone = |subscriber: &Subscriber| subscriber.subscription.is_none();
        self.subscribers.iter().enumerate().filter(move |(_, subscriber)| is_gone(subscriber)).map(|(place, _)| place)
    }

    /// What a commit writes about this event: all places that are done, this one, and with a
    /// decision the ending and all places of the chain. Takes effect only with
    /// [`EventRun::committed`].
    pub fn progress(&self, place: Option<usize>, decision: Option<Ending>) -> Progress {
        let mut done = self.done.load(Ordering::Relaxed);
        let mut done_overflow = self.done_overflow.lock().clone();
        let decided = if decision.is_some() { self.chain() } else { Vec::new() };
        for place in decided.into_iter().chain(place) {
            match (bit(place), self.no(place)) {
                (Some(bit), _) => done |= bit,
                (None, Some(no)) if !done_overflow.contains(&no) => done_overflow.push(no),
                (None, _) => {}
            }
        }
        let bits = self.subscribers.len().min(BITS);
        Progress {
            event: self.event.id,
            subscriber_list: self.subscriber_list,
            done,
            done_overflow,
            // 63 bits are all that a positive i64 has.
            all: i64::try_from((1u64 << bits) - 1).unwrap_or(i64::MAX),
            overflow_count: self.subscribers.len() - bits,
            ending: self.ending().or(decision),
        }
    }

    /// This is on disk now.
    pub fn committed(&self, progress: &Progress) {
        self.done.fetch_or(progress.done, Ordering::Relaxed);
        self.committed.fetch_or(progress.done, Ordering::Relaxed);
        let mut done_overflow = self.done_overflow.lock();
        let new: Vec<_> = progress.done_overflow.iter().filter(|no| !done_overflow.contains(no)).copied().collect();
        done_overflow.extend(new);
        drop(done_overflow);
        if let Some(ending) = progress.ending {
            self.end(ending);
        }
    }

    /// Whether everything that is done is on disk; always `false` for an event with more
    /// subscribers than bits, or none.
    pub fn is_all_committed(&self) -> bool {
        let carried = self.done.load(Ordering::Relaxed) & !self.committed.load(Ordering::Relaxed);
        // An event without subscribers carries nothing and has to be marked all the same.
        carried == 0 && (1..=BITS).contains(&self.subscribers.len())
    }

    fn no(&self, place: usize) -> Option<PluginNo> {
        self.subscribers.get(place).map(|subscriber| subscriber.no)
    }
}

fn bit(place: usize) -> Option<i64> {
    (place < BITS).then(|| 1 << place)
}
