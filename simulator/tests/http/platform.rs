//! The account: limits, marketing preferences, prices, tokens, restrictions, callbacks, Direct
//! Send.

use crate::env::{ANA, Daemon, NUMBER, TOKEN, TestEnv, code, text};
use serde_json::{Value, json};

const BRAM: &str = "31610000102";
const HOUR_MS: i64 = 3_600_000;
const ACCOUNT: &str = "102290129340398";

fn template(to: &str, name: &str) -> Value {
    json!({"messaging_product": "whatsapp", "to": to, "type": "template", "template": {"name": name, "language": {"code": "en"}}})
}

async fn create_template(env: &TestEnv, name: &str, category: &str) {
    let body = json!({"name": name, "language": "en", "category": category, "components": [{"type": "BODY", "text": "Hello"}]});
    assert_eq!(env.graph("POST", &format!("{ACCOUNT}/message_templates"), body).await.0, 200);
    env.idle().await;
}

#[tokio::test]
async fn messaging_limit_applies_to_people_written_to_first() {
    let env = TestEnv::new().await;
    env.control("account", json!({"messaging_limit": 1})).await;
    assert_eq!(env.send(template(ANA, "x")).await.0, 200);
    assert_eq!(env.send(template(ANA, "x")).await.0, 200, "the same person counts once");
    assert_eq!(code(&env.send(template(BRAM, "x")).await.1), 131_048);
    env.say("bram", "hello").await;
    assert_eq!(env.send(template(BRAM, "x")).await.0, 200, "a reply does not count");
    env.advance(24 * HOUR_MS).await;
    assert_eq!(env.send(template(BRAM, "x")).await.0, 200, "after a day the count starts at zero");
    env.idle().await;
    assert_eq!(env.daemon.field("business_capability_update")[0]["max_daily_conversations_per_business"], "TIER_1");
}

#[tokio::test]
async fn marketing_is_refused_after_opt_out_to_us_numbers_and_when_capped() {
    let env = TestEnv::new().await;
    create_template(&env, "news", "MARKETING").await;
    env.control("people", json!({"name": "Joe", "number": "16505550001"})).await;
    env.control("marketing", json!({"person": "ana", "value": "stop"})).await;
    env.idle().await;
    let value = env.daemon.field("user_preferences")[0].clone();
    assert_eq!(
        (&value["user_preferences"][0]["value"], &value["user_preferences"][0]["wa_id"]),
        (&json!("stop"), &json!(ANA))
    );
    assert!(value["user_preferences"][0]["timestamp"].is_number() && value["contacts"][0]["wa_id"] == ANA);
    env.faults(json!({"marketing_capped": {"next": 1}})).await;
    let mut codes = Vec::new();
    for to in [ANA, "16505550001", BRAM] {
        env.daemon.clear();
        assert_eq!(env.send(template(to, "news")).await.0, 200);
        env.idle().await;
        codes.push(env.daemon.all("statuses")[0]["errors"][0]["code"].clone());
    }
    assert_eq!(codes, [131_050, 131_049, 131_049]);
    env.faults(json!({"marketing": "sync"})).await;
    assert_eq!(code(&env.send(template(ANA, "news")).await.1), 131_050);
    env.control("marketing", json!({"person": "ana", "value": "resume"})).await;
    assert_eq!(env.send(template(ANA, "news")).await.0, 200);
}

#[tokio::test]
async fn first_thousand_service_messages_of_a_month_are_free() {
    let env = TestEnv::new().await;
    env.open_window().await;
    env.faults(json!({"receipts": false})).await;
    for _ in 0..1000 {
        env.send(text(ANA, "x")).await;
    }
    env.faults(json!({"receipts": true})).await;
    env.send(text(ANA, "the first billable message")).await;
    env.idle().await;
    let pricing = env.daemon.all("statuses")[0]["pricing"].clone();
    assert_eq!(
        (&pricing["type"], &pricing["billable"], &pricing["category"]),
        (&json!("regular"), &json!(true), &json!("service"))
    );
    let account = env.get("account").await;
    assert_eq!(
        (&account["costs"]["service"]["messages"], &account["costs"]["service"]["free"]),
        (&json!(1001), &json!(1000))
    );
    assert_eq!(account["costs"]["service"]["micros"], 30_000);
    env.faults(json!({"payment_method": false})).await;
    assert_eq!(code(&env.send(text(ANA, "x")).await.1), 131_042);
    let react = json!({"messaging_product": "whatsapp", "to": ANA, "type": "reaction", "reaction": {"message_id": "wamid.x", "emoji": "x"}});
    env.faults(json!({"payment_method": true})).await;
    assert_eq!(env.send(react).await.0, 200);
    assert_eq!(env.get("account").await["free_service_messages_used"], 1001, "reactions are not counted");
    // 2026-12-01. The window has closed in the meantime.
    env.advance(8 * 24 * HOUR_MS).await;
    env.open_window().await;
    env.send(text(ANA, "another month")).await;
    env.idle().await;
    assert_eq!(env.daemon.all("statuses")[0]["pricing"]["type"], "free_customer_service");
}

