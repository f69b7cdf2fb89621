//! Groups: made a moment after they are asked for, entered by link, written to as one.

use crate::house::{ANA, House, NUMBER, code};
use serde_json::{Value, json};

fn to_group(id: &str, body: &str) -> Value {
    json!({"messaging_product": "whatsapp", "recipient_type": "group", "to": id, "type": "text", "text": {"body": body}})
}

#[tokio::test]
async fn a_group_is_made_by_request_and_told_by_webhook() {
    let house = House::new().await;
    house.faults(json!({"group_delay_ms": 1000})).await;
    let body = json!({"messaging_product": "whatsapp", "subject": "Street", "description": "All of us", "join_approval_mode": "approval_required"});
    let (status, answer) = house.graph("POST", &format!("{NUMBER}/groups"), body).await;
    assert_eq!((status, answer["request_id"].as_str().map(str::len)), (200, Some(32)));
    let list = house.graph("GET", &format!("{NUMBER}/groups"), Value::Null).await.1;
    assert_eq!(list["data"]["groups"], json!([]), "it is not there yet");
    house.advance(1000).await;
    house.idle().await;
    let told = house.daemon.field("group_lifecycle_update");
    let event = &told[0]["groups"][0];
    assert_eq!((&event["type"], &event["request_id"]), (&json!("group_create"), &answer["request_id"]));
    assert_eq!((&event["subject"], &event["join_approval_mode"]), (&json!("Street"), &json!("approval_required")));
    let id = event["group_id"].as_str().unwrap();
    assert!(event["invite_link"].as_str().unwrap().starts_with("https://chat.whatsapp.com/"));
    let all =
        "subject,description,participants,join_approval_mode,suspended,creation_timestamp,total_participant_count";
    let info = house.graph("GET", &format!("{id}?fields={all}"), Value::Null).await.1;
    assert_eq!((&info["description"], &info["total_participant_count"]), (&json!("All of us"), &json!(0)));
    let bare = house.graph("GET", id, Value::Null).await.1;
    assert_eq!(bare, json!({"messaging_product": "whatsapp", "id": id}));
    assert_eq!(house.graph("GET", "Y2FwaV9n", Value::Null).await.0, 400);
}

#[tokio::test]
async fn what_is_refused_and_what_fails_later() {
    let house = House::new().await;
    let groups = format!("{NUMBER}/groups");
    let make = |body: Value| house.graph("POST", &groups, body);
    let good = json!({"messaging_product": "whatsapp", "subject": "Street"});
    assert_eq!(code(&make(json!({"subject": "Street"})).await.1), 100, "messaging_product is looked at first");
    assert_eq!(code(&make(json!({"messaging_product": "whatsapp", "subject": "x".repeat(129)})).await.1), 100);
    house.faults(json!({"groups_eligible": false})).await;
    assert_eq!(code(&make(good.clone()).await.1), 131_215);
    assert_eq!(house.graph("GET", &groups, Value::Null).await.1["data"]["groups"], json!([]));
    house.faults(json!({"groups_eligible": true, "group_operations_per_minute": 1})).await;
    house.faults(json!({"group_failed_later": {"next": 1, "code": 131_211}})).await;
    assert_eq!(make(good.clone()).await.0, 200);
    let (status, answer) = make(good.clone()).await;
    assert_eq!((status, code(&answer)), (429, 131_208));
    house.idle().await;
    let event = house.daemon.field("group_lifecycle_update")[0]["groups"][0].clone();
    assert_eq!((&event["errors"][0]["code"], &event["invite_link"]), (&json!(131_211), &Value::Null));
    assert_eq!(house.get("groups").await["groups"], json!([]));
}

