//! Windows, as a list and by the hour.

use super::super::table::{Table, length, when};
use super::{Screen, Shown, print_list, who};
use crate::api::{List, WindowHourRow, WindowRow};
use serde_json::{Value, from_value};
use std::collections::BTreeMap;

/// `beadle windows list`
pub fn windows(answer: Value, screen: Screen) -> Shown {
    let list: List<WindowRow> = from_value(answer)?;
    let mut table = Table::new(&["CONVERSATION", "CHANNEL", "LEFT", "WROTE LAST", "FREE ENTRY", "WHO"]);
    for it in &list.items {
        let free = it.free_entry_until.map(|until| until - list.now).filter(|left| *left > 0);
        table.row([
            it.conversation.clone(),
            it.channel.clone(),
            length(it.closes_at - list.now),
            when(it.last_inbound_at, list.now),
            free.map_or_else(|| "-".into(), length),
            if it.group.is_some() { "a group".into() } else { who(it.name.as_deref(), it.contact.as_deref()) },
        ]);
    }
    Ok(print_list(&table, list.items.len(), "no window is open", None, screen))
}

/// `beadle windows list --by-hour`: a line for each hour, a column for each channel.
pub fn windows_by_hour(answer: Value, screen: Screen) -> Shown {
    let list: List<WindowHourRow> = from_value(answer)?;
    let mut hours: BTreeMap<i64, BTreeMap<&str, u64>> = BTreeMap::new();
    let mut channels: BTreeMap<&str, u64> = BTreeMap::new();
    for it in &list.items {
        *hours.entry(it.within_hours).or_default().entry(&it.channel).or_default() += it.windows;
        *channels.entry(&it.channel).or_default() += it.windows;
    }
    let mut table = Table::new(&["CLOSES WITHIN", "CHANNEL", "WINDOWS"]);
    for (hour, by_channel) in &hours {
        for (channel, windows) in by_channel {
            table.row([format!("{hour} h"), (*channel).to_owned(), windows.to_string()]);
        }
    }
    for (channel, windows) in &channels {
        table.row(["in all".to_owned(), (*channel).to_owned(), windows.to_string()]);
    }
    Ok(print_list(&table, list.items.len(), "no window is open", None, screen))
}
