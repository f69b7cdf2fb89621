//! A plugin that fails for everyone rests or is suspended: no one waits for it, it is reported
//! everywhere, and it returns by itself or by an operator's command.

use crate::{UNPACED, text};
use beadle_test_support::daemon::{Daemon, Setup};
use beadle_test_support::program::probe;
use beadle_test_support::simulator::{Simulator, SimulatorAddress};
use beadle_test_support::wait_until;
use serde_json::{Value, json};

/// A little more than the first rest.
const REST_MS: i64 = 6000;
/// More than the rests and trials before a suspension.
const TEN_MINUTES_MS: i64 = 600_000;

pub(crate) async fn start(setup: impl FnOnce(Setup) -> Setup) -> (Setup, Daemon, Simulator) {
    let address = SimulatorAddress::reserve();
    let setup = setup(Setup::new(&address.url()).clock(&address.clock_url())).toml(UNPACED);
    let simulator = address.start_virtual(&setup).await;
    let daemon = setup.start().await;
    (setup, daemon, simulator)
}

/// More people than the lanes that must fail before a plugin rests.
const PEOPLE: [&str; 6] = ["P0", "P1", "P2", "P3", "P4", "P5"];

pub(crate) async fn add_people(simulator: &Simulator) {
    for (n, name) in PEOPLE.iter().enumerate() {
        simulator.add_person(name, &format!("3165000{n:04}")).await;
    }
}

/// Each of them writes `text`; then the clock advances by two seconds.
pub(crate) async fn all_write(simulator: &Simulator, text: &str) {
    for name in PEOPLE {
        simulator.say(name, text).await;
    }
    simulator.advance(2000).await;
}

fn code_of(row: &Value) -> &str {
    text(row, "/problem/code")
}

#[tokio::test]
async fn resting_answerer_is_passed_over_and_one_event_brings_it_back() {
    // It fails for texts that end in an even number.
    let (_setup, daemon, simulator) = start(|setup| {
        setup
            .probe("frail", "reply = \"frail: \", wrong = \"trap\", every = 2", "order = 1")
            .plugin("echo", "order = 2")
    })
    .await;
    add_people(&simulator).await;
    all_write(&simulator, "n 2").await;
    let row = daemon.wait_for_plugin("frail", |row| text(row, "/state") == "resting").await;
    assert_eq!(code_of(&row), "plugin-resting", "{row}");
    // The next plugin answers at once; the resting one is not called.
    simulator.say("Ana", "n 1").await;
    simulator.advance(0).await;
    simulator.expect_texts("Ana", &["n 1"]).await;
    let events = daemon.list_all("events?kind=message").await;
    let event = daemon.get(&format!("events/{}", text(events.first().unwrap_or(&Value::Null), "/id"))).await;
    assert_eq!(text(&event, "/handlings/0/state"), "passed-over", "{event}");
    assert_eq!(event.pointer("/handlings/0/attempts"), Some(&json!(0)), "{event}");
    // After the rest one event is tried; it succeeds, and the plugin is active again.
    simulator.advance(REST_MS).await;
    simulator.say("Bram", "n 3").await;
    simulator.advance(0).await;
    simulator.expect_texts("Bram", &["frail: n 3"]).await;
    daemon.wait_for_plugin("frail", |row| text(row, "/state") == "active" && row.get("problem").is_none()).await;
    // Everyone has one reply, and the failed handlings are dead letters.
    let sent = simulator.sent_counts().await;
    assert_eq!(sent.get("n 2"), Some(&6), "{sent:?}");
    let dead = daemon.list_all("dead-letters").await;
    assert!(dead.len() == 6 && dead.iter().all(|row| text(row, "/code") == "trap"), "{dead:?}");
    daemon.stop().await;
}

#[tokio::test]
async fn events_between_two_tries_go_on_when_the_plugin_rests() {
    let (_setup, daemon, simulator) =
        start(|setup| setup.probe("frail", "wrong = \"trap\"", "order = 1").plugin("echo", "order = 2")).await;
    add_people(&simulator).await;
    for name in PEOPLE {
        simulator.say(name, "hello").await;
    }
    // Past the first pause and far from the end of the second: the second tries fail and make the
    // plugin rest. From here on, time stands still.
    simulator.advance(400).await;
    for name in PEOPLE {
        simulator.expect_texts(name, &["hello"]).await;
    }
    let row = daemon.get("plugins/frail").await;
    assert_eq!(text(&row, "/state"), "resting", "{row}");
    daemon.stop().await;
}