#[tokio::test]
async fn expired_and_replaced_tokens_are_refused() {
    let env = TestEnv::new().await;
    env.open_window().await;
    env.faults(json!({"token_expired": true})).await;
    let (status, answer) = env.send(text(ANA, "x")).await;
    assert_eq!((status, code(&answer), &answer["error"]["type"]), (401, 190, &json!("OAuthException")));
    env.faults(json!({"token_expired": false})).await;
    env.control("account", json!({"access_token": "the-next"})).await;
    assert_eq!(env.send(text(ANA, "x")).await.0, 401, "{TOKEN} was replaced");
    let url = format!("{}/v26.0/{NUMBER}/messages", env.url);
    let answer = env.http.post(url).bearer_auth("the-next").json(&text(ANA, "x")).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
}

#[tokio::test]
async fn restrictions_refuse_sends_and_send_webhooks() {
    let env = TestEnv::new().await;
    env.open_window().await;
    for (restriction, code_of_text, code_of_first) in [
        ("no_business_initiated", None, Some(131_048)),
        ("blocked", Some(368), Some(368)),
        ("locked", Some(131_031), Some(131_031)),
    ] {
        env.control("account", json!({"restriction": restriction})).await;
        let refused = |answer: Value| answer["error"]["code"].as_i64();
        assert_eq!(refused(env.send(text(ANA, "x")).await.1), code_of_text, "{restriction}");
        assert_eq!(refused(env.send(template(BRAM, "x")).await.1), code_of_first, "{restriction}");
    }
    env.control("account", json!({"restriction": "none"})).await;
    assert_eq!(env.send(text(ANA, "x")).await.0, 200);
    env.control("account", json!({"throughput_per_second": 1000})).await;
    let (status, answer) = env.send(text(ANA, "x")).await;
    assert_eq!((status, code(&answer)), (500, 131_057));
    env.advance(60_000).await;
    assert_eq!(env.send(text(ANA, "x")).await.0, 200);
    env.idle().await;
    let events: Vec<_> = env.daemon.field("account_update").iter().map(|value| value["event"].clone()).collect();
    assert_eq!(events, ["ACCOUNT_RESTRICTION", "ACCOUNT_VIOLATION", "DISABLED_UPDATE", "ACCOUNT_RESTRICTION"]);
    assert_eq!(env.daemon.field("phone_number_quality_update")[0]["event"], "THROUGHPUT_UPGRADE");
}

#[tokio::test]
async fn client_can_subscribe_its_own_callback() {
    let env = TestEnv::new().await;
    let app = env.graph("GET", "oauth/access_token?client_id=1&client_secret=test-app-secret", Value::Null).await.1;
    let token = app["access_token"].as_str().unwrap();
    let (other, url) = Daemon::start().await;
    let subscribe = |verify: &'static str| {
        let query = [
            ("object", "whatsapp_business_account"),
            ("callback_url", url.as_str()),
            ("verify_token", verify),
            ("access_token", token),
        ];
        let address = reqwest::Url::parse_with_params(&format!("{}/v26.0/1/subscriptions", env.url), query).unwrap();
        let request = env.http.post(address);
        async move { request.send().await.unwrap() }
    };
    let refused: Value = subscribe("wrong").await.json().await.unwrap();
    assert_eq!(code(&refused), 2200);
    assert_eq!(subscribe("test-verify").await.status().as_u16(), 200);
    env.say("ana", "hello").await;
    assert_eq!(other.delivered(1).await.len(), 1);
    assert_eq!(env.daemon.all("messages").len(), 0);
    assert!(!env.get("log").await.to_string().contains("test-app-secret"), "secrets are not logged");
    let own = json!({"override_callback_uri": ""});
    assert_eq!(env.graph("POST", &format!("{ACCOUNT}/subscribed_apps"), own).await.1, json!({"success": true}));
    env.say("ana", "back").await;
    env.idle().await;
    assert_eq!(env.daemon.all("messages").len(), 1);
}

#[tokio::test]
async fn number_and_account_can_be_queried() {
    let env = TestEnv::new().await;
    let number = env.graph("GET", &format!("{NUMBER}?fields=display_phone_number,quality_rating"), Value::Null).await.1;
    assert_eq!(number, json!({"id": NUMBER, "display_phone_number": "+15550783881", "quality_rating": "GREEN"}));
    assert_eq!(env.graph("GET", &format!("{ACCOUNT}/phone_numbers"), Value::Null).await.1["data"][0]["id"], NUMBER);
    assert_eq!(env.graph("POST", &format!("{ACCOUNT}/subscribed_apps"), Value::Null).await.1, json!({"success": true}));
    assert_eq!(env.graph("GET", "999", Value::Null).await.0, 400);
    env.faults(json!({"call_error": {"next": 1, "code": 4, "only": ["account"]}})).await;
    assert_eq!(code(&env.graph("GET", NUMBER, Value::Null).await.1), 4);
}

