//! Groups: asynchronous creation, joining by link, join requests, messages and receipts.

use crate::env::{ANA, NUMBER, TestEnv, code};
use serde_json::{Value, json};

fn to_group(id: &str, body: &str) -> Value {
    json!({"messaging_product": "whatsapp", "recipient_type": "group", "to": id, "type": "text", "text": {"body": body}})
}

#[tokio::test]
async fn group_is_created_asynchronously() {
    let env = TestEnv::new().await;
    env.faults(json!({"group_delay_ms": 1000})).await;
    let body = json!({"messaging_product": "whatsapp", "subject": "Street", "description": "All of us", "join_approval_mode": "approval_required"});
    let (status, answer) = env.graph("POST", &format!("{NUMBER}/groups"), body).await;
    assert_eq!((status, answer["request_id"].as_str().map(str::len)), (200, Some(32)));
    let list = env.graph("GET", &format!("{NUMBER}/groups"), Value::Null).await.1;
    assert_eq!(list["data"]["groups"], json!([]), "it does not exist yet");
    env.advance(1000).await;
    env.idle().await;
    let updates = env.daemon.field("group_lifecycle_update");
    let event = &updates[0]["groups"][0];
    assert_eq!((&event["type"], &event["request_id"]), (&json!("group_create"), &answer["request_id"]));
    assert_eq!((&event["subject"], &event["join_approval_mode"]), (&json!("Street"), &json!("approval_required")));
    let id = event["group_id"].as_str().unwrap();
    assert!(event["invite_link"].as_str().unwrap().starts_with("https://chat.whatsapp.com/"));
    let all =
        "subject,description,participants,join_approval_mode,suspended,creation_timestamp,total_participant_count";
    let info = env.graph("GET", &format!("{id}?fields={all}"), Value::Null).await.1;
    assert_eq!((&info["description"], &info["total_participant_count"]), (&json!("All of us"), &json!(0)));
    let bare = env.graph("GET", id, Value::Null).await.1;
    assert_eq!(bare, json!({"messaging_product": "whatsapp", "id": id}));
    assert_eq!(env.graph("GET", "Y2FwaV9n", Value::Null).await.0, 400);
}

#[tokio::test]
async fn invalid_group_requests_are_refused_or_fail_later() {
    let env = TestEnv::new().await;
    let groups = format!("{NUMBER}/groups");
    let make = |body: Value| env.graph("POST", &groups, body);
    let good = json!({"messaging_product": "whatsapp", "subject": "Street"});
    assert_eq!(code(&make(json!({"subject": "Street"})).await.1), 100, "messaging_product is checked first");
    assert_eq!(code(&make(json!({"messaging_product": "whatsapp", "subject": "x".repeat(129)})).await.1), 100);
    env.faults(json!({"groups_eligible": false})).await;
    assert_eq!(code(&make(good.clone()).await.1), 131_215);
    assert_eq!(env.graph("GET", &groups, Value::Null).await.1["data"]["groups"], json!([]));
    env.faults(json!({"groups_eligible": true, "group_operations_per_minute": 1})).await;
    env.faults(json!({"group_async_failure": {"next": 1, "code": 131_211}})).await;
    assert_eq!(make(good.clone()).await.0, 200);
    let (status, answer) = make(good.clone()).await;
    assert_eq!((status, code(&answer)), (429, 131_208));
    env.idle().await;
    let event = env.daemon.field("group_lifecycle_update")[0]["groups"][0].clone();
    assert_eq!((&event["errors"][0]["code"], &event["invite_link"]), (&json!(131_211), &Value::Null));
    assert_eq!(env.get("groups").await["groups"], json!([]));
}

