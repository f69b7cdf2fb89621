//! What WhatsApp has beyond text: a picture comes, is read by a plugin and goes back; a place, a link, a file that was made;
//! a group from its making to what is said in it; and Direct Send, when the window has closed.

use crate::UNPACED;
use beadle_e2e::daemon::{Daemon, Setup};
use beadle_e2e::simulator::{Place, Simulator};
use beadle_e2e::until;
use serde_json::{Value, json};

/// The smallest PNG there is: one pixel.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\x9cc\xf8\xff\xff?\0\x05\xfe\x02\xfe\xa75\x81\x84\0\0\0\0IEND\xaeB`\x82";

const GRANT: &str = "grant = [\"groups\", \"messages\"]";

async fn world() -> (Setup, Daemon, Simulator) {
    let place = Place::new();
    let setup = Setup::new(&place.url()).plugin("gallery", GRANT).toml(UNPACED);
    let simulator = place.start(&setup).await;
    let daemon = setup.start().await;
    (setup, daemon, simulator)
}

/// The latest thing the business said to them, once it is of this type.
async fn got(simulator: &Simulator, person: &str, kind: &str) -> Value {
    until(&format!("{person} gets a message of type {kind}"), async || {
        let last = simulator.messages(Some(person)).await.pop()?;
        (last.get("type").and_then(Value::as_str) == Some(kind)).then_some(last)
    })
    .await
}

#[tokio::test]
async fn a_picture_is_read_and_goes_back_and_more_than_text_is_said() {
    let (_setup, daemon, simulator) = world().await;
    simulator.person("Ana", "31600000001").await;
    let id = simulator.file("image/png", PNG).await;
    simulator.say_any("Ana", json!({ "type": "image", "image": { "id": id, "caption": "look" } })).await;
    let image = got(&simulator, "Ana", "image").await;
    let caption = image.pointer("/body/caption").and_then(Value::as_str);
    assert_eq!(caption, Some(format!("{} bytes", PNG.len()).as_str()), "{image}");
    for (word, kind) in [("place", "location"), ("link", "interactive"), ("make", "document")] {
        simulator.say("Ana", word).await;
        got(&simulator, "Ana", kind).await;
    }
    let row = daemon.get("plugins/gallery").await;
    let limits = row.get("limits").and_then(Value::as_array).cloned().unwrap_or_default();
    let files = limits.iter().find(|limit| limit.get("key") == Some(&json!("media_mib")));
    let used = files.and_then(|limit| limit.get("used")?.as_f64()).unwrap_or_default();
    assert!(used > 0.0 && used < 0.1, "what it made counts, what came in does not: {limits:?}");
    assert_eq!(daemon.count("dead-letters").await, 0);
    daemon.stop().await;
}

#[tokio::test]
async fn a_group_is_made_joined_and_answered_in() {
    let (_setup, daemon, simulator) = world().await;
    for (name, number) in [("Ana", "31600000001"), ("Bo", "31600000002")] {
        simulator.person(name, number).await;
    }
    simulator.say("Ana", "group").await;
    let group = until("the group is there", async || {
        let groups = simulator.control("GET", "groups", &Value::Null).await;
        groups.pointer("/groups/0/id").and_then(Value::as_str).map(String::from)
    })
    .await;
    let bo = simulator.id_of("Bo").await;
    let joins = json!({ "act": "join", "person": bo });
    simulator.control("POST", &format!("groups/{group}"), &joins).await;
    until("Bo was let in", async || {
        let groups = simulator.control("GET", "groups", &Value::Null).await;
        let members = groups.pointer("/groups/0/members").or_else(|| groups.pointer("/groups/0/participants"))?;
        (members.as_array()?.len() == 1).then_some(())
    })
    .await;
    simulator.control("POST", "say", &json!({ "from": bo, "group": group, "text": "hello all" })).await;
    until("the group is answered", async || {
        let said = simulator.control("GET", &format!("messages?group={group}"), &Value::Null).await;
        let text = said.pointer("/messages/0/body/body").and_then(Value::as_str)?;
        (text == "in the group: hello all").then_some(())
    })
    .await;
    assert_eq!(daemon.count("dead-letters").await, 0);
    daemon.stop().await;
}

#[tokio::test]
async fn the_day_after_it_is_written_by_direct_send() {
    const A_DAY_AND_AN_HOUR_MS: i64 = 25 * 3_600_000;
    let place = Place::new();
    let setup = Setup::new(&place.url()).plugin("gallery", GRANT).toml(UNPACED).clock(&place.clock_url());
    let simulator = place.start_virtual(&setup).await;
    let daemon = setup.start().await;
    simulator.faults(json!({ "direct_send": true })).await;
    simulator.person("Ana", "31600000001").await;
    simulator.say("Ana", "tomorrow").await;
    simulator.delivered().await;
    daemon.idle().await;
    simulator.advance(A_DAY_AND_AN_HOUR_MS).await;
    simulator.got("Ana", &["Your order has left."]).await;
    let sent = simulator.messages(Some("Ana")).await;
    let pricing = sent.first().and_then(|message| message.pointer("/pricing/category")).and_then(Value::as_str);
    assert_eq!(pricing, Some("utility"), "{sent:?}");
    // An account that may not is told so by the platform, and nothing else of it stops.
    simulator.faults(json!({ "direct_send": false })).await;
    simulator.say("Ana", "tomorrow").await;
    simulator.delivered().await;
    daemon.idle().await;
    simulator.advance(A_DAY_AND_AN_HOUR_MS).await;
    let failed = until("the second one is refused", async || {
        let outbox = daemon.get("outbox?state=failed").await;
        outbox.pointer("/items/0/problem").cloned()
    })
    .await;
    assert_eq!(failed.get("code").and_then(Value::as_str), Some("100"), "{failed}");
    daemon.stop().await;
}
