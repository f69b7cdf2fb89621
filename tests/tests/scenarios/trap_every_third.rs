//! A plugin that traps on every third event: those it can handle it handles, the others go to the next, and the daemon
//! tells about it.

use crate::UNPACED;
use beadle_e2e::daemon::Setup;
use beadle_e2e::simulator::Place;
use beadle_e2e::until;
use serde_json::{Value, json};

const MESSAGES: u64 = 30;

#[tokio::test]
async fn everyone_has_one_answer_and_the_failures_are_there_to_see() {
    let place = Place::new();
    let setup = Setup::new(&place.url())
        .probe("frail", "reply = \"frail: \", wrong = \"trap\", every = 3", "order = 1")
        .plugin("echo", "order = 2")
        .toml(UNPACED);
    let daemon = setup.start().await;
    let simulator = place.start(&setup).await;
    simulator.flood(10, MESSAGES, 0.0, "n").await;
    until("everyone has an answer", async || (simulator.sent().await.len() as u64 >= MESSAGES).then_some(())).await;
    daemon.idle().await;
    let sent = simulator.sent().await;
    for n in 0..MESSAGES {
        // What a trapped try asked for is not sent: neither the first time nor the third.
        let (there, not_there) = match n % 3 {
            0 => (format!("n {n}"), format!("frail: n {n}")),
            _ => (format!("frail: n {n}"), format!("n {n}")),
        };
        assert_eq!((sent.get(&there), sent.get(&not_there)), (Some(&1), None), "{sent:?}");
    }
    let dead = daemon.all("dead-letters").await;
    assert_eq!(dead.len() as u64, MESSAGES / 3, "{dead:?}");
    for row in &dead {
        assert_eq!(row.get("plugin"), Some(&json!("frail")), "{row}");
        assert_eq!(row.get("attempts"), Some(&json!(3)), "{row}");
    }
    // Somebody asks why: the story of the event names the plugin that failed and the one that answered.
    let event = dead.first().and_then(|row| row.get("event")).and_then(Value::as_str).unwrap_or_default();
    let why = daemon.get(&format!("why/{event}")).await.to_string();
    assert!(why.contains("frail") && why.contains("echo"), "{why}");
    daemon.stop().await;
}

#[tokio::test]
async fn no_plugin_takes_the_daemon_or_its_neighbours_down() {
    let place = Place::new();
    let mut setup = Setup::new(&place.url()).plugin("echo", "order = 2").toml(UNPACED);
    let wrongs = ["trap", "spin", "memory", "stack", "flood"];
    for wrong in wrongs {
        setup = setup.probe(wrong, &format!("prefix = \"{wrong}\", wrong = \"{wrong}\""), "order = 1");
    }
    let daemon = setup.start().await;
    let simulator = place.start(&setup).await;
    let people = ["Ana", "Bram", "Kadri", "Tiit", "Eva"];
    for (name, number) in people.iter().zip(1..).skip(3) {
        simulator.person(name, &format!("3161000020{number}")).await;
    }
    for (person, wrong) in people.iter().zip(wrongs) {
        simulator.say(person, &format!("{wrong} please")).await;
    }
    for (person, wrong) in people.iter().zip(wrongs) {
        simulator.got(person, &[&format!("{wrong} please")]).await;
    }
    daemon.idle().await;
    assert_eq!(daemon.count("dead-letters").await, wrongs.len() as i64);
    daemon.stop().await;
}
