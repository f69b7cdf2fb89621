//! A host whose clock differs from WhatsApp's: the operator is told which clock is wrong, not only
//! that every message is too old.

use crate::UNPACED;
use beadle_test_support::daemon::Setup;
use beadle_test_support::simulator::SimulatorAddress;
use beadle_test_support::{wait_until, webhook};
use serde_json::Value;

const MINUTE_MS: i64 = 60 * 1000;

fn has_problem(status: &Value, message: &str) -> bool {
    let problems = status.pointer("/problems").and_then(Value::as_array);
    problems.into_iter().flatten().any(|problem| {
        let text = |key| problem.get(key).and_then(Value::as_str).unwrap_or_default();
        text("code") == "clock-differs" && text("message").contains(message)
    })
}

#[tokio::test]
async fn clock_that_differs_from_the_platforms_is_named() {
    let now_ms = i64::try_from(webhook::unix_time_s()).unwrap() * 1000;
    for (platform_ms, message, sign) in
        [(now_ms - 20 * MINUTE_MS, "ahead of WhatsApp's", 1.0), (now_ms + 20 * MINUTE_MS, "behind WhatsApp's", -1.0)]
    {
        let address = SimulatorAddress::reserve();
        // The daemon follows the machine's clock, and the platform another one.
        let setup = Setup::new(&address.url()).plugin("echo", "").toml(UNPACED);
        let simulator = address.start_at(&setup, platform_ms).await;
        let daemon = setup.start().await;
        simulator.add_person("Ana", "31600000001").await;
        for text in ["one", "two", "three", "four"] {
            simulator.say("Ana", text).await;
        }
        let known = async || has_problem(&daemon.get("status").await, message).then_some(());
        wait_until("the difference is reported", known).await;
        simulator.wait_until_delivered().await;
        daemon.wait_until_idle().await;
        let ready = daemon.try_get("/readyz").await.unwrap();
        assert_eq!(ready.status, 200);
        assert!(ready.text().contains("clock-differs"), "{}", ready.text());
        let metrics = daemon.try_get("/metrics").await.unwrap().text();
        let line = metrics.lines().find_map(|line| line.strip_prefix("beadle_clock_difference_seconds "));
        let difference: f64 = line.unwrap().trim().parse().unwrap();
        assert!((1190.0..1260.0).contains(&(sign * difference)), "{difference}");
        let log = daemon.program.output();
        assert_eq!(log.matches("clock of this host differs").count(), 1, "{log}");
        // Ahead, each message is too old; one line says so for all of them.
        let dead = daemon.status_count("dead_letters").await;
        let lines = log.matches("handling given up").count();
        assert_eq!((dead, lines), if sign > 0.0 { (4, 1) } else { (0, 0) }, "{log}");
        daemon.stop().await;
    }
}

#[tokio::test]
async fn followed_clock_makes_no_false_report() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).plugin("echo", "").toml(UNPACED).clock(&address.clock_url());
    let simulator = address.start_virtual(&setup).await;
    let daemon = setup.start().await;
    simulator.add_person("Ana", "31600000001").await;
    for day in 0..3 {
        simulator.say("Ana", &format!("day {day}")).await;
        simulator.wait_until_idle().await;
        simulator.advance(24 * 60 * MINUTE_MS).await;
    }
    assert_eq!(simulator.texts("Ana").await.len(), 3);
    assert!(!has_problem(&daemon.get("status").await, ""));
    daemon.stop().await;
}