#[tokio::test]
async fn removed_person_cannot_join_by_link_again() {
    let env = TestEnv::new().await;
    let id = env.group(&["ana"]).await;
    let link = env.graph("GET", &format!("{id}/invite_link"), Value::Null).await.1["invite_link"].clone();
    let end = link.as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    env.control(&format!("groups/{end}"), json!({"action": "join", "person": "bram"})).await;
    env.control(&format!("groups/{id}"), json!({"action": "leave", "person": "ana"})).await;
    let body =
        json!({"messaging_product": "whatsapp", "participants": [{"user": "+31610000102"}, {"user": "+351910000101"}]});
    let answer = env.graph("DELETE", &format!("{id}/participants"), body).await.1;
    env.idle().await;
    let events: Vec<Value> =
        env.daemon.field("group_participants_update").iter().map(|v| v["groups"][0].clone()).collect();
    let kinds: Vec<_> = events.iter().map(|event| (event["type"].clone(), event["initiated_by"].clone())).collect();
    assert_eq!(
        kinds,
        [
            (json!("group_participants_add"), Value::Null),
            (json!("group_participants_remove"), json!("participant")),
            (json!("group_participants_remove"), json!("business")),
        ]
    );
    assert_eq!(events[0]["added_participants"][0]["wa_id"], "31610000102");
    assert_eq!(events[2]["request_id"], answer["request_id"]);
    assert_eq!(events[2]["removed_participants"][0]["input"], "+31610000102");
    assert_eq!(events[2]["failed_participants"][0]["errors"][0]["code"], 131_212);
    assert_eq!(events[2]["errors"][0]["code"], 131_201);
    let again = env.post(&format!("/control/groups/{end}"), json!({"action": "join", "person": "bram"})).await;
    assert_eq!(again.0, 409, "a removed person cannot join again");
    env.graph("POST", &format!("{id}/invite_link"), json!({"messaging_product": "whatsapp"})).await;
    let old = env.post(&format!("/control/groups/{end}"), json!({"action": "join", "person": "kadri"})).await;
    assert_eq!(old.0, 404, "the old link is invalid");
}

#[tokio::test]
async fn join_requests_can_be_approved_rejected_and_revoked() {
    let env = TestEnv::new().await;
    let id = env.control("groups", json!({"subject": "Street", "approval_required": true})).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    for person in ["ana", "bram", "kadri"] {
        env.control(&format!("groups/{id}"), json!({"action": "join", "person": person})).await;
    }
    env.control(&format!("groups/{id}"), json!({"action": "revoke", "person": "kadri"})).await;
    let open = env.graph("GET", &format!("{id}/join_requests"), Value::Null).await.1["data"].clone();
    let ids: Vec<Value> = open.as_array().unwrap().iter().map(|request| request["join_request_id"].clone()).collect();
    assert_eq!((ids.len(), &open[0]["wa_id"]), (2, &json!(ANA)));
    let body = |ids: Vec<Value>| json!({"messaging_product": "whatsapp", "join_requests": ids});
    let (status, answer) =
        env.graph("POST", &format!("{id}/join_requests"), body(vec![ids[0].clone(), json!("unknown")])).await;
    assert_eq!((status, &answer["approved_join_requests"]), (200, &json!([ids[0]])));
    assert_eq!(answer["failed_join_requests"][0]["errors"][0]["code"], 131_213);
    let (_, answer) = env.graph("DELETE", &format!("{id}/join_requests"), body(vec![ids[1].clone()])).await;
    assert_eq!(answer["rejected_join_requests"], json!([ids[1]]));
    env.idle().await;
    let events: Vec<Value> =
        env.daemon.field("group_participants_update").iter().map(|v| v["groups"][0].clone()).collect();
    let count = |kind: &str| events.iter().filter(|event| event["type"] == kind).count();
    assert_eq!((count("group_join_request_created"), count("group_join_request_revoked")), (3, 1));
    let added: Vec<_> = events.iter().filter(|event| event["type"] == "group_participants_add").collect();
    assert_eq!(added.len(), 1, "a rejection has no webhook");
    assert_eq!(added[0]["added_participants"][0]["input"], ANA);
}

#[tokio::test]
async fn group_has_one_window_and_aggregated_receipts() {
    let env = TestEnv::new().await;
    let id = env.group(&["ana", "bram"]).await;
    assert_eq!(code(&env.send(to_group(&id, "first")).await.1), 131_047);
    let sent = env.control("say", json!({"from": "ana", "group": id, "text": "hello all"})).await;
    env.idle().await;
    let message = env.daemon.all("messages")[0].clone();
    assert_eq!((&message["group_id"], &message["from"], &message["id"]), (&json!(id), &json!(ANA), &sent["id"]));
    env.daemon.clear();
    let (status, answer) = env.send(to_group(&id, "welcome")).await;
    assert_eq!(
        (status, &answer["contacts"][0]["wa_id"], &answer["messages"][0]["group_id"]),
        (200, &json!(id), &json!(id))
    );
    env.control("read", json!({"from": "bram", "group": id})).await;
    env.idle().await;
    let deliveries = env.daemon.delivered(3).await;
    let statuses: Vec<Vec<Value>> =
        deliveries.iter().map(|delivery| crate::env::under(&delivery.body, "statuses")).collect();
    assert_eq!(
        statuses.iter().map(Vec::len).collect::<Vec<_>>(),
        [1, 2, 1],
        "one for sent, two for delivered, one for read"
    );
    let sent = &statuses[0][0];
    assert_eq!((&sent["recipient_id"], &sent["recipient_type"]), (&json!(id), &json!("group")));
    assert!(sent.get("recipient_participant_id").is_none() && sent.get("pricing").is_none());
    let delivered = &statuses[1];
    assert_eq!(
        (&delivered[0]["recipient_participant_id"], &delivered[0]["pricing"]["category"]),
        (&json!(ANA), &json!("group_service"))
    );
    assert_eq!(delivered[0]["pricing"]["type"], "free_group_customer_service");
    assert_eq!(statuses[2][0]["recipient_participant_id"], "31610000102");
    let stored = env.get(&format!("messages?group={id}")).await["messages"][0].clone();
    assert_eq!(
        stored["receipts"],
        json!([{"person": "ana", "state": "delivered"}, {"person": "bram", "state": "read"}])
    );
    assert_eq!(stored["state"], "delivered", "`read` only when all have read it");
    env.control("read", json!({"from": "ana", "group": id})).await;
    assert_eq!(env.get(&format!("messages?group={id}")).await["messages"][0]["state"], "read");
}

