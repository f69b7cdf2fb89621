//! Backup of a running daemon and its restore, as docs/operators/backup.md describes them.

use crate::{UNPACED, text};
use beadle_test_support::daemon::Setup;
use beadle_test_support::simulator::SimulatorAddress;
use beadle_test_support::{time_at, wait_until};
use std::path::Path;
use std::process::Command;

/// What `sqlite3 DATABASE ".backup 'COPY'"` does, with the Python that the tests need anyway.
const BACKUP: &str = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).backup(sqlite3.connect(sys.argv[2]))";

fn run(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}

fn back_up(data: &Path, to: &Path) {
    run(Command::new("python3").args(["-c", BACKUP]).args([data.join("beadle.db"), to.join("beadle.db")]));
    for folder in ["media", "revisions"] {
        if data.join(folder).exists() {
            run(Command::new("cp").arg("--archive").args([data.join(folder), to.join(folder)]));
        }
    }
}

#[tokio::test]
async fn backup_of_a_running_daemon_restores_its_state() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).probe("probe", "reply = \": \", count = true", "").toml(UNPACED);
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    simulator.say("Ana", "one").await;
    wait_until("Ana is answered", async || (simulator.texts("Ana").await.len() == 1).then_some(())).await;
    simulator.say("Bram", "STOP").await;
    wait_until("STOP is answered", async || (simulator.texts("Bram").await.len() == 1).then_some(())).await;
    daemon.wait_until_idle().await;
    simulator.wait_until_delivered().await;
    let before = daemon.list_all("events").await.len();
    let revision = text(&daemon.get("plugins/probe").await, "/revision").to_owned();

    let backup = tempfile::tempdir().unwrap();
    back_up(&setup.data(), backup.path());
    // Unknown to the backup.
    simulator.say("Ana", "two").await;
    wait_until("Ana is answered again", async || (simulator.texts("Ana").await.len() == 2).then_some(())).await;
    daemon.wait_until_idle().await;
    daemon.stop().await;

    std::fs::rename(setup.data(), setup.data().with_file_name("lost")).unwrap();
    run(Command::new("cp").arg("--archive").args([backup.path(), &setup.data()]));
    let daemon = setup.start().await;
    assert_eq!(daemon.list_all("events").await.len(), before);
    assert_eq!(text(&daemon.get("plugins/probe").await, "/revision"), revision);
    let contacts = daemon.get("contacts").await;
    assert!(time_at(&contacts, "/items/1/opted_out_since").is_some(), "{contacts}");
    simulator.say("Ana", "three").await;
    simulator.say("Bram", "still there?").await;
    daemon.wait_until_idle().await;
    wait_until("Ana is answered", async || (simulator.texts("Ana").await.len() == 3).then_some(())).await;
    let texts = simulator.texts("Ana").await;
    // The count continues from the backup.
    assert!(texts.last().is_some_and(|last| last.ends_with("2 three")), "{texts:?}");
    assert_eq!(simulator.texts("Bram").await.len(), 1, "the STOP is restored");
    daemon.stop().await;
}

#[tokio::test]
async fn erasures_since_the_backup_are_repeated() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).plugin("echo", "").toml(UNPACED);
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    for person in ["Ana", "Bram"] {
        simulator.say(person, "one").await;
        wait_until("they are answered", async || (simulator.texts(person).await.len() == 1).then_some(())).await;
    }
    daemon.wait_until_idle().await;
    simulator.wait_until_delivered().await;
    let backup = tempfile::tempdir().unwrap();
    back_up(&setup.data(), backup.path());
    let is_done = |view: &serde_json::Value| text(view, "/items/0/phase") == "done";
    assert_eq!(daemon.post("contacts/con_1/erase").await.status, 200);
    wait_until("Ana is erased", async || is_done(&daemon.get("erasures").await).then_some(())).await;
    daemon.stop().await;

    let lost = setup.data().with_file_name("lost");
    std::fs::rename(setup.data(), &lost).unwrap();
    run(Command::new("cp").arg("--archive").args([backup.path(), &setup.data()]));
    run(Command::new("cp").args([lost.join("erasures.jsonl"), setup.data()]));
    let daemon = setup.start().await;
    let erasures = wait_until("Ana is erased again", async || {
        let erasures = daemon.get("erasures").await;
        is_done(&erasures).then_some(erasures)
    })
    .await;
    assert_eq!(text(&erasures, "/items/0/asked_by"), "restore", "{erasures}");
    let contacts = daemon.get("contacts").await;
    assert_eq!(contacts.pointer("/items").and_then(serde_json::Value::as_array).map(Vec::len), Some(1), "{contacts}");
    assert_eq!(text(&contacts, "/items/0/id"), "con_2");
    daemon.stop().await;
}
