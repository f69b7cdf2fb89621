//! How long and how many: the limits of a message by itself (whatsapp.md 2.2), counted in characters.
//!
//! Asked when a plugin sends, so that its author reads a sentence with the number in it and not the platform's 131009
//! a second later. It is not about whether the platform will like the text.

use beadle_model::content::{Button, Section};
use beadle_model::{Outgoing, Refusal};
use std::collections::HashSet;

/// Characters of a text.
pub const TEXT: usize = 4096;
/// Characters above buttons or a list.
pub const HEADER: usize = 60;
/// Characters below buttons or a list.
pub const FOOTER: usize = 60;
/// Characters of the text with buttons.
pub const BUTTONS_BODY: usize = 1024;
/// Characters of the text with a list.
pub const LIST_BODY: usize = 4096;
/// Buttons in a message.
pub const BUTTONS: usize = 3;
/// Characters of a button's id.
pub const BUTTON_ID: usize = 256;
/// Characters of a button, and of what opens a list.
pub const BUTTON_TITLE: usize = 20;
/// Sections in a list.
pub const SECTIONS: usize = 10;
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
/// Code points of an emoji: the longest that Unicode recommends for interchange has ten (two people who kiss, each
/// with a skin tone); the rest is room.
pub const EMOJI: usize = 16;

/// Is the message within the platform's limits? Codes: `empty`, `too-long`, `too-many`, `not-unique`.
pub fn check(body: &Outgoing) -> Result<(), Refusal> {
    match body {
        Outgoing::Text { body, quote, .. } => {
            filled("the text", body, TEXT)?;
            quoted(quote)
        }
        Outgoing::Buttons { header, body, footer, buttons, quote } => {
            around(header, footer)?;
            filled("the text", body, BUTTONS_BODY)?;
            some_of("buttons", buttons.len(), BUTTONS)?;
            each_button(buttons)?;
            quoted(quote)
        }
        Outgoing::List { header, body, footer, button, sections, quote } => {
            around(header, footer)?;
            filled("the text", body, LIST_BODY)?;
            filled("what opens the list", button, BUTTON_TITLE)?;
            some_of("sections", sections.len(), SECTIONS)?;
            some_of("rows", sections.iter().map(|section| section.rows.len()).sum(), ROWS)?;
            each_section(sections)?;
            quoted(quote)
        }
        Outgoing::Reaction { to, emoji } => {
            named(to)?;
            short("the emoji", emoji, EMOJI)
        }
        Outgoing::MarkRead { message } => named(message),
        Outgoing::Typing { to } => named(to),
    }
}

fn around(header: &Option<String>, footer: &Option<String>) -> Result<(), Refusal> {
    header.iter().try_for_each(|text| filled("the header", text, HEADER))?;
    footer.iter().try_for_each(|text| filled("the footer", text, FOOTER))
}

fn each_button(buttons: &[Button]) -> Result<(), Refusal> {
    for (number, button) in (1..).zip(buttons) {
        filled(&format!("the id of button {number}"), &button.id, BUTTON_ID)?;
        filled(&format!("the title of button {number}"), &button.title, BUTTON_TITLE)?;
    }
    unique("buttons", "id", buttons.iter().map(|button| &button.id))?;
    unique("buttons", "title", buttons.iter().map(|button| &button.title))
}

fn each_section(sections: &[Section]) -> Result<(), Refusal> {
    for (number, section) in (1..).zip(sections) {
        match &section.title {
            Some(title) => filled(&format!("the title of section {number}"), title, SECTION_TITLE)?,
            None if sections.len() > 1 => return Err(empty(&format!("the title of section {number}"))),
            None => {}
        }
        if section.rows.is_empty() {
            return Err(Refusal::new("empty", format!("Section {number} has no rows; WhatsApp takes at least one.")));
        }
    }
    for (number, row) in (1..).zip(sections.iter().flat_map(|section| &section.rows)) {
        filled(&format!("the id of row {number}"), &row.id, ROW_ID)?;
        filled(&format!("the title of row {number}"), &row.title, ROW_TITLE)?;
        if let Some(description) = &row.description {
            filled(&format!("the description of row {number}"), description, ROW_DESCRIPTION)?;
        }
    }
    unique("rows", "id", sections.iter().flat_map(|section| &section.rows).map(|row| &row.id))
}

