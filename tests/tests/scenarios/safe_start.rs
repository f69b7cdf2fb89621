//! A plugin whose loading kills the daemon, or takes too long, does not prevent a start: the next
//! start loads it last and alone, the one after that does not load it, and no start waits longer
//! than the start-up time-out.
//!
//! The test kills the daemon in the middle of a long compilation, when the crash marker on disk
//! names the plugin.

use crate::{UNPACED, text};
use beadle_test_support::daemon::{Setup, Starting};
use beadle_test_support::guest::heavy;
use beadle_test_support::hostile;
use beadle_test_support::program::{plugin, probe, revision_of};
use beadle_test_support::simulator::SimulatorAddress;
use beadle_test_support::wait_until;
use serde_json::{Value, json};
use std::path::PathBuf;

/// The crash marker of a plugin.
fn crash_marker(setup: &Setup, name: &str) -> Option<Value> {
    let marker = std::fs::read(setup.data().join("loading").join(format!("{name}.json"))).ok()?;
    serde_json::from_slice(&marker).ok()
}

/// Starts the daemon and kills it while it loads this plugin, alone or together with others.
async fn kill_while_loading(setup: &Setup, name: &str, alone: bool) {
    let Starting { mut program, .. } = setup.spawn();
    let bytes = std::fs::read(setup.plugin_file(name)).unwrap();
    let revision = revision_of(&bytes);
    let wanted = json!({ "revision": revision, "alone": alone });
    wait_until(&format!("{name} is being loaded"), async || {
        crash_marker(setup, name).filter(|marker| *marker == wanted)
    })
    .await;
    program.kill9().await;
}

#[tokio::test]
async fn plugin_that_kills_each_start_is_isolated() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).plugin("echo", "").toml(UNPACED);
    setup.put_bytes("killer", &heavy());
    kill_while_loading(&setup, "killer", false).await;
    // Now it is loaded last and alone, and the daemon dies again.
    kill_while_loading(&setup, "killer", true).await;
    let daemon = setup.start().await;
    let row = daemon.wait_for_plugin("killer", |row| text(row, "/state") == "suspended").await;
    assert_eq!(text(&row, "/problem/code"), "plugin-load-crash", "{row}");
    let status = String::from_utf8_lossy(&setup.cli(&["status"]).await.stdout).into_owned();
    assert!(status.contains("plugin-load-crash"), "{status}");
    let simulator = address.start(&setup).await;
    simulator.say("Ana", "hello").await;
    simulator.expect_texts("Ana", &["hello"]).await;
    // The isolation survives restarts.
    daemon.stop().await;
    let daemon = setup.start().await;
    daemon.wait_for_plugin("killer", |row| text(row, "/problem/code") == "plugin-load-crash").await;
    // The operator enables it; this time nothing kills the daemon.
    let enabled = setup.cli(&["plugins", "enable", "killer"]).await;
    assert!(enabled.status.success(), "{enabled:?}");
    daemon.wait_for_plugin("killer", |row| text(row, "/state") == "active").await;
    assert_eq!(crash_marker(&setup, "killer"), None);
    daemon.stop().await;
    // The next start is an ordinary one.
    let daemon = setup.start().await;
    assert_eq!(text(&daemon.get("plugins/killer").await, "/state"), "active");
    daemon.stop().await;
}

