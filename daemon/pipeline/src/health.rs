//! How the pipeline is: counters for metrics, heartbeats for the watchdog, and the last thing that went wrong.
//!
//! "Healthy" means that it makes progress: the loops turn and the store takes writes. A process that answers while its
//! queue stands still is not healthy, and that is the only thing asked here. Counters only grow; whoever shows them makes
//! rates of them.

use crate::channel::SendResponse;
use beadle_sandbox::Usage;
use beadle_store::StoreError;
use beadle_store::step::{Appended, SendOutcome};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A loop that has not turned for so long is stuck: its own beat is a second, a slow disk may take a few. Real time.
const STUCK: Duration = Duration::from_secs(15);
/// Different codes and plugins that are counted apart; beyond this they are counted as `other`.
const NAMES: usize = 256;

/// Counters of one pipeline, and the last trouble with its store.
#[derive(Default)]
pub struct Health {
    counters: Counters,
    by_name: Mutex<ByName>,
    disk: Mutex<Option<(Instant, String)>>,
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        #[derive(Default)]
        struct Counters { $($name: AtomicU64),* }

        /// The counters as they stand; all of them only grow.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
        pub struct Figures {
            $($(#[$doc])* pub $name: u64,)*
            /// Failed tries, by plugin.
            pub failed_by_plugin: BTreeMap<String, u64>,
            /// Handlings given up, by plugin.
            pub dead_by_plugin: BTreeMap<String, u64>,
            /// Messages that failed or were given up, by code.
            pub failed_messages_by_code: BTreeMap<String, u64>,
        }

        impl Counters {
            fn read(&self) -> Figures {
                Figures { $($name: self.$name.load(Relaxed),)* ..Figures::default() }
            }
        }
    };
}

counters! {
    /// Events that were new.
    events,
    /// Events that had come before.
    duplicates,
    /// Receipts for messages that are not ours.
    unmatched_receipts,
    /// Batches that were not taken in (503).
    refused,
    /// Calls into plugins.
    calls,
    /// CPU that they took, in microseconds.
    cpu_us,
    /// Sends that the platform took.
    accepted,
    /// Sends that it refused.
    sends_refused,
    /// Sends that never left.
    not_sent,
    /// Sends without an answer.
    ambiguous,
    /// Messages held for a person because nobody knows what became of them.
    held,
    /// Messages sent again although they may have arrived.
    resent,
}

#[derive(Default)]
struct ByName {
    failed: BTreeMap<String, u64>,
    buried: BTreeMap<String, u64>,
    messages: BTreeMap<String, u64>,
}

impl Health {
    /// What is wrong, in sentences; empty where all makes progress.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if let Some((_, error)) = self.disk().as_ref().filter(|(at, _)| at.elapsed() < STUCK) {
            problems.push(format!("the store does not take writes: {error}"));
        }
        problems
    }

    /// The counters.
    pub fn figures(&self) -> Figures {
        let mut figures = self.counters.read();
        let by_name = self.by_name();
        figures.failed_by_plugin.clone_from(&by_name.failed);
        figures.dead_by_plugin.clone_from(&by_name.buried);
        figures.failed_messages_by_code.clone_from(&by_name.messages);
        figures
    }

    pub(crate) fn received(&self, appended: &Appended) {
        add(&self.counters.events, appended.events);
        add(&self.counters.duplicates, appended.duplicates);
        add(&self.counters.unmatched_receipts, appended.unknown_receipts);
    }

    pub(crate) fn refused(&self, error: &StoreError) {
        add(&self.counters.refused, 1);
        self.disk_trouble(error);
    }

    pub(crate) fn called(&self, usage: &Usage) {
        add(&self.counters.calls, 1);
        self.counters.cpu_us.fetch_add(usage.cpu_us, Relaxed);
    }

    pub(crate) fn failed(&self, plugin: &str) {
        count(&mut self.by_name().failed, plugin);
    }

    pub(crate) fn buried(&self, plugin: &str) {
        count(&mut self.by_name().buried, plugin);
    }

    pub(crate) fn message_failed(&self, code: &str) {
        count(&mut self.by_name().messages, code);
    }

    pub(crate) fn sent(&self, answer: &SendResponse) {
        let counter = match answer {
            SendResponse::Accepted(_) | SendResponse::AcceptedWith(..) => &self.counters.accepted,
            SendResponse::Refused(..) => &self.counters.sends_refused,
            SendResponse::NotSent(_) => &self.counters.not_sent,
            SendResponse::Ambiguous(_) => &self.counters.ambiguous,
        };
        add(counter, 1);
    }

    pub(crate) fn doubts_decided<'a>(&self, outcomes: impl Iterator<Item = &'a SendOutcome>) {
        for outcome in outcomes {
            match outcome {
                SendOutcome::Dead(_) => add(&self.counters.held, 1),
                SendOutcome::Later { maybe_twice: true, .. } => add(&self.counters.resent, 1),
                _ => {}
            }
        }
    }

    /// A write did not go through. Said once, until a while passes without.
    pub(crate) fn disk_trouble(&self, error: &StoreError) {
        let mut disk = self.disk();
        if disk.as_ref().is_none_or(|(at, _)| at.elapsed() > STUCK) {
            tracing::error!(%error, "The store did not take a write; what waits is kept and written when it can: {error}.");
        }
        *disk = Some((Instant::now(), error.to_string()));
    }

    fn disk(&self) -> MutexGuard<'_, Option<(Instant, String)>> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn by_name(&self) -> MutexGuard<'_, ByName> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn add(counter: &AtomicU64, number: usize) {
    counter.fetch_add(u64::try_from(number).unwrap_or(u64::MAX), Relaxed);
}

fn count(names: &mut BTreeMap<String, u64>, name: &str) {
    let name = if names.len() >= NAMES && !names.contains_key(name) { "other" } else { name };
    *names.entry(name.to_owned()).or_default() += 1;
}
