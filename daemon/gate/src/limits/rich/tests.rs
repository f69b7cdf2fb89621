//! Each limit at its edge: the maximum passes, one more does not.

use super::*;
use beadle_model::content::Location;
use beadle_model::outgoing::TemplateButton;
use beadle_model::{ContactId, MediaId};
use serde_json::json;

fn code(body: &Outgoing) -> String {
    match super::super::check(body) {
        Ok(()) => "ok".into(),
        Err(refusal) => {
            assert!(crate::CODES.contains(&refusal.code.as_str()), "{refusal:?}");
            refusal.code
        }
    }
}

fn link() -> Source {
    Source::Link("https://example.com/a".into())
}

fn media(media: MediaKind, caption: Option<usize>, voice: bool) -> Outgoing {
    let caption = caption.map(|length| "x".repeat(length));
    Outgoing::Media { media, source: link(), caption, filename: None, voice, quote: None }
}

#[test]
fn each_kind_of_file_has_its_own_rules() {
    for (body, expected) in [
        (media(MediaKind::Image, Some(1024), false), "ok"),
        (media(MediaKind::Image, Some(1025), false), "too-long"),
        (media(MediaKind::Audio, Some(1), false), "bad-message"),
        (media(MediaKind::Sticker, Some(1), false), "bad-message"),
        (media(MediaKind::Audio, None, true), "ok"),
        (media(MediaKind::Video, None, true), "bad-message"),
    ] {
        assert_eq!(code(&body), expected, "{body:?}");
    }
    for (url, expected) in [
        ("https://example.com", "ok"),
        ("http://example.com", "ok"),
        ("ftp://example.com", "bad-message"),
        ("https://", "bad-message"),
        ("https://a b", "bad-message"),
        ("", "empty-field"),
        (&format!("https://{}", "x".repeat(URL)), "too-long"),
    ] {
        let source = Source::Link(url.into());
        let body = Outgoing::Media {
            media: MediaKind::Image,
            source,
            caption: None,
            filename: None,
            voice: false,
            quote: None,
        };
        assert_eq!(code(&body), expected, "{url}");
    }
    for (characters, expected) in [(0, "empty-field"), (1, "ok"), (FILENAME, "ok"), (FILENAME + 1, "too-long")] {
        let own = Outgoing::Media {
            media: MediaKind::Document,
            source: Source::Media(MediaId(1)),
            caption: None,
            filename: Some("x".repeat(characters)),
            voice: false,
            quote: None,
        };
        assert_eq!(code(&own), expected, "{characters}");
    }
}

#[test]
fn locations_and_contacts_are_checked() {
    for (latitude, longitude, expected) in
        [(90.0, 180.0, "ok"), (-90.0, -180.0, "ok"), (90.1, 0.0, "bad-message"), (0.0, f64::NAN, "bad-message")]
    {
        let location = Location { latitude, longitude, name: None, address: None };
        assert_eq!(code(&Outgoing::Location { location, quote: None }), expected);
    }
    let contact = json!({"name": {"formatted_name": "Ana"}});
    for (contacts, expected) in [
        (json!([contact]), "ok"),
        (json!([]), "empty-field"),
        (json!({}), "bad-message"),
        (json!([{"name": {}}]), "empty-field"),
        (json!(vec![contact; 258]), "too-many"),
    ] {
        assert_eq!(code(&Outgoing::Contacts { contacts, quote: None }), expected);
    }
}

