//! How a plugin does: whether it is asked, and what its failures lead to.

use super::PluginSlot;
use crate::breaker::{Breaker, Failed, May, Turn};
use crate::lane::LaneKey;
use beadle_model::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::{MutexGuard, PoisonError};
use tokio::sync::watch;

/// How it did.
#[derive(Default)]
pub(super) struct Conduct {
    breaker: Breaker,
    /// The latest failure that made it rest.
    trouble: Option<(String, String)>,
    suspension: Option<Suspension>,
    /// It is asked no more.
    is_off: bool,
}

/// Why a plugin is suspended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspension {
    /// For `beadle explain`.
    pub code: String,
    /// What happened, in a sentence without an end.
    pub why: String,
    /// Since when.
    pub at: Timestamp,
}

/// Whether a plugin is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Availability {
    /// It is.
    Available,
    /// Not until then, and then with one event first.
    Resting {
        /// Until when; where it has passed, the next event is the trial.
        until: Option<Timestamp>,
        /// Of what it failed last.
        code: String,
        /// What happened.
        error: String,
    },
    /// Not until a person or a new revision changes something.
    Suspended(Suspension),
    /// It was switched off, or its file is gone.
    Disabled,
}

/// A try that failed, and how.
pub(crate) struct Failure {
    pub code: &'static str,
    pub error: String,
    /// It is not to be tried again.
    pub is_final: bool,
    /// The plugin said so itself.
    pub own_word: bool,
    /// It is the plugin's fault, and not ours or the disk's.
    pub counts: bool,
}

impl Failure {
    /// There is no revision to ask.
    pub fn of_nobody(name: &str) -> Self {
        let error = format!("nobody knows what `{name}` does: it is not loaded");
        Self { code: SUSPENDED, error, is_final: true, own_word: false, counts: false }
    }

    /// Whether it says something of a revision with which no other can be compared. The plugin's word that it may go better
    /// next time does not: it may be the world's fault.
    pub fn tells_by_itself(&self) -> bool {
        self.counts && (self.is_final || !self.own_word)
    }
}

/// The code of one that failed too often.
pub(super) const SUSPENDED: &str = "plugin-suspended";

impl PluginSlot {
    /// Whether it is asked.
    pub fn availability(&self, now: Timestamp) -> Availability {
        let conduct = self.conduct();
        if conduct.is_off {
            return Availability::Disabled;
        }
        if let Some(suspension) = &conduct.suspension {
            return Availability::Suspended(suspension.clone());
        }
        let until = match conduct.breaker.look(now) {
            May::Go => return Availability::Available,
            May::NotBefore(until) => Some(until),
            May::Try | May::NotYet | May::Never => None,
        };
        let (code, error) = conduct.trouble.clone().unwrap_or_default();
        Availability::Resting { until, code, error }
    }

    /// It is not asked any more, until [`PluginSlot::resume`] or another revision.
    pub fn suspend(&self, suspension: Suspension) {
        let mut conduct = self.conduct();
        conduct.breaker.suspend();
        conduct.suspension = Some(suspension);
        drop(conduct);
        self.changed.send_replace(());
    }

    /// It is asked again, as if nothing had been.
    pub fn resume(&self) {
        *self.conduct() = Conduct::default();
        self.changed.send_replace(());
    }

    /// It is asked no more: what is on its way to it is kept, or passes it.
    pub fn disable(&self) {
        self.conduct().is_off = true;
        self.changed.send_replace(());
    }

    /// Whether it is suspended or off.
    pub(crate) fn is_out(&self) -> bool {
        let conduct = self.conduct();
        conduct.is_off || conduct.suspension.is_some()
    }

    /// Whether it may be asked now; who is told to try must say how it went.
    pub(crate) fn may(&self, now: Timestamp) -> May {
        let mut conduct = self.conduct();
        if conduct.is_off { May::Never } else { conduct.breaker.may(now) }
    }

    /// The same, without being the one who tries.
    pub(crate) fn look(&self, now: Timestamp) -> May {
        self.conduct().breaker.look(now)
    }

    /// Told whenever that changes but for time passing.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub(crate) fn went_well(&self, lane: LaneKey, tells: bool, trial: bool) {
        if self.conduct().breaker.went_well(lane, tells, trial) {
            tracing::info!(plugin = %self.name, "A plugin works again: the event that it was tried with went well.");
            self.rang();
        }
    }

    pub(crate) fn undecided(&self, now: Timestamp) {
        self.conduct().breaker.undecided(now);
        self.changed.send_replace(());
    }

    /// A try failed by its own fault.
    pub(crate) fn failed(&self, lane: LaneKey, tells: bool, trial: bool, failure: &Failure, now: Timestamp) {
        let mut conduct = self.conduct();
        let how = if failure.own_word { Failed::Said } else { Failed::Broke };
        let Some(turn) = conduct.breaker.failed(lane, tells, trial, how, now) else { return };
        let (name, code, error) = (&self.name, failure.code, &failure.error);
        conduct.trouble = Some((code.to_owned(), error.clone()));
        match turn {
            Turn::Rests(until) => {
                tracing::warn!(plugin = %name, code, %until, "A plugin fails whatever it gets and rests; then it is tried with one event: {error}.");
            }
            Turn::Suspended => {
                tracing::error!(plugin = %name, code, "A plugin is suspended, since it failed each time it was tried; `beadle plugins enable {name}` or another revision brings it back: {error}.");
                let why = format!("it failed each time it was tried, last so: {error} ({code})");
                conduct.suspension = Some(Suspension { code: SUSPENDED.into(), why, at: now });
            }
        }
        drop(conduct);
        self.rang();
    }

    /// An event of this lane was given up.
    pub(crate) fn gave_up(&self, lane: LaneKey) {
        let mut conduct = self.conduct();
        let was = conduct.breaker.is_poisoned(lane);
        let count = conduct.breaker.gave_up(lane);
        if !was && conduct.breaker.is_poisoned(lane) {
            tracing::warn!(plugin = %self.name, ?lane, count, "A plugin fails each event of one conversation: they get one try each until one goes well.");
        }
    }

    pub(crate) fn is_poisoned(&self, lane: LaneKey) -> bool {
        self.conduct().breaker.is_poisoned(lane)
    }

    fn rang(&self) {
        self.changed.send_replace(());
        self.bell.notify_one();
    }

    fn conduct(&self) -> MutexGuard<'_, Conduct> {
        self.conduct.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
