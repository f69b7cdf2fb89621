//! The author's loop: a new plugin is created, tested, built, tried in the sandbox and run, without
//! network.

use crate::BUILD_TIMEOUT;
use beadle_test_support::daemon::Setup;
use beadle_test_support::program::{self, Program};
use beadle_test_support::simulator::SimulatorAddress;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Output;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

/// The target folder of the repository's plugins, so that the crates of a new plugin need no second
/// build.
fn shared_target_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/target")
}

/// `program` with these arguments, in this folder.
fn command(program: &str, folder: &Path, arguments: &[&str]) -> Command {
    let program = if program == "beadle" { program::built("beadle") } else { program.into() };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", shared_target_dir())
        .env("CARGO_NET_OFFLINE", "true");
    // Cargo sets these for the tests that it runs; another cargo must not see them.
    for variable in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "NOTIFY_SOCKET", "BEADLE_SOCKET"] {
        command.env_remove(variable);
    }
    command.kill_on_drop(true);
    command
}

async fn run(program: &str, folder: &Path, arguments: &[&str]) -> Output {
    match timeout(BUILD_TIMEOUT, command(program, folder, arguments).output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => panic!("`{program} {}`: {error}", arguments.join(" ")),
        Err(_) => panic!("`{program} {}` does not exit", arguments.join(" ")),
    }
}

/// The standard output of a command that succeeds.
async fn stdout_of(program: &str, folder: &Path, arguments: &[&str]) -> String {
    let output = run(program, folder, arguments).await;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`{program} {}`:\n{stdout}\n{stderr}", arguments.join(" "));
    stdout
}

#[tokio::test]
async fn new_plugin_is_tested_built_and_run() {
    let parent = TempDir::with_prefix("beadle-author-").unwrap_or_else(|error| panic!("{error}"));
    stdout_of("beadle", parent.path(), &["plugins", "new", "say-hello", "--lang", "rust"]).await;
    let folder = parent.path().join("say-hello");
    let tested = stdout_of("cargo", &folder, &["test", "--offline"]).await;
    assert!(tested.contains("greets_and_counts ... ok"), "{tested}");
    let built = stdout_of("beadle", &folder, &["plugins", "build"]).await;
    assert!(["on-message", "replies", "state"].iter().all(|part| built.contains(part)), "{built}");

    let tried =
        stdout_of("beadle", &folder, &["plugins", "test", "say-hello.wasm", "--event", "events/hello.json"]).await;
    for part in ["claimed", "Hello, Ana! (1)", "state", "\"times\" = 1"] {
        assert!(tried.contains(part), "{part}: {tried}");
    }
    // Two events in a row: the second one finds the state of the first.
    let twice = ["plugins", "test", "say-hello.wasm", "--event", "text", "--event", "text", "--json"];
    let tried: Value = serde_json::from_str(&stdout_of("beadle", &folder, &twice).await).unwrap_or_default();
    assert_eq!(tried.pointer("/items/1/effects/0/body/body"), Some(&json!("Hello, Ana! (2)")), "{tried}");
    let missing = run("beadle", &folder, &["plugins", "test", "say-hello.wasm", "--event", "nothing.json"]).await;
    assert_eq!(missing.status.code(), Some(2));
    let again = run("beadle", parent.path(), &["plugins", "new", "say-hello"]).await;
    assert_eq!(again.status.code(), Some(1));

    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url());
    setup.put_plugin("say-hello", &folder.join("say-hello.wasm"));
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    simulator.say("Ana", "hello").await;
    simulator.expect_texts("Ana", &["Hello, Ana! (1)"]).await;

    // With --watch, every save is built and answers the next message.
    let (into, socket) = (setup.plugins(), setup.socket());
    let watch = ["plugins", "build", "--watch", "--into", into.to_str().unwrap(), "--socket", socket.to_str().unwrap()];
    let mut author = Program::start(&mut command("beadle", &folder, &watch));
    let source = folder.join("src/lib.rs");
    let first = std::fs::read_to_string(&source).unwrap();
    let runs = |line: &str| {
        line.contains("say-hello: active ").then(|| line.rsplit(' ').next().unwrap_or_default().to_owned())
    };
    let before = author.line_within(BUILD_TIMEOUT, runs).await;
    std::fs::write(&source, first.replace("{}, {name}! ({times})", "{}, dear {name}! ({times})")).unwrap();
    author.line_within(BUILD_TIMEOUT, |line| runs(line).filter(|revision| *revision != before)).await;
    simulator.say("Ana", "hello").await;
    simulator.expect_texts("Ana", &["Hello, Ana! (1)", "Hello, dear Ana! (2)"]).await;
    // A build error is printed, and the running revision stays active.
    std::fs::write(&source, first.replace("Disposition::Claimed", "Disposition::Claimd")).unwrap();
    let is_reported = |line: &str| line.contains("say-hello: build failed").then_some(());
    author.line_within(BUILD_TIMEOUT, is_reported).await;
    assert!(author.output().contains("named `Claimd` found"), "{}", author.output());
    simulator.say("Ana", "hello").await;
    simulator.expect_texts("Ana", &["Hello, Ana! (1)", "Hello, dear Ana! (2)", "Hello, dear Ana! (3)"]).await;
    daemon.stop().await;
}

#[tokio::test]
async fn sandbox_failures_are_reported_to_the_author() {
    let folder = TempDir::with_prefix("beadle-author-").unwrap_or_else(|error| panic!("{error}"));
    let probe = program::plugin("probe");
    std::fs::write(folder.path().join("settings.toml"), "wrong = \"spin\"").unwrap_or_else(|error| panic!("{error}"));
    let file = probe.to_str().unwrap_or_default();
    let arguments = ["plugins", "test", file, "--event", "text", "--settings", "settings.toml"];
    let output = run("beadle", folder.path(), &arguments).await;
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{stdout}");
    assert!(stdout.contains("exceeded its CPU limit of 100 ms") && stdout.contains("cpu-limit"), "{stdout}");
    // A file that is not a plugin is refused with a code.
    std::fs::write(folder.path().join("text.wasm"), "no wasm").unwrap_or_else(|error| panic!("{error}"));
    let output = run("beadle", folder.path(), &["plugins", "test", "text.wasm"]).await;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && stderr.contains("beadle explain not-wasm"), "{stderr}");
}
