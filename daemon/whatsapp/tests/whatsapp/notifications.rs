//! Fields other than messages, apps with several numbers, and a webhook of the maximum size.

use crate::webhook_env::{NUMBER, SECRET, app, receive};
use beadle_model::{Content, EventBody};
use beadle_store::step::{NewEvent, Placement, ReceiptFor};
use beadle_whatsapp::{App, AppConfig, Secret};
use serde_json::{Value, json};

const SECOND: &str = "222222222222222";

/// An app with two numbers, each in its own account.
fn two_numbers() -> App {
    App::new(AppConfig {
        name: "main".into(),
        verify_token: Secret::new("open sesame"),
        app_secret: Secret::new(SECRET),
        channels: [(NUMBER.to_owned(), "shop".to_owned()), (SECOND.to_owned(), "club".to_owned())].into(),
        accounts: [
            ("1".to_owned(), vec!["shop".to_owned()]),
            ("2".to_owned(), vec!["club".to_owned()]),
            ("3".to_owned(), vec!["shop".to_owned(), "club".to_owned()]),
        ]
        .into(),
        install: "c0ffee11".into(),
        brand: "The Potters".into(),
        language: beadle_model::keyword::Language::En,
        own_words: Default::default(),
        topics: vec![],
        language_from_number: false,
    })
}

fn change(account: &str, field: &str, value: Value) -> Value {
    json!({"object": "whatsapp_business_account",
        "entry": [{"id": account, "time": 1_748_454_394, "changes": [{"field": field, "value": value}]}]})
}

fn events(app: &App, webhook: &Value) -> Vec<NewEvent> {
    receive(app, webhook.to_string().as_bytes()).events
}

#[test]
fn account_fields_become_notifications_of_their_channel() {
    let app = two_numbers();
    let template = |event: &str| json!({"event": event, "message_template_id": 16, "message_template_name": "hi"});
    for (account, channel) in [("1", Some("shop")), ("2", Some("club")), ("3", None), ("4", None)] {
        let events = events(&app, &change(account, "message_template_status_update", template("PAUSED")));
        let EventBody::ChannelChanged(notification) = &events[0].body else { panic!("{events:?}") };
        assert_eq!((notification.channel.as_deref(), notification.state.as_str()), (channel, "paused"));
        assert_eq!(events[0].placement, Placement::Nowhere);
    }
    for (field, value, expected, state) in [
        (
            "account_update",
            json!({"event": "ACCOUNT_RESTRICTION", "restriction_info": []}),
            "account",
            "account_restriction",
        ),
        ("account_review_update", json!({"decision": "APPROVED"}), "review", "approved"),
        ("account_alerts", json!({"alert_info": {"alert_status": "ACTIVE"}}), "alert", "active"),
        ("business_capability_update", json!({"max_daily_conversations_per_business": "TIER_2K"}), "limits", "tier_2k"),
        (
            "phone_number_quality_update",
            json!({"event": "THROUGHPUT_UPGRADE", "max_daily_conversations_per_business": "TIER_UNLIMITED"}),
            "quality",
            "tier_unlimited",
        ),
        ("phone_number_name_update", json!({"decision": "REJECTED"}), "name", "rejected"),
        ("security", json!({"event": "PIN_CHANGED"}), "security", "pin_changed"),
        (
            "message_template_components_update",
            json!({"message_template_name": "hi"}),
            "template-components",
            "changed",
        ),
        (
            "template_category_update",
            json!({"previous_category": "UTILITY", "new_category": "MARKETING"}),
            "template-category",
            "marketing",
        ),
        ("business_username_updates", json!({"username": "potters", "status": "approved"}), "username", "approved"),
    ] {
        let events = events(&app, &change("1", field, value.clone()));
        let EventBody::ChannelChanged(notification) = &events[0].body else { panic!("{field}: {events:?}") };
        assert_eq!(
            (notification.change.as_str(), notification.state.as_str(), &notification.json),
            (expected, state, &value)
        );
    }
    // Kept whole, and never mistaken for a message.
    for field in
        ["calls", "standby", "messaging_handovers", "history", "smb_app_state_sync", "user_id_update", "next_year"]
    {
        let events = events(&app, &change("1", field, json!({"messages": [{"id": "wamid.1", "from": "16505551234"}]})));
        assert!(
            matches!(&events[..], [NewEvent { body: EventBody::Unrouted { kind, .. }, .. }] if kind == field),
            "{events:?}"
        );
    }
}

#[test]
fn same_state_at_another_time_is_another_notification() {
    let app = app();
    let paused =
        change("1", "message_template_status_update", json!({"event": "PAUSED", "message_template_name": "hi"}));
    let mut later = paused.clone();
    later["entry"][0]["time"] = json!(1_748_454_395);
    let key = |webhook: &Value| events(&app, webhook)[0].key;
    assert_eq!(key(&paused), key(&paused));
    assert_ne!(key(&paused), key(&later));
}