#[tokio::test]
async fn direct_send_must_be_enabled() {
    let env = TestEnv::new().await;
    let mut request = text(ANA, "Your order is ready");
    request["category"] = json!("utility");
    let (_, answer) = env.send(request.clone()).await;
    assert!(answer["error"]["error_data"]["details"].as_str().unwrap().contains("requires Direct Send"));
    env.faults(json!({"direct_send": true})).await;
    assert_eq!(env.send(request.clone()).await.0, 200, "without a window or a template");
    env.idle().await;
    let status = env.daemon.all("statuses")[0].clone();
    assert_eq!(status["pricing"]["category"], "utility");
    request["text"]["body"] = json!("Your order is here");
    for (name, same) in [(None, false), (Some("order_left"), false), (Some("order_left"), true)] {
        if let Some(name) = name {
            request["direct_send_config"] = json!({"template_name": name});
        }
        let before = env.daemon.all("statuses").last().unwrap()["template_id"].clone();
        assert_eq!(env.send(request.clone()).await.0, 200);
        env.idle().await;
        let now = env.daemon.all("statuses").last().unwrap()["template_id"].clone();
        assert!(now.as_str().is_some_and(|id| id.len() == 16 && id.bytes().all(|b| b.is_ascii_digit())), "{now}");
        assert_eq!(now == before, same, "{name:?}");
    }
    request["category"] = json!("service");
    assert_eq!(code(&env.send(request).await.1), 131_047, "category `service` needs a window");
}

#[tokio::test]
async fn direct_send_supports_the_documented_types() {
    let env = TestEnv::new().await;
    env.faults(json!({"direct_send": true})).await;
    create_template(&env, "taken", "UTILITY").await;
    let mia = env.control("people", json!({"name": "Mia", "hidden": true})).await;
    let call = |minutes: u32| {
        json!({"type": "voice_call", "body": {"text": "Call us"}, "action": {"name": "voice_call",
            "parameters": {"display_text": "Call", "ttl_minutes": minutes}}})
    };
    let link = json!({"type": "cta_url", "header": {"type": "image", "image": {"link": "https://example.org/a.jpg"}},
        "body": {"text": "Look"}, "action": {"name": "cta_url", "parameters": {"display_text": "Open", "url": "https://example.org"}}});
    let list = json!({"type": "list", "body": {"text": "b"}, "action": {"button": "c", "sections": [{"rows": [{"id": "1", "title": "t"}]}]}});
    let with = |category: &str, kind: &str, body: &Value| json!({"messaging_product": "whatsapp", "to": ANA, "type": kind, kind: body, "category": category});
    let words = json!({"body": "123456"});
    let mut named = with("utility", "text", &words);
    named["direct_send_config"] = json!({"template_name": "Order"});
    let mut taken = with("utility", "text", &words);
    taken["direct_send_config"] = json!({"template_name": "taken"});
    let mut to_mia = with("authentication", "text", &words);
    to_mia.as_object_mut().unwrap().remove("to");
    to_mia["recipient"] = mia["user_id"].clone();
    let mut with_footer = call(60);
    with_footer["footer"] = json!({"text": "f"});
    let mut uncategorised = with("utility", "interactive", &call(60));
    uncategorised.as_object_mut().unwrap().remove("category");
    for (request, expected) in [
        (with("utility", "interactive", &link), 0),
        (with("utility", "interactive", &call(43_200)), 0),
        (with("authentication", "text", &words), 0),
        (with("authentication", "interactive", &link), 100),
        (with("marketing", "text", &words), 100),
        (with("utility", "interactive", &list), 100),
        (with("utility", "location", &json!({"latitude": 1, "longitude": 1})), 100),
        (with("utility", "interactive", &call(43_201)), 100),
        (with("utility", "interactive", &with_footer), 100),
        (uncategorised, 100),
        (named, 100),
        (taken, 100),
        (to_mia, 131_062),
    ] {
        let (_, answer) = env.send(request.clone()).await;
        let got = if answer["error"].is_null() { 0 } else { code(&answer) };
        assert_eq!(got, expected, "{request}: {answer}");
    }
    env.faults(json!({"calls": false})).await;
    assert_eq!(code(&env.send(with("utility", "interactive", &call(60))).await.1), 138_000);
}

#[tokio::test]
async fn log_can_be_filtered_by_message() {
    let env = TestEnv::new().await;
    env.open_window().await;
    let sent = env.send(text(ANA, "look")).await.1["messages"][0]["id"].as_str().unwrap().to_owned();
    env.idle().await;
    let url = reqwest::Url::parse_with_params(&format!("{}/control/log", env.url), [("message", &sent)]).unwrap();
    let log: Value = env.http.get(url).send().await.unwrap().json().await.unwrap();
    let entries = log["entries"].as_array().unwrap();
    assert_eq!(entries.iter().map(|entry| entry["direction"].clone()).collect::<Vec<_>>(), ["in", "out", "out"]);
    assert!(entries.iter().all(|entry| entry.to_string().contains(&sent)));
}
