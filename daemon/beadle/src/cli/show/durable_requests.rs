//! Durable requests of plugins, as a list and one by one.

use super::text::{Lines, Result, Screen, print_list, problem, utc};
use crate::api::{DurableRequestRow, List};
use crate::cli::table::{Table, when};
use serde_json::{Value, from_value};

/// `beadle requests list`
pub fn durable_requests(response: Value, screen: Screen) -> Result {
    let list: List<DurableRequestRow> = from_value(response)?;
    let mut table = Table::new(&["REQUEST", "PLUGIN", "STATE", "ATTEMPTS", "NEXT", "METHOD", "URL"]);
    for row in &list.items {
        table.row([
            row.id.clone(),
            row.plugin.clone(),
            row.state.clone(),
            row.attempts.to_string(),
            row.due_at.map_or_else(|| "-".into(), |at| if at > list.now { when(at, list.now) } else { "now".into() }),
            row.method.clone(),
            row.url.clone(),
        ]);
    }
    let next = list.next.map(|id| format!("--before {id}"));
    let mut output = print_list(&table, list.items.len(), "No requests.", next, screen);
    if list.items.iter().any(|row| row.state == "given-up") {
        output.hints.push("run `beadle dead-letters retry ID` to send one again that was given up".into());
    }
    Ok(output)
}

/// `beadle requests show`
pub fn durable_request(response: Value, _: Screen) -> Result {
    let row: DurableRequestRow = from_value(response)?;
    let mut lines = Lines(vec![
        ("request", row.id.clone()),
        ("plugin", format!("{}, for {}", row.plugin, row.event)),
        ("state", row.state.clone()),
        ("sends", format!("{} {} ({} bytes, {})", row.method, row.url, row.bytes, row.traffic)),
        ("attempts", row.attempts.to_string()),
        ("made", utc(row.created_at)),
        ("expires", utc(row.expires_at)),
    ]);
    lines.0.extend(row.key.clone().map(|key| ("key", key)));
    lines.0.extend(row.due_at.map(|at| ("next", utc(at))));
    lines.0.extend(row.given_up_at.map(|at| ("given up", utc(at))));
    lines.0.extend(row.problem.as_ref().map(|found| ("problem", problem(found))));
    Ok(lines.print().into())
}
