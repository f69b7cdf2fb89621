//! Templates: made, reviewed, sent with what they ask for, paused, edited, deleted.

use crate::house::{ANA, House, code};
use serde_json::{Value, json};

const ACCOUNT: &str = "102290129340398/message_templates";
const HOUR_MS: i64 = 3_600_000;

fn made(name: &str, category: &str) -> Value {
    json!({"name": name, "language": "en", "category": category, "components": [
        {"type": "BODY", "text": "Hello {{1}}", "example": {"body_text": [["Ana"]]}},
        {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "Stop this"}]},
    ]})
}

fn sending(name: &str, words: &[&str]) -> Value {
    let parameters: Vec<Value> = words.iter().map(|word| json!({"type": "text", "text": word})).collect();
    json!({"messaging_product": "whatsapp", "to": ANA, "type": "template", "template": {
        "name": name, "language": {"code": "en"}, "components": [{"type": "body", "parameters": parameters}]}})
}

/// The events told of templates' states.
fn events(house: &House) -> Vec<Value> {
    house.daemon.field("message_template_status_update").iter().map(|value| value["event"].clone()).collect()
}

#[tokio::test]
async fn a_template_is_reviewed_sent_tapped_and_rejected_when_it_does_not_fit() {
    let house = House::new().await;
    house.faults(json!({"template_review_ms": HOUR_MS})).await;
    let (status, answer) = house.graph("POST", ACCOUNT, made("greeting", "UTILITY")).await;
    assert_eq!((status, &answer["status"], &answer["category"]), (200, &json!("PENDING"), &json!("UTILITY")));
    assert_eq!(code(&house.send(sending("greeting", &["Ana"])).await.1), 132_001, "in review");
    assert_eq!(house.graph("POST", ACCOUNT, made("greeting", "UTILITY")).await.0, 400, "twice");
    house.advance(HOUR_MS).await;
    house.idle().await;
    assert_eq!(events(&house), ["APPROVED"]);
    let told = house.daemon.field("message_template_status_update")[0].clone();
    assert_eq!((&told["message_template_name"], told["message_template_id"].is_u64()), (&json!("greeting"), true));
    let (status, sent) = house.send(sending("greeting", &["Ana"])).await;
    assert_eq!((status, &sent["messages"][0]["message_status"]), (200, &json!("accepted")));
    assert_eq!(code(&house.send(sending("greeting", &[])).await.1), 132_000);
    assert_eq!(house.send(sending("farewell", &["Ana"])).await.0, 404);
    house.control("say", json!({"from": "ana", "tap": "Stop this"})).await;
    house.idle().await;
    let tap = house.daemon.all("messages")[0].clone();
    assert_eq!(tap["button"], json!({"payload": "Stop this", "text": "Stop this"}));
    assert_eq!(tap["context"]["id"], sent["messages"][0]["id"]);
    let kept = house.get("messages?person=ana").await["messages"][0].clone();
    assert_eq!(kept["rendered"]["body"], "Hello Ana");
    assert_eq!(kept["pricing"], json!({"category": "utility", "type": "regular", "billable": true}));
}

#[tokio::test]
async fn a_pause_ends_by_itself_and_the_third_disables() {
    let house = House::new().await;
    house.graph("POST", ACCOUNT, made("news", "MARKETING")).await;
    house.idle().await;
    for (pause, hours) in [3, 6].into_iter().enumerate() {
        house.control("templates", json!({"name": "news", "event": "pause"})).await;
        assert_eq!(code(&house.send(sending("news", &["x"])).await.1), 132_015, "pause {pause}");
        house.advance(hours * HOUR_MS - 1).await;
        assert_eq!(code(&house.send(sending("news", &["x"])).await.1), 132_015);
        house.advance(1).await;
        assert_eq!(house.send(sending("news", &["x"])).await.0, 200);
    }
    house.control("templates", json!({"name": "news", "event": "pause"})).await;
    assert_eq!(code(&house.send(sending("news", &["x"])).await.1), 132_016);
    house.idle().await;
    assert_eq!(events(&house), ["APPROVED", "PAUSED", "APPROVED", "PAUSED", "APPROVED", "DISABLED"]);
}

