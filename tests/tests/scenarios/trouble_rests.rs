//! A plugin that fails whatever it gets: nobody waits for it, everybody hears of it, and it comes back by itself, or when
//! somebody has seen to it.

use crate::{UNPACED, text};
use beadle_e2e::daemon::{Daemon, Setup};
use beadle_e2e::program::probe;
use beadle_e2e::simulator::{Place, Simulator};
use beadle_e2e::until;
use serde_json::{Value, json};

/// The first rest, and a moment more.
const REST_MS: i64 = 6000;
/// Rests and trials until a plugin is suspended, and more.
const TEN_MINUTES_MS: i64 = 600_000;

pub(crate) async fn world(setup: impl FnOnce(Setup) -> Setup) -> (Setup, Daemon, Simulator) {
    let place = Place::new();
    let setup = setup(Setup::new(&place.url()).clock(&place.clock_url())).toml(UNPACED);
    let simulator = place.start_virtual(&setup).await;
    let daemon = setup.start().await;
    (setup, daemon, simulator)
}

/// More people than it takes to see that it is the plugin's fault.
const PEOPLE: [&str; 6] = ["P0", "P1", "P2", "P3", "P4", "P5"];

pub(crate) async fn meet_people(simulator: &Simulator) {
    for (n, name) in PEOPLE.iter().enumerate() {
        simulator.person(name, &format!("3165000{n:04}")).await;
    }
}

/// Each of them says this, and a moment goes by.
pub(crate) async fn each_says(simulator: &Simulator, what: &str) {
    for name in PEOPLE {
        simulator.say(name, what).await;
    }
    simulator.advance(2000).await;
}

fn code_of(row: &Value) -> &str {
    text(row, "/problem/code")
}

#[tokio::test]
async fn an_answerer_that_rests_is_passed_over_at_once_and_one_event_brings_it_back() {
    // It fails for texts that end in an even number.
    let (_setup, daemon, simulator) = world(|setup| {
        setup
            .probe("frail", "reply = \"frail: \", wrong = \"trap\", every = 2", "order = 1")
            .plugin("echo", "order = 2")
    })
    .await;
    meet_people(&simulator).await;
    each_says(&simulator, "n 2").await;
    let row = daemon.plugin_until("frail", |row| text(row, "/state") == "resting").await;
    assert_eq!(code_of(&row), "plugin-resting", "{row}");
    // Who writes now is answered at once by the next one, without a try of this one.
    simulator.say("Ana", "n 1").await;
    simulator.advance(0).await;
    simulator.got("Ana", &["n 1"]).await;
    let events = daemon.all("events?kind=message").await;
    let event = daemon.get(&format!("events/{}", text(events.first().unwrap_or(&Value::Null), "/id"))).await;
    assert_eq!(text(&event, "/handlings/0/state"), "passed-over", "{event}");
    assert_eq!(event.pointer("/handlings/0/attempts"), Some(&json!(0)), "{event}");
    // After the rest one event is tried; it goes well, and all goes on as before.
    simulator.advance(REST_MS).await;
    simulator.say("Bram", "n 3").await;
    simulator.advance(0).await;
    simulator.got("Bram", &["frail: n 3"]).await;
    daemon.plugin_until("frail", |row| text(row, "/state") == "active" && row.get("problem").is_none()).await;
    // Everybody has one answer, and what was tried in vain is there to see.
    let sent = simulator.sent().await;
    assert_eq!(sent.get("n 2"), Some(&6), "{sent:?}");
    let dead = daemon.all("dead-letters").await;
    assert!(dead.len() == 6 && dead.iter().all(|row| text(row, "/code") == "trap"), "{dead:?}");
    daemon.stop().await;
}

#[tokio::test]
async fn one_who_breaks_it_each_time_is_set_apart_and_nobody_else_pays_for_it() {
    let (_setup, daemon, simulator) =
        world(|setup| setup.probe("frail", "reply = \"frail: \", wrong = \"trap\", every = 2", "stage = \"observe\""))
            .await;
    for n in 0..8 {
        simulator.say("Ana", &format!("poison {}", 2 * n)).await;
        simulator.say("Bram", &format!("water {}", 2 * n + 1)).await;
    }
    simulator.advance(TEN_MINUTES_MS).await;
    daemon.idle().await;
    let row = daemon.get("plugins/frail").await;
    assert!(text(&row, "/state") == "active" && row.get("problem").is_none(), "{row}");
    assert_eq!(simulator.texts("Bram").await.len(), 8);
    let mut dead = daemon.all("dead-letters").await;
    dead.reverse();
    let tries: Vec<_> = dead.iter().filter_map(|row| row.get("attempts").and_then(Value::as_u64)).collect();
    // Three have all their tries, then the conversation gets one an event: its lane does not wait a minute for each.
    assert_eq!(tries, [5, 5, 5, 1, 1, 1, 1, 1], "{dead:?}");
    // One that goes well, and it is as any other.
    simulator.say("Ana", "well 1").await;
    simulator.say("Ana", "poison 2").await;
    simulator.advance(TEN_MINUTES_MS).await;
    daemon.idle().await;
    assert_eq!(daemon.all("dead-letters").await.first().and_then(|row| row.get("attempts")), Some(&json!(5)));
    daemon.stop().await;
}

