//! What the gate says about a message.

use super::templates::parameters;
use super::text::{Lines, Result, Screen, or_dash, problem, utc};
use crate::api::GateView;
use crate::cli::table::Table;
use serde_json::{Value, from_value};
use std::fmt::Write as _;

/// `beadle gate explain`
pub fn gate(response: Value, screen: Screen) -> Result {
    let view: GateView = from_value(response)?;
    let verdict = match (view.until, &view.problem) {
        (Some(until), _) => format!("later, not before {}", utc(until)),
        (None, Some(refused)) => format!("{}: {}", view.verdict, problem(refused)),
        (None, None) => view.verdict.clone(),
    };
    let lines = Lines(vec![
        ("verdict", verdict),
        ("instead", or_dash(view.instead.as_deref())),
        ("category", view.category.clone()),
        ("language", or_dash(view.language.as_deref())),
        ("conversation", view.conversation.clone()),
    ]);
    let mut text = lines.print();
    if !view.checks.is_empty() {
        let mut table = Table::new(&["CHECK", "OUTCOME", "REASON"]);
        for result in &view.checks {
            table.row([result.check.clone(), result.outcome.clone(), result.reason.clone()]);
        }
        let _ = write!(text, "\n{}", table.print(screen.width));
    }
    if !view.candidates.is_empty() {
        let mut table = Table::new(&["TEMPLATE", "LANGUAGE", "CATEGORY", "PARAMETERS"]);
        for row in &view.candidates {
            table.row([row.name.clone(), row.language.clone(), row.category.clone(), parameters(&row.parameters)]);
        }
        let _ = write!(text, "\n{}", table.print(screen.width));
    }
    Ok(text.into())
}
