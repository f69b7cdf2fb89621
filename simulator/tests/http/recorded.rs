//! Requests as clients in use send them, or as Meta's pages forbid them, and the platform's answers
//! (docs/whatsapp.md#bodies).

use crate::env::{ANA, NUMBER, TOKEN, TestEnv};
use serde_json::{Value, json};

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// A request: method and path, content type, body.
struct Request(&'static str, &'static str, String);

fn messages(body: Value) -> Request {
    let mut whole = json!({"messaging_product": "whatsapp", "to": ANA});
    whole.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
    Request("v24.0/106540352242922/messages", JSON, whole.to_string())
}

fn interactive(body: Value) -> Request {
    messages(json!({"type": "interactive", "interactive": body}))
}

async fn answer(env: &TestEnv, Request(path, content_type, body): &Request) -> (u16, Value) {
    let request = env.http.post(format!("{}/{path}", env.url)).bearer_auth(TOKEN);
    let response = request.header("content-type", *content_type).body(body.clone()).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn forms_that_clients_use_are_accepted() {
    let env = TestEnv::new().await;
    env.open_window().await;
    let text = json!({"body": "The well is open again."});
    let template = json!({"name": "well_day", "language": "en", "category": "UTILITY", "components": [
        {"type": "BODY", "text": "The well opens on {{1}}.", "example": {"body_text": [["Friday"]]}}]});
    let path = "v24.0/102290129340398/message_templates";
    assert_eq!(answer(&env, &Request(path, JSON, template.to_string())).await.0, 200);
    let parameters = json!([{"type": "body", "parameters": [{"type": "TEXT", "text": "Friday"}]}]);
    let unversioned = Request("106540352242922/messages", JSON, messages(json!({"type": "text", "text": text})).2);
    for (case, request) in [
        ("null quotes nothing", messages(json!({"context": null, "type": "text", "text": text}))),
        (
            "null is no caption",
            messages(json!({"type": "image", "image": {"link": "https://files.example/well.jpg", "caption": null}})),
        ),
        ("a number may be a number", messages(json!({"to": 351_910_000_101_u64, "type": "text", "text": text}))),
        (
            "a parameter's type in capitals",
            messages(json!({"type": "template", "template": {"name": "well_day", "language": {"code": "en"},
                "components": parameters}})),
        ),
        ("the app's default version", unversioned),
        (
            "a form instead of JSON",
            Request(
                "v24.0/106540352242922/whatsapp_business_profile",
                FORM,
                "about=Open+on+Fridays&messaging_product=whatsapp".into(),
            ),
        ),
    ] {
        let (status, answer) = answer(&env, &request).await;
        assert_eq!(status, 200, "{case}: {answer}");
    }
    assert_eq!(NUMBER, "106540352242922");
}

#[tokio::test]
async fn forms_that_the_platform_refuses_are_refused() {
    let env = TestEnv::new().await;
    env.open_window().await;
    let sections = json!([{"title": "Seeds", "product_items": [{"product_retailer_id": "seed-1"}]}]);
    let products = |header: Value| {
        let mut body = json!({"type": "product_list", "body": {"text": "From our garden"},
            "action": {"catalog_id": "77001", "sections": sections}});
        if !header.is_null() {
            body["header"] = header;
        }
        interactive(body)
    };
    let link = json!({"name": "cta_url", "parameters": {"display_text": "See the plan", "url": "https://garden.example/plan"}});
    for (case, request, code) in [
        ("products need a header", products(Value::Null), 131_008),
        ("of text", products(json!({"type": "image", "image": {"link": "https://files.example/well.jpg"}})), 131_009),
        ("a link needs a body", interactive(json!({"type": "cta_url", "action": link})), 131_008),
        (
            "a location request needs a body",
            interactive(json!({"type": "location_request_message", "action": {"name": "send_location"}})),
            131_008,
        ),
        (
            "components are a list",
            messages(json!({"type": "template", "template": {"name": "well_day", "language": {"code": "en"},
                "components": "[]"}})),
            100,
        ),
        (
            "so are parameters",
            messages(json!({"type": "template", "template": {"name": "well_day", "language": {"code": "en"},
                "components": [{"type": "body", "parameters": "[]"}]}})),
            100,
        ),
    ] {
        let (status, answer) = answer(&env, &request).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(code)), "{case}: {answer}");
    }
    let text = json!({"messaging_product": "whatsapp", "to": ANA, "type": "text", "text": {"body": "x"}});
    let (status, answer) = answer(&env, &Request("v24.0/123123/messages", JSON, text.to_string())).await;
    let error = &answer["error"];
    assert_eq!((status, &error["code"], &error["error_subcode"]), (400, &json!(100), &json!(33)), "{answer}");
    assert_eq!(error["type"], "GraphMethodException");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .starts_with("Unsupported post request. Object with ID '123123' does not exist")
    );
}
