//! Contacts, possible duplicates and merges.

use super::text::{Lines, MAX_NAME_WIDTH, Result, Screen, joined, or_dash, person, print_list, utc};
use crate::api::{ContactRow, ContactView, DuplicateRow, List, MergeView, MergedPlugin, Unreachable};
use crate::cli::table::{Table, cut, duration, when};
use beadle_model::text::{counted, one_line};
use serde_json::{Value, from_value};
use std::fmt::Write as _;

fn status(row: &ContactRow, now: i64) -> String {
    if let Some(since) = row.quarantined_since {
        return format!("quarantined {}", when(since, now));
    }
    match (row.opted_out_since, row.member_since) {
        (Some(since), _) => format!("opted out {}", when(since, now)),
        (None, Some(since)) => format!("member, joined {}", when(since, now)),
        (None, None) => "not a member".into(),
    }
}

/// `beadle contacts list`
pub fn contacts(response: Value, screen: Screen) -> Result {
    let list: List<ContactRow> = from_value(response)?;
    let mut table = Table::new(&["CONTACT", "CREATED", "LANGUAGE", "STATUS", "NAME"]);
    for row in &list.items {
        table.row([
            row.id.clone(),
            when(row.created_at, list.now),
            or_dash(row.language.as_deref()),
            status(row, list.now),
            cut(&or_dash(row.name.as_deref()), MAX_NAME_WIDTH),
        ]);
    }
    let next = list.next.map(|id| format!("--after {id}"));
    Ok(print_list(&table, list.items.len(), "No contacts.", next, screen))
}

/// `beadle contacts show`
pub fn contact(response: Value, screen: Screen) -> Result {
    let view: ContactView = from_value(response)?;
    let mut lines = Lines(vec![
        ("contact", view.row.id.clone()),
        ("name", or_dash(view.row.name.as_deref())),
        ("language", or_dash(view.row.language.as_deref())),
        ("time zone", or_dash(view.row.timezone.as_deref())),
        ("created", utc(view.row.created_at)),
        ("status", status(&view.row, view.now)),
        ("aliases", joined(&view.aliases)),
    ]);
    if let Some(Unreachable { since, code }) = &view.unreachable {
        let text = format!("not delivered by WhatsApp at {} ({code}): no templates until they write", utc(*since));
        lines.0.push(("unreachable", text));
    }
    if let Some(role) = &view.row.role {
        lines.0.push(("role", role.clone()));
    }
    if !view.row.tags.is_empty() {
        lines.0.push(("tags", joined(&view.row.tags)));
    }
    if !view.row.attributes.is_empty() {
        let attribute = |(name, value): (&String, &Value)| match value {
            Value::String(text) => format!("{name} {text}"),
            other => format!("{name} {other}"),
        };
        lines.0.push(("attributes", joined(&view.row.attributes.iter().map(attribute).collect::<Vec<_>>())));
    }
    if !view.merged.is_empty() {
        lines.0.push(("merged", joined(&view.merged)));
    }
    let mut text = lines.print();
    let mut table = Table::new(&["CONVERSATION", "CHANNEL", "LAST MESSAGE", "WINDOW"]);
    for row in &view.conversations {
        let window = row.window_until.map_or_else(
            || "never opened".into(),
            |until| match until - view.now {
                left if left > 0 => format!("open for {}", duration(left)),
                _ => format!("closed {}", when(until, view.now)),
            },
        );
        table.row([
            row.id.clone(),
            row.channel.clone(),
            row.last_inbound_at.map_or_else(|| "-".into(), |at| when(at, view.now)),
            window,
        ]);
    }
    let conversations = print_list(&table, view.conversations.len(), "No conversations.", None, screen);
    let _ = write!(text, "\n{}", conversations.text);
    for reason in &view.possible_duplicates {
        let _ = writeln!(text, "\nPossible duplicate: {}", one_line(reason));
    }
    Ok(text.into())
}

/// `beadle contacts duplicates`
pub fn duplicates(response: Value, screen: Screen) -> Result {
    let list: List<DuplicateRow> = from_value(response)?;
    let mut table =
        Table::new(&["CONTACT", "OTHER CONTACT", "SEEN", "SHARED ALIAS"]).flexible(&["CONTACT", "OTHER CONTACT"]);
    for row in &list.items {
        table.row([
            person(row.contact_name.as_deref(), Some(&row.contact)),
            person(row.other_name.as_deref(), Some(&row.other)),
            when(row.seen_at, list.now),
            row.alias.clone(),
        ]);
    }
    let mut output = print_list(&table, list.items.len(), "No possible duplicates.", None, screen);
    if !list.items.is_empty() {
        output.hints.push(
            "run `beadle contacts merge CONTACT OTHER --dry-run`, or `beadle contacts mark-distinct CONTACT OTHER`"
                .into(),
        );
    }
    Ok(output)
}

/// `beadle contacts merge`
pub fn merge(response: Value) -> Result {
    let view: MergeView = from_value(response)?;
    let kept = person(view.name.as_deref(), Some(&view.kept));
    let mut text = match view.dry_run {
        true => format!("Would merge {} into {kept}. Nothing was changed.\n\n", view.merged),
        false => format!("Merged {0} into {kept}. The id {0} remains valid.\n\n", view.merged),
    };
    let moved = view.moved_conversations.iter().map(|id| format!("{id} moves"));
    let merged = view.merged_conversations.iter().map(|merge| format!("{} merges into {}", merge.from, merge.into));
    let conversations: Vec<String> = moved.chain(merged).collect();
    let mut status = vec![match (view.was_member, view.is_member) {
        (_, true) => "member".to_owned(),
        (true, false) => format!("no longer a member ({} was one)", view.kept),
        (false, false) => "not a member".to_owned(),
    }];
    status.extend(view.opted_out_since.map(|at| format!("opted out since {}", utc(at))));
    status.extend(view.marketing_stopped_since.map(|at| format!("no marketing since {}", utc(at))));
    let mut lines = Lines(vec![
        ("aliases", view.aliases.to_string()),
        ("conversations", joined(&conversations)),
        ("groups", view.group_memberships.to_string()),
        ("group receipts", view.group_receipts.to_string()),
        ("status", status.join(", ")),
    ]);
    if view.join_requests > 0 {
        lines.0.push(("join requests", view.join_requests.to_string()));
    }
    text.push_str(&lines.print());
    if !view.plugins.is_empty() {
        let mut table = Table::new(&["PLUGIN", "VALUES", "TIMERS", "DROPPED (ALREADY SET)"]);
        for row in &view.plugins {
            table.row([row.plugin.clone(), row.moved_values.to_string(), row.moved_timers.to_string(), dropped(row)]);
        }
        let _ = write!(text, "\n{}", table.print(None));
    }
    Ok(text.into())
}

/// Values and timers of the merged contact that are dropped, because the kept contact has the same
/// keys.
fn dropped(row: &MergedPlugin) -> String {
    let values = match row.dropped_values {
        0 => None,
        count => Some(format!("{} ({})", counted(count, "value", "values"), joined(&row.dropped_keys))),
    };
    let timers = (row.dropped_timers > 0).then(|| counted(row.dropped_timers, "timer", "timers"));
    let parts: Vec<String> = [values, timers].into_iter().flatten().collect();
    joined(&parts)
}
