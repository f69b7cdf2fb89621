//! People who change their number, their user id, or hide the one behind the other: they stay who they are, whatever the
//! platform leaves out of it and however often it tells it.

use crate::{UNPACED, text};
use beadle_e2e::daemon::Setup;
use beadle_e2e::simulator::Place;
use serde_json::{Value, json};

#[tokio::test]
async fn who_has_another_number_or_user_id_is_still_the_same_contact() {
    let place = Place::new();
    let setup = Setup::new(&place.url()).probe("count", "prefix = \"n\", count = true, reply = \"\"", "").toml(UNPACED);
    let simulator = place.start(&setup).await;
    let daemon = setup.start().await;
    simulator.person("Ana", "31600000001").await;
    let ana = simulator.id_of("Ana").await;
    simulator.say("Ana", "n").await;
    simulator.got("Ana", &["1 n"]).await;
    // Each change is told twice, and without the ids that were before: the words of it have them.
    simulator.faults(json!({ "webhook_duplicated": { "probability": 1.0 }, "previous_ids": false })).await;
    let changes = [
        json!({ "number": "31600000002" }),
        json!({ "user_id": "NL.990000000000001" }),
        json!({ "hidden": true }),
        json!({ "user_id": "NL.990000000000002" }),
    ];
    let mut answers = vec!["1 n".to_owned()];
    for (change, count) in changes.iter().zip(2..) {
        simulator.control("POST", &format!("people/{ana}"), change).await;
        simulator.delivered().await;
        simulator.say("Ana", "n").await;
        answers.push(format!("{count} n"));
        simulator.got("Ana", &answers.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
    daemon.idle().await;
    let contacts = daemon.all("contacts").await;
    assert!(matches!(contacts.as_slice(), [it] if text(it, "/name") == "Ana"), "{contacts:?}");
    assert_eq!(daemon.get("contacts/duplicates").await.pointer("/items/0"), None::<&Value>);
    assert_eq!(
        (daemon.count("dead-letters").await, simulator.sent().await.values().sum::<usize>()),
        (0, answers.len())
    );
    daemon.stop().await;
}
