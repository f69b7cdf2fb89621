//! What comes in at the callback: handshake, signature, escaping, order, repeats, retries.

use crate::house::{ANA, House, START_MS, text, under};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::collections::BTreeSet;

fn signed(body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(b"test-app-secret").unwrap();
    mac.update(body);
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

#[tokio::test]
async fn a_text_arrives_signed_and_escaped_as_meta_does() {
    // The fact sheet's vector, so that the check below is worth something.
    assert_eq!(
        signed(br#"{"object":"whatsapp_business_account","entry":[]}"#),
        "sha256=c84a394cc475525991e78ff16e430b02e47f953877d2af0ade26956ce6f384dc"
    );
    let house = House::new().await;
    let said = house.say("ana", "Olá 👋 a/b").await;
    let letter = house.daemon.delivered(1).await.remove(0);
    assert_eq!(letter.signature, signed(&letter.body));
    let wire = std::str::from_utf8(&letter.body).unwrap();
    assert!(wire.is_ascii() && wire.contains(r"Ol\u00e1 \ud83d\udc4b a\/b"), "{wire}");
    let body: Value = serde_json::from_str(wire).unwrap();
    let expected = json!({"object": "whatsapp_business_account", "entry": [{"id": "102290129340398", "changes": [{
    "field": "messages",
    "value": {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550783881", "phone_number_id": crate::house::NUMBER},
        "contacts": [{"profile": {"name": "Ana"}, "wa_id": ANA, "user_id": "PT.1349120865351910000101"}],
        "messages": [{"from": ANA, "from_user_id": "PT.1349120865351910000101", "id": said["id"],
            "timestamp": (START_MS / 1000).to_string(), "type": "text", "text": {"body": "Olá 👋 a/b"}}],
    }}]}]});
    assert_eq!(body, expected);
    house.idle().await;
    let kept = house.get("messages?from=person").await;
    assert_eq!(kept["messages"][0]["state"], "delivered");
}

#[tokio::test]
async fn nothing_is_delivered_before_the_challenge_was_echoed() {
    let house = House::with(|_| {}, &[503, 403]).await;
    house.say("ana", "early").await;
    house.daemon.delivered(1).await;
    assert_eq!(house.daemon.greeted(), 3);
}

#[tokio::test]
async fn a_wrong_verify_token_keeps_the_door_shut() {
    let house = House::with(|config| config.verify_token = "wrong".to_owned(), &[]).await;
    house.say("ana", "hello").await;
    // Refused several times over, and still nothing has gone out.
    while house.daemon.greeted() < 3 {
        tokio::task::yield_now().await;
    }
    let idle = house.get("idle").await;
    assert_eq!((&idle["greeted"], &idle["open"], &idle["deliveries"]), (&json!(false), &json!(1), &json!(0)));
}

#[tokio::test]
async fn one_persons_messages_arrive_in_their_order() {
    let house = House::new().await;
    for n in 0..50 {
        house.say(["ana", "bram"][n % 2], &n.to_string()).await;
    }
    house.idle().await;
    let messages = house.daemon.all("messages");
    assert_eq!(messages.len(), 50);
    for from in [ANA, "31610000102"] {
        let said: Vec<u32> = messages
            .iter()
            .filter(|message| message["from"] == from)
            .map(|message| message["text"]["body"].as_str().unwrap().parse().unwrap())
            .collect();
        assert!(said.is_sorted() && said.len() == 25, "{said:?}");
    }
}

#[tokio::test]
async fn what_is_not_answered_200_comes_again_with_growing_pauses_until_it_is() {
    let house = House::new().await;
    house.open_window().await;
    // 201 is no 200 either.
    house.daemon.answer(&[500, 503, 201, 429]);
    house.say("ana", "again").await;
    let mut waits = Vec::new();
    for tries in 1..=4 {
        let first = house.daemon.delivered(tries).await;
        let idle = house.idle().await;
        let due_ms = idle["next_due_ms"].as_i64().unwrap();
        assert_eq!((first.len(), &idle["waiting"]), (tries, &json!(1)));
        let now_ms = house.get("clock").await["now_ms"].as_i64().unwrap();
        waits.push(due_ms - now_ms);
        house.control("clock", json!({"set_ms": due_ms})).await;
    }
    assert_eq!(waits, [500, 1000, 2000, 4000]);
    let letters = house.daemon.delivered(5).await;
    assert!(letters.iter().all(|letter| letter.body == letters[0].body), "the same bytes each time");
    let idle = house.idle().await;
    assert_eq!((&idle["waiting"], &idle["failures"]), (&json!(0), &json!(4)));
}

#[tokio::test]
async fn after_seven_days_a_webhook_is_given_up() {
    let house = House::new().await;
    house.faults(json!({"retry_most_ms": 86_400_000})).await;
    house.open_window().await;
    house.daemon.answer(&[500; 100]);
    house.say("ana", "lost").await;
    house.daemon.delivered(1).await;
    house.advance(10 * 86_400_000).await;
    let idle = house.idle().await;
    assert_eq!((&idle["abandoned"], &idle["waiting"]), (&json!(1), &json!(0)));
}

#[tokio::test]
async fn a_webhook_comes_twice_on_demand_with_the_same_bytes_or_in_another_body() {
    let house = House::new().await;
    house.faults(json!({"webhook_duplicated": {"next": 1}})).await;
    house.say("ana", "twice").await;
    let letters = house.daemon.delivered(2).await;
    assert_eq!(letters[0].body, letters[1].body);
    house.idle().await;
    house.daemon.forget();
    house.faults(json!({"webhook_rebatched": {"next": 1}, "webhooks_paused": true, "batch_most": 10})).await;
    house.say("ana", "a").await;
    house.say("bram", "b").await;
    house.faults(json!({"webhooks_paused": false})).await;
    house.idle().await;
    let ids: Vec<_> = house.daemon.all("messages").into_iter().map(|message| message["id"].to_string()).collect();
    assert_eq!((ids.len(), ids.iter().collect::<BTreeSet<_>>().len()), (3, 2));
}

#[tokio::test]
async fn several_updates_share_a_body_on_demand() {
    let house = House::new().await;
    house.faults(json!({"batch_most": 1000, "webhooks_paused": true})).await;
    for n in 0..40 {
        house.say(["ana", "bram", "kadri"][n % 3], &n.to_string()).await;
    }
    house.faults(json!({"webhooks_paused": false})).await;
    house.idle().await;
    let letters = house.daemon.delivered(1).await;
    assert!(letters.len() <= 2, "one was perhaps in hand when the pause came: {}", letters.len());
    let largest: Value = letters
        .iter()
        .map(|letter| serde_json::from_slice::<Value>(&letter.body).unwrap())
        .max_by_key(|body| body["entry"].as_array().unwrap().len())
        .unwrap();
    assert!(largest["entry"].as_array().unwrap().len() > 1, "several entries");
    assert_eq!(house.daemon.all("messages").len(), 40);
}

#[tokio::test]
async fn shuffled_and_delayed_updates_all_arrive() {
    let house = House::new().await;
    house.faults(json!({"webhook_shuffled": {"probability": 1, "ms": 50}})).await;
    for n in 0..60 {
        house.say("ana", &n.to_string()).await;
    }
    house.idle().await;
    let order: Vec<_> = house
        .daemon
        .all("messages")
        .iter()
        .map(|m| m["text"]["body"].as_str().unwrap().parse::<u32>().unwrap())
        .collect();
    assert_eq!(order.len(), 60);
    assert!(!order.is_sorted(), "{order:?}");
    house.daemon.forget();
    house.faults(json!({"webhook_shuffled": null, "webhook_delayed": {"next": 1, "ms": 5000}})).await;
    house.say("ana", "late").await;
    assert_eq!(house.idle().await["waiting"], 1);
    house.advance(4999).await;
    assert_eq!(house.daemon.all("messages").len(), 0);
    house.advance(1).await;
    house.daemon.delivered(1).await;
}

#[tokio::test]
async fn whoever_hides_their_number_is_known_by_a_user_id_alone() {
    let house = House::new().await;
    let eva = house.control("people", json!({"name": "Éva", "hidden": true, "username": "eva.k"})).await;
    let user_id = eva["user_id"].as_str().unwrap();
    assert_eq!(eva["wa_id"], Value::Null);
    house.say("éva", "hi").await;
    house.idle().await;
    let body = house.daemon.delivered(1).await.remove(0).body;
    let contacts = under(&body, "contacts");
    assert_eq!(contacts, [json!({"profile": {"name": "Éva", "username": "eva.k"}, "user_id": user_id})]);
    let message = under(&body, "messages").remove(0);
    assert_eq!((message.get("from"), &message["from_user_id"]), (None, &json!(user_id)));
    house.daemon.forget();
    let mut request = text("", "hello");
    request.as_object_mut().unwrap().remove("to");
    request["recipient"] = json!(user_id);
    let (status, answer) = house.send(request).await;
    assert_eq!((status, &answer["contacts"]), (200, &json!([{"input": user_id, "user_id": user_id}])));
    house.idle().await;
    for status in house.daemon.all("statuses") {
        assert_eq!((status.get("recipient_id"), &status["recipient_user_id"]), (None, &json!(user_id)));
    }
    assert_eq!(house.daemon.states(), ["sent", "delivered"]);
}

#[tokio::test]
async fn any_other_field_and_any_raw_message_can_be_had() {
    let house = House::new().await;
    house.control("webhook", json!({"field": "account_update", "value": {"event": "ACCOUNT_VIOLATION"}})).await;
    let body: Value = serde_json::from_slice(&house.daemon.delivered(1).await[0].body).unwrap();
    assert_eq!(
        body["entry"][0]["changes"][0],
        json!({"field": "account_update", "value": {"event": "ACCOUNT_VIOLATION"}})
    );
    assert_eq!(body["entry"][0]["time"], START_MS / 1000);
    house.idle().await;
    house.daemon.forget();
    let system = json!({"type": "system", "system": {"type": "user_changed_number", "wa_id": "12195555358"}});
    house.control("say", json!({"from": "ana", "message": system})).await;
    let body = house.daemon.delivered(1).await.remove(0).body;
    assert_eq!(under(&body, "contacts").len(), 0);
    let message = under(&body, "messages").remove(0);
    assert_eq!((&message["from"], &message["system"]["wa_id"]), (&json!(ANA), &json!("12195555358")));
}

#[tokio::test]
async fn a_flood_says_everything() {
    let house = House::new().await;
    house.control("flood", json!({"people": 10, "count": 500, "text": "m"})).await;
    while house.get("messages?limit=0").await["counts"]["said"] != 500 {
        tokio::task::yield_now().await;
    }
    house.idle().await;
    let texts: BTreeSet<_> = house.daemon.all("messages").iter().map(|m| m["text"]["body"].to_string()).collect();
    assert_eq!(texts.len(), 500);
    assert_eq!(house.get("people").await["people"].as_array().unwrap().len(), 3, "the crowd is not listed");
    assert_eq!(house.get("people?crowd=true").await["count"], 13);
}
