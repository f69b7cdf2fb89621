//! Events, messages and dead letters.

use super::text::{Lines, Output, Result, Screen, or_dash, person, print_list, problem, utc};
use crate::api::{DeadLetterRow, EventRow, EventView, List, MessageRow};
use crate::cli::table::{Table, json, when};
use beadle_model::text::one_line;
use serde_json::{Value, from_value};
use std::fmt::Write as _;

/// `beadle events list`
pub fn events(response: Value, screen: Screen) -> Result {
    let list: List<EventRow> = from_value(response)?;
    let mut table = Table::new(&["EVENT", "TIME", "KIND", "CHANNEL", "CONTACT", "ENDING", "SUMMARY"])
        .flexible(&["CONTACT", "ENDING"]);
    for row in &list.items {
        table.row([
            row.id.clone(),
            when(row.happened_at, list.now),
            row.kind.clone(),
            or_dash(row.channel.as_deref()),
            person(row.name.as_deref(), row.contact.as_deref()),
            row.ending.clone(),
            row.summary.clone(),
        ]);
    }
    let next = list.next.map(|id| format!("--before {id}"));
    Ok(print_list(&table, list.items.len(), "No events.", next, screen))
}

/// One line of `beadle events tail`.
pub fn event_line(item: Value) -> Result<String> {
    let row: EventRow = from_value(item)?;
    let contact = person(row.name.as_deref(), row.contact.as_deref());
    let line = format!("{}  {}  {}  {contact}  {}", utc(row.happened_at), row.id, row.kind, row.summary);
    Ok(format!("{}\n", one_line(&line)))
}

/// `beadle events show`
pub fn event(response: Value, screen: Screen) -> Result {
    let view: EventView = from_value(response)?;
    let lines = Lines(vec![
        ("event", view.row.id.clone()),
        ("kind", view.row.kind.clone()),
        ("happened", utc(view.row.happened_at)),
        ("received", utc(view.row.received_at)),
        ("channel", or_dash(view.row.channel.as_deref())),
        ("conversation", or_dash(view.conversation.as_deref())),
        ("contact", person(view.row.name.as_deref(), view.row.contact.as_deref())),
        ("ending", view.row.ending.clone()),
    ]);
    let mut text = lines.print();
    let _ = writeln!(text, "\n{}", json(&view.body)?);
    if !view.handlings.is_empty() {
        let mut table = Table::new(&["HANDLING", "PLUGIN", "STATE", "ATTEMPTS", "NEXT ATTEMPT", "ERROR"]);
        for row in &view.handlings {
            let error = format!("{} ({})", or_dash(row.error.as_deref()), or_dash(row.code.as_deref()));
            let next = row.next_at.map_or_else(|| "-".into(), |at| when(at, view.now));
            table.row([row.id.clone(), row.plugin.clone(), row.state.clone(), row.attempts.to_string(), next, error]);
        }
        let _ = write!(text, "\n{}", table.print(screen.width));
    }
    if !view.messages.is_empty() {
        let _ = write!(text, "\n{}", messages(&view.messages, view.now).print(screen.width));
    }
    Ok(text.into())
}

/// `beadle outbox list --state STATE`
pub fn outbox(response: Value, screen: Screen) -> Result {
    outbox_list(response, screen, "No messages.")
}

/// `beadle outbox list`, which shows only messages that are not finished.
pub fn outbox_waiting(response: Value, screen: Screen) -> Result {
    outbox_list(response, screen, "No messages are queued or being sent.")
}

fn outbox_list(response: Value, screen: Screen, empty: &str) -> Result {
    let list: List<MessageRow> = from_value(response)?;
    let next = list.next.map(|id| format!("--before {id}"));
    Ok(print_list(&messages(&list.items, list.now), list.items.len(), empty, next, screen))
}

fn messages(rows: &[MessageRow], now: i64) -> Table {
    let mut table = Table::new(&["MESSAGE", "TIME", "PLUGIN", "CONVERSATION", "STATE", "ATTEMPTS", "SUMMARY"])
        .flexible(&["PLUGIN"]);
    for row in rows {
        let receipt = row.receipt.as_ref().map(|receipt| format!(", {receipt}")).unwrap_or_default();
        let duplicate = if row.possibly_duplicate { ", possible duplicate" } else { "" };
        let error = row.problem.as_ref().map(|error| format!("{} | ", problem(error))).unwrap_or_default();
        table.row([
            row.id.clone(),
            when(row.due_at, now),
            row.plugin.clone(),
            row.conversation.clone(),
            format!("{}{receipt}{duplicate}", row.state),
            row.attempts.to_string(),
            format!("{error}{}", row.summary),
        ]);
    }
    table
}

/// `beadle dead-letters list`
pub fn dead_letters(response: Value, screen: Screen) -> Result {
    let list: List<DeadLetterRow> = from_value(response)?;
    let mut table =
        Table::new(&["DEAD LETTER", "TIME", "PLUGIN", "EVENT", "ATTEMPTS", "CODE", "SUMMARY"]).flexible(&["PLUGIN"]);
    for row in &list.items {
        table.row([
            row.id.clone(),
            when(row.given_up_at, list.now),
            row.plugin.clone(),
            or_dash(row.event.as_deref()),
            row.attempts.to_string(),
            row.code.clone(),
            row.summary.clone(),
        ]);
    }
    let next = list.next.map(|id| format!("--before {id}"));
    let mut output = print_list(&table, list.items.len(), "No dead letters.", next, screen);
    if !list.items.is_empty() {
        output.hints.push(
            "run `beadle dead-letters show ID` for the error, then `beadle dead-letters retry ID` or \
             `beadle dead-letters drop ID`"
                .into(),
        );
    }
    Ok(output)
}

/// `beadle dead-letters show`
pub fn dead_letter(response: Value, _: Screen) -> Result {
    let row: DeadLetterRow = from_value(response)?;
    let mut text = Lines(vec![
        ("dead letter", row.id.clone()),
        ("plugin", row.plugin),
        ("event", or_dash(row.event.as_deref())),
        ("given up", utc(row.given_up_at)),
        ("attempts", row.attempts.to_string()),
        ("code", row.code.clone()),
        ("error", row.error),
        ("summary", row.summary),
    ])
    .print();
    if let Some(at) = row.retried_at {
        let _ = writeln!(text, "retried      {}", utc(at));
    }
    if let Some(webhook) = &row.body {
        let _ = writeln!(text, "\n{}", beginning(webhook));
    }
    if row.answered {
        text.push_str("\nwarning: the event was answered meanwhile; a retry may answer it twice\n");
    }
    let hints = [
        format!("run `beadle explain {}` for what the code means", row.code),
        format!("run `beadle dead-letters retry {0}` or `beadle dead-letters drop {0}`", row.id),
    ];
    Ok(Output::new(&text, &hints))
}

/// The beginning of a rejected webhook, on one line: it may contain anything.
fn beginning(text: &str) -> String {
    const MAX_CHARS: usize = 4000;
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => {
            let hidden = text.len() - end;
            format!("{}\n… {hidden} more bytes, shown with --json", one_line(text.get(..end).unwrap_or_default()))
        }
        None => one_line(text),
    }
}
