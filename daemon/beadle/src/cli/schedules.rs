//! `beadle schedules`: what can be typed, what it asks the daemon, and how the answer is shown.

use super::command::Question;
use super::show::{Lines, Screen, Shown, or_dash, print_list, says, utc};
use super::table::{Table, length, when};
use super::{Json, Page};
use crate::api::{FiringRow, List, MomentRow, ScheduleRow, ScheduleView, WouldRun};
use clap::Subcommand;
use serde_json::{Value, from_value};
use std::fmt::Write as _;

/// `beadle schedules`
#[derive(Debug, Subcommand)]
pub enum Schedules {
    /// All of them: when they fire next, and what became of it last
    List {
        /// Only behind this one
        #[arg(long, value_name = "NAME")]
        after: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// One of them: its pattern in words, its settings, and what may surprise about it
    Show {
        /// Its name
        name: String,
        #[command(flatten)]
        json: Json,
    },
    /// When it fires next, and what is left out or odd
    Next {
        /// Its name
        name: String,
        /// So many moments
        #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
        count: u32,
        #[command(flatten)]
        json: Json,
    },
    /// Fire it now, beside its plan
    Run {
        /// Its name
        name: String,
        /// Say what would be given to whom, and do nothing
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        json: Json,
    },
    /// What became of its moments, the latest first
    History {
        /// Its name
        name: String,
        /// Only before this one: the number in the first column
        #[arg(long, value_name = "ID")]
        before: Option<i64>,
        #[command(flatten)]
        page: Page,
    },
}

/// The question that a command is; `None` for firing one.
pub fn question(command: &Schedules) -> Option<Question<'_>> {
    let of = |name, what: &[&'static str], query, json: Json, show| {
        let path = ["schedules", name].into_iter().chain(what.iter().copied()).collect();
        Question { path, query, json: json.json, show }
    };
    Some(match command {
        Schedules::List { after, page } => {
            let after = after.clone().map(|name| ("after", name));
            let query = after.into_iter().chain([("limit", page.limit.to_string())]).collect();
            Question { path: vec!["schedules"], query, json: page.json.json, show: list }
        }
        Schedules::Show { name, json } => of(name, &[], Vec::new(), *json, show),
        Schedules::Next { name, count, json } => of(name, &["next"], vec![("count", count.to_string())], *json, next),
        Schedules::Run { name, dry_run: true, json } => of(name, &["run"], Vec::new(), *json, would_run),
        Schedules::Run { dry_run: false, .. } => return None,
        Schedules::History { name, before, page } => {
            let before = before.map(|id| ("before", id.to_string()));
            let query = before.into_iter().chain([("limit", page.limit.to_string())]).collect();
            of(name, &["history"], query, page.json, history)
        }
    })
}

fn list(answer: Value, screen: Screen) -> Shown {
    let list: List<ScheduleRow> = from_value(answer)?;
    let mut table = Table::new(&["SCHEDULE", "STATE", "NEXT", "LAST", "LATE", "OUTCOME", "FIRES"]);
    for it in &list.items {
        let last = it.last.as_ref();
        table.row([
            it.name.clone(),
            it.state.clone(),
            it.next.as_ref().map_or_else(|| "-".into(), |moment| when(moment.at, list.now)),
            last.map_or_else(|| "-".into(), |firing| when(firing.planned_at, list.now)),
            last.map_or_else(|| "-".into(), late),
            last.map_or_else(|| "-".into(), outcome),
            format!("{} ({})", it.words, it.timezone),
        ]);
    }
    let next = list.next.map(|name| format!("--after {name}"));
    Ok(print_list(&table, list.items.len(), "no schedules", next.as_deref(), screen))
}

/// Fired and handled says the first; all else is told.
fn outcome(it: &FiringRow) -> String {
    let count = match it.moments {
        1 => String::new(),
        10_000.. => " 10000 or more".into(),
        more => format!(" {more}"),
    };
    let handling = match it.handling.as_deref() {
        Some("done") | None => String::new(),
        Some("open") => ", not handled yet".into(),
        Some(other) => format!(", {other}"),
    };
    format!("{}{count}{handling}", it.outcome)
}

fn late(it: &FiringRow) -> String {
    match (it.outcome.as_str(), it.late_ms) {
        ("by-hand" | "missed", _) => "-".into(),
        (_, 0..1000) => "-".into(),
        (_, ms) => length(ms),
    }
}

