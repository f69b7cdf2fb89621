//! Request bodies compared with Meta's examples: a body built from an example's values equals the
//! example.

use crate::channel_env::channel;
use beadle_model::content::Location;
use beadle_model::outgoing::{
    Direct, Flow, GroupChange, Header, MediaKind, Parameter, ParameterValue, ProductSection, Source, Template,
    TemplateAction, TemplateButton, TemplateHeader,
};
use beadle_model::{Alias, AliasKind, MessageId, Outgoing};
use beadle_pipeline::{Channel, SendRequest};
use beadle_test_support::graph::{FakeGraph, ok};
use serde_json::{Map, Value, json};

fn media(media: MediaKind, link: &str) -> Outgoing {
    let source = Source::Link(link.into());
    Outgoing::Media { media, source, caption: None, filename: None, voice: false, quote: None }
}

fn text(text: &str) -> Parameter {
    Parameter { name: None, value: ParameterValue::Text(text.into()) }
}

fn template(name: &str, language: &str) -> Template {
    Template::new(name, language)
}

fn flow(name: &str, by_name: bool, draft: bool) -> Outgoing {
    let sample = |text: &str| if draft { "Not shown in draft mode".to_owned() } else { text.to_owned() };
    Outgoing::Flow(Box::new(Flow {
        header: Some(Header::Text(sample("<HEADER_TEXT>"))),
        body: sample("<BODY_TEXT>"),
        footer: Some(sample("<FOOTER_TEXT>")),
        flow: name.into(),
        by_name,
        token: "<FLOW_TOKEN>".into(),
        button: sample("Open Flow!"),
        screen: Some("<SCREEN_ID>".into()),
        data: json!({"<CUSTOM_KEY>": "<CUSTOM_VALUE>"}),
        draft,
        quote: None,
    }))
}

async fn sent(body: Outgoing, group: Option<&str>) -> Value {
    let graph = FakeGraph::start(|_| ok(json!({"messages": [{"id": "wamid.1"}]}))).await;
    let request = SendRequest {
        message: MessageId(7),
        to: Alias { kind: AliasKind::WaId, value: "{{Recipient-Phone-Number}}".into() },
        group: group.map(str::to_owned),
        body,
        callback: String::new(),
    };
    let _ = channel(&graph).send(&request).await;
    graph.requests()[0].json()
}

#[tokio::test]
async fn bodies_equal_metas_examples() {
    let examples: Map<String, Value> =
        serde_json::from_str(include_str!("../fixtures/meta/messages_requests.json")).unwrap();
    let document = |caption: &str| Outgoing::Media {
        media: MediaKind::Document,
        source: Source::Link("<http(s)://document-url>".into()),
        caption: Some(caption.into()),
        filename: None,
        voice: false,
        quote: None,
    };
    let section = |n: u8| ProductSection {
        title: format!("<SECTION{n}_TITLE>"),
        products: vec![format!("<YOUR_PRODUCT{n}_SKU_IN_CATALOG>"), format!("<YOUR_SECOND_PRODUCT{n}_SKU_IN_CATALOG>")],
    };
    let meta = Location {
        latitude: 37.758_056,
        longitude: -122.425_332,
        name: Some("META HQ".into()),
        address: Some("1 Hacker Way, Menlo Park, CA 94025".into()),
    };
    let raw = |name: &str| Outgoing::Interactive { json: examples[name]["interactive"].clone(), quote: None };
    let hello = Outgoing::Template(Box::new(template("hello_world", "en_US")));
    for (name, body) in [
        ("Send Image Message by URL", media(MediaKind::Image, "http(s)://image-url")),
        ("Send Sticker Message by URL", media(MediaKind::Sticker, "<http(s)://sticker-url>")),
        ("Send Audio Message by URL", media(MediaKind::Audio, "<http(s)://audio-url>")),
        ("Send Document Message by URL", document("<DOCUMENT-CAPTION-TEXT>")),
        ("Send Location Message", Outgoing::Location { location: meta, quote: None }),
        (
            "Send Contact Message",
            Outgoing::Contacts { contacts: examples["Send Contact Message"]["contacts"].clone(), quote: None },
        ),
        ("Send Published Flow by ID", flow("{{Flow-ID}}", false, false)),
        ("Send Published Flow by Name", flow("{{Flow-Name}}", true, false)),
        ("Send Draft Flow by ID", flow("{{Flow-ID}}", false, true)),
        ("Send Draft Flow by Name", flow("{{Flow-Name}}", true, true)),
        (
            "Send Single Product Message",
            Outgoing::Product {
                body: Some("<OPTIONAL_BODY_TEXT>".into()),
                footer: Some("<OPTIONAL_FOOTER_TEXT>".into()),
                catalog: "367025965434465".into(),
                product: "<ID_TEST_ITEM_1>".into(),
                quote: None,
            },
        ),
        (
            "Send Multi-Product Message",
            Outgoing::ProductList {
                header: "<YOUR_TEXT_HEADER_CONTENT>".into(),
                body: "<YOUR_TEXT_BODY_CONTENT>".into(),
                footer: Some("<YOUR_TEXT_FOOTER_CONTENT>".into()),
                catalog: "146265584024623".into(),
                sections: vec![section(1), section(2)],
                quote: None,
            },
        ),
        (
            "Send Catalog Message",
            Outgoing::Catalog {
                body: examples["Send Catalog Message"]["interactive"]["body"]["text"].as_str().unwrap().into(),
                footer: Some("Best grocery deals on WhatsApp!".into()),
                product: Some("2lc20305pt".into()),
                quote: None,
            },
        ),
        ("Send Order Details Message", raw("Send Order Details Message")),
        ("Send Order Status Message", raw("Send Order Status Message")),
        ("Send Test Message", hello),
    ] {
        let mut sent = sent(body, None).await;
        let mut example = examples[name].clone();
        // These are the defaults of members that an example omits; its number is a placeholder.
        for (key, value) in [("recipient_type", json!("individual")), ("to", sent["to"].clone())] {
            sent[key] = value.clone();
            example[key] = value;
        }
        if name == "Send Multi-Product Message" {
            example["interactive"]["header"]["type"] = json!("text");
        }
        assert_eq!(sent, example, "{name}");
    }
}

