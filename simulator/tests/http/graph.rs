//! What the business sends: answers, refusals, receipts, the window, rates.

use crate::house::{ANA, House, NUMBER, TOKEN, code, text};
use serde_json::{Value, json};

const DAY_MS: i64 = 86_400_000;

#[tokio::test]
async fn a_text_is_accepted_and_its_receipts_carry_the_callback_data() {
    let house = House::new().await;
    house.open_window().await;
    let mut request = text("+351 910 000 101", "olá");
    request["biz_opaque_callback_data"] = json!("msg_1");
    let (status, answer) = house.send(request).await;
    assert_eq!(status, 200);
    assert_eq!(answer["contacts"], json!([{"input": "+351 910 000 101", "wa_id": ANA}]));
    let id = answer["messages"][0]["id"].as_str().unwrap();
    house.idle().await;
    let statuses = house.daemon.all("statuses");
    assert_eq!(house.daemon.states(), ["sent", "delivered"]);
    for status in &statuses {
        assert_eq!((&status["id"], &status["biz_opaque_callback_data"]), (&json!(id), &json!("msg_1")));
        assert_eq!((&status["recipient_id"], status["timestamp"].is_string()), (&json!(ANA), true));
        assert_eq!(status["pricing"]["type"], "free_customer_service");
    }
    house.control("read", json!({"from": "ana"})).await;
    house.idle().await;
    assert_eq!(house.daemon.states(), ["sent", "delivered", "read"]);
    let kept = house.get("messages?person=ana").await;
    assert_eq!(kept["counts"]["read"], 1);
    let message = &kept["messages"][0];
    assert_eq!(
        (&message["callback_data"], &message["state"], &message["body"]),
        (&json!("msg_1"), &json!("read"), &json!({"body": "olá"}))
    );
    let states: Vec<_> = message["states"].as_array().unwrap().iter().map(|step| step["state"].clone()).collect();
    assert_eq!(states, ["accepted", "sent", "delivered", "read"]);
}

#[tokio::test]
async fn a_stranger_to_the_api_is_turned_away() {
    let house = House::new().await;
    let post = |path: String, token: &'static str| {
        let request = house.http.post(format!("{}{path}", house.url)).bearer_auth(token).json(&text(ANA, "x"));
        async move {
            let answer = request.send().await.unwrap();
            (answer.status().as_u16(), code(&answer.json().await.unwrap()))
        }
    };
    assert_eq!(post(format!("/v26.0/{NUMBER}/messages"), "other").await, (401, 190));
    assert_eq!(post("/v26.0/1/messages".to_owned(), TOKEN).await, (400, 33));
    assert_eq!(post(format!("/latest/{NUMBER}/messages"), TOKEN).await, (400, 100));
    assert_eq!(post(format!("/v26.0/{NUMBER}/media"), TOKEN).await, (400, 100));
    let log = house.get("log").await.to_string();
    assert!(!log.contains(TOKEN), "the token is in no log");
}

#[tokio::test]
async fn what_breaks_a_limit_is_refused_with_the_platforms_error() {
    let house = House::new().await;
    house.open_window().await;
    let (status, answer) = house.send(text(ANA, &"x".repeat(4097))).await;
    assert_eq!((status, code(&answer)), (400, 100));
    assert_eq!(answer["error"]["type"], "OAuthException");
    assert_eq!(answer["error"]["error_data"]["messaging_product"], "whatsapp");
    assert!(answer["error"]["fbtrace_id"].as_str().is_some_and(|id| id.len() > 10));
    let buttons: Vec<_> =
        (0..4).map(|n| json!({"type": "reply", "reply": {"id": n.to_string(), "title": "t"}})).collect();
    let body = json!({"type": "button", "body": {"text": "b"}, "action": {"buttons": buttons}});
    let request = json!({"messaging_product": "whatsapp", "to": ANA, "type": "interactive", "interactive": body});
    assert_eq!(code(&house.send(request).await.1), 131_009);
    assert_eq!(code(&house.send(text("not a number", "x")).await.1), 131_009);
    let refused = house.get("messages").await["counts"]["refused"].clone();
    assert_eq!(refused, json!({"100": 1, "131009": 2}));
}