#[tokio::test]
async fn people_join_by_link_leave_and_are_removed_for_good() {
    let house = House::new().await;
    let id = house.group(&["ana"]).await;
    let link = house.graph("GET", &format!("{id}/invite_link"), Value::Null).await.1["invite_link"].clone();
    let end = link.as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    house.control(&format!("groups/{end}"), json!({"act": "join", "person": "bram"})).await;
    house.control(&format!("groups/{id}"), json!({"act": "leave", "person": "ana"})).await;
    let body =
        json!({"messaging_product": "whatsapp", "participants": [{"user": "+31610000102"}, {"user": "+351910000101"}]});
    let answer = house.graph("DELETE", &format!("{id}/participants"), body).await.1;
    house.idle().await;
    let events: Vec<Value> =
        house.daemon.field("group_participants_update").iter().map(|v| v["groups"][0].clone()).collect();
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
    let again = house.post(&format!("/control/groups/{end}"), json!({"act": "join", "person": "bram"})).await;
    assert_eq!(again.0, 409, "who was removed does not come in again");
    house.graph("POST", &format!("{id}/invite_link"), json!({"messaging_product": "whatsapp"})).await;
    let old = house.post(&format!("/control/groups/{end}"), json!({"act": "join", "person": "kadri"})).await;
    assert_eq!(old.0, 404, "the old link is dead");
}

#[tokio::test]
async fn join_requests_are_approved_rejected_and_taken_back() {
    let house = House::new().await;
    let id = house.control("groups", json!({"subject": "Street", "approval": true})).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    for person in ["ana", "bram", "kadri"] {
        house.control(&format!("groups/{id}"), json!({"act": "join", "person": person})).await;
    }
    house.control(&format!("groups/{id}"), json!({"act": "revoke", "person": "kadri"})).await;
    let open = house.graph("GET", &format!("{id}/join_requests"), Value::Null).await.1["data"].clone();
    let ids: Vec<Value> = open.as_array().unwrap().iter().map(|request| request["join_request_id"].clone()).collect();
    assert_eq!((ids.len(), &open[0]["wa_id"]), (2, &json!(ANA)));
    let body = |ids: Vec<Value>| json!({"messaging_product": "whatsapp", "join_requests": ids});
    let (status, answer) =
        house.graph("POST", &format!("{id}/join_requests"), body(vec![ids[0].clone(), json!("nobody's")])).await;
    assert_eq!((status, &answer["approved_join_requests"]), (200, &json!([ids[0]])));
    assert_eq!(answer["failed_join_requests"][0]["errors"][0]["code"], 131_213);
    let (_, answer) = house.graph("DELETE", &format!("{id}/join_requests"), body(vec![ids[1].clone()])).await;
    assert_eq!(answer["rejected_join_requests"], json!([ids[1]]));
    house.idle().await;
    let events: Vec<Value> =
        house.daemon.field("group_participants_update").iter().map(|v| v["groups"][0].clone()).collect();
    let count = |kind: &str| events.iter().filter(|event| event["type"] == kind).count();
    assert_eq!((count("group_join_request_created"), count("group_join_request_revoked")), (3, 1));
    let added: Vec<_> = events.iter().filter(|event| event["type"] == "group_participants_add").collect();
    assert_eq!(added.len(), 1, "of a rejection there is no webhook");
    assert_eq!(added[0]["added_participants"][0]["input"], ANA);
}

