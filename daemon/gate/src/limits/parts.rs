//! Checks of a single part of a message, and the limits that several kinds of message share.

use beadle_model::Refusal;
use std::collections::HashSet;

/// Characters above buttons or a list.
pub const HEADER: usize = 60;
/// Characters below buttons or a list.
pub const FOOTER: usize = 60;
/// Characters of a button, and of what opens a list.
pub const BUTTON_TITLE: usize = 20;
/// Sections in a list.
pub const SECTIONS: usize = 10;

/// A platform message id must not be empty.
pub fn check_message_id(platform_id: &str) -> Result<(), Refusal> {
    if platform_id.trim().is_empty() { Err(empty("the id of the message it is about")) } else { Ok(()) }
}

/// So must the id of a quoted message.
pub fn quoted(quote: &Option<String>) -> Result<(), Refusal> {
    quote.iter().try_for_each(|platform_id| check_message_id(platform_id))
}

/// Checks that a text is not blank, which the platform refuses, and has at most `limit` characters.
pub fn check_text(field: &str, text: &str, limit: usize) -> Result<(), Refusal> {
    if text.trim().is_empty() { Err(empty(field)) } else { short(field, text, limit) }
}

/// A text of at most `limit` characters.
pub fn short(field: &str, text: &str, limit: usize) -> Result<(), Refusal> {
    // A character has at least one byte, so most texts need not be counted.
    if text.len() <= limit {
        return Ok(());
    }
    match text.chars().count() {
        count if count > limit => Err(Refusal::new(
            "too-long",
            sentence(field, &format!("has {count} characters; WhatsApp allows at most {limit}.")),
        )),
        _ => Ok(()),
    }
}

/// 1 to `limit` parts.
pub fn some_of(field: &str, count: usize, limit: usize) -> Result<(), Refusal> {
    match count {
        0 => Err(Refusal::new("empty-field", format!("There are no {field}; WhatsApp requires 1 to {limit}."))),
        count if count > limit => Err(Refusal::new(
            "too-many",
            format!("There are {count} {field}; WhatsApp allows at most {limit} in a message."),
        )),
        _ => Ok(()),
    }
}

/// No two parts have the same id or title.
pub fn unique<'a>(field: &str, part: &str, mut all: impl Iterator<Item = &'a String>) -> Result<(), Refusal> {
    let mut seen = HashSet::new();
    match all.find(|one| !seen.insert(*one)) {
        Some(twice) => {
            Err(Refusal::new("duplicate-id", format!("Two {field} have the {part} `{twice}`; each must be unique.")))
        }
        None => Ok(()),
    }
}

/// Nothing is there.
pub fn empty(field: &str) -> Refusal {
    Refusal::new("empty-field", sentence(field, "is empty; WhatsApp requires at least one character."))
}

/// Joins a noun phrase and a predicate into a sentence.
fn sentence(field: &str, rest: &str) -> String {
    let mut letters = field.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase()).into_iter();
    first.chain(letters).chain([' ']).chain(rest.chars()).collect()
}