#[tokio::test]
async fn template_has_all_components() {
    let mut message = template("order_update", "en_US");
    message.header = Some(TemplateHeader::File {
        kind: MediaKind::Image,
        source: Source::Link("https://example.com/a.png".into()),
        filename: None,
    });
    let money = ParameterValue::Currency { fallback: "$100.99".into(), code: "USD".into(), amount_1000: 100_990 };
    let named = Parameter { name: Some("order_id".into()), value: ParameterValue::Text("A1".into()) };
    message.body = vec![
        text("Jane"),
        named,
        Parameter { name: None, value: money },
        Parameter { name: None, value: ParameterValue::DateTime("February 25, 1977".into()) },
        Parameter { name: None, value: ParameterValue::Group("Y2FwaQZD".into()) },
    ];
    let button = |index, action| TemplateButton { index, action };
    message.buttons = vec![
        button(0, TemplateAction::Reply("yes-42".into())),
        button(1, TemplateAction::Url("path-suffix".into())),
        button(2, TemplateAction::Flow { token: "t".into(), data: json!({}) }),
        button(3, TemplateAction::CopyCode("SAVE".into())),
        button(4, TemplateAction::Other { kind: "CATALOG".into(), json: json!([{"type": "action", "action": {}}]) }),
    ];
    let body = sent(Outgoing::Template(Box::new(message)), None).await;
    assert_eq!(body["type"], "template");
    let expected = json!({"name": "order_update", "language": {"code": "en_US"}, "components": [
        {"type": "header", "parameters": [{"type": "image", "image": {"link": "https://example.com/a.png"}}]},
        {"type": "body", "parameters": [
            {"type": "text", "text": "Jane"},
            {"type": "text", "parameter_name": "order_id", "text": "A1"},
            {"type": "currency", "currency": {"fallback_value": "$100.99", "code": "USD", "amount_1000": 100_990}},
            {"type": "date_time", "date_time": {"fallback_value": "February 25, 1977"}},
            {"type": "group_id", "group_id": "Y2FwaQZD"},
        ]},
        {"type": "button", "sub_type": "quick_reply", "index": "0", "parameters": [{"type": "payload", "payload": "yes-42"}]},
        {"type": "button", "sub_type": "url", "index": "1", "parameters": [{"type": "text", "text": "path-suffix"}]},
        {"type": "button", "sub_type": "flow", "index": "2",
            "parameters": [{"type": "action", "action": {"flow_token": "t", "flow_action_data": {}}}]},
        {"type": "button", "sub_type": "copy_code", "index": "3",
            "parameters": [{"type": "coupon_code", "coupon_code": "SAVE"}]},
        {"type": "button", "sub_type": "CATALOG", "index": "4", "parameters": [{"type": "action", "action": {}}]},
    ]});
    assert_eq!(body["template"], expected);
}