#[tokio::test]
async fn failing_conversation_delays_no_other() {
    let (_setup, daemon, simulator) =
        start(|setup| setup.probe("frail", "reply = \"frail: \", wrong = \"trap\", every = 2", "stage = \"observe\""))
            .await;
    for n in 0..8 {
        simulator.say("Ana", &format!("poison {}", 2 * n)).await;
        simulator.say("Bram", &format!("water {}", 2 * n + 1)).await;
    }
    simulator.advance(TEN_MINUTES_MS).await;
    daemon.wait_until_idle().await;
    let row = daemon.get("plugins/frail").await;
    assert!(text(&row, "/state") == "active" && row.get("problem").is_none(), "{row}");
    assert_eq!(simulator.texts("Bram").await.len(), 8);
    let mut dead = daemon.list_all("dead-letters").await;
    dead.reverse();
    let attempts: Vec<_> = dead.iter().filter_map(|row| row.get("attempts").and_then(Value::as_u64)).collect();
    // Three events get all attempts, then one each, so that the lane does not wait a minute for
    // each.
    assert_eq!(attempts, [5, 5, 5, 1, 1, 1, 1, 1], "{dead:?}");
    // One success restores all tries.
    simulator.say("Ana", "well 1").await;
    simulator.say("Ana", "poison 2").await;
    simulator.advance(TEN_MINUTES_MS).await;
    daemon.wait_until_idle().await;
    assert_eq!(daemon.list_all("dead-letters").await.first().and_then(|row| row.get("attempts")), Some(&json!(5)));
    daemon.stop().await;
}

#[tokio::test]
async fn resting_guard_follows_on_failure() {
    for (on_failure, answered, dead) in [("skip", true, 0), ("hold", false, 1)] {
        let (_setup, daemon, simulator) = start(|setup| {
            let table = format!("stage = \"guard\"\non_failure = \"{on_failure}\"");
            setup.probe("guard", "wrong = \"trap\", every = 2, claim = false", &table).plugin("echo", "")
        })
        .await;
        add_people(&simulator).await;
        all_write(&simulator, "n 2").await;
        daemon.wait_for_plugin("guard", |row| text(row, "/state") == "resting").await;
        let before = daemon.status_count("dead_letters").await;
        simulator.say("Ana", "n 4").await;
        simulator.advance(0).await;
        assert_eq!(simulator.texts("Ana").await == ["n 4"], answered, "{on_failure}");
        simulator.advance(TEN_MINUTES_MS).await;
        daemon.wait_until_idle().await;
        assert_eq!(simulator.texts("Ana").await == ["n 4"], answered, "{on_failure}: no answer without the guard");
        let letters = daemon.list_all("dead-letters").await;
        let anas = letters.iter().filter(|row| text(row, "/summary").contains("n 4")).count();
        assert_eq!(anas, dead, "{on_failure}: {before} before, {letters:?}");
        daemon.stop().await;
    }
}

