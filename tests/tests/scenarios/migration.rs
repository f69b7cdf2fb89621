//! State migration: under load, killed in the middle, failing before and after the swap, and rolled
//! back.

use crate::{UNPACED, text};
use beadle_test_support::daemon::{Daemon, Setup};
use beadle_test_support::program::revised;
use beadle_test_support::rng::{Rng, is_long_run};
use beadle_test_support::simulator::{Simulator, SimulatorAddress, text_of};
use beadle_test_support::{wait_for_count, wait_until};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Output;

const PEOPLE: u64 = 10;

fn output_of(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// With the first revision of `notes`, which stores counts as numbers. [`put`] replaces it with a
/// second one.
fn with_notes(address: &SimulatorAddress, toml: &str) -> Setup {
    Setup::new(&address.url()).plugin_as("notes", "notes", toml).toml(UNPACED)
}

fn put(setup: &Setup, tag: &str) {
    setup.put_bytes("notes", &revised("notes-2", tag));
}

/// Version and number of values of a plugin's state.
fn state_of(row: &Value) -> (u64, u64) {
    let number = |at: &str| row.pointer(at).and_then(Value::as_u64).unwrap_or_default();
    (number("/stored_state/version"), number("/stored_state/values"))
}

async fn wait_until_migrated(daemon: &Daemon) {
    daemon.wait_for_plugin("notes", |row| state_of(row).0 == 1 && row.get("problem").is_none()).await;
}

/// Replies are "v2 12 n 345": revision, count of the conversation, text. Asserts that each count
/// runs from 1 without gaps, the first revision before the second. Returns the texts.
fn assert_counts_continue(sent: &[Value]) -> BTreeSet<String> {
    let mut counts: BTreeMap<&str, BTreeMap<u64, (String, String)>> = BTreeMap::new();
    for message in sent {
        let reply = text_of(message).unwrap_or_default();
        let (revision, rest) = reply.split_once(' ').unwrap_or_default();
        let (count, body) = rest.split_once(' ').unwrap_or_default();
        let answer = (revision.to_owned(), body.to_owned());
        let before = counts.entry(text(message, "/person")).or_default().insert(count.parse().unwrap(), answer.clone());
        // An ambiguous message is sent again after a kill, unchanged.
        assert!(before.as_ref().is_none_or(|before| *before == answer), "{count} has {before:?} and {answer:?}");
    }
    let mut all = BTreeSet::new();
    for (person, answers) in counts {
        assert!(answers.keys().copied().eq(1..=answers.len() as u64), "{person}: {answers:?}");
        assert!(answers.values().is_sorted_by_key(|(revision, _)| revision), "{person}: {answers:?}");
        for (_, text) in answers.into_values() {
            assert!(all.insert(text.clone()), "{text} was handled twice");
        }
    }
    all
}

async fn wait_until_answered(daemon: &Daemon, simulator: &Simulator, messages: u64) {
    simulator.wait_for_written(messages).await;
    // Events that wait on disk for the plugin are not open, and a message may be sent again: only
    // the answers tell.
    wait_for_count("every message has its answer", messages, async || {
        let sent = simulator.messages(None).await;
        sent.iter().filter_map(text_of).collect::<BTreeSet<String>>().len() as u64
    })
    .await;
    daemon.wait_until_idle().await;
    simulator.wait_until_delivered().await;
}

#[tokio::test]
async fn migration_under_load_loses_nothing() {
    const BEFORE: u64 = 300;
    const MEANWHILE: u64 = 1500;
    const AFTER: u64 = 100;
    let address = SimulatorAddress::reserve();
    let setup = with_notes(&address, "");
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    simulator.flood(PEOPLE, BEFORE, 0.0, "fill before").await;
    wait_until("half of it is answered", async || {
        (simulator.messages(None).await.len() as u64 >= BEFORE / 2).then_some(())
    })
    .await;
    simulator.flood(PEOPLE, MEANWHILE, 500.0, "meanwhile").await;
    put(&setup, "v2");
    wait_until_migrated(&daemon).await;
    simulator.flood(PEOPLE, AFTER, 0.0, "after").await;
    wait_until_answered(&daemon, &simulator, BEFORE + MEANWHILE + AFTER).await;
    let sent = simulator.messages(None).await;
    assert_eq!(sent.len() as u64, BEFORE + MEANWHILE + AFTER);
    assert_eq!(assert_counts_continue(&sent).len(), sent.len());
    let by = |revision: &str| {
        sent.iter().filter(|message| text_of(message).is_some_and(|text| text.starts_with(revision))).count()
    };
    assert!(by("v1 ") >= (BEFORE / 2) as usize && by("v2 ") >= AFTER as usize, "{} by v1", by("v1 "));
    assert_eq!(daemon.status_count("dead_letters").await, 0);
    let output = output_of(&setup.cli(&["plugins", "show", "notes"]).await);
    assert!(output.contains("version 1") && output.contains("previous state"), "{output}");
    // The same after a restart.
    daemon.stop().await;
    let daemon = setup.start().await;
    simulator.flood(PEOPLE, PEOPLE, 0.0, "again").await;
    wait_until_answered(&daemon, &simulator, BEFORE + MEANWHILE + AFTER + PEOPLE).await;
    assert_counts_continue(&simulator.messages(None).await);
    daemon.stop().await;
}

#[tokio::test]
async fn failed_migration_keeps_the_old_revision_and_state() {
    let address = SimulatorAddress::reserve();
    let setup = with_notes(&address, "limits = { state_mib = 1 }");
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    simulator.say("Ana", "fill").await;
    simulator.expect_texts("Ana", &["v1 1 fill"]).await;
    let before = state_of(&daemon.get("plugins/notes").await);
    for (tag, part) in [
        ("v2!fail", "it fails, as configured"),
        ("v2!trap", "trapped"),
        ("v2!spin", "cpu_ms"),
        ("v2!grow", "limits.state_mib"),
    ] {
        put(&setup, tag);
        let row = daemon
            .wait_for_plugin("notes", |row| {
                text(row, "/problem/code") == "migration-failed" && text(row, "/problem/message").contains(part)
            })
            .await;
        assert_eq!((text(&row, "/state"), text(&row, "/failed_step")), ("active", "trial migration"), "{row}");
        assert_eq!(state_of(&row), before);
        assert!(row.get("previous_state").is_none(), "{row}");
    }
    let status = output_of(&setup.cli(&["status"]).await);
    assert!(status.contains("migration-failed"), "{status}");
    assert!(daemon.program.output().contains("trial migration "), "how long it took is in the log");
    let explained = output_of(&setup.cli(&["explain", "migration-failed"]).await);
    assert!(explained.contains("# migration-failed"), "{explained}");
    simulator.say("Ana", "on").await;
    simulator.expect_texts("Ana", &["v1 1 fill", "v1 2 on"]).await;
    put(&setup, "v2");
    wait_until_migrated(&daemon).await;
    simulator.say("Ana", "over").await;
    simulator.expect_texts("Ana", &["v1 1 fill", "v1 2 on", "v2 3 over"]).await;
    daemon.stop().await;
}

#[tokio::test]
async fn kill_during_migration_leaves_matching_code_and_state() {
    let mut rng = Rng::seeded();
    for _ in 0..if is_long_run() { 20 } else { 3 } {
        kill_once(&mut rng).await;
    }
}

async fn kill_once(rng: &mut Rng) {
    const FILLS: u64 = 20;
    /// About the time from the new file to the end of such a migration.
    const LIFE_MS: u64 = 1500;
    let address = SimulatorAddress::reserve();
    let outbox = "[outbox]\non_ambiguous = \"resend\"\nambiguous_wait = \"1s\"";
    // A slow page takes most of the default limit, and more than that on a busy machine.
    let setup = with_notes(&address, "limits = { cpu_ms = 2000 }").toml(outbox);
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    simulator.flood(PEOPLE, FILLS, 0.0, "fill").await;
    wait_until_answered(&daemon, &simulator, FILLS).await;
    put(&setup, "v2!slow");
    simulator.flood(PEOPLE, PEOPLE, 0.0, "meanwhile").await;
    rng.sleep_below(LIFE_MS).await;
    match rng.below(4) {
        // A shutdown does not wait for events that wait for the migration.
        0 => daemon.stop().await,
        _ => daemon.kill9().await,
    }
    simulator.flood(PEOPLE, 2 * PEOPLE, 0.0, "while it is down").await;
    let daemon = setup.start().await;
    wait_until_migrated(&daemon).await;
    simulator.flood(PEOPLE, PEOPLE, 0.0, "after").await;
    let messages = FILLS + 4 * PEOPLE;
    wait_until_answered(&daemon, &simulator, messages).await;
    assert_eq!(assert_counts_continue(&simulator.messages(None).await).len() as u64, messages);
    assert_eq!(daemon.status_count("dead_letters").await, 0);
    daemon.stop().await;
}

#[tokio::test]
async fn failures_after_migration_suspend_and_only_the_operator_rolls_back() {
    let address = SimulatorAddress::reserve();
    let setup = with_notes(&address, "");
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    for text in ["one", "two"] {
        simulator.say("Ana", text).await;
    }
    simulator.expect_texts("Ana", &["v1 1 one", "v1 2 two"]).await;
    put(&setup, "v2!boom");
    wait_until_migrated(&daemon).await;
    simulator.say("Ana", "three").await;
    simulator.expect_texts("Ana", &["v1 1 one", "v1 2 two", "v2 3 three"]).await;
    for person in ["Ana", "Bram", "Kadri"] {
        simulator.say(person, "boom").await;
    }
    let row = daemon.wait_for_plugin("notes", |row| text(row, "/state") == "suspended").await;
    let reason = text(&row, "/problem/message");
    assert!(reason.contains("migrated its state") && reason.contains("beadle plugins rollback notes"), "{row}");
    // The operator can enable it …
    let enabled = setup.cli(&["plugins", "enable", "notes"]).await;
    assert!(enabled.status.success(), "{}", output_of(&enabled));
    simulator.say("Ana", "four").await;
    wait_until("it answers", async || simulator.texts("Ana").await.contains(&"v2 4 four".to_owned()).then_some(()))
        .await;
    // … but the earlier file does not take over, since it would lose state.
    setup.put_plugin("notes", &beadle_test_support::program::plugin("notes"));
    let row = daemon.wait_for_plugin("notes", |row| text(row, "/problem/code") == "state-newer").await;
    assert_eq!(text(&row, "/state"), "active", "{row}");
    let refused = setup.cli(&["plugins", "rollback", "notes"]).await;
    let reason = output_of(&refused);
    assert!(!refused.status.success() && reason.contains("state-would-be-lost"), "{reason}");
    assert!(reason.contains("would be lost") && reason.contains("--discard-state"), "{reason}");
    let back = setup.cli(&["plugins", "rollback", "notes", "--discard-state"]).await;
    assert!(back.status.success(), "{}", output_of(&back));
    // With the earlier state: the counts of the second revision are gone.
    simulator.say("Ana", "five").await;
    wait_until("it counts on from two", async || {
        simulator.texts("Ana").await.contains(&"v1 3 five".to_owned()).then_some(())
    })
    .await;
    assert_eq!(state_of(&daemon.get("plugins/notes").await), (0, 1));
    // It stays rolled back across a restart, until another file appears.
    daemon.stop().await;
    let daemon = setup.start().await;
    simulator.say("Ana", "six").await;
    wait_until("it counts on", async || simulator.texts("Ana").await.contains(&"v1 4 six".to_owned()).then_some(()))
        .await;
    put(&setup, "v2");
    wait_until_migrated(&daemon).await;
    simulator.say("Ana", "seven").await;
    wait_until("it counts on", async || simulator.texts("Ana").await.contains(&"v2 5 seven".to_owned()).then_some(()))
        .await;
    daemon.stop().await;
}