#[tokio::test]
async fn events_of_an_isolated_plugin_wait_for_a_new_file() {
    let address = SimulatorAddress::reserve();
    // An observer is active; then a file appears whose loading kills the daemon.
    let table = "[plugins.watcher]\nstage = \"observe\"\nsettings = { reply = \"seen: \" }";
    let setup = Setup::new(&address.url()).plugin("echo", "").toml(UNPACED).toml(table);
    setup.put_bytes("watcher", &probe("v1"));
    setup.start().await.stop().await;
    setup.put_bytes("watcher", &heavy());
    // The last active revision is loaded first and does not kill.
    kill_while_loading(&setup, "watcher", false).await;
    kill_while_loading(&setup, "watcher", true).await;
    let daemon = setup.start().await;
    let row = daemon.get("plugins/watcher").await;
    assert_eq!((text(&row, "/state"), text(&row, "/problem/code")), ("active", "plugin-load-crash"), "{row}");
    let simulator = address.start(&setup).await;
    simulator.say("Ana", "one").await;
    wait_until("both plugins have handled it", async || (simulator.texts("Ana").await.len() == 2).then_some(())).await;
    daemon.stop().await;
    // The kept revision is lost too: no revision is active, and events wait.
    std::fs::remove_dir_all(setup.data().join("revisions")).unwrap();
    let daemon = setup.start().await;
    daemon.wait_for_plugin("watcher", |row| text(row, "/state") == "suspended").await;
    simulator.say("Ana", "two").await;
    daemon.wait_for_plugin("watcher", |row| row.get("waiting_events") == Some(&json!(1))).await;
    setup.put_bytes("watcher", &probe("v2"));
    wait_until("the waiting event is handled", async || {
        simulator.texts("Ana").await.iter().any(|text| text == "v2seen: two").then_some(())
    })
    .await;
    daemon.stop().await;
}

/// Whether a fresh instance of a plugin runs its first call, by the marker on disk.
fn runs_first_call(setup: &Setup, name: &str) -> Option<()> {
    let markers = std::fs::read_dir(setup.data().join("first-calls")).ok()?.flatten();
    let mut of_plugin = markers.filter(|marker| marker.file_name().to_string_lossy().starts_with(&format!("{name}.")));
    of_plugin.any(|marker| std::fs::read(marker.path()).is_ok_and(|content| content == b"1")).then_some(())
}

#[tokio::test]
async fn plugin_that_kills_the_daemon_in_service_is_suspended_and_its_event_waits() {
    let address = SimulatorAddress::reserve();
    // Its instances are never ready; the test kills the daemon meanwhile, as a crash would.
    let limits = "[plugins.killer.limits]\ncpu_ms = 60000\nwall_ms = 60000";
    let table = "[plugins.killer]\nstage = \"observe\"\nsettings = { reply = \"seen: \" }";
    let setup = Setup::new(&address.url()).plugin("echo", "").toml(UNPACED).toml(table).toml(limits);
    setup.put_bytes("killer", &hostile::start());
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    simulator.say("Ana", "one").await;
    simulator.expect_texts("Ana", &["one"]).await;
    wait_until("the killer is instantiated", async || runs_first_call(&setup, "killer")).await;
    daemon.kill9().await;
    for _ in 0..2 {
        // The event is handled again, and the daemon dies again.
        let Starting { mut program, .. } = setup.spawn();
        // Until then the marker is that of the previous process.
        program.line(|line| line.contains("daemon died while plugin ran").then_some(())).await;
        wait_until("the killer is instantiated again", async || runs_first_call(&setup, "killer")).await;
        program.kill9().await;
    }
    let daemon = setup.start().await;
    let row = daemon.wait_for_plugin("killer", |row| row.get("waiting_events") == Some(&json!(1))).await;
    assert_eq!((text(&row, "/state"), text(&row, "/problem/code")), ("suspended", "plugin-crash"), "{row}");
    let status = String::from_utf8_lossy(&setup.cli(&["status"]).await.stdout).into_owned();
    assert!(status.contains("plugin-crash"), "{status}");
    simulator.say("Ana", "two").await;
    simulator.expect_texts("Ana", &["one", "two"]).await;
    // Another file gets the events that waited.
    setup.put_bytes("killer", &probe("v1"));
    simulator.expect_texts("Ana", &["one", "two", "v1seen: one", "v1seen: two"]).await;
    daemon.stop().await;
}

#[tokio::test]
async fn orderly_stop_in_a_first_call_blames_no_plugin() {
    let address = SimulatorAddress::reserve();
    let limits = "[plugins.slow.limits]\ncpu_ms = 60000\nwall_ms = 60000";
    let setup = Setup::new(&address.url()).toml(UNPACED).toml("[plugins.slow]\nstage = \"observe\"").toml(limits);
    setup.put_bytes("slow", &hostile::start());
    let mut daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    simulator.say("Ana", "one").await;
    for _ in 0..3 {
        wait_until("it is instantiated", async || runs_first_call(&setup, "slow")).await;
        daemon.stop().await;
        assert_eq!(runs_first_call(&setup, "slow"), None);
        daemon = setup.start().await;
    }
    assert_eq!(text(&daemon.get("plugins/slow").await, "/state"), "active");
    daemon.stop().await;
}

