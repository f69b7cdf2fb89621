//! WhatsApp's lengths as the daemon checks them, so that a text that is too long fails in a test.

use crate::bindings::imports::outgoing::{Buttons, Header, List, Text};
use crate::types::Refusal;

type Checked = Result<(), Refusal>;

pub(super) fn text(message: &Text) -> Checked {
    length("text", &message.body, 4096)
}

pub(super) fn buttons(message: &Buttons) -> Checked {
    length("body", &message.body, 1024)?;
    let header = match &message.header {
        Some(Header::Text(text)) => Some(text),
        _ => None,
    };
    around(header, message.footer.as_ref())?;
    amount("buttons", message.buttons.len(), 3)?;
    for button in &message.buttons {
        length("title of a button", &button.title, 20)?;
        length("id of a button", &button.id, 256)?;
    }
    unique("buttons", message.buttons.iter().map(|button| &button.id).collect())?;
    unique("buttons", message.buttons.iter().map(|button| &button.title).collect())
}

pub(super) fn list(message: &List) -> Checked {
    length("body", &message.body, 4096)?;
    around(message.header.as_ref(), message.footer.as_ref())?;
    length("button", &message.button, 20)?;
    let rows = || message.sections.iter().flat_map(|section| &section.rows);
    amount("rows", rows().count(), 10)?;
    for section in &message.sections {
        match &section.title {
            Some(title) => length("title of a section", title, 24)?,
            None if message.sections.len() > 1 => return Err(empty("title of a section")),
            None => {}
        }
    }
    for row in rows() {
        length("title of a row", &row.title, 24)?;
        length("id of a row", &row.id, 200)?;
        if let Some(description) = &row.description {
            length("description of a row", description, 72)?;
        }
    }
    unique("rows", rows().map(|row| &row.id).collect())
}

/// Checks a text that may be empty.
pub(super) fn at_most(field: &str, text: &str, max: usize) -> Checked {
    if text.is_empty() { Ok(()) } else { length(field, text, max) }
}

fn around(header: Option<&String>, footer: Option<&String>) -> Checked {
    header.map_or(Ok(()), |header| length("header", header, 60))?;
    footer.map_or(Ok(()), |footer| length("footer", footer, 60))
}

fn length(field: &str, text: &str, max: usize) -> Checked {
    let count = text.chars().count();
    if text.trim().is_empty() {
        Err(empty(field))
    } else if count > max {
        Err(Refusal::new("too-long", format!("The {field} has {count} characters; the maximum is {max}.")))
    } else {
        Ok(())
    }
}

fn amount(field: &str, count: usize, max: usize) -> Checked {
    match count {
        0 => Err(empty(field)),
        count if count > max => {
            Err(Refusal::new("too-many", format!("There are {count} {field}; the maximum is {max}.")))
        }
        _ => Ok(()),
    }
}

fn unique(field: &str, mut all: Vec<&String>) -> Checked {
    let count = all.len();
    all.sort();
    all.dedup();
    if all.len() < count { Err(Refusal::new("duplicate-id", format!("Two {field} are equal."))) } else { Ok(()) }
}

fn empty(field: &str) -> Refusal {
    Refusal::new("empty-field", format!("The {field} is empty."))
}
