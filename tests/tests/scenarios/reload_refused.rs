//! Revisions that do not take over by themselves: for want of a right, for settings that do not fit, because they fail;
//! and the way back.

use crate::{UNPACED, text};
use beadle_e2e::daemon::Setup;
use beadle_e2e::program::{self, probe};
use beadle_e2e::simulator::Place;
use beadle_e2e::until;
use serde_json::Value;

fn said(output: &std::process::Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn who_asks_for_more_than_it_has_waits_until_it_is_granted() {
    let place = Place::new();
    let setup = Setup::new(&place.url()).plugin_as("bot", "echo", "");
    let daemon = setup.start().await;
    let simulator = place.start(&setup).await;
    simulator.say("Ana", "one").await;
    simulator.got("Ana", &["one"]).await;
    // The old one serves while the new one waits.
    setup.put_plugin("bot", &program::plugin("eager"));
    let row = daemon.plugin_until("bot", |row| text(row, "/problem/code") == "plugin-pending").await;
    assert_eq!((text(&row, "/state"), text(&row, "/refused_at")), ("active", "wishes"), "{row}");
    simulator.say("Ana", "two").await;
    simulator.got("Ana", &["one", "two"]).await;
    let none = setup.cli(&["plugins", "grant", "bot", "everything"]).await;
    assert!(!none.status.success() && said(&none).contains("unknown-capability"), "{}", said(&none));
    let granted = setup.cli(&["plugins", "grant", "bot", "messages"]).await;
    assert!(said(&granted).contains("write to people first"), "{}", said(&granted));
    daemon.plugin_until("bot", |row| row.get("problem").is_none()).await;
    simulator.say("Ana", "three").await;
    simulator.got("Ana", &["one", "two", "eager: three"]).await;
    let shown = said(&setup.cli(&["plugins", "show", "bot"]).await);
    assert!(shown.contains("messages") && shown.contains("command") && shown.contains("cpu_ms"), "{shown}");
    // It stands across a start; taken back, it runs no more.
    daemon.stop().await;
    let daemon = setup.start().await;
    simulator.say("Ana", "four").await;
    simulator.got("Ana", &["one", "two", "eager: three", "eager: four"]).await;
    setup.cli(&["plugins", "revoke", "bot", "messages"]).await;
    daemon.plugin_until("bot", |row| text(row, "/state") == "pending").await;
    daemon.stop().await;
}

#[tokio::test]
async fn rollback_goes_back_and_stays_there_until_another_file_comes() {
    let place = Place::new();
    let setup = Setup::new(&place.url()).probe("probe", "reply = \": \"", "");
    setup.put_bytes("probe", &probe("v1"));
    let daemon = setup.start().await;
    let simulator = place.start(&setup).await;
    let none = setup.cli(&["plugins", "rollback", "probe"]).await;
    assert!(said(&none).contains("no-earlier-revision"), "{}", said(&none));
    setup.put_bytes("probe", &probe("v2"));
    daemon.plugin_until("probe", |row| !text(row, "/earlier/0").is_empty()).await;
    let back = setup.cli(&["plugins", "rollback", "probe"]).await;
    assert!(back.status.success(), "{}", said(&back));
    simulator.say("Ana", "one").await;
    simulator.got("Ana", &["v1: one"]).await;
    // Also after a start, and where the file is written again with the same bytes.
    daemon.stop().await;
    setup.put_bytes("probe", &probe("v2"));
    let daemon = setup.start().await;
    simulator.say("Ana", "two").await;
    simulator.got("Ana", &["v1: one", "v1: two"]).await;
    setup.put_bytes("probe", &probe("v3"));
    daemon.plugin_until("probe", |row| row.get("sent_back").is_none() && !text(row, "/earlier/0").is_empty()).await;
    simulator.say("Ana", "three").await;
    simulator.got("Ana", &["v1: one", "v1: two", "v3: three"]).await;
    daemon.stop().await;
}

#[tokio::test]
async fn what_the_new_one_fails_the_old_one_does_and_the_new_one_is_sent_back() {
    let place = Place::new();
    let setup = Setup::new(&place.url()).probe("probe", "reply = \": \"", "").toml(UNPACED);
    setup.put_bytes("probe", &probe("v1"));
    let daemon = setup.start().await;
    let simulator = place.start(&setup).await;
    // Nothing has happened yet, so a dry run cannot tell.
    setup.put_bytes("probe", &probe("v2!trap"));
    daemon.plugin_until("probe", |row| text(row, "/state") == "probation").await;
    for text in ["one", "two", "three", "four"] {
        simulator.say("Ana", text).await;
    }
    simulator.got("Ana", &["v1: one", "v1: two", "v1: three", "v1: four"]).await;
    let row = daemon.plugin_until("probe", |row| text(row, "/problem/code") == "rolled-back").await;
    assert_eq!(text(&row, "/state"), "active", "{row}");
    daemon.idle().await;
    assert_eq!(daemon.count("dead-letters").await, 0);
    // Now that something has happened the dry run is enough: the same mistake is not let in again.
    setup.put_bytes("probe", &probe("v3!trap"));
    let row = daemon.plugin_until("probe", |row| text(row, "/problem/code") == "dry-run-failed").await;
    assert_eq!((text(&row, "/state"), text(&row, "/refused_at")), ("active", "dry run"), "{row}");
    assert_eq!(simulator.texts("Ana").await.len(), 4, "a dry run sends nothing");
    setup.put_bytes("probe", &probe("v4"));
    daemon.plugin_until("probe", |row| row.get("problem").is_none()).await;
    simulator.say("Ana", "five").await;
    until("the new one answers", async || simulator.texts("Ana").await.last().filter(|it| *it == "v4: five").cloned())
        .await;
    daemon.stop().await;
}

#[tokio::test]
async fn what_serves_when_the_file_is_bad_at_the_start_is_what_served_before() {
    let place = Place::new();
    let setup = Setup::new(&place.url()).probe("probe", "reply = \": \"", "");
    setup.put_bytes("probe", &probe("v1"));
    let daemon = setup.start().await;
    daemon.stop().await;
    setup.put_bytes("probe", b"\0asm and no more");
    let daemon = setup.start().await;
    let simulator = place.start(&setup).await;
    let row = daemon.get("plugins/probe").await;
    assert_eq!(text(&row, "/state"), "active", "{row}");
    assert!(row.get("problem").is_some_and(Value::is_object), "{row}");
    simulator.say("Ana", "one").await;
    simulator.got("Ana", &["v1: one"]).await;
    daemon.stop().await;
}
