//! Virtual time: the simulator advances from one due moment to the next, its own or the daemon's,
//! and both finish what is due before it goes on.

use crate::UNPACED;
use beadle_test_support::daemon::{Daemon, Setup};
use beadle_test_support::http::Connection;
use beadle_test_support::simulator::{Simulator, SimulatorAddress, text_of};
use beadle_test_support::wait_until;
use beadle_test_support::webhook;
use serde_json::{Value, json};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

async fn start() -> (Setup, Daemon, Simulator) {
    let address = SimulatorAddress::reserve();
    // Otherwise the plugin would report windows too.
    let windows = "[windows]\nexpiring_before = []";
    let setup = Setup::new(&address.url()).plugin("hourglass", "").toml(windows).clock(&address.clock_url());
    let simulator = address.start_virtual(&setup).await;
    let daemon = setup.start().await;
    (setup, daemon, simulator)
}

/// The texts that a person received, each with the time at which the platform accepted it.
async fn received(simulator: &Simulator, person: &str) -> Vec<(String, i64)> {
    let messages = simulator.messages(Some(person)).await;
    let at = |message: &Value| message.get("at_ms").and_then(Value::as_i64).unwrap_or_default();
    messages.iter().filter_map(|message| Some((text_of(message)?, at(message)))).collect()
}

#[tokio::test]
async fn advance_steps_through_every_due_moment() {
    let (_setup, daemon, simulator) = start().await;
    let begin = simulator.now().await;
    // Receipts are delayed, so that the platform has due moments between those of the plugin.
    simulator.set_faults(json!({ "receipt_delayed": { "probability": 1 } })).await;
    for minutes in [90, 30, 600, 30, 1439] {
        simulator.say("Ana", &format!("in {minutes} timer-{minutes}")).await;
    }
    simulator.advance(DAY_MS).await;
    assert_eq!(simulator.now().await, begin + DAY_MS);
    let wanted: Vec<_> = [30, 90, 600, 1439]
        .map(|minutes| (format!("timer-{minutes} {}", begin + minutes * MINUTE_MS), begin + minutes * MINUTE_MS))
        .into();
    assert_eq!(received(&simulator, "Ana").await, wanted, "each at its moment");
    let states = simulator.messages(Some("Ana")).await;
    assert!(states.iter().all(|message| message.get("state") == Some(&json!("delivered"))), "{states:?}");
    let clock = daemon.get("clock").await;
    assert_eq!((clock.get("at_rest"), clock.get("next_due_at")), (Some(&json!(true)), None), "{clock}");
    daemon.stop().await;
}

#[tokio::test]
async fn jump_fires_due_timers_late_and_once() {
    let (_setup, daemon, simulator) = start().await;
    let begin = simulator.now().await;
    simulator.say("Ana", "in 10 tea").await;
    simulator.say("Ana", "in 20 cake").await;
    simulator.advance(0).await;
    let later = begin + 5 * 60 * MINUTE_MS;
    simulator.control("POST", "clock", &json!({ "set_ms": later })).await;
    simulator.advance(0).await;
    let wanted = [(format!("tea {later}"), later), (format!("cake {later}"), later)];
    assert_eq!(received(&simulator, "Ana").await, wanted);
    // Set back, nothing fires again.
    simulator.control("POST", "clock", &json!({ "set_ms": begin })).await;
    simulator.advance(6 * 60 * MINUTE_MS).await;
    assert_eq!(received(&simulator, "Ana").await, wanted);
    daemon.stop().await;
}

#[tokio::test]
async fn clock_that_jumps_purges_no_removed_plugin() {
    let (setup, daemon, simulator) = start().await;
    simulator.say("Ana", "in 600 tea").await;
    simulator.advance(0).await;
    let begin = simulator.now().await;
    std::fs::remove_file(setup.plugin_file("hourglass")).unwrap();
    daemon.wait_for_plugin("hourglass", |row| row.pointer("/problem/code") == Some(&json!("plugin-missing"))).await;
    // The state of a removed plugin is kept for 30 days; the clock is wrong for a moment.
    simulator.control("POST", "clock", &json!({ "set_ms": begin + 40 * DAY_MS })).await;
    simulator.advance(0).await;
    for name in ["one", "two"] {
        // Makes the reconciler look.
        setup.put_bytes(name, b"no plugin");
        daemon.wait_for_plugin(name, |row| row.get("state") == Some(&json!("broken"))).await;
    }
    simulator.control("POST", "clock", &json!({ "set_ms": begin })).await;
    setup.put_plugin("hourglass", &beadle_test_support::program::plugin("hourglass"));
    daemon.wait_for_plugin("hourglass", |row| row.get("problem").is_none()).await;
    // The timer is part of what would have been purged.
    simulator.advance(2 * DAY_MS).await;
    let texts = simulator.texts("Ana").await;
    assert!(texts.first().is_some_and(|text| text.starts_with("tea ")), "{texts:?}\n{}", daemon.program.output());
    daemon.stop().await;
}

#[tokio::test]
async fn clock_that_is_set_back_delays_no_answer() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).plugin("echo", "").clock(&address.clock_url());
    let simulator = address.start_virtual(&setup).await;
    let daemon = setup.start().await;
    let begin = simulator.now().await;
    let set_clock = async |ms: i64| simulator.control("POST", "clock", &json!({ "set_ms": ms })).await;
    simulator.say("Ana", "one").await;
    simulator.expect_texts("Ana", &["one"]).await;
    // Wrong for a moment, and one message is answered then.
    set_clock(begin + 5 * MINUTE_MS).await;
    simulator.say("Ana", "two").await;
    simulator.expect_texts("Ana", &["one", "two"]).await;
    set_clock(begin).await;
    // The clock stands still, so an answer that waits for it would never come.
    for person in ["Bram", "Kadri"] {
        simulator.say(person, "three").await;
        simulator.expect_texts(person, &["three"]).await;
    }
    daemon.stop().await;
}

