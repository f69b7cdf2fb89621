//! Decides whether a planned time fires, is caught up, or is missed. Pure.
//!
//! Planned times are processed in order, from where the target's progress left off to now. One that
//! is late by at most `grace` fires. Of the older ones the latest are caught up, as many as
//! `catch_up` allows and none older than `catch_up_max_age`; the rest are missed and recorded as
//! one row per zone. A planned time that is held back by its jitter also holds back those after it.
//!
//! It only moves forward. Moving progress back after the clock was set back is done by `scheduler`.

use crate::schedule::{CatchUpMode, Schedule, Zones};
use crate::zone::Zone;
use beadle_model::Timestamp;
use std::collections::VecDeque;

/// Missed times beyond this number are not counted one by one (a pattern that fires every second, a
/// clock that was wrong by years).
pub const MAX_COUNTED: u32 = 10_000;

/// What becomes of a planned time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It fires, on time or within `grace`.
    Fire,
    /// It was missed and fires now.
    CatchUp,
    /// It was missed and does not fire. The number includes those after it; [`MAX_COUNTED`] means
    /// that many or more.
    Miss(u32),
}

/// A planned time that was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The planned time.
    pub planned_at: Timestamp,
    /// The planned time plus jitter.
    pub due_at: Timestamp,
    /// Index of its zone in the zones given.
    pub zone: usize,
    /// Whether it fires, and as what.
    pub decision: Decision,
}

/// The result of one step for a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decisions {
    /// What was decided, in order.
    pub decided: Vec<Decided>,
    /// The new progress: every planned time up to here is decided.
    pub until: Timestamp,
    /// When the next planned time is due; `None` if there is none.
    pub next_due: Option<Timestamp>,
}

/// A zone that a schedule fires in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveZone {
    /// The zone.
    pub zone: Zone,
    /// When its first member joined. Earlier planned times do not exist there.
    pub since: Timestamp,
}

/// Decides every planned time after `until` that is due now. `flush` includes those that are only
/// held back by jitter. `install` seeds the jitter.
pub fn decide(
    schedule: &Schedule,
    zones: &[ActiveZone],
    install: &str,
    until: Timestamp,
    now: Timestamp,
    flush: bool,
) -> Decisions {
    let mut decisions = Decisions { decided: Vec::new(), until, next_due: None };
    let mut missed = MissedTimes::new(schedule, zones.len(), now);
    let mut timeline = Timeline::new(schedule, zones, until);
    while let Some((planned_at, zone)) = timeline.next() {
        let jitter = zones.get(zone).map_or(0, |active| schedule.jitter(install, &active.zone, planned_at));
        let due_at = planned_at.plus_ms(jitter);
        if planned_at > now || due_at > now && !flush {
            decisions.next_due = Some(due_at);
            break;
        }
        decisions.until = planned_at;
        if now.since_ms(due_at) <= schedule.catch_up.grace_ms {
            decisions.decided.push(Decided { planned_at, due_at, zone, decision: Decision::Fire });
        } else if let Some(skip_to) = missed.add(planned_at, due_at, zone) {
            timeline.skip_to(skip_to);
            decisions.until = skip_to;
        }
    }
    missed.append_to(&mut decisions.decided);
    decisions
}

/// When the first planned time after `until` is due; `None` if there is none.
pub fn next_due(schedule: &Schedule, zones: &[ActiveZone], install: &str, until: Timestamp) -> Option<Timestamp> {
    let (planned_at, zone) = Timeline::new(schedule, zones, until).next()?;
    Some(planned_at.plus_ms(schedule.jitter(install, &zones.get(zone)?.zone, planned_at)))
}

/// The zones in which a schedule fires.
pub fn active_zones(schedule: &Schedule, of_members: &[ActiveZone]) -> Vec<ActiveZone> {
    match &schedule.zones {
        Zones::One(zone) => vec![ActiveZone { zone: zone.clone(), since: Timestamp(i64::MIN) }],
        Zones::Members(_) => of_members.to_vec(),
    }
}

