//! Language, parameters, preview and lint of templates.

use super::*;
use beadle_model::outgoing::{
    MediaKind, Parameter, ParameterValue, Source, Template, TemplateAction, TemplateButton, TemplateCard,
    TemplateHeader,
};
use beadle_model::{TemplateDefinition, Timestamp};
use serde_json::json;

pub(crate) fn definition(name: &str, language: &str) -> TemplateDefinition {
    TemplateDefinition {
        platform_id: "1".into(),
        name: name.into(),
        language: language.into(),
        category: "utility".into(),
        status: "approved".into(),
        quality: None,
        reason: None,
        is_named: false,
        components: json!([{"type": "BODY", "text": "Hello"}]),
        changed_at: Timestamp(0),
    }
}

pub(crate) fn message(name: &str, language: &str) -> Template {
    Template::new(name, language)
}

fn positional(values: &[&str]) -> Vec<Parameter> {
    values.iter().map(|text| Parameter { name: None, value: ParameterValue::Text((*text).into()) }).collect()
}

fn named(values: &[(&str, &str)]) -> Vec<Parameter> {
    let parameter = |(name, text): &(&str, &str)| Parameter {
        name: Some((*name).into()),
        value: ParameterValue::Text((*text).into()),
    };
    values.iter().map(parameter).collect()
}

fn file(kind: MediaKind) -> Option<TemplateHeader> {
    Some(TemplateHeader::File { kind, source: Source::Link("https://example.org/x".into()), filename: None })
}

fn button(index: u32, action: TemplateAction) -> TemplateButton {
    TemplateButton { index, action }
}

#[test]
fn language_falls_back_to_its_base_and_then_to_the_default() {
    let have = |languages: &[(&str, &str)]| -> Vec<TemplateDefinition> {
        let one = |(language, status): &(&str, &str)| TemplateDefinition {
            status: (*status).into(),
            ..definition("x", language)
        };
        languages.iter().map(one).collect()
    };
    for (languages, asked, default, expected) in [
        (&[("de", "approved"), ("en", "approved")][..], "de", Some("en"), Some("de")),
        (&[("pt_BR", "approved"), ("en", "approved")], "pt-BR", Some("en"), Some("pt_BR")),
        (&[("de", "approved"), ("en", "approved")], "de_AT", Some("en"), Some("de")),
        (&[("de", "approved"), ("en", "approved")], "et", Some("en"), Some("en")),
        (&[("de", "approved"), ("en", "approved")], "et", Some("en_GB"), Some("en")),
        (&[("de", "approved")], "et", Some("en"), None),
        (&[("de", "approved")], "et", None, None),
        (&[("de_AT", "paused"), ("de", "approved")], "de_AT", None, Some("de")),
        (&[("de", "paused")], "de", Some("en"), Some("de")),
        (&[("de", "paused"), ("en", "approved")], "de", Some("en"), Some("en")),
        (&[], "de", Some("en"), None),
    ] {
        let definitions = have(languages);
        let chosen = choose(&definitions, asked, default).map(|definition| &*definition.language);
        assert_eq!(chosen, expected, "{languages:?} {asked} {default:?}");
    }
}

#[test]
fn only_approved_templates_are_sent() {
    for (status, code) in [
        ("approved", None),
        ("paused", Some("template-paused")),
        ("disabled", Some("template-disabled")),
        ("pending", Some("template-not-approved")),
        ("pending_deletion", Some("template-not-approved")),
        ("rejected", Some("template-not-approved")),
        ("something_new", Some("template-not-approved")),
    ] {
        let definition = TemplateDefinition { status: status.into(), ..definition("x", "en") };
        assert_eq!(check_status(&definition).err().map(|refusal| refusal.code).as_deref(), code, "{status}");
    }
}

