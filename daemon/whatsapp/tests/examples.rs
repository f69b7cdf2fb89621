//! Meta's examples of texts, files, locations, contacts and templates, all of them: read into what a plugin would ask for, and
//! written again, they are the same. What else is among the examples is made by hand in `bodies.rs` and `channel.rs`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

#[path = "support/graph.rs"]
mod graph;

use beadle_model::content::Location;
use beadle_model::outgoing::{
    MediaKind, Parameter, ParameterValue, Source, Template, TemplateAction, TemplateButton, TemplateHeader,
};
use beadle_model::{Alias, AliasKind, MessageId, Outgoing};
use beadle_pipeline::{Channel, SendRequest};
use graph::{Graph, channel, ok};
use serde_json::{Map, Value, json};

fn string(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn kind(kind: &str) -> Option<MediaKind> {
    Some(match kind {
        "image" => MediaKind::Image,
        "video" => MediaKind::Video,
        "audio" => MediaKind::Audio,
        "document" => MediaKind::Document,
        "sticker" => MediaKind::Sticker,
        _ => return None,
    })
}

fn parameter(example: &Value) -> Parameter {
    let value = match example["type"].as_str().unwrap() {
        "text" => ParameterValue::Text(string(&example["text"]).unwrap()),
        "currency" => ParameterValue::Currency {
            fallback: string(&example["currency"]["fallback_value"]).unwrap(),
            code: string(&example["currency"]["code"]).unwrap(),
            amount_1000: example["currency"]["amount_1000"].as_i64().unwrap(),
        },
        "date_time" => ParameterValue::DateTime(string(&example["date_time"]["fallback_value"]).unwrap()),
        other => panic!("{other}"),
    };
    Parameter { name: None, value }
}

fn button(example: &Value) -> TemplateButton {
    let index = example["index"].as_str().unwrap().parse().unwrap();
    let given = &example["parameters"][0];
    let action = match example["sub_type"].as_str().unwrap() {
        "quick_reply" => TemplateAction::Reply(string(&given["payload"]).unwrap()),
        "flow" => TemplateAction::Flow {
            token: string(&given["action"]["flow_token"]).unwrap(),
            data: given["action"]["flow_action_data"].clone(),
        },
        sub_type => TemplateAction::Other { kind: sub_type.into(), json: example["parameters"].clone() },
    };
    TemplateButton { index, action }
}

fn template(example: &Value, quote: Option<String>) -> Template {
    let components = example["components"].as_array().unwrap();
    let of = |kind: &'static str| components.iter().filter(move |component| component["type"] == kind);
    let header = of("header").next().map(|header| {
        let file = &header["parameters"][0];
        let kind = kind(file["type"].as_str().unwrap()).unwrap();
        let source = Source::Link(string(&file["image"]["link"]).unwrap());
        TemplateHeader::File { kind, source, filename: None }
    });
    let body = of("body").flat_map(|body| body["parameters"].as_array().unwrap()).map(parameter).collect();
    Template {
        name: string(&example["name"]).unwrap(),
        language: string(&example["language"]["code"]).unwrap(),
        category: None,
        header,
        body,
        buttons: of("button").map(button).collect(),
        quote,
    }
}

/// What a plugin would ask for to send this; none for what is made by hand elsewhere.
fn asked(example: &Value) -> Option<Outgoing> {
    let quote = string(&example["context"]["message_id"]);
    let body = |kind: &str| &example[kind];
    Some(match example["type"].as_str().unwrap_or("text") {
        "text" => {
            let preview_url = example["text"]["preview_url"] == true;
            Outgoing::Text { body: string(&example["text"]["body"])?, preview_url, quote }
        }
        "location" => {
            let location: Location = serde_json::from_value(body("location").clone()).unwrap();
            Outgoing::Location { location, quote }
        }
        "contacts" => Outgoing::Contacts { contacts: body("contacts").clone(), quote },
        "template" if example["template"].get("components").is_some() => {
            Outgoing::Template(Box::new(template(body("template"), quote)))
        }
        name => {
            let media = kind(name)?;
            let file = body(name);
            let source = Source::Link(string(&file["link"])?);
            let (caption, filename) = (string(&file["caption"]), string(&file["filename"]));
            Outgoing::Media { media, source, caption, filename, voice: false, quote }
        }
    })
}

/// The same meaning, in the one spelling that we have for it: where Meta's examples differ among themselves.
fn spelt(mut example: Value) -> Value {
    let body = example.as_object_mut().unwrap();
    body.entry("recipient_type").or_insert(json!("individual"));
    body.entry("type").or_insert(json!("text"));
    body.insert("to".into(), json!("{{Recipient-Phone-Number}}"));
    // That an uploaded file goes by its id is tested with the upload (`media.rs`).
    for kind in ["image", "video", "audio", "document", "sticker"] {
        let Some(file) = body.get_mut(kind).and_then(Value::as_object_mut) else { continue };
        if let Some(id) = file.remove("id") {
            file.insert("link".into(), id);
        }
    }
    if let Some(template) = body.get_mut("template") {
        template["language"].as_object_mut().unwrap().remove("policy");
        for component in template.get_mut("components").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(index) = component.get("index").and_then(Value::as_i64) {
                component["index"] = json!(index.to_string());
            }
            for given in component.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
                // Of a moment only the fallback is shown (fact sheet 2.3); a reply's payload cannot be a boolean.
                if let Some(fallback) = given.pointer("/date_time/fallback_value").cloned() {
                    given["date_time"] = json!({ "fallback_value": fallback });
                }
                if given.get("text").is_some_and(Value::is_boolean) {
                    *given = json!({"type": "payload", "payload": given["text"].to_string()});
                }
            }
        }
    }
    example
}

#[tokio::test]
async fn they_are_the_same_when_they_are_written_again() {
    let examples: Map<String, Value> =
        serde_json::from_str(include_str!("fixtures/meta/messages_requests.json")).unwrap();
    let mut made = 0;
    for (name, example) in examples {
        let example = spelt(example);
        let Some(body) = asked(&example) else { continue };
        let graph = Graph::start(|_| ok(json!({"messages": [{"id": "wamid.1"}]}))).await;
        let to = Alias { kind: AliasKind::WaId, value: "{{Recipient-Phone-Number}}".into() };
        let shipment = SendRequest { message: MessageId(7), to, group: None, body, callback: String::new() };
        let _ = channel(&graph).send(&shipment).await;
        let mut sent = graph.asked()[0].json();
        if example["text"].get("preview_url").is_none() && sent["text"]["preview_url"] == false {
            sent["text"].as_object_mut().unwrap().remove("preview_url");
        }
        assert_eq!(sent, example, "{name}");
        made += 1;
    }
    assert_eq!(made, 35);
}