#[tokio::test]
async fn unsupported_types_and_suspended_groups_are_refused() {
    let env = TestEnv::new().await;
    let id = env.group(&["ana"]).await;
    env.control("say", json!({"from": "ana", "group": id, "text": "x"})).await;
    let mut buttons = to_group(&id, "x");
    buttons["type"] = json!("interactive");
    buttons["interactive"] = json!({"type": "button"});
    assert_eq!(code(&env.send(buttons).await.1), 131_051);
    assert_eq!(code(&env.send(to_group("Y2FwaV9n", "x")).await.1), 131_041);
    assert_eq!(code(&env.send(to_group(ANA, "x")).await.1), 100, "a phone number is not a group id");
    let id_of = |answer: &Value| answer["messages"][0]["id"].clone();
    let sent = id_of(&env.send(to_group(&id, "pin me")).await.1);
    let mut pin = to_group(&id, "");
    pin["type"] = json!("pin");
    pin["pin"] = json!({"type": "pin", "message_id": sent, "expiration_days": 7});
    assert_eq!(env.send(pin).await.0, 200);
    assert_eq!(env.get("groups").await["groups"][0]["pins"], json!([sent]));
    env.control(&format!("groups/{id}"), json!({"action": "suspend"})).await;
    assert_eq!(env.send(to_group(&id, "x")).await.0, 403);
    env.control(&format!("groups/{id}"), json!({"action": "unsuspend"})).await;
    env.control(&format!("groups/{id}"), json!({"action": "leave", "person": "ana"})).await;
    assert_eq!(code(&env.send(to_group(&id, "x")).await.1), 131_020);
    env.idle().await;
    let kinds: Vec<_> =
        env.daemon.field("group_status_update").iter().map(|v| v["groups"][0]["type"].clone()).collect();
    assert_eq!(kinds, ["group_suspend", "group_suspend_cleared"]);
    assert_eq!(env.graph("DELETE", &id, Value::Null).await.1["success"], true);
    env.idle().await;
    assert_eq!(env.graph("GET", &id, Value::Null).await.0, 400);
}

#[tokio::test]
async fn webhook_variants_of_metas_documentation_can_be_enabled() {
    let env = TestEnv::new().await;
    env.faults(json!({"group_variants": true})).await;
    let id = env.group(&["ana", "bram"]).await;
    env.control("say", json!({"from": "ana", "group": id, "text": "x"})).await;
    for _ in 0..20 {
        assert_eq!(env.send(to_group(&id, "x")).await.0, 200);
        env.control(&format!("groups/{id}"), json!({"action": "leave", "person": "bram"})).await;
        env.control(&format!("groups/{id}"), json!({"action": "join", "person": "bram"})).await;
    }
    env.idle().await;
    let with = |key: &str| env.daemon.all("statuses").iter().filter(|status| status.get(key).is_some()).count();
    assert!(with("participant_recipient_id") > 0 && with("recipient_participant_id") > 0);
    let updates = env.daemon.field("group_participants_update");
    let outside = updates.iter().filter(|value| value.get("initiated_by").is_some()).count();
    let inside = updates.iter().filter(|value| value["groups"][0].get("initiated_by").is_some()).count();
    assert!(outside > 0 && inside > 0 && outside + inside == 20);
    assert!(updates.iter().any(|value| value["groups"][0]["timestamp"].is_number()));
}
