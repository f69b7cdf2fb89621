//! What a plugin remembers.

use super::super::table::{Table, one_line};
use super::{Screen, Shown, print_list};
use crate::api::{List, StateRow};
use serde_json::{Value, from_value};

/// `beadle plugins state`
pub fn state(answer: Value, screen: Screen) -> Shown {
    let list: List<StateRow> = from_value(answer)?;
    let mut table = Table::new(&["KEY", "BYTES", "VALUE"]);
    for it in &list.items {
        table.row([it.key.clone(), it.bytes.to_string(), one_line(&it.value)]);
    }
    let next = list.next.map(|key| format!("--after {key}"));
    Ok(print_list(&table, list.items.len(), "nothing is kept there", next.as_deref(), screen))
}
