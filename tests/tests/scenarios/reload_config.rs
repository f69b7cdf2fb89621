//! Reload of the configuration: what changed takes effect, an invalid file changes nothing, and
//! keys that need a restart are named.

use crate::text;
use beadle_test_support::daemon::{Daemon, Setup};
use beadle_test_support::simulator::{Simulator, SimulatorAddress};
use beadle_test_support::wait_until;
use serde_json::Value;

async fn start() -> (Setup, Daemon, Simulator) {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).plugin_as("probe", "probe", "").toml("[log]\nlevel = \"info\"");
    setup.put_conf("50-probe", "[plugins.probe]\nsettings = { reply = \"a: \" }");
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    (setup, daemon, simulator)
}

/// Waits until the status has a problem with this code, and returns its message.
async fn wait_for_problem(daemon: &Daemon, code: &str) -> String {
    let has = |status: &Value| {
        let problems = status.get("problems").and_then(Value::as_array).cloned().unwrap_or_default();
        problems.into_iter().find(|problem| text(problem, "/code") == code)
    };
    let condition = format!("the status lists {code}");
    let found = wait_until(&condition, async || has(&daemon.status().await)).await;
    text(&found, "/message").to_owned()
}

#[tokio::test]
async fn only_valid_settings_take_effect() {
    let (setup, daemon, simulator) = start().await;
    simulator.say("Ana", "one").await;
    simulator.expect_texts("Ana", &["a: one"]).await;
    setup.put_conf("50-probe", "[plugins.probe]\nsettings = { reply = \"b: \" }");
    daemon.wait_for_plugin("probe", |row| text(row, "/state") == "probation").await;
    simulator.say("Ana", "two").await;
    simulator.expect_texts("Ana", &["a: one", "b: two"]).await;
    // The plugin's schema has no such key: it is named, and the earlier settings stay.
    setup.put_conf("50-probe", "[plugins.probe]\nsettings = { reply = \"c: \", replay = true }");
    let row = daemon.wait_for_plugin("probe", |row| text(row, "/problem/code") == "settings-invalid").await;
    assert!(text(&row, "/problem/message").contains("replay"), "{row}");
    simulator.say("Ana", "three").await;
    simulator.expect_texts("Ana", &["a: one", "b: two", "b: three"]).await;
    setup.put_conf("50-probe", "[plugins.probe]\nsettings = { reply = \"d: \" }\nlimits = { cpu_ms = 50 }");
    daemon.wait_for_plugin("probe", |row| row.get("problem").is_none()).await;
    simulator.say("Ana", "four").await;
    simulator.expect_texts("Ana", &["a: one", "b: two", "b: three", "d: four"]).await;
    daemon.stop().await;
}

#[tokio::test]
async fn invalid_file_is_reported_with_its_line_and_changes_nothing() {
    let (setup, daemon, simulator) = start().await;
    // Two changes, one of them valid: neither takes effect.
    setup.put_conf("50-probe", "[plugins.probe]\nsettings = { reply = \"b: \" }\n[outbox]\nmax_in_flights = 3");
    let message = wait_for_problem(&daemon, "config-unknown").await;
    assert!(message.contains("50-probe.toml:4") && message.contains("did you mean `max_in_flight`?"), "{message}");
    let output = setup.cli(&["status"]).await.stdout;
    assert!(String::from_utf8_lossy(&output).contains(message.trim_end()), "as `beadle check` prints it");
    let logged = daemon.program.output();
    let line = logged.lines().find(|line| line.contains("50-probe.toml:4: unknown key `outbox.max_in_flights`"));
    assert!(line.is_some_and(|line| line.contains("did you mean `max_in_flight`?")), "{logged}");
    simulator.say("Ana", "one").await;
    simulator.expect_texts("Ana", &["a: one"]).await;
    setup.put_conf("50-probe", "[plugins.probe]\nsettings = { reply = \"b: \" }\n[outbox]\nmax_in_flight = 3");
    daemon.wait_for_status(|status| status.pointer("/problems/0").is_none()).await;
    daemon.wait_for_plugin("probe", |row| text(row, "/state") == "probation").await;
    simulator.say("Ana", "two").await;
    simulator.expect_texts("Ana", &["a: one", "b: two"]).await;
    daemon.stop().await;
}

