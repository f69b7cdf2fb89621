//! People with and without a number: how they are named, how they are written to, and what changes about them.

use crate::house::{ANA, House, code, text};
use serde_json::{Value, json};

const DAY_MS: i64 = 86_400_000;

#[tokio::test]
async fn who_hides_the_number_is_named_and_written_to_by_user_id() {
    let house = House::new().await;
    let mia = json!({"name": "Mia", "number": "4915112345678", "hidden": true, "username": "mia.b", "parent_user_id": "DE.ENT.7"});
    let mia = house.control("people", mia).await;
    house.say("mia", "hello").await;
    house.idle().await;
    let letter = house.daemon.delivered(1).await.pop().unwrap();
    let message = &crate::house::under(&letter.body, "messages")[0];
    let contact = &crate::house::under(&letter.body, "contacts")[0];
    assert_eq!((message.get("from"), contact.get("wa_id")), (None, None), "left out, not empty");
    assert_eq!((&message["from_user_id"], &message["from_parent_user_id"]), (&mia["user_id"], &json!("DE.ENT.7")));
    assert_eq!((&contact["profile"]["username"], &contact["user_id"]), (&json!("mia.b"), &mia["user_id"]));
    house.daemon.forget();
    let to = |user_id: &Value| json!({"messaging_product": "whatsapp", "recipient": user_id, "type": "text", "text": {"body": "hi"}});
    let (status, answer) = house.send(to(&mia["user_id"])).await;
    assert_eq!((status, &answer["contacts"][0]), (200, &json!({"input": mia["user_id"], "user_id": mia["user_id"]})));
    assert_eq!(house.send(to(&json!("DE.ENT.7"))).await.0, 200, "by the parent's id too");
    assert_eq!(code(&house.send(to(&json!("XX.1"))).await.1), 131_009);
    house.idle().await;
    let statuses = house.daemon.all("statuses");
    assert!(
        statuses
            .iter()
            .all(|status| status.get("recipient_id").is_none() && status["recipient_user_id"] == mia["user_id"])
    );
    house.daemon.forget();
    assert_eq!(house.send(text("+49 151 12345678", "by number")).await.0, 200);
    house.say("mia", "you have my number").await;
    house.idle().await;
    assert_eq!(house.daemon.all("messages")[0]["from"], "4915112345678", "known for 30 days after it was written to");
    house.daemon.forget();
    house.advance(30 * DAY_MS).await;
    house.say("mia", "forgotten").await;
    house.idle().await;
    assert_eq!(house.daemon.all("messages")[0].get("from"), None);
}

#[tokio::test]
async fn another_number_is_told_by_two_system_messages() {
    let house = House::new().await;
    let before = house.get("people/ana").await;
    let after = house.control("people/ana", json!({"number": "31612345678"})).await;
    assert_ne!(before["user_id"], after["user_id"]);
    house.idle().await;
    let letters = house.daemon.delivered(2).await;
    let told: Vec<Value> = letters.iter().flat_map(|letter| crate::house::under(&letter.body, "messages")).collect();
    assert!(
        letters.iter().all(|letter| crate::house::under(&letter.body, "contacts").is_empty()),
        "no contacts with these"
    );
    let number = told.iter().find(|message| message["system"]["type"] == "user_changed_number").unwrap();
    assert_eq!((&number["from"], &number["system"]["wa_id"]), (&json!(ANA), &json!("31612345678")));
    assert_eq!(number["system"]["body"], "User Ana changed from 351910000101 to 31612345678");
    let id = told.iter().find(|message| message["system"]["type"] == "user_changed_user_id").unwrap();
    assert_eq!((&id["system"]["previous_user_id"], &id["system"]["user_id"]), (&before["user_id"], &after["user_id"]));
    assert_eq!(house.get("people/ana").await["window_until_ms"], Value::Null, "the system's words open no window");
    house.faults(json!({"previous_ids": false})).await;
    house.daemon.forget();
    house.control("people/ana", json!({"user_id": "PT.77"})).await;
    house.idle().await;
    let told = house.daemon.all("messages");
    assert_eq!((told.len(), told[0]["system"].get("previous_user_id")), (1, None));
    assert_eq!(house.post("/control/people/ana", json!({"username": "No Spaces"})).await.0, 400);
    assert_eq!(house.post("/control/people/ana", json!({"number": "31610000102"})).await.0, 400, "it is Bram's");
}

#[tokio::test]
async fn who_comes_by_an_ad_and_is_answered_is_free_for_a_week() {
    let house = House::new().await;
    let ad = json!({"type": "text", "text": {"body": "hi"}, "referral": {"source_type": "ad", "source_id": "1", "ctwa_clid": "Aff-x"}});
    house.control("say", json!({"from": "ana", "message": ad})).await;
    house.idle().await;
    assert_eq!(house.daemon.all("messages")[0]["referral"]["ctwa_clid"], "Aff-x");
    house.daemon.forget();
    assert_eq!(house.send(text(ANA, "welcome")).await.0, 200);
    house.idle().await;
    let sent = house.daemon.all("statuses")[0].clone();
    assert_eq!(sent["pricing"]["type"], "free_entry_point");
    assert_eq!(sent["conversation"]["origin"]["type"], "referral_conversion");
    assert!(sent["conversation"]["expiration_timestamp"].is_string());
    house.daemon.forget();
    house.advance(7 * DAY_MS).await;
    house.say("ana", "again").await;
    house.send(text(ANA, "no longer")).await;
    house.idle().await;
    assert_eq!(house.daemon.all("statuses")[0]["pricing"]["type"], "free_customer_service");
}

#[tokio::test]
async fn the_blocked_are_not_heard() {
    let house = House::new().await;
    let body = json!({"messaging_product": "whatsapp", "block_users": [{"user": ANA}, {"user": "1"}]});
    let path = format!("{}/block_users", crate::house::NUMBER);
    let answer = house.graph("POST", &path, body.clone()).await.1["block_users"].clone();
    assert_eq!(
        (&answer["added_users"][0]["wa_id"], answer["failed_users"].as_array().map(Vec::len)),
        (&json!(ANA), Some(1))
    );
    assert_eq!(house.post("/control/say", json!({"from": "ana", "text": "x"})).await.0, 400);
    let listed = house.graph("GET", &path, Value::Null).await.1;
    assert_eq!(listed["data"][0]["wa_id"], ANA);
    house.graph("DELETE", &path, body).await;
    house.say("ana", "heard again").await;
}