#[tokio::test]
async fn other_bodies_have_the_documented_form() {
    let body = "Where are you?".to_owned();
    let quote = Some("wamid.9".to_owned());
    let location = Outgoing::LocationRequest { body: body.clone(), quote: quote.clone() };
    let contact = Outgoing::ContactRequest { body: body.clone(), quote };
    for (request, kind, name) in [
        (location, "location_request_message", "send_location"),
        (contact, "request_contact_info", "request_contact_info"),
    ] {
        let sent = sent(request, None).await;
        assert_eq!(sent["interactive"], json!({"type": kind, "body": {"text": body}, "action": {"name": name}}));
        assert_eq!(sent["context"], json!({"message_id": "wamid.9"}));
    }
    let link = Outgoing::CtaUrl {
        header: Some(Header::File {
            kind: MediaKind::Document,
            source: Source::Link("https://example.com/a.pdf".into()),
            filename: Some("a.pdf".into()),
        }),
        body: "Read".into(),
        footer: None,
        title: "Open".into(),
        url: "https://example.com".into(),
        quote: None,
    };
    let expected = json!({"type": "cta_url",
        "header": {"type": "document", "document": {"link": "https://example.com/a.pdf", "filename": "a.pdf"}},
        "body": {"text": "Read"},
        "action": {"name": "cta_url", "parameters": {"display_text": "Open", "url": "https://example.com"}}});
    assert_eq!(sent(link, None).await["interactive"], expected);

    let voice = Outgoing::Media {
        media: MediaKind::Audio,
        source: Source::Link("https://example.com/a.ogg".into()),
        caption: None,
        filename: None,
        voice: true,
        quote: None,
    };
    let sent_voice = sent(voice, Some("Y2FwaQZD")).await;
    assert_eq!(sent_voice["audio"], json!({"link": "https://example.com/a.ogg", "voice": true}));
    assert_eq!((&sent_voice["recipient_type"], &sent_voice["to"]), (&json!("group"), &json!("Y2FwaQZD")));

    let pin = sent(Outgoing::Pin { message: "wamid.1".into(), days: Some(7) }, Some("Y2FwaQZD")).await;
    assert_eq!(pin["pin"], json!({"type": "pin", "message_id": "wamid.1", "expiration_days": 7}));
    let unpin = sent(Outgoing::Pin { message: "wamid.1".into(), days: None }, Some("Y2FwaQZD")).await;
    assert_eq!(unpin["pin"], json!({"type": "unpin", "message_id": "wamid.1"}));
}

#[tokio::test]
async fn group_creation_is_not_sent_as_a_message() {
    let created = GroupChange::Create { subject: "Potters".into(), description: None, approval_required: true };
    let body = sent(Outgoing::Group(created), Some("")).await;
    let expected =
        json!({"messaging_product": "whatsapp", "subject": "Potters", "join_approval_mode": "approval_required"});
    assert_eq!(body, expected);
}

#[tokio::test]
async fn direct_send_adds_a_category() {
    let text = || Outgoing::Text { body: "Your order has left.".into(), preview_url: false, quote: None };
    let direct = |category: &str, template_name: Option<&str>, message| {
        let template_name = template_name.map(str::to_owned);
        sent(Outgoing::Direct(Box::new(Direct { category: category.into(), template_name, message })), None)
    };
    let expected = json!({
        "messaging_product": "whatsapp", "recipient_type": "individual", "to": "{{Recipient-Phone-Number}}",
        "type": "text", "text": {"body": "Your order has left.", "preview_url": false},
        "category": "utility", "direct_send_config": {"template_name": "order_left"},
    });
    assert_eq!(direct("utility", Some("order_left"), text()).await, expected);
    let unnamed = direct("authentication", None, text()).await;
    assert_eq!((&unnamed["category"], unnamed.get("direct_send_config")), (&json!("authentication"), None));
    let call = Outgoing::VoiceCall { body: "Call us".into(), title: "Call".into(), ttl_minutes: 60 };
    let expected = json!({
        "type": "voice_call", "body": {"text": "Call us"},
        "action": {"name": "voice_call", "parameters": {"display_text": "Call", "ttl_minutes": 60}},
    });
    assert_eq!(direct("utility", None, call).await["interactive"], expected);
    assert_eq!(sent(text(), None).await.get("category"), None);
}
