//! The command line, against a daemon that has something to tell: every noun, as text and as JSON, and the exit codes.

use beadle_e2e::daemon::Setup;
use beadle_e2e::http::Connection;
use beadle_e2e::program::{self, PATIENCE};
use beadle_e2e::simulator::Place;
use serde_json::Value;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

#[tokio::test]
async fn every_question_has_an_answer_as_text_and_as_json() {
    let place = Place::new();
    let setup = Setup::new(&place.url())
        .probe("frail", "prefix = \"trap\", wrong = \"give-up\"", "order = 1")
        .plugin("echo", "order = 2");
    let daemon = setup.start().await;
    let simulator = place.start(&setup).await;
    for text in ["hello", "trap this"] {
        simulator.say("Ana", text).await;
    }
    simulator.got("Ana", &["hello", "trap this"]).await;
    daemon.idle().await;
    let first =
        |list: &Value| list.pointer("/items/0/id").and_then(Value::as_str).map(String::from).unwrap_or_default();
    let event = first(&daemon.get("events").await);
    let message = first(&daemon.get("outbox?state=accepted").await);
    let contact = first(&daemon.get("contacts").await);
    let dead = first(&daemon.get("dead-letters").await);
    let sent = simulator.messages(Some("Ana")).await;
    let platform = sent.first().and_then(|message| message.get("id")).and_then(Value::as_str).unwrap_or_default();
    let questions: &[&[&str]] = &[
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
    for question in questions {
        let answer = setup.cli(question).await;
        let said = String::from_utf8_lossy(&answer.stderr);
        assert_eq!(answer.status.code(), Some(0), "{question:?}: {said}");
        assert!(!answer.stdout.is_empty(), "{question:?}");
        let as_json = setup.cli(&[question, ["--json"].as_slice()].concat()).await;
        let parsed: Result<Value, _> = serde_json::from_slice(&as_json.stdout);
        assert!(parsed.is_ok_and(|value| value.is_object()), "{question:?} --json");
    }
    assert_eq!(setup.cli(&["why", "evt_999999"]).await.status.code(), Some(1));
    assert_eq!(setup.cli(&["dead-letters", "drop", &dead]).await.status.code(), Some(0));
    assert_eq!(daemon.count("dead-letters").await, 0);
    for path in ["/healthz", "/readyz", "/metrics"] {
        let answer = daemon.try_get(path).await.unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
    daemon.stop().await;
}

#[tokio::test]
async fn what_cannot_be_asked_is_told_by_the_exit_code() {
    let setup = Setup::new(&Place::new().url());
    assert_eq!(setup.cli(&["status"]).await.status.code(), Some(3), "nobody is there");
    assert_eq!(setup.cli(&["nonsense"]).await.status.code(), Some(2));
    assert_eq!(setup.cli(&["explain", "window-closed"]).await.status.code(), Some(0));
    let every = setup.cli(&["explain"]).await;
    assert!(String::from_utf8_lossy(&every.stdout).contains("window-closed"));
}

#[tokio::test]
async fn a_simulator_goes_on_until_who_started_it_is_gone() {
    let mut command = Command::new(program::built("beadle-simulator"));
    command.args(["--listen", "127.0.0.1:0", "--app-secret", "a", "--verify-token", "b", "--access-token", "c"]);
    command.arg("--until-stdin-ends").stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut simulator = command.spawn().unwrap();
    let mut said = BufReader::new(simulator.stdout.take().unwrap()).lines();
    let first = timeout(PATIENCE, said.next_line()).await.unwrap().unwrap().unwrap();
    let address = first.strip_prefix("listening http://").unwrap().to_owned();
    assert!(Connection::tcp(&address).await.is_ok() && simulator.try_wait().unwrap().is_none());
    // What the kernel does for whoever is killed.
    drop(simulator.stdin.take());
    assert!(timeout(PATIENCE, simulator.wait()).await.unwrap().unwrap().success());
}
