//! What people asked the operator for.

use super::text::{MAX_NAME_WIDTH, Result, Screen, or_dash, person, print_list};
use crate::api::{List, RequestRow};
use crate::cli::table::{Table, cut, when};
use serde_json::{Value, from_value};

/// `beadle contacts requests`
pub fn requests(response: Value, screen: Screen) -> Result {
    let list: List<RequestRow> = from_value(response)?;
    let mut table = Table::new(&["REQUEST", "KIND", "ASKED", "CONFIRMED", "CONVERSATION", "CONTACT"]);
    for row in &list.items {
        let confirmed = match (row.kind.as_str(), row.confirmed_at) {
            ("human", _) => "-".into(),
            (_, Some(at)) => when(at, list.now),
            (_, None) => "not yet".into(),
        };
        table.row([
            row.id.to_string(),
            row.kind.clone(),
            when(row.asked_at, list.now),
            confirmed,
            or_dash(row.conversation.as_deref()),
            cut(&person(row.name.as_deref(), Some(&row.contact)), MAX_NAME_WIDTH),
        ]);
    }
    let mut output = print_list(&table, list.items.len(), "No open requests.", None, screen);
    if !list.items.is_empty() {
        output.hints.push("run `beadle contacts close-request REQUEST` when it is done".into());
    }
    Ok(output)
}
