//! Click-to-WhatsApp advertisements: the referral of the message, and the end of the free window,
//! which only the receipts of our replies carry (docs/whatsapp.md#free-entry-points).

use crate::webhook_env::{NUMBER, app, receive};
use beadle_model::{EventBody, Timestamp};
use serde_json::{Value, json};

/// A `messages` change with one element in this array.
fn change(array: &str, element: Value) -> String {
    let value = json!({"metadata": {"phone_number_id": NUMBER}, array: [element]});
    json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{"field": "messages", "value": value}]}]})
        .to_string()
}

/// The referral and the `extra` of a message with this referral.
fn parse_referral(referral: Value) -> (Value, Value) {
    let message = json!({"from": "16505551234", "id": "wamid.1", "timestamp": "1749416383", "type": "text",
        "text": {"body": "hi"}, "referral": referral});
    let parsed = receive(&app(), change("messages", message).as_bytes());
    let event = parsed.events.into_iter().next().unwrap();
    assert!(event.opens_window);
    let EventBody::Message { referral, extra, .. } = event.body else { panic!("{:?}", event.body) };
    (serde_json::to_value(referral).unwrap(), extra)
}

#[test]
fn referral_has_the_click_id_and_keeps_other_members() {
    let (parsed, extra) = parse_referral(json!({
        "source_url": "https://fb.me/3cr4Wqqkv", "source_id": "120226305854810726", "source_type": "ad", "body": "Summer pots",
        "headline": "Chat with us", "media_type": "image", "image_url": "https://example.org/a", "ctwa_clid": "Aff-n8ZT",
        "welcome_message": {"text": "Hi there!"},
    }));
    assert_eq!(
        parsed,
        json!({"source_url": "https://fb.me/3cr4Wqqkv", "source_id": "120226305854810726", "source_type": "ad",
        "headline": "Chat with us", "body": "Summer pots", "click_id": "Aff-n8ZT"})
    );
    assert_eq!(
        extra,
        json!({"referral": {"media_type": "image", "image_url": "https://example.org/a",
        "welcome_message": {"text": "Hi there!"}}})
    );
    // Advertisements in a Status have no click id; Meta's examples have numbers for strings.
    let (parsed, extra) = parse_referral(json!({"source_id": 120_226_305_854_810_726_u64, "source_type": "post"}));
    assert_eq!((&parsed["source_id"], &parsed["source_type"]), (&json!("120226305854810726"), &json!("post")));
    assert_eq!((&parsed["click_id"], &parsed["source_url"]), (&Value::Null, &Value::Null));
    assert_eq!(extra, Value::Null);
}

#[test]
fn only_receipts_of_a_free_conversation_have_a_free_until_time() {
    let ends = Timestamp(1_750_116_480_000);
    let conversation =
        |origin: &str, expires: Value| json!({"id": "c", "origin": {"type": origin}, "expiration_timestamp": expires});
    let free = json!({"billable": false, "pricing_model": "PMP", "type": "free_entry_point", "category": "referral_conversion"});
    let regular = json!({"billable": true, "pricing_model": "PMP", "type": "regular", "category": "service"});
    let stamp = json!("1750116480");
    for (case, conversation, pricing, until) in [
        ("as documented", Some(conversation("referral_conversion", stamp.clone())), Some(&free), Some(ends)),
        (
            "a number for a string",
            Some(conversation("referral_conversion", json!(1_750_116_480))),
            Some(&free),
            Some(ends),
        ),
        ("by its pricing alone", Some(conversation("service", stamp.clone())), Some(&free), Some(ends)),
        ("by its origin alone", Some(conversation("referral_conversion", stamp.clone())), None, Some(ends)),
        (
            "delivered, without an end",
            Some(json!({"id": "c", "origin": {"type": "referral_conversion"}})),
            Some(&free),
            None,
        ),
        ("no conversation", None, Some(&free), None),
        (
            "a conversation of an older API version, which is not a window",
            Some(conversation("service", stamp)),
            Some(&regular),
            None,
        ),
    ] {
        let mut status =
            json!({"id": "wamid.1", "status": "sent", "timestamp": "1750030073", "recipient_id": "16505551234"});
        for (name, value) in [("conversation", conversation.as_ref()), ("pricing", pricing)] {
            if let (Some(value), Some(status)) = (value, status.as_object_mut()) {
                status.insert(name.to_owned(), value.clone());
            }
        }
        let parsed = receive(&app(), change("statuses", status).as_bytes());
        assert_eq!(parsed.receipts.first().unwrap().free_entry_until, until, "{case}");
    }
}
