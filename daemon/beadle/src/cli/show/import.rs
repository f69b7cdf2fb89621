//! The report of an import.

use super::text::{Lines, Output, Result};
use crate::api::ImportView;
use beadle_model::text::{counted, one_line};
use serde_json::{Value, from_value};
use std::fmt::Write as _;

/// `beadle contacts import`
pub fn import(response: Value) -> Result {
    let view: ImportView = from_value(response)?;
    if !view.problems.is_empty() {
        let mut text = String::from("Nothing was imported:\n");
        for problem in &view.problems {
            let _ = writeln!(text, "line {}: {}", problem.line, one_line(&problem.message));
        }
        return Ok(text.into());
    }
    let done = if view.dry_run { "Would import" } else { "Imported" };
    let lines = Lines(vec![
        ("new", view.created.to_string()),
        ("known", view.known.to_string()),
        ("quarantined", view.quarantined.to_string()),
        ("consents", view.consents.to_string()),
        ("asked to confirm", view.asked.to_string()),
    ]);
    let mut output = Output::from(format!("{done} {} contacts.\n\n{}", view.rows, lines.print()));
    if view.quarantined > 0 {
        output.hints.push("nothing is sent to quarantined people until they write or their consent is recorded".into());
    }
    if view.withdrawn > 0 {
        output.hints.push(format!(
            "{} withdrawn what the file says they agreed to, so that is not recorded; give a later `consent_at` if they \
             agreed again; after STOP only START of their own counts",
            counted(view.withdrawn, "person has", "people have")
        ));
    }
    Ok(output)
}
