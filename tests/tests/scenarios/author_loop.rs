//! Somebody writes a plugin: a new folder, its tests, a build, a try in the sandbox, and a talk with it. Nothing is asked of
//! the network.

use crate::PATIENCE_OF_A_COMPILER;
use beadle_e2e::daemon::Setup;
use beadle_e2e::program::{self, Program};
use beadle_e2e::simulator::Place;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Output;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

/// Where the repository's plugins were built: the crates that a new one is made of need not be compiled again.
fn built_before() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/target")
}

/// `program` in a folder, as an author types it.
fn command(program: &str, folder: &Path, words: &[&str]) -> Command {
    let program = if program == "beadle" { program::built("beadle") } else { program.into() };
    let mut command = Command::new(program);
    command.args(words).current_dir(folder).env("CARGO_TARGET_DIR", built_before()).env("CARGO_NET_OFFLINE", "true");
    // What cargo says to the tests that it runs is not for a cargo of theirs.
    for variable in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "NOTIFY_SOCKET", "BEADLE_SOCKET"] {
        command.env_remove(variable);
    }
    command.kill_on_drop(true);
    command
}

async fn run(program: &str, folder: &Path, words: &[&str]) -> Output {
    match timeout(PATIENCE_OF_A_COMPILER, command(program, folder, words).output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => panic!("`{program} {}`: {error}", words.join(" ")),
        Err(_) => panic!("`{program} {}` does not end", words.join(" ")),
    }
}

/// What it printed, once it has done what it was to do.
async fn done(program: &str, folder: &Path, words: &[&str]) -> String {
    let output = run(program, folder, words).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`{program} {}`:\n{said}\n{errors}", words.join(" "));
    said
}

#[tokio::test]
async fn a_new_plugin_is_tested_built_tried_and_run() {
    let place = TempDir::with_prefix("beadle-author-").unwrap_or_else(|error| panic!("{error}"));
    done("beadle", place.path(), &["plugins", "new", "say-hello", "--lang", "rust"]).await;
    let folder = place.path().join("say-hello");
    let tested = done("cargo", &folder, &["test", "--offline"]).await;
    assert!(tested.contains("it_greets_and_counts ... ok"), "{tested}");
    let built = done("beadle", &folder, &["plugins", "build"]).await;
    assert!(["on-message", "replies", "state"].iter().all(|part| built.contains(part)), "{built}");

    let tried = done("beadle", &folder, &["plugins", "test", "say-hello.wasm", "--event", "events/hello.json"]).await;
    for part in ["claimed", "Hello, Ana! (1)", "state", "\"times\" = 1"] {
        assert!(tried.contains(part), "{part}: {tried}");
    }
    // Two events after each other: the second finds what the first left.
    let twice = ["plugins", "test", "say-hello.wasm", "--event", "text", "--event", "text", "--json"];
    let tried: Value = serde_json::from_str(&done("beadle", &folder, &twice).await).unwrap_or_default();
    assert_eq!(tried.pointer("/items/1/effects/0/body/body"), Some(&json!("Hello, Ana! (2)")), "{tried}");
    let missing = run("beadle", &folder, &["plugins", "test", "say-hello.wasm", "--event", "nothing.json"]).await;
    assert_eq!(missing.status.code(), Some(1));
    let again = run("beadle", place.path(), &["plugins", "new", "say-hello"]).await;
    assert_eq!(again.status.code(), Some(1));

    let place = Place::new();
    let setup = Setup::new(&place.url());
    setup.put_plugin("say-hello", &folder.join("say-hello.wasm"));
    let daemon = setup.start().await;
    let simulator = place.start(&setup).await;
    simulator.say("Ana", "hello").await;
    simulator.got("Ana", &["Hello, Ana! (1)"]).await;

    // From here on whatever is saved is built, and answers the next message.
    let (into, socket) = (setup.plugins(), setup.socket());
    let watch = ["plugins", "build", "--watch", "--into", into.to_str().unwrap(), "--socket", socket.to_str().unwrap()];
    let mut author = Program::start(&mut command("beadle", &folder, &watch));
    let source = folder.join("src/lib.rs");
    let first = std::fs::read_to_string(&source).unwrap();
    let runs =
        |line: &str| line.contains("say-hello: runs, ").then(|| line.rsplit(' ').next().unwrap_or_default().to_owned());
    let before = author.line_within(PATIENCE_OF_A_COMPILER, runs).await;
    std::fs::write(&source, first.replace("{}, {name}! ({times})", "{}, dear {name}! ({times})")).unwrap();
    author.line_within(PATIENCE_OF_A_COMPILER, |line| runs(line).filter(|revision| *revision != before)).await;
    simulator.say("Ana", "hello").await;
    simulator.got("Ana", &["Hello, Ana! (1)", "Hello, dear Ana! (2)"]).await;
    // What does not build is told there too, and what runs goes on.
    std::fs::write(&source, first.replace("Disposition::Claimed", "Disposition::Claimd")).unwrap();
    let told = |line: &str| line.contains("say-hello: not built").then_some(());
    author.line_within(PATIENCE_OF_A_COMPILER, told).await;
    assert!(author.said().contains("no variant or associated item named `Claimd`"), "{}", author.said());
    simulator.say("Ana", "hello").await;
    simulator.got("Ana", &["Hello, Ana! (1)", "Hello, dear Ana! (2)", "Hello, dear Ana! (3)"]).await;
    daemon.stop().await;
}

#[tokio::test]
async fn what_fails_in_the_sandbox_is_told_to_its_author() {
    let folder = TempDir::with_prefix("beadle-author-").unwrap_or_else(|error| panic!("{error}"));
    let probe = program::plugin("probe");
    std::fs::write(folder.path().join("settings.toml"), "wrong = \"spin\"").unwrap_or_else(|error| panic!("{error}"));
    let file = probe.to_str().unwrap_or_default();
    let words = ["plugins", "test", file, "--event", "text", "--settings", "settings.toml"];
    let output = run("beadle", folder.path(), &words).await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("used more than its 100 ms of CPU") && said.contains("cpu-limit"), "{said}");
    // What is no plugin is told with its code.
    std::fs::write(folder.path().join("text.wasm"), "no wasm").unwrap_or_else(|error| panic!("{error}"));
    let output = run("beadle", folder.path(), &["plugins", "test", "text.wasm"]).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("beadle explain not-wasm"), "{said}");
}
