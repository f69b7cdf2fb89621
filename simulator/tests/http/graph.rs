//! Messages of the business: responses, refusals, receipts, the window, rates.

use crate::env::{ANA, NUMBER, TOKEN, TestEnv, code, text};
use serde_json::{Value, json};

const DAY_MS: i64 = 86_400_000;

#[tokio::test]
async fn text_is_accepted_and_its_receipts_carry_the_callback_data() {
    let env = TestEnv::new().await;
    env.open_window().await;
    let mut request = text("+351 910 000 101", "olá");
    request["biz_opaque_callback_data"] = json!("msg_1");
    let (status, answer) = env.send(request).await;
    assert_eq!(status, 200);
    assert_eq!(answer["contacts"], json!([{"input": "+351 910 000 101", "wa_id": ANA}]));
    let id = answer["messages"][0]["id"].as_str().unwrap();
    env.idle().await;
    let statuses = env.daemon.all("statuses");
    assert_eq!(env.daemon.states(), ["sent", "delivered"]);
    for status in &statuses {
        assert_eq!((&status["id"], &status["biz_opaque_callback_data"]), (&json!(id), &json!("msg_1")));
        assert_eq!((&status["recipient_id"], status["timestamp"].is_string()), (&json!(ANA), true));
        assert_eq!(status["pricing"]["type"], "free_customer_service");
    }
    env.control("read", json!({"from": "ana"})).await;
    env.idle().await;
    assert_eq!(env.daemon.states(), ["sent", "delivered", "read"]);
    let stored = env.get("messages?person=ana").await;
    assert_eq!(stored["counts"]["read"], 1);
    let message = &stored["messages"][0];
    assert_eq!(
        (&message["callback_data"], &message["state"], &message["body"]),
        (&json!("msg_1"), &json!("read"), &json!({"body": "olá"}))
    );
    let states: Vec<_> = message["states"].as_array().unwrap().iter().map(|step| step["state"].clone()).collect();
    assert_eq!(states, ["accepted", "sent", "delivered", "read"]);
}

#[tokio::test]
async fn wrong_token_number_or_version_is_refused() {
    let env = TestEnv::new().await;
    let post = |path: String, token: &'static str| {
        let request = env.http.post(format!("{}{path}", env.url)).bearer_auth(token).json(&text(ANA, "x"));
        async move {
            let answer = request.send().await.unwrap();
            (answer.status().as_u16(), code(&answer.json().await.unwrap()))
        }
    };
    assert_eq!(post(format!("/v26.0/{NUMBER}/messages"), "other").await, (401, 190));
    assert_eq!(post("/v26.0/1/messages".to_owned(), TOKEN).await, (400, 100));
    assert_eq!(post(format!("/latest/{NUMBER}/messages"), TOKEN).await, (400, 100));
    assert_eq!(post(format!("/v26.0/{NUMBER}/media"), TOKEN).await, (400, 100));
    let log = env.get("log").await.to_string();
    assert!(!log.contains(TOKEN), "the token is not logged");
}