#[tokio::test]
async fn single_crash_isolates_no_plugin() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).plugin("echo", "").toml(UNPACED);
    setup.put_bytes("heavy", &heavy());
    kill_while_loading(&setup, "heavy", false).await;
    let daemon = setup.start().await;
    daemon.wait_for_plugin("heavy", |row| text(row, "/state") == "active").await;
    assert_eq!(crash_marker(&setup, "heavy"), None);
    setup.put_plugin("heavy", &plugin("echo"));
    daemon.wait_for_plugin("heavy", |row| row.get("earlier_revisions").is_some()).await;
    daemon.stop().await;
}

/// The files of compiled code.
fn compiled_code(setup: &Setup) -> Vec<PathBuf> {
    let compilers = std::fs::read_dir(setup.data().join("cache/code/modules")).into_iter().flatten().flatten();
    let files = compilers.flat_map(|compiler| std::fs::read_dir(compiler.path()).into_iter().flatten().flatten());
    files.map(|file| file.path()).filter(|path| path.extension().is_none()).collect()
}

#[tokio::test]
async fn damaged_compiled_code_is_compiled_again_and_no_plugin_is_blamed() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).plugin("echo", "").toml(UNPACED);
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    daemon.stop().await;
    let [code] = &compiled_code(&setup)[..] else { panic!("not one file of compiled code") };
    let mut bytes = std::fs::read(code).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(code, bytes).unwrap();
    let daemon = setup.start().await;
    simulator.say("Ana", "hello").await;
    simulator.expect_texts("Ana", &["hello"]).await;
    let row = daemon.get("plugins/echo").await;
    assert!(text(&row, "/state") == "active" && row.get("problem").is_none(), "{row}");
    let metrics = daemon.try_get("/metrics").await.unwrap().text();
    assert!(metrics.contains("beadle_compiled_code_discarded_total 1"), "{metrics}");
    daemon.stop().await;
    // It was compiled and sealed again.
    let daemon = setup.start().await;
    let metrics = daemon.try_get("/metrics").await.unwrap().text();
    assert!(metrics.contains("beadle_compiled_code_discarded_total 0"), "{metrics}");
    daemon.stop().await;
}

#[tokio::test]
async fn start_does_not_wait_for_a_slow_plugin() {
    let address = SimulatorAddress::reserve();
    let table = "[daemon]\nstartup_timeout = \"50ms\"\n[plugins.heavy]\nstage = \"observe\"";
    let setup = Setup::new(&address.url()).plugin("echo", "").toml(UNPACED);
    setup.put_bytes("heavy", &heavy());
    setup.start().await.stop().await;
    // The compile cache is gone, so loading takes as long as the first time.
    std::fs::remove_dir_all(setup.data().join("cache")).unwrap();
    setup.put_conf("10-more", table);
    let daemon = setup.start().await;
    assert_eq!(text(&daemon.get("plugins/heavy").await, "/problem/code"), "plugin-loading");
    daemon.wait_for_plugin("echo", |row| text(row, "/state") == "active").await;
    let simulator = address.start(&setup).await;
    simulator.say("Ana", "hello").await;
    // Its event waits until it is loaded.
    daemon.wait_for_plugin("heavy", |row| row.get("waiting_events") == Some(&json!(1))).await;
    let has_caught_up = |row: &Value| text(row, "/state") == "active" && row.get("waiting_events") == Some(&json!(0));
    let row = daemon.wait_for_plugin("heavy", has_caught_up).await;
    assert_eq!(row.pointer("/calls"), Some(&json!(1)), "{row}");
    simulator.expect_texts("Ana", &["hello"]).await;
    daemon.stop().await;
}

/// What is there in place of the plugin folder.
#[derive(Clone, Copy, Debug)]
enum Instead {
    Nothing,
    /// As an unmounted file system leaves it.
    EmptyFolder,
    /// A link to itself: permissions keep nobody out who runs the tests as root.
    Unreadable,
}

