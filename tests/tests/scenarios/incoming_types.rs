//! Everything that WhatsApp delivers becomes the right event: each type of message, receipts, and
//! changes of people, groups and numbers.

use crate::UNPACED;
use beadle_test_support::daemon::{Daemon, Setup};
use beadle_test_support::simulator::{Simulator, SimulatorAddress};
use beadle_test_support::webhook;
use serde_json::{Value, json};

async fn start() -> (Setup, Daemon, Simulator) {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).plugin("witness", "").toml(UNPACED);
    let simulator = address.start(&setup).await;
    let daemon = setup.start().await;
    simulator.add_person("Ana", "31600000001").await;
    (setup, daemon, simulator)
}

/// Waits until the plugin `witness` has logged an event with all these parts.
async fn wait_for_event(daemon: &mut Daemon, parts: &[&str]) {
    daemon.program.line(|line| parts.iter().all(|part| line.contains(part)).then_some(())).await;
}

#[tokio::test]
async fn files_keep_their_kind() {
    let (_setup, mut daemon, simulator) = start().await;
    for (kind, variant, mime_type) in [
        ("image", "Image", "image/jpeg"),
        ("video", "Video", "video/mp4"),
        ("audio", "Audio", "audio/ogg"),
        ("document", "Document", "application/pdf"),
        ("sticker", "Sticker", "image/webp"),
    ] {
        let id = simulator.upload(mime_type, b"bytes").await;
        simulator.say_message("Ana", json!({ "type": kind, kind: { "id": id } })).await;
        wait_for_event(&mut daemon, &["saw message", &format!("{variant}(Media"), mime_type]).await;
    }
    assert_eq!(daemon.status_count("dead_letters").await, 0);
    daemon.stop().await;
}

#[tokio::test]
async fn messages_without_files_keep_all_parts() {
    let (_setup, mut daemon, simulator) = start().await;
    let interactive = |answer: Value| json!({ "type": "interactive", "interactive": answer });
    let quoted = json!({ "from": "15550783881", "id": "wamid.asked" });
    for (message, parts) in [
        (
            json!({ "type": "text", "text": { "body": "hi" }, "context": { "forwarded": true } }),
            ["Text(\"hi\")", "forwarded: true"],
        ),
        (
            json!({ "type": "text", "text": { "body": "why" }, "context": quoted }),
            ["Text(\"why\")", "quoted: Some(\"pm_"],
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
            ["Edited(Edited { original: \"pm_", "text: Some(\"new\")"],
        ),
        (json!({ "type": "revoke", "revoke": { "original_message_id": "wamid.r" } }), ["Deleted(\"pm_", ""]),
        (json!({ "type": "unsupported", "unsupported": { "type": "poll" } }), ["Unsupported(Some(\"poll\"))", ""]),
        (json!({ "type": "hologram", "hologram": { "beam": 1 } }), ["Other(Other { kind: \"hologram\"", "beam"]),
    ] {
        simulator.say_message("Ana", message).await;
        wait_for_event(&mut daemon, &["saw message", parts[0], parts[1]]).await;
    }
    assert_eq!(daemon.status_count("dead_letters").await, 0);
    daemon.stop().await;
}

#[tokio::test]
async fn other_webhooks_become_their_events() {
    let (_setup, mut daemon, simulator) = start().await;
    let ana = simulator.id_of("Ana").await;
    simulator.say("Ana", "answer me").await;
    wait_for_event(&mut daemon, &["saw joined", "first-message", "false"]).await;
    wait_for_event(&mut daemon, &["saw status", "sent", "service"]).await;
    wait_for_event(&mut daemon, &["saw status", "delivered"]).await;
    simulator.control("POST", "read", &json!({ "from": ana })).await;
    wait_for_event(&mut daemon, &["saw status", "read"]).await;
    simulator.control("POST", "say", &json!({ "from": ana, "reaction": "👍" })).await;
    wait_for_event(&mut daemon, &["saw reaction (true, true)"]).await;
    simulator.control("POST", "say", &json!({ "from": ana, "reaction": "" })).await;
    wait_for_event(&mut daemon, &["saw reaction (true, false)"]).await;
    simulator.set_faults(json!({ "send_async_failure": { "next": 1, "code": 131_026 } })).await;
    simulator.say("Ana", "answer me").await;
    wait_for_event(&mut daemon, &["saw status", "failed", "131026"]).await;

    let marketing = |value: &str| json!({ "person": ana, "value": value });
    simulator.control("POST", "marketing", &marketing("stop")).await;
    wait_for_event(&mut daemon, &["saw contact", "marketing-stopped", "Ana"]).await;
    simulator.control("POST", "marketing", &marketing("resume")).await;
    wait_for_event(&mut daemon, &["saw contact", "marketing-resumed"]).await;
    simulator.control("POST", &format!("people/{ana}"), &json!({ "number": "31600000009" })).await;
    wait_for_event(&mut daemon, &["saw contact", "number-changed"]).await;
    wait_for_event(&mut daemon, &["saw contact", "id-changed"]).await;
    let identity =
        json!({ "type": "system", "system": { "type": "user_identity_changed", "body": "Ana's phone changed" } });
    simulator.say_message("Ana", identity).await;
    wait_for_event(&mut daemon, &["saw contact", "identity-changed"]).await;

    simulator.control("POST", "account", &json!({ "restriction": "no_business_initiated" })).await;
    wait_for_event(&mut daemon, &["saw channel", "account", "account_restriction"]).await;
    simulator.control("POST", "account", &json!({ "restriction": "none", "messaging_limit": 2000 })).await;
    wait_for_event(&mut daemon, &["saw channel", "limits", "tier_2k"]).await;
    let template = json!({ "event": "PAUSED", "message_template_id": 1, "message_template_name": "feast", "message_template_language": "en" });
    simulator
        .control("POST", "webhook", &json!({ "field": "message_template_status_update", "value": template }))
        .await;
    wait_for_event(&mut daemon, &["saw channel", "template-status", "paused", "feast"]).await;
    let echo = json!({ "metadata": { "phone_number_id": webhook::PHONE_NUMBER_ID }, "message_echoes":
        [{ "from": "15550783881", "to": "31600000009", "id": "wamid.echo", "timestamp": "1795424400", "type": "text", "text": { "body": "from the shop" } }] });
    simulator.control("POST", "webhook", &json!({ "field": "smb_message_echoes", "value": echo })).await;
    wait_for_event(&mut daemon, &["saw echo", "Text(\"from the shop\")"]).await;

    let group = simulator.control("POST", "groups", &json!({ "subject": "Street", "approval_required": true })).await;
    let group = group.pointer("/id").and_then(Value::as_str).unwrap_or_default().to_owned();
    wait_for_event(&mut daemon, &["saw group", "created"]).await;
    let act = async |action: &str| {
        simulator.control("POST", &format!("groups/{group}"), &json!({ "action": action, "person": ana })).await
    };
    act("join").await;
    wait_for_event(&mut daemon, &["saw join request (Some(\"Ana\"), false)"]).await;
    act("revoke").await;
    wait_for_event(&mut daemon, &["saw join request (Some(\"Ana\"), true)"]).await;
    act("suspend").await;
    wait_for_event(&mut daemon, &["saw group", "suspended"]).await;
    simulator.say("Ana", "stop").await;
    wait_for_event(&mut daemon, &["saw left", "stop"]).await;
    assert_eq!(daemon.status_count("dead_letters").await, 0);
    daemon.stop().await;
}