/// The platform's id of a message: there must be one.
fn named(platform_id: &str) -> Result<(), Refusal> {
    if platform_id.trim().is_empty() { Err(empty("the id of the message it is about")) } else { Ok(()) }
}

fn quoted(quote: &Option<String>) -> Result<(), Refusal> {
    quote.iter().try_for_each(|platform_id| named(platform_id))
}

/// White space alone is nothing: the platform refuses it.
fn filled(what: &str, text: &str, most: usize) -> Result<(), Refusal> {
    if text.trim().is_empty() { Err(empty(what)) } else { short(what, text, most) }
}

fn short(what: &str, text: &str, most: usize) -> Result<(), Refusal> {
    // A character has at least a byte, so most texts need not be counted.
    if text.len() <= most {
        return Ok(());
    }
    match text.chars().count() {
        count if count > most => Err(Refusal::new(
            "too-long",
            sentence(what, &format!("has {count} characters; WhatsApp takes {most} at most.")),
        )),
        _ => Ok(()),
    }
}

fn some_of(what: &str, count: usize, most: usize) -> Result<(), Refusal> {
    match count {
        0 => Err(Refusal::new("empty", format!("There are no {what}; WhatsApp takes 1 to {most}."))),
        count if count > most => Err(Refusal::new(
            "too-many",
            format!("There are {count} {what}; WhatsApp takes {most} at most in one message."),
        )),
        _ => Ok(()),
    }
}

fn unique<'a>(what: &str, part: &str, mut all: impl Iterator<Item = &'a String>) -> Result<(), Refusal> {
    let mut seen = HashSet::new();
    match all.find(|one| !seen.insert(*one)) {
        Some(twice) => {
            Err(Refusal::new("not-unique", format!("Two {what} have the {part} `{twice}`; each needs one of its own.")))
        }
        None => Ok(()),
    }
}

fn empty(what: &str) -> Refusal {
    Refusal::new("empty", sentence(what, "is empty; WhatsApp takes at least one character."))
}

