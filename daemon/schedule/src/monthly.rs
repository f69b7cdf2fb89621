//! Translates `monthly = "last friday 17:00"` into a cron pattern.

use crate::cron::{PatternError, WEEKDAYS};

/// The expected form, for errors.
const HINT: &str = "must be a day and a time, such as \"last friday 17:00\", \"first monday 9:00\", \"15 08:30\", \"last day 18:00\" or \"last weekday 17:00\"";

const ORDINALS: [(&str, u32); 10] = [
    ("first", 1),
    ("second", 2),
    ("third", 3),
    ("fourth", 4),
    ("fifth", 5),
    ("1st", 1),
    ("2nd", 2),
    ("3rd", 3),
    ("4th", 4),
    ("5th", 5),
];

/// Returns the equivalent cron pattern.
pub(crate) fn cron(text: &str) -> Result<String, PatternError> {
    let lower = text.to_ascii_lowercase();
    let mut words: Vec<&str> = lower.split_whitespace().filter(|word| !matches!(*word, "the" | "at" | "on")).collect();
    let error = |reason: &str| PatternError { problem: format!("`{text}` {reason}"), hint: HINT.into() };
    let (hour, minute) = words.pop().and_then(time).ok_or_else(|| error("must end with a time of day"))?;
    let day = days(&words).ok_or_else(|| error("does not name a day of the month"))?;
    Ok(format!("{minute} {hour} {day}"))
}

/// `17:00`, `9:05`
fn time(word: &str) -> Option<(u32, u32)> {
    let (hour, minute) = word.split_once(':')?;
    let number = |text: &str, below: u32| text.parse().ok().filter(|number| *number < below);
    let well_formed = minute.len() == 2 && (1..=2).contains(&hour.len());
    well_formed.then_some(())?;
    Some((number(hour, 24)?, number(minute, 60)?))
}

/// The day, month and weekday fields of the pattern.
fn days(words: &[&str]) -> Option<String> {
    Some(match words {
        ["last", "day"] => "L * *".into(),
        ["last", "weekday"] => "LW * *".into(),
        ["first", "weekday"] => "1W * *".into(),
        ["last", name] => format!("* * {}L", weekday(name)?),
        [nth, "day"] => format!("{} * *", ordinal(nth)?),
        [nth, name] => format!("* * {}#{}", weekday(name)?, ordinal(nth)?),
        [day] => format!("{} * *", day_of_month(day)?),
        _ => return None,
    })
}

fn ordinal(word: &str) -> Option<u32> {
    ORDINALS.iter().find(|(name, _)| *name == word).map(|(_, nth)| *nth)
}

/// `friday`, `fridays`, `fri`
fn weekday(word: &str) -> Option<&'static str> {
    const WHOLE: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
    let word = word.strip_suffix('s').filter(|word| word.ends_with("day")).unwrap_or(word);
    let place = WHOLE.iter().position(|whole| *whole == word || whole.get(..3) == Some(word))?;
    WEEKDAYS.get(place).copied()
}

/// `15`, `15th`, `15.`
fn day_of_month(word: &str) -> Option<u32> {
    let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == '.');
    let ending = word.get(digits.len()..)?;
    let known = matches!(ending, "" | "." | "st" | "nd" | "rd" | "th");
    digits.parse().ok().filter(|day| known && (1..=31).contains(day))
}
