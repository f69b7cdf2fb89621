//! Responses of the daemon as text: a table for a list, `name value` lines for one object.
//!
//! Each function takes the response of one `GET` and returns [`Output`]: the text for stdout, and
//! hints for stderr. Nothing here makes requests.

mod events;
mod people;
mod plugins;
mod schedules;
mod windows;

pub use events::{dead_letter, dead_letters, event, event_line, events, outbox};
pub use people::{contact, contacts, duplicates, merge};
pub use plugins::{documents, plugin, plugins, state};
pub use schedules::{firings, next_firings, schedule, schedule_dry_run, schedules};
pub use windows::{windows, windows_by_hour};

use super::table::{Table, cut, when};
use crate::api::{Done, Problem, Status, Why};
use beadle_model::text::one_line;
use serde_json::{Error, Value, from_value};
use std::fmt::Write as _;

/// Where the text is printed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Screen {
    /// Columns of the terminal; none in a pipe or file.
    pub width: Option<usize>,
}

/// What a command prints.
#[derive(Debug, Default)]
pub struct Output {
    /// For stdout.
    pub text: String,
    /// For stderr: what to do next.
    pub hints: Vec<String>,
}

impl From<String> for Output {
    fn from(text: String) -> Self {
        Self { text, hints: Vec::new() }
    }
}

/// An error is a response of an unexpected shape.
pub type Result<T = Output> = std::result::Result<T, Error>;

/// Aligned `name  value` lines.
struct Lines(Vec<(&'static str, String)>);

impl Lines {
    fn print(&self) -> String {
        let width = self.0.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        self.0.iter().fold(String::new(), |mut text, (name, value)| {
            let _ = writeln!(text, "{name:width$}  {}", one_line(value));
            text
        })
    }
}

/// The table, or `empty` as a sentence if it has no rows; `next` is the option that shows more.
fn print_list(table: &Table, count: usize, empty: &str, next: Option<String>, screen: Screen) -> Output {
    if count == 0 {
        return format!("{empty}\n").into();
    }
    let hints = next.map(|option| format!("more results: add {option}")).into_iter().collect();
    Output { text: table.print(screen.width), hints }
}

fn or_dash(text: Option<&str>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or("-").into()
}

fn joined(names: &[String]) -> String {
    if names.is_empty() { "-".into() } else { names.join(", ") }
}

/// `message (code)`
fn problem(problem: &Problem) -> String {
    format!("{} ({})", one_line(&problem.message), problem.code)
}

fn utc(at_ms: i64) -> String {
    let text = beadle_model::Timestamp(at_ms).to_string().replace('T', " ");
    format!("{} UTC", text.get(..19).unwrap_or(&text))
}

/// Longer names are cut in lists; WhatsApp's own limit is 25 characters.
const MAX_NAME_WIDTH: usize = 40;

/// `name (con_…)`
fn person(name: Option<&str>, contact: Option<&str>) -> String {
    match (name, contact) {
        (Some(name), Some(contact)) => format!("{} ({contact})", cut(name, MAX_NAME_WIDTH)),
        (None, Some(contact)) => contact.into(),
        _ => "-".into(),
    }
}

/// `beadle status`
pub fn status(response: Value, screen: Screen) -> Result {
    let status: Status = from_value(response)?;
    let oldest = status.oldest_open_at.map(|at| format!(", the oldest received {}", when(at, status.now)));
    let dead_letters = if status.dead_letters == 0 { "none".into() } else { status.dead_letters.to_string() };
    let lines = Lines(vec![
        ("version", status.version),
        ("state", format!("{}, started {}", status.phase, utc(status.started_at))),
        ("events", format!("{} in progress{}", status.events_open, oldest.unwrap_or_default())),
        ("outbox", format!("{} queued, {} being sent", status.queued, status.sending)),
        ("dead letters", dead_letters),
    ]);
    let mut text = lines.print();
    let mut channels = Table::new(&["CHANNEL", "APP", "STATE"]);
    status.channels.iter().for_each(|row| channels.row([row.name.clone(), row.app.clone(), row.state.clone()]));
    let channels = print_list(&channels, status.channels.len(), "No channels.", None, screen);
    let plugins = plugins::table(&status.plugins, screen);
    let _ = write!(text, "\n{}\n{}", channels.text, plugins.text);
    for problem in &status.problems {
        let _ = writeln!(text, "\nproblem[{}]: {}", problem.code, multi_line(&problem.message));
    }
    let mut output = Output::from(text);
    if status.dead_letters > 0 {
        output.hints.push("run `beadle dead-letters list` to decide about dead letters".into());
    }
    if !status.problems.is_empty() {
        output.hints.push("run `beadle explain CODE` for what a problem means and what to do".into());
    }
    Ok(output)
}

/// A configuration error comes with an excerpt of the file: each line is printed as a line.
fn multi_line(text: &str) -> String {
    text.trim_end().lines().map(one_line).collect::<Vec<_>>().join("\n")
}

/// `beadle why`
pub fn why(response: Value, _: Screen) -> Result {
    let why: Why = from_value(response)?;
    let mut table = Table::new(&["TIME", "OBJECT", "WHAT HAPPENED"]);
    for step in &why.steps {
        table.row([step.at.map_or_else(|| "-".into(), utc), step.what.clone(), step.text.clone()]);
    }
    // A trace is read completely, so nothing is cut even on a terminal.
    Ok(print_list(&table, why.steps.len(), "Nothing is known about it.", None, Screen { width: None }))
}

/// The result of a command that changes something.
pub fn done(response: Value) -> Result {
    let done: Done = from_value(response)?;
    let warning = done.warning.map(|warning| format!("warning: {warning}\n")).unwrap_or_default();
    Ok(format!("{}\n{warning}", done.message).into())
}
