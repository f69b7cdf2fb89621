//! What an operator does wrong: a broken plugin, a second daemon, a bad configuration. What works goes on, and the message
//! says what to do.

use beadle_e2e::daemon::Setup;
use beadle_e2e::program;
use beadle_e2e::simulator::Place;
use serde_json::{Value, json};
use std::process::Output;

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn a_broken_plugin_is_told_and_the_others_run() {
    let place = Place::new();
    let setup = Setup::new(&place.url()).plugin("echo", "");
    let whole = std::fs::read(program::plugin("echo")).unwrap_or_default();
    let half = whole.get(..whole.len() / 2).unwrap_or_default();
    for (name, bytes) in [("half", half), ("empty", b"".as_slice()), ("text", b"not wasm at all")] {
        let written = std::fs::write(setup.plugins().join(format!("{name}.wasm")), bytes);
        written.unwrap_or_else(|error| panic!("{error}"));
    }
    let daemon = setup.start().await;
    let simulator = place.start(&setup).await;
    simulator.say("Ana", "hello").await;
    simulator.got("Ana", &["hello"]).await;
    let plugins = daemon.get("plugins").await;
    let rows = plugins.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    for row in &rows {
        let broken = row.get("name") != Some(&json!("echo"));
        assert_eq!(row.get("state") == Some(&json!("broken")), broken, "{row}");
        assert_eq!(row.get("problem").is_some(), broken, "{row}");
    }
    assert_eq!(rows.len(), 4, "{plugins}");
    daemon.stop().await;
}

#[tokio::test]
async fn a_second_daemon_on_the_same_data_is_refused() {
    let place = Place::new();
    let setup = Setup::new(&place.url()).plugin("echo", "");
    let daemon = setup.start().await;
    let mut second = setup.launch();
    let status = second.program.ended().await;
    assert!(!status.success());
    let said = second.program.said();
    assert!(said.contains("another") || said.contains("already"), "{said}");
    let simulator = place.start(&setup).await;
    simulator.say("Ana", "still here?").await;
    simulator.got("Ana", &["still here?"]).await;
    daemon.stop().await;
}

#[tokio::test]
async fn a_bad_configuration_is_told_whole_and_nothing_starts() {
    let place = Place::new();
    let setup = Setup::new(&place.url())
        .toml("[outbox]\non_ambigous = \"hold\"\nambiguous_wait = \"soon\"\n[retention]\nevents = 5");
    setup.write();
    let config = setup.config();
    let config = config.to_str().unwrap_or_default();
    for words in [["check", "--config", config], ["run", "--config", config]] {
        let output = setup.cli(&words).await;
        assert!(!output.status.success());
        let said = text(&output);
        for part in ["on_ambigous", "on_ambiguous", "soon", "beadle.toml:", "events"] {
            assert!(said.contains(part), "`beadle {}` says nothing of {part}:\n{said}", words.join(" "));
        }
    }
}