#[tokio::test]
async fn keys_that_need_a_restart_are_named() {
    let (setup, daemon, _simulator) = start().await;
    let config = setup.config();
    let check = ["check", "--config", config.to_str().unwrap_or_default()];
    let stdout = |output: std::process::Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let same = stdout(setup.cli(&check).await);
    assert!(same.contains("No difference to the running daemon"), "{same}");
    setup.put_conf("60-more", "[retention]\nevents = \"20d\"");
    let main = std::fs::read_to_string(&config).unwrap().replace(&setup.http, "127.0.0.1:1");
    // `beadle check` reads a copy, with conf.d next to it.
    let aside = config.with_file_name("beadle.next");
    std::fs::write(&aside, &main).unwrap();
    let changes = stdout(setup.cli(&["check", "--config", aside.to_str().unwrap_or_default()]).await);
    assert!(changes.contains("Changed after a restart:\n  http.listen changed"), "{changes}");
    std::fs::rename(&aside, &config).unwrap();
    let message = wait_for_problem(&daemon, "restart-required").await;
    assert!(message.contains("http.listen") && !message.contains("retention"), "{message}");
    let loaded = stdout(setup.cli(&check).await);
    assert!(loaded.contains("Changed after a restart:\n  http.listen changed"), "{loaded}");
    assert!(!loaded.contains("retention"), "{loaded}");
    // Restored, no key waits for a restart.
    setup.write();
    daemon.wait_for_status(|status| status.pointer("/problems/0").is_none()).await;
    daemon.stop().await;
}

#[tokio::test]
async fn sighup_reloads_the_configuration() {
    let (setup, mut daemon, _simulator) = start().await;
    daemon.program.hang_up();
    daemon.program.line(|line| line.contains("configuration reloaded changed=nothing").then_some(())).await;
    setup.put_conf("60-more", "[keywords]\nbrand = \"De Buurt\"");
    daemon.program.line(|line| line.contains("words.brand added").then_some(())).await;
    daemon.stop().await;
}

#[tokio::test]
async fn plugin_sends_only_through_its_channels() {
    let address = SimulatorAddress::reserve();
    let club = "[channels.club]\napp = \"main\"\nphone_number_id = \"222222222222222\"";
    let setup = Setup::new(&address.url()).plugin_as("probe", "probe", "").toml(club);
    let table = |channels: &str| format!("[plugins.probe]\nsettings = {{ reply = \"a: \" }}\nchannels = {channels}");
    setup.put_conf("50-probe", &table("[\"club\"]"));
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    simulator.say("Ana", "one").await;
    let refused = wait_until("the reply is refused", async || daemon.list_all("dead-letters").await.pop()).await;
    let reason = text(&refused, "/error");
    assert!(reason.contains("not-granted") && reason.contains("`channels = [\"club\", \"shop\"]`"), "{refused}");
    let stdout_of = |output: std::process::Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let before = stdout_of(setup.cli(&["plugins", "show", "probe"]).await);
    assert!(before.lines().any(|line| line.starts_with("sends on") && line.ends_with("  club")), "{before}");
    for limit in ["memory_mib", "cpu_ms", "wall_ms", "state_mib", "value_kib", "media_mib", "effects", "log_kib"] {
        assert!(before.contains(limit), "{limit} is missing: {before}");
    }
    // The setting from the refusal, without a restart.
    setup.put_conf("50-probe", &table("[\"club\", \"shop\"]"));
    daemon.wait_for_plugin("probe", |row| text(row, "/state") == "probation").await;
    assert_eq!(daemon.post(&format!("dead-letters/{}/retry", text(&refused, "/id"))).await.status, 200);
    simulator.expect_texts("Ana", &["a: one"]).await;
    let after = stdout_of(setup.cli(&["plugins", "show", "probe"]).await);
    assert!(after.contains("club, shop"), "{after}");
    // An unknown channel changes nothing and is reported.
    setup.put_conf("50-probe", &table("[\"sohp\"]"));
    let message = wait_for_problem(&daemon, "config-value").await;
    assert!(message.contains("unknown channel `sohp`") && message.contains("did you mean `shop`?"), "{message}");
    simulator.say("Ana", "two").await;
    simulator.expect_texts("Ana", &["a: one", "a: two"]).await;
    daemon.stop().await;
}
