//! A plugin that kills the daemon while it is loaded, or takes for ever, does not keep it from starting: the next start
//! loads it last and alone, the one after that not at all; and none waits for it longer than it is told to.
//!
//! The kill is a real one, in the middle of a compilation that takes long enough to be met: the daemon says on disk whom it
//! is loading, and the scenario plays the plugin that ends it.

use crate::{UNPACED, text};
use beadle_e2e::daemon::{Setup, Starting};
use beadle_e2e::guest::heavy;
use beadle_e2e::program::{plugin, probe, revision_of};
use beadle_e2e::simulator::Place;
use beadle_e2e::until;
use serde_json::{Value, json};

/// What the daemon says that it is loading under this name.
fn loading(setup: &Setup, name: &str) -> Option<Value> {
    let mark = std::fs::read(setup.data().join("loading").join(format!("{name}.json"))).ok()?;
    serde_json::from_slice(&mark).ok()
}

/// Kills it while it loads what lies in the folder under this name, alone or beside others.
async fn killed_while_it_loads(setup: &Setup, name: &str, alone: bool) {
    let Starting { mut program, .. } = setup.launch();
    let bytes = std::fs::read(setup.plugin_file(name)).unwrap();
    let revision = revision_of(&bytes);
    let wanted = json!({ "revision": revision, "alone": alone });
    until(&format!("{name} is loaded"), async || loading(setup, name).filter(|it| *it == wanted)).await;
    program.kill9().await;
}

#[tokio::test]
async fn one_that_kills_each_start_is_found_out_and_the_others_run() {
    let place = Place::new();
    let setup = Setup::new(&place.url()).plugin("echo", "").toml(UNPACED);
    setup.put_bytes("killer", &heavy());
    killed_while_it_loads(&setup, "killer", false).await;
    // Now it is a suspect: the others are loaded first, then it is, alone; and the daemon dies again.
    killed_while_it_loads(&setup, "killer", true).await;
    let daemon = setup.start().await;
    let row = daemon.plugin_until("killer", |row| text(row, "/state") == "suspended").await;
    assert_eq!(text(&row, "/problem/code"), "plugin-load-crash", "{row}");
    let status = String::from_utf8_lossy(&setup.cli(&["status"]).await.stdout).into_owned();
    assert!(status.contains("plugin-load-crash"), "{status}");
    let simulator = place.start(&setup).await;
    simulator.say("Ana", "hello").await;
    simulator.got("Ana", &["hello"]).await;
    // It stands across starts.
    daemon.stop().await;
    let daemon = setup.start().await;
    daemon.plugin_until("killer", |row| text(row, "/problem/code") == "plugin-load-crash").await;
    // A person has it tried again; this time nothing kills the daemon.
    let enabled = setup.cli(&["plugins", "enable", "killer"]).await;
    assert!(enabled.status.success(), "{enabled:?}");
    daemon.plugin_until("killer", |row| text(row, "/state") == "active").await;
    assert_eq!(loading(&setup, "killer"), None);
    daemon.stop().await;
    // A start after one that ended well is a start as any other.
    let daemon = setup.start().await;
    assert_eq!(text(&daemon.get("plugins/killer").await, "/state"), "active");
    daemon.stop().await;
}

#[tokio::test]
async fn while_one_is_isolated_what_is_for_it_is_kept_and_a_better_file_has_it() {
    let place = Place::new();
    // It served before, as an observer; then comes a file that kills.
    let table = "[plugins.watcher]\nstage = \"observe\"\nsettings = { reply = \"seen: \" }";
    let setup = Setup::new(&place.url()).plugin("echo", "").toml(UNPACED).toml(table);
    setup.put_bytes("watcher", &probe("v1"));
    setup.start().await.stop().await;
    setup.put_bytes("watcher", &heavy());
    // What served is loaded first, and it is not the one that kills.
    killed_while_it_loads(&setup, "watcher", false).await;
    killed_while_it_loads(&setup, "watcher", true).await;
    let daemon = setup.start().await;
    let row = daemon.get("plugins/watcher").await;
    assert_eq!((text(&row, "/state"), text(&row, "/problem/code")), ("active", "plugin-load-crash"), "{row}");
    let simulator = place.start(&setup).await;
    simulator.say("Ana", "one").await;
    until("both have seen it", async || (simulator.texts("Ana").await.len() == 2).then_some(())).await;
    daemon.stop().await;
    // What served is lost too: nobody serves, and what comes is kept for whoever does.
    std::fs::remove_dir_all(setup.data().join("revisions")).unwrap();
    let daemon = setup.start().await;
    daemon.plugin_until("watcher", |row| text(row, "/state") == "suspended").await;
    simulator.say("Ana", "two").await;
    daemon.plugin_until("watcher", |row| row.get("kept_events") == Some(&json!(1))).await;
    setup.put_bytes("watcher", &probe("v2"));
    until("it is seen after all", async || {
        simulator.texts("Ana").await.iter().any(|text| text == "v2seen: two").then_some(())
    })
    .await;
    daemon.stop().await;
}

#[tokio::test]
async fn a_death_that_was_nobody_s_fault_isolates_nobody() {
    let place = Place::new();
    let setup = Setup::new(&place.url()).plugin("echo", "").toml(UNPACED);
    setup.put_bytes("heavy", &heavy());
    killed_while_it_loads(&setup, "heavy", false).await;
    let daemon = setup.start().await;
    daemon.plugin_until("heavy", |row| text(row, "/state") == "active").await;
    assert_eq!(loading(&setup, "heavy"), None);
    setup.put_plugin("heavy", &plugin("echo"));
    daemon.plugin_until("heavy", |row| row.get("earlier").is_some()).await;
    daemon.stop().await;
}

#[tokio::test]
async fn one_that_takes_too_long_is_not_waited_for() {
    let place = Place::new();
    let table = "[daemon]\nstart_patience = \"50ms\"\n[plugins.heavy]\nstage = \"observe\"";
    let setup = Setup::new(&place.url()).plugin("echo", "").toml(UNPACED);
    setup.put_bytes("heavy", &heavy());
    setup.start().await.stop().await;
    // Nothing is compiled any more: it takes as long as the first time.
    std::fs::remove_dir_all(setup.data().join("cache")).unwrap();
    setup.put_conf("10-more", table);
    let daemon = setup.start().await;
    assert_eq!(text(&daemon.get("plugins/heavy").await, "/problem/code"), "plugin-loading");
    daemon.plugin_until("echo", |row| text(row, "/state") == "active").await;
    let simulator = place.start(&setup).await;
    simulator.say("Ana", "hello").await;
    // What comes for it is kept, and it gets it when it is there.
    daemon.plugin_until("heavy", |row| row.get("kept_events") == Some(&json!(1))).await;
    let there = |row: &Value| text(row, "/state") == "active" && row.get("kept_events") == Some(&json!(0));
    let row = daemon.plugin_until("heavy", there).await;
    assert_eq!(row.pointer("/calls/0"), Some(&json!(1)), "{row}");
    simulator.got("Ana", &["hello"]).await;
    daemon.stop().await;
}
