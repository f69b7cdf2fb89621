//! Which plugins subscribe to what: the one answer to "who gets this event", for the whole daemon.
//!
//! [`Subscriptions`] is a snapshot, published whole by the catalog on a watch channel. The inbox,
//! the dispatcher, the outbox, schedules, windows, timers and the media fetcher derive what they
//! need from it; an event keeps the subscribers that it was dispatched with. It does not say which
//! revision of a plugin runs (see `slot`), and it knows no files, grants or reasons why a plugin is
//! missing.

use crate::admission::{Amount, OF_OBSERVERS};
use crate::lane::LaneKey;
use crate::policy::{Meanwhile, OnFailure, Stage, while_unavailable};
use crate::slot::PluginSlot;
use beadle_model::{Disposition, EventBody, EventKind, PluginNo};
use beadle_store::step::{Interest, StatusSubscribers};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use tokio::sync::watch;

/// Where the current subscriptions are read.
pub type SubscriptionsReceiver = watch::Receiver<Arc<Subscriptions>>;

/// A plugin, its place in the order, and its events.
pub struct Subscription {
    /// What runs, now and after a reload.
    pub slot: Arc<PluginSlot>,
    /// When it is called.
    pub stage: Stage,
    /// Its place in the stage, lowest first; equal ones by name.
    pub order: i64,
    /// For guards.
    pub on_failure: OnFailure,
    /// Handlings of events older than this are not begun, in milliseconds of civil time.
    pub max_age_ms: i64,
    /// The events that it subscribes to, as of the snapshot.
    events: BTreeSet<EventKind>,
    /// Whether it was in service, as of the snapshot.
    in_service: bool,
}

/// A question older than a quarter of an hour gets no answer (docs/design.md#failure).
const ANSWER_MAX_AGE_MS: i64 = 15 * 60 * 1000;
/// Everything else is worth doing for as long as the platform repeats a webhook.
const OTHER_MAX_AGE_MS: i64 = 7 * 24 * 60 * 60 * 1000;

impl Subscription {
    /// `max_age_ms`: the default of its stage where `None`.
    pub fn new(
        slot: Arc<PluginSlot>,
        stage: Stage,
        order: i64,
        on_failure: OnFailure,
        max_age_ms: Option<i64>,
    ) -> Self {
        let by_stage = if stage == Stage::Answer { ANSWER_MAX_AGE_MS } else { OTHER_MAX_AGE_MS };
        let max_age_ms = max_age_ms.unwrap_or(by_stage);
        let (events, in_service) = (slot.subscribed(), !slot.is_out_of_service());
        Self { slot, stage, order, on_failure, max_age_ms, events, in_service }
    }

    /// The plugin's number in the store.
    pub fn no(&self) -> PluginNo {
        self.slot.no()
    }

    /// Whether it is dispatched events of this kind, to which it subscribes, now. A plugin that is
    /// out of service is left out where the event would pass it over anyway.
    fn receives(&self, kind: EventKind) -> bool {
        let availability = || self.slot.availability();
        // The lane makes no difference for a plugin that is out of service.
        let lane = LaneKey::Plugin(self.no());
        let meanwhile = || while_unavailable(&availability(), kind, self.stage, self.on_failure, lane);
        !(self.slot.is_out_of_service() && meanwhile() == Some(Meanwhile::PassOver))
    }

    /// What counts of a plugin's decision: only a guard may stop an event, and an observer decides
    /// nothing.
    pub(crate) fn effective(&self, returned: Disposition) -> Disposition {
        match (self.stage, returned) {
            (Stage::Observe, _) => Disposition::Pass,
            (Stage::Answer, Disposition::Stopped) => Disposition::Claimed,
            _ => returned,
        }
    }
}

/// Events that may wait in memory for one plugin alone: half a second's worth of a busy day. More
/// are kept on disk, so that a slow or resting plugin does not take the memory of all others …
const MOST_HELD: usize = 1024;
/// … and fewer where there are many plugins; this many keep one busy.
const LEAST_HELD: usize = 64;