#[test]
fn each_kind_of_interactive_message_has_limits() {
    let button = |title: usize, url: &str| Outgoing::CtaUrl {
        header: None,
        body: "b".into(),
        footer: None,
        title: "x".repeat(title),
        url: url.into(),
        quote: None,
    };
    assert_eq!(code(&button(20, "https://a.b")), "ok");
    assert_eq!(code(&button(21, "https://a.b")), "too-long");
    assert_eq!(code(&button(1, "a.b")), "bad-message");
    for (length, expected) in [(1024, "ok"), (1025, "too-long")] {
        let body = "x".repeat(length);
        assert_eq!(code(&Outgoing::LocationRequest { body: body.clone(), quote: None }), expected);
        assert_eq!(code(&Outgoing::ContactRequest { body, quote: None }), expected);
    }
    let flow = |button: usize, data: Value| {
        Outgoing::Flow(Box::new(Flow {
            header: None,
            body: "b".into(),
            footer: None,
            flow: "1".into(),
            by_name: false,
            token: "t".into(),
            button: "x".repeat(button),
            screen: None,
            data,
            draft: false,
            quote: None,
        }))
    };
    assert_eq!(code(&flow(30, json!({}))), "ok");
    assert_eq!(code(&flow(31, json!({}))), "too-long");
    assert_eq!(code(&flow(1, json!([]))), "bad-message");
    let list = |sections: usize, each: usize| {
        let section = ProductSection { title: "t".into(), products: vec!["p".into(); each] };
        let (header, body, catalog) = ("h".into(), "b".into(), "c".into());
        Outgoing::ProductList { header, body, footer: None, catalog, sections: vec![section; sections], quote: None }
    };
    for (sections, each, expected) in [
        (10, 3, "ok"),
        (1, 30, "ok"),
        (1, 31, "too-many"),
        (11, 1, "too-many"),
        (0, 0, "empty-field"),
        (1, 0, "empty-field"),
    ] {
        assert_eq!(code(&list(sections, each)), expected, "{sections} {each}");
    }
    for (json, expected) in [
        (json!({"type": "carousel"}), "ok"),
        (json!({}), "bad-message"),
        (json!({"type": "x", "y": "z".repeat(65_536)}), "too-long"),
    ] {
        assert_eq!(code(&Outgoing::Interactive { json, quote: None }), expected);
    }
}

fn template(change: impl FnOnce(&mut Template)) -> Outgoing {
    let mut template = Template::new("order_update2", "en_US");
    change(&mut template);
    Outgoing::Template(Box::new(template))
}

#[test]
fn template_parts_have_limits() {
    let text = |name: Option<&str>, text: &str| Parameter {
        name: name.map(str::to_owned),
        value: ParameterValue::Text(text.into()),
    };
    assert_eq!(code(&template(|_| {})), "ok");
    for (name, expected) in [("Order", "bad-message"), ("", "empty-field"), (&"x".repeat(513), "too-long")] {
        assert_eq!(code(&template(|template| template.name = name.to_owned())), expected, "{name}");
    }
    for (body, expected) in [
        (vec![text(None, "a"), text(None, "a")], "ok"),
        (vec![text(Some("a"), "x"), text(Some("b"), "x")], "ok"),
        (vec![text(Some("a"), "x"), text(Some("a"), "x")], "duplicate-id"),
        (vec![text(Some("a"), "x"), text(None, "x")], "bad-message"),
        (vec![text(None, "two\nlines")], "bad-message"),
        (vec![text(None, " ")], "empty-field"),
        (vec![text(None, "a"); 101], "too-many"),
    ] {
        assert_eq!(code(&template(|template| template.body.clone_from(&body))), expected, "{body:?}");
    }
    let payload = |length: usize| TemplateButton { index: 0, action: TemplateAction::Reply("x".repeat(length)) };
    assert_eq!(code(&template(|template| template.buttons = vec![payload(128)])), "ok");
    assert_eq!(code(&template(|template| template.buttons = vec![payload(129)])), "too-long");
    assert_eq!(code(&template(|template| template.buttons = vec![payload(1); 11])), "too-many");
}

