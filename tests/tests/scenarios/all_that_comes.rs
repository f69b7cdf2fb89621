//! Whatever WhatsApp brings is the right event for a plugin: every type of message, and everything else that happens to
//! people, groups, messages and numbers.

use crate::UNPACED;
use beadle_e2e::daemon::{Daemon, Setup};
use beadle_e2e::meta;
use beadle_e2e::simulator::{Place, Simulator};
use serde_json::{Value, json};

async fn world() -> (Setup, Daemon, Simulator) {
    let place = Place::new();
    let setup = Setup::new(&place.url()).plugin("witness", "").toml(UNPACED);
    let simulator = place.start(&setup).await;
    let daemon = setup.start().await;
    simulator.person("Ana", "31600000001").await;
    (setup, daemon, simulator)
}

/// Waits until the plugin has said that it saw this.
async fn saw(daemon: &mut Daemon, parts: &[&str]) {
    daemon.program.line(|line| parts.iter().all(|part| line.contains(part)).then_some(())).await;
}

#[tokio::test]
async fn each_kind_of_file_is_what_it_is() {
    let (_setup, mut daemon, simulator) = world().await;
    for (kind, shown, mime_type) in [
        ("image", "Image", "image/jpeg"),
        ("video", "Video", "video/mp4"),
        ("audio", "Audio", "audio/ogg"),
        ("document", "Document", "application/pdf"),
        ("sticker", "Sticker", "image/webp"),
    ] {
        let id = simulator.file(mime_type, b"bytes").await;
        simulator.say_any("Ana", json!({ "type": kind, kind: { "id": id } })).await;
        saw(&mut daemon, &["saw message", &format!("{shown}(Media"), mime_type]).await;
    }
    assert_eq!(daemon.count("dead-letters").await, 0);
    daemon.stop().await;
}

#[tokio::test]
async fn what_has_no_file_is_told_in_all_its_parts() {
    let (_setup, mut daemon, simulator) = world().await;
    let interactive = |answer: Value| json!({ "type": "interactive", "interactive": answer });
    let quoted = json!({ "from": "15550783881", "id": "wamid.asked" });
    for (message, parts) in [
        (
            json!({ "type": "text", "text": { "body": "hi" }, "context": { "forwarded": true } }),
            ["Text(\"hi\")", "forwarded: true"],
        ),
        (
            json!({ "type": "text", "text": { "body": "why" }, "context": quoted }),
            ["Text(\"why\")", "quoted: Some(\"wamid.asked\")"],
        ),
        (
            json!({ "type": "text", "text": { "body": "ad" }, "referral": { "source_type": "ad", "ctwa_clid": "Aff-1" } }),
            ["source-type: Some(\"ad\")", "click-id: Some(\"Aff-1\")"],
        ),
        (
            json!({ "type": "location", "location": { "latitude": 52.5, "longitude": 4.75, "name": "Quay" } }),
            ["Location(Location { latitude: 52.5", "name: Some(\"Quay\")"],
        ),
        (json!({ "type": "contacts", "contacts": [{ "name": { "formatted_name": "Bo B" } }] }), ["Contacts(", "Bo B"]),
        (
            json!({ "type": "order", "order": { "catalog_id": "7", "product_items":
                [{ "product_retailer_id": "pot", "quantity": 3, "item_price": 30, "currency": "EUR" }] } }),
            ["Order(Order { catalog: \"7\"", "product: \"pot\", quantity: 3, price: \"30\""],
        ),
        (
            interactive(json!({ "type": "button_reply", "button_reply": { "id": "y", "title": "Yes" } })),
            ["Button(Choice", "id: \"y\""],
        ),
        (
            interactive(
                json!({ "type": "list_reply", "list_reply": { "id": "l", "title": "Lifts", "description": "who" } }),
            ),
            ["ListRow(Choice", "description: Some(\"who\")"],
        ),
        (
            interactive(
                json!({ "type": "nfm_reply", "nfm_reply": { "name": "flow", "body": "Sent", "response_json": "{\"a\":1}" } }),
            ),
            ["Flow(", "a"],
        ),
        (
            interactive(json!({ "type": "call_permission_reply", "call_permission_reply": { "response": "reject" } })),
            ["CallPermission(CallPermission", "granted: false"],
        ),
        (
            json!({ "type": "button", "button": { "payload": "pay-1", "text": "Pay" } }),
            ["TemplateButton(Choice", "id: \"pay-1\""],
        ),
        (
            json!({ "type": "edit", "edit": { "original_message_id": "wamid.e", "message": { "type": "text", "text": { "body": "new" } } } }),
            ["Edited(Edited { original: \"wamid.e\"", "text: Some(\"new\")"],
        ),
        (json!({ "type": "revoke", "revoke": { "original_message_id": "wamid.r" } }), ["Deleted(\"wamid.r\")", ""]),
        (json!({ "type": "unsupported", "unsupported": { "type": "poll" } }), ["Unsupported(Some(\"poll\"))", ""]),
        (json!({ "type": "hologram", "hologram": { "beam": 1 } }), ["Other(Other { kind: \"hologram\"", "beam"]),
    ] {
        simulator.say_any("Ana", message).await;
        saw(&mut daemon, &["saw message", parts[0], parts[1]]).await;
    }
    assert_eq!(daemon.count("dead-letters").await, 0);
    daemon.stop().await;
}

