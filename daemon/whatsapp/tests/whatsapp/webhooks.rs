//! Parsing of webhooks: snapshots of Meta's examples and ours, and properties that hold for all of
//! them.

use crate::webhook_env::{NOW, NUMBER, SECRET, app, metas_webhooks, our_webhooks, receive, webhooks};
use beadle_model::{Alias, AliasKind, Content, EventBody, Keyword, Timestamp};
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
        let mut json_receipt = json!({"message": message, "status": receipt.status, "at": receipt.at.to_string()});
        for (name, value) in [
            ("problem", json!(receipt.problem)),
            ("pricing", json!(receipt.pricing)),
            ("participant", show_aliases(&receipt.participant)),
            ("recipient", show_aliases(&receipt.recipient)),
            ("extra", receipt.extra.clone()),
        ] {
            if !value.is_null() && value != json!([]) {
                json_receipt[name] = value;
            }
        }
        json_receipt
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
    let hash = beadle_model::text::hex(event.key.hash);
    json!({
        "key": format!("{} {hash}", event.key.at),
        "place": place,
        "happened_at": event.happened_at.to_string(),
        "opens_window": event.opens_window,
        "answer": event.keyword.as_ref().map(|word| json!({"keyword": word.keyword, "answer": reply_to(word)})),
        "body": event.body,
    })
}

