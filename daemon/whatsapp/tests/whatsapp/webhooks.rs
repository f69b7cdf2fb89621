//! Parsing of webhooks: snapshots of Meta's examples and ours, and properties that hold for all of them.

use crate::webhook_env::{NOW, NUMBER, SECRET, app, metas_webhooks, our_webhooks, receive, webhooks};
use beadle_model::{Alias, EventBody, Timestamp};
use beadle_store::step::{NewEvent, Placement, ReceiptFor};
use beadle_test_support::webhook::signature;
use beadle_whatsapp::{BODY_LIMIT_BYTES, Parsed, WebhookError};
use serde_json::{Value, json};

/// The contents of a webhook in readable form.
fn show(parsed: &Parsed) -> Value {
    let receipts = parsed.receipts.iter().map(|receipt| {
        let message = match &receipt.message {
            ReceiptFor::Ours(message, platform) => format!("{message} = {platform}"),
            ReceiptFor::Platform(platform) => platform.clone(),
        };
        let mut shown = json!({"message": message, "status": receipt.status, "at": receipt.at.to_string()});
        for (name, value) in [
            ("problem", json!(receipt.problem)),
            ("pricing", json!(receipt.pricing)),
            ("participant", show_aliases(&receipt.participant)),
            ("recipient", show_aliases(&receipt.recipient)),
            ("extra", receipt.extra.clone()),
        ] {
            if !value.is_null() && value != json!([]) {
                shown[name] = value;
            }
        }
        shown
    });
    json!({
        "events": parsed.events.iter().map(show_event).collect::<Vec<_>>(),
        "receipts": receipts.collect::<Vec<_>>(),
        "rejected": parsed.rejected.iter().map(|rejected| format!("{}: {}", rejected.code, rejected.error)).collect::<Vec<_>>(),
        "counts": format!("{:?}", parsed.counts),
    })
}

fn show_aliases(aliases: &[Alias]) -> Value {
    aliases.iter().map(|alias| format!("{:?} {}", alias.kind, alias.value)).collect()
}

fn show_event(event: &NewEvent) -> Value {
    let place = match &event.placement {
        Placement::Sender(sender) => json!({
            "channel": sender.channel,
            "aliases": show_aliases(&sender.aliases),
            "name": sender.name,
            "group": sender.group,
        }),
        Placement::Nowhere => json!("nowhere"),
        Placement::Group { channel, group } => json!({"channel": channel, "group": group}),
        Placement::Conversation(id) => json!(id),
    };
    let hash: String = event.key.hash.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "key": format!("{} {hash}", event.key.at),
        "place": place,
        "happened_at": event.happened_at.to_string(),
        "opens_window": event.opens_window,
        "answer": event.keyword.as_ref().map(|keyword| json!({"word": keyword.keyword, "answer": keyword.reply})),
        "body": event.body,
    })
}

fn snapshot(fixtures: &serde_json::Map<String, Value>) -> String {
    let app = app();
    let mut all = String::new();
    for (name, webhook) in fixtures {
        let parsed = receive(&app, webhook.to_string().as_bytes());
        all.push_str(&format!("## {name}\n{:#}\n\n", show(&parsed)));
    }
    all
}

#[test]
fn metas_examples() {
    insta::assert_snapshot!(snapshot(&metas_webhooks()));
}

#[test]
fn our_examples() {
    insta::assert_snapshot!(snapshot(&our_webhooks()));
}

fn message(id: &str, text: &str) -> Value {
    json!({"from": "16505551234", "id": id, "timestamp": "1749416383", "type": "text", "text": {"body": text}})
}

fn webhook(number: &str, messages: &[Value]) -> Value {
    json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{"field": "messages", "value": {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550783881", "phone_number_id": number},
        "contacts": [{"profile": {"name": "Sheena Nelson"}, "wa_id": "16505551234"}],
        "messages": messages,
    }}]}]})
}

fn events(webhook: &Value) -> Vec<NewEvent> {
    receive(&app(), webhook.to_string().as_bytes()).events
}

#[test]
fn redelivered_element_has_the_same_key_in_another_batch() {
    let alone = events(&webhook(NUMBER, &[message("wamid.1", "hi")]));
    let among =
        events(&webhook(NUMBER, &[message("wamid.0", "oh"), message("wamid.1", "hi"), message("wamid.2", "hi")]));
    assert_eq!(alone[0].key, among[1].key);
    let keys: std::collections::HashSet<_> = among.iter().map(|event| event.key).collect();
    assert_eq!(keys.len(), 3);

    let first = r#"{"entry":[{"id":"1","time":5,"changes":[{"field":"security","value":{"event":"PIN_CHANGED","requester":"\u00e4/"}}]}]}"#;
    let again = r#"{"entry":[{"changes":[{"value":{"requester":"ä\/","event":"PIN_CHANGED"},"field":"security"}],"time":5,"id":"1"}]}"#;
    let later = first.replace("\"time\":5", "\"time\":6");
    let key = |text: &str| receive(&app(), text.as_bytes()).events[0].key;
    assert_eq!(key(first), key(again));
    assert_ne!(key(first), key(&later));
}