#[tokio::test]
async fn plugins_of_a_folder_that_is_away_at_the_start_stay_active() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).toml(UNPACED).toml("[plugins.probe]\nsettings = { reply = \": \" }");
    setup.put_bytes("probe", &probe("v1"));
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    simulator.say("Ana", "one").await;
    simulator.expect_texts("Ana", &["v1: one"]).await;
    daemon.stop().await;
    let aside = setup.plugins().with_file_name("aside");
    let mut expected = vec!["v1: one".to_owned()];
    for instead in [Instead::Nothing, Instead::EmptyFolder, Instead::Unreadable] {
        std::fs::rename(setup.plugins(), &aside).unwrap();
        match instead {
            Instead::Nothing => {}
            Instead::EmptyFolder => std::fs::create_dir(setup.plugins()).unwrap(),
            Instead::Unreadable => std::os::unix::fs::symlink(setup.plugins(), setup.plugins()).unwrap(),
        }
        let daemon = setup.start().await;
        daemon.wait_for_status(|status| status.to_string().contains("plugin-folder-missing")).await;
        let text = format!("{instead:?}");
        simulator.say("Ana", &text).await;
        expected.push(format!("v1: {text}"));
        simulator.expect_texts("Ana", &expected.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let _ = std::fs::remove_dir(setup.plugins()).or_else(|_| std::fs::remove_file(setup.plugins()));
        std::fs::rename(&aside, setup.plugins()).unwrap();
        daemon.wait_for_status(|status| !status.to_string().contains("plugin-folder-missing")).await;
        daemon.stop().await;
    }
}

#[tokio::test]
async fn events_wait_if_the_folder_and_the_saved_revision_are_missing() {
    let address = SimulatorAddress::reserve();
    let table = "[plugins.watcher]\nstage = \"observe\"\nsettings = { reply = \"seen: \" }";
    let setup = Setup::new(&address.url()).toml(UNPACED).toml(table);
    setup.put_bytes("watcher", &probe("v1"));
    setup.start().await.stop().await;
    let aside = setup.plugins().with_file_name("aside");
    std::fs::rename(setup.plugins(), &aside).unwrap();
    std::fs::remove_dir_all(setup.data().join("revisions")).unwrap();
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    simulator.say("Ana", "hello").await;
    daemon.wait_for_plugin("watcher", |row| row.get("waiting_events") == Some(&json!(1))).await;
    std::fs::rename(&aside, setup.plugins()).unwrap();
    simulator.expect_texts("Ana", &["v1seen: hello"]).await;
    daemon.stop().await;
}

#[tokio::test]
async fn overdue_timers_fire_once_if_the_folder_is_missing_at_the_start() {
    for has_saved_revision in [true, false] {
        let (setup, daemon, simulator) =
            crate::resting_plugins::start(|setup| setup.plugin("hourglass", "order = 1")).await;
        simulator.say("Ana", "in 10 tea").await;
        simulator.advance(0).await;
        daemon.stop().await;
        simulator.advance(60 * 60 * 1000).await;
        let aside = setup.plugins().with_file_name("aside");
        std::fs::rename(setup.plugins(), &aside).unwrap();
        if !has_saved_revision {
            std::fs::remove_dir_all(setup.data().join("revisions")).unwrap();
        }
        let daemon = setup.start().await;
        daemon.wait_for_status(|status| status.to_string().contains("plugin-folder-missing")).await;
        simulator.advance(0).await;
        let fired = async || simulator.texts("Ana").await.iter().filter(|text| text.starts_with("tea ")).count();
        assert_eq!(fired().await, usize::from(has_saved_revision));
        std::fs::rename(&aside, setup.plugins()).unwrap();
        daemon.wait_for_plugin("hourglass", |row| crate::text(row, "/state") == "active").await;
        wait_until("the timer fires", async || (fired().await == 1).then_some(())).await;
        daemon.stop().await;
        let daemon = setup.start().await;
        simulator.advance(60 * 60 * 1000).await;
        assert_eq!(fired().await, 1, "saved revision: {has_saved_revision}");
        daemon.stop().await;
    }
}
