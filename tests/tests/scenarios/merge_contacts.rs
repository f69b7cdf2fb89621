//! Two contacts who are one person: listed as possible duplicates, merged by the operator, or
//! marked as distinct.

use crate::{UNPACED, text};
use beadle_test_support::daemon::{Daemon, Setup};
use beadle_test_support::http::Connection;
use beadle_test_support::simulator::{Simulator, SimulatorAddress};
use beadle_test_support::wait_until;
use beadle_test_support::webhook;
use serde_json::{Value, json};

/// The id of the contact with this name.
async fn contact(daemon: &Daemon, name: &str) -> String {
    let contacts = daemon.list_all("contacts").await;
    let found = contacts.iter().find(|contact| text(contact, "/name") == name);
    found
        .map(|contact| text(contact, "/id").to_owned())
        .unwrap_or_else(|| panic!("no contact is called {name}: {contacts:?}"))
}

/// Exit code, standard output and standard error of a command.
async fn cli(setup: &Setup, arguments: &[&str]) -> (i32, String, String) {
    let output = setup.cli(arguments).await;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

/// Delivers a message with Ana's number and Mia's user id, as the platform sends it when an account
/// moves.
async fn write_with_both_ids(setup: &Setup, simulator: &Simulator, id: &str) {
    let person = |name: &'static str| async move {
        simulator.control("GET", &format!("people/{}", simulator.id_of(name).await), &Value::Null).await
    };
    let (ana, mia) = (person("Ana").await, person("Mia").await);
    let at = simulator.control("GET", "clock", &Value::Null).await;
    let at_s = at.get("now_ms").and_then(Value::as_i64).unwrap_or_default() / 1000;
    let (number, user_id) = (text(&ana, "/number"), text(&mia, "/user_id"));
    let webhook = json!({"object": "whatsapp_business_account", "entry": [{"id": webhook::BUSINESS_ID, "changes": [{"field": "messages", "value": {
        "messaging_product": "whatsapp", "metadata": {"phone_number_id": webhook::PHONE_NUMBER_ID},
        "contacts": [{"wa_id": number, "user_id": user_id}],
        "messages": [{"from": number, "from_user_id": user_id, "id": id, "timestamp": at_s.to_string(), "type": "text", "text": {"body": "quiet"}}],
    }}]}]});
    let exchange =
        async { Connection::tcp(&setup.http).await?.exchange(&webhook::signed_request(&webhook.to_string())).await };
    let answer = exchange.await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn merged_contacts_keep_every_id_valid() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url())
        .probe("count", "prefix = \"n\", count = true, reply = \"\"", "order = 1")
        .plugin("gallery", "grant = [\"groups\", \"messages\"]\norder = 2")
        .toml(UNPACED);
    let simulator = address.start(&setup).await;
    let daemon = setup.start().await;
    simulator.add_person("Ana", "31600000001").await;
    simulator.control("POST", "people", &json!({ "name": "Mia", "hidden": true })).await;
    simulator.say("Ana", "n").await;
    simulator.expect_texts("Ana", &["1 n"]).await;
    simulator.say("Ana", "n").await;
    simulator.say("Mia", "n").await;
    simulator.expect_texts("Mia", &["1 n"]).await;
    simulator.expect_texts("Ana", &["1 n", "2 n"]).await;
    let (ana, mia) = (contact(&daemon, "Ana").await, contact(&daemon, "Mia").await);

    // A webhook merges no contacts; it only makes them possible duplicates.
    write_with_both_ids(&setup, &simulator, "wamid.BOTH").await;
    let (code, printed, hint) = cli(&setup, &["contacts", "duplicates"]).await;
    assert!(
        code == 0 && printed.contains(&format!("Mia ({mia})")) && hint.contains("contacts merge CONTACT OTHER"),
        "{printed}"
    );
    let (code, planned, _) = cli(&setup, &["contacts", "merge", &ana, &mia, "--dry-run"]).await;
    assert!(code == 0 && planned.contains("Nothing was changed") && planned.contains("(count)"), "{planned}");
    assert_eq!(daemon.list_all("contacts").await.len(), 2);

    let (code, printed, _) = cli(&setup, &["contacts", "merge", &ana, &mia]).await;
    let table = |text: &str| text.split_once("\n\n").map(|(_, table)| table.to_owned());
    assert!(code == 0 && printed.contains("remains valid") && table(&printed) == table(&planned), "{printed}");
    // Plugins get an event, and what they write to the old id arrives.
    let notice = format!("{mia} is {ana} now");
    wait_until("the plugin reports the merge", async || {
        let all = [simulator.texts("Ana").await, simulator.texts("Mia").await].concat();
        all.contains(&notice).then_some(())
    })
    .await;
    // One conversation and one count, answered at the address of each message.
    simulator.say("Mia", "n").await;
    wait_until("the count goes on", async || simulator.texts("Mia").await.contains(&"3 n".to_owned()).then_some(()))
        .await;
    simulator.say("Ana", "n").await;
    wait_until("the count goes on", async || simulator.texts("Ana").await.contains(&"4 n".to_owned()).then_some(()))
        .await;
    for id in [&ana, &mia] {
        let (code, printed, _) = cli(&setup, &["contacts", "show", id]).await;
        assert!(code == 0 && printed.contains(&ana) && printed.contains(&mia), "{printed}");
        assert_eq!(daemon.list_all(&format!("events?kind=message&contact={id}")).await.len(), 6);
    }
    let (_, trace, _) = cli(&setup, &["why", &mia]).await;
    assert!(trace.contains(&format!("was merged into {ana}")) && trace.contains("merged"), "{trace}");
    let (code, printed, _) = cli(&setup, &["contacts", "duplicates"]).await;
    assert_eq!((code, printed.trim()), (0, "No possible duplicates."));
    let (code, _, printed) = cli(&setup, &["contacts", "merge", &ana, &mia]).await;
    assert!(code == 1 && printed.contains("same-contact"), "{printed}");
    assert_eq!(daemon.status_count("dead_letters").await, 0);
    // All of it survives a restart.
    daemon.stop().await;
    let daemon = setup.start().await;
    simulator.say("Mia", "n").await;
    wait_until("the count goes on", async || simulator.texts("Mia").await.contains(&"5 n".to_owned()).then_some(()))
        .await;
    daemon.stop().await;
}

