//! A schedule as it is configured: an entry of `[[schedule]]`, checked and read, and the moments that it plans.
//!
//! Planned is what its pattern matches, from `from` to `until`, without the days that are left out. Whether a planned moment
//! fires is decided when it has come (`policy`).

use crate::days_off::DaysOff;
use crate::pattern::{Moment, Pattern, When};
use crate::zone::Zone;
use beadle_model::Timestamp;
use jiff::civil::Date;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

/// Days in a row that are left out, after which nothing is expected to come any more: a century of holidays.
const DAYS_OFF_IN_A_ROW: usize = 36_525;

/// An entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Its identity.
    pub name: Arc<str>,
    /// The name that it had before; its history goes on under the new one.
    pub renamed_from: Option<String>,
    /// The key of its pattern and what stands there: `cron` and `0 9 * * MON`.
    pub said: (&'static str, String),
    /// When it fires.
    pub pattern: Pattern,
    /// In which zone, or in which zones.
    pub zones: Zones,
    /// For whom: plugins by name.
    pub plugins: Vec<String>,
    /// Its first moment is not before this.
    pub from: Option<When>,
    /// Its last moment is not after this.
    pub until: Option<When>,
    /// Days on which it does not fire.
    pub days_off: DaysOff,
    /// Each firing is put off by less than this, in milliseconds.
    pub jitter_ms: i64,
    /// What becomes of moments that were missed.
    pub missed: Missed,
    /// What becomes of a firing while the one before is still being handled.
    pub overlap: Overlap,
    /// Whether it fires at all.
    pub enabled: bool,
    /// What its events carry.
    pub payload: Arc<Value>,
}

/// `timezone`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Zones {
    /// One zone.
    One(Zone),
    /// `"member"`: once in each zone that members live in; those whose zone is not known count as living in this one.
    Members(Zone),
}

/// What becomes of moments that came while nobody was there to fire them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    /// `catch_up`
    pub catch_up: CatchUp,
    /// With `All`: the latest so many.
    pub limit: u32,
    /// What was to be longer ago is not caught up, in milliseconds.
    pub max_age_ms: i64,
    /// A firing that is late by no more than this was not missed, whatever `catch_up` says, in milliseconds.
    pub grace_ms: i64,
}

/// `catch_up`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatchUp {
    /// Nothing is caught up.
    None,
    /// The latest one is.
    Last,
    /// Each is.
    All,
}

/// `overlap`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// It waits its turn.
    Queue,
    /// It is left out.
    Skip,
}

impl Default for Missed {
    /// A minute late is what a restart takes. The last missed one is caught up, within a day: nobody wants a weekly digest to
    /// be lost to a reboot, nor Monday's on Thursday. Ten are what a plugin and its people can bear at once.
    fn default() -> Self {
        const MINUTE_MS: i64 = 60_000;
        Self { catch_up: CatchUp::Last, limit: 10, max_age_ms: 24 * 60 * MINUTE_MS, grace_ms: MINUTE_MS }
    }
}

impl Zones {
    /// The one zone, or that of members whose own is not known.
    pub fn home(&self) -> &Zone {
        match self {
            Zones::One(zone) | Zones::Members(zone) => zone,
        }
    }

    /// As configured.
    pub fn name(&self) -> &str {
        match self {
            Zones::One(zone) => zone.name(),
            Zones::Members(_) => "member",
        }
    }
}

/// What a moment that the pattern matches is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// Planned.
    Planned(Moment),
    /// Left out: not planned, for this reason.
    Off(Moment, &'a str),
}

impl Schedule {
    /// The first planned moment after this one, in a zone; none where none comes any more.
    pub fn next(&self, zone: &Zone, after: Timestamp) -> Option<Moment> {
        let mut after = after;
        for _ in 0..DAYS_OFF_IN_A_ROW {
            match self.next_or_off(zone, after)? {
                Next::Planned(moment) => return Some(moment),
                Next::Off(moment, _) => after = end_of(zone, moment.wall.date())?.max(moment.at),
            }
        }
        None
    }

    /// The first moment that the pattern matches between `from` and `until`, planned or left out.
    pub fn next_or_off(&self, zone: &Zone, after: Timestamp) -> Option<Next<'_>> {
        let before_first = self.from.map(|from| from.on(zone).0.plus_ms(-1));
        let moment = self.pattern.next(zone, before_first.map_or(after, |before| before.max(after)))?;
        if self.until.is_some_and(|until| moment.at > until.on(zone).0) {
            return None;
        }
        Some(match self.days_off.why(moment.wall.date()) {
            Some(why) => Next::Off(moment, why),
            None => Next::Planned(moment),
        })
    }

    /// What decides its moments, as a hash: another one means that it was edited. A change of anything else (its payload,
    /// its plugins, days off) leaves the plan where it stands.
    pub fn plan(&self) -> [u8; 16] {
        let Self { said, zones, pattern, enabled, .. } = self;
        let anchor = if let Pattern::Every { anchor, .. } = pattern { format!("{anchor:?}") } else { String::new() };
        let text = format!("{}={}\n{anchor}\n{}\n{}\n{enabled}", said.0, said.1, zones.name(), zones.home().name());
        hash([text.as_bytes()])
    }

    /// By how much a firing is put off: always the same for one installation, zone and moment.
    pub fn jitter(&self, install: &str, zone: &Zone, planned_at: Timestamp) -> i64 {
        if self.jitter_ms <= 0 {
            return 0;
        }
        let moment = planned_at.as_ms().to_be_bytes();
        let hash = hash([install.as_bytes(), self.name.as_bytes(), zone.name().as_bytes(), &moment]);
        let number = hash.iter().take(7).fold(0, |number: i64, byte| number << 8 | i64::from(*byte));
        number % self.jitter_ms
    }
}

/// The first 16 bytes of SHA-256 over the parts, with zeros between them.
pub(crate) fn hash<const N: usize>(parts: [&[u8]; N]) -> [u8; 16] {
    let digest = parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part).chain_update([0])).finalize();
    digest.first_chunk().copied().unwrap_or_default()
}

/// The last moment of a day in a zone.
fn end_of(zone: &Zone, date: Date) -> Option<Timestamp> {
    let midnight = date.tomorrow().ok()?.at(0, 0, 0, 0);
    Some(zone.place(midnight).0.plus_ms(-1))
}

#[cfg(test)]
pub(crate) mod tests;
