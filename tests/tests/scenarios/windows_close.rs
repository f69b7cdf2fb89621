//! Windows under a clock that is turned: a plugin hears of the end at each lead time, and of the end itself, each once; it
//! does not where the person wrote meanwhile, and an outage makes neither two of one nor none.

use crate::text;
use beadle_e2e::daemon::{Daemon, Setup};
use beadle_e2e::meta;
use beadle_e2e::simulator::{Place, Simulator, text_of};
use serde_json::{Value, json};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

async fn world() -> (Setup, Daemon, Simulator) {
    let place = Place::new();
    let setup = Setup::new(&place.url()).plugin("hourglass", "").clock(&place.clock_url());
    let simulator = place.start_virtual(&setup).await;
    let daemon = setup.start().await;
    (setup, daemon, simulator)
}

/// Says something, and lets it come to rest.
async fn says(simulator: &Simulator, who: &str) -> i64 {
    simulator.say(who, "hello").await;
    simulator.advance(0).await;
    simulator.now().await
}

/// What somebody was told: the words, and how many minutes after `start` the platform took it.
async fn told(simulator: &Simulator, who: &str, start: i64) -> Vec<(String, i64)> {
    let messages = simulator.messages(Some(who)).await;
    let words = |text: String| text.split(' ').next().unwrap_or_default().to_owned();
    let at = |message: &Value| message.get("at_ms").and_then(Value::as_i64).unwrap_or_default();
    messages.iter().filter_map(|it| Some((words(text_of(it)?), (at(it) - start) / MINUTE_MS))).collect()
}

/// The ends that were told of, in minutes after `start`.
async fn closed(daemon: &Daemon, start: i64) -> Vec<i64> {
    let mut ends = Vec::new();
    for event in daemon.all("events?kind=window-closed").await {
        let event = daemon.get(&format!("events/{}", text(&event, "/id"))).await;
        let at = event.pointer("/body/closed_at").and_then(Value::as_i64).unwrap_or_default();
        ends.push((at - start) / MINUTE_MS);
    }
    ends.sort_unstable();
    ends
}

#[tokio::test]
async fn each_lead_time_and_the_end_are_told_once_and_not_where_it_was_renewed() {
    let (_setup, daemon, simulator) = world().await;
    let start = says(&simulator, "Ana").await;
    says(&simulator, "Bram").await;
    // Bram writes again between the two lead times: of his first window the second one is not told.
    simulator.advance(23 * HOUR_MS).await;
    says(&simulator, "Bram").await;
    let listed = daemon.get("windows").await;
    assert_eq!(listed.pointer("/items/0/name"), Some(&json!("Ana")), "the next to close at first: {listed}");
    let by_hour = daemon.get("windows/by-hour").await;
    let hours = ["/items/0/within_hours", "/items/1/within_hours"].map(|at| by_hour.pointer(at));
    assert_eq!(hours, [Some(&json!(1)), Some(&json!(24))], "{by_hour}");
    simulator.advance(2 * DAY_MS).await;
    let ana = told(&simulator, "Ana", start).await;
    assert_eq!(ana, [("closing-120".into(), 22 * 60), ("closing-30".into(), 24 * 60 - 30)]);
    let bram = told(&simulator, "Bram", start).await;
    let wanted =
        [("closing-120".into(), 22 * 60), ("closing-120".into(), 45 * 60), ("closing-30".into(), 47 * 60 - 30)];
    assert_eq!(bram, wanted);
    assert_eq!(closed(&daemon, start).await, [24 * 60, 47 * 60]);
    assert_eq!(daemon.count("dead-letters").await, 0);
    assert_eq!(daemon.get("windows").await.pointer("/items/0"), None);
    daemon.stop().await;
}

#[tokio::test]
async fn what_ended_while_the_daemon_was_down_is_told_late_and_once() {
    let (setup, daemon, simulator) = world().await;
    let start = says(&simulator, "Ana").await;
    simulator.advance(3 * HOUR_MS).await;
    says(&simulator, "Bram").await;
    daemon.kill9().await;
    // Ana's window ends meanwhile; of Bram's an hour is left.
    simulator.advance(23 * HOUR_MS).await;
    let daemon = setup.start().await;
    simulator.advance(MINUTE_MS).await;
    assert_eq!(told(&simulator, "Ana", start).await, []);
    assert_eq!(told(&simulator, "Bram", start).await, [("closing-120".into(), 26 * 60)]);
    assert_eq!(closed(&daemon, start).await, [24 * 60]);
    daemon.kill9().await;
    let daemon = setup.start().await;
    simulator.advance(2 * HOUR_MS).await;
    let bram = told(&simulator, "Bram", start).await;
    assert_eq!(bram, [("closing-120".into(), 26 * 60), ("closing-30".into(), 27 * 60 - 30)]);
    assert_eq!(closed(&daemon, start).await, [24 * 60, 27 * 60]);
    daemon.stop().await;
}

/// A webhook as the platform would have sent it at that time.
async fn late_webhook(setup: &Setup, from: &str, id: &str, at_ms: i64) {
    let at_s = u64::try_from(at_ms / 1000).unwrap_or_default();
    let request = meta::post(&meta::text_message(from, id, at_s, "hello"));
    let mut connection = beadle_e2e::http::Connection::tcp(&setup.http).await.unwrap();
    assert_eq!(connection.exchange(&request).await.unwrap().status, 200);
}

