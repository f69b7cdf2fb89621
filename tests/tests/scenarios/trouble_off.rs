//! A plugin is switched off and on again by a person: it gets nothing meanwhile, keeps its place, and stays as it is across
//! starts.

use crate::text;
use crate::trouble_rests::{each_says, meet_people, world};
use serde_json::json;

const HOUR_MS: i64 = 60 * 60 * 1000;

#[tokio::test]
async fn what_is_switched_off_gets_nothing_and_its_timers_wait() {
    let (setup, daemon, simulator) =
        world(|setup| setup.plugin("hourglass", "order = 1").plugin("echo", "order = 2")).await;
    simulator.say("Ana", "in 10 tea").await;
    simulator.advance(0).await;
    let off = setup.cli(&["plugins", "disable", "hourglass"]).await;
    assert!(String::from_utf8_lossy(&off.stdout).contains("switched off"), "{off:?}");
    let row = daemon.plugin_until("hourglass", |row| text(row, "/state") == "disabled").await;
    assert!(row.get("problem").is_none() && row.get("disabled_since").is_some(), "{row}");
    let refused = setup.cli(&["plugins", "rollback", "hourglass"]).await;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("plugin-disabled"), "{refused:?}");
    simulator.say("Ana", "in 20 cake").await;
    simulator.advance(HOUR_MS).await;
    simulator.got("Ana", &["in 20 cake"]).await;

    daemon.stop().await;
    let daemon = setup.start().await;
    daemon.plugin_until("hourglass", |row| text(row, "/state") == "disabled").await;
    simulator.advance(HOUR_MS).await;
    simulator.got("Ana", &["in 20 cake"]).await;
    // A file that comes meanwhile is not loaded.
    setup.put_bytes("hourglass", b"no plugin at all");
    setup.put_bytes("zz", b"no plugin either");
    daemon.plugin_until("zz", |row| text(row, "/state") == "broken").await;
    assert_eq!(text(&daemon.get("plugins/hourglass").await, "/state"), "disabled");
    setup.put_plugin("hourglass", &beadle_e2e::program::plugin("hourglass"));

    let on = setup.cli(&["plugins", "enable", "hourglass"]).await;
    assert!(String::from_utf8_lossy(&on.stdout).contains("asked again"), "{on:?}");
    daemon.plugin_until("hourglass", |row| text(row, "/state") == "active").await;
    simulator.advance(0).await;
    // The timer that was due while it was off comes now.
    let texts = simulator.texts("Ana").await;
    assert!(texts.len() == 2 && texts.iter().any(|text| text.starts_with("tea ")), "{texts:?}");
    let again = setup.cli(&["plugins", "enable", "hourglass"]).await;
    assert!(String::from_utf8_lossy(&again.stdout).contains("neither"), "{again:?}");
    daemon.stop().await;
}

#[tokio::test]
async fn what_waits_for_one_that_is_switched_off_while_it_is_suspended_waits_on() {
    let (setup, daemon, simulator) =
        world(|setup| setup.probe("frail", "reply = \": \", wrong = \"trap\", every = 2", "stage = \"observe\"")).await;
    meet_people(&simulator).await;
    each_says(&simulator, "n 2").await;
    simulator.advance(HOUR_MS).await;
    daemon.plugin_until("frail", |row| row.get("kept_events") == Some(&json!(6))).await;
    setup.cli(&["plugins", "disable", "frail"]).await;
    simulator.say("P0", "n 4").await;
    simulator.advance(0).await;
    daemon.stop().await;
    let daemon = setup.start().await;
    let row = daemon.plugin_until("frail", |row| text(row, "/state") == "disabled").await;
    assert_eq!(row.get("kept_events"), Some(&json!(6)), "what came while it was off is not for it: {row}");
    let on = setup.cli(&["plugins", "enable", "frail"]).await;
    assert!(String::from_utf8_lossy(&on.stdout).contains("6 events"), "{on:?}");
    daemon.stop().await;
}