#[tokio::test]
async fn all_else_that_happens_is_told_as_what_it_is() {
    let (_setup, mut daemon, simulator) = world().await;
    let ana = simulator.id_of("Ana").await;
    simulator.say("Ana", "answer me").await;
    saw(&mut daemon, &["saw joined", "first-message", "false"]).await;
    saw(&mut daemon, &["saw status", "sent", "service"]).await;
    saw(&mut daemon, &["saw status", "delivered"]).await;
    simulator.control("POST", "read", &json!({ "from": ana })).await;
    saw(&mut daemon, &["saw status", "read"]).await;
    simulator.control("POST", "say", &json!({ "from": ana, "reaction": "👍" })).await;
    saw(&mut daemon, &["saw reaction (true, true)"]).await;
    simulator.control("POST", "say", &json!({ "from": ana, "reaction": "" })).await;
    saw(&mut daemon, &["saw reaction (true, false)"]).await;
    simulator.faults(json!({ "send_failed_later": { "next": 1, "code": 131_026 } })).await;
    simulator.say("Ana", "answer me").await;
    saw(&mut daemon, &["saw status", "failed", "131026"]).await;

    let marketing = |value: &str| json!({ "person": ana, "value": value });
    simulator.control("POST", "marketing", &marketing("stop")).await;
    saw(&mut daemon, &["saw contact", "marketing-stopped", "Ana"]).await;
    simulator.control("POST", "marketing", &marketing("resume")).await;
    saw(&mut daemon, &["saw contact", "marketing-resumed"]).await;
    simulator.control("POST", &format!("people/{ana}"), &json!({ "number": "31600000009" })).await;
    saw(&mut daemon, &["saw contact", "number-changed"]).await;
    saw(&mut daemon, &["saw contact", "id-changed"]).await;
    let identity =
        json!({ "type": "system", "system": { "type": "user_identity_changed", "body": "Ana's phone changed" } });
    simulator.say_any("Ana", identity).await;
    saw(&mut daemon, &["saw contact", "identity-changed"]).await;

    simulator.control("POST", "account", &json!({ "restriction": "no_first" })).await;
    saw(&mut daemon, &["saw channel", "account", "account_restriction"]).await;
    simulator.control("POST", "account", &json!({ "restriction": "none", "messaging_limit": 2000 })).await;
    saw(&mut daemon, &["saw channel", "limits", "tier_2k"]).await;
    let template = json!({ "event": "PAUSED", "message_template_id": 1, "message_template_name": "feast", "message_template_language": "en" });
    simulator
        .control("POST", "webhook", &json!({ "field": "message_template_status_update", "value": template }))
        .await;
    saw(&mut daemon, &["saw channel", "template-status", "paused", "feast"]).await;
    let echo = json!({ "metadata": { "phone_number_id": meta::PHONE_NUMBER_ID }, "message_echoes":
        [{ "from": "15550783881", "to": "31600000009", "id": "wamid.echo", "timestamp": "1795424400", "type": "text", "text": { "body": "from the shop" } }] });
    simulator.control("POST", "webhook", &json!({ "field": "smb_message_echoes", "value": echo })).await;
    saw(&mut daemon, &["saw echo", "Text(\"from the shop\")"]).await;

    let group = simulator.control("POST", "groups", &json!({ "subject": "Street", "approval": true })).await;
    let group = group.pointer("/id").and_then(Value::as_str).unwrap_or_default().to_owned();
    saw(&mut daemon, &["saw group", "created"]).await;
    let act = async |act: &str| {
        simulator.control("POST", &format!("groups/{group}"), &json!({ "act": act, "person": ana })).await
    };
    act("join").await;
    saw(&mut daemon, &["saw join request (Some(\"Ana\"), false)"]).await;
    act("revoke").await;
    saw(&mut daemon, &["saw join request (Some(\"Ana\"), true)"]).await;
    act("suspend").await;
    saw(&mut daemon, &["saw group", "suspended"]).await;
    simulator.say("Ana", "stop").await;
    saw(&mut daemon, &["saw left", "stop"]).await;
    assert_eq!(daemon.count("dead-letters").await, 0);
    daemon.stop().await;
}
