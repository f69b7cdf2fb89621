//! The consent ledger.

use super::text::{Lines, Result, Screen, or_dash, person, print_list, utc};
use crate::api::{ConsentCheckView, ConsentLinks, ConsentRow, ConsentsView, List};
use crate::cli::table::{Table, when};
use beadle_model::text::one_line;
use serde_json::{Value, from_value};
use std::fmt::Write as _;

/// `beadle consents list`
pub fn consents(response: Value, screen: Screen) -> Result {
    let list: List<ConsentRow> = from_value(response)?;
    let mut table = Table::new(&["ENTRY", "TIME", "PURPOSE", "ACTION", "SOURCE", "CONTACT"]).flexible(&["CONTACT"]);
    for row in &list.items {
        table.row([
            row.id.to_string(),
            when(row.at, list.now),
            row.purpose.clone(),
            row.act.clone(),
            row.source.clone(),
            person(row.name.as_deref(), Some(&row.contact)),
        ]);
    }
    let next = list.next.map(|id| format!("--before {id}"));
    Ok(print_list(&table, list.items.len(), "No entries.", next, screen))
}

/// `beadle consents show`
pub fn consent(response: Value, _: Screen) -> Result {
    let view: ConsentsView = from_value(response)?;
    let mut text = format!("{}\n\n", one_line(&person(view.name.as_deref(), Some(&view.contact))));
    let mut table = Table::new(&["PURPOSE", "STATE", "SINCE", "ENTRY"]);
    for row in &view.purposes {
        table.row([
            row.purpose.clone(),
            row.state.clone(),
            row.since.map_or_else(|| "-".into(), utc),
            row.entry.map_or_else(|| "-".into(), |entry| entry.to_string()),
        ]);
    }
    text.push_str(&table.print(None));
    for row in &view.entries {
        let mut lines = Lines(vec![
            ("entry", row.id.to_string()),
            ("purpose", format!("{} {}", row.purpose, row.act)),
            ("expressed", format!("{} by {}", utc(row.at), row.source)),
            ("recorded", format!("{} by {}", utc(row.recorded_at), row.actor)),
            ("evidence", or_dash(row.evidence.as_deref())),
        ]);
        lines.0.extend(row.wording.clone().map(|wording| ("wording", wording)));
        lines.0.extend(row.text.clone().map(|text| ("text", text)));
        lines.0.extend(row.expires_at.map(|at| ("expires", utc(at))));
        let _ = write!(text, "\n{}", lines.print());
    }
    Ok(text.into())
}

/// `beadle consents link`
pub fn consent_links(links: &ConsentLinks) -> String {
    let mut lines = Lines(Vec::new());
    lines.0.extend(links.chat.clone().map(|link| ("chat", link)));
    lines.0.extend(links.form.clone().map(|link| ("form", link)));
    lines.print()
}

/// Why there is nothing to draw.
pub fn no_link(links: &ConsentLinks, form: bool) -> String {
    let wording = one_line(&links.wording);
    match (form, &links.problem) {
        (true, _) => format!("the web form does not offer `{wording}`; add it to `wordings` in `[consents.form]`"),
        (false, Some(_)) => "there is no link to draw".into(),
        (false, None) => format!(
            "`{wording}` has neither a word nor a web form; set `word` in `[consents.wordings.{wording}]`, or add it to \
             `wordings` in `[consents.form]`"
        ),
    }
}

/// `beadle consents verify`
pub fn consent_check(response: Value) -> Result {
    let view: ConsentCheckView = from_value(response)?;
    if view.problems.is_empty() {
        let erased = if view.erased > 0 { format!(", {} of them erased", view.erased) } else { String::new() };
        return Ok(format!("{} entries{erased}, all intact. Last hash: {}\n", view.rows, view.head).into());
    }
    let mut text = format!("The ledger of {} entries is not intact:\n", view.rows);
    for problem in &view.problems {
        let _ = writeln!(text, "- {}", one_line(problem));
    }
    Ok(text.into())
}
