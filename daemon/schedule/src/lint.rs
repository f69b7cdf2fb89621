//! Warns about schedules that are valid but may not do what their author expects.
//!
//! Examples: `*/13` restarts each hour, the 31st skips five months, a time in the night of a clock
//! change is skipped or repeated. Each warning has a code that `beadle explain` documents. Warnings
//! change nothing.

use crate::cron::{Field, Item, is_star, items};
use crate::pattern::{Moment, Pattern};
use crate::schedule::{NextMoment, Schedule};
use crate::zone::{LocalTimeKind, Zone};
use beadle_model::Timestamp;
use beadle_model::time::DAY_MS;

/// A warning about a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The code, see `beadle explain`.
    pub code: &'static str,
    /// The warning, without a full stop.
    pub text: String,
}

/// The codes of all warnings.
pub const CODES: [&str; 8] =
    [UNEVEN_STEP, EITHER_DAY, SHORT_MONTHS, SKIPPED_TIME, REPEATED_TIME, ELAPSED_DAYS, NEVER, HOLIDAYS_END];

const UNEVEN_STEP: &str = "schedule-uneven-step";
const EITHER_DAY: &str = "schedule-either-day";
const SHORT_MONTHS: &str = "schedule-short-months";
const SKIPPED_TIME: &str = "schedule-skipped-time";
const REPEATED_TIME: &str = "schedule-repeated-time";
const ELAPSED_DAYS: &str = "schedule-elapsed-days";
const NEVER: &str = "schedule-never";
const HOLIDAYS_END: &str = "schedule-holidays-end";

/// How far ahead clock changes are examined: both changes of a year are within it.
const LOOK_AHEAD_MS: i64 = 400 * DAY_MS;
/// A clock change affects planned times at most this long before and after it.
const CHANGE_RADIUS_MS: i64 = DAY_MS / 4;
/// A holiday file that ends within this time should be renewed.
const RENEW_MS: i64 = 60 * DAY_MS;

/// Warnings about a schedule that fires in these zones.
pub fn warnings(schedule: &Schedule, zones: &[Zone], now: Timestamp) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |code, text: String| warnings.push(Warning { code, text });
    if let Some(text) = schedule.cron_text()
        && let Ok(items) = items(&text)
    {
        for (field, items) in &items {
            items.iter().filter_map(|item| uneven_step(*field, item)).for_each(|text| warn(UNEVEN_STEP, text));
        }
        let [.., (_, days), _, (_, weekdays)] = &items;
        if !is_star(days) && !is_star(weekdays) {
            let text = "day of month and day of week are both set: it fires on days that match either of them";
            warn(EITHER_DAY, text.to_owned());
        } else if let Some(text) = short_months(days, weekdays) {
            warn(SHORT_MONTHS, text);
        }
    }
    if let Pattern::Every { period_ms, .. } = schedule.pattern
        && period_ms % DAY_MS == 0
        && zones.iter().any(|zone| zone.change_after(now).is_some())
    {
        let text = "it counts elapsed time, so after a clock change it fires an hour earlier or later in local time; to keep the local time, use `cron`";
        warn(ELAPSED_DAYS, text.to_owned());
    }
    let home = [schedule.zones.home().clone()];
    // No members yet: examine the default zone.
    let zones = if zones.is_empty() { &home } else { zones };
    for zone in zones {
        clock_changes(schedule, zone, now).into_iter().for_each(|Warning { code, text }| warn(code, text));
    }
    if schedule.enabled && zones.iter().all(|zone| schedule.next(zone, now).is_none()) {
        warn(NEVER, "it will not fire again: no planned time is left".to_owned());
    }
    if let Some(end) = schedule.days_off.holidays.as_ref().and_then(|holidays| holidays.end())
        && schedule.zones.home().resolve(end.at(0, 0, 0, 0)).0.since_ms(now) < RENEW_MS
    {
        warn(HOLIDAYS_END, format!("the last holiday in its file is {end}; after that no day is excluded"));
    }
    warnings
}

/// A step that does not divide its field evenly.
fn uneven_step(field: Field, item: &Item) -> Option<String> {
    let Item::Range { step, star: true, .. } = *item else { return None };
    let (range, unit, restart) = match field {
        Field::Second => (60, "seconds", "minute"),
        Field::Minute => (60, "minutes", "hour"),
        Field::Hour => (24, "hours", "day"),
        Field::Month => (12, "months", "year"),
        Field::Day => (0, "days", "month"),
        Field::Weekday => return None,
    };
    if step <= 1 || range > 0 && range % step == 0 {
        return None;
    }
    let consequence = if range == 0 {
        "months differ in length".to_owned()
    } else {
        format!("the last interval is {} {unit}", (range - 1) % step + 1)
    };
    Some(format!(
        "`*/{step}` does not fire every {step} {unit}: it restarts each {restart}, and {consequence}; for a constant interval, use `every`"
    ))
}

