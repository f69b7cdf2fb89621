//! The rules, each by itself and in their order.

use super::*;
use beadle_model::{Alias, AliasKind, Contact, ContactId, ConversationId};

const NOW: Timestamp = Timestamp(1_795_293_360_000);

fn conversation() -> ConversationView {
    ConversationView {
        id: ConversationId(1),
        channel: "shop".into(),
        contact: Contact {
            id: ContactId(1),
            name: None,
            language: None,
            timezone: None,
            created_at: NOW,
            member_since: None,
            opted_out_since: None,
            marketing_stopped_since: None,
        },
        group: None,
        address: Some(Alias { kind: AliasKind::WaId, value: "16505551234".into() }),
        window_until: Some(NOW.plus_ms(3_600_000)),
        free_entry_until: None,
    }
}

fn text() -> Outgoing {
    Outgoing::Text { body: "hello".into(), preview_url: false, quote: None }
}

fn reaction() -> Outgoing {
    Outgoing::Reaction { to: "wamid.1".into(), emoji: "👍".into() }
}

fn read() -> Outgoing {
    Outgoing::MarkRead { message: "wamid.1".into() }
}

fn typing() -> Outgoing {
    Outgoing::Typing { to: "wamid.1".into() }
}

/// `send`, or the code of the refusal; and the trace must tell the same.
fn asked(body: &Outgoing, host: bool, conversation: &ConversationView) -> String {
    let (draft, facts) = (Draft { body, host }, Facts { conversation, now: NOW });
    let steps = trace(&draft, &facts);
    assert!(steps.is_sorted_by_key(|step| step.rule));
    let stopped = steps.into_iter().find(|step| step.stops);
    match check(&draft, &facts) {
        Verdict::Send => {
            assert_eq!(stopped, None);
            "send".into()
        }
        Verdict::Refused(refusal) => {
            assert_eq!(stopped.map(|step| step.says), Some(refusal.message));
            assert!(crate::CODES.contains(&refusal.code.as_str()));
            refusal.code
        }
        later @ Verdict::Later { .. } => unreachable!("no rule of check says {later:?}"),
    }
}

#[test]
fn an_open_conversation_takes_everything() {
    for body in [text(), reaction(), read(), typing()] {
        assert_eq!(asked(&body, false, &conversation()), "send");
    }
}

#[test]
fn the_window_is_closed_half_a_minute_before_its_end_and_for_messages_only() {
    let mut there = conversation();
    for (left_ms, says) in [(30_001, "send"), (30_000, "window-closed"), (0, "window-closed"), (-1, "window-closed")] {
        there.window_until = Some(NOW.plus_ms(left_ms));
        assert_eq!(asked(&text(), false, &there), says, "{left_ms}");
        assert_eq!(asked(&reaction(), false, &there), says, "{left_ms}");
        assert_eq!(asked(&text(), true, &there), says, "{left_ms}");
        assert_eq!(asked(&read(), false, &there), "send");
        assert_eq!(asked(&typing(), false, &there), "send");
    }
    there.window_until = None;
    assert_eq!(asked(&text(), false, &there), "window-closed");
}

#[test]
fn stop_silences_all_but_its_own_answer_and_read_marks() {
    let mut there = conversation();
    there.contact.opted_out_since = Some(NOW);
    for (body, host, says) in [
        (text(), false, "opted-out"),
        (text(), true, "send"),
        (reaction(), false, "opted-out"),
        (typing(), false, "opted-out"),
        (read(), false, "send"),
    ] {
        assert_eq!(asked(&body, host, &there), says, "{body:?}");
    }
    there.group = Some("Y2FwaQZD".into());
    assert_eq!(asked(&text(), false, &there), "send");
}

#[test]
fn the_first_no_decides() {
    let mut there = conversation();
    there.window_until = None;
    there.contact.opted_out_since = Some(NOW);
    assert_eq!(asked(&text(), false, &there), "opted-out");
    there.address = None;
    assert_eq!(asked(&text(), false, &there), "no-recipient");
    there.group = Some("Y2FwaQZD".into());
    assert_eq!(asked(&text(), false, &there), "window-closed");
}

