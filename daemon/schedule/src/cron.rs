//! `cron = "0 9 * * MON"`: five fields as in POSIX and Vixie's cron, six with seconds first, and `@daily` and its like.
//!
//! Reading is strict, since a pattern that means something else than its writer thought is found out a month later: a
//! weekday's name in the month's field, an empty item in a list or a range that runs backwards is a mistake that names its
//! field. (The crate croner 4 reads `0 9 * MON *` as January. It keeps 5 KB a pattern and brings a dozen crates; what it
//! would do here is this file.)
//!
//! Day of month and day of week join as Vixie's do: where both say something, either will do; where one begins with `*`,
//! both have to.

use crate::fields::{Days, Fields, Month};

/// A pattern that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    pub(crate) fields: Fields,
    /// No `*` and no step in minute and hour: its local times are kept at clock changes.
    pub(crate) fixed: bool,
}

/// Why a pattern cannot be read: what is wrong, and what could stand there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {hint}")]
pub struct Unreadable {
    /// Such as "the hour `25` is not from 0 to 23".
    pub what: String,
    /// What to write instead.
    pub hint: String,
}

/// A field, in the order in which they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Second,
    Minute,
    Hour,
    Day,
    Month,
    Weekday,
}

/// One of the things between commas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// `7`, `1-5`, `*`, `*/15`, `10-40/5`.
    Range { from: u32, to: u32, step: u32, star: bool },
    /// `L`: the last day of the month; `L-2`: so many days before it.
    Last { before: u32 },
    /// `LW`: the last day from Monday to Friday.
    LastWorking,
    /// `15W`: the day from Monday to Friday that is nearest, in the same month.
    Nearest(u32),
    /// `FRI#2`: the second Friday.
    Nth { weekday: u32, nth: u32 },
    /// `FRIL`: the last Friday.
    LastOf(u32),
}

/// Each field with its items.
pub(crate) type Items = [(Field, Vec<Item>); 6];

const FIELDS: [Field; 6] = [Field::Second, Field::Minute, Field::Hour, Field::Day, Field::Month, Field::Weekday];

/// Names that stand for a pattern.
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
    /// Reads a pattern.
    ///
    /// # Errors
    /// Where it is none, or one that no day ever matches (30 February).
    pub fn read(text: &str) -> Result<Self, Unreadable> {
        let items = items(text)?;
        let fields = fields(&items);
        let never = fields.first_from(jiff::civil::date(2000, 1, 1).at(0, 0, 0, 0)).is_none();
        if never {
            return Err(Unreadable {
                what: format!("`{}` never comes: no month has such a day", text.trim()),
                hint: "`L` is the last day of whatever month".into(),
            });
        }
        let is_fixed = |(field, items): &(Field, Vec<Item>)| match field {
            Field::Minute | Field::Hour => items.iter().all(Item::is_fixed),
            _ => true,
        };
        Ok(Self { fields, fixed: items.iter().all(is_fixed) })
    }
}

/// The fields of a pattern, each with its items.
pub(crate) fn items(text: &str) -> Result<Items, Unreadable> {
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    let text = match NICKNAMES.iter().find(|(name, _)| *name == lower) {
        Some((_, pattern)) => pattern,
        None if text.starts_with('@') => {
            let names: Vec<&str> = NICKNAMES.iter().map(|(name, _)| *name).collect();
            let what = format!("there is no `{text}`");
            return Err(Unreadable { what, hint: format!("names are {}", names.join(", ")) });
        }
        None => text,
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    let with_seconds = match words.len() {
        5 => false,
        6 => true,
        count => {
            return Err(Unreadable {
                what: format!("`{text}` has {count} fields"),
                hint: "write five: minute, hour, day of month, month, day of week, such as \"0 9 * * MON\"; or six, with seconds first".into(),
            });
        }
    };
    let mut words = words.into_iter();
    let mut items = FIELDS.map(|field| (field, Vec::new()));
    for (field, items) in &mut items {
        let word = if *field == Field::Second && !with_seconds { Some("0") } else { words.next() };
        *items = field.read(word.unwrap_or_default())?;
    }
    Ok(items)
}

fn fields(items: &Items) -> Fields {
    let [(_, seconds), (_, minutes), (_, hours), (_, days), (_, months), (_, weekdays)] = items;
    let set = |items: &[Item]| items.iter().fold(0, |set, item| set | item.set());
    // As in Vixie's cron a step on a star is a star too.
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

impl Item {
    fn is_fixed(&self) -> bool {
        matches!(self, Item::Range { step: 1, star: false, .. })
    }

    /// The numbers of a range, as bits.
    pub fn set(&self) -> u64 {
        match *self {
            Item::Range { from, to, step, .. } => {
                (from..=to).step_by(step.max(1) as usize).fold(0, |set, number| set | 1 << number)
            }
            _ => 0,
        }
    }

    /// Whether a day is one of these days of the month.
    fn has_day(&self, month: Month, day: u32) -> bool {
        match *self {
            Item::Range { .. } => self.set() & (1 << day) != 0,
            Item::Last { before } => day + before == month.length,
            Item::LastWorking => day == nearest(month, month.length),
            Item::Nearest(wanted) => wanted <= month.length && day == nearest(month, wanted),
            Item::Nth { .. } | Item::LastOf(_) => false,
        }
    }

    /// Whether a day is one of these weekdays.
    fn has_weekday(&self, month: Month, day: u32) -> bool {
        let weekday = month.weekday(day);
        match *self {
            // 7 is Sunday too.
            Item::Range { .. } => self.set() & (1 << weekday) != 0 || weekday == 0 && self.set() & (1 << 7) != 0,
            Item::Nth { weekday: wanted, nth } => weekday == wanted && day.div_ceil(7) == nth,
            Item::LastOf(wanted) => weekday == wanted && day + 7 > month.length,
            Item::Last { .. } | Item::LastWorking | Item::Nearest(_) => false,
        }
    }
}

/// The day from Monday to Friday that is nearest to a day, in the same month.
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
