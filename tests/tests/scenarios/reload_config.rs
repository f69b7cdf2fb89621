//! The configuration is changed while everything runs: what changed takes effect, a broken file changes nothing, and what
//! waits for a restart is named.

use crate::text;
use beadle_e2e::daemon::{Daemon, Setup};
use beadle_e2e::simulator::{Place, Simulator};
use beadle_e2e::until;
use serde_json::Value;

async fn started() -> (Setup, Daemon, Simulator) {
    let place = Place::new();
    let setup = Setup::new(&place.url()).plugin_as("probe", "probe", "").toml("[log]\nlevel = \"info\"");
    setup.put_conf("50-probe", "[plugins.probe]\nsettings = { reply = \"a: \" }");
    let daemon = setup.start().await;
    let simulator = place.start(&setup).await;
    (setup, daemon, simulator)
}

/// The problem with this code, once the status has it.
async fn problem(daemon: &Daemon, code: &str) -> String {
    let has = |status: &Value| {
        let problems = status.get("problems").and_then(Value::as_array).cloned().unwrap_or_default();
        problems.into_iter().find(|problem| text(problem, "/code") == code)
    };
    let what = format!("the status tells of {code}");
    let found = until(&what, async || has(&daemon.status().await)).await;
    text(&found, "/message").to_owned()
}

#[tokio::test]
async fn settings_take_effect_and_those_that_do_not_fit_change_nothing() {
    let (setup, daemon, simulator) = started().await;
    simulator.say("Ana", "one").await;
    simulator.got("Ana", &["a: one"]).await;
    setup.put_conf("50-probe", "[plugins.probe]\nsettings = { reply = \"b: \" }");
    daemon.plugin_until("probe", |row| text(row, "/state") == "probation").await;
    simulator.say("Ana", "two").await;
    simulator.got("Ana", &["a: one", "b: two"]).await;
    // The plugin does not understand it: told with the key, and what it had goes on.
    setup.put_conf("50-probe", "[plugins.probe]\nsettings = { reply = \"c: \", replay = true }");
    let row = daemon.plugin_until("probe", |row| text(row, "/problem/code") == "settings-invalid").await;
    assert!(text(&row, "/problem/message").contains("replay"), "{row}");
    simulator.say("Ana", "three").await;
    simulator.got("Ana", &["a: one", "b: two", "b: three"]).await;
    setup.put_conf("50-probe", "[plugins.probe]\nsettings = { reply = \"d: \" }\nlimits = { cpu_ms = 50 }");
    daemon.plugin_until("probe", |row| row.get("problem").is_none()).await;
    simulator.say("Ana", "four").await;
    simulator.got("Ana", &["a: one", "b: two", "b: three", "d: four"]).await;
    daemon.stop().await;
}

#[tokio::test]
async fn a_broken_file_leaves_all_as_it_was_and_says_where_it_is_broken() {
    let (setup, daemon, simulator) = started().await;
    // Two changes, one of them good: nothing of it happens.
    setup.put_conf("50-probe", "[plugins.probe]\nsettings = { reply = \"b: \" }\n[outbox]\nmax_in_flights = 3");
    let message = problem(&daemon, "config-unknown").await;
    assert!(message.contains("50-probe.toml:4") && message.contains("did you mean `max_in_flight`?"), "{message}");
    let shown = setup.cli(&["status"]).await.stdout;
    assert!(String::from_utf8_lossy(&shown).contains(message.trim_end()), "as `check` would show it");
    let logged = daemon.program.said();
    let line = logged.lines().find(|line| line.contains("50-probe.toml:4: there is no key `outbox.max_in_flights`"));
    assert!(line.is_some_and(|line| line.contains("did you mean `max_in_flight`?")), "{logged}");
    simulator.say("Ana", "one").await;
    simulator.got("Ana", &["a: one"]).await;
    setup.put_conf("50-probe", "[plugins.probe]\nsettings = { reply = \"b: \" }\n[outbox]\nmax_in_flight = 3");
    daemon.status_until(|status| status.pointer("/problems/0").is_none()).await;
    daemon.plugin_until("probe", |row| text(row, "/state") == "probation").await;
    simulator.say("Ana", "two").await;
    simulator.got("Ana", &["a: one", "b: two"]).await;
    daemon.stop().await;
}