#[tokio::test]
async fn contacts_marked_distinct_are_not_listed_again() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).toml(UNPACED);
    let simulator = address.start(&setup).await;
    let daemon = setup.start().await;
    simulator.add_person("Ana", "31600000001").await;
    simulator.control("POST", "people", &json!({ "name": "Mia", "hidden": true })).await;
    for name in ["Ana", "Mia"] {
        simulator.say(name, "hello").await;
    }
    simulator.wait_until_delivered().await;
    write_with_both_ids(&setup, &simulator, "wamid.1").await;
    let (ana, mia) = (contact(&daemon, "Ana").await, contact(&daemon, "Mia").await);
    assert_eq!(daemon.list_all("contacts/duplicates").await.len(), 2, "the WhatsApp id, and the number in it");
    let (code, printed, _) = cli(&setup, &["contacts", "mark-distinct", &mia, &ana]).await;
    assert!(code == 0 && printed.contains("marked as distinct"), "{printed}");
    write_with_both_ids(&setup, &simulator, "wamid.2").await;
    assert_eq!(daemon.list_all("contacts/duplicates").await.len(), 0);
    let (code, _, printed) = cli(&setup, &["contacts", "merge", &ana, "con_99"]).await;
    assert!(code == 1 && printed.contains("not-found"), "{printed}");
    assert_eq!(cli(&setup, &["contacts", "merge", &ana, "Mia"]).await.0, 2);
    assert_eq!(daemon.list_all("contacts").await.len(), 2);
    daemon.stop().await;
}
