//! Answers of the daemon as text for people: a table for a list, lines for one thing.

mod documents;
mod people;
mod state;
mod windows;

pub use documents::documents;
pub use people::*;
pub use state::state;
pub use windows::{windows, windows_by_hour};

use super::table::{Table, one_line, when};
use crate::api::{
    CapabilityRow, DeadRow, Done, EventRow, EventView, KeptState, List, MessageRow, PluginRow, Problem, Status, Why,
};
use serde_json::{Error, Value, from_value};
use std::fmt::Write as _;

/// Where the text goes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Screen {
    /// Columns of the terminal; none in a pipe.
    pub width: Option<usize>,
}

pub type Shown = Result<String, Error>;

/// `name: value` lines, aligned.
pub struct Lines(pub Vec<(&'static str, String)>);

impl Lines {
    /// All of them.
    pub fn print(&self) -> String {
        let wide = self.0.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        self.0.iter().fold(String::new(), |mut text, (name, value)| {
            let _ = writeln!(text, "{name:wide$}  {}", one_line(value));
            text
        })
    }
}

pub fn or_dash(text: Option<&str>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or("-").into()
}

fn names(names: &[String]) -> String {
    if names.is_empty() { "-".into() } else { names.join(", ") }
}

pub fn print_list(table: &Table, count: usize, none: &str, next: Option<&str>, screen: Screen) -> String {
    if count == 0 {
        return format!("{none}\n");
    }
    let mut text = table.print(screen.width);
    if let Some(next) = next {
        let _ = writeln!(text, "… there is more: {next}");
    }
    text
}

/// `beadle status`
pub fn status(answer: Value, screen: Screen) -> Shown {
    let status: Status = from_value(answer)?;
    let oldest = status.oldest_open_at.map(|at| format!(", the oldest came {}", when(at, status.now)));
    let lines = Lines(vec![
        ("beadle", format!("{}, {} since {}", status.version, status.phase, utc(status.started_at))),
        ("events", format!("{} not finished{}", status.events_open, oldest.unwrap_or_default())),
        ("outbox", format!("{} wait, {} on their way", status.queued, status.sending)),
        (
            "dead",
            if status.dead_letters == 0 {
                "none".into()
            } else {
                format!("{}; see `beadle dead-letters list`", status.dead_letters)
            },
        ),
    ]);
    let mut text = lines.print();
    let mut channels = Table::new(&["CHANNEL", "APP", "STATE"]);
    status.channels.iter().for_each(|it| channels.row([it.name.clone(), it.app.clone(), it.state.clone()]));
    let _ = write!(text, "\n{}", print_list(&channels, status.channels.len(), "no channels", None, screen));
    let _ = write!(text, "\n{}", plugin_table(&status.plugins, screen));
    for problem in &status.problems {
        let _ = if problem.message.trim_end().contains('\n') {
            // With a picture of the place in a file.
            let lines: Vec<_> = problem.message.trim_end().lines().map(one_line).collect();
            writeln!(text, "\nLook at this ({}):\n\n{}", problem.code, lines.join("\n"))
        } else {
            writeln!(text, "\nLook at this: {}", says(problem))
        };
    }
    Ok(text)
}

pub fn says(problem: &Problem) -> String {
    format!("{} ({})", one_line(&problem.message), problem.code)
}

pub fn utc(at: i64) -> String {
    let text = beadle_model::Timestamp(at).to_string().replace('T', " ");
    format!("{} UTC", text.get(..19).unwrap_or(&text))
}

fn kept_state(it: &KeptState) -> String {
    let version = if it.version == 0 { String::new() } else { format!(", version {}", it.version) };
    format!("{} values, {} KiB{version}", it.values, it.bytes.div_ceil(1024))
}

fn plugin_table(plugins: &[PluginRow], screen: Screen) -> String {
    let mut table = Table::new(&["PLUGIN", "STATE", "STAGE", "ORDER", "VERSION", "EVENTS"]);
    for it in plugins {
        let last = it.problem.as_ref().map_or_else(|| names(&it.events), says);
        let version = or_dash(it.version.as_deref());
        table.row([it.name.clone(), it.state.clone(), it.stage.clone(), it.order.to_string(), version, last]);
    }
    print_list(&table, plugins.len(), "no plugins", None, screen)
}

/// `beadle plugins list`
pub fn plugins(answer: Value, screen: Screen) -> Shown {
    let list: List<PluginRow> = from_value(answer)?;
    Ok(plugin_table(&list.items, screen))
}

/// `beadle plugins show`
pub fn plugin(answer: Value, screen: Screen) -> Shown {
    let it: PluginRow = from_value(answer)?;
    let mut lines = Lines(vec![
        ("name", it.name),
        ("summary", or_dash(it.summary.as_deref())),
        ("version", or_dash(it.version.as_deref())),
        ("revision", or_dash(it.revision.as_deref())),
        ("file", or_dash(it.path.as_deref())),
        ("state", it.state),
        ("stage", format!("{}, order {}", it.stage, it.order)),
        ("events", names(&it.events)),
        ("sends through", it.channels.as_deref().map_or_else(|| "every channel".into(), names)),
    ]);
    let beside: Vec<_> =
        it.grants.iter().filter(|capability| !it.requested_capabilities.contains(capability)).cloned().collect();
    // What one that was not loaded asks for nobody knows.
    if !beside.is_empty() && it.revision.is_some() {
        lines.0.push(("granted", format!("{}, which it does not ask for", names(&beside))));
    }
    if !it.earlier.is_empty() {
        lines.0.push(("earlier", names(&it.earlier)));
    }
    if let Some(revision) = &it.sent_back {
        lines.0.push(("sent back", format!("{revision}, until another file comes")));
    }
    if !it.steps.is_empty() {
        let took = it.steps.iter().map(|(step, ms)| format!("{step} {ms:.1} ms"));
        lines.0.push(("came by", took.collect::<Vec<_>>().join(", ")));
    }
    if let Some(it) = &it.documents {
        let refused = if it.refused == 0 { String::new() } else { format!(", {} not taken", it.refused) };
        lines.0.push(("documents", format!("{} in {}{refused}", it.files, it.folder)));
    }
    if let Some(keeps) = &it.keeps {
        lines.0.push(("keeps", kept_state(keeps)));
    }
    if let Some((before, at)) = it.kept_before.as_ref().and_then(|before| Some((before, before.left_at?))) {
        lines.0.push(("kept before", format!("{}, until {}", kept_state(before), utc(at))));
    }
    if let Some(at) = it.suspended_since {
        lines.0.push(("suspended", format!("since {}", utc(at))));
    }
    if let Some(at) = it.disabled_since {
        lines.0.push(("switched off", format!("since {}", utc(at))));
    }
    if it.kept_events > 0 {
        lines.0.push(("kept for it", format!("{} events", it.kept_events)));
    }
    if let Some(problem) = &it.problem {
        lines.0.push(("problem", says(problem)));
    }
    let mut text = lines.print();
    if !it.capabilities.is_empty() {
        let mut table = Table::new(&["ASKS FOR", "TO", "GRANTED"]);
        it.capabilities
            .iter()
            .for_each(|row| table.row([row.capability.clone(), row.meaning.clone(), granted(row).into()]));
        let _ = write!(text, "\n{}", table.print(screen.width));
    }
    if !it.limits.is_empty() {
        let (calls, failed) = it.calls;
        let mut table = Table::new(&["LIMIT", "MAY USE", "USED AT MOST"]);
        for row in &it.limits {
            table.row([row.key.clone(), row.limit.to_string(), format!("{:.1}", row.used)]);
        }
        let _ =
            write!(text, "\n{}{calls} calls since it was loaded, {failed} of them failed\n", table.print(screen.width));
    }
    if let Some(schema) = &it.settings_schema {
        let _ = writeln!(text, "\nSettings (JSON Schema):\n{}", serde_json::to_string_pretty(schema)?);
    }
    Ok(text)
}

/// Whether it has a capability, and by whom.
fn granted(row: &CapabilityRow) -> &str {
    match row.granted.as_str() {
        "everybody" => "to every plugin",
        "configuration" => "in the configuration",
        "command" => "by command",
        "no" => "not yet: `beadle plugins grant`",
        other => other,
    }
}

fn who(name: Option<&str>, contact: Option<&str>) -> String {
    match (name, contact) {
        (Some(name), Some(contact)) => format!("{name} ({contact})"),
        (None, Some(contact)) => contact.into(),
        _ => "-".into(),
    }
}

/// `beadle events list`
pub fn events(answer: Value, screen: Screen) -> Shown {
    let list: List<EventRow> = from_value(answer)?;
    let mut table = Table::new(&["EVENT", "WHEN", "KIND", "CHANNEL", "WHO", "ENDING", "WHAT"]);
    for it in &list.items {
        table.row([
            it.id.clone(),
            when(it.happened_at, list.now),
            it.kind.clone(),
            or_dash(it.channel.as_deref()),
            who(it.name.as_deref(), it.contact.as_deref()),
            it.ending.clone(),
            it.summary.clone(),
        ]);
    }
    let next = list.next.map(|id| format!("--before {id}"));
    Ok(print_list(&table, list.items.len(), "no events", next.as_deref(), screen))
}

/// One line of `beadle events tail`.
pub fn tailed(item: Value) -> Shown {
    let it: EventRow = from_value(item)?;
    let who = who(it.name.as_deref(), it.contact.as_deref());
    let line = format!("{}  {}  {}  {who}  {}", utc(it.happened_at), it.id, it.kind, it.summary);
    Ok(format!("{}\n", one_line(&line)))
}

/// `beadle events show`
pub fn event(answer: Value, screen: Screen) -> Shown {
    let it: EventView = from_value(answer)?;
    let lines = Lines(vec![
        ("event", it.row.id.clone()),
        ("kind", it.row.kind.clone()),
        ("happened", utc(it.row.happened_at)),
        ("received", utc(it.row.received_at)),
        ("channel", or_dash(it.row.channel.as_deref())),
        ("conversation", or_dash(it.conversation.as_deref())),
        ("who", who(it.row.name.as_deref(), it.row.contact.as_deref())),
        ("ending", it.row.ending.clone()),
    ]);
    let mut text = lines.print();
    let _ = writeln!(text, "\n{}", serde_json::to_string_pretty(&it.body)?);
    if !it.handlings.is_empty() {
        let mut table = Table::new(&["HANDLING", "PLUGIN", "STATE", "TRIES", "AGAIN", "ERROR"]);
        for row in &it.handlings {
            let error = format!("{} ({})", or_dash(row.error.as_deref()), or_dash(row.code.as_deref()));
            let at = row.next_at.map_or_else(|| "-".into(), |at| when(at, it.now));
            table.row([row.id.clone(), row.plugin.clone(), row.state.clone(), row.attempts.to_string(), at, error]);
        }
        let _ = write!(text, "\n{}", table.print(screen.width));
    }
    if !it.messages.is_empty() {
        let _ = write!(text, "\n{}", message_table(&it.messages, it.now, screen));
    }
    Ok(text)
}

fn message_table(messages: &[MessageRow], now: i64, screen: Screen) -> String {
    let mut table = Table::new(&["MESSAGE", "WHEN", "PLUGIN", "TO", "STATE", "TRIES", "WHAT"]);
    for it in messages {
        let receipt = it.receipt.as_ref().map(|receipt| format!(", {receipt}")).unwrap_or_default();
        let twice = if it.maybe_twice { ", maybe twice" } else { "" };
        let what =
            it.problem.as_ref().map_or_else(|| it.summary.clone(), |it_is| format!("{} | {}", says(it_is), it.summary));
        table.row([
            it.id.clone(),
            when(it.due_at, now),
            it.plugin.clone(),
            it.conversation.clone(),
            format!("{}{receipt}{twice}", it.state),
            it.attempts.to_string(),
            what,
        ]);
    }
    table.print(screen.width)
}

/// `beadle outbox list`
pub fn outbox(answer: Value, screen: Screen) -> Shown {
    let list: List<MessageRow> = from_value(answer)?;
    if list.items.is_empty() {
        return Ok("nothing of that kind\n".into());
    }
    let next = list.next.map(|id| format!("… there is more: --before {id}\n")).unwrap_or_default();
    Ok(message_table(&list.items, list.now, screen) + &next)
}

/// `beadle dead-letters list`
pub fn dead(answer: Value, screen: Screen) -> Shown {
    let list: List<DeadRow> = from_value(answer)?;
    let mut table = Table::new(&["DEAD", "WHEN", "PLUGIN", "EVENT", "TRIES", "CODE", "WHAT"]);
    for it in &list.items {
        table.row([
            it.id.clone(),
            when(it.at, list.now),
            it.plugin.clone(),
            or_dash(it.event.as_deref()),
            it.attempts.to_string(),
            it.code.clone(),
            it.summary.clone(),
        ]);
    }
    Ok(print_list(&table, list.items.len(), "no dead letters", None, screen))
}

/// `beadle dead-letters show`
pub fn dead_one(answer: Value, _: Screen) -> Shown {
    let it: DeadRow = from_value(answer)?;
    let mut text = Lines(vec![
        ("dead", it.id.clone()),
        ("plugin", it.plugin),
        ("event", or_dash(it.event.as_deref())),
        ("given up", utc(it.at)),
        ("tries", it.attempts.to_string()),
        ("code", format!("{}; see `beadle explain {}`", it.code, it.code)),
        ("error", it.error),
        ("about", it.summary),
    ])
    .print();
    if let Some(webhook) = &it.text {
        let _ = writeln!(text, "\n{}", beginning(webhook));
    }
    if let Some(at) = it.retried_at {
        let _ = writeln!(text, "\nIt was last tried again at {}.", utc(at));
    }
    if it.answered {
        text.push_str("\nThe event was answered meanwhile: a retry may answer it twice.\n");
    }
    let _ = writeln!(text, "\nDecide with `beadle dead-letters retry {0}` or `beadle dead-letters drop {0}`.", it.id);
    Ok(text)
}

/// As much of a text as one looks at, on one line, as it may be anything.
fn beginning(text: &str) -> String {
    const SHOWN: usize = 4000;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => {
            let left = text.len() - end;
            format!("{}\n… and {left} bytes more: see --json", one_line(text.get(..end).unwrap_or_default()))
        }
        None => one_line(text),
    }
}

/// `beadle dead-letters retry` and `drop`
pub fn done(answer: Value) -> Shown {
    let it: Done = from_value(answer)?;
    let warning = it.warning.map(|warning| format!("Note: {warning}\n")).unwrap_or_default();
    Ok(format!("{}\n{warning}", it.message))
}

/// `beadle why`
pub fn why(answer: Value, _: Screen) -> Shown {
    let it: Why = from_value(answer)?;
    let mut table = Table::new(&["WHEN", "WHAT", "SAYS"]);
    for step in &it.steps {
        // A story is read to its end: nothing of it is cut, in no column.
        table.row([step.at.map_or_else(|| "-".into(), utc), step.what.clone(), step.says.clone()]);
    }
    Ok(print_list(&table, it.steps.len(), "nothing is known about it", None, Screen { width: None }))
}
