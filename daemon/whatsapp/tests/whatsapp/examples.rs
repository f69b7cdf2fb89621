//! All of Meta's examples of text, media, location, contacts and template messages: converted into
//! an `Outgoing` and written again, they are unchanged. The other examples are covered by
//! `bodies.rs` and `channel.rs`.

use crate::channel_env::channel;
use beadle_model::content::Location;
use beadle_model::outgoing::{
    MediaKind, Parameter, ParameterValue, Source, Template, TemplateAction, TemplateButton, TemplateHeader,
};
use beadle_model::{Alias, AliasKind, MessageId, Outgoing};
use beadle_pipeline::{Channel, SendRequest};
use beadle_test_support::graph::{FakeGraph, ok};
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
    let parameter = &example["parameters"][0];
    let action = match example["sub_type"].as_str().unwrap() {
        "quick_reply" => TemplateAction::Reply(string(&parameter["payload"]).unwrap()),
        "flow" => TemplateAction::Flow {
            token: string(&parameter["action"]["flow_token"]).unwrap(),
            data: parameter["action"]["flow_action_data"].clone(),
        },
        sub_type => TemplateAction::Other { kind: sub_type.into(), json: example["parameters"].clone() },
    };
    TemplateButton { index, action }
}

fn template(example: &Value, quote: Option<String>) -> Template {
    let components = example["components"].as_array().unwrap();
    let of_type = |kind: &'static str| components.iter().filter(move |component| component["type"] == kind);
    let header = of_type("header").next().map(|header| {
        let file = &header["parameters"][0];
        let kind = kind(file["type"].as_str().unwrap()).unwrap();
        let source = Source::Link(string(&file["image"]["link"]).unwrap());
        TemplateHeader::File { kind, source, filename: None }
    });
    let body = of_type("body").flat_map(|body| body["parameters"].as_array().unwrap()).map(parameter).collect();
    Template {
        header,
        body,
        buttons: of_type("button").map(button).collect(),
        quote,
        ..Template::new(string(&example["name"]).unwrap(), string(&example["language"]["code"]).unwrap())
    }
}

/// The `Outgoing` that gives this example; `None` for types that are covered elsewhere.
fn outgoing(example: &Value) -> Option<Outgoing> {
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

/// The example in our spelling, where Meta's examples differ among themselves.
fn normalised(mut example: Value) -> Value {
    let body = example.as_object_mut().unwrap();
    body.entry("recipient_type").or_insert(json!("individual"));
    body.entry("type").or_insert(json!("text"));
    body.insert("to".into(), json!("{{Recipient-Phone-Number}}"));
    // Sending an uploaded file by its id is tested in `media.rs`.
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
            for parameter in component.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
                // The platform shows only the fallback of a date and time; a payload cannot be a
                // boolean.
                if let Some(fallback) = parameter.pointer("/date_time/fallback_value").cloned() {
                    parameter["date_time"] = json!({ "fallback_value": fallback });
                }
                if parameter.get("text").is_some_and(Value::is_boolean) {
                    *parameter = json!({"type": "payload", "payload": parameter["text"].to_string()});
                }
            }
        }
    }
    example
}

#[tokio::test]
async fn examples_survive_conversion_to_outgoing_and_back() {
    let examples: Map<String, Value> =
        serde_json::from_str(include_str!("../fixtures/meta/messages_requests.json")).unwrap();
    let mut converted = 0;
    for (name, example) in examples {
        let example = normalised(example);
        let Some(body) = outgoing(&example) else { continue };
        let graph = FakeGraph::start(|_| ok(json!({"messages": [{"id": "wamid.1"}]}))).await;
        let to = Alias { kind: AliasKind::WaId, value: "{{Recipient-Phone-Number}}".into() };
        let request = SendRequest { message: MessageId(7), to, group: None, body, callback: String::new() };
        let _ = channel(&graph).send(&request).await;
        let mut sent = graph.requests()[0].json();
        if example["text"].get("preview_url").is_none() && sent["text"]["preview_url"] == false {
            sent["text"].as_object_mut().unwrap().remove("preview_url");
        }
        assert_eq!(sent, example, "{name}");
        converted += 1;
    }
    assert_eq!(converted, 35);
}
