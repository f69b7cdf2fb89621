//! When a schedule fires, as a function: the first planned moment after another.
//!
//! At clock changes patterns are of two kinds (DESIGN section 8). A *fixed* one (no `*` and no step in minute and hour) means times
//! on the wall: each comes once a day, at the first moment after a gap that left it out, at the first of two times. Any
//! other means a rhythm, and follows elapsed time: it fires whenever the wall shows a time that matches, twice where that
//! comes twice, not at all where it is left out.
//!
//! `every` counts elapsed time from its anchor and never looks at the wall. `at` comes once.

use crate::cron::{Cron, Unreadable};
use crate::monthly;
use crate::zone::{Fit, Zone};
use beadle_model::Timestamp;
use jiff::civil::{Date, DateTime};

/// When a schedule fires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// `cron`, or `monthly`, which is read into one.
    Cron(Cron),
    /// `every`
    Every {
        /// In milliseconds, 1 s at least.
        period_ms: i64,
        /// What it is counted from.
        anchor: When,
    },
    /// `at`
    At(When),
}

/// A day or a moment as people write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// A time on the wall of the schedule's zone.
    Local(DateTime),
    /// With its offset, so the same everywhere.
    Exact(Timestamp),
}

/// A planned moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// When.
    pub at: Timestamp,
    /// What the pattern matched on the wall; another time than the wall shows at that moment where it is skipped.
    pub wall: DateTime,
    /// How that fits into its day.
    pub fit: Fit,
}

/// How a day is written.
const DATE: &str = "2026-12-24";

/// What `every` is counted from, unless it says otherwise: midnight of a Monday, so that whole weeks begin on one.
pub const ANCHOR: DateTime = jiff::civil::datetime(2001, 1, 1, 0, 0, 0, 0);

/// Clock changes that a search walks over: more than any zone has had in a hundred years (Morocco has 4 a year).
const CHANGES: usize = 500;

impl Pattern {
    /// `cron`
    ///
    /// # Errors
    /// Where the text is no pattern or never comes.
    pub fn cron(text: &str) -> Result<Self, Unreadable> {
        Cron::read(text).map(Self::Cron)
    }

    /// `monthly`
    ///
    /// # Errors
    /// Where the words are not understood.
    pub fn monthly(text: &str) -> Result<Self, Unreadable> {
        Cron::read(&monthly::cron(text)?).map(Self::Cron)
    }

    /// The first planned moment after this one; none where none comes any more.
    pub fn next(&self, zone: &Zone, after: Timestamp) -> Option<Moment> {
        match self {
            Pattern::Cron(cron) if cron.fixed => fixed(cron, zone, after),
            Pattern::Cron(cron) => rhythm(cron, zone, after),
            Pattern::Every { period_ms, anchor } => {
                let period_ms = (*period_ms).max(1000);
                let anchor = anchor.on(zone).0;
                let periods = after.since_ms(anchor).div_euclid(period_ms).checked_add(1)?;
                let at = anchor.plus_ms(periods.checked_mul(period_ms)?);
                Some(Moment { at, wall: zone.wall(at), fit: Fit::Once })
            }
            Pattern::At(when) => {
                let (at, fit) = when.on(zone);
                let wall = if let When::Local(wall) = when { *wall } else { zone.wall(at) };
                (at > after).then_some(Moment { at, wall, fit })
            }
        }
    }
}

impl When {
    /// Reads `2026-12-24T18:00`, with an offset or without, or a day alone; tells whether it was a day alone.
    pub fn read(text: &str) -> Option<(Self, bool)> {
        if let Ok(date) = text.parse::<Date>()
            && text.len() <= DATE.len()
        {
            return Some((When::Local(date.at(0, 0, 0, 0)), true));
        }
        let exact = text.parse::<jiff::Timestamp>().ok().map(|at| When::Exact(Timestamp(at.as_millisecond())));
        let local = || text.parse::<DateTime>().ok().map(When::Local);
        Some((exact.or_else(local)?, false))
    }

    /// The moment, in a zone.
    pub fn on(self, zone: &Zone) -> (Timestamp, Fit) {
        match self {
            When::Local(wall) => zone.place(wall),
            When::Exact(at) => (at, Fit::Once),
        }
    }
}

/// Times on the wall, each placed in the zone. Placing never runs backwards, so what the wall has shown is past.
fn fixed(cron: &Cron, zone: &Zone, after: Timestamp) -> Option<Moment> {
    let mut from = next_second(zone.wall(after))?;
    loop {
        let wall = cron.fields.first_from(from)?;
        let (at, fit) = zone.place(wall);
        if at > after {
            return Some(Moment { at, wall, fit });
        }
        // The wall shows an hour for the second time: what matches in it fired the first time. An hour has an end.
        from = next_second(wall)?;
    }
}

/// Times that the wall really shows: between two clock changes it runs as time does.
fn rhythm(cron: &Cron, zone: &Zone, after: Timestamp) -> Option<Moment> {
    let mut from = after;
    let mut wall = next_second(zone.wall(after))?;
    for _ in 0..CHANGES {
        let offset_ms = zone.offset_ms(from);
        let change = zone.change_after(from);
        let matched = cron.fields.first_from(wall)?;
        let at = utc(matched)?.plus_ms(-offset_ms);
        match change {
            Some(change) if at >= change => {
                from = change;
                wall = zone.wall(change);
            }
            _ => return Some(Moment { at, wall: matched, fit: zone.place(matched).1 }),
        }
    }
    None
}

fn next_second(wall: DateTime) -> Option<DateTime> {
    wall.checked_add(jiff::SignedDuration::from_secs(1)).ok()
}

/// The moment at which UTC shows this.
fn utc(wall: DateTime) -> Option<Timestamp> {
    let at = jiff::tz::Offset::UTC.to_timestamp(wall).ok()?;
    Some(Timestamp(at.as_millisecond()))
}

#[cfg(test)]
pub(crate) mod tests;