#[tokio::test]
async fn plugin_that_fails_every_trial_is_suspended_and_reported() {
    let (setup, daemon, simulator) = start(|setup| {
        setup.put_bytes("frail", &probe("v1!trap"));
        setup.toml("[plugins.frail]\nstage = \"observe\"\nsettings = { reply = \": \", count = true }")
    })
    .await;
    add_people(&simulator).await;
    all_write(&simulator, "one").await;
    simulator.advance(TEN_MINUTES_MS).await;
    let row = daemon.wait_for_plugin("frail", |row| text(row, "/state") == "suspended").await;
    assert_eq!(code_of(&row), "plugin-suspended", "{row}");
    // Its events wait on disk and hold nothing up.
    all_write(&simulator, "two").await;
    daemon.wait_until_idle().await;
    daemon.wait_for_plugin("frail", |row| row.get("waiting_events") == Some(&json!(12))).await;
    assert!(simulator.messages(None).await.is_empty());
    let status = String::from_utf8_lossy(&setup.cli(&["status"]).await.stdout).into_owned();
    assert!(status.contains("suspended") && status.contains("plugin-suspended"), "{status}");
    let output = String::from_utf8_lossy(&setup.cli(&["plugins", "show", "frail"]).await.stdout).into_owned();
    assert!(
        output.lines().any(|line| line.starts_with("waiting events") && line.ends_with("  12"))
            && output.contains("trap"),
        "{output}"
    );
    let (ready, metrics) = (daemon.try_get("/readyz").await.unwrap(), daemon.try_get("/metrics").await.unwrap().text());
    assert!(ready.status == 200 && ready.text().contains("suspended"), "{}", ready.text());
    assert!(metrics.contains("beadle_plugins{state=\"suspended\"} 1"), "{metrics}");
    assert!(metrics.contains("beadle_plugin_backlog_events{plugin=\"frail\"} 12"), "{metrics}");
    daemon.wait_for_systemd_status("1 plugin is suspended").await;
    let explained = String::from_utf8_lossy(&setup.cli(&["explain", "plugin-suspended"]).await.stdout).into_owned();
    assert!(explained.contains("plugins enable"), "{explained}");

    // The suspension and the waiting events survive a restart.
    daemon.kill9().await;
    let daemon = setup.start().await;
    let suspended = |row: &Value| text(row, "/state") == "suspended" && row.get("waiting_events") == Some(&json!(12));
    daemon.wait_for_plugin("frail", suspended).await;
    all_write(&simulator, "three").await;
    // A new revision handles the waiting events first, in the order of each conversation.
    setup.put_bytes("frail", &probe("v2"));
    daemon.wait_for_plugin("frail", |row| text(row, "/state") != "suspended").await;
    all_write(&simulator, "four").await;
    wait_until("all events are handled", async || (simulator.messages(None).await.len() == 24).then_some(())).await;
    for name in PEOPLE {
        simulator.expect_texts(name, &["v2: 1 one", "v2: 2 two", "v2: 3 three", "v2: 4 four"]).await;
    }
    daemon.wait_for_plugin("frail", |row| row.get("waiting_events") == Some(&json!(0))).await;
    assert_eq!(daemon.status_count("dead_letters").await, 0);
    daemon.stop().await;
}

#[tokio::test]
async fn plugin_that_asks_for_retry_is_never_suspended() {
    let (setup, daemon, simulator) =
        start(|setup| setup.probe("crm", "reply = \": \", wrong = \"retry\", every = 2", "stage = \"observe\"")).await;
    add_people(&simulator).await;
    all_write(&simulator, "n 2").await;
    // It asks for a retry for a whole night.
    simulator.advance(8 * 60 * 60 * 1000).await;
    let row = daemon.wait_for_plugin("crm", |row| text(row, "/state") == "resting").await;
    assert_eq!(code_of(&row), "plugin-resting", "{row}");
    // The operator enables it before its next trial.
    let enabled = setup.cli(&["plugins", "enable", "crm"]).await;
    assert!(enabled.status.success(), "{enabled:?}");
    simulator.say("Ana", "n 1").await;
    simulator.advance(0).await;
    simulator.expect_texts("Ana", &[": n 1"]).await;
    daemon.stop().await;
}

/// The operator takes a plugin away that always fails: it is not tried again. What waited for it is
/// kept in case it returns.
#[tokio::test]
async fn removed_plugin_that_rested_is_not_tried_again() {
    let (setup, daemon, simulator) =
        start(|setup| setup.probe("frail", "wrong = \"give-up\"", "stage = \"observe\"").plugin("echo", "")).await;
    add_people(&simulator).await;
    for round in 0..3 {
        all_write(&simulator, &format!("n {round}")).await;
    }
    daemon.wait_for_plugin("frail", |row| text(row, "/state") == "resting").await;
    std::fs::remove_file(setup.plugin_file("frail")).unwrap();
    daemon.wait_for_plugin("frail", |row| text(row, "/state") == "broken").await;
    let letters = daemon.status_count("dead_letters").await;
    simulator.advance(TEN_MINUTES_MS).await;
    daemon.wait_until_idle().await;
    assert_eq!(daemon.status_count("dead_letters").await, letters);
    let row = daemon.get("plugins/frail").await;
    assert!(row.get("waiting_events").and_then(Value::as_u64) > Some(0), "{row}");
    daemon.stop().await;
}
