//! What all responses are made of: tables, `name value` lines, names, times.

use crate::api::Problem;
use crate::cli::table::{Table, cut};
use beadle_model::text::{one_line, visible_lines};
use serde_json::Error;
use std::fmt::Write as _;

/// Where the text is printed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Screen {
    /// Columns of the terminal; none in a pipe or file.
    pub width: Option<usize>,
}

/// What a command prints. Nothing in it moves the cursor, reorders a line or is invisible.
#[derive(Debug)]
pub struct Output {
    /// For stdout.
    pub text: String,
    /// For stderr: what to do next.
    pub hints: Vec<String>,
}

impl Output {
    /// This text, whatever is in it, and these hints.
    pub fn new(text: &str, hints: &[String]) -> Self {
        Self { text: visible_lines(text), hints: hints.iter().map(|hint| one_line(hint)).collect() }
    }
}

impl From<String> for Output {
    fn from(text: String) -> Self {
        Self::new(&text, &[])
    }
}

/// An error is a response of an unexpected shape.
pub type Result<T = Output> = std::result::Result<T, Error>;

/// Aligned `name  value` lines.
pub struct Lines(pub Vec<(&'static str, String)>);

impl Lines {
    /// The lines.
    pub fn print(&self) -> String {
        let width = self.0.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        self.0.iter().fold(String::new(), |mut text, (name, value)| {
            let _ = writeln!(text, "{name:width$}  {}", one_line(value));
            text
        })
    }
}

/// The table, or `empty` as a sentence if it has no rows; `next` is the option that shows more.
pub fn print_list(table: &Table, count: usize, empty: &str, next: Option<String>, screen: Screen) -> Output {
    if count == 0 {
        return format!("{empty}\n").into();
    }
    let hints: Vec<String> = next.map(|option| format!("more results: add {option}")).into_iter().collect();
    Output::new(&table.print(screen.width), &hints)
}

/// The text, or `-` for none.
pub fn or_dash(text: Option<&str>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or("-").into()
}

/// The names with commas, or `-` for none.
pub fn joined(names: &[String]) -> String {
    if names.is_empty() { "-".into() } else { names.join(", ") }
}

/// `message (code)`
pub fn problem(problem: &Problem) -> String {
    format!("{} ({})", one_line(&problem.message), problem.code)
}

/// `2026-11-21 20:36:00 UTC`
pub fn utc(at_ms: i64) -> String {
    beadle_model::Timestamp(at_ms).utc()
}

/// Longer names are cut in lists; WhatsApp's own limit is 25 characters.
pub const MAX_NAME_WIDTH: usize = 40;

/// `name (con_…)`
pub fn person(name: Option<&str>, contact: Option<&str>) -> String {
    match (name, contact) {
        (Some(name), Some(contact)) => format!("{} ({contact})", cut(name, MAX_NAME_WIDTH)),
        (None, Some(contact)) => contact.into(),
        _ => "-".into(),
    }
}
