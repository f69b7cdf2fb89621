//! A plugin that traps on every third event: it handles the others, the next plugin answers those,
//! and the failures are reported.

use crate::UNPACED;
use beadle_test_support::daemon::Setup;
use beadle_test_support::simulator::SimulatorAddress;
use beadle_test_support::wait_until;
use serde_json::{Value, json};

const MESSAGES: u64 = 30;

#[tokio::test]
async fn trapped_events_go_to_the_next_plugin() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url())
        .probe("frail", "reply = \"frail: \", wrong = \"trap\", every = 3", "order = 1")
        .plugin("echo", "order = 2")
        .toml(UNPACED);
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    simulator.flood(10, MESSAGES, 0.0, "n").await;
    wait_until("everyone has an answer", async || {
        (simulator.sent_counts().await.len() as u64 >= MESSAGES).then_some(())
    })
    .await;
    daemon.wait_until_idle().await;
    let sent = simulator.sent_counts().await;
    for n in 0..MESSAGES {
        // The effects of a trapped attempt are discarded, at every attempt.
        let (there, not_there) = match n % 3 {
            0 => (format!("n {n}"), format!("frail: n {n}")),
            _ => (format!("frail: n {n}"), format!("n {n}")),
        };
        assert_eq!((sent.get(&there), sent.get(&not_there)), (Some(&1), None), "{sent:?}");
    }
    let dead = daemon.list_all("dead-letters").await;
    assert_eq!(dead.len() as u64, MESSAGES / 3, "{dead:?}");
    for row in &dead {
        assert_eq!(row.get("plugin"), Some(&json!("frail")), "{row}");
        assert_eq!(row.get("attempts"), Some(&json!(3)), "{row}");
    }
    // `why` names the plugin that failed and the one that answered.
    let event = dead.first().and_then(|row| row.get("event")).and_then(Value::as_str).unwrap_or_default();
    let trace = daemon.get(&format!("why/{event}")).await.to_string();
    assert!(trace.contains("frail") && trace.contains("echo"), "{trace}");
    daemon.stop().await;
}

#[tokio::test]
async fn no_fault_affects_the_daemon_or_other_plugins() {
    let address = SimulatorAddress::reserve();
    let mut setup = Setup::new(&address.url()).plugin("echo", "order = 2").toml(UNPACED);
    let faults = ["trap", "spin", "memory", "stack", "flood"];
    for fault in faults {
        setup = setup.probe(fault, &format!("prefix = \"{fault}\", wrong = \"{fault}\""), "order = 1");
    }
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    let people = ["Ana", "Bram", "Kadri", "Tiit", "Eva"];
    for (name, number) in people.iter().zip(1..).skip(3) {
        simulator.add_person(name, &format!("3161000020{number}")).await;
    }
    for (person, fault) in people.iter().zip(faults) {
        simulator.say(person, &format!("{fault} please")).await;
    }
    for (person, fault) in people.iter().zip(faults) {
        simulator.expect_texts(person, &[&format!("{fault} please")]).await;
    }
    daemon.wait_until_idle().await;
    assert_eq!(daemon.status_count("dead_letters").await, faults.len() as i64);
    daemon.stop().await;
}
