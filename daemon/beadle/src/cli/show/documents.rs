//! The documents of a plugin.

use super::super::table::{Table, when};
use super::{Screen, Shown, print_list};
use crate::api::{DocumentRow, List};
use serde_json::{Value, from_value};

/// `beadle plugins documents`
pub fn documents(answer: Value, screen: Screen) -> Shown {
    let list: List<DocumentRow> = from_value(answer)?;
    let mut table = Table::new(&["DOCUMENT", "BYTES", "SEEN", "NOT TAKEN BECAUSE"]);
    for it in &list.items {
        table.row([
            if it.name.is_empty() { "(the folder)".into() } else { it.name.clone() },
            it.size.map_or_else(|| "-".into(), |size| size.to_string()),
            it.seen_at.map_or_else(|| "-".into(), |at| when(at, list.now)),
            it.refused.clone().unwrap_or_default(),
        ]);
    }
    Ok(print_list(&table, list.items.len(), "no documents", None, screen))
}