/// The reply in the language of the word, else in English.
fn reply_to(word: &beadle_store::step::KeywordMatch) -> Option<&beadle_model::Outgoing> {
    let language = word.language.unwrap_or(beadle_model::keyword::Language::En);
    word.replies.iter().find(|(spoken, _)| *spoken == language).map(|(_, reply)| reply)
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
fn metas_examples_keep_their_meaning() {
    insta::assert_snapshot!(snapshot(&metas_webhooks()));
}

#[test]
fn our_examples_keep_their_meaning() {
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

/// The events of one message; the members `id`, `from` and `timestamp` are filled in.
fn one(mut element: Value) -> NewEvent {
    for (name, value) in [("id", "wamid.X"), ("from", "15550100001"), ("timestamp", "1795293360")] {
        if element.get(name).is_none() {
            element[name] = json!(value);
        }
    }
    let events = events(&webhook(NUMBER, &[element]));
    assert_eq!(events.len(), 1);
    events.into_iter().next().unwrap()
}

fn aliases(event: &NewEvent) -> Vec<(AliasKind, &str)> {
    let Placement::Sender(sender) = &event.placement else { panic!("{event:?}") };
    sender.aliases.iter().map(|alias| (alias.kind, alias.value.as_str())).collect()
}

fn content(event: &NewEvent) -> (&Content, &Value) {
    let EventBody::Message { content, extra, .. } = &event.body else { panic!("{event:?}") };
    (content, extra)
}

fn statuses(status: Value) -> Parsed {
    let value = json!({"messaging_product": "whatsapp", "metadata": {"phone_number_id": NUMBER}, "statuses": [status]});
    let body = json!({"object": "whatsapp_business_account",
        "entry": [{"id": "1", "changes": [{"field": "messages", "value": value}]}]});
    receive(&app(), body.to_string().as_bytes())
}

#[test]
fn changed_number_is_read_in_every_documented_form() {
    for system in [
        json!({"type": "user_changed_number", "new_wa_id": "15550100002"}),
        json!({"type": "user_changed_number", "wa_id": "15550100002"}),
        json!({"type": "user_changed_number", "body": "Cy changed from \u{200e}+15550100001 to +15550100002\u{200e}"}),
        json!({"type": "customer_changed_number", "wa_id": "15550100002", "customer": "15550100001"}),
        json!({"body": "User Cy changed from 15550100001 to 15550100002."}),
        json!({"type": "changed_number", "wa_id": "15550100002"}),
        json!({"type": "USER_CHANGED_NUMBER", "wa_id": "+1 555 010 0002"}),
        json!({"type": "moved", "new_wa_id": "15550100002"}),
        json!({"type": "moved", "body": "Cy changed from 15550100001 to 15550100002"}),
        json!({"type": null, "new_wa_id": "15550100002"}),
        json!({"new_wa_id": "15550100002"}),
        json!({"wa_id": "15550100002", "body": "Cy heeft een nieuw nummer"}),
        json!({"type": "user_changed_number", "body": "Cy changed from +1 555 010-0001 to +1 555 010-0002"}),
        json!({"type": "user_changed_number",
            "body": "Cy\u{a0}changed\u{a0}from\u{a0}15550100001\u{a0}to\u{a0}1\u{202f}555\u{202f}0100002"}),
        json!({"type": "user_changed_number", "body": "Cy changed from\u{200e} 15550100001 to\u{200e} 15550100002"}),
    ] {
        let event = one(json!({"type": "system", "system": system}));
        assert_eq!(aliases(&event)[0], (AliasKind::WaId, "15550100002"), "{system}");
        assert!(aliases(&event).contains(&(AliasKind::Phone, "15550100001")), "{system}");
        let EventBody::ContactChanged { change, extra, .. } = &event.body else { panic!("{system}") };
        assert_eq!((change.as_str(), extra), ("number-changed", &Value::Null));
    }
}

#[test]
fn notice_that_changes_nothing_of_a_person_is_no_change() {
    for system in [
        json!({"body": "Messages are end-to-end encrypted", "wa_id": "15550100001"}),
        json!({"type": "user_joined", "wa_id": "15550100002"}),
        json!({"type": "user_joined", "body": "Cy changed from you to all of us"}),
    ] {
        let event = one(json!({"type": "system", "system": system}));
        assert!(matches!(event.body, EventBody::Message { .. }), "{system}");
        assert!(aliases(&event).iter().all(|(_, value)| *value == "15550100001"), "{system}");
    }
}

#[test]
fn new_number_precedes_the_user_id_of_the_old_one() {
    let system = json!({"type": "user_changed_number", "wa_id": "15550100002"});
    let event = one(json!({"type": "system", "from_user_id": "US.1001", "system": system}));
    assert_eq!(aliases(&event)[0].1, "15550100002");
    let system = json!({"type": "user_changed_number", "wa_id": "15550100002", "user_id": "US.1002"});
    let event = one(json!({"type": "system", "from_user_id": "US.1001", "system": system}));
    assert_eq!(aliases(&event)[..2], [(AliasKind::UserId, "US.1002"), (AliasKind::WaId, "15550100002")]);
}

#[test]
fn invisible_characters_make_no_other_person() {
    let event =
        one(json!({"from": "\u{200e}+1555\u{ad}0100001", "from_user_id": "US.10\u{200d}01\u{200e}", "type": "text",
        "text": {"body": "hi"}}));
    assert_eq!(aliases(&event), [(AliasKind::UserId, "US.1001"), (AliasKind::Phone, "15550100001")]);
}

#[test]
fn message_with_an_id_of_another_scope_is_the_same_message() {
    // The same token after a number and after a user id.
    let by_number = "wamid.HBgLMTU1NTAxMDAwMDEVAgARGCAwQTFCMkMzRDRFNUY2MDcxODI5M0E0QjVDNkQ3RThGOQA=";
    let by_user_id = "wamid.HBgITkwuMTAwMDEVAgARGCAwQTFCMkMzRDRFNUY2MDcxODI5M0E0QjVDNkQ3RThGOQA=";
    let other = "wamid.HBgLMTU1NTAxMDAwMDEVAgARGCAxQTFCMkMzRDRFNUY2MDcxODI5M0E0QjVDNkQ3RThGOQA=";
    let key_of = |id: &str| events(&webhook(NUMBER, &[message(id, "hi")]))[0].key;
    assert_eq!(key_of(by_number), key_of(by_user_id));
    assert_ne!(key_of(by_number), key_of(other));
}

#[test]
fn changed_user_id_is_read_from_the_sentence() {
    let body = "User Cy changed from US.1001 to \u{200e}US.1002\u{200e}";
    let event = one(json!({"type": "system", "system": {"type": "user_changed_user_id", "body": body}}));
    let found = aliases(&event);
    assert_eq!(found[..2], [(AliasKind::UserId, "US.1002"), (AliasKind::UserId, "US.1001")]);
}

#[test]
fn user_id_in_place_of_a_number_is_a_user_id() {
    let event =
        one(json!({"from": "PT.70012345", "from_user_id": "PT.70012345", "type": "text", "text": {"body": "hi"}}));
    assert_eq!(aliases(&event), [(AliasKind::UserId, "PT.70012345")]);
    let event = one(json!({"from": "+15550100001", "type": "text", "text": {"body": "hi"}}));
    assert_eq!(aliases(&event), [(AliasKind::Phone, "15550100001")]);
}

#[test]
fn user_id_in_place_of_a_number_is_a_user_id_everywhere() {
    let id = "PT.70012345";
    let change = |field: &str, mut value: Value| {
        value["metadata"] = json!({"phone_number_id": NUMBER});
        json!({"entry": [{"changes": [{"field": field, "value": value}]}]})
    };
    let text = json!({"id": "wamid.E", "timestamp": "1", "type": "text", "text": {"body": "hi"}, "to": id});
    let joined = json!({"group_id": "G", "timestamp": "1", "type": "group_participants_add",
        "added_participants": [{"wa_id": id}]});
    let asked = json!({"group_id": "G", "timestamp": "1", "type": "group_join_request_created",
        "join_request_id": "R", "wa_id": id});
    let preference = json!({"wa_id": id, "category": "marketing_messages", "value": "stop", "timestamp": 1});
    for webhook in [
        change("smb_message_echoes", json!({"message_echoes": [text]})),
        change("group_participants_update", json!({"groups": [joined]})),
        change("group_participants_update", json!({"groups": [asked]})),
        change("user_preferences", json!({"user_preferences": [preference]})),
    ] {
        assert_eq!(aliases(&events(&webhook)[0]), [(AliasKind::UserId, id)], "{webhook}");
    }
    let parsed = statuses(json!({"id": "wamid.1", "status": "sent", "recipient_id": "G", "recipient_type": "group",
        "recipient_participant_id": id}));
    let participant = &parsed.receipts[0].participant;
    assert_eq!((participant[0].kind, participant[0].value.as_str()), (AliasKind::UserId, id));
}

#[test]
fn stop_on_a_button_counts_as_the_word() {
    for message in [
        json!({"type": "button", "button": {"payload": "STOP", "text": "Stop promotions"}}),
        json!({"type": "button", "button": {"payload": "opt", "text": "Stop"}}),
        json!({"type": "interactive", "interactive": {"type": "button_reply", "button_reply": {"id": "x", "title": "STOP"}}}),
        json!({"text": {"body": "Stop"}}),
        json!({"text": {"body": "Stop"}, "image": null}),
        json!({"type": "TEXT", "text": {"body": "Stop"}}),
        json!({"type": "text", "text": {"body": "S\u{200b}TOP"}}),
        json!({"type": "Button", "button": {"payload": "x", "text": "STOP"}}),
        json!({"type": "button", "button": {"payload": "ST\u{200b}OP", "text": "No more"}}),
        json!({"type": "interactive", "interactive": {"type": "button_reply", "button_reply": {"title": "Stop"}}}),
        json!({"type": "interactive", "interactive": {"type": "Button_Reply", "button_reply": {"id": "x", "title": "Stop"}}}),
        json!({"type": "interactive", "interactive": {"button_reply": {"id": "x", "title": "Stop"}, "list_reply": null}}),
        json!({"interactive": {"list_reply": {"id": "STOP"}}}),
    ] {
        assert_eq!(one(message.clone()).keyword.map(|found| found.keyword), Some(Keyword::Stop), "{message}");
    }
    let join = json!({"type": "button", "button": {"payload": "evening", "text": "Join"}});
    assert_eq!(one(join).keyword, None);
}

#[test]
fn missing_type_is_inferred_from_the_content() {
    let event = one(json!({"location": {"latitude": 58.38, "longitude": 26.72}}));
    assert!(matches!(content(&event).0, Content::Location(_)));
    for ambiguous in [json!({"text": {"body": "a"}, "image": {"id": "1"}}), json!({"hologram": {}})] {
        assert!(matches!(content(&one(ambiguous)).0, Content::Other { kind, .. } if kind == "unknown"));
    }
}

#[test]
fn null_counts_as_missing() {
    let event = one(json!({"type": "text", "text": {"body": "a"}, "context": null, "referral": null}));
    let EventBody::Message { context, referral, extra, .. } = &event.body else { panic!() };
    assert_eq!((context, referral, extra), (&None, &None, &Value::Null));
    let value = json!({"metadata": {"phone_number_id": NUMBER}, "messages": null, "statuses": null, "errors": null});
    let body = json!({"entry": [{"changes": [{"field": "messages", "value": value}]}]});
    assert_eq!(receive(&app(), body.to_string().as_bytes()), Parsed::default());
}

#[test]
fn members_without_a_representation_are_kept_in_extra() {
    let reply = json!({"name": "address_message", "body": "Portimao", "response_json": "{}"});
    let event = one(json!({"type": "interactive", "interactive": {"type": "nfm_reply", "nfm_reply": reply}}));
    assert_eq!(content(&event).1, &json!({"interactive": {"name": "address_message", "body": "Portimao"}}));
    let reply = json!({"response": "accept", "is_permanent": true, "response_source": "automatic"});
    let reply = json!({"type": "call_permission_reply", "call_permission_reply": reply});
    let event = one(json!({"type": "interactive", "interactive": reply}));
    assert_eq!(content(&event).1, &json!({"interactive": {"is_permanent": true, "response_source": "automatic"}}));
    let location = json!({"latitude": 1, "longitude": 2, "url": "https://example.org/quay"});
    let event = one(json!({"type": "location", "location": location}));
    assert_eq!(content(&event).1, &json!({"location": {"url": "https://example.org/quay"}}));
}

#[test]
fn order_with_an_unreadable_quantity_is_kept_as_received() {
    let item = |quantity: Value| json!({"product_retailer_id": "cup", "quantity": quantity});
    let order = |items: &[Value]| json!({"type": "order", "order": {"catalog_id": "5", "product_items": items}});
    let event = one(order(&[item(json!(2.0)), item(json!("3.0"))]));
    let Content::Order(read) = content(&event).0 else { panic!() };
    assert_eq!(read.items.iter().map(|item| item.quantity).collect::<Vec<_>>(), [2, 3]);
    let missing = json!({"product_retailer_id": "jug", "item_price": 9, "currency": "EUR"});
    assert!(matches!(content(&one(order(&[missing]))).0, Content::Other { kind, .. } if kind == "order"));
    for quantity in [Value::Null, json!("many"), json!(-2), json!(1.5)] {
        let event = one(order(&[item(quantity.clone())]));
        let Content::Other { kind, json } = content(&event).0 else { panic!("{quantity}") };
        assert_eq!((kind.as_str(), &json["product_items"][0]["quantity"]), ("order", &quantity));
    }
}

/// The name that an event has of a sender with this profile name.
fn name_of(profile_name: &str) -> Option<String> {
    let mut message = message("wamid.B", "hi");
    message["from"] = json!("15550100001");
    let value = json!({"metadata": {"phone_number_id": NUMBER}, "messages": [message],
        "contacts": [{"wa_id": "15550100001", "profile": {"name": profile_name}}]});
    let events = events(&json!({"entry": [{"changes": [{"field": "messages", "value": value}]}]}));
    let Placement::Sender(sender) = &events[0].placement else { panic!() };
    sender.name.clone()
}

#[test]
fn names_lose_invisible_characters() {
    let name =
        name_of("\u{202e}An\u{200b}n\u{2066} \u{5d0}\u{5d1} 👩\u{200d}🌾\u{2028}\u{e0041}\u{3164}\u{61c}\u{feff}");
    assert_eq!(name.as_deref(), Some("Ann \u{5d0}\u{5d1} 👩\u{200d}🌾"));
    assert_eq!(name_of("\u{200e}\u{200f}\u{3164}"), None);
}

#[test]
fn names_are_cut_at_arrival() {
    let name = name_of(&"🏺".repeat(10_000)).unwrap();
    assert_eq!(name, "🏺".repeat(128));
}

#[test]
fn preference_does_not_take_the_name_of_another_contact() {
    let preference = json!({"wa_id": "15550100009", "category": "marketing_messages", "value": "stop", "timestamp": 1});
    let value = json!({"metadata": {"phone_number_id": NUMBER},
        "contacts": [{"wa_id": "15550100001", "profile": {"name": "Ann"}}], "user_preferences": [preference]});
    let events = events(&json!({"entry": [{"changes": [{"field": "user_preferences", "value": value}]}]}));
    let Placement::Sender(sender) = &events[0].placement else { panic!() };
    assert_eq!(sender.name, None);
}

#[test]
fn receipt_keeps_further_reasons_without_naming_a_person() {
    let parsed = statuses(
        json!({"id": "wamid.1", "status": "failed", "timestamp": "1795293360", "recipient_id": "351910000207",
        "from": "351910000207", "message": {"recipient_id": "+351910000207"}, "errors": [
            {"code": 131051, "title": "Unsupported message type", "details": "This kind is not taken"},
            {"code": 131026, "title": "Message undeliverable"}]}),
    );
    let receipt = &parsed.receipts[0];
    let problem = receipt.problem.as_ref().unwrap();
    assert_eq!((problem.code.as_str(), problem.details.as_deref()), ("131051", Some("This kind is not taken")));
    assert_eq!(receipt.extra["errors"][0]["code"], 131026);
    assert!(!receipt.extra.to_string().contains("351910000207"), "{}", receipt.extra);
}

#[test]
fn every_error_of_a_receipt_is_read() {
    let codes = |errors: Value| {
        let parsed =
            statuses(json!({"id": "wamid.1", "status": "failed", "timestamp": "1795293360", "errors": errors}));
        let receipt = &parsed.receipts[0];
        receipt.problem.iter().chain(&receipt.further_problems).map(|problem| problem.code.clone()).collect::<Vec<_>>()
    };
    assert_eq!(codes(json!([{"code": 131026}, {"code": "131042"}])), ["131026", "131042"]);
    assert_eq!(codes(json!({"code": 131042, "title": "Payment"})), ["131042"]);
    assert_eq!(codes(json!([{"error": {"code": 131042}}])), ["131042"]);
    assert_eq!(codes(json!([null, {"code": 131042}])), ["131042"]);
    assert_eq!(codes(json!(null)), [""; 0]);
}

#[test]
fn unreadable_price_is_kept_as_received() {
    let pricing = json!({"billable": null, "pricing_model": "PMP"});
    let parsed = statuses(json!({"id": "wamid.1", "status": "sent", "timestamp": "1795293360", "pricing": pricing}));
    assert_eq!((&parsed.receipts[0].pricing, &parsed.receipts[0].extra["pricing"]), (&None, &pricing));
    let pricing = json!({"billable": null, "category": "utility"});
    let parsed = statuses(json!({"id": "wamid.1", "status": "sent", "timestamp": "1795293360", "pricing": pricing}));
    assert_eq!(parsed.receipts[0].pricing.as_ref().unwrap().billable, None);
}

fn group(field: &str, element: Value) -> EventBody {
    let value = json!({"metadata": {"phone_number_id": NUMBER}, "groups": [element]});
    let events = events(&json!({"entry": [{"changes": [{"field": field, "value": value}]}]}));
    events.into_iter().map(|event| event.body).find(|body| matches!(body, EventBody::GroupChanged(_))).unwrap()
}

#[test]
fn group_settings_without_flag_and_error_have_changed() {
    let element = |picture: Value| json!({"timestamp": "1", "group_id": "G", "type": "group_settings_update", "profile_picture": picture});
    for (picture, expected) in [
        (json!({"mime_type": "image/jpeg"}), "changed"),
        (json!({"update_successful": false}), "failed"),
        (json!({"errors": [{"code": 131209}]}), "failed"),
    ] {
        let EventBody::GroupChanged(notification) = group("group_settings_update", element(picture)) else { panic!() };
        assert_eq!(notification.change, expected);
    }
}

#[test]
fn reasons_of_members_that_were_not_removed_are_kept() {
    let failed = json!([{"input": "+351910000212", "errors": [{"code": 131212, "title": "Not a participant"}]}]);
    let element = json!({"timestamp": "1", "group_id": "G", "type": "group_participants_remove", "request_id": "R",
        "removed_participants": [{"input": "+351910000211"}], "failed_participants": failed, "errors": [{"code": 131201}]});
    let EventBody::GroupChanged(notification) = group("group_participants_update", element) else { panic!() };
    assert_eq!(notification.problem.unwrap().code, "131201");
    assert_eq!(notification.extra["failed"][0]["errors"][0]["code"], 131212);
    assert!(!notification.extra.to_string().contains("351910000212"));
    // For the store, which turns it into a contact.
    let [member] = &notification.failed[..] else { panic!("{:?}", notification.failed) };
    assert_eq!(member[0].value, "351910000212");
}

#[test]
fn webhook_about_another_object_is_not_rejected() {
    let body = br#"{"object":"page","entry":[{"id":"1","time":1,"messaging":[{}]}]}"#;
    assert_eq!(receive(&app(), body), Parsed { other_product: Some("page".into()), ..Parsed::default() });
}

#[test]
fn object_of_an_unexpected_type_does_not_cost_the_contents() {
    let mut body = webhook(NUMBER, &[message("wamid.O", "hi")]);
    for object in [json!(0), Value::Null, json!(["whatsapp_business_account"])] {
        body["object"] = object;
        assert_eq!(events(&body).len(), 1, "{}", body["object"]);
    }
}

#[test]
fn errors_and_kinds_quote_only_the_start_of_a_long_name() {
    let long = "x".repeat(100_000);
    let mut typed = message("wamid.L", "hi");
    typed["type"] = json!(long);
    for value in
        [json!(1), json!({}), json!({"metadata": {"phone_number_id": NUMBER}, "messages": [typed], (&long): 1})]
    {
        for field in [&long, "messages", &format!("group_{long}"), "smb_message_echoes"] {
            let body = json!({"object": "whatsapp_business_account", "entry": [{"changes": [{"field": field, "value": value}]}]});
            let parsed = receive(&app(), body.to_string().as_bytes());
            for rejected in &parsed.rejected {
                assert!(rejected.error.len() < 300, "{field:.20}: {}", rejected.error.len());
            }
            for event in &parsed.events {
                let kind = match &event.body {
                    EventBody::Unrouted { kind, .. } => kind,
                    EventBody::Message { content: Content::Other { kind, .. }, .. } => kind,
                    _ => continue,
                };
                assert!(kind.len() < 300, "{field:.20}: {}", kind.len());
            }
        }
    }
    let other = receive(&app(), json!({"object": long, "entry": []}).to_string().as_bytes());
    assert!(other.other_product.is_some_and(|object| object.len() < 300));
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

/// Plugins see a contact's id and name, not the identities by which the platform knows them. The
/// exception is the answer to a contact request, whose content is the sender's own number.
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
        own_words: Default::default(),
        topics: vec![],
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
