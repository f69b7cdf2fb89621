//! Templates: creation, review, sending with parameters, pauses, edits, deletion.

use crate::env::{ANA, TestEnv, code};
use serde_json::{Value, json};

const ACCOUNT: &str = "102290129340398/message_templates";
const HOUR_MS: i64 = 3_600_000;

fn draft(name: &str, category: &str) -> Value {
    json!({"name": name, "language": "en", "category": category, "components": [
        {"type": "BODY", "text": "Hello {{1}}", "example": {"body_text": [["Ana"]]}},
        {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "Stop this"}]},
    ]})
}

fn message(name: &str, texts: &[&str]) -> Value {
    let parameters: Vec<Value> = texts.iter().map(|text| json!({"type": "text", "text": text})).collect();
    json!({"messaging_product": "whatsapp", "to": ANA, "type": "template", "template": {
        "name": name, "language": {"code": "en"}, "components": [{"type": "body", "parameters": parameters}]}})
}

/// The events of all template status updates.
fn events(env: &TestEnv) -> Vec<Value> {
    env.daemon.field("message_template_status_update").iter().map(|value| value["event"].clone()).collect()
}

#[tokio::test]
async fn template_can_be_sent_after_its_review() {
    let env = TestEnv::new().await;
    env.faults(json!({"template_review_ms": HOUR_MS})).await;
    let (status, answer) = env.graph("POST", ACCOUNT, draft("greeting", "UTILITY")).await;
    assert_eq!((status, &answer["status"], &answer["category"]), (200, &json!("PENDING"), &json!("UTILITY")));
    assert_eq!(code(&env.send(message("greeting", &["Ana"])).await.1), 132_001, "in review");
    assert_eq!(env.graph("POST", ACCOUNT, draft("greeting", "UTILITY")).await.0, 400, "twice");
    env.advance(HOUR_MS).await;
    env.idle().await;
    assert_eq!(events(&env), ["APPROVED"]);
    let update = env.daemon.field("message_template_status_update")[0].clone();
    assert_eq!((&update["message_template_name"], update["message_template_id"].is_u64()), (&json!("greeting"), true));
    let (status, sent) = env.send(message("greeting", &["Ana"])).await;
    assert_eq!((status, &sent["messages"][0]["message_status"]), (200, &json!("accepted")));
    assert_eq!(code(&env.send(message("greeting", &[])).await.1), 132_000);
    assert_eq!(env.send(message("farewell", &["Ana"])).await.0, 404);
    env.control("say", json!({"from": "ana", "tap": "Stop this"})).await;
    env.idle().await;
    let tap = env.daemon.all("messages")[0].clone();
    assert_eq!(tap["button"], json!({"payload": "Stop this", "text": "Stop this"}));
    assert_eq!(tap["context"]["id"], sent["messages"][0]["id"]);
    let stored = env.get("messages?person=ana").await["messages"][0].clone();
    assert_eq!(stored["rendered"]["body"], "Hello Ana");
    assert_eq!(stored["pricing"], json!({"category": "utility", "type": "regular", "billable": true}));
}

#[tokio::test]
async fn pause_ends_by_itself_and_the_third_disables_the_template() {
    let env = TestEnv::new().await;
    env.graph("POST", ACCOUNT, draft("news", "MARKETING")).await;
    env.idle().await;
    for (pause, hours) in [3, 6].into_iter().enumerate() {
        env.control("templates", json!({"name": "news", "event": "pause"})).await;
        assert_eq!(code(&env.send(message("news", &["x"])).await.1), 132_015, "pause {pause}");
        env.advance(hours * HOUR_MS - 1).await;
        assert_eq!(code(&env.send(message("news", &["x"])).await.1), 132_015);
        env.advance(1).await;
        assert_eq!(env.send(message("news", &["x"])).await.0, 200);
    }
    env.control("templates", json!({"name": "news", "event": "pause"})).await;
    assert_eq!(code(&env.send(message("news", &["x"])).await.1), 132_016);
    env.idle().await;
    assert_eq!(events(&env), ["APPROVED", "PAUSED", "APPROVED", "PAUSED", "APPROVED", "DISABLED"]);
}