#[test]
fn messages_go_to_the_channel_of_their_number() {
    let app = two_numbers();
    let text = |number: &str, id: &str| {
        json!({"field": "messages", "value": {"metadata": {"phone_number_id": number}, "messages": [
            {"from": "16505551234", "id": id, "timestamp": "1749416383", "type": "text", "text": {"body": "hi"}}]}})
    };
    // The same message id on two numbers is two messages.
    let webhook = json!({"entry": [{"id": "1", "changes": [text(NUMBER, "wamid.1"), text(SECOND, "wamid.1"), text("9", "wamid.1")]}]});
    let events = events(&app, &webhook);
    let channels: Vec<_> = events
        .iter()
        .map(|event| match &event.placement {
            Placement::Sender(sender) => sender.channel.as_str(),
            _ => "nowhere",
        })
        .collect();
    assert_eq!(channels, ["shop", "club", "nowhere"]);
    assert_ne!(events[0].key, events[1].key);
    assert_eq!(receive(&app, webhook.to_string().as_bytes()).unknown_number.as_deref(), Some("9"));
}

#[test]
fn echo_belongs_to_the_recipients_conversation() {
    let value = json!({"metadata": {"phone_number_id": NUMBER}, "message_echoes": [
        {"from": "15550783881", "to": "16505551234", "to_user_id": "US.7", "id": "wamid.E", "timestamp": "1749416383",
         "type": "text", "text": {"body": "Hello, this is Bo"}},
        {"from": "15550783881", "id": "wamid.F", "type": "text", "text": {"body": "no recipient"}}]});
    let events = events(&app(), &change("1", "smb_message_echoes", value));
    let EventBody::Echo { content, extra, .. } = &events[0].body else { panic!("{events:?}") };
    assert_eq!((content, extra), (&Content::Text("Hello, this is Bo".into()), &Value::Null));
    let Placement::Sender(sender) = &events[0].placement else { panic!() };
    assert_eq!(sender.aliases.iter().map(|alias| alias.value.as_str()).collect::<Vec<_>>(), ["US.7", "16505551234"]);
    assert!(!events[0].opens_window, "an outbound message opens no window");
    assert_eq!(events.len(), 1, "an echo without a recipient is rejected");
}

#[test]
fn preferences_become_changes_of_the_contact() {
    let value = json!({"metadata": {"phone_number_id": NUMBER},
        "contacts": [{"profile": {"name": "Ana"}, "wa_id": "16505551234", "user_id": "US.7"}],
        "user_preferences": [
            {"wa_id": "16505551234", "user_id": "US.7", "category": "marketing_messages", "value": "resume", "timestamp": 1_731_705_721},
            {"user_id": "US.8", "category": "calls", "value": "stop", "timestamp": 1_731_705_721},
            {"category": "marketing_messages", "value": "stop"}]});
    let events = events(&app(), &change("1", "user_preferences", value));
    let changes: Vec<_> = events
        .iter()
        .map(|event| match &event.body {
            EventBody::ContactChanged { change, .. } => change.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(changes, ["marketing-resumed", "preference-calls-stop"], "a preference without a person is rejected");
}

#[test]
fn webhook_of_maximum_size_is_parsed_completely() {
    let message = |n: usize| {
        json!({"from": "16505551234", "id": format!("wamid.{n}"), "timestamp": "1749416383", "type": "text",
            "text": {"body": "x".repeat(2800)}})
    };
    let status = |n: usize| {
        json!({"id": format!("wamid.s{n}"), "status": "delivered", "timestamp": 1_749_416_383, "recipient_id": 16_505_551_234_u64,
            "biz_opaque_callback_data": format!("msg_{}@c0ffee11", n + 1),
            "pricing": {"billable": true, "pricing_model": "PMP", "type": "regular", "category": "service"}})
    };
    let value = json!({"metadata": {"phone_number_id": NUMBER},
        "messages": (0..1000).map(message).collect::<Vec<_>>(), "statuses": (0..500).map(status).collect::<Vec<_>>()});
    let body = change("1", "messages", value).to_string();
    assert!((2_900_000..3_145_728).contains(&body.len()), "{}", body.len());
    let parsed = receive(&app(), body.as_bytes());
    assert_eq!((parsed.counts.messages, parsed.receipts.len(), parsed.counts.unrouted), (1000, 500, 0));
    assert!(parsed.receipts.iter().all(|receipt| matches!(receipt.message, ReceiptFor::Ours(..))));
    assert_eq!(parsed.receipts[0].pricing.as_ref().unwrap().category, "service");
    let keys: std::collections::HashSet<_> = parsed.events.iter().map(|event| event.key).collect();
    assert_eq!(keys.len(), 1000);
}

#[test]
fn group_statuses_name_the_participant_in_either_spelling() {
    let status = |key: &str, member: Value| {
        json!({"id": "wamid.1", "status": "read", "timestamp": "1749416383", "recipient_id": "Y2FwaQZD", "recipient_type": "group",
            key: member, "recipient_participant_user_id": "US.7",
            "conversation": {"id": "1", "pricing": {"billable": false, "category": "group_service"}}})
    };
    let value = json!({"metadata": {"phone_number_id": NUMBER}, "statuses": [
        status("recipient_participant_id", json!("16505551234")),
        status("participant_recipient_id", json!(16_505_551_234_u64))]});
    let parsed = receive(&app(), change("1", "messages", value).to_string().as_bytes());
    for receipt in &parsed.receipts {
        let identities: Vec<_> = receipt.participant.iter().map(|alias| alias.value.as_str()).collect();
        assert_eq!(identities, ["US.7", "16505551234"]);
        let pricing = receipt.pricing.as_ref().unwrap();
        assert_eq!((pricing.category.as_str(), pricing.billable), ("group_service", Some(false)));
    }
    assert_eq!(parsed.receipts.len(), 2);
}
