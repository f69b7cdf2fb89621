//! Who comes by an advertisement: what the message tells of it, and until when the platform then takes no money, which only
//! the receipts of our answers tell (whatsapp.md 5.2).

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

#[expect(dead_code, reason = "the fixtures are for other tests")]
mod support;

use beadle_model::{EventBody, Timestamp};
use serde_json::{Value, json};
use support::{NUMBER, app, receive};

/// A change of the field `messages`.
fn change(what: &str, element: Value) -> String {
    let value = json!({"metadata": {"phone_number_id": NUMBER}, what: [element]});
    json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{"field": "messages", "value": value}]}]})
        .to_string()
}

/// What a message that came by this advertisement tells plugins of it, and what else it keeps.
fn brought_by(referral: Value) -> (Value, Value) {
    let message = json!({"from": "16505551234", "id": "wamid.1", "timestamp": "1749416383", "type": "text",
        "text": {"body": "hi"}, "referral": referral});
    let told = receive(&app(), change("messages", message).as_bytes());
    let event = told.events.into_iter().next().unwrap();
    assert!(event.opens_window);
    let EventBody::Message { referral, extra, .. } = event.body else { panic!("{:?}", event.body) };
    (serde_json::to_value(referral).unwrap(), extra)
}

#[test]
fn an_advertisement_is_told_with_its_click_and_the_rest_of_it_is_kept() {
    let (told, rest) = brought_by(json!({
        "source_url": "https://fb.me/3cr4Wqqkv", "source_id": "120226305854810726", "source_type": "ad", "body": "Summer pots",
        "headline": "Chat with us", "media_type": "image", "image_url": "https://example.org/a", "ctwa_clid": "Aff-n8ZT",
        "welcome_message": {"text": "Hi there!"},
    }));
    assert_eq!(
        told,
        json!({"source_url": "https://fb.me/3cr4Wqqkv", "source_id": "120226305854810726", "source_type": "ad",
        "headline": "Chat with us", "body": "Summer pots", "click_id": "Aff-n8ZT"})
    );
    assert_eq!(
        rest,
        json!({"referral": {"media_type": "image", "image_url": "https://example.org/a",
        "welcome_message": {"text": "Hi there!"}}})
    );
    // Those in a Status have no click; Meta's examples have numbers for strings.
    let (told, rest) = brought_by(json!({"source_id": 120_226_305_854_810_726_u64, "source_type": "post"}));
    assert_eq!((&told["source_id"], &told["source_type"]), (&json!("120226305854810726"), &json!("post")));
    assert_eq!((&told["click_id"], &told["source_url"]), (&Value::Null, &Value::Null));
    assert_eq!(rest, Value::Null);
}

#[test]
fn only_a_receipt_of_a_free_conversation_tells_until_when_it_is_free() {
    let ends = Timestamp(1_750_116_480_000);
    let conversation =
        |origin: &str, expires: Value| json!({"id": "c", "origin": {"type": origin}, "expiration_timestamp": expires});
    let free = json!({"billable": false, "pricing_model": "PMP", "type": "free_entry_point", "category": "referral_conversion"});
    let regular = json!({"billable": true, "pricing_model": "PMP", "type": "regular", "category": "service"});
    let stamp = json!("1750116480");
    for (about, conversation, pricing, until) in [
        ("as the pages print it", Some(conversation("referral_conversion", stamp.clone())), Some(&free), Some(ends)),
        (
            "a number for a string",
            Some(conversation("referral_conversion", json!(1_750_116_480))),
            Some(&free),
            Some(ends),
        ),
        ("by its price alone", Some(conversation("service", stamp.clone())), Some(&free), Some(ends)),
        ("by its origin alone", Some(conversation("referral_conversion", stamp.clone())), None, Some(ends)),
        (
            "delivered, where no end is told",
            Some(json!({"id": "c", "origin": {"type": "referral_conversion"}})),
            Some(&free),
            None,
        ),
        ("no conversation", None, Some(&free), None),
        (
            "an old version's conversation, which is no window",
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
        let told = receive(&app(), change("statuses", status).as_bytes());
        assert_eq!(told.receipts.first().unwrap().free_entry_until, until, "{about}");
    }
}
