//! Reading one field: its items between commas, each a number, a name, a range or a step, or what only days have.

use super::{Field, Item, MONTHS, Unreadable, WEEKDAYS};

impl Field {
    /// From where to where, what it is called, and what may stand there.
    fn about(self) -> (u32, u32, &'static str, &'static str) {
        match self {
            Field::Second => (0, 59, "second", "write 0 to 59, such as 0, 0-29, */15 or 0,30"),
            Field::Minute => (0, 59, "minute", "write 0 to 59, such as 0, 0-29, */15 or 0,30"),
            Field::Hour => (0, 23, "hour", "write 0 to 23, such as 9, 8-17 or */4"),
            Field::Day => (
                1,
                31,
                "day of month",
                "write 1 to 31, L for the last day, LW for the last from Monday to Friday, or 15W for the one nearest the 15th",
            ),
            Field::Month => (1, 12, "month", "write 1 to 12 or JAN to DEC"),
            Field::Weekday => (
                0,
                7,
                "day of week",
                "write 0 to 7 or SUN to SAT (0 and 7 are Sunday), FRI#2 for the second Friday, or FRIL for the last",
            ),
        }
    }

    pub(super) fn read(self, text: &str) -> Result<Vec<Item>, Unreadable> {
        text.split(',').map(|item| self.item(item).map_err(|why| self.mistake(item, why))).collect()
    }

    fn mistake(self, item: &str, why: String) -> Unreadable {
        let (.., name, hint) = self.about();
        let what = if item.is_empty() {
            format!("the {name} has an empty item")
        } else {
            format!("the {name} `{item}` {why}")
        };
        Unreadable { what, hint: hint.into() }
    }

    fn item(self, text: &str) -> Result<Item, String> {
        if let Some(item) = self.of_days(text) {
            return item;
        }
        let (range, step) = match text.split_once('/') {
            Some((range, step)) => {
                (range, Some(number(step).filter(|step| *step > 0).ok_or("has no step after the /")?))
            }
            None => (text, None),
        };
        let (least, most, ..) = self.about();
        if range == "*" || range == "?" && matches!(self, Field::Day | Field::Weekday) {
            // Sunday is in it once.
            let to = if self == Field::Weekday { 6 } else { most };
            return Ok(Item::Range { from: least, to, step: step.unwrap_or(1), star: true });
        }
        let (from, to) = match range.split_once('-') {
            Some((from, to)) => (self.value(from)?, self.upper(to)?),
            None if step.is_some() => return Err(format!("steps from a single number: write {range}-{most} or *")),
            None => self.value(range).map(|value| (value, value))?,
        };
        if from > to {
            return Err("runs backwards".into());
        }
        Ok(Item::Range { from, to, step: step.unwrap_or(1), star: false })
    }

    /// What only days have.
    fn of_days(self, text: &str) -> Option<Result<Item, String>> {
        let upper = text.to_ascii_uppercase();
        match self {
            Field::Day if upper == "L" => Some(Ok(Item::Last { before: 0 })),
            Field::Day if upper == "LW" => Some(Ok(Item::LastWorking)),
            Field::Day if upper.starts_with("L-") => {
                let before = upper.strip_prefix("L-").and_then(number).filter(|before| (1..=30).contains(before));
                Some(before.map(|before| Item::Last { before }).ok_or_else(|| "has 1 to 30 after L-".into()))
            }
            Field::Day => upper.strip_suffix('W').map(|day| self.value(day).map(Item::Nearest)),
            Field::Weekday => {
                let one = |name: &str| self.value(name).map(|weekday| weekday % 7);
                if let Some((name, nth)) = upper.split_once('#') {
                    let nth = number(nth).filter(|nth| (1..=5).contains(nth));
                    let nth = nth.ok_or_else(|| "has 1 to 5 after the #".into());
                    return Some(nth.and_then(|nth| Ok(Item::Nth { weekday: one(name)?, nth })));
                }
                upper.strip_suffix('L').map(|name| one(name).map(Item::LastOf))
            }
            _ => None,
        }
    }

    /// The end of a range: there Sunday is the seventh day.
    fn upper(self, text: &str) -> Result<u32, String> {
        let value = self.value(text)?;
        let is_sunday = self == Field::Weekday && value == 0 && !text.starts_with('0');
        Ok(if is_sunday { 7 } else { value })
    }

    /// A number or a name.
    fn value(self, text: &str) -> Result<u32, String> {
        let (least, most, ..) = self.about();
        let named = |names: &[&str], first: u32| {
            (first..).zip(names).find(|(_, name)| name.eq_ignore_ascii_case(text)).map(|(value, _)| value)
        };
        let value = match self {
            Field::Month => named(&MONTHS, 1),
            Field::Weekday => named(&WEEKDAYS, 0),
            _ => None,
        };
        let value = value.or_else(|| number(text)).ok_or("cannot be read")?;
        if (least..=most).contains(&value) { Ok(value) } else { Err(format!("is not from {least} to {most}")) }
    }
}

/// Digits and nothing else, so that `+5` is none.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}
