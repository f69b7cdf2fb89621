//! Limits of a message by itself: lengths in characters and numbers of parts
//! (`docs/whatsapp.md#bodies`).
//!
//! They are checked when a plugin sends, so that its author gets a sentence with the number in it,
//! and not the platform's error 131009 a second later. What the platform thinks of the text is not
//! checked.

mod parts;
mod rich;
#[cfg(test)]
mod tests;

use beadle_model::keyword::HOST_BUTTON;
use beadle_model::outgoing::{Button, Section};
use beadle_model::{Outgoing, Refusal};
use parts::{
    BUTTON_TITLE, FOOTER, HEADER, SECTIONS, check_message_id, check_text, empty, quoted, short, some_of, unique,
};

/// Characters of a text.
pub const TEXT: usize = 4096;
/// Characters of the text with buttons.
pub const BUTTONS_BODY: usize = 1024;
/// Characters of the text with a list.
pub const LIST_BODY: usize = 4096;
/// Buttons in a message.
pub const BUTTONS: usize = 3;
/// Characters of a button's id.
pub const BUTTON_ID: usize = 256;
/// Rows in all sections together.
pub const ROWS: usize = 10;
/// Characters of a section's title.
pub const SECTION_TITLE: usize = 24;
/// Characters of a row's id.
pub const ROW_ID: usize = 200;
/// Characters of a row.
pub const ROW_TITLE: usize = 24;
/// Characters of a row's second line.
pub const ROW_DESCRIPTION: usize = 72;
/// Code points of an emoji. The longest that Unicode recommends for interchange has ten (two people
/// kissing, each with a skin tone).
pub const EMOJI: usize = 16;

/// Checks a message against the platform's limits.
pub fn check(body: &Outgoing) -> Result<(), Refusal> {
    reserved_ids(body)?;
    match body {
        Outgoing::Text { body, quote, .. } => {
            check_text("the text", body, TEXT)?;
            quoted(quote)
        }
        Outgoing::Buttons { header, body, footer, buttons, quote } => {
            rich::above(header)?;
            around(&None, footer)?;
            check_text("the text", body, BUTTONS_BODY)?;
            some_of("buttons", buttons.len(), BUTTONS)?;
            each_button(buttons)?;
            quoted(quote)
        }
        Outgoing::List { header, body, footer, button, sections, quote } => {
            around(header, footer)?;
            check_text("the text", body, LIST_BODY)?;
            check_text("what opens the list", button, BUTTON_TITLE)?;
            some_of("sections", sections.len(), SECTIONS)?;
            some_of("rows", sections.iter().map(|section| section.rows.len()).sum(), ROWS)?;
            each_section(sections)?;
            quoted(quote)
        }
        Outgoing::Reaction { to, emoji } => {
            check_message_id(to)?;
            short("the emoji", emoji, EMOJI)
        }
        Outgoing::MarkRead { message } => check_message_id(message),
        Outgoing::Typing { to } => check_message_id(to),
        Outgoing::Direct(direct) => {
            rich::check(body)?;
            match &direct.message {
                // Allowed only here, and checked with the rest.
                Outgoing::VoiceCall { .. } => Ok(()),
                message => check(message),
            }
        }
        other => rich::check(other),
    }
}

/// Refuses ids and payloads that look like those of Beadle's own buttons: a tap on one answers a
/// question of Beadle's, such as whether a person agrees to advertising.
fn reserved_ids(body: &Outgoing) -> Result<(), Refusal> {
    let has_ids = matches!(
        body,
        Outgoing::Buttons { .. }
            | Outgoing::List { .. }
            | Outgoing::Template(_)
            | Outgoing::Interactive { .. }
            | Outgoing::Direct(_)
    );
    let reserved = || serde_json::to_string(body).is_ok_and(|json| json.contains(&format!("\"{HOST_BUTTON}")));
    if has_ids && reserved() {
        let message = format!("Ids and payloads of buttons must not start with `{HOST_BUTTON}`.");
        return Err(Refusal::new("bad-message", message).instead("Use another id."));
    }
    Ok(())
}

/// Checks the length of a message in the platform's own JSON before it is parsed. Code: `too-long`.
pub fn check_json(text: &str) -> Result<(), Refusal> {
    rich::json_length(text.len())
}

fn around(header: &Option<String>, footer: &Option<String>) -> Result<(), Refusal> {
    header.iter().try_for_each(|text| check_text("the header", text, HEADER))?;
    footer.iter().try_for_each(|text| check_text("the footer", text, FOOTER))
}

fn each_button(buttons: &[Button]) -> Result<(), Refusal> {
    for (number, button) in (1..).zip(buttons) {
        check_text(&format!("the id of button {number}"), &button.id, BUTTON_ID)?;
        check_text(&format!("the title of button {number}"), &button.title, BUTTON_TITLE)?;
    }
    unique("buttons", "id", buttons.iter().map(|button| &button.id))?;
    unique("buttons", "title", buttons.iter().map(|button| &button.title))
}

fn each_section(sections: &[Section]) -> Result<(), Refusal> {
    for (number, section) in (1..).zip(sections) {
        match &section.title {
            Some(title) => check_text(&format!("the title of section {number}"), title, SECTION_TITLE)?,
            None if sections.len() > 1 => return Err(empty(&format!("the title of section {number}"))),
            None => {}
        }
        if section.rows.is_empty() {
            return Err(Refusal::new(
                "empty-field",
                format!("Section {number} has no rows; WhatsApp requires at least one."),
            ));
        }
    }
    for (number, row) in (1..).zip(sections.iter().flat_map(|section| &section.rows)) {
        check_text(&format!("the id of row {number}"), &row.id, ROW_ID)?;
        check_text(&format!("the title of row {number}"), &row.title, ROW_TITLE)?;
        if let Some(description) = &row.description {
            check_text(&format!("the description of row {number}"), description, ROW_DESCRIPTION)?;
        }
    }
    unique("rows", "id", sections.iter().flat_map(|section| &section.rows).map(|row| &row.id))
}