#[tokio::test]
async fn the_window_closes_after_24_hours_and_a_template_still_goes() {
    let house = House::new().await;
    assert_eq!(code(&house.send(text(ANA, "first")).await.1), 131_047, "she never wrote");
    house.open_window().await;
    house.advance(DAY_MS - 1).await;
    assert_eq!(house.send(text(ANA, "in time")).await.0, 200);
    house.advance(1).await;
    let (status, answer) = house.send(text(ANA, "too late")).await;
    assert_eq!((status, code(&answer)), (400, 131_047));
    let template = json!({"messaging_product": "whatsapp", "to": ANA, "type": "template",
        "template": {"name": "order_update", "language": {"code": "en"}}});
    let (status, answer) = house.send(template.clone()).await;
    assert_eq!((status, &answer["messages"][0]["message_status"]), (200, &json!("accepted")));
    house.idle().await;
    house.daemon.forget();
    house.faults(json!({"window": "async", "templates": ["welcome"]})).await;
    assert_eq!(house.send(text(ANA, "too late")).await.0, 200);
    house.idle().await;
    let failed = house.daemon.all("statuses");
    assert_eq!(
        (failed.len(), &failed[0]["status"], &failed[0]["errors"][0]["code"]),
        (1, &json!("failed"), &json!(131_047))
    );
    let (status, answer) = house.send(template).await;
    assert_eq!((status, code(&answer)), (404, 132_001));
}

#[tokio::test]
async fn a_number_that_nobody_has_fails_later_or_appears() {
    let house = House::new().await;
    assert_eq!(house.send(text("4915112345678", "x")).await.0, 200);
    house.idle().await;
    let failed = house.daemon.all("statuses");
    assert_eq!((&failed[0]["status"], &failed[0]["errors"][0]["code"]), (&json!("failed"), &json!(131_026)));
    house.daemon.forget();
    house.faults(json!({"strangers": "appear", "auto_read": true})).await;
    assert_eq!(house.send(text("4915112345678", "x")).await.0, 200);
    house.idle().await;
    assert_eq!(house.daemon.states(), ["sent", "delivered", "read"]);
}

