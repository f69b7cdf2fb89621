//! The fields of a cron pattern as bit sets, and the search for the next local time that they
//! match.
//!
//! Every day rule (`L`, `15W`, `FRI#2`, day or weekday) depends only on the length of the month and
//! the weekday of its first day. There are 28 combinations, so a pattern stores the matching days
//! of each; a search is a few bit operations, and a pattern takes 144 bytes regardless of its
//! rules.
//!
//! Local time here has no gaps and no repetitions. Mapping a match to an instant is done by `zone`
//! and `pattern`.

use jiff::civil::{Date, DateTime, Time};

/// Months that are searched. The longest wait for a matching day is 40 years (29 February on a
/// given weekday, across a year such as 2100); a pattern without a match in a century never
/// matches.
const MONTHS: u32 = 100 * 12;

/// The matching values of each field; bit n stands for the value n.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fields {
    pub seconds: u64,
    pub minutes: u64,
    pub hours: u64,
    pub months: u64,
    pub days: Days,
}

/// The matching days of each kind of month: by length minus 28, then by the weekday of the first
/// day.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Days([[u32; 7]; 4]);

impl std::fmt::Debug for Days {
    /// Omits the 28 sets, which are not readable.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Days(..)")
    }
}

/// What day rules depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Month {
    /// The number of days, 28 to 31.
    pub length: u32,
    /// The weekday of the first day; 0 is Sunday.
    pub begins: u32,
}

impl Month {
    pub fn containing(date: Date) -> Self {
        let begins = date.first_of_month().weekday().to_sunday_zero_offset();
        Self { length: small(date.days_in_month()), begins: small(begins) }
    }

    /// The weekday of a day in the month; 0 is Sunday.
    pub fn weekday(self, day: u32) -> u32 {
        (self.begins + day + 6) % 7
    }
}

impl Days {
    /// Evaluates a rule for every day of every kind of month.
    pub fn new(matches: impl Fn(Month, u32) -> bool) -> Self {
        let mut days = [[0; 7]; 4];
        for (length, of_length) in (28..).zip(&mut days) {
            for (begins, set) in (0..).zip(of_length) {
                let month = Month { length, begins };
                *set = (1..=length).filter(|day| matches(month, *day)).fold(0, |set, day| set | 1 << day);
            }
        }
        Self(days)
    }

    /// The matching days in the month of `date`.
    fn in_month_of(&self, date: Date) -> u64 {
        let Month { length, begins } = Month::containing(date);
        let set = self.0.get(length.saturating_sub(28) as usize).and_then(|days| days.get(begins as usize));
        set.copied().unwrap_or(0).into()
    }
}

impl Fields {
    /// The first match at or after `from`; `None` if there is none within a century.
    pub fn first_from(&self, from: DateTime) -> Option<DateTime> {
        let date = from.date();
        let today = at_least(self.days_of(date), small(date.day())) == Some(small(date.day()));
        if today && let Some(time) = self.time_from(from.time()) {
            return Some(date.to_datetime(time));
        }
        let time = self.time_from(Time::midnight())?;
        let (mut month, mut day) = (date.first_of_month(), small(date.day()) + 1);
        for _ in 0..MONTHS {
            if let Some(found) = at_least(self.days_of(month), day) {
                let date = Date::new(month.year(), month.month(), i8::try_from(found).ok()?).ok()?;
                return Some(date.to_datetime(time));
            }
            month = month.last_of_month().tomorrow().ok()?;
            day = 1;
        }
        None
    }

    /// The matching days in the month of `date`; empty if the month does not match.
    fn days_of(&self, date: Date) -> u64 {
        if self.months & (1 << date.month()) == 0 { 0 } else { self.days.in_month_of(date) }
    }

    /// The first matching time of day at or after `from`.
    fn time_from(&self, from: Time) -> Option<Time> {
        let (hour, minute, second) = (small(from.hour()), small(from.minute()), small(from.second()));
        let (first_minute, first_second) = (at_least(self.minutes, 0)?, at_least(self.seconds, 0)?);
        if at_least(self.hours, hour) == Some(hour) {
            if at_least(self.minutes, minute) == Some(minute)
                && let Some(second) = at_least(self.seconds, second)
            {
                return time(hour, minute, second);
            }
            if let Some(minute) = at_least(self.minutes, minute + 1) {
                return time(hour, minute, first_second);
            }
        }
        time(at_least(self.hours, hour + 1)?, first_minute, first_second)
    }
}

/// The smallest value in a set that is at least `from`.
fn at_least(set: u64, from: u32) -> Option<u32> {
    let rest = set & u64::MAX.checked_shl(from)?;
    (rest != 0).then(|| rest.trailing_zeros())
}

fn time(hour: u32, minute: u32, second: u32) -> Option<Time> {
    let small = |number: u32| i8::try_from(number).ok();
    Time::new(small(hour)?, small(minute)?, small(second)?, 0).ok()
}

/// Converts a component of a date or time, which is never negative.
fn small(part: i8) -> u32 {
    u32::try_from(part).unwrap_or(0)
}
