//! A plugin is disabled and enabled by the operator: it gets no events meanwhile and keeps its
//! state across restarts.

use crate::resting_plugins::{add_people, all_write, start};
use crate::text;
use serde_json::{Value, json};

const HOUR_MS: i64 = 60 * 60 * 1000;

#[tokio::test]
async fn disabled_plugin_gets_nothing_until_it_is_enabled() {
    let (setup, daemon, simulator) =
        start(|setup| setup.plugin("hourglass", "order = 1").plugin("echo", "order = 2")).await;
    simulator.say("Ana", "in 10 tea").await;
    simulator.advance(0).await;
    let off = setup.cli(&["plugins", "disable", "hourglass"]).await;
    assert!(String::from_utf8_lossy(&off.stdout).contains("is disabled"), "{off:?}");
    let is_disabled = |row: &Value| text(row, "/state") == "disabled" && row.get("disabled_since").is_some();
    let row = daemon.wait_for_plugin("hourglass", is_disabled).await;
    assert!(row.get("problem").is_none(), "{row}");
    let refused = setup.cli(&["plugins", "rollback", "hourglass"]).await;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("plugin-disabled"), "{refused:?}");
    simulator.say("Ana", "in 20 cake").await;
    simulator.advance(HOUR_MS).await;
    simulator.expect_texts("Ana", &["in 20 cake"]).await;

    daemon.stop().await;
    let daemon = setup.start().await;
    daemon.wait_for_plugin("hourglass", |row| text(row, "/state") == "disabled").await;
    simulator.advance(HOUR_MS).await;
    simulator.expect_texts("Ana", &["in 20 cake"]).await;
    // A new file is not loaded while the plugin is disabled.
    setup.put_bytes("hourglass", b"no plugin at all");
    setup.put_bytes("zz", b"no plugin either");
    daemon.wait_for_plugin("zz", |row| text(row, "/state") == "broken").await;
    assert_eq!(text(&daemon.get("plugins/hourglass").await, "/state"), "disabled");
    setup.put_plugin("hourglass", &beadle_test_support::program::plugin("hourglass"));

    let on = setup.cli(&["plugins", "enable", "hourglass"]).await;
    assert!(String::from_utf8_lossy(&on.stdout).contains("is enabled"), "{on:?}");
    daemon.wait_for_plugin("hourglass", |row| text(row, "/state") == "active").await;
    simulator.advance(0).await;
    // The timer that became due while it was disabled fires now.
    let texts = simulator.texts("Ana").await;
    assert!(texts.len() == 2 && texts.iter().any(|text| text.starts_with("tea ")), "{texts:?}");
    let again = setup.cli(&["plugins", "enable", "hourglass"]).await;
    assert!(String::from_utf8_lossy(&again.stdout).contains("neither"), "{again:?}");
    daemon.stop().await;
}

#[tokio::test]
async fn disabling_a_suspended_plugin_keeps_its_backlog() {
    let (setup, daemon, simulator) =
        start(|setup| setup.probe("frail", "reply = \": \", wrong = \"trap\", every = 2", "stage = \"observe\"")).await;
    add_people(&simulator).await;
    all_write(&simulator, "n 2").await;
    simulator.advance(HOUR_MS).await;
    daemon.wait_for_plugin("frail", |row| row.get("waiting_events") == Some(&json!(6))).await;
    setup.cli(&["plugins", "disable", "frail"]).await;
    simulator.say("P0", "n 4").await;
    simulator.advance(0).await;
    daemon.stop().await;
    let daemon = setup.start().await;
    let row = daemon.wait_for_plugin("frail", |row| text(row, "/state") == "disabled").await;
    assert_eq!(
        row.get("waiting_events"),
        Some(&json!(6)),
        "events that arrived while it was disabled are not for it: {row}"
    );
    let on = setup.cli(&["plugins", "enable", "frail"]).await;
    assert!(String::from_utf8_lossy(&on.stdout).contains("6 waiting events"), "{on:?}");
    let row = daemon.wait_for_plugin("frail", |row| text(row, "/state") == "active").await;
    let steps: Vec<_> = row["load_steps"].as_array().unwrap().iter().map(|step| text(step, "/name")).collect();
    assert!(steps.contains(&"read") && !steps.contains(&"settle"), "the load waited for no file: {row}");
    daemon.stop().await;
}