#[test]
fn group_changes_have_limits() {
    let create = |subject: usize, description: usize| {
        let (subject, description) = ("x".repeat(subject), Some("x".repeat(description)));
        GroupChange::Create { subject, description, approval_required: false }
    };
    let answer = |requests: Vec<&str>| {
        let requests = requests.into_iter().map(str::to_owned).collect();
        GroupChange::Answer { requests, approve: true }
    };
    for (change, expected) in [
        (create(128, 2048), "ok"),
        (create(129, 0), "too-long"),
        (create(0, 0), "empty-field"),
        (create(1, 2049), "too-long"),
        (GroupChange::Settings { subject: None, description: None }, "empty-field"),
        (GroupChange::Settings { subject: None, description: Some(String::new()) }, "ok"),
        (answer(vec![]), "empty-field"),
        (answer(vec!["a", "a"]), "duplicate-id"),
        (answer(vec!["a", "b"]), "ok"),
        (GroupChange::Remove { contacts: (1..=8).map(ContactId).collect() }, "ok"),
        (GroupChange::Remove { contacts: (1..=9).map(ContactId).collect() }, "too-many"),
        (GroupChange::Refresh, "ok"),
    ] {
        assert_eq!(code(&Outgoing::Group(change.clone())), expected, "{change:?}");
    }
    for (days, expected) in
        [(Some(1), "ok"), (Some(30), "ok"), (Some(31), "bad-message"), (Some(0), "bad-message"), (None, "ok")]
    {
        assert_eq!(code(&Outgoing::Pin { message: "wamid.1".into(), days }), expected);
    }
    assert_eq!(code(&Outgoing::Pin { message: " ".into(), days: None }), "empty-field");
}

fn direct(category: &str, name: Option<&str>, message: Outgoing) -> Outgoing {
    Outgoing::Direct(Box::new(Direct { category: category.into(), template_name: name.map(str::to_owned), message }))
}

#[test]
fn direct_send_accepts_only_its_kinds() {
    let text = |length: usize| Outgoing::Text { body: "x".repeat(length), preview_url: false, quote: None };
    let call =
        |title: usize, ttl_minutes| Outgoing::VoiceCall { body: "b".into(), title: "x".repeat(title), ttl_minutes };
    let cta_url = Outgoing::CtaUrl {
        header: Some(Header::File { kind: MediaKind::Image, source: link(), filename: None }),
        body: "b".into(),
        footer: None,
        title: "t".into(),
        url: "https://example.com".into(),
        quote: None,
    };
    for (body, expected) in [
        (direct("utility", None, text(4096)), "ok"),
        (direct("utility", None, text(4097)), "too-long"),
        (direct("utility", Some("order_1"), cta_url.clone()), "ok"),
        (direct("utility", Some("Order"), text(1)), "bad-message"),
        (direct("utility", Some(""), text(1)), "empty-field"),
        (direct("authentication", None, text(1)), "ok"),
        (direct("authentication", None, cta_url), "bad-message"),
        (direct("marketing", None, text(1)), "bad-message"),
        (direct("service", None, text(1)), "bad-message"),
        (direct("utility", None, media(MediaKind::Image, None, false)), "bad-message"),
        (direct("utility", None, direct("utility", None, text(1))), "bad-message"),
        (direct("utility", None, call(20, 43_200)), "ok"),
        (direct("utility", None, call(21, 1)), "too-long"),
        (direct("utility", None, call(20, 43_201)), "bad-message"),
        (direct("utility", None, call(20, 0)), "bad-message"),
        (call(20, 1), "bad-message"),
    ] {
        assert_eq!(code(&body), expected, "{body:?}");
    }
}

#[test]
fn values_that_cannot_be_read_back_are_refused() {
    let deep = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!([inner]));
    let interactive = |inner| Outgoing::Interactive { json: json!({"type": "x", "y": inner}), quote: None };
    assert_eq!(code(&interactive(deep(JSON_DEPTH - 1))), "ok");
    assert_eq!(code(&interactive(deep(126))), "bad-message");
    let location = Location { latitude: f64::NAN, longitude: 1.0, name: None, address: None };
    assert_eq!(code(&template(|template| template.header = Some(TemplateHeader::Location(location)))), "bad-message");
}