#[tokio::test]
async fn a_group_has_one_window_and_its_receipts_are_gathered() {
    let house = House::new().await;
    let id = house.group(&["ana", "bram"]).await;
    assert_eq!(code(&house.send(to_group(&id, "first")).await.1), 131_047);
    let said = house.control("say", json!({"from": "ana", "group": id, "text": "hello all"})).await;
    house.idle().await;
    let message = house.daemon.all("messages")[0].clone();
    assert_eq!((&message["group_id"], &message["from"], &message["id"]), (&json!(id), &json!(ANA), &said["id"]));
    house.daemon.forget();
    let (status, answer) = house.send(to_group(&id, "welcome")).await;
    assert_eq!(
        (status, &answer["contacts"][0]["wa_id"], &answer["messages"][0]["group_id"]),
        (200, &json!(id), &json!(id))
    );
    house.control("read", json!({"from": "bram", "group": id})).await;
    house.idle().await;
    let letters = house.daemon.delivered(3).await;
    let statuses: Vec<Vec<Value>> =
        letters.iter().map(|letter| crate::house::under(&letter.body, "statuses")).collect();
    assert_eq!(
        statuses.iter().map(Vec::len).collect::<Vec<_>>(),
        [1, 2, 1],
        "sent of all, delivered of each, read of one"
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
    let kept = house.get(&format!("messages?group={id}")).await["messages"][0].clone();
    assert_eq!(kept["receipts"], json!([{"person": "ana", "state": "delivered"}, {"person": "bram", "state": "read"}]));
    assert_eq!(kept["state"], "delivered", "read by all only when the last has read");
    house.control("read", json!({"from": "ana", "group": id})).await;
    assert_eq!(house.get(&format!("messages?group={id}")).await["messages"][0]["state"], "read");
}

#[tokio::test]
async fn what_does_not_go_to_groups() {
    let house = House::new().await;
    let id = house.group(&["ana"]).await;
    house.control("say", json!({"from": "ana", "group": id, "text": "x"})).await;
    let mut buttons = to_group(&id, "x");
    buttons["type"] = json!("interactive");
    buttons["interactive"] = json!({"type": "button"});
    assert_eq!(code(&house.send(buttons).await.1), 131_051);
    assert_eq!(code(&house.send(to_group("Y2FwaV9n", "x")).await.1), 131_041);
    assert_eq!(code(&house.send(to_group(ANA, "x")).await.1), 100, "a number is no group");
    let id_of = |answer: &Value| answer["messages"][0]["id"].clone();
    let sent = id_of(&house.send(to_group(&id, "pin me")).await.1);
    let mut pin = to_group(&id, "");
    pin["type"] = json!("pin");
    pin["pin"] = json!({"type": "pin", "message_id": sent, "expiration_days": 7});
    assert_eq!(house.send(pin).await.0, 200);
    assert_eq!(house.get("groups").await["groups"][0]["pins"], json!([sent]));
    house.control(&format!("groups/{id}"), json!({"act": "suspend"})).await;
    assert_eq!(house.send(to_group(&id, "x")).await.0, 403);
    house.control(&format!("groups/{id}"), json!({"act": "clear"})).await;
    house.control(&format!("groups/{id}"), json!({"act": "leave", "person": "ana"})).await;
    assert_eq!(code(&house.send(to_group(&id, "x")).await.1), 131_020);
    house.idle().await;
    let kinds: Vec<_> =
        house.daemon.field("group_status_update").iter().map(|v| v["groups"][0]["type"].clone()).collect();
    assert_eq!(kinds, ["group_suspend", "group_suspend_cleared"]);
    assert_eq!(house.graph("DELETE", &id, Value::Null).await.1["success"], true);
    house.idle().await;
    assert_eq!(house.graph("GET", &id, Value::Null).await.0, 400);
}

#[tokio::test]
async fn metas_own_variants_come_on_demand() {
    let house = House::new().await;
    house.faults(json!({"group_variants": true})).await;
    let id = house.group(&["ana", "bram"]).await;
    house.control("say", json!({"from": "ana", "group": id, "text": "x"})).await;
    for _ in 0..20 {
        assert_eq!(house.send(to_group(&id, "x")).await.0, 200);
        house.control(&format!("groups/{id}"), json!({"act": "leave", "person": "bram"})).await;
        house.control(&format!("groups/{id}"), json!({"act": "join", "person": "bram"})).await;
    }
    house.idle().await;
    let with = |key: &str| house.daemon.all("statuses").iter().filter(|status| status.get(key).is_some()).count();
    assert!(with("participant_recipient_id") > 0 && with("recipient_participant_id") > 0);
    let told = house.daemon.field("group_participants_update");
    let beside = told.iter().filter(|value| value.get("initiated_by").is_some()).count();
    let inside = told.iter().filter(|value| value["groups"][0].get("initiated_by").is_some()).count();
    assert!(beside > 0 && inside > 0 && beside + inside == 20);
    assert!(told.iter().any(|value| value["groups"][0]["timestamp"].is_number()));
}
