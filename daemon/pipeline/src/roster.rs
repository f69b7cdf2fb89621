//! Who takes part: the plugins that run now, in the order in which they are asked.
//!
//! A roster is a snapshot. Whoever changes who takes part makes a new one and hands it over whole; an event keeps the one
//! it was dispatched with. Which revision of a plugin runs is not in it: that is the seat's (see `seat`). It is not the
//! catalogue: it knows no files, no grants and no reasons why a plugin is missing.

use crate::seat::Seat;
use beadle_model::{Disposition, EventBody, EventKind, PluginNo};
use beadle_store::step::WindowNews;
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
pub struct Member {
    /// What runs, now and after a reload.
    pub seat: Arc<Seat>,
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

impl Member {
    /// A plugin in its place, with the design's age limit for its stage unless one is given.
    pub fn new(seat: Arc<Seat>, stage: Stage, order: i64, on_failure: OnFailure, max_age_ms: Option<i64>) -> Self {
        let by_stage = if stage == Stage::Answer { ANSWER_MAX_AGE_MS } else { OTHER_MAX_AGE_MS };
        let max_age_ms = max_age_ms.unwrap_or(by_stage);
        Self { seat, stage, order, on_failure, max_age_ms }
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

/// Those who run now, in the order in which they are asked. The default is that of a start: nobody is known yet, so that
/// whatever somebody could want to hear has to be kept for them.
#[derive(Default)]
pub struct Roster {
    members: Vec<Arc<Member>>,
    known: bool,
}

impl Roster {
    /// Puts them in order.
    pub fn new(mut members: Vec<Arc<Member>>) -> Self {
        members.sort_by(|a, b| (a.stage, a.order, a.seat.name()).cmp(&(b.stage, b.order, b.seat.name())));
        Self { members, known: true }
    }

    /// All of them, in order.
    pub fn members(&self) -> &[Arc<Member>] {
        &self.members
    }

    /// Those who want to hear what became of their messages.
    pub fn status_listeners(&self) -> Vec<PluginNo> {
        let wants = |member: &&Arc<Member>| member.seat.exports(EventKind::MessageStatus);
        self.members.iter().filter(wants).map(|member| member.seat.no()).collect()
    }

    /// Whether somebody wants to hear of contacts that are new or have another name.
    pub fn wants_contact_news(&self) -> bool {
        self.wants(EventKind::ContactChanged)
    }

    /// What somebody wants to hear of windows.
    pub fn window_news(&self) -> WindowNews {
        let (expiring, closed) = (self.wants(EventKind::WindowExpiring), self.wants(EventKind::WindowClosed));
        WindowNews { expiring, closed }
    }

    /// Whether somebody exports it, or may.
    fn wants(&self, kind: EventKind) -> bool {
        !self.known || self.members.iter().any(|member| member.seat.exports(kind))
    }

    /// Who gets this event, in order: one plugin for what is its own, all who export it for the rest.
    pub fn subscribers(&self, body: &EventBody) -> Vec<Arc<Member>> {
        let kind = body.kind();
        let only = body.only_for();
        let gets = |member: &&Arc<Member>| only.is_none_or(|no| member.seat.no() == no) && member.seat.exports(kind);
        self.members.iter().filter(gets).cloned().collect()
    }

    /// The name of a plugin that runs now.
    pub fn name(&self, no: PluginNo) -> Option<&str> {
        self.members.iter().find(|member| member.seat.no() == no).map(|member| member.seat.name().as_ref())
    }
}
