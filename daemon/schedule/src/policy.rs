//! What becomes of the moments that have come: fire, catch up, or miss. A function of its arguments.
//!
//! Moments are gone through in their order, from where the plan was left to now. One that is late by no more than the grace
//! fires. Of the others the latest ones are caught up, as many as `catch_up` says and none that is too old; the rest was
//! missed and is told as one row an area. A moment that its jitter still holds back holds back those behind it.
//!
//!
//! It looks forward only. Where the clock was set back, whoever keeps the plan takes it back (`keeper`).

use crate::schedule::{CatchUp, Schedule, Zones};
use crate::zone::Zone;
use beadle_model::Timestamp;
use std::collections::VecDeque;

/// Missed moments that are counted one by one. Beyond them (a pattern of every second, a clock that was wrong by years) "so
/// many or more" says enough.
pub const COUNTED: u32 = 10_000;

/// What is to become of a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It fires in its time, or a little late.
    Fire,
    /// It was missed and fires now.
    CatchUp,
    /// It was missed and does not fire, with so many behind it; [`COUNTED`] is so many or more.
    Miss(u32),
}

/// A moment that has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// When it was to be.
    pub planned_at: Timestamp,
    /// The same with its jitter.
    pub due_at: Timestamp,
    /// In which of the areas.
    pub area: usize,
    /// What becomes of it.
    pub verdict: Verdict,
}

/// Where a plan stands after what has come was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// What has come, in order.
    pub decided: Vec<Decided>,
    /// Every moment up to here is decided.
    pub until: Timestamp,
    /// When the next one is due; none where none comes any more.
    pub next_due: Option<Timestamp>,
}

/// A zone that a schedule fires in, and since when there is anybody to fire for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Area {
    /// The zone.
    pub zone: Zone,
    /// Moments before this were nobody's.
    pub since: Timestamp,
}

/// Decides every moment behind `until` that is due now. `flush`: also those that only their jitter holds back.
pub fn turn(schedule: &Schedule, areas: &[Area], install: &str, until: Timestamp, now: Timestamp, flush: bool) -> Turn {
    let mut turn = Turn { decided: Vec::new(), until, next_due: None };
    let mut missed = Gathered::new(schedule, areas.len(), now);
    let mut timeline = Timeline::new(schedule, areas, until);
    while let Some((planned_at, area)) = timeline.next() {
        let jitter = areas.get(area).map_or(0, |it| schedule.jitter(install, &it.zone, planned_at));
        let due_at = planned_at.plus_ms(jitter);
        if planned_at > now || due_at > now && !flush {
            turn.next_due = Some(due_at);
            break;
        }
        turn.until = planned_at;
        if now.since_ms(due_at) <= schedule.missed.grace_ms {
            turn.decided.push(Decided { planned_at, due_at, area, verdict: Verdict::Fire });
        } else if let Some(on) = missed.add(planned_at, due_at, area) {
            timeline.skip_to(on);
            turn.until = on;
        }
    }
    missed.settle(&mut turn.decided);
    turn
}

/// When the first moment behind `until` is due; none where none comes any more.
pub fn next_due(schedule: &Schedule, areas: &[Area], install: &str, until: Timestamp) -> Option<Timestamp> {
    let (planned_at, area) = Timeline::new(schedule, areas, until).next()?;
    Some(planned_at.plus_ms(schedule.jitter(install, &areas.get(area)?.zone, planned_at)))
}

/// Where a schedule fires.
pub fn areas(schedule: &Schedule, of_members: &[Area]) -> Vec<Area> {
    match &schedule.zones {
        Zones::One(zone) => vec![Area { zone: zone.clone(), since: Timestamp(i64::MIN) }],
        Zones::Members(_) => of_members.to_vec(),
    }
}

/// The planned moments of several areas in one order.
struct Timeline<'a> {
    schedule: &'a Schedule,
    areas: &'a [Area],
    /// The next one of each.
    next: Vec<Option<Timestamp>>,
}

impl<'a> Timeline<'a> {
    fn new(schedule: &'a Schedule, areas: &'a [Area], after: Timestamp) -> Self {
        let mut timeline = Self { schedule, areas, next: Vec::new() };
        timeline.skip_to(after);
        timeline
    }

    /// Goes on behind this moment.
    fn skip_to(&mut self, after: Timestamp) {
        let next = |area: &Area| {
            let after = after.max(area.since.plus_ms(-1));
            self.schedule.next(&area.zone, after).map(|moment| moment.at)
        };
        self.next = self.areas.iter().map(next).collect();
    }

    fn next(&mut self) -> Option<(Timestamp, usize)> {
        let soonest = self.next.iter().enumerate().filter_map(|(area, at)| Some(((*at)?, area))).min()?;
        let (at, area) = soonest;
        if let (Some(next), Some(Area { zone, .. })) = (self.next.get_mut(area), self.areas.get(area)) {
            *next = self.schedule.next(zone, at).map(|moment| moment.at);
        }
        Some(soonest)
    }
}

/// Missed moments, as far as they have been gone through.
struct Gathered {
    /// How many of an area may be caught up: each is a schedule of its own here.
    most: usize,
    /// Nothing that was planned before this is caught up.
    floor: Timestamp,
    areas: Vec<MissedInArea>,
    counted: u32,
}

#[derive(Clone, Default)]
struct MissedInArea {
    /// The latest of them that are young enough.
    latest: VecDeque<Decided>,
    /// The first one that is not caught up, and how many there are.
    lost: Option<(Decided, u32)>,
}

impl Gathered {
    fn new(schedule: &Schedule, areas: usize, now: Timestamp) -> Self {
        let missed = schedule.missed;
        let most = match missed.catch_up {
            CatchUp::None => 0,
            CatchUp::Last => 1,
            CatchUp::All => missed.limit as usize,
        };
        let too_old_ms = if most == 0 { missed.grace_ms } else { missed.max_age_ms };
        let floor = now.plus_ms(-too_old_ms.saturating_add(schedule.jitter_ms));
        Self { most, floor, areas: vec![MissedInArea::default(); areas], counted: 0 }
    }

    /// One more. Where so many are too old that they are not worth counting, the moment to go on behind.
    fn add(&mut self, planned_at: Timestamp, due_at: Timestamp, area: usize) -> Option<Timestamp> {
        let decided = Decided { planned_at, due_at, area, verdict: Verdict::CatchUp };
        let missed = self.areas.get_mut(area)?;
        if planned_at > self.floor && self.most > 0 {
            missed.latest.push_back(decided);
            if missed.latest.len() > self.most
                && let Some(earliest) = missed.latest.pop_front()
            {
                missed.lose(earliest);
            }
            return None;
        }
        missed.lose(decided);
        self.counted += 1;
        (self.counted == COUNTED && planned_at < self.floor).then_some(self.floor)
    }

    /// Puts them among the others, in order.
    fn settle(self, decided: &mut Vec<Decided>) {
        for MissedInArea { latest, lost } in self.areas {
            decided.extend(lost.map(|(first, count)| Decided { verdict: Verdict::Miss(count), ..first }));
            decided.extend(latest);
        }
        decided.sort_by_key(|moment| (moment.planned_at, moment.area));
    }
}

impl MissedInArea {
    fn lose(&mut self, decided: Decided) {
        let (_, count) = self.lost.get_or_insert((decided, 0));
        *count = count.saturating_add(1).min(COUNTED);
    }
}

#[cfg(test)]
mod tests;
