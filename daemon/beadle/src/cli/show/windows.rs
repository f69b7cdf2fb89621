//! Open reply windows, as a list and counted by hour.

use super::text::{Result, Screen, person, print_list};
use crate::api::{List, WindowHourRow, WindowRow};
use crate::cli::table::{Table, duration, when};
use serde_json::{Value, from_value};
use std::collections::BTreeMap;

/// `beadle windows list`
pub fn windows(response: Value, screen: Screen) -> Result {
    let list: List<WindowRow> = from_value(response)?;
    let mut table = Table::new(&["CONVERSATION", "CHANNEL", "CLOSES IN", "LAST MESSAGE", "FREE ENTRY", "CONTACT"]);
    for row in &list.items {
        let free = row.free_entry_until.map(|until| until - list.now).filter(|left| *left > 0);
        table.row([
            row.conversation.clone(),
            row.channel.clone(),
            duration(row.closes_at - list.now),
            when(row.last_inbound_at, list.now),
            free.map_or_else(|| "-".into(), |left| format!("for {}", duration(left))),
            if row.group.is_some() { "(group)".into() } else { person(row.name.as_deref(), row.contact.as_deref()) },
        ]);
    }
    Ok(print_list(&table, list.items.len(), "No open windows.", None, screen))
}

/// `beadle windows list --by-hour`
pub fn windows_by_hour(response: Value, screen: Screen) -> Result {
    let list: List<WindowHourRow> = from_value(response)?;
    let mut hours: BTreeMap<i64, BTreeMap<&str, u64>> = BTreeMap::new();
    let mut channels: BTreeMap<&str, u64> = BTreeMap::new();
    for row in &list.items {
        *hours.entry(row.within_hours).or_default().entry(&row.channel).or_default() += row.windows;
        *channels.entry(&row.channel).or_default() += row.windows;
    }
    let mut table = Table::new(&["CLOSES WITHIN", "CHANNEL", "WINDOWS"]);
    for (hour, by_channel) in &hours {
        for (channel, windows) in by_channel {
            table.row([format!("{hour} h"), (*channel).to_owned(), windows.to_string()]);
        }
    }
    for (channel, windows) in &channels {
        table.row(["total".to_owned(), (*channel).to_owned(), windows.to_string()]);
    }
    Ok(print_list(&table, list.items.len(), "No open windows.", None, screen))
}