/// The plugins that take part, in the order in which they are called.
///
/// The default is that of a start: the plugins are not known yet, so every event that one could
/// subscribe to is kept.
pub struct Subscriptions {
    list: Vec<Arc<Subscription>>,
    /// Those of each kind, in the same order.
    by_kind: HashMap<EventKind, Vec<Arc<Subscription>>>,
    is_known: bool,
    interest: Interest,
}

impl Default for Subscriptions {
    fn default() -> Self {
        let interest = Interest {
            message_status: StatusSubscribers::Unknown,
            contact_changed: true,
            consent_changed: true,
            window_expiring: true,
            window_closed: true,
        };
        Self { list: Vec::new(), by_kind: HashMap::new(), is_known: false, interest }
    }
}

impl Subscriptions {
    /// Puts them in order.
    pub fn new(mut list: Vec<Arc<Subscription>>) -> Self {
        list.sort_by(|a, b| (a.stage, a.order, a.slot.name()).cmp(&(b.stage, b.order, b.slot.name())));
        let mut by_kind: HashMap<EventKind, Vec<Arc<Subscription>>> = HashMap::new();
        for subscription in &list {
            for kind in &subscription.events {
                by_kind.entry(*kind).or_default().push(Arc::clone(subscription));
            }
        }
        let of_kind = |kind| by_kind.get(&kind).into_iter().flatten();
        let is_any = |kind| by_kind.contains_key(&kind);
        let interest = Interest {
            message_status: StatusSubscribers::Known(
                of_kind(EventKind::MessageStatus).map(|subscription| subscription.no()).collect(),
            ),
            contact_changed: is_any(EventKind::ContactChanged),
            consent_changed: is_any(EventKind::ConsentChanged),
            window_expiring: is_any(EventKind::WindowExpiring),
            window_closed: is_any(EventKind::WindowClosed),
        };
        Self { list, by_kind, is_known: true, interest }
    }

    /// Whether the plugins have been loaded; not at a start.
    pub fn is_known(&self) -> bool {
        self.is_known
    }

    /// All of them, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Arc<Subscription>> {
        self.list.iter()
    }

    /// A plugin that takes part.
    pub fn get(&self, no: PluginNo) -> Option<&Arc<Subscription>> {
        self.list.iter().find(|subscription| subscription.no() == no)
    }

    /// The name of a plugin that takes part.
    pub fn name(&self, no: PluginNo) -> Option<&str> {
        self.get(no).map(|subscription| subscription.slot.name().as_ref())
    }

    /// Who gets this event, in order: one plugin for an event of its own, all that subscribe to it
    /// otherwise.
    pub fn subscribers(&self, body: &EventBody) -> Vec<Arc<Subscription>> {
        let (kind, only) = (body.kind(), body.only_for());
        let gets = |subscription: &&Arc<Subscription>| {
            only.is_none_or(|no| subscription.no() == no) && subscription.receives(kind)
        };
        self.of_kind(kind).filter(gets).cloned().collect()
    }

    /// Plugins that subscribe to this kind.
    pub fn of_kind(&self, kind: EventKind) -> impl Iterator<Item = &Arc<Subscription>> {
        self.by_kind.get(&kind).into_iter().flatten()
    }

    /// Plugins in service: the timers of others wait.
    pub fn in_service(&self) -> Vec<PluginNo> {
        let in_service = self.list.iter().filter(|subscription| subscription.in_service);
        in_service.map(|subscription| subscription.no()).collect()
    }

    /// The events that the store has to append by itself, because a plugin subscribes to them, or
    /// may.
    pub fn interest(&self) -> &Interest {
        &self.interest
    }

    /// How much may wait in memory for one of them alone.
    pub(crate) fn most_held(&self) -> Amount {
        let plugins = self.list.len().max(1);
        Amount {
            events: (OF_OBSERVERS.events / plugins).clamp(LEAST_HELD, MOST_HELD),
            bytes: OF_OBSERVERS.bytes / plugins,
        }
    }
}
