//! Time that is turned by hand: the simulator goes from due moment to due moment, of its own and of the daemon's, and both
//! have done what was due before it goes on.

use beadle_e2e::daemon::{Daemon, Setup};
use beadle_e2e::simulator::{Place, Simulator, text_of};
use serde_json::{Value, json};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

async fn world() -> (Setup, Daemon, Simulator) {
    let place = Place::new();
    // Of windows it would tell too.
    let windows = "[windows]\nexpiring_before = []";
    let setup = Setup::new(&place.url()).plugin("hourglass", "").toml(windows).clock(&place.clock_url());
    let simulator = place.start_virtual(&setup).await;
    let daemon = setup.start().await;
    (setup, daemon, simulator)
}

/// What somebody got: each text, and when the platform took it.
async fn got(simulator: &Simulator, person: &str) -> Vec<(String, i64)> {
    let messages = simulator.messages(Some(person)).await;
    let at = |message: &Value| message.get("at_ms").and_then(Value::as_i64).unwrap_or_default();
    messages.iter().filter_map(|message| Some((text_of(message)?, at(message)))).collect()
}

#[tokio::test]
async fn a_day_goes_by_from_due_moment_to_due_moment() {
    let (_setup, daemon, simulator) = world().await;
    let start = simulator.now().await;
    // Receipts come late, so that the platform has due moments of its own between the plugin's.
    simulator.faults(json!({ "receipt_late": { "probability": 1 } })).await;
    for minutes in [90, 30, 600, 30, 1439] {
        simulator.say("Ana", &format!("in {minutes} timer-{minutes}")).await;
    }
    simulator.advance(DAY_MS).await;
    assert_eq!(simulator.now().await, start + DAY_MS);
    let wanted: Vec<_> = [30, 90, 600, 1439]
        .map(|minutes| (format!("timer-{minutes} {}", start + minutes * MINUTE_MS), start + minutes * MINUTE_MS))
        .into();
    assert_eq!(got(&simulator, "Ana").await, wanted, "each at its moment, and nothing is left to wait for");
    let states = simulator.messages(Some("Ana")).await;
    assert!(states.iter().all(|message| message.get("state") == Some(&json!("delivered"))), "{states:?}");
    let face = daemon.get("clock").await;
    assert_eq!((face.get("at_rest"), face.get("next_due_at")), (Some(&json!(true)), None), "{face}");
    daemon.stop().await;
}

#[tokio::test]
async fn a_jump_is_a_suspend_what_was_due_meanwhile_comes_late_and_once() {
    let (_setup, daemon, simulator) = world().await;
    let start = simulator.now().await;
    simulator.say("Ana", "in 10 tea").await;
    simulator.say("Ana", "in 20 cake").await;
    simulator.advance(0).await;
    let later = start + 5 * 60 * MINUTE_MS;
    simulator.control("POST", "clock", &json!({ "set_ms": later })).await;
    simulator.advance(0).await;
    let wanted = [(format!("tea {later}"), later), (format!("cake {later}"), later)];
    assert_eq!(got(&simulator, "Ana").await, wanted);
    // Set back: nothing comes again.
    simulator.control("POST", "clock", &json!({ "set_ms": start })).await;
    simulator.advance(6 * 60 * MINUTE_MS).await;
    assert_eq!(got(&simulator, "Ana").await, wanted);
    daemon.stop().await;
}

#[tokio::test]
async fn a_month_takes_no_longer_than_what_happens_in_it() {
    let (_setup, daemon, simulator) = world().await;
    let start = simulator.now().await;
    // One a day: each is within the window that the one who asked opened, or it could not be sent.
    simulator.say("Bram", "in 1000 soon").await;
    simulator.advance(30 * DAY_MS).await;
    assert_eq!(simulator.now().await, start + 30 * DAY_MS);
    assert_eq!(got(&simulator, "Bram").await.len(), 1);
    daemon.stop().await;
}

#[tokio::test]
async fn time_goes_by_itself_at_the_speed_that_is_set() {
    let (_setup, daemon, simulator) = world().await;
    let start = simulator.now().await;
    simulator.say("Kadri", "in 600 evening").await;
    simulator.control("POST", "clock", &json!({ "speed": 86_400 })).await;
    let due = start + 600 * MINUTE_MS;
    simulator.got("Kadri", &[&format!("evening {due}")]).await;
    simulator.control("POST", "clock", &json!({ "speed": 0 })).await;
    assert!(simulator.now().await >= due);
    daemon.stop().await;
}

#[tokio::test]
async fn who_follows_and_is_gone_is_not_waited_for() {
    let (setup, daemon, simulator) = world().await;
    let start = simulator.now().await;
    simulator.say("Ana", "in 10 tea").await;
    simulator.advance(0).await;
    daemon.kill9().await;
    simulator.advance(60 * MINUTE_MS).await;
    let daemon = setup.start().await;
    simulator.advance(MINUTE_MS).await;
    let (late, after) = (start + 60 * MINUTE_MS, start + 61 * MINUTE_MS);
    assert_eq!(got(&simulator, "Ana").await, [(format!("tea {late}"), late)]);
    assert_eq!(simulator.now().await, after);
    daemon.stop().await;
}
