//! Describes patterns and planned times in English, for the CLI and the dashboard.

use crate::cron::{Field, Item, is_star, items};
use crate::pattern::{DEFAULT_ANCHOR, Moment, Pattern, TimeSpec};
use crate::schedule::Schedule;
use crate::zone::{LocalTimeKind, Zone};
use std::fmt::Write as _;

const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// Up to this many times of day are listed; more are described by field.
const MAX_LISTED_TIMES: usize = 6;

/// Describes when a schedule fires: "at 09:00 on Monday".
pub fn describe(schedule: &Schedule) -> String {
    match &schedule.pattern {
        Pattern::Cron(_) => {
            schedule.cron_text().and_then(|text| cron(&text)).unwrap_or_else(|| schedule.source.1.clone())
        }
        Pattern::Every { period_ms, anchor } => {
            let mut text = format!("every {}", period(*period_ms));
            if *anchor != TimeSpec::Local(DEFAULT_ANCHOR) {
                let _ = write!(text, ", counted from {}", time(*anchor));
            }
            text
        }
        Pattern::At(at) => format!("once, at {}", time(*at)),
    }
}

/// How a clock change affects a planned time, if it does.
pub fn clock_change_note(moment: &Moment, zone: &Zone) -> Option<String> {
    let time = moment.wall.strftime("%H:%M");
    match moment.kind {
        LocalTimeKind::Unique => None,
        LocalTimeKind::Gap => Some(format!("{time} is skipped that day; fires at the first moment after the gap")),
        LocalTimeKind::Fold => {
            let (first, _) = zone.resolve(moment.wall);
            let which = if first == moment.at { "first" } else { "second" };
            Some(format!("{time} occurs twice that day; this is the {which} time"))
        }
    }
}

fn time(time: TimeSpec) -> String {
    match time {
        TimeSpec::Local(wall) => wall.strftime("%F %H:%M").to_string(),
        TimeSpec::Exact(at) => at.to_string(),
    }
}

fn period(ms: i64) -> String {
    const UNITS: [(i64, &str); 4] = [(86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1000, "second")];
    let unit = UNITS.into_iter().find(|(unit_ms, _)| ms % unit_ms == 0);
    match unit {
        Some((unit_ms, name)) if ms == unit_ms => name.to_owned(),
        Some((unit_ms, name)) => format!("{} {name}s", ms / unit_ms),
        None => format!("{ms} ms"),
    }
}

fn cron(pattern: &str) -> Option<String> {
    let [(_, seconds), (_, minutes), (_, hours), (_, days), (_, months), (_, weekdays)] = items(pattern).ok()?;
    let mut text = times(&seconds, &minutes, &hours);
    let must_match_both = starts_with_star(&days) || starts_with_star(&weekdays);
    match (is_star(&days), is_star(&weekdays)) {
        (true, true) => text.push_str(" every day"),
        (false, true) => _ = write!(text, " {}", days_of_month(&days)),
        (true, false) => _ = write!(text, " {}", days_of_week(&weekdays)),
        (false, false) if must_match_both => {
            _ = write!(text, " {} that is also {}", days_of_month(&days), days_of_week(&weekdays))
        }
        (false, false) => _ = write!(text, " {} and {}", days_of_month(&days), days_of_week(&weekdays)),
    }
    if !is_star(&months) {
        let names = |number: u32| MONTHS.get(number as usize - 1).copied().unwrap_or_default().to_owned();
        let _ = write!(text, " in {}", list(&months, Field::Month, names));
    }
    Some(text)
}

fn starts_with_star(items: &[Item]) -> bool {
    matches!(items, [Item::Range { star: true, .. }, ..])
}

