//! People who change their number or user id, or hide their number, stay the same contact, even if
//! the platform omits the earlier ids or repeats the change.

use crate::{UNPACED, text};
use beadle_test_support::daemon::Setup;
use beadle_test_support::simulator::SimulatorAddress;
use beadle_test_support::{time_at, wait_until};
use serde_json::{Value, json};

#[tokio::test]
async fn changed_number_or_user_id_keeps_the_contact() {
    let address = SimulatorAddress::reserve();
    let setup =
        Setup::new(&address.url()).probe("count", "prefix = \"n\", count = true, reply = \"\"", "").toml(UNPACED);
    let simulator = address.start(&setup).await;
    let daemon = setup.start().await;
    simulator.add_person("Ana", "31600000001").await;
    let ana = simulator.id_of("Ana").await;
    simulator.say("Ana", "n").await;
    simulator.expect_texts("Ana", &["1 n"]).await;
    // Each change is delivered twice and without the previous ids, which are only in its text.
    simulator.set_faults(json!({ "webhook_duplicated": { "probability": 1.0 }, "previous_ids": false })).await;
    let changes = [
        json!({ "number": "31600000002" }),
        json!({ "user_id": "NL.990000000000001" }),
        json!({ "hidden": true }),
        json!({ "user_id": "NL.990000000000002" }),
    ];
    let mut answers = vec!["1 n".to_owned()];
    for (change, count) in changes.iter().zip(2..) {
        simulator.control("POST", &format!("people/{ana}"), change).await;
        simulator.wait_until_delivered().await;
        simulator.say("Ana", "n").await;
        answers.push(format!("{count} n"));
        simulator.expect_texts("Ana", &answers.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
    daemon.wait_until_idle().await;
    let contacts = daemon.list_all("contacts").await;
    assert!(matches!(contacts.as_slice(), [contact] if text(contact, "/name") == "Ana"), "{contacts:?}");
    assert_eq!(daemon.get("contacts/duplicates").await.pointer("/items/0"), None::<&Value>);
    assert_eq!(
        (daemon.status_count("dead_letters").await, simulator.sent_counts().await.values().sum::<usize>()),
        (0, answers.len())
    );
    daemon.stop().await;
}

#[tokio::test]
async fn changed_number_keeps_the_opt_out() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).plugin("echo", "").toml(UNPACED);
    let simulator = address.start(&setup).await;
    let daemon = setup.start().await;
    simulator.add_person("Ana", "31600000001").await;
    let ana = simulator.id_of("Ana").await;
    simulator.say("Ana", "STOP").await;
    wait_until("STOP is answered", async || (simulator.texts("Ana").await.len() == 1).then_some(())).await;
    simulator.set_faults(json!({ "previous_ids": false })).await;
    for change in [json!({ "number": "31600000002" }), json!({ "user_id": "NL.990000000000001" })] {
        simulator.control("POST", &format!("people/{ana}"), &change).await;
        simulator.wait_until_delivered().await;
        simulator.say("Ana", "is anyone there?").await;
        simulator.wait_until_delivered().await;
        daemon.wait_until_idle().await;
        assert_eq!(simulator.texts("Ana").await.len(), 1, "nothing is sent after STOP: {change}");
    }
    let contacts = daemon.get("contacts").await;
    assert!(time_at(&contacts, "/items/0/opted_out_since").is_some(), "{contacts}");
    assert_eq!(contacts.pointer("/items/1"), None, "{contacts}");
    daemon.stop().await;
}