#[test]
fn message_for_an_unknown_number_has_another_key_than_for_a_configured_one() {
    let unknown = events(&webhook("999", &[message("wamid.1", "hi")]));
    let configured = events(&webhook(NUMBER, &[message("wamid.1", "hi")]));
    assert!(matches!(&unknown[0].body, EventBody::Unrouted { kind, .. } if kind == "messages/unknown-number"));
    assert_eq!(unknown[0].placement, Placement::Nowhere);
    assert_ne!(unknown[0].key, configured[0].key);
}

#[test]
fn body_that_is_not_a_webhook_is_rejected_byte_for_byte() {
    let app = app();
    for (body, error) in [
        (&b""[..], "not JSON"),
        (b"hello", "not JSON"),
        (b"{\"entry\":[}", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[]", "`entry`"),
        (b"{}", "`entry`"),
        (b"null", "`entry`"),
        (b"{\"entry\":{}}", "`entry`"),
    ] {
        let parsed = receive(&app, body);
        assert_eq!((parsed.events.len(), parsed.counts.rejected), (0, 1), "{body:?}");
        let rejected = &parsed.rejected[0];
        assert_eq!(
            (rejected.app.as_str(), rejected.code.as_str(), &rejected.body[..]),
            ("main", "webhook-unreadable", body)
        );
        assert!(rejected.error.contains(error), "{}", rejected.error);
        assert_eq!(parsed, receive(&app, body), "a redelivery is parsed in the same way");
    }
    let long = receive(&app, &vec![b'x'; BODY_LIMIT_BYTES]);
    assert_eq!(long.rejected[0].body.len(), BODY_LIMIT_BYTES);
}

#[test]
fn malformed_part_is_rejected_and_the_rest_is_parsed() {
    let app = app();
    let mut body = webhook(NUMBER, &[message("wamid.1", "hi"), json!({"type": "text"}), message("wamid.3", "there")]);
    let value = &mut body["entry"][0]["changes"][0]["value"];
    value["statuses"] = json!([{"id": "wamid.9"}, {"id": "wamid.8", "status": "sent", "timestamp": "1"}, 7]);
    value["errors"] = json!("none");
    let changes = body["entry"][0]["changes"].as_array_mut().unwrap();
    changes.push(json!({"value": {}}));
    changes.push(json!({"field": "account_update", "value": []}));
    changes.push(json!({"field": "user_preferences", "value": {"metadata": {"phone_number_id": NUMBER}}}));
    body["entry"].as_array_mut().unwrap().push(json!({"id": "2"}));
    let parsed = receive(&app, body.to_string().as_bytes());
    assert_eq!((parsed.events.len(), parsed.receipts.len()), (2, 1));
    let errors: Vec<&str> = parsed.rejected.iter().map(|rejected| rejected.error.as_str()).collect();
    assert_eq!(
        errors,
        [
            "`errors` must be an array, but is a string",
            "in `messages`: a message has no `id`",
            "in `statuses`: a status has no `status`",
            "in `statuses`: a status has no `id`",
            "a change has no `field`",
            "the `value` of a `account_update` change must be an object, but is an array",
            "a `user_preferences` change has no array `user_preferences`",
            "an entry has no array `changes`",
        ]
    );
    // Each contains its part and the sender, and nothing that became an event.
    let part: Value = serde_json::from_slice(&parsed.rejected[1].body).unwrap();
    let value = &part["entry"][0]["changes"][0]["value"];
    assert_eq!((&value["messages"], value.get("statuses")), (&json!([{"type": "text"}]), None));
    assert_eq!(
        (&value["metadata"]["phone_number_id"], &value["contacts"][0]["wa_id"]),
        (&json!(NUMBER), &json!("16505551234"))
    );
}

#[test]
fn unpaired_surrogate_does_not_lose_messages() {
    let body = webhook(NUMBER, &[message("wamid.1", "hi HALF"), message("wamid.2", "there")]).to_string();
    let events = receive(&app(), body.replace("HALF", "\\ud83d").as_bytes()).events;
    assert_eq!(events.len(), 2);
    assert!(events[0].body.kind() == beadle_model::EventKind::Message);
}

#[test]
fn large_and_deeply_nested_webhooks_are_parsed() {
    let messages: Vec<_> = (0..1000).map(|n| message(&format!("wamid.{n}"), "hi")).collect();
    assert_eq!(events(&webhook(NUMBER, &messages)).len(), 1000);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let body = webhook(NUMBER, &[message("wamid.1", "DEEP"), message("wamid.2", "hi")]).to_string();
    let parsed = receive(&app(), body.replace("\"DEEP\"", &deep).as_bytes());
    assert_eq!((parsed.counts.messages, parsed.counts.other_content), (2, 1));
    let stored = serde_json::to_string(&parsed.events[0].body).unwrap();
    assert_eq!(serde_json::from_str::<EventBody>(&stored).unwrap(), parsed.events[0].body);
}

#[test]
fn every_event_survives_serialisation() {
    for (name, webhook) in webhooks() {
        for event in events(&webhook) {
            let stored = serde_json::to_string(&event.body).unwrap();
            assert_eq!(serde_json::from_str::<EventBody>(&stored).unwrap(), event.body, "{name}");
        }
    }
}

/// Plugins see a contact's id and name, not the identities by which the platform knows them. The exception is the answer
/// to a contact request, whose content is the sender's own number.
#[test]
fn events_do_not_contain_the_senders_number() {
    for (name, webhook) in webhooks().into_iter().filter(|(name, _)| name != "Answer to a contact request") {
        for event in events(&webhook).iter().filter(|event| event.placement != Placement::Nowhere) {
            let body = serde_json::to_string(&event.body).unwrap();
            for secret in ["16505551234", "12195555358", "15550783881", "US."] {
                assert!(!body.contains(secret), "{name}: {body}");
            }
        }
    }
}

#[test]
fn only_receipts_with_our_installation_tag_name_our_messages() {
    let parsed = receive(&app(), webhooks()["Statuses"].to_string().as_bytes());
    let ours = parsed.receipts.iter().filter(|receipt| matches!(receipt.message, ReceiptFor::Ours(..))).count();
    assert_eq!((parsed.receipts.len(), ours), (6, 3));
    assert!(parsed.receipts.is_sorted_by_key(|receipt| receipt.at));
}

#[test]
fn unsigned_and_oversized_webhooks_are_refused() {
    let (app, body) = (app(), br#"{"object":"whatsapp_business_account","entry":[]}"#);
    let vector = "sha256=c84a394cc475525991e78ff16e430b02e47f953877d2af0ade26956ce6f384dc";
    assert_eq!(signature(SECRET, body), vector);
    assert_eq!(app.receive(Some(vector), body, NOW).unwrap(), Default::default());
    for (signature, body) in [(None, &body[..]), (Some("sha256="), body), (Some(vector), &body[1..]), (Some(""), b"")] {
        assert_eq!(app.receive(signature, body, NOW), Err(WebhookError::BadSignature));
    }
    let large = vec![b' '; BODY_LIMIT_BYTES + 1];
    let refused = app.receive(Some(&signature(SECRET, &large)), &large, NOW).unwrap_err();
    assert_eq!((refused, refused.status()), (WebhookError::TooLarge(BODY_LIMIT_BYTES + 1), 413));
    assert_eq!(WebhookError::BadSignature.status(), 403);
}

#[test]
fn app_without_secret_refuses_everything() {
    let app = beadle_whatsapp::App::new(beadle_whatsapp::AppConfig {
        name: "main".into(),
        verify_token: beadle_whatsapp::Secret::new(""),
        app_secret: beadle_whatsapp::Secret::new(""),
        channels: Default::default(),
        accounts: Default::default(),
        install: "c0ffee11".into(),
        brand: "The Potters".into(),
        language: beadle_model::keyword::Language::En,
        language_from_number: false,
    });
    assert_eq!(app.receive(Some(&signature(SECRET, b"{}")), b"{}", Timestamp(0)), Err(WebhookError::NoSecret));
    let handshake = "hub.mode=subscribe&hub.challenge=1&hub.verify_token=";
    assert_eq!(app.handshake(handshake), Err(WebhookError::BadHandshake));
}

#[test]
fn handshake_requires_mode_challenge_and_token() {
    let app = app();
    for right in [
        "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=open%20sesame",
        "hub.verify_token=open+sesame&hub.mode=subscribe&hub.challenge=1158201444&more=1",
    ] {
        assert_eq!(app.handshake(right).as_deref(), Ok("1158201444"));
    }
    for wrong in [
        "",
        "hub.mode=subscribe&hub.challenge=1",
        "hub.mode=subscribe&hub.verify_token=open+sesame",
        "hub.mode=unsubscribe&hub.challenge=1&hub.verify_token=open+sesame",
        "hub.mode=subscribe&hub.challenge=1&hub.verify_token=close+sesame",
        "#hub.mode=subscribe&hub.challenge=1&hub.verify_token=open+sesame",
        "%%%&&&===",
    ] {
        assert_eq!(app.handshake(wrong), Err(WebhookError::BadHandshake), "{wrong}");
    }
}
