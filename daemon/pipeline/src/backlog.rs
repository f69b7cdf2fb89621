//! The backlog of each plugin: how many events are kept on disk for it, and which of them came
//! back.
//!
//! A plugin has a backlog when it is suspended, when it fell behind (more events wait for it alone
//! than may be in memory), or when it rests and waiting events would be in the way of others. From
//! then on every event for it alone goes to the end of the backlog, so that none overtakes another.
//! `replay` brings the events back.
//!
//! It only counts; the events are the store's (state `waiting` of a handling).

use beadle_clock::{Alarm, Clock};
use beadle_model::{EventId, PluginNo};
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap};

/// The backlogs of all plugins.
pub(crate) struct Backlogs {
    plugins: Mutex<HashMap<PluginNo, Backlog>>,
    clock: Clock,
    /// Rung when a plugin's backlog has to be replayed and is not.
    begun: Alarm,
}

#[derive(Default)]
struct Backlog {
    /// Events on disk that are not in a lane yet.
    waiting: u64,
    /// Events that came back and are not done.
    replayed: BTreeSet<EventId>,
    /// While it is replayed: rung when one more event waits, or one that came back is done.
    changed: Option<Alarm>,
}

impl Backlogs {
    /// `counts`: what the store keeps.
    pub fn new(counts: Vec<(PluginNo, u64)>, clock: Clock) -> Self {
        let backlog = |(no, waiting)| (no, Backlog { waiting, ..Backlog::default() });
        let begun = clock.alarm();
        begun.ring();
        Self { plugins: Mutex::new(counts.into_iter().map(backlog).collect()), clock, begun }
    }

    /// Whether an event for this plugin alone has to go to the end of its backlog.
    pub fn is_behind(&self, no: PluginNo) -> bool {
        self.plugins.lock().get(&no).is_some_and(|backlog| backlog.waiting > 0)
    }

    /// How many events are kept for each plugin with a backlog, those that came back and are not
    /// done included.
    pub fn sizes(&self) -> Vec<(PluginNo, u64)> {
        let plugins = self.plugins.lock();
        let size = |(no, backlog): (&PluginNo, &Backlog)| (*no, backlog.waiting + backlog.replayed.len() as u64);
        plugins.iter().map(size).filter(|(_, size)| *size > 0).collect()
    }

    /// One more event will be on disk. Call [`Backlogs::ring`] when it is.
    pub fn add(&self, no: PluginNo) {
        self.plugins.lock().entry(no).or_default().waiting += 1;
    }

    /// There is something to replay.
    pub fn ring(&self, no: PluginNo) {
        match self.plugins.lock().get(&no).and_then(|backlog| backlog.changed.as_ref()) {
            Some(changed) => changed.ring(),
            None => self.begun.ring(),
        }
    }

    /// No event is kept for this plugin now.
    pub fn discard(&self, no: PluginNo) {
        self.plugins.lock().remove(&no);
    }

    /// Nothing is being replayed: [`Backlogs::begin_all`] begins with every backlog.
    pub fn reset(&self) {
        self.plugins.lock().values_mut().for_each(|backlog| backlog.changed = None);
    }

    /// Rung when [`Backlogs::begin_all`] would return something.
    pub fn begun(&self) -> &Alarm {
        &self.begun
    }

    /// Plugins whose backlog has to be replayed, by the caller, until [`Backlogs::end`] says that
    /// it is empty. The alarm is rung when one more event waits, or one that came back is done.
    pub fn begin_all(&self) -> Vec<(PluginNo, Alarm)> {
        let mut plugins = self.plugins.lock();
        let idle = plugins.iter_mut().filter(|(_, backlog)| backlog.waiting > 0 && backlog.changed.is_none());
        idle.map(|(no, backlog)| (*no, backlog.changed.insert(self.clock.alarm()).clone())).collect()
    }

    /// Whether no event waits; then the replay is over, and events go straight to their lanes.
    pub fn end(&self, no: PluginNo) -> bool {
        let mut plugins = self.plugins.lock();
        match plugins.get_mut(&no) {
            Some(backlog) if backlog.waiting > 0 => false,
            Some(backlog) => {
                backlog.changed = None;
                true
            }
            None => true,
        }
    }

    /// Events that came back and are not done.
    pub fn replayed(&self, no: PluginNo) -> BTreeSet<EventId> {
        self.plugins.lock().get(&no).map(|backlog| backlog.replayed.clone()).unwrap_or_default()
    }

    /// This event is about to be put into its lane.
    pub fn replaying(&self, no: PluginNo, event: EventId) {
        if let Some(backlog) = self.plugins.lock().get_mut(&no) {
            backlog.replayed.insert(event);
        }
    }

    /// One event is in its lane; from now on an event that comes later may go to that lane by
    /// itself.
    pub fn in_lane(&self, no: PluginNo) {
        if let Some(backlog) = self.plugins.lock().get_mut(&no) {
            backlog.waiting = backlog.waiting.saturating_sub(1);
        }
    }

    /// An event that came back is done, or kept again.
    pub fn done(&self, no: PluginNo, event: EventId) {
        if let Some(backlog) = self.plugins.lock().get_mut(&no) {
            backlog.replayed.remove(&event);
            if let Some(changed) = &backlog.changed {
                changed.ring();
            }
        }
    }
}
