//! The clinic: what a schedule says in words, and what its author may not have meant by it.
//!
//! A pattern that is right as a pattern can still surprise: `*/13` begins anew each hour, the 31st leaves out five months, a
//! time in the night of a clock change comes twice or not at all. Each surprise has a code that `beadle explain` knows. It
//! tells and decides nothing.

mod words;

pub use words::words;

use crate::cron::{Field, Item, items};
use crate::pattern::{Moment, Pattern};
use crate::schedule::{Next, Schedule, Zones};
use crate::zone::{Fit, Zone};
use beadle_model::Timestamp;

/// A surprise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// For `beadle explain`.
    pub code: &'static str,
    /// A sentence without its end.
    pub text: String,
}

/// Every code that a warning of this crate can have.
pub const CODES: [&str; 8] =
    [UNEVEN_STEP, EITHER_DAY, SHORT_MONTHS, SKIPPED_TIME, DOUBLE_TIME, ELAPSED_DAYS, NEVER, HOLIDAYS_END];

const UNEVEN_STEP: &str = "schedule-uneven-step";
const EITHER_DAY: &str = "schedule-either-day";
const SHORT_MONTHS: &str = "schedule-short-months";
const SKIPPED_TIME: &str = "schedule-skipped-time";
const DOUBLE_TIME: &str = "schedule-repeated-time";
const ELAPSED_DAYS: &str = "schedule-elapsed-days";
const NEVER: &str = "schedule-never";
const HOLIDAYS_END: &str = "schedule-holidays-end";

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Clock changes are looked for this far ahead: each of the year's is in it.
const AHEAD_MS: i64 = 400 * DAY_MS;
/// A holiday file that ends within so much should be renewed.
const RENEW_MS: i64 = 60 * DAY_MS;

/// What may surprise about a schedule that fires in these zones.
pub fn warnings(schedule: &Schedule, zones: &[Zone], now: Timestamp) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |code, text: String| warnings.push(Warning { code, text });
    if matches!(schedule.pattern, Pattern::Cron(_))
        && let Some(text) = cron_of(schedule)
        && let Ok(items) = items(&text)
    {
        for (field, items) in &items {
            items.iter().filter_map(|item| uneven(*field, item)).for_each(|text| warn(UNEVEN_STEP, text));
        }
        let [.., (_, days), _, (_, weekdays)] = &items;
        if !is_star(days) && !is_star(weekdays) {
            let text =
                "day of month and day of week are both given: it fires on days that match either of them".to_owned();
            warn(EITHER_DAY, text);
        } else if let Some(text) = short_months(days, weekdays) {
            warn(SHORT_MONTHS, text);
        }
    }
    if let Pattern::Every { period_ms, .. } = schedule.pattern
        && period_ms % DAY_MS == 0
        && zones.iter().any(|zone| zone.change_after(now).is_some())
    {
        let text = "it counts elapsed time: after a clock change it fires an hour earlier or later by the clock; `cron` keeps the time of day";
        warn(ELAPSED_DAYS, text.to_owned());
    }
    let home = [schedule.zones.home().clone()];
    // Where no members are known yet, home will do.
    let zones = if zones.is_empty() { &home } else { zones };
    for zone in zones {
        clock_changes(schedule, zone, now).into_iter().for_each(|Warning { code, text }| warn(code, text));
    }
    if schedule.enabled && zones.iter().all(|zone| schedule.next(zone, now).is_none()) {
        warn(NEVER, "it never fires any more".to_owned());
    }
    if let Some(end) = schedule.days_off.holidays.as_ref().and_then(|holidays| holidays.end())
        && schedule.zones.home().place(end.at(0, 0, 0, 0)).0.since_ms(now) < RENEW_MS
    {
        warn(HOLIDAYS_END, format!("the last holiday in its file is on {end}: after that it fires on every day"));
    }
    warnings
}

/// What a person should know of a moment: how a clock change bears on it.
pub fn oddity(moment: &Moment, zone: &Zone) -> Option<String> {
    let time = moment.wall.strftime("%H:%M");
    match moment.fit {
        Fit::Once => None,
        Fit::Skipped => Some(format!("the clock skips {time} that day: the first moment after it")),
        Fit::Twice => {
            let (first, _) = zone.place(moment.wall);
            let which = if first == moment.at { "first" } else { "second" };
            Some(format!("{time} comes twice that day: the {which} time"))
        }
    }
}

/// The pattern as cron, whatever key it stands behind.
fn cron_of(schedule: &Schedule) -> Option<String> {
    match schedule.said.0 {
        "monthly" => crate::monthly::cron(&schedule.said.1).ok(),
        _ => Some(schedule.said.1.clone()),
    }
}

fn is_star(items: &[Item]) -> bool {
    matches!(items, [Item::Range { star: true, step: 1, .. }])
}