#[tokio::test]
async fn buttons_and_rows_are_tapped_and_messages_quoted_and_reacted_to() {
    let house = House::new().await;
    house.open_window().await;
    let buttons = json!([{"type": "reply", "reply": {"id": "yes", "title": "Yes, please"}}]);
    let interactive = json!({"type": "button", "body": {"text": "Well?"}, "action": {"buttons": buttons}});
    let (_, answer) = house
        .send(json!({"messaging_product": "whatsapp", "to": ANA, "type": "interactive", "interactive": interactive}))
        .await;
    let asked = answer["messages"][0]["id"].clone();
    let rows = json!([{"title": "s", "rows": [{"id": "r1", "title": "Row", "description": "the first"}]}]);
    let interactive =
        json!({"type": "list", "body": {"text": "Which?"}, "action": {"button": "Open", "sections": rows}});
    let (_, answer) = house
        .send(json!({"messaging_product": "whatsapp", "to": ANA, "type": "interactive", "interactive": interactive}))
        .await;
    let listed = answer["messages"][0]["id"].clone();
    house.control("say", json!({"from": "ana", "tap": "yes"})).await;
    house.control("say", json!({"from": "ana", "tap": "r1", "on": listed})).await;
    house.control("say", json!({"from": "ana", "reaction": "👍", "on": asked})).await;
    house.control("say", json!({"from": "ana", "reaction": "", "on": asked})).await;
    house.control("say", json!({"from": "ana", "text": "this one", "on": asked})).await;
    house.idle().await;
    let messages = house.daemon.all("messages");
    let context = |id: &Value| json!({"from": "15550783881", "id": id});
    assert_eq!(
        messages[0]["interactive"],
        json!({"type": "button_reply", "button_reply": {"id": "yes", "title": "Yes, please"}})
    );
    assert_eq!(messages[0]["context"], context(&asked));
    let reply = json!({"type": "list_reply", "list_reply": {"id": "r1", "title": "Row", "description": "the first"}});
    assert_eq!((&messages[1]["interactive"], &messages[1]["context"]), (&reply, &context(&listed)));
    assert_eq!(messages[2]["reaction"], json!({"message_id": asked, "emoji": "👍"}));
    assert_eq!(messages[3]["reaction"], json!({"message_id": asked}));
    assert_eq!(messages[4]["context"], context(&asked));
    let (status, _) = house.post("/control/say", json!({"from": "ana", "tap": "no-such-button"})).await;
    assert_eq!(status, 404);
    let (status, _) = house.post("/control/say", json!({"from": "ana", "text": "a", "tap": "yes"})).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn the_business_reacts_marks_as_read_and_types() {
    let house = House::new().await;
    let first = house.say("ana", "one").await["id"].clone();
    let second = house.say("ana", "two").await["id"].clone();
    house.idle().await;
    house.daemon.forget();
    let read = json!({"messaging_product": "whatsapp", "status": "read", "message_id": second, "typing_indicator": {"type": "text"}});
    assert_eq!(house.send(read).await, (200, json!({"success": true})));
    let react = json!({"messaging_product": "whatsapp", "to": ANA, "type": "reaction", "reaction": {"message_id": first, "emoji": "🎉"}});
    assert_eq!(house.send(react).await.0, 200);
    house.idle().await;
    assert_eq!(house.daemon.states(), ["sent"], "of a reaction only `sent` is told");
    let said = house.get("messages?from=person").await;
    let states: Vec<_> = said["messages"].as_array().unwrap().iter().map(|m| m["state"].clone()).collect();
    assert_eq!(states, ["read", "read"], "the one before is read with it");
    assert_eq!(said["messages"][0]["reactions"], json!([{"from": "business", "emoji": "🎉"}]));
    assert_eq!((&said["counts"]["typing"], &said["counts"]["marked_read"]), (&json!(1), &json!(1)));
    let unknown = json!({"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.none"});
    assert_eq!(code(&house.send(unknown).await.1), 131_009);
    let stale = json!({"messaging_product": "whatsapp", "to": ANA, "type": "reaction", "reaction": {"message_id": "wamid.none", "emoji": "x"}});
    house.daemon.forget();
    assert_eq!(house.send(stale).await.0, 200);
    house.idle().await;
    assert_eq!(house.daemon.all("statuses")[0]["errors"][0]["code"], 131_009);
}

#[tokio::test]
async fn rates_are_held_to_on_demand() {
    let house = House::new().await;
    house.open_window().await;
    house.faults(json!({"pair_rate": true})).await;
    for n in 0..45 {
        assert_eq!(house.send(text(ANA, "x")).await.0, 200, "message {n}");
    }
    let (status, answer) = house.send(text(ANA, "x")).await;
    assert_eq!((status, code(&answer)), (400, 131_056));
    house.advance(6_000).await;
    assert_eq!(house.send(text(ANA, "x")).await.0, 200);
    house.faults(json!({"pair_rate": false, "throughput_per_second": 5})).await;
    let mut codes = Vec::new();
    for _ in 0..7 {
        codes.push(house.send(text(ANA, "x")).await.1["error"]["code"].clone());
    }
    assert_eq!(codes.iter().filter(|code| code.is_null()).count(), 5);
    assert_eq!(codes[5..], [json!(130_429), json!(130_429)]);
    house.advance(200).await;
    assert_eq!(house.send(text(ANA, "x")).await.0, 200);
}

#[tokio::test]
async fn a_reset_forgets_everything_but_the_clock() {
    let house = House::new().await;
    house.open_window().await;
    house.daemon.answer(&[500; 3]);
    house.send(text(ANA, "x")).await;
    house.faults(json!({"send_error": {"probability": 1}})).await;
    house.advance(5).await;
    house.control("reset", json!({})).await;
    let kept = house.get("messages?from=both").await;
    assert_eq!((&kept["messages"], &kept["counts"]["said"]), (&json!([]), &json!(0)));
    assert_eq!(house.get("faults").await["send_error"]["probability"], 0.0);
    assert_eq!(house.get("idle").await["waiting"], 0);
    assert_eq!(house.get("clock").await["rev"], 2);
    house.daemon.answer(&[]);
    house.open_window().await;
    assert_eq!(house.send(text(ANA, "x")).await.0, 200);
}

#[tokio::test]
async fn a_follower_of_the_clock_hears_of_each_turn() {
    let house = House::new().await;
    let face = house.get("clock?after=0").await;
    assert_eq!(face, json!({"now_ms": crate::house::START_MS, "rev": 1, "virtual": true, "speed": 0.0}));
    let url = format!("{}/control/clock?after=1", house.url);
    let poll = tokio::spawn(house.http.get(url).send());
    house.control("clock", json!({"set_ms": crate::house::START_MS + 7})).await;
    let face: Value = poll.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(face, json!({"now_ms": crate::house::START_MS + 7, "rev": 2, "virtual": true, "speed": 0.0}));
    let real = House::with(|config| config.clock = beadle_simulator::ClockKind::Real, &[]).await;
    assert_eq!(real.post("/control/clock", json!({"advance_ms": 1})).await.0, 409);
}

#[tokio::test]
async fn another_sites_page_has_no_say() {
    let house = House::new().await;
    let reset = |site: &'static str| {
        let request = house.http.post(format!("{}/control/reset", house.url)).header("sec-fetch-site", site);
        async move { request.send().await.unwrap().status().as_u16() }
    };
    assert_eq!(reset("cross-site").await, 403);
    assert_eq!(reset("same-origin").await, 200);
}