/// Everything that a template can need, with positions.
fn order() -> TemplateDefinition {
    let components = json!([
        {"type": "HEADER", "format": "IMAGE"},
        {"type": "BODY", "text": "Hello {{1}}, {{2}} is ready. {{1}}"},
        {"type": "FOOTER", "text": "The shop"},
        {"type": "BUTTONS", "buttons": [
            {"type": "QUICK_REPLY", "text": "Thanks"},
            {"type": "URL", "text": "Track", "url": "https://x.example/{{1}}"},
            {"type": "PHONE_NUMBER", "text": "Call", "phone_number": "+1"},
        ]},
    ]);
    TemplateDefinition { components, ..definition("order", "en") }
}

fn order_message() -> Template {
    Template {
        header: file(MediaKind::Image),
        body: positional(&["Ana", "A-1"]),
        buttons: vec![button(1, TemplateAction::Url("abc".into()))],
        ..message("order", "en")
    }
}

#[test]
fn parameters_must_fit_the_definition() {
    let fits = |change: &dyn Fn(&mut Template)| {
        let mut message = order_message();
        change(&mut message);
        check_parameters(&message, &order()).map_err(|refusal| {
            assert_eq!(refusal.code, "template-parameters");
            refusal.message
        })
    };
    assert_eq!(fits(&|_| {}), Ok(()));
    assert_eq!(fits(&|message| message.buttons.push(button(0, TemplateAction::Reply("yes".into())))), Ok(()));
    type Change = &'static dyn Fn(&mut Template);
    let cases: [(Change, &str); 9] = [
        (&|message| message.header = None, "the header must be image, but the message has nothing"),
        (&|message| message.header = file(MediaKind::Video), "the header must be image, but the message has video"),
        (&|message| message.body = positional(&["Ana"]), "the text has 2 variables, but the message fills 1"),
        (
            &|message| message.body = positional(&["Ana", "A-1", "x"]),
            "the text has 2 variables, but the message fills 3",
        ),
        (
            &|message| message.body = named(&[("a", "1"), ("b", "2")]),
            "has variables by position, but the message names `a`",
        ),
        (&|message| message.buttons.clear(), "button 1 (`Track`) needs a value"),
        (&|message| message.buttons[0].index = 7, "button 1 (`Track`) needs a value"),
        (&|message| message.buttons.push(button(3, TemplateAction::Reply("x".into()))), "there is no button 3"),
        (
            &|message| message.buttons.push(button(0, TemplateAction::Url("x".into()))),
            "button 0 is a quick reply button",
        ),
    ];
    for (change, expected) in cases {
        let message = fits(change).unwrap_err();
        assert!(message.contains(expected), "{message}\n{expected}");
    }
}

#[test]
fn named_parameters_are_matched_by_name() {
    let components = json!([{"type": "HEADER", "format": "TEXT", "text": "{{what}}"}, {"type": "BODY", "text": "{{who}}, {{when}}"}]);
    let definition = TemplateDefinition { components, is_named: true, ..definition("x", "en") };
    let header = |name: &str| named(&[(name, "News")]).pop().map(TemplateHeader::Text);
    let with = |header, body| Template { header, body, ..message("x", "en") };
    let fits = |message| check_parameters(&message, &definition).map_err(|refusal| refusal.message);
    assert_eq!(fits(with(header("what"), named(&[("when", "now"), ("who", "Ana")]))), Ok(()));
    for (message, expected) in [
        (with(header("other"), named(&[("when", "now"), ("who", "Ana")])), "the header needs the variable `what`"),
        (with(header("what"), named(&[("who", "Ana")])), "the text needs the variable `when`"),
        (with(header("what"), named(&[("when", "1"), ("who", "2"), ("why", "3")])), "the text has no variable `why`"),
        (with(header("what"), positional(&["a", "b"])), "the text needs the variable `who`"),
        (with(None, named(&[("when", "now"), ("who", "Ana")])), "the header needs the variable `what`"),
        (
            with(file(MediaKind::Image), named(&[("when", "1"), ("who", "2")])),
            "the header is a text, but the message has image",
        ),
    ] {
        let refused = fits(message).unwrap_err();
        assert!(refused.contains(expected), "{refused}\n{expected}");
    }
}

