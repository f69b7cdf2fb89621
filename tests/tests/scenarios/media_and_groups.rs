//! More than text: files are read and sent, locations, links and groups work, and Direct Send
//! writes after the window has closed.

use crate::UNPACED;
use beadle_test_support::daemon::{Daemon, Setup};
use beadle_test_support::simulator::{Simulator, SimulatorAddress};
use beadle_test_support::wait_until;
use serde_json::{Value, json};

/// A PNG of one pixel.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\x9cc\xf8\xff\xff?\0\x05\xfe\x02\xfe\xa75\x81\x84\0\0\0\0IEND\xaeB`\x82";

const GRANT: &str = "grant = [\"groups\", \"messages\"]";

async fn start() -> (Setup, Daemon, Simulator) {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).plugin("gallery", GRANT).toml(UNPACED);
    let simulator = address.start(&setup).await;
    let daemon = setup.start().await;
    (setup, daemon, simulator)
}

/// Waits until the person's latest message is of this type, and returns it.
async fn wait_for_type(simulator: &Simulator, person: &str, kind: &str) -> Value {
    wait_until(&format!("{person} receives a message of type {kind}"), async || {
        let last = simulator.messages(Some(person)).await.pop()?;
        (last.get("type").and_then(Value::as_str) == Some(kind)).then_some(last)
    })
    .await
}

#[tokio::test]
async fn plugin_reads_a_picture_and_sends_other_types() {
    let (_setup, daemon, simulator) = start().await;
    simulator.add_person("Ana", "31600000001").await;
    let id = simulator.upload("image/png", PNG).await;
    simulator.say_message("Ana", json!({ "type": "image", "image": { "id": id, "caption": "look" } })).await;
    let image = wait_for_type(&simulator, "Ana", "image").await;
    let caption = image.pointer("/body/caption").and_then(Value::as_str);
    assert_eq!(caption, Some(format!("{} bytes", PNG.len()).as_str()), "{image}");
    for (word, kind) in [("location", "location"), ("link", "interactive"), ("make", "document")] {
        simulator.say("Ana", word).await;
        wait_for_type(&simulator, "Ana", kind).await;
    }
    let row = daemon.get("plugins/gallery").await;
    let limits = row.get("limits").and_then(Value::as_array).cloned().unwrap_or_default();
    let files = limits.iter().find(|limit| limit.get("key") == Some(&json!("media_mib")));
    let used = files.and_then(|limit| limit.get("used")?.as_f64()).unwrap_or_default();
    assert!(used > 0.0 && used < 0.1, "files that it made count, received files do not: {limits:?}");
    assert_eq!(daemon.status_count("dead_letters").await, 0);
    daemon.stop().await;
}

#[tokio::test]
async fn group_is_created_joined_and_answered() {
    let (_setup, daemon, simulator) = start().await;
    for (name, number) in [("Ana", "31600000001"), ("Bo", "31600000002")] {
        simulator.add_person(name, number).await;
    }
    simulator.say("Ana", "group").await;
    let group = wait_until("the group exists", async || {
        let groups = simulator.control("GET", "groups", &Value::Null).await;
        groups.pointer("/groups/0/id").and_then(Value::as_str).map(String::from)
    })
    .await;
    let bo = simulator.id_of("Bo").await;
    let join = json!({ "action": "join", "person": bo });
    simulator.control("POST", &format!("groups/{group}"), &join).await;
    wait_until("Bo is a member", async || {
        let groups = simulator.control("GET", "groups", &Value::Null).await;
        let members = groups.pointer("/groups/0/members").or_else(|| groups.pointer("/groups/0/participants"))?;
        (members.as_array()?.len() == 1).then_some(())
    })
    .await;
    simulator.control("POST", "say", &json!({ "from": bo, "group": group, "text": "hello all" })).await;
    wait_until("the group is answered", async || {
        let messages = simulator.control("GET", &format!("messages?group={group}"), &Value::Null).await;
        let text = messages.pointer("/messages/0/body/body").and_then(Value::as_str)?;
        (text == "in the group: hello all").then_some(())
    })
    .await;
    assert_eq!(daemon.status_count("dead_letters").await, 0);
    daemon.stop().await;
}

#[tokio::test]
async fn direct_send_writes_after_the_window_closed() {
    const A_DAY_AND_AN_HOUR_MS: i64 = 25 * 3_600_000;
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).plugin("gallery", GRANT).toml(UNPACED).clock(&address.clock_url());
    let simulator = address.start_virtual(&setup).await;
    let daemon = setup.start().await;
    simulator.set_faults(json!({ "direct_send": true })).await;
    simulator.add_person("Ana", "31600000001").await;
    simulator.say("Ana", "tomorrow").await;
    simulator.wait_until_delivered().await;
    daemon.wait_until_idle().await;
    simulator.advance(A_DAY_AND_AN_HOUR_MS).await;
    simulator.expect_texts("Ana", &["Your order has left."]).await;
    let sent = simulator.messages(Some("Ana")).await;
    let pricing = sent.first().and_then(|message| message.pointer("/pricing/category")).and_then(Value::as_str);
    assert_eq!(pricing, Some("utility"), "{sent:?}");
    // Without Direct Send the platform refuses the message; nothing else stops.
    simulator.set_faults(json!({ "direct_send": false })).await;
    simulator.say("Ana", "tomorrow").await;
    simulator.wait_until_delivered().await;
    daemon.wait_until_idle().await;
    simulator.advance(A_DAY_AND_AN_HOUR_MS).await;
    let failed = wait_until("the second one is refused", async || {
        let outbox = daemon.get("outbox?state=failed").await;
        outbox.pointer("/items/0/problem").cloned()
    })
    .await;
    assert_eq!(failed.get("code").and_then(Value::as_str), Some("100"), "{failed}");
    daemon.stop().await;
}