/// The planned times of several zones, merged in order.
struct Timeline<'a> {
    schedule: &'a Schedule,
    zones: &'a [ActiveZone],
    /// The next planned time of each zone.
    next: Vec<Option<Timestamp>>,
}

impl<'a> Timeline<'a> {
    fn new(schedule: &'a Schedule, zones: &'a [ActiveZone], after: Timestamp) -> Self {
        let mut timeline = Self { schedule, zones, next: Vec::new() };
        timeline.skip_to(after);
        timeline
    }

    /// Continues after this time.
    fn skip_to(&mut self, after: Timestamp) {
        let next = |active: &ActiveZone| {
            let after = after.max(active.since.plus_ms(-1));
            self.schedule.next(&active.zone, after).map(|moment| moment.at)
        };
        self.next = self.zones.iter().map(next).collect();
    }

    fn next(&mut self) -> Option<(Timestamp, usize)> {
        let soonest = self.next.iter().enumerate().filter_map(|(zone, at)| Some(((*at)?, zone))).min()?;
        let (at, zone) = soonest;
        if let (Some(next), Some(ActiveZone { zone, .. })) = (self.next.get_mut(zone), self.zones.get(zone)) {
            *next = self.schedule.next(zone, at).map(|moment| moment.at);
        }
        Some(soonest)
    }
}

/// Collects planned times that are later than `grace`, per zone.
struct MissedTimes {
    /// How many may be caught up in each zone.
    limit: usize,
    /// Times planned before this are not caught up.
    oldest: Timestamp,
    zones: Vec<MissedInZone>,
    counted: u32,
}

#[derive(Clone, Default)]
struct MissedInZone {
    /// Candidates for catching up: the latest ones that are not too old.
    latest: VecDeque<Decided>,
    /// The first one that is not caught up, and their number.
    lost: Option<(Decided, u32)>,
}

impl MissedTimes {
    fn new(schedule: &Schedule, zones: usize, now: Timestamp) -> Self {
        let policy = schedule.catch_up;
        let limit = match policy.mode {
            CatchUpMode::None => 0,
            CatchUpMode::Last => 1,
            CatchUpMode::All => policy.limit as usize,
        };
        let max_age_ms = if limit == 0 { policy.grace_ms } else { policy.max_age_ms };
        let oldest = now.plus_ms(-max_age_ms.saturating_add(schedule.jitter_ms));
        Self { limit, oldest, zones: vec![MissedInZone::default(); zones], counted: 0 }
    }

    /// Adds one. When too many old ones were counted, returns the time to continue from.
    fn add(&mut self, planned_at: Timestamp, due_at: Timestamp, zone: usize) -> Option<Timestamp> {
        let decided = Decided { planned_at, due_at, zone, decision: Decision::CatchUp };
        let missed = self.zones.get_mut(zone)?;
        if planned_at > self.oldest && self.limit > 0 {
            missed.latest.push_back(decided);
            if missed.latest.len() > self.limit
                && let Some(earliest) = missed.latest.pop_front()
            {
                missed.lose(earliest);
            }
            return None;
        }
        missed.lose(decided);
        self.counted += 1;
        (self.counted == MAX_COUNTED && planned_at < self.oldest).then_some(self.oldest)
    }

    /// Merges them into `decided`, in order.
    fn append_to(self, decided: &mut Vec<Decided>) {
        for MissedInZone { latest, lost } in self.zones {
            decided.extend(lost.map(|(first, count)| Decided { decision: Decision::Miss(count), ..first }));
            decided.extend(latest);
        }
        decided.sort_by_key(|moment| (moment.planned_at, moment.zone));
    }
}

impl MissedInZone {
    fn lose(&mut self, decided: Decided) {
        let (_, count) = self.lost.get_or_insert((decided, 0));
        *count = count.saturating_add(1).min(MAX_COUNTED);
    }
}

#[cfg(test)]
mod tests;