/// Days that not every month has.
fn short_months(days: &[Item], weekdays: &[Item]) -> Option<String> {
    let first = days.iter().map(|item| match *item {
        Item::Range { from, .. } | Item::Nearest(from) => from,
        _ => 0,
    });
    if weekdays.iter().all(|item| matches!(item, Item::Nth { nth: 5, .. })) {
        return Some("not every month has a fifth one; for the last one, use `L` after the weekday".to_owned());
    }
    let short = match first.min().unwrap_or(0) {
        29 => "February has no 29th day in most years",
        30 => "February has no 30th day",
        31 => "five months have no 31st day",
        _ => return None,
    };
    Some(format!("{short}, so it does not fire then; for the last day of every month, use `L`"))
}

/// The next clock change that skips a planned time, and the next that repeats one.
fn clock_changes(schedule: &Schedule, zone: &Zone, now: Timestamp) -> Vec<Warning> {
    let mut warnings: Vec<Warning> = Vec::new();
    // A schedule that fires in every hour is expected to fire in a repeated one.
    let in_every_hour =
        |pattern: &Pattern| matches!(pattern, Pattern::Cron(cron) if !cron.fixed && cron.fields.hours == (1 << 24) - 1);
    if in_every_hour(&schedule.pattern) || matches!(schedule.pattern, Pattern::Every { .. }) {
        return warnings;
    }
    let until = now.plus_ms(LOOK_AHEAD_MS);
    let mut change = now;
    while let Some(at) = zone.change_after(change).filter(|at| *at < until) {
        change = at;
        let mut after = at.plus_ms(-CHANGE_RADIUS_MS);
        while let Some(NextMoment::Planned(moment)) = schedule.next_match(zone, after).filter(|next| is_near(next, at))
        {
            after = moment.at;
            let code = match moment.kind {
                LocalTimeKind::Unique => continue,
                LocalTimeKind::Gap => SKIPPED_TIME,
                LocalTimeKind::Fold => REPEATED_TIME,
            };
            if warnings.iter().any(|known| known.code == code) {
                break;
            }
            warnings.push(Warning { code, text: affected(schedule, zone, &moment) });
        }
        let is_known = warnings.iter().any(|warning| warning.code == SKIPPED_TIME);
        warnings.extend(skipped_entirely(schedule, zone, at).filter(|_| !is_known));
    }
    warnings
}

/// Describes what happens at a planned time that a clock change skips or repeats.
fn affected(schedule: &Schedule, zone: &Zone, moment: &Moment) -> String {
    let (day, time, zone) = (moment.wall.date(), moment.wall.strftime("%H:%M"), zone.name());
    let fires_once = match &schedule.pattern {
        Pattern::Cron(cron) => cron.fixed,
        Pattern::At(_) => true,
        Pattern::Every { .. } => false,
    };
    match moment.kind {
        LocalTimeKind::Gap => {
            format!("on {day} the clocks in {zone} skip {time}: it fires at the first moment after the gap")
        }
        _ if fires_once => format!("on {day} the clocks in {zone} show {time} twice: it fires the first time only"),
        _ => format!("on {day} the clocks in {zone} show {time} twice: it fires both times"),
    }
}

fn is_near(next: &NextMoment<'_>, change: Timestamp) -> bool {
    let (NextMoment::Planned(moment) | NextMoment::Excluded(moment, _)) = next;
    moment.at < change.plus_ms(CHANGE_RADIUS_MS)
}

/// A periodic pattern whose times on one day all fall into the gap of a clock change.
fn skipped_entirely(schedule: &Schedule, zone: &Zone, change: Timestamp) -> Option<Warning> {
    let Pattern::Cron(cron) = &schedule.pattern else { return None };
    let (before, after) = (zone.wall(change.plus_ms(-1)), zone.wall(change));
    let first = cron.fields.first_from(before).filter(|first| !cron.fixed && before < *first && *first < after)?;
    let day = first.date();
    let is_that_day = |moment: &Moment| moment.wall.date() == day;
    let start = zone.resolve(day.at(0, 0, 0, 0)).0.plus_ms(-1);
    let fires = schedule.pattern.next(zone, start).is_some_and(|moment| is_that_day(&moment));
    let text = format!(
        "on {day} the clocks in {} skip {}, the only hour in which it fires: it does not fire that day",
        zone.name(),
        first.strftime("%H:%M")
    );
    (!fires).then_some(Warning { code: SKIPPED_TIME, text })
}

#[cfg(test)]
mod tests;
