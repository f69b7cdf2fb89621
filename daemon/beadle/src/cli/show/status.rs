//! The state of the daemon, a trace, and the answer to a command.

use super::plugins;
use super::text::{Lines, Output, Result, Screen, print_list, utc};
use crate::api::{Done, Status, Why};
use crate::cli::table::{Table, when};
use serde_json::{Value, from_value};
use std::fmt::Write as _;

/// `beadle status`
pub fn status(response: Value, screen: Screen) -> Result {
    let status: Status = from_value(response)?;
    let oldest = status.oldest_open_at.map(|at| format!(", the oldest received {}", when(at, status.now)));
    let dead_letters = if status.dead_letters == 0 { "none".into() } else { status.dead_letters.to_string() };
    let mut lines = Lines(vec![
        ("version", status.version),
        ("state", format!("{}, started {}", status.phase, utc(status.started_at))),
        ("events", format!("{} in progress{}", status.events_open, oldest.unwrap_or_default())),
        ("outbox", format!("{} queued, {} being sent", status.queued, status.sending)),
        ("dead letters", dead_letters),
    ]);
    if status.contact_requests + status.open_erasures > 0 {
        let people = format!("{} requests, {} erasures", status.contact_requests, status.open_erasures);
        lines.0.push(("people", people));
    }
    let mut text = lines.print();
    let mut channels = Table::new(&["CHANNEL", "APP", "STATE"]);
    status.channels.iter().for_each(|row| channels.row([row.name.clone(), row.app.clone(), row.state.clone()]));
    let channels = print_list(&channels, status.channels.len(), "No channels.", None, screen);
    let plugins = plugins::table(&status.plugins, screen);
    let _ = write!(text, "\n{}\n{}", channels.text, plugins.text);
    // A configuration error comes with an excerpt of the file, so this may be several lines.
    for problem in &status.problems {
        let _ = writeln!(text, "\nproblem[{}]: {}", problem.code, problem.message.trim_end());
    }
    let mut output = Output::from(text);
    if status.dead_letters > 0 {
        output.hints.push("run `beadle dead-letters list` to decide about dead letters".into());
    }
    if status.contact_requests > 0 {
        output.hints.push("run `beadle contacts requests` to see what people ask for".into());
    }
    if !status.problems.is_empty() {
        output.hints.push("run `beadle explain CODE` for what a problem means and what to do".into());
    }
    Ok(output)
}

/// `beadle why`
pub fn why(response: Value, _: Screen) -> Result {
    let why: Why = from_value(response)?;
    let mut table = Table::new(&["TIME", "OBJECT", "WHAT HAPPENED"]);
    for step in &why.steps {
        table.row([step.at.map_or_else(|| "-".into(), utc), step.object.clone(), step.text.clone()]);
    }
    // A trace is read completely, so nothing is cut even on a terminal.
    Ok(print_list(&table, why.steps.len(), "No trace.", None, Screen { width: None }))
}

/// The result of a command that changes something.
pub fn done(response: Value) -> Result {
    let done: Done = from_value(response)?;
    let warning = done.warning.map(|warning| format!("warning: {warning}\n")).unwrap_or_default();
    Ok(format!("{}\n{warning}", done.message).into())
}
