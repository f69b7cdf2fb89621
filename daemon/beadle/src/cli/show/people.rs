//! People: lists of them, one of them, and two that are one.

use super::super::table::{Table, length, one_line, when};
use super::{Lines, Screen, Shown, names, or_dash, print_list, utc, who};
use crate::api::{ContactRow, ContactView, List, MergeProposal, MergeView, MergedPlugin};
use serde_json::{Value, from_value};
use std::fmt::Write as _;

fn standing(it: &ContactRow, now: i64) -> String {
    match (it.opted_out_since, it.member_since) {
        (Some(since), _) => format!("opted out {}", when(since, now)),
        (None, Some(since)) => format!("member, joined {}", when(since, now)),
        (None, None) => "no member".into(),
    }
}

/// `beadle contacts list`
pub fn contacts(answer: Value, screen: Screen) -> Shown {
    let list: List<ContactRow> = from_value(answer)?;
    let mut table = Table::new(&["CONTACT", "KNOWN", "LANGUAGE", "STANDING", "NAME"]);
    for it in &list.items {
        table.row([
            it.id.clone(),
            when(it.created_at, list.now),
            or_dash(it.language.as_deref()),
            standing(it, list.now),
            or_dash(it.name.as_deref()),
        ]);
    }
    let next = list.next.map(|id| format!("--after {id}"));
    Ok(print_list(&table, list.items.len(), "no contacts", next.as_deref(), screen))
}

/// `beadle contacts duplicates`
pub fn duplicates(answer: Value, screen: Screen) -> Shown {
    let list: List<MergeProposal> = from_value(answer)?;
    let mut table = Table::new(&["CONTACT", "AND", "SEEN", "BECAUSE OF"]);
    for it in &list.items {
        let (claimed, holder) =
            (who(it.claimed_name.as_deref(), Some(&it.claimed)), who(it.holder_name.as_deref(), Some(&it.holder)));
        table.row([claimed, holder, when(it.seen_at, list.now), it.alias.clone()]);
    }
    let mut text = print_list(&table, list.items.len(), "nobody seems to be here twice", None, screen);
    if !list.items.is_empty() {
        text.push_str("\nDecide with `beadle contacts merge KEEP GONE` (first with --dry-run) or `beadle contacts mark-distinct ONE OTHER`.\n");
    }
    Ok(text)
}

/// `beadle contacts merge`
pub fn merged(answer: Value) -> Shown {
    let it: MergeView = from_value(answer)?;
    let kept = who(it.name.as_deref(), Some(&it.kept));
    let mut text = match it.dry_run {
        true => format!("{} would become one with {kept}. Nothing was changed.\n\n", it.gone),
        false => format!("{} is one with {kept} now; its id stays good.\n\n", it.gone),
    };
    let joined = it.joined.iter().map(|(gone, kept)| format!("{gone} is one with {kept}"));
    let talks: Vec<String> = it.moved.iter().map(|id| format!("{id} moves")).chain(joined).collect();
    let member = if it.is_member { "member" } else { "no member" };
    let silent = it.opted_out_since.map(|at| format!(", wants no messages since {}", utc(at)));
    let sober = it.marketing_stopped_since.map(|at| format!(", wants no marketing since {}", utc(at)));
    let mut lines = Lines(vec![
        ("names", it.names.to_string()),
        ("conversations", names(&talks)),
        ("groups", it.groups.to_string()),
        ("receipts", it.receipts.to_string()),
        ("standing", format!("{member}{}{}", silent.unwrap_or_default(), sober.unwrap_or_default())),
    ]);
    if it.was_member && !it.is_member {
        lines.0.push(("", format!("{} was a member before", it.kept)));
    }
    if it.join_requests > 0 {
        lines.0.push(("requests", format!("{} to come into a group", it.join_requests)));
    }
    text.push_str(&lines.print());
    for plugin in &it.plugins {
        let _ = writeln!(text, "{}", kept_by(plugin, &it.kept));
    }
    Ok(text)
}

/// What one plugin kept about a contact that is merged.
fn kept_by(it: &MergedPlugin, kept: &str) -> String {
    let mut text = format!("plugin {}: values: {} move", it.plugin, it.values);
    if it.values_dropped > 0 {
        let _ = write!(text, ", {} give way to those of {kept} ({})", it.values_dropped, names(&it.keys_dropped));
    }
    let _ = write!(text, "; timers: {} move", it.timers);
    if it.timers_dropped > 0 {
        let _ = write!(text, ", {} give way to those of {kept}", it.timers_dropped);
    }
    one_line(&text)
}

/// `beadle contacts show`
pub fn contact(answer: Value, screen: Screen) -> Shown {
    let it: ContactView = from_value(answer)?;
    let mut text = Lines(vec![
        ("contact", it.row.id.clone()),
        ("name", or_dash(it.row.name.as_deref())),
        ("language", or_dash(it.row.language.as_deref())),
        ("time zone", or_dash(it.row.timezone.as_deref())),
        ("known since", utc(it.row.created_at)),
        ("standing", standing(&it.row, it.now)),
        ("known as", names(&it.aliases)),
    ]);
    if !it.merged.is_empty() {
        text.0.push(("also", names(&it.merged)));
    }
    let mut text = text.print();
    let mut table = Table::new(&["CONVERSATION", "CHANNEL", "WROTE LAST", "WINDOW"]);
    for row in &it.conversations {
        let window = row.window_until.map_or_else(
            || "never opened".into(),
            |until| match until - it.now {
                left if left > 0 => format!("open for {}", length(left)),
                _ => format!("closed {}", when(until, it.now)),
            },
        );
        table.row([
            row.id.clone(),
            row.channel.clone(),
            row.last_inbound_at.map_or_else(|| "-".into(), |at| when(at, it.now)),
            window,
        ]);
    }
    let _ = write!(text, "\n{}", print_list(&table, it.conversations.len(), "no conversations", None, screen));
    for clash in &it.clashes {
        let _ = writeln!(text, "\nPerhaps the same person: {}", one_line(clash));
    }
    Ok(text)
}