#[tokio::test]
async fn what_needs_a_restart_is_named_beforehand_and_afterwards() {
    let (setup, daemon, _simulator) = started().await;
    let config = setup.config();
    let check = ["check", "--config", config.to_str().unwrap_or_default()];
    let said = |output: std::process::Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let same = said(setup.cli(&check).await);
    assert!(same.contains("what the running daemon has"), "{same}");
    setup.put_conf("60-more", "[retention]\nevents = \"20d\"");
    let main = std::fs::read_to_string(&config).unwrap().replace(&setup.http, "127.0.0.1:1");
    // Not saved yet under its name: `beadle check` looks at a copy, with the conf.d beside it.
    let aside = config.with_file_name("beadle.next");
    std::fs::write(&aside, &main).unwrap();
    let said = said(setup.cli(&["check", "--config", aside.to_str().unwrap_or_default()]).await);
    assert!(said.contains("After a restart:\n  http.listen changed"), "{said}");
    std::fs::rename(&aside, &config).unwrap();
    let message = problem(&daemon, "restart-required").await;
    assert!(message.contains("http.listen") && !message.contains("retention"), "{message}");
    // Written as it was, nothing waits any more.
    setup.write();
    daemon.status_until(|status| status.pointer("/problems/0").is_none()).await;
    daemon.stop().await;
}

#[tokio::test]
async fn sighup_reads_it_again() {
    let (setup, mut daemon, _simulator) = started().await;
    daemon.program.hang_up();
    daemon.program.line(|line| line.contains("what is written is the same").then_some(())).await;
    setup.put_conf("60-more", "[keywords]\nbrand = \"De Buurt\"");
    daemon.program.line(|line| line.contains("words.brand added").then_some(())).await;
    daemon.stop().await;
}

#[tokio::test]
async fn a_plugin_sends_through_the_channels_that_it_was_given_and_is_told_the_line_for_others() {
    let place = Place::new();
    let club = "[channels.club]\napp = \"main\"\nphone_number_id = \"222222222222222\"";
    let setup = Setup::new(&place.url()).plugin_as("probe", "probe", "").toml(club);
    let table = |channels: &str| format!("[plugins.probe]\nsettings = {{ reply = \"a: \" }}\nchannels = {channels}");
    setup.put_conf("50-probe", &table("[\"club\"]"));
    let daemon = setup.start().await;
    let simulator = place.start(&setup).await;
    simulator.say("Ana", "one").await;
    let refused = until("the answer is put aside", async || daemon.all("dead-letters").await.pop()).await;
    let why = text(&refused, "/error");
    assert!(why.contains("not-granted") && why.contains("`channels = [\"club\", \"shop\"]`"), "{refused}");
    let shown = |output: std::process::Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let before = shown(setup.cli(&["plugins", "show", "probe"]).await);
    assert!(before.contains("sends through  club"), "{before}");
    for limit in ["memory_mib", "cpu_ms", "wall_ms", "state_mib", "value_kib", "media_mib", "effects", "log_kib"] {
        assert!(before.contains(limit), "{limit} is not told: {before}");
    }
    // The line as it was told, and nothing is started anew.
    setup.put_conf("50-probe", &table("[\"club\", \"shop\"]"));
    daemon.plugin_until("probe", |row| text(row, "/state") == "probation").await;
    assert_eq!(daemon.post(&format!("dead-letters/{}/retry", text(&refused, "/id"))).await.status, 200);
    simulator.got("Ana", &["a: one"]).await;
    let after = shown(setup.cli(&["plugins", "show", "probe"]).await);
    assert!(after.contains("club, shop"), "{after}");
    // A channel that is not there changes nothing, and is told with its line.
    setup.put_conf("50-probe", &table("[\"sohp\"]"));
    let message = problem(&daemon, "config-value").await;
    assert!(message.contains("there is no channel `sohp`") && message.contains("did you mean `shop`?"), "{message}");
    simulator.say("Ana", "two").await;
    simulator.got("Ana", &["a: one", "a: two"]).await;
    daemon.stop().await;
}