#[tokio::test]
async fn changed_quality_and_category_send_webhooks() {
    let env = TestEnv::new().await;
    env.faults(json!({"template_review": "manual"})).await;
    let id = env.graph("POST", ACCOUNT, draft("news", "UTILITY")).await.1["id"].as_str().unwrap().to_owned();
    env.control("templates", json!({"name": "news", "event": "reject", "reason": "PROMOTIONAL"})).await;
    env.control("templates", json!({"name": "news", "event": "approve", "quality": "RED", "category": "MARKETING"}))
        .await;
    env.idle().await;
    assert_eq!(events(&env), ["REJECTED", "APPROVED"]);
    assert_eq!(env.daemon.field("message_template_status_update")[0]["reason"], "PROMOTIONAL");
    assert_eq!(env.daemon.field("message_template_quality_update")[0]["new_quality_score"], "RED");
    assert_eq!(env.daemon.field("template_category_update")[0]["previous_category"], "UTILITY");
    let template = env.graph("GET", &id, Value::Null).await.1;
    assert_eq!((&template["status"], &template["quality_score"]["score"]), (&json!("APPROVED"), &json!("RED")));
}

#[tokio::test]
async fn templates_can_be_listed_edited_and_deleted() {
    let env = TestEnv::new().await;
    for n in 0..3 {
        env.graph("POST", ACCOUNT, draft(&format!("t{n}"), "UTILITY")).await;
    }
    env.idle().await;
    let page = env.graph("GET", &format!("{ACCOUNT}?limit=2&fields=name"), Value::Null).await.1;
    assert_eq!(page["data"].as_array().map(Vec::len), Some(2));
    let after = page["paging"]["cursors"]["after"].as_str().unwrap();
    let rest = env.graph("GET", &format!("{ACCOUNT}?limit=2&fields=name&after={after}"), Value::Null).await.1;
    assert_eq!((&rest["data"][0]["name"], rest["data"].as_array().map(Vec::len)), (&json!("t2"), Some(1)));
    assert_eq!(code(&env.graph("GET", &format!("{ACCOUNT}?after=invalid"), Value::Null).await.1), 131_059);
    let id = rest["data"][0]["id"].as_str().unwrap();
    let edit = json!({"components": [{"type": "BODY", "text": "New text"}]});
    assert_eq!(env.graph("POST", id, edit.clone()).await.1["success"], true);
    env.idle().await;
    assert_eq!(env.graph("GET", id, Value::Null).await.1["components"][0]["text"], "New text");
    assert_eq!(env.graph("POST", id, edit).await.0, 400, "once in 24 hours");
    assert_eq!(env.graph("DELETE", &format!("{ACCOUNT}?name=t2"), Value::Null).await.1, json!({"success": true}));
    assert_eq!(env.graph("GET", id, Value::Null).await.0, 400);
    assert_eq!(env.graph("POST", ACCOUNT, draft("t2", "UTILITY")).await.0, 400, "the name is blocked");
    env.idle().await;
    assert_eq!(events(&env).last().unwrap(), "DELETED");
}

#[tokio::test]
async fn held_template_message_is_sent_later_or_fails_if_the_template_was_paused() {
    let env = TestEnv::new().await;
    env.graph("POST", ACCOUNT, draft("news", "UTILITY")).await;
    env.idle().await;
    env.faults(json!({"template_hold": true, "template_hold_ms": 1000})).await;
    let (_, answer) = env.send(message("news", &["x"])).await;
    assert_eq!(answer["messages"][0]["message_status"], "held_for_quality_assessment");
    env.idle().await;
    assert!(env.daemon.states().is_empty());
    env.advance(1000).await;
    env.idle().await;
    assert_eq!(env.daemon.states(), ["sent", "delivered"]);
    env.send(message("news", &["x"])).await;
    env.control("templates", json!({"name": "news", "event": "pause"})).await;
    env.advance(1000).await;
    env.idle().await;
    let last = env.daemon.all("statuses").pop().unwrap();
    assert_eq!((&last["status"], &last["errors"][0]["code"]), (&json!("failed"), &json!(132_015)));
}

#[tokio::test]
async fn library_template_can_be_created_and_sent() {
    let env = TestEnv::new().await;
    env.open_window().await;
    let library = env
        .graph("GET", "message_template_library?category=utility&topic=group_invite_link&language=en", Value::Null)
        .await
        .1;
    assert_eq!(library["data"][0]["name"], "group_invite_link");
    let body = json!({"name": "join_us", "language": "en", "category": "UTILITY", "library_template_name": "group_invite_link"});
    assert_eq!(env.graph("POST", ACCOUNT, body).await.0, 200);
    env.idle().await;
    let group = env.group(&[]).await;
    let mut request = message("join_us", &[]);
    request["template"]["components"][0]["parameters"] = json!([{"type": "group_id", "group_id": group}]);
    assert_eq!(env.send(request).await.0, 200);
}