#[tokio::test]
async fn a_guard_that_rests_holds_events_back_or_lets_them_go_as_it_is_told() {
    for (on_failure, answered, dead) in [("skip", true, 0), ("hold", false, 1)] {
        let (_setup, daemon, simulator) = world(|setup| {
            let table = format!("stage = \"guard\"\non_failure = \"{on_failure}\"");
            setup.probe("guard", "wrong = \"trap\", every = 2, claim = false", &table).plugin("echo", "")
        })
        .await;
        meet_people(&simulator).await;
        each_says(&simulator, "n 2").await;
        daemon.plugin_until("guard", |row| text(row, "/state") == "resting").await;
        let before = daemon.count("dead-letters").await;
        simulator.say("Ana", "n 4").await;
        simulator.advance(0).await;
        assert_eq!(simulator.texts("Ana").await == ["n 4"], answered, "{on_failure}");
        simulator.advance(TEN_MINUTES_MS).await;
        daemon.idle().await;
        assert_eq!(simulator.texts("Ana").await == ["n 4"], answered, "{on_failure}: nobody answers without its guard");
        let letters = daemon.all("dead-letters").await;
        let anas = letters.iter().filter(|row| text(row, "/summary").contains("n 4")).count();
        assert_eq!(anas, dead, "{on_failure}: {before} before, {letters:?}");
        daemon.stop().await;
    }
}

#[tokio::test]
async fn one_that_breaks_at_each_trial_is_suspended_and_every_surface_says_so() {
    let (setup, daemon, simulator) = world(|setup| {
        setup.put_bytes("frail", &probe("v1!trap"));
        setup.toml("[plugins.frail]\nstage = \"observe\"\nsettings = { reply = \": \", count = true }")
    })
    .await;
    meet_people(&simulator).await;
    each_says(&simulator, "one").await;
    simulator.advance(TEN_MINUTES_MS).await;
    let row = daemon.plugin_until("frail", |row| text(row, "/state") == "suspended").await;
    assert_eq!(code_of(&row), "plugin-suspended", "{row}");
    // It does not hold up the feed: what comes for it is kept, and finished.
    each_says(&simulator, "two").await;
    daemon.idle().await;
    daemon.plugin_until("frail", |row| row.get("kept_events") == Some(&json!(12))).await;
    assert!(simulator.messages(None).await.is_empty());
    let status = String::from_utf8_lossy(&setup.cli(&["status"]).await.stdout).into_owned();
    assert!(status.contains("suspended") && status.contains("plugin-suspended"), "{status}");
    let shown = String::from_utf8_lossy(&setup.cli(&["plugins", "show", "frail"]).await.stdout).into_owned();
    assert!(shown.contains("kept for it") && shown.contains("12 events") && shown.contains("trap"), "{shown}");
    let (ready, metrics) = (daemon.try_get("/readyz").await.unwrap(), daemon.try_get("/metrics").await.unwrap().text());
    assert!(ready.status == 200 && ready.text().contains("suspended"), "{}", ready.text());
    assert!(metrics.contains("beadle_plugins{state=\"suspended\"} 1"), "{metrics}");
    assert!(metrics.contains("beadle_kept_events{plugin=\"frail\"} 12"), "{metrics}");
    daemon.tells_systemd("1 plugin is suspended").await;
    let explained = String::from_utf8_lossy(&setup.cli(&["explain", "plugin-suspended"]).await.stdout).into_owned();
    assert!(explained.contains("plugins enable"), "{explained}");

    // It stands across a start, and so does what waits.
    daemon.kill9().await;
    let daemon = setup.start().await;
    let suspended = |row: &Value| text(row, "/state") == "suspended" && row.get("kept_events") == Some(&json!(12));
    daemon.plugin_until("frail", suspended).await;
    each_says(&simulator, "three").await;
    // Another revision takes up what waits, in the order of each conversation, and then what comes.
    setup.put_bytes("frail", &probe("v2"));
    daemon.plugin_until("frail", |row| text(row, "/state") != "suspended").await;
    each_says(&simulator, "four").await;
    until("all of it is seen", async || (simulator.messages(None).await.len() == 24).then_some(())).await;
    for name in PEOPLE {
        simulator.got(name, &["v2: 1 one", "v2: 2 two", "v2: 3 three", "v2: 4 four"]).await;
    }
    daemon.plugin_until("frail", |row| row.get("kept_events") == Some(&json!(0))).await;
    assert_eq!(daemon.count("dead-letters").await, 0);
    daemon.stop().await;
}

#[tokio::test]
async fn one_that_says_that_it_cannot_now_is_never_suspended() {
    let (setup, daemon, simulator) =
        world(|setup| setup.probe("crm", "reply = \": \", wrong = \"retry\", every = 2", "stage = \"observe\"")).await;
    meet_people(&simulator).await;
    each_says(&simulator, "n 2").await;
    // What it talks to is down for the night.
    simulator.advance(8 * 60 * 60 * 1000).await;
    let row = daemon.plugin_until("crm", |row| text(row, "/state") == "resting").await;
    assert_eq!(code_of(&row), "plugin-resting", "{row}");
    // In the morning somebody enables it, sooner than it would be tried.
    let enabled = setup.cli(&["plugins", "enable", "crm"]).await;
    assert!(enabled.status.success(), "{enabled:?}");
    simulator.say("Ana", "n 1").await;
    simulator.advance(0).await;
    simulator.got("Ana", &[": n 1"]).await;
    daemon.stop().await;
}
