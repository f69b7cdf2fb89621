//! The rules, one by one and in their order.

use super::*;
use crate::facts::{Circumstances, MessagingLimitFacts, ReachedBudget, ReachedCap, WINDOW_MARGIN_MS};
use beadle_model::consent::{ConsentAct, ConsentEntry, NewConsent};
use beadle_model::{
    Alias, AliasKind, Consents, Contact, ContactId, ConversationId, ConversationView, MessageId, Profile, Purpose,
};
use std::sync::Arc;

const NOW: Timestamp = Timestamp(1_795_293_360_000);

/// The profile of a person who agreed to this.
fn agreed(purpose: Purpose) -> Option<Arc<Profile>> {
    let consent = NewConsent::in_chat(purpose, ConsentAct::Granted, NOW);
    let entry = ConsentEntry { id: 1, recorded_at: NOW, consent };
    Some(Arc::new(Profile { consents: Consents::of([&entry]), ..Profile::default() }))
}

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
            profile: agreed(Purpose::Marketing),
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

/// `send` or the code of the refusal; `host`: Beadle's own reply.
fn outcome(body: &Outgoing, host: bool, conversation: &ConversationView) -> String {
    outcome_of(&Draft { host, reply: host, ..Draft::new(body) }, &Facts::new(conversation, NOW))
}

