//! One event on its way through its plugins: who gets it, who is through with it, how it ended.
//!
//! The subscribers and their places are fixed when a run begins, and with the first commit they are on disk; after a
//! crash the run is resumed with the same ones and goes on where it was. A plugin that passed and asked for nothing is
//! not worth a write of its own: its bit is carried along by the next commit, and after a crash it is simply asked
//! again, which nobody can tell from outside.

use crate::admission::Ticket;
use crate::subscriptions::{Stage, Subscription};
use beadle_model::{Ending, Event, PluginNo};
use beadle_store::step::{Progress, Resume, WaitingHandling};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Places that have a bit in the event's own row: what a signed 64-bit column holds. Later places get rows.
const BITS: usize = 63;

/// A subscriber: a plugin that runs now, or one that was there when the event was dispatched and is gone since.
#[derive(Clone)]
pub(crate) struct Subscriber {
    pub no: PluginNo,
    pub member: Option<Arc<Subscription>>,
}

/// An event and how far it is.
pub(crate) struct Run {
    pub event: Arc<Event>,
    pub subscribers: Vec<Subscriber>,
    roster: i64,
    /// Bits of those who are through with it.
    done: AtomicI64,
    /// Those of them that are on disk.
    committed: AtomicI64,
    /// The same for places that have no bit.
    beyond: Mutex<Vec<PluginNo>>,
    /// Tries that failed before we started.
    failing: Vec<(PluginNo, u32)>,
    ending: OnceLock<Ending>,
    /// It was kept for its one subscriber, and is finished but for that.
    pub kept: bool,
    /// Once it is on its way.
    ticket: Option<Ticket>,
}

impl Run {
    pub fn new(event: Arc<Event>, subscribers: Vec<Subscriber>, roster: i64) -> Self {
        let (done, committed) = (AtomicI64::new(0), AtomicI64::new(0));
        let (beyond, ending) = (Mutex::default(), OnceLock::new());
        let (failing, kept, ticket) = (Vec::new(), false, None);
        Self { event, subscribers, roster, done, committed, beyond, failing, ending, kept, ticket }
    }

    /// What was kept for a plugin that could not be asked. `roster`: the list that it alone stands in.
    pub fn kept(waiting: WaitingHandling, member: Arc<Subscription>, roster: i64) -> Self {
        let no = member.slot.no();
        Self {
            failing: vec![(no, waiting.attempts)],
            ending: waiting.ending.map(OnceLock::from).unwrap_or_default(),
            kept: true,
            ..Self::new(waiting.event, vec![Subscriber { no, member: Some(member) }], roster)
        }
    }

    /// What was on disk when we started: the same subscribers, some of them through with it, some after failed tries.
    pub fn resumed(event: Arc<Event>, subscribers: Vec<Subscriber>, resume: Resume) -> Self {
        Self {
            done: AtomicI64::new(resume.done),
            committed: AtomicI64::new(resume.done),
            beyond: Mutex::new(resume.done_overflow),
            failing: resume.failing,
            ending: resume.ending.map(OnceLock::from).unwrap_or_default(),
            ..Self::new(event, subscribers, resume.subscriber_list)
        }
    }

    /// It holds this ticket from now on.
    pub fn on_its_way(self, ticket: Ticket) -> Self {
        Self { ticket: Some(ticket), ..self }
    }

    /// Its chain has ended: whoever is next in its lane, and the plugins that stood in it, are free.
    pub fn leaves_chain(&self) {
        self.ticket.iter().for_each(Ticket::chain_ended);
    }

    /// The plugins that stand in its chain.
    pub fn chain_plugins(&self) -> Arc<[PluginNo]> {
        self.chain().into_iter().filter_map(|place| self.number(place)).collect()
    }

    /// How often this place has failed before we started: a restart gives nobody new tries.
    pub fn tries_before(&self, place: usize) -> u32 {
        let no = self.number(place);
        self.failing.iter().find(|(failing, _)| Some(*failing) == no).map_or(0, |(_, tries)| *tries)
    }

