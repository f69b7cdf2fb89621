//! Segments, their members, why a person belongs to one, and lists.

use super::text::{Lines, MAX_NAME_WIDTH, Output, Result, Screen, joined, or_dash, person, print_list, problem, utc};
use crate::api::{
    List, ListChanged, MemberRow, NamedValue, PeopleListRow, ReasonPart, SegmentCount, SegmentExplanation, SegmentRow,
};
use crate::cli::table::{Table, cut, when};
use beadle_model::text::{counted, one_line};
use serde_json::{Value, from_value};
use std::fmt::Write as _;

/// `beadle segments list`
pub fn segments(response: Value, screen: Screen) -> Result {
    let list: List<SegmentRow> = from_value(response)?;
    let mut table = Table::new(&["SEGMENT", "WHERE", "DESCRIPTION"]).flexible(&["WHERE", "DESCRIPTION"]);
    for row in &list.items {
        table.row([row.name.clone(), one_line(&row.expression), or_dash(row.description.as_deref())]);
    }
    let next = list.next.map(|name| format!("--after {name}"));
    let mut output =
        print_list(&table, list.items.len(), "No segments. Define one in `[segments.NAME]`.", next, screen);
    for row in &list.items {
        if let Some(found) = &row.problem {
            output.hints.push(format!("segment {} cannot be used: {}", row.name, problem(found)));
        }
    }
    Ok(output)
}

/// `beadle segments count`
pub fn segment_count(response: Value, _: Screen) -> Result {
    let count: SegmentCount = from_value(response)?;
    let people = counted(count.people, "person", "people");
    let members = counted(count.members, "member", "members");
    Ok(format!("{}: {members} of {people}\n", count.name).into())
}

/// `beadle segments members`
pub fn segment_members(response: Value, screen: Screen) -> Result {
    let list: List<MemberRow> = from_value(response)?;
    let mut table = Table::new(&["CONTACT", "NAME"]);
    for row in &list.items {
        table.row([row.contact.clone(), cut(&or_dash(row.name.as_deref()), MAX_NAME_WIDTH)]);
    }
    Ok(print_list(&table, list.items.len(), "No members.", list.next.map(|id| format!("--after {id}")), screen))
}

/// `beadle segments explain`
pub fn segment_explanation(response: Value, _: Screen) -> Result {
    let view: SegmentExplanation = from_value(response)?;
    let relation = if view.member { "belongs" } else { "does not belong" };
    let name = person(view.name.as_deref(), Some(&view.contact));
    let mut text = format!("{name} {relation} to {}.\n\n", view.segment);
    part(&view.reason, 0, &mut text);
    Ok(text.into())
}

/// A part and, indented, its own parts.
fn part(reason: &ReasonPart, depth: usize, text: &mut String) {
    let sign = if reason.holds { "yes" } else { "no" };
    let values = reason.values.iter().map(|NamedValue { name, value }| format!("{name}: {value}"));
    let values = values.collect::<Vec<_>>().join("; ");
    let _ = write!(text, "{sign:<4}{:width$}{}", "", one_line(&reason.text), width = depth * 2);
    if !values.is_empty() {
        let _ = write!(text, "  [{}]", one_line(&values));
    }
    text.push('\n');
    for inner in &reason.parts {
        part(inner, depth + 1, text);
    }
}

/// `beadle lists list`
pub fn people_lists(response: Value, screen: Screen) -> Result {
    let list: List<PeopleListRow> = from_value(response)?;
    let mut table =
        Table::new(&["LIST", "MEMBERS", "CREATED", "SEGMENTS", "DESCRIPTION"]).flexible(&["SEGMENTS", "DESCRIPTION"]);
    for row in &list.items {
        table.row([
            row.name.clone(),
            row.members.to_string(),
            when(row.created_at, list.now),
            joined(&row.segments),
            or_dash(row.description.as_deref()),
        ]);
    }
    Ok(print_list(&table, list.items.len(), "No lists.", list.next.map(|name| format!("--after {name}")), screen))
}

/// `beadle lists create`
pub fn people_list_created(response: Value) -> Result {
    let row: PeopleListRow = from_value(response)?;
    let lines = Lines(vec![
        ("list", row.name.clone()),
        ("description", or_dash(row.description.as_deref())),
        ("created", utc(row.created_at)),
        ("members", row.members.to_string()),
    ]);
    let hint = format!("add people with `beadle lists add {} con_…`", row.name);
    Ok(Output::new(&lines.print(), &[hint]))
}

/// `beadle lists show`
pub fn people_list_members(response: Value, screen: Screen) -> Result {
    let list: List<MemberRow> = from_value(response)?;
    let mut table = Table::new(&["CONTACT", "ADDED", "NAME"]);
    for row in &list.items {
        let added = row.added_at.map_or_else(|| "-".into(), |at| when(at, list.now));
        table.row([row.contact.clone(), added, cut(&or_dash(row.name.as_deref()), MAX_NAME_WIDTH)]);
    }
    Ok(print_list(&table, list.items.len(), "No members.", list.next.map(|id| format!("--after {id}")), screen))
}

/// `beadle lists add` and `beadle lists remove`
pub fn people_list_changed(name: &str, changed: &ListChanged) -> Output {
    let ListChanged { added, removed, members } = changed;
    format!("{name}: {added} added, {removed} removed; {} now\n", counted(*members, "member", "members")).into()
}