#[test]
fn cards_are_checked_one_by_one() {
    let card =
        |text: &str| json!({"components": [{"type": "HEADER", "format": "IMAGE"}, {"type": "BODY", "text": text}]});
    let components =
        json!([{"type": "BODY", "text": "Look"}, {"type": "CAROUSEL", "cards": [card("{{1}}"), card("Plain")]}]);
    let definition = TemplateDefinition { components, ..definition("x", "en") };
    let sent_card =
        |kind, texts: &[&str]| TemplateCard { header: file(kind).unwrap(), body: positional(texts), buttons: vec![] };
    let fits = |cards: Vec<TemplateCard>| {
        let message = Template { cards, ..message("x", "en") };
        check_parameters(&message, &definition).map_err(|refusal| refusal.message)
    };
    let image = MediaKind::Image;
    assert_eq!(fits(vec![sent_card(image, &["a"]), sent_card(image, &[])]), Ok(()));
    assert!(fits(vec![sent_card(image, &["a"])]).unwrap_err().contains("it has 2 cards, but the message fills 1"));
    assert!(
        fits(vec![sent_card(image, &[]), sent_card(image, &[])])
            .unwrap_err()
            .contains("card 0: the text has 1 variable,")
    );
    assert!(
        fits(vec![sent_card(image, &["a"]), sent_card(MediaKind::Video, &[])])
            .unwrap_err()
            .contains("card 1: the header")
    );
    assert_eq!(parameter_names(&definition), ["card 0: 1"]);
}

/// News came before the template was fetched: the platform decides.
#[test]
fn unknown_parts_are_not_checked() {
    let definition = TemplateDefinition { components: json!([]), ..definition("x", "en") };
    assert_eq!(check_parameters(&order_message(), &definition), Ok(()));
}

#[test]
fn preview_shows_what_the_reader_sees() {
    let seen = preview(&order(), &order_message());
    assert_eq!(seen.header.as_deref(), Some("[image]"));
    assert_eq!(seen.body, "Hello Ana, A-1 is ready. Ana");
    assert_eq!(
        (seen.footer.as_deref(), &*seen.buttons),
        (Some("The shop"), &["Thanks", "Track", "Call"].map(String::from)[..])
    );
    assert_eq!(preview(&order(), &message("order", "en")).body, "Hello {{1}}, {{2}} is ready. {{1}}");
    assert_eq!(parameter_names(&order()), ["header: image", "1", "2", "button 1"]);
}

#[test]
fn advertising_is_found_in_five_languages() {
    let found = |text: &str| {
        let components = json!([{"type": "BODY", "text": text}]);
        let found = lint(&TemplateDefinition { components, ..definition("x", "en") });
        found.into_iter().map(|advertising| advertising.language).collect::<Vec<_>>()
    };
    for (text, language) in [
        ("Today 20% off everything", Some("en")),
        ("Get a DISCOUNT now", Some("en")),
        ("Krijg 20% korting op alles", Some("nl")),
        ("Sichern Sie sich jetzt den Rabattcode", Some("de")),
        ("Uma promoção só hoje", Some("pt")),
        ("Suur allahindlus homme", Some("et")),
        ("Your order {{1}} is ready", None),
        ("Uw bestelling is klaar", None),
        ("Ihr Termin ist morgen um 9 Uhr", None),
        ("A sua encomenda chegou", None),
        ("Teie tellimus on valmis", None),
        // A part of another word.
        ("Wholesales figures", None),
    ] {
        // Some words begin like those of another language.
        let languages = found(text);
        assert_eq!(languages.is_empty(), language.is_none(), "{text}: {languages:?}");
        assert!(language.is_none_or(|language| languages.contains(&language)), "{text}: {languages:?}");
    }
}

#[test]
fn advertising_in_parameters_is_found() {
    let with_text = |text: &str| Template { body: positional(&[text]), ..message("x", "en") };
    assert_eq!(advertising(&with_text("20 % off")).map(|advertising| advertising.word), Some("% off"));
    assert_eq!(advertising(&with_text("A-1")), None);
}
