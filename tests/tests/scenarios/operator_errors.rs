//! Operator errors: a broken plugin, a second daemon, an invalid configuration. What works
//! continues, and the message says what to do.

use beadle_test_support::daemon::Setup;
use beadle_test_support::program;
use beadle_test_support::simulator::SimulatorAddress;
use serde_json::{Value, json};
use std::process::Output;

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn broken_plugin_is_reported_and_the_others_run() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).plugin("echo", "");
    let whole = std::fs::read(program::plugin("echo")).unwrap_or_default();
    let half = whole.get(..whole.len() / 2).unwrap_or_default();
    for (name, bytes) in [("half", half), ("empty", b"".as_slice()), ("text", b"not wasm at all")] {
        let written = std::fs::write(setup.plugins().join(format!("{name}.wasm")), bytes);
        written.unwrap_or_else(|error| panic!("{error}"));
    }
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    simulator.say("Ana", "hello").await;
    simulator.expect_texts("Ana", &["hello"]).await;
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
async fn second_daemon_on_the_same_data_is_refused() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).plugin("echo", "");
    let daemon = setup.start().await;
    let mut second = setup.spawn();
    let status = second.program.wait().await;
    assert!(!status.success());
    let output = second.program.output();
    assert!(output.contains("another") || output.contains("already"), "{output}");
    let simulator = address.start(&setup).await;
    simulator.say("Ana", "still here?").await;
    simulator.expect_texts("Ana", &["still here?"]).await;
    daemon.stop().await;
}

#[tokio::test]
async fn invalid_configuration_is_reported_completely_and_starts_nothing() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url())
        .toml("[outbox]\non_ambigous = \"hold\"\nambiguous_wait = \"soon\"\n[retention]\nevents = 5");
    setup.write();
    let config = setup.config();
    let config = config.to_str().unwrap_or_default();
    for arguments in [["check", "--config", config], ["run", "--config", config]] {
        let output = setup.cli(&arguments).await;
        assert!(!output.status.success());
        let message = text(&output);
        for part in ["on_ambigous", "on_ambiguous", "soon", "beadle.toml:", "events"] {
            assert!(message.contains(part), "`beadle {}` does not mention {part}:\n{message}", arguments.join(" "));
        }
    }
}
