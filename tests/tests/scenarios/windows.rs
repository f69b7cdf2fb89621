//! Windows in virtual time: one event per lead time and one at the end, none after a renewal, and
//! each exactly once across an outage.

use crate::text;
use beadle_test_support::daemon::{Daemon, Setup};
use beadle_test_support::simulator::{Simulator, SimulatorAddress, text_of};
use beadle_test_support::time_at;
use beadle_test_support::webhook;
use serde_json::{Value, json};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

async fn start() -> (Setup, Daemon, Simulator) {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).plugin("hourglass", "").clock(&address.clock_url());
    let simulator = address.start_virtual(&setup).await;
    let daemon = setup.start().await;
    (setup, daemon, simulator)
}

/// A person writes, and everything due is finished. Returns the time.
async fn write_as(simulator: &Simulator, person: &str) -> i64 {
    simulator.say(person, "hello").await;
    simulator.advance(0).await;
    simulator.now().await
}

/// The first word of each text that a person received, with the minutes from `begin` to its
/// acceptance.
async fn received(simulator: &Simulator, person: &str, start: i64) -> Vec<(String, i64)> {
    let messages = simulator.messages(Some(person)).await;
    let first_word = |text: String| text.split(' ').next().unwrap_or_default().to_owned();
    let at = |message: &Value| message.get("at_ms").and_then(Value::as_i64).unwrap_or_default();
    messages
        .iter()
        .filter_map(|message| Some((first_word(text_of(message)?), (at(message) - start) / MINUTE_MS)))
        .collect()
}

/// The ends of windows that were reported as closed, in minutes after `start`.
async fn closed(daemon: &Daemon, start: i64) -> Vec<i64> {
    let mut ends = Vec::new();
    for event in daemon.list_all("events?kind=window-closed").await {
        let event = daemon.get(&format!("events/{}", text(&event, "/id"))).await;
        let at = event.pointer("/body/closed_at").and_then(Value::as_i64).unwrap_or_default();
        ends.push((at - start) / MINUTE_MS);
    }
    ends.sort_unstable();
    ends
}

#[tokio::test]
async fn lead_times_and_end_are_reported_once_unless_renewed() {
    let (_setup, daemon, simulator) = start().await;
    let begin = write_as(&simulator, "Ana").await;
    write_as(&simulator, "Bram").await;
    // Bram writes again between the two lead times, so the second one of his first window is not
    // reported.
    simulator.advance(23 * HOUR_MS).await;
    write_as(&simulator, "Bram").await;
    let listed = daemon.get("windows").await;
    assert_eq!(listed.pointer("/items/0/name"), Some(&json!("Ana")), "the next to close comes first: {listed}");
    let by_hour = daemon.get("windows/by-hour").await;
    let hours = ["/items/0/within_hours", "/items/1/within_hours"].map(|at| by_hour.pointer(at));
    assert_eq!(hours, [Some(&json!(1)), Some(&json!(24))], "{by_hour}");
    simulator.advance(2 * DAY_MS).await;
    let ana = received(&simulator, "Ana", begin).await;
    assert_eq!(ana, [("closing-120".into(), 22 * 60), ("closing-30".into(), 24 * 60 - 30)]);
    let bram = received(&simulator, "Bram", begin).await;
    let wanted =
        [("closing-120".into(), 22 * 60), ("closing-120".into(), 45 * 60), ("closing-30".into(), 47 * 60 - 30)];
    assert_eq!(bram, wanted);
    assert_eq!(closed(&daemon, begin).await, [24 * 60, 47 * 60]);
    assert_eq!(daemon.status_count("dead_letters").await, 0);
    assert_eq!(daemon.get("windows").await.pointer("/items/0"), None);
    daemon.stop().await;
}

#[tokio::test]
async fn windows_that_ended_during_an_outage_are_reported_once() {
    let (setup, daemon, simulator) = start().await;
    let begin = write_as(&simulator, "Ana").await;
    simulator.advance(3 * HOUR_MS).await;
    write_as(&simulator, "Bram").await;
    daemon.kill9().await;
    // Ana's window ends meanwhile; an hour of Bram's is left.
    simulator.advance(23 * HOUR_MS).await;
    let daemon = setup.start().await;
    simulator.advance(MINUTE_MS).await;
    assert_eq!(received(&simulator, "Ana", begin).await, []);
    assert_eq!(received(&simulator, "Bram", begin).await, [("closing-120".into(), 26 * 60)]);
    assert_eq!(closed(&daemon, begin).await, [24 * 60]);
    daemon.kill9().await;
    let daemon = setup.start().await;
    simulator.advance(2 * HOUR_MS).await;
    let bram = received(&simulator, "Bram", begin).await;
    assert_eq!(bram, [("closing-120".into(), 26 * 60), ("closing-30".into(), 27 * 60 - 30)]);
    assert_eq!(closed(&daemon, begin).await, [24 * 60, 27 * 60]);
    daemon.stop().await;
}

/// Delivers a message with an earlier time stamp.
async fn deliver_late(setup: &Setup, from: &str, id: &str, at_ms: i64) {
    let at_s = u64::try_from(at_ms / 1000).unwrap_or_default();
    let request = webhook::signed_request(&webhook::text_message(from, id, at_s, "hello"));
    let mut connection = beadle_test_support::http::Connection::tcp(&setup.http).await.unwrap();
    assert_eq!(connection.exchange(&request).await.unwrap().status, 200);
}