#[tokio::test]
async fn late_webhooks_count_by_the_platforms_time_and_lead_times_change_while_it_runs() {
    let (setup, daemon, simulator) = world().await;
    simulator.advance(2 * DAY_MS).await;
    let start = simulator.now().await;
    // Over for an hour: nothing was ever open. Then one of which an hour is left, and one that came before it.
    late_webhook(&setup, "31600000001", "wamid.over", start - 25 * HOUR_MS).await;
    late_webhook(&setup, "31600000002", "wamid.late", start - 23 * HOUR_MS).await;
    late_webhook(&setup, "31600000002", "wamid.older", start - 24 * HOUR_MS).await;
    simulator.advance(0).await;
    let windows = daemon.get("windows").await;
    assert_eq!(windows.pointer("/items/0/closes_at"), Some(&json!(start + HOUR_MS)), "{windows}");
    assert_eq!(windows.pointer("/items/1"), None, "{windows}");
    setup.put_conf("60-windows", "[windows]\nexpiring_before = [\"10m\"]");
    daemon.config_until("windows.expiring_before").await;
    simulator.advance(DAY_MS).await;
    let events = daemon.all("events?kind=window-expiring").await;
    let mut leads = Vec::new();
    for event in &events {
        let event = daemon.get(&format!("events/{}", text(event, "/id"))).await;
        leads.push(event.pointer("/body/lead_ms").and_then(Value::as_i64).unwrap_or_default() / MINUTE_MS);
    }
    leads.sort_unstable();
    assert_eq!(leads, [10, 120], "the first came at once, the second as it is configured now");
    assert_eq!(closed(&daemon, start).await, [60]);
    daemon.stop().await;
}

#[tokio::test]
async fn to_the_second_a_window_takes_a_message_or_refuses_it_when_asked_and_when_it_is_to_go() {
    let place = Place::new();
    // One message a minute to a contact: the second of two waits until the window has closed.
    let setup = Setup::new(&place.url()).plugin("hourglass", "").clock(&place.clock_url());
    let setup =
        setup.toml("[windows]\nexpiring_before = []\n[channels.shop.pace]\ncontact_seconds = 60\ncontact_burst = 1");
    let simulator = place.start_virtual(&setup).await;
    let daemon = setup.start().await;
    for (who, seconds, what) in
        [("Ana", 86_369, "last"), ("Bram", 86_370, "late"), ("Kadri", 86_340, "first"), ("Kadri", 86_340, "second")]
    {
        simulator.say(who, &format!("in {seconds}s {what}")).await;
    }
    simulator.advance(2 * DAY_MS).await;
    for (who, wanted) in [("Ana", 1), ("Bram", 0), ("Kadri", 1)] {
        assert_eq!(simulator.messages(Some(who)).await.len(), wanted, "{who}");
    }
    // Bram's plugin was told no; of Kadri's second message it was told that it did not go.
    let dead = daemon.all("dead-letters").await;
    assert!(matches!(dead.as_slice(), [it] if text(it, "/error").contains("window-closed")), "{dead:?}");
    let failed = daemon.all("outbox?state=failed").await;
    assert!(matches!(failed.as_slice(), [it] if text(it, "/problem/code") == "window-closed"), "{failed:?}");
    daemon.stop().await;
}

#[tokio::test]
async fn who_comes_by_an_ad_and_is_answered_writes_for_free_and_the_window_is_none_the_longer() {
    let (setup, daemon, simulator) = world().await;
    let referral =
        json!({ "source_url": "https://fb.me/pots", "source_id": "7", "source_type": "ad", "ctwa_clid": "Aff-1" });
    let message = json!({ "type": "text", "text": { "body": "in 60s hello" }, "referral": referral });
    simulator.say_any("Ana", message).await;
    simulator.advance(0).await;
    let start = simulator.now().await;
    let before = daemon.get("windows").await;
    assert_eq!(before.pointer("/items/0/free_entry_until"), None, "nothing is free before it is answered: {before}");
    simulator.advance(2 * MINUTE_MS).await;
    let windows = daemon.get("windows").await;
    let row = |at: &str| windows.pointer(at).and_then(Value::as_i64).unwrap_or_default();
    // A week from the answer, in whole seconds as the platform tells it; the window is a day from what Ana said.
    assert_eq!(row("/items/0/free_entry_until"), start + MINUTE_MS + 7 * DAY_MS, "{windows}");
    assert_eq!(row("/items/0/closes_at"), start + DAY_MS, "{windows}");
    let shown = setup.cli(&["windows", "list"]).await;
    assert!(String::from_utf8_lossy(&shown.stdout).contains("6 d 23 h"), "{shown:?}");
    let events = daemon.all("events?kind=message").await;
    let event = daemon.get(&format!("events/{}", text(events.first().unwrap_or(&Value::Null), "/id"))).await;
    assert_eq!(text(&event, "/body/referral/click_id"), "Aff-1", "{event}");
    daemon.stop().await;
}