#[tokio::test]
async fn quality_and_category_change_and_are_told() {
    let house = House::new().await;
    house.faults(json!({"template_review": "manual"})).await;
    let id = house.graph("POST", ACCOUNT, made("news", "UTILITY")).await.1["id"].as_str().unwrap().to_owned();
    house.control("templates", json!({"name": "news", "event": "reject", "reason": "PROMOTIONAL"})).await;
    house
        .control("templates", json!({"name": "news", "event": "approve", "quality": "RED", "category": "MARKETING"}))
        .await;
    house.idle().await;
    assert_eq!(events(&house), ["REJECTED", "APPROVED"]);
    assert_eq!(house.daemon.field("message_template_status_update")[0]["reason"], "PROMOTIONAL");
    assert_eq!(house.daemon.field("message_template_quality_update")[0]["new_quality_score"], "RED");
    assert_eq!(house.daemon.field("template_category_update")[0]["previous_category"], "UTILITY");
    let seen = house.graph("GET", &id, Value::Null).await.1;
    assert_eq!((&seen["status"], &seen["quality_score"]["score"]), (&json!("APPROVED"), &json!("RED")));
}

#[tokio::test]
async fn templates_are_listed_in_pages_edited_and_deleted() {
    let house = House::new().await;
    for n in 0..3 {
        house.graph("POST", ACCOUNT, made(&format!("t{n}"), "UTILITY")).await;
    }
    house.idle().await;
    let page = house.graph("GET", &format!("{ACCOUNT}?limit=2&fields=name"), Value::Null).await.1;
    assert_eq!(page["data"].as_array().map(Vec::len), Some(2));
    let after = page["paging"]["cursors"]["after"].as_str().unwrap();
    let rest = house.graph("GET", &format!("{ACCOUNT}?limit=2&fields=name&after={after}"), Value::Null).await.1;
    assert_eq!((&rest["data"][0]["name"], rest["data"].as_array().map(Vec::len)), (&json!("t2"), Some(1)));
    assert_eq!(code(&house.graph("GET", &format!("{ACCOUNT}?after=nonsense"), Value::Null).await.1), 131_059);
    let id = rest["data"][0]["id"].as_str().unwrap();
    let words = json!({"components": [{"type": "BODY", "text": "New words"}]});
    assert_eq!(house.graph("POST", id, words.clone()).await.1["success"], true);
    house.idle().await;
    assert_eq!(house.graph("GET", id, Value::Null).await.1["components"][0]["text"], "New words");
    assert_eq!(house.graph("POST", id, words).await.0, 400, "once in 24 hours");
    assert_eq!(house.graph("DELETE", &format!("{ACCOUNT}?name=t2"), Value::Null).await.1, json!({"success": true}));
    assert_eq!(house.graph("GET", id, Value::Null).await.0, 400);
    assert_eq!(house.graph("POST", ACCOUNT, made("t2", "UTILITY")).await.0, 400, "the name rests");
    house.idle().await;
    assert_eq!(events(&house).last().unwrap(), "DELETED");
}

#[tokio::test]
async fn a_held_template_goes_later_or_fails_when_it_was_paused_meanwhile() {
    let house = House::new().await;
    house.graph("POST", ACCOUNT, made("news", "UTILITY")).await;
    house.idle().await;
    house.faults(json!({"template_hold": true, "template_hold_ms": 1000})).await;
    let (_, answer) = house.send(sending("news", &["x"])).await;
    assert_eq!(answer["messages"][0]["message_status"], "held_for_quality_assessment");
    house.idle().await;
    assert!(house.daemon.states().is_empty());
    house.advance(1000).await;
    house.idle().await;
    assert_eq!(house.daemon.states(), ["sent", "delivered"]);
    house.send(sending("news", &["x"])).await;
    house.control("templates", json!({"name": "news", "event": "pause"})).await;
    house.advance(1000).await;
    house.idle().await;
    let last = house.daemon.all("statuses").pop().unwrap();
    assert_eq!((&last["status"], &last["errors"][0]["code"]), (&json!("failed"), &json!(132_015)));
}

#[tokio::test]
async fn the_librarys_invitation_is_made_and_sent() {
    let house = House::new().await;
    house.open_window().await;
    let library = house
        .graph("GET", "message_template_library?category=utility&topic=group_invite_link&language=en", Value::Null)
        .await
        .1;
    assert_eq!(library["data"][0]["name"], "group_invite_link");
    let body = json!({"name": "join_us", "language": "en", "category": "UTILITY", "library_template_name": "group_invite_link"});
    assert_eq!(house.graph("POST", ACCOUNT, body).await.0, 200);
    house.idle().await;
    let group = house.group(&[]).await;
    let mut request = sending("join_us", &[]);
    request["template"]["components"][0]["parameters"] = json!([{"type": "group_id", "group_id": group}]);
    assert_eq!(house.send(request).await.0, 200);
}
