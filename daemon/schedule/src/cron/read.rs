//! Parses one field: a list of numbers, names, ranges and steps, and the special forms of the day
//! fields.

use super::{Field, Item, MONTHS, PatternError, WEEKDAYS};

impl Field {
    /// The minimum, the maximum, the name, and what is expected.
    fn spec(self) -> (u32, u32, &'static str, &'static str) {
        match self {
            Field::Second => (0, 59, "second", "must be 0 to 59, such as 0, 0-29, */15 or 0,30"),
            Field::Minute => (0, 59, "minute", "must be 0 to 59, such as 0, 0-29, */15 or 0,30"),
            Field::Hour => (0, 23, "hour", "must be 0 to 23, such as 9, 8-17 or */4"),
            Field::Day => (
                1,
                31,
                "day of month",
                "must be 1 to 31, L for the last day, LW for the last weekday, or 15W for the weekday nearest the 15th",
            ),
            Field::Month => (1, 12, "month", "must be 1 to 12 or JAN to DEC"),
            Field::Weekday => (
                0,
                7,
                "day of week",
                "must be 0 to 7 or SUN to SAT (0 and 7 are Sunday), FRI#2 for the second Friday, or FRIL for the last",
            ),
        }
    }

    pub(super) fn parse(self, text: &str) -> Result<Vec<Item>, PatternError> {
        text.split(',').map(|item| self.item(item).map_err(|reason| self.error(item, &reason))).collect()
    }

    fn error(self, item: &str, reason: &str) -> PatternError {
        let (.., name, hint) = self.spec();
        let problem = if item.is_empty() {
            format!("the {name} has an empty list item")
        } else {
            format!("the {name} `{item}` {reason}")
        };
        PatternError { problem, hint: hint.into() }
    }

    fn item(self, text: &str) -> Result<Item, String> {
        if let Some(item) = self.day_item(text) {
            return item;
        }
        let (range, step) = match text.split_once('/') {
            Some((range, step)) => {
                (range, Some(number(step).filter(|step| *step > 0).ok_or("must have a number above 0 after the `/`")?))
            }
            None => (text, None),
        };
        let (least, most, ..) = self.spec();
        if range == "*" || range == "?" && matches!(self, Field::Day | Field::Weekday) {
            // Sunday counts once.
            let to = if self == Field::Weekday { 6 } else { most };
            return Ok(Item::Range { from: least, to, step: step.unwrap_or(1), star: true });
        }
        let (from, to) = match range.split_once('-') {
            Some((from, to)) => (self.value(from)?, self.range_end(to)?),
            None if step.is_some() => return Err(format!("has a step on a single number: use {range}-{most} or *")),
            None => self.value(range).map(|value| (value, value))?,
        };
        if from > to {
            return Err("is a reversed range".into());
        }
        Ok(Item::Range { from, to, step: step.unwrap_or(1), star: false })
    }

    /// Parses the forms that only the day and weekday fields have.
    fn day_item(self, text: &str) -> Option<Result<Item, String>> {
        let upper = text.to_ascii_uppercase();
        match self {
            Field::Day if upper == "L" => Some(Ok(Item::Last { before: 0 })),
            Field::Day if upper == "LW" => Some(Ok(Item::LastWorking)),
            Field::Day if upper.starts_with("L-") => {
                let before = upper.strip_prefix("L-").and_then(number).filter(|before| (1..=30).contains(before));
                Some(before.map(|before| Item::Last { before }).ok_or_else(|| "must have 1 to 30 after `L-`".into()))
            }
            Field::Day => upper.strip_suffix('W').map(|day| self.value(day).map(Item::Nearest)),
            Field::Weekday => {
                let one = |name: &str| self.value(name).map(|weekday| weekday % 7);
                if let Some((name, nth)) = upper.split_once('#') {
                    let nth = number(nth).filter(|nth| (1..=5).contains(nth));
                    let nth = nth.ok_or_else(|| "must have 1 to 5 after the `#`".into());
                    return Some(nth.and_then(|nth| Ok(Item::Nth { weekday: one(name)?, nth })));
                }
                upper.strip_suffix('L').map(|name| one(name).map(Item::LastOf))
            }
            _ => None,
        }
    }

    /// Parses the end of a range, where Sunday is day 7.
    fn range_end(self, text: &str) -> Result<u32, String> {
        let value = self.value(text)?;
        let is_sunday = self == Field::Weekday && value == 0 && !text.starts_with('0');
        Ok(if is_sunday { 7 } else { value })
    }

    /// Parses a number or a name.
    fn value(self, text: &str) -> Result<u32, String> {
        let (least, most, ..) = self.spec();
        let named = |names: &[&str], first: u32| {
            (first..).zip(names).find(|(_, name)| name.eq_ignore_ascii_case(text)).map(|(value, _)| value)
        };
        let value = match self {
            Field::Month => named(&MONTHS, 1),
            Field::Weekday => named(&WEEKDAYS, 0),
            _ => None,
        };
        let value = value.or_else(|| number(text)).ok_or("is not valid")?;
        if (least..=most).contains(&value) { Ok(value) } else { Err(format!("must be from {least} to {most}")) }
    }
}

/// Parses ASCII digits only, so that `+5` is rejected.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}
