//! The rules, one by one and in their order.

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
            profile: None,
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

/// `send` or the code of the refusal; the trace must agree.
fn outcome(body: &Outgoing, host: bool, conversation: &ConversationView) -> String {
    let (draft, facts) = (Draft { body, host }, Facts { conversation, now: NOW });
    let steps = trace(&draft, &facts);
    assert!(steps.is_sorted_by_key(|step| step.rule));
    let stopped = steps.into_iter().find(|step| step.refuses);
    match check(&draft, &facts) {
        GateVerdict::Send => {
            assert_eq!(stopped, None);
            "send".into()
        }
        GateVerdict::Refused(refusal) => {
            assert_eq!(stopped.map(|step| step.reason), Some(refusal.message));
            assert!(crate::CODES.contains(&refusal.code.as_str()));
            refusal.code
        }
        later @ GateVerdict::Later { .. } => unreachable!("no rule of check expected {later:?}"),
    }
}

#[test]
fn open_conversation_accepts_everything() {
    for body in [text(), reaction(), read(), typing()] {
        assert_eq!(outcome(&body, false, &conversation()), "send");
    }
}

#[test]
fn window_closes_early_for_messages() {
    let mut conversation = conversation();
    for (left_ms, expected) in
        [(30_001, "send"), (30_000, "window-closed"), (0, "window-closed"), (-1, "window-closed")]
    {
        conversation.window_until = Some(NOW.plus_ms(left_ms));
        assert_eq!(outcome(&text(), false, &conversation), expected, "{left_ms}");
        assert_eq!(outcome(&reaction(), false, &conversation), expected, "{left_ms}");
        assert_eq!(outcome(&text(), true, &conversation), expected, "{left_ms}");
        assert_eq!(outcome(&read(), false, &conversation), "send");
        assert_eq!(outcome(&typing(), false, &conversation), "send");
    }
    conversation.window_until = None;
    assert_eq!(outcome(&text(), false, &conversation), "window-closed");
}

#[test]
fn opt_out_blocks_all_but_own_reply_and_read_marks() {
    let mut conversation = conversation();
    conversation.contact.opted_out_since = Some(NOW);
    for (body, host, expected) in [
        (text(), false, "opted-out"),
        (text(), true, "send"),
        (reaction(), false, "opted-out"),
        (typing(), false, "opted-out"),
        (read(), false, "send"),
    ] {
        assert_eq!(outcome(&body, host, &conversation), expected, "{body:?}");
    }
    conversation.group = Some("Y2FwaQZD".into());
    assert_eq!(outcome(&text(), false, &conversation), "send");
}

#[test]
fn first_refusal_decides() {
    let mut conversation = conversation();
    conversation.window_until = None;
    conversation.contact.opted_out_since = Some(NOW);
    assert_eq!(outcome(&text(), false, &conversation), "opted-out");
    conversation.address = None;
    assert_eq!(outcome(&text(), false, &conversation), "no-recipient");
    conversation.group = Some("Y2FwaQZD".into());
    assert_eq!(outcome(&text(), false, &conversation), "window-closed");
}

#[test]
fn refusal_names_time_and_alternative() {
    let mut conversation = conversation();
    conversation.window_until = Some(NOW);
    let verdict =
        check(&Draft { body: &text(), host: false }, &Facts { conversation: &conversation, now: NOW.plus_ms(1000) });
    let GateVerdict::Refused(refusal) = verdict else { panic!("{verdict:?}") };
    assert_eq!(refusal.message, "The 24-hour window closed at 2026-11-21 20:36:00 UTC.");
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
fn template_is_refused_only_for_unwanted_marketing() {
    let mut conversation = conversation();
    conversation.window_until = None;
    assert_eq!(outcome(&template(None), false, &conversation), "send");
    conversation.contact.marketing_stopped_since = Some(NOW);
    for (category, expected) in [(None, "send"), (Some("utility"), "send"), (Some("marketing"), "marketing-opted-out")]
    {
        assert_eq!(outcome(&template(category), false, &conversation), expected, "{category:?}");
    }
    conversation.contact.opted_out_since = Some(NOW);
    assert_eq!(outcome(&template(None), false, &conversation), "opted-out");
}

fn direct(category: &str) -> Outgoing {
    let (category, template_name) = (category.to_owned(), None);
    Outgoing::Direct(Box::new(beadle_model::outgoing::Direct { category, template_name, message: text() }))
}

#[test]
fn direct_send_is_refused_only_after_an_opt_out() {
    let mut conversation = conversation();
    conversation.window_until = None;
    conversation.contact.marketing_stopped_since = Some(NOW);
    assert_eq!(outcome(&direct("utility"), false, &conversation), "send");
    conversation.contact.opted_out_since = Some(NOW);
    assert_eq!(outcome(&direct("utility"), false, &conversation), "opted-out");
}

#[test]
fn login_codes_go_only_to_a_phone_number() {
    let by_name = Some(Alias { kind: AliasKind::UserId, value: "US.1".into() });
    for (body, to_a_name, to_a_group) in [
        (template(Some("authentication")), "phone-number-required", "unsupported-in-groups"),
        (template(Some("utility")), "send", "send"),
        (direct("authentication"), "phone-number-required", "unsupported-in-groups"),
        (direct("utility"), "send", "unsupported-in-groups"),
    ] {
        let mut conversation = conversation();
        assert_eq!(outcome(&body, false, &conversation), "send", "{body:?}");
        conversation.address.clone_from(&by_name);
        assert_eq!(outcome(&body, false, &conversation), to_a_name, "{body:?}");
        conversation.group = Some("Y2FwaQZD".into());
        assert_eq!(outcome(&body, false, &conversation), to_a_group, "{body:?}");
    }
}

#[test]
fn groups_accept_their_own_kinds_of_messages() {
    let mut conversation = conversation();
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
        conversation.group = None;
        assert_eq!(outcome(body, false, &conversation), one, "{body:?}");
        conversation.group = Some("Y2FwaQZD".into());
        assert_eq!(outcome(body, false, &conversation), group, "{body:?}");
    }
    conversation.window_until = None;
    assert_eq!(outcome(&delete, false, &conversation), "send");
}
