//! Limits at their edges.

use super::*;
use beadle_model::outgoing::Row;

fn text(body: &str) -> Outgoing {
    Outgoing::Text { body: body.into(), preview_url: false, quote: None }
}

fn buttons(ids_and_titles: &[(&str, &str)]) -> Outgoing {
    let buttons = ids_and_titles.iter().map(|(id, title)| Button { id: (*id).into(), title: (*title).into() });
    Outgoing::Buttons { header: None, body: "b".into(), footer: None, buttons: buttons.collect(), quote: None }
}

fn rows(from: usize, count: usize) -> Vec<Row> {
    (from..from + count).map(|n| Row { id: format!("row-{n}"), title: format!("Row {n}"), description: None }).collect()
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
fn limits_count_characters_not_bytes() {
    for letter in ["x", "ä", "👍"] {
        assert_eq!(code(&text(&letter.repeat(TEXT))), "ok");
        assert_eq!(code(&text(&letter.repeat(TEXT + 1))), "too-long");
    }
    assert_eq!(
        check(&text(&"ä".repeat(4097))).unwrap_err().message,
        "The text has 4097 characters; WhatsApp allows at most 4096."
    );
}

#[test]
fn white_space_counts_as_empty() {
    assert_eq!(code(&text("")), "empty-field");
    assert_eq!(code(&text(" \n")), "empty-field");
    assert_eq!(code(&Outgoing::MarkRead { message: String::new() }), "empty-field");
    assert_eq!(code(&Outgoing::Typing { to: " ".into() }), "empty-field");
    assert_eq!(code(&Outgoing::Reaction { to: String::new(), emoji: "👍".into() }), "empty-field");
}

#[test]
fn reaction_has_one_emoji_at_most() {
    let reaction = |emoji: &str| code(&Outgoing::Reaction { to: "wamid.1".into(), emoji: emoji.into() });
    assert_eq!(reaction(""), "ok");
    assert_eq!(reaction("👩🏽‍❤️‍💋‍👨🏿"), "ok");
    assert_eq!(reaction("this is not an emoji"), "too-long");
}

#[test]
fn buttons_are_limited_in_number_and_text() {
    assert_eq!(code(&buttons(&[])), "empty-field");
    assert_eq!(code(&buttons(&[("1", "a"), ("2", "b"), ("3", "c")])), "ok");
    assert_eq!(code(&buttons(&[("1", "a"), ("2", "b"), ("3", "c"), ("4", "d")])), "too-many");
    assert_eq!(code(&buttons(&[("1", "a"), ("1", "b")])), "duplicate-id");
    assert_eq!(code(&buttons(&[("1", "a"), ("2", "a")])), "duplicate-id");
    assert_eq!(code(&buttons(&[(&"i".repeat(257), "a")])), "too-long");
    assert_eq!(
        check(&buttons(&[("1", "a"), ("2", &"t".repeat(21))])).unwrap_err().message,
        "The title of button 2 has 21 characters; WhatsApp allows at most 20."
    );
}

#[test]
fn list_has_at_most_ten_rows() {
    assert_eq!(code(&list(vec![section(None, rows(0, 10))])), "ok");
    assert_eq!(code(&list(vec![section(None, rows(0, 11))])), "too-many");
    assert_eq!(code(&list(vec![section(Some("a"), rows(0, 5)), section(Some("b"), rows(5, 6))])), "too-many");
    assert_eq!(code(&list(vec![section(Some("a"), rows(0, 5)), section(Some("b"), rows(4, 5))])), "duplicate-id");
    assert_eq!(code(&list(vec![section(Some("a"), rows(0, 5)), section(None, rows(5, 5))])), "empty-field");
    assert_eq!(code(&list(vec![section(Some("a"), rows(0, 5)), section(Some("b"), vec![])])), "empty-field");
    assert_eq!(code(&list(vec![])), "empty-field");
    let eleven = (0..11).map(|n| section(Some("s"), rows(n, 1))).collect();
    assert_eq!(code(&list(eleven)), "too-many");
}

#[test]
fn each_part_of_a_list_has_a_limit() {
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
    assert_eq!(with(|row| row.description = Some(String::new())), "empty-field");
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
    let over = Outgoing::List { header: Some("h".repeat(61)), body, footer: None, button: "b".into(), sections, quote };
    assert_eq!(code(&over), "too-long");
}
