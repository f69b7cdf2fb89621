//! The command line against a running daemon: every noun as text and as JSON, and the exit codes.

use crate::text;
use beadle_test_support::TIMEOUT;
use beadle_test_support::daemon::Setup;
use beadle_test_support::http::Connection;
use beadle_test_support::program;
use beadle_test_support::simulator::SimulatorAddress;
use serde_json::Value;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

#[tokio::test]
async fn every_command_prints_text_and_json() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url())
        .probe("frail", "prefix = \"trap\", wrong = \"give-up\"", "order = 1")
        .plugin("echo", "order = 2");
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    for text in ["hello", "trap this"] {
        simulator.say("Ana", text).await;
    }
    simulator.expect_texts("Ana", &["hello", "trap this"]).await;
    daemon.wait_until_idle().await;
    let first =
        |list: &Value| list.pointer("/items/0/id").and_then(Value::as_str).map(String::from).unwrap_or_default();
    let event = first(&daemon.get("events").await);
    let message = first(&daemon.get("outbox?state=accepted").await);
    let contact = first(&daemon.get("contacts").await);
    let dead = first(&daemon.get("dead-letters").await);
    let sent = simulator.messages(Some("Ana")).await;
    let platform = sent.first().and_then(|message| message.get("id")).and_then(Value::as_str).unwrap_or_default();
    let commands: &[&[&str]] = &[
        &["status"],
        &["plugins", "list"],
        &["plugins", "show", "echo"],
        &["events", "list"],
        &["events", "show", &event],
        &["outbox", "list", "--state", "accepted"],
        &["contacts", "list"],
        &["contacts", "show", &contact],
        &["dead-letters", "list"],
        &["dead-letters", "show", &dead],
        &["why", &event],
        &["why", &message],
        &["why", &contact],
        &["why", &dead],
        &["why", platform],
    ];
    for command in commands {
        let output = setup.cli(command).await;
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{command:?}: {stderr}");
        assert!(!output.stdout.is_empty(), "{command:?}");
        let as_json = setup.cli(&[command, ["--json"].as_slice()].concat()).await;
        let parsed: Result<Value, _> = serde_json::from_slice(&as_json.stdout);
        assert!(parsed.is_ok_and(|value| value.is_object()), "{command:?} --json");
    }
    assert_eq!(setup.cli(&["why", "evt_999999"]).await.status.code(), Some(1));
    assert_eq!(setup.cli(&["dead-letters", "drop", &dead]).await.status.code(), Some(0));
    assert_eq!(daemon.status_count("dead_letters").await, 0);
    for path in ["/healthz", "/readyz", "/metrics"] {
        let answer = daemon.try_get(path).await.unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
    daemon.stop().await;
}

/// Replaces the body of an event by a text that no version can read.
fn damage(setup: &Setup, event: &str, body: &str) {
    let script = "import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
assert db.execute('UPDATE event_bodies SET body = ? WHERE id = ?', (sys.argv[3], sys.argv[2])).rowcount == 1
db.commit()";
    let arguments = [event.trim_start_matches("evt_"), body];
    let python = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(setup.data().join("beadle.db"))
        .args(arguments)
        .status();
    assert!(python.is_ok_and(|status| status.success()), "Python must write into the database");
}

#[tokio::test]
async fn event_that_cannot_be_read_is_shown_next_to_the_others() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).probe("probe", "reply = \": \"", "");
    setup.put_bytes("probe", &program::probe("v1"));
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    simulator.say("Ana", "one").await;
    simulator.expect_texts("Ana", &["v1: one"]).await;
    simulator.say("Ana", "two").await;
    simulator.expect_texts("Ana", &["v1: one", "v1: two"]).await;
    daemon.wait_until_idle().await;
    let messages = daemon.list_all("events?kind=message").await;
    let [_, first] = messages.as_slice() else { panic!("two messages: {messages:?}") };
    let (event, contact) = (text(first, "/id"), text(first, "/contact"));
    damage(&setup, event, "{\"event\":\"of tomorrow\",\"it\":\"\u{202e}\"}");
    let message = daemon.list_all("outbox?state=accepted").await;
    let message = message.iter().find(|row| text(row, "/event") == event).map_or("", |row| text(row, "/id"));
    for (command, parts) in [
        (["events", "list"].as_slice(), ["two", "cannot be read"]),
        (&["events", "tail", "--after", "evt_0", "--count", "2"], ["cannot be read", event]),
        (&["events", "show", event], ["of tomorrow", "unreadable: "]),
        (&["why", event], ["cannot be read", "claimed it"]),
        (&["why", message], ["cannot be read", "requested by probe: v1: one"]),
        (&["why", contact], ["two", "cannot be read"]),
    ] {
        let output = setup.cli(command).await;
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(parts.iter().all(|part| text.contains(part)), "{command:?}: {text}{output:?}");
        assert!(!text.contains('\u{202e}'), "{command:?}: {text}");
    }
    // A new revision is compared with the active one on the events that can be read.
    setup.put_bytes("probe", &program::probe("v2"));
    daemon.wait_for_plugin("probe", |row| !text(row, "/earlier_revisions/0").is_empty()).await;
    daemon.stop().await;
}

#[tokio::test]
async fn exit_codes_name_the_kind_of_failure() {
    let setup = Setup::new(&SimulatorAddress::reserve().url());
    assert_eq!(setup.cli(&["status"]).await.status.code(), Some(3), "no daemon is running");
    assert_eq!(setup.cli(&["nonsense"]).await.status.code(), Some(2));
    assert_eq!(setup.cli(&["explain", "window-closed"]).await.status.code(), Some(0));
    let every = setup.cli(&["explain"]).await;
    assert!(String::from_utf8_lossy(&every.stdout).contains("window-closed"));
}

#[tokio::test]
async fn simulator_exits_when_its_stdin_closes() {
    let mut command = Command::new(program::built("beadle-simulator"));
    command.args(["--listen", "127.0.0.1:0", "--app-secret", "a", "--verify-token", "b", "--access-token", "c"]);
    command.arg("--exit-on-stdin-close").stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut simulator = command.spawn().unwrap();
    let mut lines = BufReader::new(simulator.stdout.take().unwrap()).lines();
    let first = timeout(TIMEOUT, lines.next_line()).await.unwrap().unwrap().unwrap();
    let address = first.strip_prefix("listening http://").unwrap().to_owned();
    assert!(Connection::tcp(&address).await.is_ok() && simulator.try_wait().unwrap().is_none());
    // The kernel closes it too when the parent is killed.
    drop(simulator.stdin.take());
    assert!(timeout(TIMEOUT, simulator.wait()).await.unwrap().unwrap().success());
}