#[tokio::test]
async fn words_and_windows_of_a_clock_that_was_ahead_do_not_outlast_its_correction() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).plugin("echo", "").toml(UNPACED).clock(&address.clock_url());
    let simulator = address.start_virtual(&setup).await;
    let daemon = setup.start().await;
    let begin = simulator.now().await;
    let set_clock = async |ms: i64| {
        simulator.control("POST", "clock", &json!({ "set_ms": ms })).await;
        daemon.wait_until_idle().await;
    };
    simulator.say("Ana", "one").await;
    simulator.expect_texts("Ana", &["one"]).await;
    set_clock(begin + 2 * 365 * DAY_MS).await;
    for person in ["Ana", "Bram"] {
        simulator.say(person, "STOP").await;
    }
    simulator.say("Kadri", "hello").await;
    let received = async |person: &str, count: usize| {
        wait_until(&format!("{person} has {count} messages"), async || {
            Some(simulator.texts(person).await).filter(|texts| texts.len() >= count)
        })
        .await
    };
    for (person, count) in [("Ana", 2), ("Bram", 1), ("Kadri", 1)] {
        received(person, count).await;
    }
    set_clock(begin + 1000).await;
    simulator.say("Ana", "START").await;
    received("Ana", 3).await;
    simulator.say("Ana", "two").await;
    let texts = received("Ana", 4).await;
    assert_eq!(texts.last().map(String::as_str), Some("two"), "{texts:?}");
    simulator.say("Bram", "still silent").await;
    daemon.wait_until_idle().await;
    assert!(!simulator.texts("Bram").await.contains(&"still silent".to_owned()));
    simulator.advance(26 * 60 * MINUTE_MS).await;
    let windows = daemon.get("windows").await;
    assert_eq!(windows.pointer("/items/0"), None, "{windows}");
    daemon.stop().await;
}

#[tokio::test]
async fn clock_that_jumps_does_not_forget_what_was_answered() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).plugin("echo", "").toml(UNPACED).clock(&address.clock_url());
    let simulator = address.start_virtual(&setup).await;
    let daemon = setup.start().await;
    let begin = simulator.now().await;
    let webhooks: Vec<Vec<u8>> = (0..10)
        .map(|n| {
            webhook::text_message(
                "31610000102",
                &format!("wamid.AGAIN{n}"),
                begin.unsigned_abs() / 1000,
                &format!("n{n}"),
            )
        })
        .map(|body| webhook::signed_request(&body))
        .collect();
    let deliver = async || {
        for bytes in &webhooks {
            let exchange = async { Connection::tcp(&setup.http).await?.exchange(bytes).await };
            assert_eq!(exchange.await.unwrap_or_else(|error: std::io::Error| panic!("{error}")).status, 200);
        }
    };
    deliver().await;
    daemon.wait_until_idle().await;
    let stored = daemon.list_all("events?kind=message").await.len();
    assert_eq!(stored, 10);
    // Longer than events are kept, and back.
    simulator.control("POST", "clock", &json!({ "set_ms": begin + 40 * DAY_MS })).await;
    simulator.advance(0).await;
    simulator.control("POST", "clock", &json!({ "set_ms": begin })).await;
    daemon.stop().await;
    let daemon = setup.start().await;
    deliver().await;
    daemon.wait_until_idle().await;
    assert_eq!(daemon.list_all("events?kind=message").await.len(), 10, "the same events are recognised");
    daemon.stop().await;
}

#[tokio::test]
async fn idle_month_passes_quickly() {
    let (_setup, daemon, simulator) = start().await;
    let begin = simulator.now().await;
    // Within the window that Bram's message opened.
    simulator.say("Bram", "in 1000 soon").await;
    simulator.advance(30 * DAY_MS).await;
    assert_eq!(simulator.now().await, begin + 30 * DAY_MS);
    assert_eq!(received(&simulator, "Bram").await.len(), 1);
    daemon.stop().await;
}

#[tokio::test]
async fn clock_runs_at_the_set_speed() {
    let (_setup, daemon, simulator) = start().await;
    let begin = simulator.now().await;
    simulator.say("Kadri", "in 600 evening").await;
    simulator.control("POST", "clock", &json!({ "speed": 86_400 })).await;
    let due = begin + 600 * MINUTE_MS;
    simulator.expect_texts("Kadri", &[&format!("evening {due}")]).await;
    simulator.control("POST", "clock", &json!({ "speed": 0 })).await;
    assert!(simulator.now().await >= due);
    daemon.stop().await;
}

#[tokio::test]
async fn clock_does_not_wait_for_a_dead_follower() {
    let (setup, daemon, simulator) = start().await;
    let begin = simulator.now().await;
    simulator.say("Ana", "in 10 tea").await;
    simulator.advance(0).await;
    daemon.kill9().await;
    simulator.advance(60 * MINUTE_MS).await;
    let daemon = setup.start().await;
    simulator.advance(MINUTE_MS).await;
    let (late, after) = (begin + 60 * MINUTE_MS, begin + 61 * MINUTE_MS);
    assert_eq!(received(&simulator, "Ana").await, [(format!("tea {late}"), late)]);
    assert_eq!(simulator.now().await, after);
    daemon.stop().await;
}
