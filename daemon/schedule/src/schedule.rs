//! A validated `[[schedule]]` entry and the times that it plans.
//!
//! Planned are the times that its pattern matches from `from` to `until`, both inclusive, except on
//! excluded days. Whether a planned time fires is decided by `policy` once it has passed. No I/O,
//! no clock.

use crate::days_off::DaysOff;
use crate::pattern::{Moment, Pattern, TimeSpec};
use crate::zone::Zone;
use beadle_model::Timestamp;
use jiff::civil::Date;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

/// The search gives up after this many excluded matches in a row: one a day for a century.
const MAX_EXCLUDED_IN_A_ROW: usize = 36_525;

/// A `[[schedule]]` entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Its name, which is its identity.
    pub name: Arc<str>,
    /// `renamed_from`: its history continues under the new name.
    pub renamed_from: Option<String>,
    /// The pattern's key and text, such as `cron` and `0 9 * * MON`.
    pub source: (&'static str, String),
    /// The parsed pattern.
    pub pattern: Pattern,
    /// `timezone`
    pub zones: Zones,
    /// The names of the plugins that it fires for.
    pub plugins: Vec<String>,
    /// The earliest planned time.
    pub from: Option<TimeSpec>,
    /// The latest planned time.
    pub until: Option<TimeSpec>,
    /// Excluded days.
    pub days_off: DaysOff,
    /// Upper bound of the delay added to each firing, in milliseconds.
    pub jitter_ms: i64,
    /// What happens to planned times that were missed.
    pub catch_up: CatchUpPolicy,
    /// What happens when the previous firing is still being handled.
    pub overlap: Overlap,
    /// A disabled schedule does not fire.
    pub enabled: bool,
    /// Passed to the plugin with each event.
    pub payload: Arc<Value>,
}

/// `timezone`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Zones {
    /// One zone.
    One(Zone),
    /// `"member"`: once in each zone that members live in. Members whose zone is unknown count as
    /// living in this one.
    Members(Zone),
}

/// What happens to times that passed while the daemon or the plugin was unavailable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatchUpPolicy {
    /// `catch_up`
    pub mode: CatchUpMode,
    /// `catch_up_limit`, for `All`: the maximum number, counted from the latest.
    pub limit: u32,
    /// `catch_up_max_age`: older ones are not caught up, in milliseconds.
    pub max_age_ms: i64,
    /// `grace`: a firing that is late by at most this is on time, in milliseconds.
    pub grace_ms: i64,
}

/// `catch_up`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatchUpMode {
    /// Nothing is caught up.
    None,
    /// The latest missed time is caught up.
    Last,
    /// All missed times are caught up.
    All,
}

/// `overlap`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// It waits for the previous one.
    Queue,
    /// It is skipped.
    Skip,
}

impl Default for CatchUpPolicy {
    /// A restart takes up to a minute. The last missed time is caught up within a day: a weekly
    /// digest should survive a reboot, but Monday's should not arrive on Thursday. Ten are as many
    /// as a plugin and its readers can take at once.
    fn default() -> Self {
        const MINUTE_MS: i64 = 60_000;
        Self { mode: CatchUpMode::Last, limit: 10, max_age_ms: 24 * 60 * MINUTE_MS, grace_ms: MINUTE_MS }
    }
}

impl Zones {
    /// The one zone, or the default for members whose zone is unknown.
    pub fn home(&self) -> &Zone {
        match self {
            Zones::One(zone) | Zones::Members(zone) => zone,
        }
    }

    /// The value of `timezone`.
    pub fn name(&self) -> &str {
        match self {
            Zones::One(zone) => zone.name(),
            Zones::Members(_) => "member",
        }
    }
}

/// A time that the pattern matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextMoment<'a> {
    /// It is planned.
    Planned(Moment),
    /// It falls on an excluded day. The text is the reason: a holiday's name, or `except`.
    Excluded(Moment, &'a str),
}

impl Schedule {
    /// The first planned time after `after` in a zone; `None` if there is none.
    pub fn next(&self, zone: &Zone, after: Timestamp) -> Option<Moment> {
        let mut after = after;
        for _ in 0..MAX_EXCLUDED_IN_A_ROW {
            match self.next_match(zone, after)? {
                NextMoment::Planned(moment) => return Some(moment),
                NextMoment::Excluded(moment, _) => after = end_of(zone, moment.wall.date())?.max(moment.at),
            }
        }
        None
    }

    /// The first time after `after` that the pattern matches between `from` and `until`, planned or
    /// excluded.
    pub fn next_match(&self, zone: &Zone, after: Timestamp) -> Option<NextMoment<'_>> {
        let before_first = self.from.map(|from| from.in_zone(zone).0.plus_ms(-1));
        let moment = self.pattern.next(zone, before_first.map_or(after, |before| before.max(after)))?;
        if self.until.is_some_and(|until| moment.at > until.in_zone(zone).0) {
            return None;
        }
        Some(match self.days_off.reason(moment.wall.date()) {
            Some(reason) => NextMoment::Excluded(moment, reason),
            None => NextMoment::Planned(moment),
        })
    }

    /// The pattern as cron text, if it is one (`cron` or `monthly`).
    pub(crate) fn cron_text(&self) -> Option<String> {
        let (key, text) = &self.source;
        match (&self.pattern, *key) {
            (Pattern::Cron(_), "monthly") => crate::monthly::cron(text).ok(),
            (Pattern::Cron(_), _) => Some(text.clone()),
            _ => None,
        }
    }

    /// A hash of the settings that determine its planned times. If it changes, the schedule was
    /// edited and its plan starts again; other changes (payload, plugins, excluded days, jitter)
    /// keep its progress.
    pub fn plan_hash(&self) -> [u8; 16] {
        let Self { source, zones, pattern, enabled, .. } = self;
        let anchor = if let Pattern::Every { anchor, .. } = pattern { format!("{anchor:?}") } else { String::new() };
        let text = format!("{}={}\n{anchor}\n{}\n{}\n{enabled}", source.0, source.1, zones.name(), zones.home().name());
        hash([text.as_bytes()])
    }

    /// The delay of a firing in milliseconds; constant for one installation, zone and planned time.
    pub fn jitter(&self, install: &str, zone: &Zone, planned_at: Timestamp) -> i64 {
        if self.jitter_ms <= 0 {
            return 0;
        }
        let at = planned_at.as_ms().to_be_bytes();
        let hash = hash([install.as_bytes(), self.name.as_bytes(), zone.name().as_bytes(), &at]);
        let number = hash.iter().take(7).fold(0, |number: i64, byte| number << 8 | i64::from(*byte));
        number % self.jitter_ms
    }
}

/// The first 16 bytes of SHA-256 over the parts, each followed by a zero byte.
pub(crate) fn hash<const N: usize>(parts: [&[u8]; N]) -> [u8; 16] {
    let digest = parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part).chain_update([0])).finalize();
    digest.first_chunk().copied().unwrap_or_default()
}

/// The last millisecond of a day in a zone.
fn end_of(zone: &Zone, date: Date) -> Option<Timestamp> {
    let midnight = date.tomorrow().ok()?.at(0, 0, 0, 0);
    Some(zone.resolve(midnight).0.plus_ms(-1))
}

#[cfg(test)]
pub(crate) mod tests;
