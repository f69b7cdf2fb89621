//! Who takes part: the plugins that run now, in the order in which they are asked.
//!
//! A roster is a snapshot. Whoever changes who takes part makes a new one and hands it over whole; an event keeps the one
//! it was dispatched with. Which revision of a plugin runs is not in it: that is the slot's (see `slot`). It is not the
//! catalogue: it knows no files, no grants and no reasons why a plugin is missing.

use crate::admission::OF_OBSERVERS;
use crate::slot::PluginSlot;
use beadle_model::{Disposition, EventBody, EventKind, PluginNo};
use beadle_store::step::Interest;
use std::sync::Arc;

/// When a plugin is asked (DESIGN section 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// First, one after the other; may stop an event.
    Guard,
    /// Then, one after the other, until one claims it.
    #[default]
    Answer,
    /// Afterwards, each for itself, told how it ended.
    Observe,
}

/// What becomes of an event whose guard keeps failing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// It waits for the guard, and is not answered if the guard never speaks.
    #[default]
    Hold,
    /// It goes on as if the guard had passed it.
    Skip,
}

/// A plugin and its place.
pub struct Subscription {
    /// What runs, now and after a reload.
    pub slot: Arc<PluginSlot>,
    /// When it is asked.
    pub stage: Stage,
    /// Its place in the stage, small first; equal ones by name.
    pub order: i64,
    /// For guards.
    pub on_failure: OnFailure,
    /// A handling older than this is not begun, in milliseconds of civil time.
    pub max_age_ms: i64,
}

/// Nobody gets an answer to a question older than a quarter of an hour (DESIGN section 3).
const ANSWER_MAX_AGE_MS: i64 = 15 * 60 * 1000;
/// What is not an answer is still worth doing for as long as the platform itself repeats a webhook.
const OTHER_MAX_AGE_MS: i64 = 7 * 24 * 60 * 60 * 1000;

impl Subscription {
    /// A plugin in its place, with the design's age limit for its stage unless one is given.
    pub fn new(
        slot: Arc<PluginSlot>,
        stage: Stage,
        order: i64,
        on_failure: OnFailure,
        max_age_ms: Option<i64>,
    ) -> Self {
        let by_stage = if stage == Stage::Answer { ANSWER_MAX_AGE_MS } else { OTHER_MAX_AGE_MS };
        let max_age_ms = max_age_ms.unwrap_or(by_stage);
        Self { slot, stage, order, on_failure, max_age_ms }
    }

    /// Whether it stands in the chain of such events, in which others wait for it.
    pub(crate) fn is_in_chain(&self, kind: EventKind) -> bool {
        kind.is_staged() && self.stage != Stage::Observe
    }

    /// Whether such an event is kept for it, or held back, while it cannot be asked.
    fn is_waited_for(&self, kind: EventKind) -> bool {
        !self.is_in_chain(kind) || self.stage == Stage::Guard && self.on_failure == OnFailure::Hold
    }

    /// What this stage may decide: only a guard stops, and who only watches decides nothing.
    pub(crate) fn may_decide(&self, said: Disposition) -> Disposition {
        match (self.stage, said) {
            (Stage::Observe, _) => Disposition::Pass,
            (Stage::Answer, Disposition::Stopped) => Disposition::Claimed,
            _ => said,
        }
    }
}

/// Events of one plugin that may wait for it in lanes of its own: half a second's worth of a busy day. What comes beyond
/// that is kept on disk, so that one that is slow, or rests, does not hold the room that all others need …
const MOST_HELD: usize = 1024;
/// … and fewer where there are many plugins; this many keep one busy.
const LEAST_HELD: usize = 64;

/// Those who run now, in the order in which they are asked. The default is that of a start: nobody is known yet, so that
/// whatever somebody could want to hear has to be kept for them.
#[derive(Default)]
pub struct Subscriptions {
    members: Vec<Arc<Subscription>>,
    known: bool,
}

impl Subscriptions {
    /// Puts them in order.
    pub fn new(mut members: Vec<Arc<Subscription>>) -> Self {
        members.sort_by(|a, b| (a.stage, a.order, a.slot.name()).cmp(&(b.stage, b.order, b.slot.name())));
        Self { members, known: true }
    }

    /// All of them, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Arc<Subscription>> {
        self.members.iter()
    }

    /// How many events may wait for one of them alone.
    pub(crate) fn most_held(&self) -> usize {
        (OF_OBSERVERS / self.members.len().max(1)).clamp(LEAST_HELD, MOST_HELD)
    }

    /// Those who want to hear what became of their messages.
    pub fn status_listeners(&self) -> Vec<PluginNo> {
        let wants = |member: &&Arc<Subscription>| member.slot.exports(EventKind::MessageStatus);
        self.members.iter().filter(wants).map(|member| member.slot.no()).collect()
    }

    /// The events of its own making that the store has to append.
    pub fn interest(&self) -> Interest {
        Interest {
            message_status: self.status_listeners().into(),
            contact_changed: self.wants(EventKind::ContactChanged),
            window_expiring: self.wants(EventKind::WindowExpiring),
            window_closed: self.wants(EventKind::WindowClosed),
        }
    }

    /// Whether somebody exports it, or may.
    fn wants(&self, kind: EventKind) -> bool {
        !self.known || self.members.iter().any(|member| member.slot.exports(kind))
    }

    /// Who gets this event, in order: one plugin for what is its own, all who export it for the rest. Who is suspended is
    /// passed over, unless the event is to be kept for it or held for want of it.
    pub fn subscribers(&self, body: &EventBody) -> Vec<Arc<Subscription>> {
        let kind = body.kind();
        let only = body.only_for();
        let gets = |member: &&Arc<Subscription>| {
            only.is_none_or(|no| member.slot.no() == no)
                && member.slot.exports(kind)
                && (!member.slot.is_out() || member.is_waited_for(kind))
        };
        self.members.iter().filter(gets).cloned().collect()
    }

    /// A plugin that takes part.
    pub fn get(&self, no: PluginNo) -> Option<&Arc<Subscription>> {
        self.members.iter().find(|member| member.slot.no() == no)
    }

    /// The name of a plugin that takes part.
    pub fn name(&self, no: PluginNo) -> Option<&str> {
        self.get(no).map(|member| member.slot.name().as_ref())
    }
}