    /// How the chain ended, once it has.
    pub fn ending(&self) -> Option<Ending> {
        self.ending.get().copied()
    }

    /// The chain has ended so; the first word stands.
    pub fn end(&self, ending: Ending) -> Ending {
        *self.ending.get_or_init(|| ending)
    }

    /// This place is through with it, and is to be carried by the next commit.
    pub fn pass(&self, place: usize) {
        match bit(place) {
            Some(bit) => _ = self.done.fetch_or(bit, Ordering::Relaxed),
            None => self.beyond.lock().unwrap_or_else(PoisonError::into_inner).extend(self.number(place)),
        }
    }

    /// Whether this place is through with it.
    pub fn is_done(&self, place: usize) -> bool {
        match (bit(place), self.number(place)) {
            (Some(bit), _) => self.done.load(Ordering::Relaxed) & bit != 0,
            (None, Some(no)) => self.beyond.lock().unwrap_or_else(PoisonError::into_inner).contains(&no),
            (None, None) => true,
        }
    }

    /// Places that stand in the chain, in order; for an event that is for one plugin, that one.
    pub fn chain(&self) -> Vec<usize> {
        if self.event.kind().is_notification() {
            return Vec::new();
        }
        self.places(|stage| stage != Stage::Observe)
    }

    /// Places that are told afterwards, each for itself: observers, and everybody where it is news.
    pub fn observers(&self) -> Vec<usize> {
        let kind = self.event.kind();
        if kind.is_notification() || kind.is_staged() {
            self.places(|stage| stage == Stage::Observe)
        } else {
            Vec::new()
        }
    }

    fn places(&self, wanted: impl Fn(Stage) -> bool) -> Vec<usize> {
        let staged = self.event.kind().is_staged();
        let stands = |subscriber: &Subscriber| match &subscriber.member {
            Some(member) => !staged || wanted(member.stage),
            // Gone since: nobody to ask. It counts as through (see `gone`).
            None => false,
        };
        self.subscribers.iter().enumerate().filter(|(_, it)| stands(it)).map(|(place, _)| place).collect()
    }

    /// Places whose plugin is no longer there.
    pub fn gone(&self) -> impl Iterator<Item = usize> {
        self.subscribers.iter().enumerate().filter(|(_, it)| it.member.is_none()).map(|(place, _)| place)
    }

    /// What a commit says of this event: everything that was carried so far, this place, and where it decides the event,
    /// the ending and all who are spared by it. Nothing of it is so before [`Run::committed`].
    pub fn progress(&self, place: Option<usize>, decision: Option<Ending>) -> Progress {
        let mut done = self.done.load(Ordering::Relaxed);
        let mut done_overflow = self.beyond.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let spared = if decision.is_some() { self.chain() } else { Vec::new() };
        for place in spared.into_iter().chain(place) {
            match (bit(place), self.number(place)) {
                (Some(bit), _) => done |= bit,
                (None, Some(no)) if !done_overflow.contains(&no) => done_overflow.push(no),
                (None, _) => {}
            }
        }
        let bits = self.subscribers.len().min(BITS);
        Progress {
            event: self.event.id,
            subscriber_list: self.roster,
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
        self.beyond.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&progress.done_overflow);
        if let Some(ending) = progress.ending {
            self.end(ending);
        }
    }

    /// Whether everything that is done is on disk. Events with more subscribers than bits are asked for each time.
    pub fn is_all_committed(&self) -> bool {
        let carried = self.done.load(Ordering::Relaxed) & !self.committed.load(Ordering::Relaxed);
        // An event without subscribers has nothing to carry and is marked all the same.
        carried == 0 && (1..=BITS).contains(&self.subscribers.len())
    }

    fn number(&self, place: usize) -> Option<PluginNo> {
        self.subscribers.get(place).map(|subscriber| subscriber.no)
    }
}

fn bit(place: usize) -> Option<i64> {
    (place < BITS).then(|| 1 << place)
}
