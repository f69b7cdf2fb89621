//! Finds the first time after another that a pattern matches. Pure.
//!
//! At clock changes there are two kinds of cron pattern (`docs/design.md#time`). A *fixed* pattern
//! (no `*` and no step in minute and hour) names local times: each fires once a day, at the first
//! moment after a gap that skips it, and at the first of two occurrences. Any other pattern is
//! *periodic* and follows elapsed time: it fires whenever local time matches, twice where a time is
//! repeated and not at all where it is skipped.
//!
//! `every` counts elapsed time from its anchor, independent of local time. `at` fires once.

use crate::cron::{Cron, PatternError};
use crate::monthly;
use crate::zone::{LocalTimeKind, Zone};
use beadle_model::Timestamp;
use jiff::civil::{Date, DateTime};

/// A parsed pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// `cron`, or `monthly`, which is translated to cron.
    Cron(Cron),
    /// `every`
    Every {
        /// The period in milliseconds, at least one second.
        period_ms: i64,
        /// The time from which periods are counted.
        anchor: TimeSpec,
    },
    /// `at`
    At(TimeSpec),
}

/// A date or time as written in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeSpec {
    /// Local time in the schedule's zone.
    Local(DateTime),
    /// A time with a UTC offset.
    Exact(Timestamp),
}

/// A time that a pattern matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The instant.
    pub at: Timestamp,
    /// The local time that the pattern matched. In a gap it differs from the local time at `at`.
    pub wall: DateTime,
    /// Whether that local time is skipped or repeated.
    pub kind: LocalTimeKind,
}

/// The length of a date without a time.
const DATE_LEN: usize = "2026-12-24".len();

/// The default anchor of `every`: midnight on a Monday, so that whole weeks begin on one.
pub const DEFAULT_ANCHOR: DateTime = jiff::civil::datetime(2001, 1, 1, 0, 0, 0, 0);

/// Clock changes that a search crosses before it gives up: more than any zone has in a century
/// (Morocco has 4 a year).
const MAX_CLOCK_CHANGES: usize = 500;

impl Pattern {
    /// Parses `cron`.
    ///
    /// # Errors
    /// If the text is not a pattern, or the pattern never matches.
    pub fn cron(text: &str) -> Result<Self, PatternError> {
        Cron::parse(text).map(Self::Cron)
    }

    /// Parses `monthly`.
    ///
    /// # Errors
    /// If the text is not understood.
    pub fn monthly(text: &str) -> Result<Self, PatternError> {
        Cron::parse(&monthly::cron(text)?).map(Self::Cron)
    }

    /// The first matching time after `after`; `None` if there is none.
    pub fn next(&self, zone: &Zone, after: Timestamp) -> Option<Moment> {
        match self {
            Pattern::Cron(cron) if cron.fixed => fixed(cron, zone, after),
            Pattern::Cron(cron) => periodic(cron, zone, after),
            Pattern::Every { period_ms, anchor } => {
                let period_ms = (*period_ms).max(1000);
                let anchor = anchor.in_zone(zone).0;
                let periods = after.since_ms(anchor).div_euclid(period_ms).checked_add(1)?;
                let at = anchor.plus_ms(periods.checked_mul(period_ms)?);
                Some(Moment { at, wall: zone.wall(at), kind: LocalTimeKind::Unique })
            }
            Pattern::At(time) => {
                let (at, kind) = time.in_zone(zone);
                let wall = if let TimeSpec::Local(wall) = time { *wall } else { zone.wall(at) };
                (at > after).then_some(Moment { at, wall, kind })
            }
        }
    }
}

impl TimeSpec {
    /// Parses `2026-12-24T18:00` with or without an offset, or a date alone. The flag is true for a
    /// date alone.
    pub fn parse(text: &str) -> Option<(Self, bool)> {
        if let Ok(date) = text.parse::<Date>()
            && text.len() <= DATE_LEN
        {
            return Some((TimeSpec::Local(date.at(0, 0, 0, 0)), true));
        }
        let exact = text.parse::<jiff::Timestamp>().ok().map(|at| TimeSpec::Exact(Timestamp(at.as_millisecond())));
        let local = || text.parse::<DateTime>().ok().map(TimeSpec::Local);
        Some((exact.or_else(local)?, false))
    }

    /// The instant, given the zone for local times.
    pub fn in_zone(self, zone: &Zone) -> (Timestamp, LocalTimeKind) {
        match self {
            TimeSpec::Local(wall) => zone.resolve(wall),
            TimeSpec::Exact(at) => (at, LocalTimeKind::Unique),
        }
    }
}

/// Matches local times and resolves each in the zone. Resolving is monotonic, so earlier local
/// times are past.
fn fixed(cron: &Cron, zone: &Zone, after: Timestamp) -> Option<Moment> {
    let mut from = next_second(zone.wall(after))?;
    loop {
        let wall = cron.fields.first_from(from)?;
        let (at, kind) = zone.resolve(wall);
        if at > after {
            return Some(Moment { at, wall, kind });
        }
        // `after` is in the second pass through a repeated hour; what matches there fired in the
        // first pass.
        from = next_second(wall)?;
    }
}

/// Matches local times that occur: between two clock changes local time advances with elapsed time.
fn periodic(cron: &Cron, zone: &Zone, after: Timestamp) -> Option<Moment> {
    let mut from = after;
    let mut wall = next_second(zone.wall(after))?;
    for _ in 0..MAX_CLOCK_CHANGES {
        let offset_ms = zone.offset_ms(from);
        let change = zone.change_after(from);
        let matched = cron.fields.first_from(wall)?;
        let at = utc(matched)?.plus_ms(-offset_ms);
        match change {
            Some(change) if at >= change => {
                from = change;
                wall = zone.wall(change);
            }
            _ => return Some(Moment { at, wall: matched, kind: zone.resolve(matched).1 }),
        }
    }
    None
}

fn next_second(wall: DateTime) -> Option<DateTime> {
    wall.checked_add(jiff::SignedDuration::from_secs(1)).ok()
}

/// The instant at which UTC shows this time.
fn utc(wall: DateTime) -> Option<Timestamp> {
    let at = jiff::tz::Offset::UTC.to_timestamp(wall).ok()?;
    Some(Timestamp(at.as_millisecond()))
}

#[cfg(test)]
pub(crate) mod tests;