#[tokio::test]
async fn lenient_forms_of_a_request_are_accepted() {
    let env = TestEnv::new().await;
    env.open_window().await;
    let mut body = text(ANA, "x");
    body["to"] = json!(ANA.parse::<u64>().unwrap());
    for member in ["context", "recipient_type", "biz_opaque_callback_data"] {
        body[member] = Value::Null;
    }
    for path in [format!("{NUMBER}/messages"), format!("v26.0/{NUMBER}/messages/"), format!("v26.0/{NUMBER}/messages")]
    {
        let request = env.http.post(format!("{}/{path}", env.url)).bearer_auth(TOKEN).json(&body);
        assert_eq!(request.send().await.unwrap().status(), 200, "{path}");
    }
    let form = format!("messaging_product=whatsapp&to={ANA}&type=text&text=%7B%22body%22%3A%22x%22%7D");
    let request = env.http.post(format!("{}/v26.0/{NUMBER}/messages", env.url)).bearer_auth(TOKEN);
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
    assert_eq!(request.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn request_for_another_host_is_refused() {
    let env = TestEnv::new().await;
    let request = env.http.get(format!("{}/control/people", env.url)).header("host", "attacker.example");
    assert_eq!(request.send().await.unwrap().status(), 403);
}

#[tokio::test]
async fn exceeded_limit_is_refused_with_the_platforms_error() {
    let env = TestEnv::new().await;
    env.open_window().await;
    let (status, answer) = env.send(text(ANA, &"x".repeat(4097))).await;
    assert_eq!((status, code(&answer)), (400, 100));
    assert_eq!(answer["error"]["type"], "OAuthException");
    assert_eq!(answer["error"]["error_data"]["messaging_product"], "whatsapp");
    assert!(answer["error"]["fbtrace_id"].as_str().is_some_and(|id| id.len() > 10));
    let buttons: Vec<_> =
        (0..4).map(|n| json!({"type": "reply", "reply": {"id": n.to_string(), "title": "t"}})).collect();
    let body = json!({"type": "button", "body": {"text": "b"}, "action": {"buttons": buttons}});
    let request = json!({"messaging_product": "whatsapp", "to": ANA, "type": "interactive", "interactive": body});
    assert_eq!(code(&env.send(request).await.1), 131_009);
    assert_eq!(code(&env.send(text("not a number", "x")).await.1), 131_009);
    let refused = env.get("messages").await["counts"]["refused"].clone();
    assert_eq!(refused, json!({"100": 1, "131009": 2}));
}

#[tokio::test]
async fn window_closes_after_24_hours_except_for_templates() {
    let env = TestEnv::new().await;
    assert_eq!(code(&env.send(text(ANA, "first")).await.1), 131_047, "there was no inbound message");
    env.open_window().await;
    env.advance(DAY_MS - 1).await;
    assert_eq!(env.send(text(ANA, "in time")).await.0, 200);
    env.advance(1).await;
    let (status, answer) = env.send(text(ANA, "too late")).await;
    assert_eq!((status, code(&answer)), (400, 131_047));
    let template = json!({"messaging_product": "whatsapp", "to": ANA, "type": "template",
        "template": {"name": "order_update", "language": {"code": "en"}}});
    let (status, answer) = env.send(template.clone()).await;
    assert_eq!((status, &answer["messages"][0]["message_status"]), (200, &json!("accepted")));
    env.idle().await;
    env.daemon.clear();
    env.faults(json!({"window": "async", "templates": ["welcome"]})).await;
    assert_eq!(env.send(text(ANA, "too late")).await.0, 200);
    env.idle().await;
    let failed = env.daemon.all("statuses");
    assert_eq!(
        (failed.len(), &failed[0]["status"], &failed[0]["errors"][0]["code"]),
        (1, &json!("failed"), &json!(131_047))
    );
    let (status, answer) = env.send(template).await;
    assert_eq!((status, code(&answer)), (404, 132_001));
}

#[tokio::test]
async fn unknown_number_is_undeliverable_or_created() {
    let env = TestEnv::new().await;
    assert_eq!(env.send(text("4915112345678", "x")).await.0, 200);
    env.idle().await;
    let failed = env.daemon.all("statuses");
    assert_eq!((&failed[0]["status"], &failed[0]["errors"][0]["code"]), (&json!("failed"), &json!(131_026)));
    env.daemon.clear();
    env.faults(json!({"unknown_numbers": "create", "auto_read": true})).await;
    assert_eq!(env.send(text("4915112345678", "x")).await.0, 200);
    env.idle().await;
    assert_eq!(env.daemon.states(), ["sent", "delivered", "read"]);
}

#[tokio::test]
async fn people_can_tap_react_and_quote() {
    let env = TestEnv::new().await;
    env.open_window().await;
    let buttons = json!([{"type": "reply", "reply": {"id": "yes", "title": "Yes, please"}}]);
    let interactive = json!({"type": "button", "body": {"text": "Well?"}, "action": {"buttons": buttons}});
    let (_, answer) = env
        .send(json!({"messaging_product": "whatsapp", "to": ANA, "type": "interactive", "interactive": interactive}))
        .await;
    let asked = answer["messages"][0]["id"].clone();
    let rows = json!([{"title": "s", "rows": [{"id": "r1", "title": "Row", "description": "the first"}]}]);
    let interactive =
        json!({"type": "list", "body": {"text": "Which?"}, "action": {"button": "Open", "sections": rows}});
    let (_, answer) = env
        .send(json!({"messaging_product": "whatsapp", "to": ANA, "type": "interactive", "interactive": interactive}))
        .await;
    let listed = answer["messages"][0]["id"].clone();
    env.control("say", json!({"from": "ana", "tap": "yes"})).await;
    env.control("say", json!({"from": "ana", "tap": "r1", "on": listed})).await;
    env.control("say", json!({"from": "ana", "reaction": "👍", "on": asked})).await;
    env.control("say", json!({"from": "ana", "reaction": "", "on": asked})).await;
    env.control("say", json!({"from": "ana", "text": "this one", "on": asked})).await;
    env.idle().await;
    let messages = env.daemon.all("messages");
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
    let (status, _) = env.post("/control/say", json!({"from": "ana", "tap": "no-such-button"})).await;
    assert_eq!(status, 404);
    let (status, _) = env.post("/control/say", json!({"from": "ana", "text": "a", "tap": "yes"})).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn business_can_react_mark_as_read_and_show_typing() {
    let env = TestEnv::new().await;
    let first = env.say("ana", "one").await["id"].clone();
    let second = env.say("ana", "two").await["id"].clone();
    env.idle().await;
    env.daemon.clear();
    let read = json!({"messaging_product": "whatsapp", "status": "read", "message_id": second, "typing_indicator": {"type": "text"}});
    assert_eq!(env.send(read).await, (200, json!({"success": true})));
    let react = json!({"messaging_product": "whatsapp", "to": ANA, "type": "reaction", "reaction": {"message_id": first, "emoji": "🎉"}});
    assert_eq!(env.send(react).await.0, 200);
    env.idle().await;
    assert_eq!(env.daemon.states(), ["sent"], "a reaction has no later status");
    let inbound = env.get("messages?from=person").await;
    let states: Vec<_> = inbound["messages"].as_array().unwrap().iter().map(|m| m["state"].clone()).collect();
    assert_eq!(states, ["read", "read"], "earlier messages are read too");
    assert_eq!(inbound["messages"][0]["reactions"], json!([{"from": "business", "emoji": "🎉"}]));
    assert_eq!((&inbound["counts"]["typing"], &inbound["counts"]["marked_read"]), (&json!(1), &json!(1)));
    let unknown = json!({"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.none"});
    assert_eq!(code(&env.send(unknown).await.1), 131_009);
    let stale = json!({"messaging_product": "whatsapp", "to": ANA, "type": "reaction", "reaction": {"message_id": "wamid.none", "emoji": "x"}});
    env.daemon.clear();
    assert_eq!(env.send(stale).await.0, 200);
    env.idle().await;
    assert_eq!(env.daemon.all("statuses")[0]["errors"][0]["code"], 131_009);
}

#[tokio::test]
async fn pair_rate_and_throughput_are_enforced() {
    let env = TestEnv::new().await;
    env.open_window().await;
    env.faults(json!({"pair_rate": true})).await;
    for n in 0..45 {
        assert_eq!(env.send(text(ANA, "x")).await.0, 200, "message {n}");
    }
    let (status, answer) = env.send(text(ANA, "x")).await;
    assert_eq!((status, code(&answer)), (400, 131_056));
    env.advance(6_000).await;
    assert_eq!(env.send(text(ANA, "x")).await.0, 200);
    env.faults(json!({"pair_rate": false, "throughput_per_second": 5})).await;
    let mut codes = Vec::new();
    for _ in 0..7 {
        codes.push(env.send(text(ANA, "x")).await.1["error"]["code"].clone());
    }
    assert_eq!(codes.iter().filter(|code| code.is_null()).count(), 5);
    assert_eq!(codes[5..], [json!(130_429), json!(130_429)]);
    env.advance(200).await;
    assert_eq!(env.send(text(ANA, "x")).await.0, 200);
}

#[tokio::test]
async fn reset_restores_everything_except_the_clock() {
    let env = TestEnv::new().await;
    env.open_window().await;
    env.daemon.respond(&[500; 3]);
    env.send(text(ANA, "x")).await;
    env.faults(json!({"send_error": {"probability": 1}})).await;
    env.advance(5).await;
    env.control("reset", json!({})).await;
    let stored = env.get("messages?from=both").await;
    assert_eq!((&stored["messages"], &stored["counts"]["inbound"]), (&json!([]), &json!(0)));
    assert_eq!(env.get("faults").await["send_error"]["probability"], 0.0);
    assert_eq!(env.get("idle").await["waiting"], 0);
    assert_eq!(env.get("clock").await["rev"], 2);
    env.daemon.respond(&[]);
    env.open_window().await;
    assert_eq!(env.send(text(ANA, "x")).await.0, 200);
}

#[tokio::test]
async fn clock_poll_returns_on_change() {
    let env = TestEnv::new().await;
    let clock = env.get("clock?after=0").await;
    assert_eq!(clock, json!({"now_ms": crate::env::START_MS, "rev": 1, "virtual": true, "speed": 0.0}));
    let url = format!("{}/control/clock?after=1", env.url);
    let poll = tokio::spawn(env.http.get(url).send());
    env.control("clock", json!({"set_ms": crate::env::START_MS + 7})).await;
    let clock: Value = poll.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(clock, json!({"now_ms": crate::env::START_MS + 7, "rev": 2, "virtual": true, "speed": 0.0}));
    let real = TestEnv::with(|config| config.clock = beadle_simulator::ClockKind::Real, &[]).await;
    assert_eq!(real.post("/control/clock", json!({"advance_ms": 1})).await.0, 409);
}

#[tokio::test]
async fn cross_site_requests_are_refused() {
    let env = TestEnv::new().await;
    let reset = |site: &'static str| {
        let request = env.http.post(format!("{}/control/reset", env.url)).header("sec-fetch-site", site);
        async move { request.send().await.unwrap().status().as_u16() }
    };
    assert_eq!(reset("cross-site").await, 403);
    assert_eq!(reset("same-origin").await, 200);
}
