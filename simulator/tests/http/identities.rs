//! People with and without a visible number: their identities in webhooks, how to address them, and
//! changed identities.

use crate::env::{ANA, TestEnv, code, text};
use serde_json::{Value, json};

const DAY_MS: i64 = 86_400_000;

#[tokio::test]
async fn person_with_hidden_number_is_identified_and_addressed_by_user_id() {
    let env = TestEnv::new().await;
    let mia = json!({"name": "Mia", "number": "4915112345678", "hidden": true, "username": "mia.b", "parent_user_id": "DE.ENT.7"});
    let mia = env.control("people", mia).await;
    env.say("mia", "hello").await;
    env.idle().await;
    let delivery = env.daemon.delivered(1).await.pop().unwrap();
    let message = &crate::env::under(&delivery.body, "messages")[0];
    let contact = &crate::env::under(&delivery.body, "contacts")[0];
    assert_eq!((message.get("from"), contact.get("wa_id")), (None, None), "omitted, not empty");
    assert_eq!((&message["from_user_id"], &message["from_parent_user_id"]), (&mia["user_id"], &json!("DE.ENT.7")));
    assert_eq!((&contact["profile"]["username"], &contact["user_id"]), (&json!("mia.b"), &mia["user_id"]));
    env.daemon.clear();
    let to = |user_id: &Value| json!({"messaging_product": "whatsapp", "recipient": user_id, "type": "text", "text": {"body": "hi"}});
    let (status, answer) = env.send(to(&mia["user_id"])).await;
    assert_eq!((status, &answer["contacts"][0]), (200, &json!({"input": mia["user_id"], "user_id": mia["user_id"]})));
    assert_eq!(env.send(to(&json!("DE.ENT.7"))).await.0, 200, "by the parent user id too");
    assert_eq!(code(&env.send(to(&json!("XX.1"))).await.1), 131_009);
    env.idle().await;
    let statuses = env.daemon.all("statuses");
    assert!(
        statuses
            .iter()
            .all(|status| status.get("recipient_id").is_none() && status["recipient_user_id"] == mia["user_id"])
    );
    env.daemon.clear();
    assert_eq!(env.send(text("+49 151 12345678", "by number")).await.0, 200);
    env.say("mia", "you have my number").await;
    env.idle().await;
    assert_eq!(env.daemon.all("messages")[0]["from"], "4915112345678", "visible for 30 days after a message to it");
    env.daemon.clear();
    env.advance(30 * DAY_MS).await;
    env.say("mia", "forgotten").await;
    env.idle().await;
    assert_eq!(env.daemon.all("messages")[0].get("from"), None);
}

#[tokio::test]
async fn changed_number_sends_two_system_messages() {
    let env = TestEnv::new().await;
    let previous = env.get("people/ana").await;
    let current = env.control("people/ana", json!({"number": "31612345678"})).await;
    assert_ne!(previous["user_id"], current["user_id"]);
    env.idle().await;
    let deliveries = env.daemon.delivered(2).await;
    let messages: Vec<Value> =
        deliveries.iter().flat_map(|delivery| crate::env::under(&delivery.body, "messages")).collect();
    assert!(
        deliveries.iter().all(|delivery| crate::env::under(&delivery.body, "contacts").is_empty()),
        "system messages have no contacts"
    );
    let number = messages.iter().find(|message| message["system"]["type"] == "user_changed_number").unwrap();
    assert_eq!((&number["from"], &number["system"]["wa_id"]), (&json!(ANA), &json!("31612345678")));
    assert_eq!(number["system"]["body"], "User Ana changed from 351910000101 to 31612345678");
    let id = messages.iter().find(|message| message["system"]["type"] == "user_changed_user_id").unwrap();
    assert_eq!(
        (&id["system"]["previous_user_id"], &id["system"]["user_id"]),
        (&previous["user_id"], &current["user_id"])
    );
    assert_eq!(env.get("people/ana").await["window_until_ms"], Value::Null, "system messages open no window");
    env.faults(json!({"previous_ids": false})).await;
    env.daemon.clear();
    env.control("people/ana", json!({"user_id": "PT.77"})).await;
    env.idle().await;
    let messages = env.daemon.all("messages");
    assert_eq!((messages.len(), messages[0]["system"].get("previous_user_id")), (1, None));
    assert_eq!(env.post("/control/people/ana", json!({"username": "No Spaces"})).await.0, 400);
    assert_eq!(env.post("/control/people/ana", json!({"number": "31610000102"})).await.0, 400, "the number is taken");
}

#[tokio::test]
async fn reply_to_a_message_from_an_ad_opens_a_free_entry_point() {
    let env = TestEnv::new().await;
    let ad = json!({"type": "text", "text": {"body": "hi"}, "referral": {"source_type": "ad", "source_id": "1", "ctwa_clid": "Aff-x"}});
    env.control("say", json!({"from": "ana", "message": ad})).await;
    env.idle().await;
    assert_eq!(env.daemon.all("messages")[0]["referral"]["ctwa_clid"], "Aff-x");
    env.daemon.clear();
    assert_eq!(env.send(text(ANA, "welcome")).await.0, 200);
    env.idle().await;
    let sent = env.daemon.all("statuses")[0].clone();
    assert_eq!(sent["pricing"]["type"], "free_entry_point");
    assert_eq!(sent["conversation"]["origin"]["type"], "referral_conversion");
    assert!(sent["conversation"]["expiration_timestamp"].is_string());
    env.daemon.clear();
    env.advance(7 * DAY_MS).await;
    env.say("ana", "again").await;
    env.send(text(ANA, "no longer")).await;
    env.idle().await;
    assert_eq!(env.daemon.all("statuses")[0]["pricing"]["type"], "free_customer_service");
}

#[tokio::test]
async fn messages_from_blocked_people_are_not_delivered() {
    let env = TestEnv::new().await;
    let body = json!({"messaging_product": "whatsapp", "block_users": [{"user": ANA}, {"user": "1"}]});
    let path = format!("{}/block_users", crate::env::NUMBER);
    let answer = env.graph("POST", &path, body.clone()).await.1["block_users"].clone();
    assert_eq!(
        (&answer["added_users"][0]["wa_id"], answer["failed_users"].as_array().map(Vec::len)),
        (&json!(ANA), Some(1))
    );
    assert_eq!(env.post("/control/say", json!({"from": "ana", "text": "x"})).await.0, 400);
    let listed = env.graph("GET", &path, Value::Null).await.1;
    assert_eq!(listed["data"][0]["wa_id"], ANA);
    env.graph("DELETE", &path, body).await;
    env.say("ana", "unblocked").await;
}
