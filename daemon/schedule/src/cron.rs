//! Parses `cron = "0 9 * * MON"`: five fields as in POSIX and Vixie cron, six with seconds first,
//! or a nickname such as `@daily`.
//!
//! Parsing is strict, because a misread pattern is noticed a month later: a weekday name in the
//! month field, an empty list item or a reversed range is an error that names its field. Why not
//! the crates `cron` or `croner`: see the ADR on cron fields in `docs/adr`.
//!
//! Day of month and day of week combine as in Vixie cron: if both are restricted, either may match;
//! if one starts with `*` (`*/2` included), both must match.

use crate::fields::{Days, Fields, Month};

/// A parsed pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    pub(crate) fields: Fields,
    /// No `*` and no step in minute and hour: it names local times, see `pattern`.
    pub(crate) fixed: bool,
}

/// Why a pattern is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; {hint}")]
pub struct PatternError {
    /// What is wrong, such as "the hour `25` must be from 0 to 23".
    pub problem: String,
    /// What is expected.
    pub hint: String,
}

/// A field, in the order of the pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Second,
    Minute,
    Hour,
    Day,
    Month,
    Weekday,
}

/// One item of a field's comma-separated list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// `7`, `1-5`, `*`, `*/15`, `10-40/5`.
    Range { from: u32, to: u32, step: u32, star: bool },
    /// `L`: the last day of the month; `L-2`: two days before it.
    Last { before: u32 },
    /// `LW`: the last day from Monday to Friday.
    LastWorking,
    /// `15W`: the nearest day from Monday to Friday in the same month.
    Nearest(u32),
    /// `FRI#2`: the second Friday.
    Nth { weekday: u32, nth: u32 },
    /// `FRIL`: the last Friday.
    LastOf(u32),
}

/// The fields of a pattern with their items.
pub(crate) type Items = [(Field, Vec<Item>); 6];

const FIELDS: [Field; 6] = [Field::Second, Field::Minute, Field::Hour, Field::Day, Field::Month, Field::Weekday];

/// Nicknames and their patterns.
const NICKNAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * SUN"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

pub(crate) const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];

impl Cron {
    /// Parses a pattern.
    ///
    /// # Errors
    /// If it is malformed, or no day ever matches it (30 February).
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let items = items(text)?;
        let fields = fields(&items);
        let never = fields.first_from(jiff::civil::date(2000, 1, 1).at(0, 0, 0, 0)).is_none();
        if never {
            return Err(PatternError {
                problem: format!("`{}` never matches: no month has such a day", text.trim()),
                hint: "for the last day of every month, use `L`".into(),
            });
        }
        let is_fixed = |(field, items): &(Field, Vec<Item>)| match field {
            Field::Minute | Field::Hour => items.iter().all(Item::is_fixed),
            _ => true,
        };
        Ok(Self { fields, fixed: items.iter().all(is_fixed) })
    }
}

/// Splits a pattern into fields and items.
pub(crate) fn items(text: &str) -> Result<Items, PatternError> {
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    let text = match NICKNAMES.iter().find(|(name, _)| *name == lower) {
        Some((_, pattern)) => pattern,
        None if text.starts_with('@') => {
            let names: Vec<&str> = NICKNAMES.iter().map(|(name, _)| *name).collect();
            let problem = format!("unknown nickname `{text}`");
            return Err(PatternError { problem, hint: format!("must be one of {}", names.join(", ")) });
        }
        None => text,
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    let with_seconds = match words.len() {
        5 => false,
        6 => true,
        count => {
            return Err(PatternError {
                problem: format!("`{text}` has {count} fields"),
                hint: "must have five fields (minute, hour, day of month, month, day of week), such as \"0 9 * * MON\", or six with seconds first".into(),
            });
        }
    };
    let mut words = words.into_iter();
    let mut items = FIELDS.map(|field| (field, Vec::new()));
    for (field, items) in &mut items {
        let word = if *field == Field::Second && !with_seconds { Some("0") } else { words.next() };
        *items = field.parse(word.unwrap_or_default())?;
    }
    Ok(items)
}

fn fields(items: &Items) -> Fields {
    let [(_, seconds), (_, minutes), (_, hours), (_, days), (_, months), (_, weekdays)] = items;
    let set = |items: &[Item]| items.iter().fold(0, |set, item| set | item.set());
    // As in Vixie cron, a star with a step is a star.
    let starred = |items: &[Item]| matches!(items, [Item::Range { star: true, .. }, ..]);
    let both = starred(days) || starred(weekdays);
    let matches = |month: Month, day: u32| {
        let by_day = days.iter().any(|item| item.has_day(month, day));
        let by_weekday = weekdays.iter().any(|item| item.has_weekday(month, day));
        if both { by_day && by_weekday } else { by_day || by_weekday }
    };
    Fields {
        seconds: set(seconds),
        minutes: set(minutes),
        hours: set(hours),
        months: set(months),
        days: Days::new(matches),
    }
}

/// Whether a field is a plain `*`.
pub(crate) fn is_star(items: &[Item]) -> bool {
    matches!(items, [Item::Range { star: true, step: 1, .. }])
}

impl Item {
    fn is_fixed(&self) -> bool {
        matches!(self, Item::Range { step: 1, star: false, .. })
    }

    /// The values of a range as a bit set.
    pub fn set(&self) -> u64 {
        match *self {
            Item::Range { from, to, step, .. } => {
                (from..=to).step_by(step.max(1) as usize).fold(0, |set, number| set | 1 << number)
            }
            _ => 0,
        }
    }

    /// Whether a day of the month matches this item of the day field.
    fn has_day(&self, month: Month, day: u32) -> bool {
        match *self {
            Item::Range { .. } => self.set() & (1 << day) != 0,
            Item::Last { before } => day + before == month.length,
            Item::LastWorking => day == nearest(month, month.length),
            Item::Nearest(wanted) => wanted <= month.length && day == nearest(month, wanted),
            Item::Nth { .. } | Item::LastOf(_) => false,
        }
    }

    /// Whether a day of the month matches this item of the weekday field.
    fn has_weekday(&self, month: Month, day: u32) -> bool {
        let weekday = month.weekday(day);
        match *self {
            // 0 and 7 are both Sunday.
            Item::Range { .. } => self.set() & (1 << weekday) != 0 || weekday == 0 && self.set() & (1 << 7) != 0,
            Item::Nth { weekday: wanted, nth } => weekday == wanted && day.div_ceil(7) == nth,
            Item::LastOf(wanted) => weekday == wanted && day + 7 > month.length,
            Item::Last { .. } | Item::LastWorking | Item::Nearest(_) => false,
        }
    }
}

/// The day from Monday to Friday nearest to `day` in the same month.
fn nearest(month: Month, day: u32) -> u32 {
    match month.weekday(day) {
        6 if day > 1 => day - 1,
        6 => day + 2,
        0 if day < month.length => day + 1,
        0 => day - 2,
        _ => day,
    }
}

mod read;

#[cfg(test)]
mod tests;
