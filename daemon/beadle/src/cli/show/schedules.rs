//! Schedules, their next times and their history.

use super::text::{Lines, Result, Screen, or_dash, print_list, problem, utc};
use crate::api::{FiringRow, List, MomentRow, PlannedEvent, ScheduleRow, ScheduleView};
use crate::cli::table::{Table, duration, when};
use serde_json::{Value, from_value};
use std::fmt::Write as _;

/// `beadle schedules list`
pub fn schedules(response: Value, screen: Screen) -> Result {
    let list: List<ScheduleRow> = from_value(response)?;
    let mut table = Table::new(&["SCHEDULE", "STATE", "NEXT", "LAST", "LATE", "OUTCOME", "FIRES"]);
    for row in &list.items {
        let last = row.last.as_ref();
        table.row([
            row.name.clone(),
            row.state.clone(),
            row.next.as_ref().map_or_else(|| "-".into(), |next| when(next.at, list.now)),
            last.map_or_else(|| "-".into(), |firing| when(firing.planned_at, list.now)),
            last.map_or_else(|| "-".into(), late),
            last.map_or_else(|| "-".into(), outcome),
            format!("{} ({})", row.description, row.timezone),
        ]);
    }
    let next = list.next.map(|name| format!("--after {name}"));
    Ok(print_list(&table, list.items.len(), "No schedules.", next, screen))
}

/// The outcome of a firing, with the handling's state unless the event was handled.
fn outcome(row: &FiringRow) -> String {
    let count = match row.count {
        1 => String::new(),
        10_000.. => " 10000 or more".into(),
        count => format!(" {count}"),
    };
    let handling = match row.handling.as_deref() {
        Some("done") | None => String::new(),
        Some("open") => ", not handled yet".into(),
        Some(other) => format!(", {other}"),
    };
    format!("{}{count}{handling}", row.outcome)
}

fn late(row: &FiringRow) -> String {
    match (row.outcome.as_str(), row.late_ms) {
        ("manual" | "missed", _) | (_, 0..1000) => "-".into(),
        (_, ms) => duration(ms),
    }
}

/// `beadle schedules show`
pub fn schedule(response: Value, screen: Screen) -> Result {
    let view: ScheduleView = from_value(response)?;
    let mut lines = vec![
        ("schedule", view.row.name.clone()),
        ("pattern", view.row.pattern.clone()),
        ("fires", view.row.description.clone()),
        ("time zone", zones(&view.row.timezone, &view.zones)),
        ("state", view.row.state.clone()),
        ("next", view.row.next.as_ref().map_or_else(|| "-".into(), |next| moment(next, view.now))),
    ];
    if let Some(last) = &view.row.last {
        lines.push(("last", format!("{}: {}", when(last.planned_at, view.now), outcome(last))));
    }
    let mut text = Lines(lines).print();
    let mut table = Table::new(&["PLUGIN", "NEXT DUE", "PROBLEM"]);
    for target in &view.targets {
        let due = target.next_due_at.map_or_else(|| "-".into(), |at| when(at, view.now));
        table.row([target.plugin.clone(), due, target.problem.as_ref().map_or_else(|| "-".into(), problem)]);
    }
    let _ = write!(text, "\n{}", table.print(screen.width));
    let mut table = Table::new(&["SETTING", "VALUE"]);
    view.settings.iter().for_each(|(key, value)| table.row([key.clone(), value.clone()]));
    if !view.payload.is_null() {
        table.row(["payload".into(), view.payload.to_string()]);
    }
    let _ = write!(text, "\n{}", table.print(screen.width));
    for warning in &view.warnings {
        let _ = writeln!(text, "\nwarning[{}]: {}", warning.code, warning.message);
    }
    Ok(text.into())
}

fn zones(name: &str, zones: &[String]) -> String {
    match (name, zones) {
        ("member", []) => "member (no members yet)".into(),
        ("member", zones) => format!("member ({})", zones.join(", ")),
        _ => name.into(),
    }
}

fn moment(moment: &MomentRow, now: i64) -> String {
    let note = moment.note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
    format!("{}, {}{note}", moment.local, when(moment.at, now))
}

/// `beadle schedules next`
pub fn next_firings(response: Value, screen: Screen) -> Result {
    let list: List<MomentRow> = from_value(response)?;
    let mut table = Table::new(&["LOCAL TIME", "UTC", "IN", "TIME ZONE", "NOTE"]);
    for row in &list.items {
        let excluded = row.excluded.as_ref().map(|reason| match reason.as_str() {
            "except" => "excluded by `except`".to_owned(),
            holiday => format!("excluded: {holiday}"),
        });
        let jitter = row.due_at.map(|due_at| format!("delayed by {} (jitter)", duration(due_at - row.at)));
        let notes: Vec<String> = [excluded, row.note.clone(), jitter].into_iter().flatten().collect();
        table.row([
            row.local.clone(),
            utc(row.at).trim_end_matches(" UTC").to_owned(),
            duration(row.at - list.now),
            row.timezone.clone(),
            or_dash(Some(&notes.join("; "))),
        ]);
    }
    Ok(print_list(&table, list.items.len(), "This schedule will not fire again.", None, screen))
}

/// `beadle schedules history`
pub fn firings(response: Value, screen: Screen) -> Result {
    let list: List<FiringRow> = from_value(response)?;
    let mut table = Table::new(&["ID", "PLANNED (UTC)", "LATE", "PLUGIN", "TIME ZONE", "EVENT", "OUTCOME"]);
    for row in &list.items {
        table.row([
            row.id.to_string(),
            utc(row.planned_at).trim_end_matches(" UTC").to_owned(),
            late(row),
            row.plugin.clone(),
            or_dash(row.zone.as_deref()),
            or_dash(row.event.as_deref()),
            outcome(row),
        ]);
    }
    let next = list.next.map(|id| format!("--before {id}"));
    Ok(print_list(&table, list.items.len(), "No firings yet.", next, screen))
}

/// `beadle schedules run --dry-run`
pub fn schedule_dry_run(response: Value, screen: Screen) -> Result {
    let list: List<PlannedEvent> = from_value(response)?;
    let mut table = Table::new(&["PLUGIN", "TIME ZONE", "PAYLOAD", "PROBLEM"]).flexible(&["PAYLOAD"]);
    for row in &list.items {
        let zone = if row.for_zone { format!("members in {}", row.timezone) } else { row.timezone.clone() };
        let payload = if row.payload.is_null() { "-".into() } else { row.payload.to_string() };
        table.row([row.plugin.clone(), zone, payload, row.problem.as_ref().map_or_else(|| "-".into(), problem)]);
    }
    let empty = "No events: the schedule fires per time zone of members, and there are no members.";
    Ok(print_list(&table, list.items.len(), empty, None, screen))
}
