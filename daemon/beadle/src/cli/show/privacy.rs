//! Erasures and their receipts.

use super::text::{Lines, Output, Result, Screen, or_dash, print_list, utc};
use crate::api::{ErasureRow, ErasureView, List, RetentionPlanView};
use crate::cli::table::{Table, when};
use beadle_model::time::DAY_MS;
use serde_json::{Value, from_value};
use std::fmt::Write as _;

/// `beadle erasures list`
pub fn erasures(response: Value, screen: Screen) -> Result {
    let list: List<ErasureRow> = from_value(response)?;
    let mut table = Table::new(&["ERASURE", "CONTACT", "ASKED BY", "BEGUN", "STATE", "COMPLETED"]);
    for row in &list.items {
        table.row([
            row.id.to_string(),
            row.contact.clone(),
            row.asked_by.clone(),
            when(row.begun_at, list.now),
            row.phase.clone(),
            row.completed_at.map_or_else(|| "-".into(), |at| when(at, list.now)),
        ]);
    }
    let next = list.next.map(|id| format!("--before {id}"));
    Ok(print_list(&table, list.items.len(), "No erasures.", next, screen))
}

/// `beadle erasures show`
pub fn erasure(response: Value) -> Result {
    let view: ErasureView = from_value(response)?;
    let lines = Lines(vec![
        ("erasure", view.row.id.to_string()),
        ("contact", view.row.contact.clone()),
        ("asked by", view.row.asked_by.clone()),
        ("begun", utc(view.row.begun_at)),
        ("state", view.row.phase.clone()),
        ("completed", view.row.completed_at.map_or_else(|| "not yet".into(), utc)),
    ]);
    let mut text = lines.print();
    if !view.plugins.is_empty() {
        let mut table = Table::new(&["PLUGIN", "STATE", "ATTEMPTS", "ERROR"]);
        for plugin in &view.plugins {
            table.row([
                plugin.plugin.clone(),
                plugin.state.clone(),
                plugin.attempts.map_or_else(|| "-".into(), |attempts| attempts.to_string()),
                or_dash(plugin.error.as_deref()),
            ]);
        }
        let _ = write!(text, "\n{}", table.print(None));
    }
    if !view.erased.is_empty() {
        let mut table = Table::new(&["ERASED", "ROWS"]);
        for (name, count) in &view.erased {
            table.row([name.replace('_', " "), count.to_string()]);
        }
        let _ = write!(text, "\n{}", table.print(None));
    }
    let mut output = Output::from(text);
    for dead_letter in view.plugins.iter().filter_map(|plugin| plugin.dead_letter.as_ref()) {
        output.hints.push(format!(
            "the plugin is called again every ten minutes; `beadle dead-letters retry {dead_letter}` calls it now, `drop` \
             continues without it"
        ));
    }
    Ok(output)
}

/// `beadle retention plan`
pub fn retention_plan(response: Value, screen: Screen) -> Result {
    let view: RetentionPlanView = from_value(response)?;
    let mut table = Table::new(&["KIND", "KEPT", "TO DELETE"]);
    for row in &view.kinds {
        let at_least = if row.at_least { " or more" } else { "" };
        table.row([
            row.kind.replace('_', " "),
            row.keep_ms.map_or_else(|| "-".into(), |ms| format!("{}d", ms / DAY_MS)),
            format!("{}{at_least}", row.count),
        ]);
    }
    let mut output = Output::from(table.print(screen.width));
    if view.measured_at < view.now {
        output.hints.push(format!(
            "the clock jumped ahead, which is ignored for a day: age is measured by {}",
            utc(view.measured_at)
        ));
    }
    Ok(output)
}