fn times(seconds: &[Item], minutes: &[Item], hours: &[Item]) -> String {
    let numbers = |items: &[Item]| {
        let set = items.iter().fold(0, |set, item| set | item.set());
        (0..60).filter(|number| set & (1_u64 << number) != 0).collect::<Vec<u32>>()
    };
    let (second, minute, hour) = (numbers(seconds), numbers(minutes), numbers(hours));
    let fixed = |items: &[Item]| !items.iter().any(|item| matches!(item, Item::Range { star: true, .. }));
    if fixed(hours) && second.len() * minute.len() * hour.len() <= MAX_LISTED_TIMES {
        let with_seconds = second != [0];
        let mut times = Vec::new();
        for hour in &hour {
            for minute in &minute {
                for second in &second {
                    let seconds = if with_seconds { format!(":{second:02}") } else { String::new() };
                    times.push(format!("{hour:02}:{minute:02}{seconds}"));
                }
            }
        }
        return format!("at {}", and(&times));
    }
    let plain = |number: u32| number.to_string();
    let mut text = String::new();
    if second != [0] {
        let _ = write!(text, "{} of ", unit(seconds, "second", plain, Field::Second));
    }
    let _ = write!(text, "{}", unit(minutes, "minute", plain, Field::Minute));
    match (is_star(hours), is_star(minutes)) {
        (true, true) => {}
        (true, false) => text.push_str(" of every hour"),
        _ => _ = write!(text, " of {}", unit(hours, "hour", plain, Field::Hour)),
    }
    text
}

/// `every minute`, `every 15th minute`, `minutes 0 and 30`
fn unit(items: &[Item], name: &str, format: impl Fn(u32) -> String, field: Field) -> String {
    match items {
        [Item::Range { star: true, step: 1, .. }] => format!("every {name}"),
        [Item::Range { star: true, step, .. }] => format!("every {} {name}", nth(*step)),
        [Item::Range { from, to, .. }] if from == to => format!("{name} {from}"),
        _ => format!("{name}s {}", list(items, field, format)),
    }
}

fn days_of_month(items: &[Item]) -> String {
    let parts: Vec<String> = items
        .iter()
        .map(|item| match *item {
            Item::Last { before: 0 } => "the last day of the month".to_owned(),
            Item::Last { before: 1 } => "the day before the last of the month".to_owned(),
            Item::Last { before } => format!("{before} days before the last of the month"),
            Item::LastWorking => "the last day from Monday to Friday of the month".to_owned(),
            Item::Nearest(day) => format!("the day from Monday to Friday nearest the {}", nth(day)),
            Item::Range { step, star: true, .. } => format!("every {} day of the month from the 1st", nth(step)),
            ref item => one(item, Field::Day, &|day| format!("the {}", nth(day))),
        })
        .collect();
    format!("on {}", and(&parts))
}

fn days_of_week(items: &[Item]) -> String {
    let name = |day: u32| WEEKDAYS.get(day as usize % 7).copied().unwrap_or_default().to_owned();
    let parts: Vec<String> = items
        .iter()
        .map(|item| match *item {
            Item::Nth { weekday, nth: number } => format!("the {} {} of the month", nth(number), name(weekday)),
            Item::LastOf(weekday) => format!("the last {} of the month", name(weekday)),
            Item::Range { step, star: true, .. } => format!("every {} weekday from Sunday", nth(step)),
            ref item => one(item, Field::Weekday, &name),
        })
        .collect();
    format!("on {}", and(&parts))
}

fn list(items: &[Item], field: Field, format: impl Fn(u32) -> String) -> String {
    and(&items.iter().map(|item| one(item, field, &format)).collect::<Vec<_>>())
}

fn one(item: &Item, field: Field, name: &dyn Fn(u32) -> String) -> String {
    let Item::Range { from, to, step, star } = *item else { return String::new() };
    let joined = if matches!(field, Field::Weekday | Field::Month) { "to" } else { "through" };
    match step {
        _ if star && step > 1 => format!("every {}", nth(step)),
        1 if from == to => name(from),
        1 => format!("{} {joined} {}", name(from), name(to)),
        _ => format!("every {} from {} {joined} {}", nth(step), name(from), name(to)),
    }
}

/// `a`, `a and b`, `a, b and c`
fn and(parts: &[String]) -> String {
    match parts.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

fn nth(number: u32) -> String {
    let ending = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}
