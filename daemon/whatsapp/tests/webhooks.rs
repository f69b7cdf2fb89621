//! What becomes of webhooks: Meta's own examples and ours as snapshots, and the promises that hold for all of them.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking, in its helpers too")]

mod support;

use beadle_model::{Alias, EventBody, Timestamp};
use beadle_store::step::{NewEvent, Place, ReceiptFor};
use beadle_whatsapp::{BODY_LIMIT_BYTES, Parsed, WebhookError};
use serde_json::{Value, json};
use support::{NOW, NUMBER, app, fixtures, receive, sign, webhooks};

/// As people read it in a snapshot.
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
            ("participant", names(&receipt.participant)),
            ("recipient", names(&receipt.recipient)),
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
        "letters": parsed.letters.iter().map(|letter| format!("{}: {}", letter.code, letter.error)).collect::<Vec<_>>(),
        "counts": format!("{:?}", parsed.counts),
    })
}

fn names(aliases: &[Alias]) -> Value {
    aliases.iter().map(|alias| format!("{:?} {}", alias.kind, alias.value)).collect()
}

fn show_event(event: &NewEvent) -> Value {
    let place = match &event.place {
        Place::Sender(sender) => json!({
            "channel": sender.channel,
            "aliases": names(&sender.aliases),
            "name": sender.name,
            "group": sender.group,
        }),
        Place::Nowhere => json!("nowhere"),
        Place::Group { channel, group } => json!({"channel": channel, "group": group}),
        Place::Conversation(id) => json!(id),
    };
    let hash: String = event.key.hash.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "key": format!("{} {hash}", event.key.at),
        "place": place,
        "happened_at": event.happened_at.to_string(),
        "opens_window": event.opens_window,
        "answer": event.word.as_ref().map(|said| json!({"word": said.word, "answer": said.answer})),
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
fn metas_own_examples() {
    insta::assert_snapshot!(snapshot(&fixtures(include_str!("fixtures/meta/webhooks.json"))));
}

#[test]
fn what_those_examples_leave_out() {
    insta::assert_snapshot!(snapshot(&fixtures(include_str!("fixtures/more.json"))));
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
fn what_comes_again_has_the_same_key_in_other_company_and_other_words() {
    let alone = events(&webhook(NUMBER, &[message("wamid.1", "hi")]));
    let among =
        events(&webhook(NUMBER, &[message("wamid.0", "oh"), message("wamid.1", "hi"), message("wamid.2", "hi")]));
    assert_eq!(alone[0].key, among[1].key);
    let keys: std::collections::HashSet<_> = among.iter().map(|event| event.key).collect();
    assert_eq!(keys.len(), 3);

    let news = r#"{"entry":[{"id":"1","time":5,"changes":[{"field":"security","value":{"event":"PIN_CHANGED","requester":"\u00e4/"}}]}]}"#;
    let again = r#"{"entry":[{"changes":[{"value":{"requester":"ä\/","event":"PIN_CHANGED"},"field":"security"}],"time":5,"id":"1"}]}"#;
    let later = news.replace("\"time\":5", "\"time\":6");
    let key = |text: &str| receive(&app(), text.as_bytes()).events[0].key;
    assert_eq!(key(news), key(again));
    assert_ne!(key(news), key(&later));
}

#[test]
fn a_number_that_is_configured_later_gets_its_message_when_it_comes_again() {
    let stray = events(&webhook("999", &[message("wamid.1", "hi")]));
    let found = events(&webhook(NUMBER, &[message("wamid.1", "hi")]));
    assert!(matches!(&stray[0].body, EventBody::Unrouted { kind, .. } if kind == "messages/unknown-number"));
    assert_eq!(stray[0].place, Place::Nowhere);
    assert_ne!(stray[0].key, found[0].key);
}

#[test]
fn a_body_that_is_no_webhook_is_a_letter_byte_for_byte() {
    let app = app();
    for (body, why) in [
        (&b""[..], "no JSON"),
        (b"hello", "no JSON"),
        (b"{\"entry\":[}", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[]", "`entry`"),
        (b"{}", "`entry`"),
        (b"null", "`entry`"),
        (b"{\"entry\":{}}", "`entry`"),
    ] {
        let parsed = receive(&app, body);
        assert_eq!((parsed.events.len(), parsed.counts.unreadable), (0, 1), "{body:?}");
        let letter = &parsed.letters[0];
        assert_eq!((letter.app.as_str(), letter.code.as_str(), &letter.body[..]), ("main", "webhook-unreadable", body));
        assert!(letter.error.contains(why), "{}", letter.error);
        assert_eq!(parsed, receive(&app, body), "and is the same when it comes again");
    }
    let long = receive(&app, &vec![b'x'; BODY_LIMIT_BYTES]);
    assert_eq!(long.letters[0].body.len(), BODY_LIMIT_BYTES);
}

#[test]
fn a_part_that_makes_no_sense_is_a_letter_and_the_rest_is_heard() {
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
    let errors: Vec<&str> = parsed.letters.iter().map(|letter| letter.error.as_str()).collect();
    assert_eq!(
        errors,
        [
            "`errors` is a text, and no list",
            "in `messages`: a message without an `id`",
            "in `statuses`: a status that does not say what it is",
            "in `statuses`: a status without an `id`",
            "a change without a `field`",
            "a change of `account_update` whose `value` is a list, and no object",
            "a change of `user_preferences` without a list `user_preferences`",
            "an entry without a list `changes`",
        ]
    );
    // Each holds its part and whom it is from, and nothing that was taken in.
    let part: Value = serde_json::from_slice(&parsed.letters[1].body).unwrap();
    let value = &part["entry"][0]["changes"][0]["value"];
    assert_eq!((&value["messages"], value.get("statuses")), (&json!([{"type": "text"}]), None));
    assert_eq!(
        (&value["metadata"]["phone_number_id"], &value["contacts"][0]["wa_id"]),
        (&json!(NUMBER), &json!("16505551234"))
    );
}

#[test]
fn half_an_emoji_costs_nobody_a_message() {
    let body = webhook(NUMBER, &[message("wamid.1", "hi HALF"), message("wamid.2", "there")]).to_string();
    let events = receive(&app(), body.replace("HALF", "\\ud83d").as_bytes()).events;
    assert_eq!(events.len(), 2);
    assert!(events[0].body.kind() == beadle_model::EventKind::Message);
}

#[test]
fn a_thousand_updates_and_any_depth() {
    let messages: Vec<_> = (0..1000).map(|n| message(&format!("wamid.{n}"), "hi")).collect();
    assert_eq!(events(&webhook(NUMBER, &messages)).len(), 1000);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let body = webhook(NUMBER, &[message("wamid.1", "DEEP"), message("wamid.2", "hi")]).to_string();
    let parsed = receive(&app(), body.replace("\"DEEP\"", &deep).as_bytes());
    assert_eq!((parsed.counts.messages, parsed.counts.others), (2, 1));
    let stored = serde_json::to_string(&parsed.events[0].body).unwrap();
    assert_eq!(serde_json::from_str::<EventBody>(&stored).unwrap(), parsed.events[0].body);
}

#[test]
fn every_event_is_read_again_as_it_was_stored() {
    for (name, webhook) in webhooks() {
        for event in events(&webhook) {
            let stored = serde_json::to_string(&event.body).unwrap();
            assert_eq!(serde_json::from_str::<EventBody>(&stored).unwrap(), event.body, "{name}");
        }
    }
}

/// Plugins are told a contact's id and name; what names them to the platform stays with the host. A card with their own
/// number that somebody sends, who was asked for it, is what they say.
#[test]
fn no_event_for_plugins_tells_a_senders_number() {
    for (name, webhook) in webhooks().into_iter().filter(|(name, _)| name != "A contact who was asked for") {
        for event in events(&webhook).iter().filter(|event| event.place != Place::Nowhere) {
            let told = serde_json::to_string(&event.body).unwrap();
            for secret in ["16505551234", "12195555358", "15550783881", "US."] {
                assert!(!told.contains(secret), "{name}: {told}");
            }
        }
    }
}

#[test]
fn only_our_installation_s_receipts_name_our_messages() {
    let parsed = receive(&app(), webhooks()["Statuses"].to_string().as_bytes());
    let ours = parsed.receipts.iter().filter(|receipt| matches!(receipt.message, ReceiptFor::Ours(..))).count();
    assert_eq!((parsed.receipts.len(), ours), (6, 3));
    assert!(parsed.receipts.is_sorted_by_key(|receipt| receipt.at));
}

#[test]
fn who_may_send_a_webhook() {
    let (app, body) = (app(), br#"{"object":"whatsapp_business_account","entry":[]}"#);
    let vector = "sha256=c84a394cc475525991e78ff16e430b02e47f953877d2af0ade26956ce6f384dc";
    assert_eq!(sign(body), vector);
    assert_eq!(app.receive(Some(vector), body, NOW).unwrap(), Default::default());
    for (signature, body) in [(None, &body[..]), (Some("sha256="), body), (Some(vector), &body[1..]), (Some(""), b"")] {
        assert_eq!(app.receive(signature, body, NOW), Err(WebhookError::BadSignature));
    }
    let large = vec![b' '; BODY_LIMIT_BYTES + 1];
    let refused = app.receive(Some(&sign(&large)), &large, NOW).unwrap_err();
    assert_eq!((refused, refused.status()), (WebhookError::TooLarge(BODY_LIMIT_BYTES + 1), 413));
    assert_eq!(WebhookError::BadSignature.status(), 403);
}

#[test]
fn without_a_secret_all_are_refused() {
    let app = beadle_whatsapp::App::new(beadle_whatsapp::AppConfig {
        name: "main".into(),
        verify_token: beadle_whatsapp::Secret::new(""),
        app_secret: beadle_whatsapp::Secret::new(""),
        channels: Default::default(),
        accounts: Default::default(),
        install: "c0ffee11".into(),
        brand: "The Potters".into(),
        language: beadle_model::word::Language::En,
        language_from_number: false,
    });
    assert_eq!(app.receive(Some(&sign(b"{}")), b"{}", Timestamp(0)), Err(WebhookError::NoSecret));
    let asked = "hub.mode=subscribe&hub.challenge=1&hub.verify_token=";
    assert_eq!(app.handshake(asked), Err(WebhookError::BadHandshake));
}

#[test]
fn the_handshake() {
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
