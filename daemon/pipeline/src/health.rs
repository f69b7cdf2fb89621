//! The state of the pipeline: counters for metrics, and the store's last failure.
//!
//! Counters only grow; the reader computes rates. The supervisor (`beadle_tasks`) knows whether the
//! loops make progress.

use crate::channel::SendResponse;
use beadle_model::effect::RefusedAsks;
use beadle_sandbox::Usage;
use beadle_store::StoreError;
use beadle_store::step::{Appended, SendOutcome};
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The store has recovered when it has not failed for this long. Real time.
const RECOVERED: Duration = Duration::from_secs(15);
/// Codes and plugins that are counted apart; beyond this they are counted as `other`.
const NAMES: usize = 256;

/// Counters of one pipeline, and the store's last failure.
#[derive(Default)]
pub struct Health {
    counters: Counters,
    by_name: Mutex<ByName>,
    /// The store's last failure to take a write.
    store_failure: Mutex<Option<(Instant, String)>>,
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        #[derive(Default)]
        struct Counters { $($name: AtomicU64),* }

        /// The counters as they stand; all of them only grow.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
        pub struct Figures {
            $($(#[$doc])* pub $name: u64,)*
            /// Failed attempts, by plugin.
            pub failed_by_plugin: BTreeMap<String, u64>,
            /// Handlings given up, by plugin.
            pub dead_by_plugin: BTreeMap<String, u64>,
            /// Messages that failed or were given up, by code.
            pub failed_messages_by_code: BTreeMap<String, u64>,
            /// Messages that plugins asked for and the gate refused, by code.
            pub refused_messages_by_code: BTreeMap<String, u64>,
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
    /// Receipts for unknown messages.
    unmatched_receipts,
    /// Deliveries that were not taken (503).
    refused,
    /// Calls into plugins.
    calls,
    /// CPU that they took, in microseconds.
    cpu_us,
    /// Sends that the platform accepted.
    accepted,
    /// Sends that it accepted and holds for a quality assessment.
    held_for_quality,
    /// Sends that it refused.
    sends_refused,
    /// Sends that never left.
    not_sent,
    /// Sends without a usable response.
    ambiguous,
    /// Ambiguous messages that became dead letters.
    held,
    /// Ambiguous messages that were sent again.
    resent,
}

#[derive(Default)]
struct ByName {
    failed: BTreeMap<String, u64>,
    dead: BTreeMap<String, u64>,
    messages: BTreeMap<String, u64>,
    refused: BTreeMap<String, u64>,
}

impl Health {
    /// The reasons why the pipeline makes no progress; empty if it does.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if let Some((_, error)) = self.store_failure.lock().as_ref().filter(|(at, _)| at.elapsed() < RECOVERED) {
            problems.push(format!("the store does not take writes: {error}"));
        }
        problems
    }

    /// The counters.
    pub fn figures(&self) -> Figures {
        let mut figures = self.counters.read();
        let by_name = self.by_name.lock();
        figures.failed_by_plugin.clone_from(&by_name.failed);
        figures.dead_by_plugin.clone_from(&by_name.dead);
        figures.failed_messages_by_code.clone_from(&by_name.messages);
        figures.refused_messages_by_code.clone_from(&by_name.refused);
        figures
    }

    pub(crate) fn appended(&self, appended: &Appended) {
        add(&self.counters.events, appended.events);
        add(&self.counters.duplicates, appended.duplicates);
        add(&self.counters.unmatched_receipts, appended.unknown_receipts);
    }

    /// A delivery was not taken.
    pub(crate) fn refused(&self, error: &StoreError) {
        add(&self.counters.refused, 1);
        self.store_failed(error);
    }

    pub(crate) fn called(&self, usage: &Usage) {
        add(&self.counters.calls, 1);
        self.counters.cpu_us.fetch_add(usage.cpu_us, Relaxed);
    }

    /// An attempt failed.
    pub(crate) fn attempt_failed(&self, plugin: &str) {
        count(&mut self.by_name.lock().failed, plugin, 1);
    }

    /// A handling was given up.
    pub(crate) fn handling_died(&self, plugin: &str) {
        count(&mut self.by_name.lock().dead, plugin, 1);
    }

    /// A message failed or was given up.
    pub(crate) fn message_failed(&self, code: &str) {
        count(&mut self.by_name.lock().messages, code, 1);
    }

    /// The gate refused these messages when a plugin asked for them.
    pub(crate) fn messages_refused(&self, refused: &RefusedAsks) {
        if refused.is_empty() {
            return;
        }
        let mut by_name = self.by_name.lock();
        for (code, number) in refused.codes() {
            count(&mut by_name.refused, code, number);
        }
    }

    pub(crate) fn responded(&self, response: &SendResponse) {
        let counter = match response {
            SendResponse::Accepted(accepted) if accepted.is_held => &self.counters.held_for_quality,
            SendResponse::Accepted(_) => &self.counters.accepted,
            SendResponse::Refused(..) => &self.counters.sends_refused,
            SendResponse::NotSent(_) => &self.counters.not_sent,
            SendResponse::Ambiguous(_) => &self.counters.ambiguous,
        };
        add(counter, 1);
    }

    /// Ambiguous messages were decided.
    pub(crate) fn ambiguous_decided<'a>(&self, outcomes: impl Iterator<Item = &'a SendOutcome>) {
        for outcome in outcomes {
            match outcome {
                SendOutcome::Dead(_) => add(&self.counters.held, 1),
                SendOutcome::Later { possibly_duplicate: true, .. } => add(&self.counters.resent, 1),
                _ => {}
            }
        }
    }

    /// The store failed to read or write. Logged once, until it has worked for a while.
    pub(crate) fn store_failed(&self, error: &StoreError) {
        let mut failure = self.store_failure.lock();
        if failure.as_ref().is_none_or(|(at, _)| at.elapsed() > RECOVERED) {
            tracing::error!(%error, "database failed: work is kept and repeated until it works again");
        }
        *failure = Some((Instant::now(), error.to_string()));
    }
}

fn add(counter: &AtomicU64, number: usize) {
    counter.fetch_add(u64::try_from(number).unwrap_or(u64::MAX), Relaxed);
}

fn count(names: &mut BTreeMap<String, u64>, name: &str, number: u64) {
    let name = if names.len() >= NAMES && !names.contains_key(name) { "other" } else { name };
    *names.entry(name.to_owned()).or_default() += number;
}