#[test]
fn a_refusal_tells_when_and_what_instead() {
    let mut there = conversation();
    there.window_until = Some(NOW);
    let verdict = check(&Draft { body: &text(), host: false }, &Facts { conversation: &there, now: NOW.plus_ms(1000) });
    let Verdict::Refused(refusal) = verdict else { panic!("{verdict:?}") };
    assert_eq!(refusal.message, "The 24-hour window closed at 2026-11-21T20:36:00.000Z.");
    assert!(refusal.instead.is_some_and(|instead| instead.contains("template")));
}

fn template(category: Option<&str>) -> Outgoing {
    Outgoing::Template(Box::new(beadle_model::outgoing::Template {
        name: "hello".into(),
        language: "en".into(),
        category: category.map(str::to_owned),
        header: None,
        body: vec![],
        buttons: vec![],
        quote: None,
    }))
}

#[test]
fn a_template_needs_no_window_and_marketing_needs_their_leave() {
    let mut there = conversation();
    there.window_until = None;
    assert_eq!(asked(&template(None), false, &there), "send");
    there.contact.marketing_stopped_since = Some(NOW);
    for (category, says) in [(None, "send"), (Some("utility"), "send"), (Some("marketing"), "marketing-opted-out")] {
        assert_eq!(asked(&template(category), false, &there), says, "{category:?}");
    }
    there.contact.opted_out_since = Some(NOW);
    assert_eq!(asked(&template(None), false, &there), "opted-out");
}

fn direct(category: &str) -> Outgoing {
    let (category, template_name) = (category.to_owned(), None);
    Outgoing::Direct(Box::new(beadle_model::outgoing::Direct { category, template_name, message: text() }))
}

#[test]
fn direct_send_needs_no_window_and_their_leave() {
    let mut there = conversation();
    there.window_until = None;
    there.contact.marketing_stopped_since = Some(NOW);
    assert_eq!(asked(&direct("utility"), false, &there), "send");
    there.contact.opted_out_since = Some(NOW);
    assert_eq!(asked(&direct("utility"), false, &there), "opted-out");
}

#[test]
fn codes_to_log_in_with_go_to_numbers_and_to_no_group() {
    let by_name = Some(Alias { kind: AliasKind::UserId, value: "US.1".into() });
    for (body, to_a_name, to_a_group) in [
        (template(Some("authentication")), "phone-number-required", "unsupported-in-groups"),
        (template(Some("utility")), "send", "send"),
        (direct("authentication"), "phone-number-required", "unsupported-in-groups"),
        (direct("utility"), "send", "unsupported-in-groups"),
    ] {
        let mut there = conversation();
        assert_eq!(asked(&body, false, &there), "send", "{body:?}");
        there.address.clone_from(&by_name);
        assert_eq!(asked(&body, false, &there), to_a_name, "{body:?}");
        there.group = Some("Y2FwaQZD".into());
        assert_eq!(asked(&body, false, &there), to_a_group, "{body:?}");
    }
}

#[test]
fn groups_take_nothing_to_tap_and_only_groups_have_settings() {
    let mut there = conversation();
    let buttons = Outgoing::Buttons { header: None, body: "b".into(), footer: None, buttons: vec![], quote: None };
    let delete = Outgoing::Group(beadle_model::outgoing::GroupChange::Delete);
    let pin = Outgoing::Pin { message: "wamid.1".into(), days: Some(1) };
    for (body, one, group) in [
        (&buttons, "send", "unsupported-in-groups"),
        (&text(), "send", "send"),
        (&reaction(), "send", "unsupported-in-groups"),
        (&Outgoing::Contacts { contacts: serde_json::json!([]), quote: None }, "send", "unsupported-in-groups"),
        (&template(None), "send", "send"),
        (&delete, "groups-only", "send"),
        (&pin, "groups-only", "send"),
    ] {
        there.group = None;
        assert_eq!(asked(body, false, &there), one, "{body:?}");
        there.group = Some("Y2FwaQZD".into());
        assert_eq!(asked(body, false, &there), group, "{body:?}");
    }
    there.window_until = None;
    assert_eq!(asked(&delete, false, &there), "send");
}