#[tokio::test]
async fn late_messages_open_windows_by_the_platforms_time() {
    let (setup, daemon, simulator) = start().await;
    simulator.advance(2 * DAY_MS).await;
    let begin = simulator.now().await;
    // One whose window ended an hour ago, one whose window has an hour left, and an earlier one of
    // the same person.
    deliver_late(&setup, "31600000001", "wamid.over", begin - 25 * HOUR_MS).await;
    deliver_late(&setup, "31600000002", "wamid.late", begin - 23 * HOUR_MS).await;
    deliver_late(&setup, "31600000002", "wamid.older", begin - 24 * HOUR_MS).await;
    simulator.advance(0).await;
    let windows = daemon.get("windows").await;
    assert_eq!(time_at(&windows, "/items/0/closes_at"), Some(begin + HOUR_MS), "{windows}");
    assert_eq!(windows.pointer("/items/1"), None, "{windows}");
    simulator.advance(DAY_MS).await;
    assert_eq!(closed(&daemon, begin).await, [60]);
    daemon.stop().await;
}

#[tokio::test]
async fn changed_lead_times_apply_to_open_windows() {
    let (setup, daemon, simulator) = start().await;
    simulator.advance(2 * DAY_MS).await;
    let begin = simulator.now().await;
    deliver_late(&setup, "31600000002", "wamid.late", begin - 23 * HOUR_MS).await;
    simulator.advance(0).await;
    setup.put_conf("60-windows", "[windows]\nexpiring_before = [\"10m\"]");
    daemon.wait_for_config("windows.expiring_before").await;
    simulator.advance(DAY_MS).await;
    let events = daemon.list_all("events?kind=window-expiring").await;
    let mut leads = Vec::new();
    for event in &events {
        let event = daemon.get(&format!("events/{}", text(event, "/id"))).await;
        leads.push(event.pointer("/body/lead_ms").and_then(Value::as_i64).unwrap_or_default() / MINUTE_MS);
    }
    leads.sort_unstable();
    assert_eq!(leads, [10, 120], "the first at once, the second by the new configuration");
    daemon.stop().await;
}

#[tokio::test]
async fn window_margin_applies_when_asked_and_when_sent() {
    let address = SimulatorAddress::reserve();
    // One message per minute and contact: the second of two waits until the window has closed.
    let setup = Setup::new(&address.url()).plugin("hourglass", "").clock(&address.clock_url());
    let setup =
        setup.toml("[windows]\nexpiring_before = []\n[channels.shop.pace]\ncontact_seconds = 60\ncontact_burst = 1");
    let simulator = address.start_virtual(&setup).await;
    let daemon = setup.start().await;
    for (person, seconds, sentence) in
        [("Ana", 86_369, "last"), ("Bram", 86_370, "late"), ("Kadri", 86_340, "first"), ("Kadri", 86_340, "second")]
    {
        simulator.say(person, &format!("in {seconds}s {sentence}")).await;
    }
    simulator.advance(2 * DAY_MS).await;
    for (person, wanted) in [("Ana", 1), ("Bram", 0), ("Kadri", 1)] {
        assert_eq!(simulator.messages(Some(person)).await.len(), wanted, "{person}");
    }
    // Bram's message was refused when the plugin asked, Kadri's second one when it was about to
    // leave.
    let dead = daemon.list_all("dead-letters").await;
    assert!(matches!(dead.as_slice(), [letter] if text(letter, "/error").contains("window-closed")), "{dead:?}");
    let failed = daemon.list_all("outbox?state=failed").await;
    assert!(matches!(failed.as_slice(), [send] if text(send, "/problem/code") == "window-closed"), "{failed:?}");
    daemon.stop().await;
}

#[tokio::test]
async fn free_entry_point_is_recorded_and_does_not_extend_the_window() {
    let (setup, daemon, simulator) = start().await;
    let referral =
        json!({ "source_url": "https://fb.me/pots", "source_id": "7", "source_type": "ad", "ctwa_clid": "Aff-1" });
    let message = json!({ "type": "text", "text": { "body": "in 60s hello" }, "referral": referral });
    simulator.say_message("Ana", message).await;
    simulator.advance(0).await;
    let begin = simulator.now().await;
    let before = daemon.get("windows").await;
    assert_eq!(before.pointer("/items/0/free_entry_until"), None, "no free entry point before the answer: {before}");
    simulator.advance(2 * MINUTE_MS).await;
    let windows = daemon.get("windows").await;
    let row = |at: &str| time_at(&windows, at).unwrap_or_default();
    // A week from the answer, in whole seconds as the platform reports it; the window is a day from
    // Ana's message.
    assert_eq!(row("/items/0/free_entry_until"), begin + MINUTE_MS + 7 * DAY_MS, "{windows}");
    assert_eq!(row("/items/0/closes_at"), begin + DAY_MS, "{windows}");
    let output = setup.cli(&["windows", "list"]).await;
    assert!(String::from_utf8_lossy(&output.stdout).contains("6 d 23 h"), "{output:?}");
    let events = daemon.list_all("events?kind=message").await;
    let event = daemon.get(&format!("events/{}", text(events.first().unwrap_or(&Value::Null), "/id"))).await;
    assert_eq!(text(&event, "/body/referral/click_id"), "Aff-1", "{event}");
    daemon.stop().await;
}