/// `send`, the check that defers it, or the code of the refusal; the trace must agree.
fn outcome_of(draft: &Draft<'_>, facts: &Facts<'_>) -> String {
    let (verdict, trace) = decide(draft, facts);
    let steps = trace.steps;
    let order: Vec<usize> =
        steps.iter().map(|step| CHECKS.iter().position(|(check, _)| check.name() == step.check).unwrap()).collect();
    assert!(order.is_sorted());
    let stopped = steps.iter().find_map(|step| match &step.outcome {
        CheckOutcome::Refused(refusal) => Some(refusal.clone()),
        _ => None,
    });
    let later = steps.iter().filter_map(|step| match step.outcome {
        CheckOutcome::Later(until) => Some(until),
        _ => None,
    });
    match verdict {
        GateVerdict::Send => {
            assert_eq!((stopped, later.count()), (None, 0));
            "send".into()
        }
        GateVerdict::Later { until, check } => {
            assert_eq!((stopped, later.max()), (None, Some(until)));
            format!("later by {}", check.name())
        }
        GateVerdict::Refused(refusal) | GateVerdict::TemplateNeeded(refusal) => {
            assert_eq!(stopped.as_ref(), Some(&refusal));
            assert!(crate::CODES.contains(&refusal.code.as_str()), "{refusal}");
            refusal.code
        }
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
    let body = text();
    let draft = Draft::new(&body);
    let (verdict, _) = decide(&draft, &Facts::new(&conversation, NOW.plus_ms(1000)));
    let GateVerdict::TemplateNeeded(refusal) = verdict else { panic!("{verdict:?}") };
    assert_eq!(refusal.message, "The 24-hour window closed at 2026-11-21 20:36:00 UTC.");
    assert!(refusal.instead.is_some_and(|instead| instead.contains("template")));
}

fn template(category: Option<&str>) -> Outgoing {
    Outgoing::Template(Box::new(beadle_model::outgoing::Template {
        category: category.map(str::to_owned),
        ..beadle_model::outgoing::Template::new("hello", "en")
    }))
}

#[test]
fn template_is_refused_only_for_unwanted_marketing() {
    let mut conversation = conversation();
    conversation.window_until = None;
    assert_eq!(outcome(&template(None), false, &conversation), "send");
    conversation.contact.marketing_stopped_since = Some(NOW);
    for (category, expected) in
        [(None, "marketing-opted-out"), (Some("utility"), "send"), (Some("marketing"), "marketing-opted-out")]
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

fn template_facts(definition: beadle_model::TemplateDefinition) -> TemplateFacts {
    TemplateFacts::Defined(Box::new(definition))
}

/// The category is the registry's: a message that does not state it, or states another, is
/// marketing all the same.
#[test]
fn category_comes_from_the_registry() {
    let mut conversation = conversation();
    conversation.contact.marketing_stopped_since = Some(NOW);
    for (registry, stated, expected) in [
        ("marketing", None, "marketing-opted-out"),
        ("marketing", Some("utility"), "marketing-opted-out"),
        ("utility", None, "send"),
        ("utility", Some("marketing"), "send"),
        ("", Some("utility"), "send"),
        ("", None, "marketing-opted-out"),
    ] {
        let mut facts = Facts::new(&conversation, NOW);
        let definition = beadle_model::TemplateDefinition {
            category: registry.into(),
            ..crate::templates::tests::definition("hello", "en")
        };
        facts.template = template_facts(definition);
        let body = template(stated);
        let draft = Draft::new(&body);
        assert_eq!(outcome_of(&draft, &facts), expected, "{registry} {stated:?}");
    }
}

#[test]
fn template_must_exist_be_approved_and_fit() {
    let conversation = conversation();
    let definition = crate::templates::tests::definition("hello", "en");
    let paused = beadle_model::TemplateDefinition { status: "paused".into(), ..definition.clone() };
    let components = serde_json::json!([{"type": "BODY", "text": "Hello {{1}}"}]);
    let needy = beadle_model::TemplateDefinition { components, ..definition.clone() };
    for (template_facts, expected) in [
        (TemplateFacts::Unknown, "send"),
        (TemplateFacts::Missing { languages: vec![] }, "template-unknown"),
        (TemplateFacts::Missing { languages: vec!["de".into()] }, "template-unknown"),
        (template_facts(definition), "send"),
        (template_facts(paused), "template-paused"),
        (template_facts(needy), "template-parameters"),
    ] {
        let mut facts = Facts::new(&conversation, NOW);
        facts.template = template_facts.clone();
        let body = template(Some("utility"));
        assert_eq!(outcome_of(&Draft::new(&body), &facts), expected, "{template_facts:?}");
    }
}

#[test]
fn marketing_needs_consent_for_its_topic() {
    let topic = |topic: &str| Purpose::MarketingTopic(topic.into());
    for (granted, message_topic, expected) in [
        (None, None, "not-opted-in"),
        (Some(Purpose::Marketing), None, "send"),
        (Some(Purpose::Marketing), Some("cats"), "send"),
        (Some(topic("cats")), Some("cats"), "send"),
        (Some(topic("cats")), Some("dogs"), "not-opted-in"),
        (Some(topic("cats")), None, "not-opted-in"),
        (Some(Purpose::Service), None, "not-opted-in"),
    ] {
        let mut conversation = conversation();
        conversation.contact.profile = granted.clone().and_then(agreed);
        let message = crate::templates::tests::message("hello", "en");
        let with = |category: &str| {
            let (category, topic) = (Some(category.to_owned()), message_topic.map(str::to_owned));
            Outgoing::Template(Box::new(beadle_model::outgoing::Template { category, topic, ..message.clone() }))
        };
        assert_eq!(outcome(&with("marketing"), false, &conversation), expected, "{granted:?} {message_topic:?}");
        assert_eq!(outcome(&with("utility"), false, &conversation), "send");
        assert_eq!(outcome(&with("marketing"), true, &conversation), "send", "the host's own question");
    }
}

#[test]
fn who_never_wrote_and_agreed_to_nothing_gets_no_notice() {
    for (granted, window_ms, expected) in [
        (None, None, "not-opted-in"),
        (Some(Purpose::Survey), None, "send"),
        (Some(Purpose::Service), None, "send"),
        // They wrote, some time ago.
        (None, Some(-100 * DAY_MS), "send"),
    ] {
        let mut conversation = conversation();
        conversation.window_until = window_ms.map(|ms| NOW.plus_ms(ms));
        conversation.contact.profile = granted.clone().and_then(agreed);
        assert_eq!(outcome(&template(Some("utility")), false, &conversation), expected, "{granted:?}");
        assert_eq!(outcome(&template(Some("utility")), true, &conversation), "send", "Beadle's own question");
    }
}

#[test]
fn advertising_in_direct_send_is_refused() {
    let conversation = conversation();
    let buttons = |footer: &str, title: &str| Outgoing::Buttons {
        header: None,
        body: "Your order has left.".into(),
        footer: Some(footer.into()),
        buttons: vec![beadle_model::outgoing::Button { id: "1".into(), title: title.into() }],
        quote: None,
    };
    for (message, expected) in [
        (text(), "send"),
        (buttons("Thank you", "Track it"), "send"),
        (buttons("20% off today", "Track it"), "template-advertising"),
        (buttons("Thank you", "Special offer"), "template-advertising"),
    ] {
        let direct = beadle_model::outgoing::Direct { category: "utility".into(), template_name: None, message };
        let body = Outgoing::Direct(Box::new(direct));
        let mut facts = Facts::new(&conversation, NOW);
        facts.circumstances.refuses_advertising = true;
        assert_eq!(outcome_of(&Draft::new(&body), &facts), expected, "{body:?}");
    }
}

/// What a message is for decides which consent it needs; the platform's category cannot be talked
/// away.
#[test]
fn stated_purpose_needs_its_consent() {
    let cats = || Purpose::MarketingTopic("cats".into());
    let cases = [
        // Stated, the template's category, granted, expected.
        (None, None, None, "send"),
        (Some(Purpose::Service), None, None, "send"),
        (Some(Purpose::Survey), None, None, "not-opted-in"),
        (Some(Purpose::Survey), None, Some(Purpose::Marketing), "not-opted-in"),
        (Some(Purpose::Survey), None, Some(Purpose::Survey), "send"),
        (Some(Purpose::Group), None, Some(Purpose::Group), "send"),
        (Some(cats()), None, None, "not-opted-in"),
        (Some(cats()), None, Some(cats()), "send"),
        (Some(Purpose::Survey), Some("utility"), None, "not-opted-in"),
        (Some(Purpose::Survey), Some("utility"), Some(Purpose::Survey), "send"),
        (Some(Purpose::Marketing), Some("utility"), Some(Purpose::Survey), "not-opted-in"),
        (Some(Purpose::Survey), Some("marketing"), Some(Purpose::Survey), "not-opted-in"),
        (Some(Purpose::Service), Some("marketing"), None, "not-opted-in"),
        (Some(Purpose::Service), Some("marketing"), Some(Purpose::Marketing), "send"),
    ];
    for (purpose, category, granted, expected) in &cases {
        let mut conversation = conversation();
        conversation.contact.profile = granted.clone().and_then(agreed);
        let body = category.map_or_else(text, |category| template(Some(category)));
        let facts = Facts::new(&conversation, NOW);
        let draft = Draft { purpose: purpose.as_ref(), ..Draft::new(&body) };
        assert_eq!(outcome_of(&draft, &facts), *expected, "{purpose:?} {category:?} {granted:?}");
        conversation.group = Some("Y2FwaQZD".into());
        assert_eq!(outcome_of(&draft, &Facts::new(&conversation, NOW)), "send", "members of a group have joined it");
    }
}

#[test]
fn banned_and_quarantined_people_get_only_beadles_answers() {
    for (profile, expected) in [
        (Profile { role: Role::Banned, ..Profile::default() }, "banned"),
        (Profile { quarantined_since: Some(NOW), ..Profile::default() }, "quarantined"),
    ] {
        let mut conversation = conversation();
        conversation.contact.profile = Some(Arc::new(profile));
        for body in [text(), reaction(), typing(), template(Some("utility"))] {
            assert_eq!(outcome(&body, false, &conversation), expected, "{body:?}");
            assert_eq!(outcome(&body, true, &conversation), "send");
        }
        assert_eq!(outcome(&read(), false, &conversation), "send");
        conversation.group = Some("Y2FwaQZD".into());
        assert_eq!(outcome(&text(), false, &conversation), "send");
    }
}

#[test]
fn queued_message_is_refused_after_leaving() {
    let mut conversation = conversation();
    conversation.contact.profile = Some(Arc::new(Profile { left_before: Some(MessageId(7)), ..Profile::default() }));
    let body = text();
    for (message, expected) in
        [(None, "send"), (Some(MessageId(6)), "left"), (Some(MessageId(7)), "send"), (Some(MessageId(8)), "send")]
    {
        let draft = Draft { message, ..Draft::new(&body) };
        assert_eq!(outcome_of(&draft, &Facts::new(&conversation, NOW)), expected, "{message:?}");
    }
}

/// The question for a consent is Beadle's own, but the business writes first.
#[test]
fn only_own_replies_pass_where_nothing_else_does() {
    type Change = fn(&mut ConversationView, &mut Circumstances);
    let cases: [(&str, Change, &str); 5] = [
        ("stopped", |_, circumstances| circumstances.stop = StopSwitch::All, "later by stop-switch"),
        ("opted out", |to, _| to.contact.opted_out_since = Some(NOW), "opted-out"),
        (
            "banned",
            |to, _| to.contact.profile = Some(Arc::new(Profile { role: Role::Banned, ..Profile::default() })),
            "banned",
        ),
        ("with a colleague", |_, circumstances| circumstances.in_human_hands_since = Some(NOW), "in-human-hands"),
        ("at night", |_, circumstances| circumstances.quiet_until = Some(NOW.plus_ms(60_000)), "later by quiet-hours"),
    ];
    let body = text();
    for (name, change, expected) in cases {
        let (mut conversation, mut circumstances) = (conversation(), Circumstances::default());
        change(&mut conversation, &mut circumstances);
        let facts = Facts { circumstances, ..Facts::new(&conversation, NOW) };
        let draft = |reply| Draft { host: true, reply, ..Draft::new(&body) };
        assert_eq!(outcome_of(&draft(true), &facts), "send", "{name}");
        assert_eq!(outcome_of(&draft(false), &facts), expected, "{name}");
    }
}

#[test]
fn each_circumstance_has_its_check() {
    let conversation = conversation();
    let at = NOW.plus_ms(60_000);
    type Change = fn(&mut Circumstances);
    let cases: [(Change, &str, &str); 16] = [
        (|circumstances| circumstances.outreach_held_until = Some(NOW.plus_ms(60_000)), "send", "later by stop-switch"),
        (|circumstances| circumstances.stop = StopSwitch::All, "later by stop-switch", "later by stop-switch"),
        (|circumstances| circumstances.stop = StopSwitch::Marketing, "send", "later by stop-switch"),
        (|circumstances| circumstances.erased_at = Some(NOW), "erased", "erased"),
        (|circumstances| circumstances.unreachable = Some((NOW, "131026".into())), "send", "unreachable"),
        (|circumstances| circumstances.country_without_marketing = Some("US".into()), "send", "marketing-country"),
        (|circumstances| circumstances.marketing_refused = Some((NOW, "131049".into())), "send", "marketing-limited"),
        (|circumstances| circumstances.in_human_hands_since = Some(NOW), "in-human-hands", "in-human-hands"),
        (
            |circumstances| circumstances.quiet_until = Some(NOW.plus_ms(60_000)),
            "later by quiet-hours",
            "later by quiet-hours",
        ),
        (
            |circumstances| {
                circumstances.capped =
                    Some(ReachedCap { received: "2".into(), limit: "per_day = 2".into(), until: NOW })
            },
            "frequency-cap",
            "frequency-cap",
        ),
        (
            |circumstances| circumstances.over_budget = Some(ReachedBudget { reason: "10 EUR".into(), until: None }),
            "over-budget",
            "over-budget",
        ),
        (
            |circumstances| {
                circumstances.over_budget =
                    Some(ReachedBudget { reason: "10 EUR".into(), until: Some(NOW.plus_ms(60_000)) })
            },
            "later by budget",
            "later by budget",
        ),
        (
            |circumstances| {
                circumstances.messaging_limit =
                    Some(MessagingLimitFacts { limit: 1, used: 1, free_at: Some(NOW.plus_ms(60_000)) })
            },
            "later by messaging-limit",
            "later by messaging-limit",
        ),
        (
            |circumstances| circumstances.pair_free_at = Some(NOW.plus_ms(60_000)),
            "later by pair-rate",
            "later by pair-rate",
        ),
        (
            |circumstances| circumstances.throughput_free_at = Some(NOW.plus_ms(60_000)),
            "later by throughput",
            "later by throughput",
        ),
        (|circumstances| circumstances.sent_before = Some(beadle_model::MessageId(1)), "already-sent", "already-sent"),
    ];
    for (change, for_text, for_marketing) in cases {
        let mut facts = Facts::new(&conversation, NOW);
        change(&mut facts.circumstances);
        let (text, marketing) = (text(), template(Some("marketing")));
        assert_eq!(outcome_of(&Draft::new(&text), &facts), for_text);
        assert_eq!(outcome_of(&Draft::new(&marketing), &facts), for_marketing);
    }
    // The latest of several times counts, and a refusal before all of them.
    let mut facts = Facts::new(&conversation, NOW);
    facts.circumstances.quiet_until = Some(at);
    facts.circumstances.throughput_free_at = Some(at.plus_ms(1));
    let body = text();
    let draft = Draft::new(&body);
    assert_eq!(outcome_of(&draft, &facts), "later by throughput");
    facts.circumstances.over_budget = Some(ReachedBudget { reason: "x".into(), until: None });
    assert_eq!(outcome_of(&draft, &facts), "over-budget");
}

#[test]
fn cap_defers_what_has_a_meaning_until_then_and_refuses_the_rest() {
    let (conversation, body) = (conversation(), template(Some("marketing")));
    for (free_after_ms, expires_after_ms, expected) in [
        (DAY_MS / 2, None, Err("frequency-cap")),
        (DAY_MS / 2, Some(DAY_MS / 2), Err("frequency-cap")),
        (DAY_MS / 2, Some(DAY_MS / 2 + 1), Ok(DAY_MS / 2)),
        (6 * DAY_MS, Some(7 * DAY_MS), Ok(DAY_MS)),
    ] {
        let mut facts = Facts::new(&conversation, NOW);
        let until = NOW.plus_ms(free_after_ms);
        facts.circumstances.capped = Some(ReachedCap { received: "1".into(), limit: "per_day = 1".into(), until });
        let draft = Draft { expires: expires_after_ms.map(|ms| NOW.plus_ms(ms)), ..Draft::new(&body) };
        match (decide(&draft, &facts).0, expected) {
            (GateVerdict::Later { until, check: Check::FrequencyCap }, Ok(ms)) => assert_eq!(until, NOW.plus_ms(ms)),
            (GateVerdict::Refused(refusal), Err(code)) => assert_eq!(refusal.code, code),
            other => panic!("{free_after_ms} {expires_after_ms:?}: {other:?}"),
        }
        outcome_of(&draft, &facts);
    }
}

#[test]
fn advertising_in_a_utility_template_is_refused_unless_allowed() {
    let conversation = conversation();
    let components = serde_json::json!([{"type": "BODY", "text": "{{1}}"}]);
    let value = beadle_model::outgoing::ParameterValue::Text("now 20% off".into());
    for (category, refuses, expected) in
        [("utility", true, "template-advertising"), ("utility", false, "send"), ("marketing", true, "send")]
    {
        let mut facts = Facts::new(&conversation, NOW);
        let definition = crate::templates::tests::definition("hello", "en");
        let definition = beadle_model::TemplateDefinition {
            category: category.into(),
            components: components.clone(),
            ..definition
        };
        facts.template = template_facts(definition);
        facts.circumstances.refuses_advertising = refuses;
        let parameter = beadle_model::outgoing::Parameter { name: None, value: value.clone() };
        let message = crate::templates::tests::message("hello", "en");
        let body = Outgoing::Template(Box::new(beadle_model::outgoing::Template { body: vec![parameter], ..message }));
        assert_eq!(outcome_of(&Draft::new(&body), &facts), expected);
    }
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    fn some_time() -> impl Strategy<Value = Option<Timestamp>> {
        prop_oneof![Just(None), (-200_000_000..200_000_000i64).prop_map(|ms| Some(NOW.plus_ms(ms)))]
    }

    prop_compose! {
        fn circumstances()(
            stop in prop_oneof![Just(StopSwitch::Open), Just(StopSwitch::Marketing), Just(StopSwitch::All)],
            times in prop::array::uniform7(some_time()),
            flags in prop::array::uniform7(any::<bool>()),
        ) -> Circumstances {
            let [erased_at, in_human_hands_since, quiet_until, pair_free_at, throughput_free_at, refused, free_at] = times;
            Circumstances {
                stop,
                outreach_held_until: None,
                erased_at: erased_at.filter(|_| flags[0]),
                country_without_marketing: flags[5].then(|| "US".into()),
                unreachable: flags[6].then(|| (NOW, "131026".into())),
                marketing_refused: refused.map(|at| (at, "131049".into())),
                in_human_hands_since: in_human_hands_since.filter(|_| flags[1]),
                refuses_advertising: flags[2],
                quiet_until,
                capped: flags[3].then(|| ReachedCap { received: "1".into(), limit: "per_day = 1".into(), until: NOW }),
                over_budget: None,
                messaging_limit: free_at.map(|at| MessagingLimitFacts { limit: 1, used: 1, free_at: Some(at) }),
                pair_free_at,
                throughput_free_at,
                sent_before: flags[4].then_some(beadle_model::MessageId(1)),
            }
        }
    }

    proptest! {
        /// No combination of facts lets a message out that one of them forbids, and the trace says
        /// the same as the verdict.
        #[test]
        fn nothing_forbidden_leaves(
            circumstances in circumstances(),
            kind in 0..4usize,
            status in prop_oneof![Just("approved"), Just("paused"), Just("pending")],
            category in prop_oneof![Just("marketing"), Just("utility"), Just("authentication")],
            window_ms in -100_000..100_000i64,
            opted_out in some_time(),
            marketing_stopped in some_time(),
            host in any::<bool>(),
            reply in any::<bool>(),
            has_agreed in any::<bool>(),
            is_banned in any::<bool>(),
            expires in some_time(),
        ) {
            let mut conversation = conversation();
            conversation.window_until = Some(NOW.plus_ms(window_ms));
            conversation.contact.opted_out_since = opted_out;
            conversation.contact.marketing_stopped_since = marketing_stopped;
            let profile = if has_agreed { agreed(Purpose::Marketing) } else { None };
            let role = if is_banned { Role::Banned } else { Role::Member };
            let profile = Profile { role, ..profile.map(|profile| (*profile).clone()).unwrap_or_default() };
            conversation.contact.profile = Some(Arc::new(profile));
            let body = [text(), reaction(), read(), template(None)][kind].clone();
            let mut facts = Facts::new(&conversation, NOW);
            facts.template = template_facts(beadle_model::TemplateDefinition {
                status: status.into(),
                category: category.into(),
                ..crate::templates::tests::definition("hello", "en")
            });
            facts.circumstances = circumstances.clone();
            let draft = Draft { host, reply, expires, ..Draft::new(&body) };
            outcome_of(&draft, &facts);
            let (is_template, is_read, is_own_reply) = (kind == 3, kind == 2, host && reply);
            let is_marketing = is_template && category == "marketing";
            if decide(&draft, &facts).0 == GateVerdict::Send {
                prop_assert!(circumstances.erased_at.is_none() || host);
                prop_assert!(circumstances.sent_before.is_none());
                prop_assert!(!is_template || circumstances.unreachable.is_none());
                prop_assert!(circumstances.capped.is_none());
                prop_assert!(!is_banned || is_own_reply || is_read);
                prop_assert!(!is_marketing || has_agreed || host);
                prop_assert!(opted_out.is_none() || is_own_reply || is_read);
                prop_assert!(circumstances.in_human_hands_since.is_none() || is_own_reply || is_read);
                prop_assert!(is_template || is_read || window_ms > WINDOW_MARGIN_MS);
                prop_assert!(!is_template || status == "approved");
                prop_assert!(!is_marketing || marketing_stopped.is_none() && circumstances.marketing_refused.is_none());
                prop_assert!(!is_marketing || circumstances.country_without_marketing.is_none());
                prop_assert!(is_own_reply || is_read || circumstances.stop != StopSwitch::All);
                prop_assert!(is_own_reply || !is_marketing || circumstances.stop == StopSwitch::Open);
                prop_assert!(is_own_reply || is_read || circumstances.quiet_until.is_none());
                prop_assert!(circumstances.pair_free_at.is_none_or(|at| at <= NOW));
                prop_assert!(circumstances.throughput_free_at.is_none_or(|at| at <= NOW));
            }
        }
    }
}