fn show(answer: Value, screen: Screen) -> Shown {
    let it: ScheduleView = from_value(answer)?;
    let mut lines = vec![
        ("schedule", it.row.name.clone()),
        ("pattern", it.row.pattern.clone()),
        ("fires", it.row.words.clone()),
        ("timezone", zones(&it.row.timezone, &it.zones)),
        ("state", it.row.state.clone()),
        ("next", it.row.next.as_ref().map_or_else(|| "-".into(), |moment| said(moment, it.now))),
    ];
    if let Some(last) = &it.row.last {
        lines.push(("last", format!("{}: {}", when(last.planned_at, it.now), outcome(last))));
    }
    let mut text = Lines(lines).print();
    let mut table = Table::new(&["PLUGIN", "DUE NEXT", "BUT"]);
    for share in &it.targets {
        let due = share.next_due_at.map_or_else(|| "-".into(), |at| when(at, it.now));
        table.row([share.plugin.clone(), due, share.problem.as_ref().map_or_else(|| "-".into(), says)]);
    }
    let _ = write!(text, "\n{}", table.print(screen.width));
    let mut table = Table::new(&["SETTING", "VALUE"]);
    it.settings.iter().for_each(|(key, value)| table.row([key.clone(), value.clone()]));
    if !it.payload.is_null() {
        table.row(["payload".into(), it.payload.to_string()]);
    }
    let _ = write!(text, "\n{}", table.print(screen.width));
    for warning in &it.warnings {
        let _ = writeln!(text, "\nNote: {}", says(warning));
    }
    Ok(text)
}

fn zones(name: &str, zones: &[String]) -> String {
    match (name, zones) {
        ("member", []) => "member: there are no members yet".into(),
        ("member", zones) => format!("member: {}", zones.join(", ")),
        _ => name.into(),
    }
}

fn said(moment: &MomentRow, now: i64) -> String {
    let note = moment.note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
    format!("{}, {}{note}", moment.local, when(moment.at, now))
}

fn next(answer: Value, screen: Screen) -> Shown {
    let list: List<MomentRow> = from_value(answer)?;
    let mut table = Table::new(&["LOCAL", "UTC", "IN", "ZONE", "NOTE"]);
    for it in &list.items {
        let off = it.off.as_ref().map(|why| match why.as_str() {
            "except" => "left out by `except`".to_owned(),
            holiday => format!("left out: {holiday}"),
        });
        let jitter = it.due_at.map(|due_at| format!("put off by {}", length(due_at - it.at)));
        let notes: Vec<String> = [off, it.note.clone(), jitter].into_iter().flatten().collect();
        table.row([
            it.local.clone(),
            utc(it.at).trim_end_matches(" UTC").to_owned(),
            length(it.at - list.now),
            it.timezone.clone(),
            or_dash(Some(&notes.join("; "))),
        ]);
    }
    Ok(print_list(&table, list.items.len(), "it never fires any more", None, screen))
}

fn history(answer: Value, screen: Screen) -> Shown {
    let list: List<FiringRow> = from_value(answer)?;
    let mut table = Table::new(&["ID", "PLANNED (UTC)", "LATE", "PLUGIN", "ZONE", "EVENT", "OUTCOME"]);
    for it in &list.items {
        table.row([
            it.id.to_string(),
            utc(it.planned_at).trim_end_matches(" UTC").to_owned(),
            late(it),
            it.plugin.clone(),
            or_dash(it.zone.as_deref()),
            or_dash(it.event.as_deref()),
            outcome(it),
        ]);
    }
    let next = list.next.map(|id| format!("--before {id}"));
    Ok(print_list(&table, list.items.len(), "nothing came of it yet", next.as_deref(), screen))
}

fn would_run(answer: Value, screen: Screen) -> Shown {
    let list: List<WouldRun> = from_value(answer)?;
    let mut table = Table::new(&["PLUGIN", "ZONE", "PAYLOAD", "BUT"]);
    for it in &list.items {
        let zone = if it.for_zone { format!("members in {}", it.timezone) } else { it.timezone.clone() };
        let payload = if it.payload.is_null() { "-".into() } else { it.payload.to_string() };
        table.row([it.plugin.clone(), zone, payload, it.problem.as_ref().map_or_else(|| "-".into(), says)]);
    }
    let none = "nobody: it fires for each zone that members live in, and there are no members";
    Ok(print_list(&table, list.items.len(), none, None, screen))
}