/// `the text` and `is …` as a sentence.
fn sentence(what: &str, rest: &str) -> String {
    let mut letters = what.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase()).into_iter();
    first.chain(letters).chain([' ']).chain(rest.chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use beadle_model::content::Row;

    fn text(body: &str) -> Outgoing {
        Outgoing::Text { body: body.into(), preview_url: false, quote: None }
    }

    fn buttons(ids_and_titles: &[(&str, &str)]) -> Outgoing {
        let buttons = ids_and_titles.iter().map(|(id, title)| Button { id: (*id).into(), title: (*title).into() });
        Outgoing::Buttons { header: None, body: "b".into(), footer: None, buttons: buttons.collect(), quote: None }
    }

    fn rows(from: usize, count: usize) -> Vec<Row> {
        (from..from + count)
            .map(|n| Row { id: format!("row-{n}"), title: format!("Row {n}"), description: None })
            .collect()
    }

    fn list(sections: Vec<Section>) -> Outgoing {
        Outgoing::List { header: None, body: "b".into(), footer: None, button: "Open".into(), sections, quote: None }
    }

    fn section(title: Option<&str>, rows: Vec<Row>) -> Section {
        Section { title: title.map(Into::into), rows }
    }

    fn code(body: &Outgoing) -> String {
        check(body).map_or_else(
            |refusal| {
                assert!(crate::CODES.contains(&refusal.code.as_str()));
                refusal.code
            },
            |()| "ok".into(),
        )
    }

    #[test]
    fn characters_are_counted_and_not_bytes() {
        for letter in ["x", "ä", "👍"] {
            assert_eq!(code(&text(&letter.repeat(TEXT))), "ok");
            assert_eq!(code(&text(&letter.repeat(TEXT + 1))), "too-long");
        }
        assert_eq!(
            check(&text(&"ä".repeat(4097))).unwrap_err().message,
            "The text has 4097 characters; WhatsApp takes 4096 at most."
        );
    }

    #[test]
    fn white_space_is_empty() {
        assert_eq!(code(&text("")), "empty");
        assert_eq!(code(&text(" \n")), "empty");
        assert_eq!(code(&Outgoing::MarkRead { message: String::new() }), "empty");
        assert_eq!(code(&Outgoing::Typing { to: " ".into() }), "empty");
        assert_eq!(code(&Outgoing::Reaction { to: String::new(), emoji: "👍".into() }), "empty");
    }

    #[test]
    fn a_reaction_may_be_taken_back_and_is_short() {
        let reaction = |emoji: &str| code(&Outgoing::Reaction { to: "wamid.1".into(), emoji: emoji.into() });
        assert_eq!(reaction(""), "ok");
        assert_eq!(reaction("👩🏽‍❤️‍💋‍👨🏿"), "ok");
        assert_eq!(reaction("this is not an emoji"), "too-long");
    }

    #[test]
    fn buttons_are_one_to_three_and_differ() {
        assert_eq!(code(&buttons(&[])), "empty");
        assert_eq!(code(&buttons(&[("1", "a"), ("2", "b"), ("3", "c")])), "ok");
        assert_eq!(code(&buttons(&[("1", "a"), ("2", "b"), ("3", "c"), ("4", "d")])), "too-many");
        assert_eq!(code(&buttons(&[("1", "a"), ("1", "b")])), "not-unique");
        assert_eq!(code(&buttons(&[("1", "a"), ("2", "a")])), "not-unique");
        assert_eq!(code(&buttons(&[(&"i".repeat(257), "a")])), "too-long");
        assert_eq!(
            check(&buttons(&[("1", "a"), ("2", &"t".repeat(21))])).unwrap_err().message,
            "The title of button 2 has 21 characters; WhatsApp takes 20 at most."
        );
    }

    #[test]
    fn a_list_has_ten_rows_in_all() {
        assert_eq!(code(&list(vec![section(None, rows(0, 10))])), "ok");
        assert_eq!(code(&list(vec![section(None, rows(0, 11))])), "too-many");
        assert_eq!(code(&list(vec![section(Some("a"), rows(0, 5)), section(Some("b"), rows(5, 6))])), "too-many");
        assert_eq!(code(&list(vec![section(Some("a"), rows(0, 5)), section(Some("b"), rows(4, 5))])), "not-unique");
        assert_eq!(code(&list(vec![section(Some("a"), rows(0, 5)), section(None, rows(5, 5))])), "empty");
        assert_eq!(code(&list(vec![section(Some("a"), rows(0, 5)), section(Some("b"), vec![])])), "empty");
        assert_eq!(code(&list(vec![])), "empty");
        let eleven = (0..11).map(|n| section(Some("s"), rows(n, 1))).collect();
        assert_eq!(code(&list(eleven)), "too-many");
    }

    #[test]
    fn every_part_of_a_list_has_its_limit() {
        let with = |change: fn(&mut Row)| {
            let mut row = rows(0, 1);
            row.iter_mut().for_each(change);
            code(&list(vec![section(Some("s"), row)]))
        };
        assert_eq!(with(|row| row.id = "i".repeat(200)), "ok");
        assert_eq!(with(|row| row.id = "i".repeat(201)), "too-long");
        assert_eq!(with(|row| row.title = "t".repeat(25)), "too-long");
        assert_eq!(with(|row| row.description = Some("d".repeat(72))), "ok");
        assert_eq!(with(|row| row.description = Some("d".repeat(73))), "too-long");
        assert_eq!(with(|row| row.description = Some(String::new())), "empty");
        assert_eq!(code(&list(vec![section(Some(&"s".repeat(25)), rows(0, 1))])), "too-long");
        let Outgoing::List { header: _, body, footer: _, button: _, sections, quote } =
            list(vec![section(None, rows(0, 1))])
        else {
            unreachable!()
        };
        let whole = Outgoing::List {
            header: Some("h".repeat(60)),
            body: body.clone(),
            footer: Some("f".repeat(60)),
            button: "b".repeat(20),
            sections: sections.clone(),
            quote: quote.clone(),
        };
        assert_eq!(code(&whole), "ok");
        let over =
            Outgoing::List { header: Some("h".repeat(61)), body, footer: None, button: "b".into(), sections, quote };
        assert_eq!(code(&over), "too-long");
    }
}