/// A step that does not divide what it steps through.
fn uneven(field: Field, item: &Item) -> Option<String> {
    let Item::Range { step, star: true, .. } = *item else { return None };
    let (whole, unit, unit_of) = match field {
        Field::Second => (60, "seconds", "each minute"),
        Field::Minute => (60, "minutes", "each hour"),
        Field::Hour => (24, "hours", "each day"),
        Field::Month => (12, "months", "each year"),
        Field::Day => (0, "days", "each month"),
        Field::Weekday => return None,
    };
    if step <= 1 || whole > 0 && whole % step == 0 {
        return None;
    }
    let but = if whole == 0 {
        "months are of different lengths".to_owned()
    } else {
        format!("the last of them is only {} before the next", (whole - 1) % step + 1)
    };
    Some(format!("`*/{step}` is not every {step} {unit}: it begins anew {unit_of}, and {but}; `every` counts on"))
}

/// Days that not every month has.
fn short_months(days: &[Item], weekdays: &[Item]) -> Option<String> {
    let least = days.iter().map(|item| match *item {
        Item::Range { from, .. } | Item::Nearest(from) => from,
        _ => 0,
    });
    let fifth = weekdays.iter().all(|item| matches!(item, Item::Nth { nth: 5, .. }));
    match least.min().unwrap_or(0) {
        _ if fifth => Some("not every month has a fifth one: `L` behind the weekday is the last".to_owned()),
        day @ 29..=31 => {
            let without = if day == 31 { "five months have no 31st" } else { "February has no such day in most years" };
            Some(format!("{without}, and it does not fire in them; `L` is the last day of whatever month"))
        }
        _ => None,
    }
}

/// The next night on which a clock change bears on it, for each way in which it can.
fn clock_changes(schedule: &Schedule, zone: &Zone, now: Timestamp) -> Vec<Warning> {
    let mut warnings: Vec<Warning> = Vec::new();
    // Who wants it in every hour wants it in each of two.
    let always = matches!(&schedule.pattern, Pattern::Cron(cron) if !cron.fixed && cron.fields.hours == (1 << 24) - 1);
    if always || matches!(schedule.pattern, Pattern::Every { .. }) {
        return warnings;
    }
    let until = now.plus_ms(AHEAD_MS);
    let mut change = now;
    while let Some(at) = zone.change_after(change).filter(|at| *at < until) {
        change = at;
        // Everything that a change can bear on is within a few hours of it.
        let mut after = at.plus_ms(-DAY_MS / 4);
        while let Some(Next::Planned(moment)) = schedule.next_or_off(zone, after).filter(|next| within(next, at)) {
            after = moment.at;
            let code = match moment.fit {
                Fit::Once => continue,
                Fit::Skipped => SKIPPED_TIME,
                Fit::Twice => DOUBLE_TIME,
            };
            if warnings.iter().any(|known| known.code == code) {
                break;
            }
            let (day, time) = (moment.wall.date(), moment.wall.strftime("%H:%M"));
            let is_fixed = matches!(&schedule.pattern, Pattern::Cron(cron) if cron.fixed);
            let text = match moment.fit {
                Fit::Skipped => {
                    format!("on {day} the clock in {} skips {time}: it fires at the first moment after it", zone.name())
                }
                _ if is_fixed || matches!(schedule.pattern, Pattern::At(_)) => {
                    format!("on {day} the clock in {} shows {time} twice: it fires the first time only", zone.name())
                }
                _ => format!("on {day} the clock in {} shows {time} twice: it fires both times", zone.name()),
            };
            warnings.push(Warning { code, text });
        }
        warnings.extend(left_out(schedule, zone, at).filter(|_| !warnings.iter().any(|it| it.code == SKIPPED_TIME)));
    }
    warnings
}

fn within(next: &Next<'_>, change: Timestamp) -> bool {
    let (Next::Planned(moment) | Next::Off(moment, _)) = next;
    moment.at < change.plus_ms(DAY_MS / 4)
}

/// A rhythm all of whose times of a day fall into what the clock skips.
fn left_out(schedule: &Schedule, zone: &Zone, change: Timestamp) -> Option<Warning> {
    let Pattern::Cron(cron) = &schedule.pattern else { return None };
    let (before, after) = (zone.wall(change.plus_ms(-1)), zone.wall(change));
    let first = cron.fields.first_from(before).filter(|first| !cron.fixed && before < *first && *first < after)?;
    let day = first.date();
    let is_that_day = |moment: &Moment| moment.wall.date() == day;
    let start = zone.place(day.at(0, 0, 0, 0)).0.plus_ms(-1);
    let fires = schedule.pattern.next(zone, start).is_some_and(|moment| is_that_day(&moment));
    let text = format!(
        "on {day} the clock in {} skips {}, the only hour in which it fires: not at all that day",
        zone.name(),
        first.strftime("%H:%M")
    );
    (!fires).then_some(Warning { code: SKIPPED_TIME, text })
}

/// In how many zones it fires, for people.
pub fn where_it_fires(zones: &Zones) -> String {
    match zones {
        Zones::One(zone) => zone.name().to_string(),
        Zones::Members(home) => format!("each zone that members live in; {} where theirs is not known", home.name()),
    }
}

#[cfg(test)]
mod tests;
