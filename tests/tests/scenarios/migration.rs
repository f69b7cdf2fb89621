//! A revision keeps its state in another form and brings over what is there: under load, killed in the middle, failing
//! before and after; and the way back.

use crate::{UNPACED, text};
use beadle_e2e::daemon::{Daemon, Setup};
use beadle_e2e::program::revised;
use beadle_e2e::random::{Chance, long};
use beadle_e2e::simulator::{Place, Simulator, text_of};
use beadle_e2e::until;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Output;

const PEOPLE: u64 = 10;

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The first revision of `notes`, which counts in numbers; `v2…` of the second are put over it.
fn with_notes(place: &Place, toml: &str) -> Setup {
    Setup::new(&place.url()).plugin_as("notes", "notes", toml).toml(UNPACED)
}

fn put(setup: &Setup, tag: &str) {
    setup.put_bytes("notes", &revised("notes-2", tag));
}

fn keeps(row: &Value) -> (u64, u64) {
    let number = |at: &str| row.pointer(at).and_then(Value::as_u64).unwrap_or_default();
    (number("/keeps/version"), number("/keeps/values"))
}

async fn is_brought_over(daemon: &Daemon) {
    daemon.plugin_until("notes", |row| keeps(row).0 == 1 && row.get("problem").is_none()).await;
}

/// "v2 12 n 345": the revision, how many this conversation had, what was said. Everybody's count goes from 1 up by one, the
/// first revision's before the second's; what was said.
fn assert_counted_on(sent: &[Value]) -> BTreeSet<String> {
    let mut counts: BTreeMap<&str, BTreeMap<u64, (String, String)>> = BTreeMap::new();
    for message in sent {
        let reply = text_of(message).unwrap_or_default();
        let (revision, rest) = reply.split_once(' ').unwrap_or_default();
        let (count, said) = rest.split_once(' ').unwrap_or_default();
        let answer = (revision.to_owned(), said.to_owned());
        let before = counts.entry(text(message, "/person")).or_default().insert(count.parse().unwrap(), answer.clone());
        // What is in doubt after a kill is sent again, and is the same then.
        assert!(before.as_ref().is_none_or(|before| *before == answer), "{count} stands for {before:?} and {answer:?}");
    }
    let mut all = BTreeSet::new();
    for (person, answers) in counts {
        assert!(answers.keys().copied().eq(1..=answers.len() as u64), "{person}: {answers:?}");
        assert!(answers.values().is_sorted_by_key(|(revision, _)| revision), "{person}: {answers:?}");
        for (_, said) in answers.into_values() {
            assert!(all.insert(said.clone()), "{said} was handled twice");
        }
    }
    all
}

async fn all_answered(daemon: &Daemon, simulator: &Simulator, messages: u64) {
    simulator.said(messages).await;
    simulator.delivered().await;
    daemon.idle().await;
    simulator.delivered().await;
}

#[tokio::test]
async fn under_load_nothing_is_lost_doubled_or_forgotten() {
    const BEFORE: u64 = 300;
    const MEANWHILE: u64 = 1500;
    const AFTER: u64 = 100;
    let place = Place::new();
    let setup = with_notes(&place, "");
    let daemon = setup.start().await;
    let simulator = place.start(&setup).await;
    simulator.flood(PEOPLE, BEFORE, 0.0, "fill before").await;
    until("half of it is answered", async || (simulator.messages(None).await.len() as u64 >= BEFORE / 2).then_some(()))
        .await;
    simulator.flood(PEOPLE, MEANWHILE, 500.0, "meanwhile").await;
    put(&setup, "v2");
    is_brought_over(&daemon).await;
    simulator.flood(PEOPLE, AFTER, 0.0, "after").await;
    all_answered(&daemon, &simulator, BEFORE + MEANWHILE + AFTER).await;
    let sent = simulator.messages(None).await;
    assert_eq!(sent.len() as u64, BEFORE + MEANWHILE + AFTER);
    assert_eq!(assert_counted_on(&sent).len(), sent.len());
    let by = |revision: &str| sent.iter().filter(|it| text_of(it).is_some_and(|it| it.starts_with(revision))).count();
    assert!(by("v1 ") >= (BEFORE / 2) as usize && by("v2 ") >= AFTER as usize, "{} by v1", by("v1 "));
    assert_eq!(daemon.count("dead-letters").await, 0);
    let shown = said(&setup.cli(&["plugins", "show", "notes"]).await);
    assert!(shown.contains("version 1") && shown.contains("kept before"), "{shown}");
    // Also after a start.
    daemon.stop().await;
    let daemon = setup.start().await;
    simulator.flood(PEOPLE, PEOPLE, 0.0, "again").await;
    all_answered(&daemon, &simulator, BEFORE + MEANWHILE + AFTER + PEOPLE).await;
    assert_counted_on(&simulator.messages(None).await);
    daemon.stop().await;
}

#[tokio::test]
async fn one_that_cannot_bring_the_state_over_does_not_take_over() {
    let place = Place::new();
    let setup = with_notes(&place, "limits = { state_mib = 1 }");
    let daemon = setup.start().await;
    let simulator = place.start(&setup).await;
    simulator.say("Ana", "fill").await;
    simulator.got("Ana", &["v1 1 fill"]).await;
    let before = keeps(&daemon.get("plugins/notes").await);
    for (tag, part) in [
        ("v2!fail", "it was told to fail"),
        ("v2!trap", "trapped"),
        ("v2!spin", "cpu_ms"),
        ("v2!grow", "limits.state_mib"),
    ] {
        put(&setup, tag);
        let row = daemon
            .plugin_until("notes", |row| {
                text(row, "/problem/code") == "migration-failed" && text(row, "/problem/message").contains(part)
            })
            .await;
        assert_eq!((text(&row, "/state"), text(&row, "/refused_at")), ("active", "trial migration"), "{row}");
        assert_eq!(keeps(&row), before);
        assert!(row.get("kept_before").is_none(), "{row}");
    }
    let status = said(&setup.cli(&["status"]).await);
    assert!(status.contains("migration-failed"), "{status}");
    assert!(daemon.program.said().contains("trial migration "), "how long it took is in the log");
    let explained = said(&setup.cli(&["explain", "migration-failed"]).await);
    assert!(explained.contains("# migration-failed"), "{explained}");
    simulator.say("Ana", "on").await;
    simulator.got("Ana", &["v1 1 fill", "v1 2 on"]).await;
    put(&setup, "v2");
    is_brought_over(&daemon).await;
    simulator.say("Ana", "over").await;
    simulator.got("Ana", &["v1 1 fill", "v1 2 on", "v2 3 over"]).await;
    daemon.stop().await;
}

#[tokio::test]
async fn killed_in_the_middle_it_is_the_old_one_with_its_state_or_the_new_one_with_its_own() {
    let mut chance = Chance::seeded();
    for _ in 0..if long() { 20 } else { 3 } {
        kill_once(&mut chance).await;
    }
}

async fn kill_once(chance: &mut Chance) {
    const FILLS: u64 = 20;
    /// From the file to its end such a migration takes about so long here.
    const LIFE_MS: u64 = 1500;
    let place = Place::new();
    let outbox = "[outbox]\non_ambiguous = \"resend\"\nambiguous_wait = \"1s\"";
    let setup = with_notes(&place, "").toml(outbox);
    let daemon = setup.start().await;
    let simulator = place.start(&setup).await;
    simulator.flood(PEOPLE, FILLS, 0.0, "fill").await;
    all_answered(&daemon, &simulator, FILLS).await;
    put(&setup, "v2!slow");
    simulator.flood(PEOPLE, PEOPLE, 0.0, "meanwhile").await;
    chance.moment(LIFE_MS).await;
    match chance.below(4) {
        // Whoever waits for the migration is not waited for.
        0 => daemon.stop().await,
        _ => daemon.kill9().await,
    }
    simulator.flood(PEOPLE, 2 * PEOPLE, 0.0, "while it is down").await;
    let daemon = setup.start().await;
    is_brought_over(&daemon).await;
    simulator.flood(PEOPLE, PEOPLE, 0.0, "after").await;
    let messages = FILLS + 4 * PEOPLE;
    all_answered(&daemon, &simulator, messages).await;
    assert_eq!(assert_counted_on(&simulator.messages(None).await).len() as u64, messages);
    assert_eq!(daemon.count("dead-letters").await, 0);
    daemon.stop().await;
}

#[tokio::test]
async fn one_that_fails_afterwards_is_suspended_and_the_way_back_is_a_persons() {
    let place = Place::new();
    let setup = with_notes(&place, "");
    let daemon = setup.start().await;
    let simulator = place.start(&setup).await;
    for text in ["one", "two"] {
        simulator.say("Ana", text).await;
    }
    simulator.got("Ana", &["v1 1 one", "v1 2 two"]).await;
    put(&setup, "v2!boom");
    is_brought_over(&daemon).await;
    simulator.say("Ana", "three").await;
    simulator.got("Ana", &["v1 1 one", "v1 2 two", "v2 3 three"]).await;
    for person in ["Ana", "Bram", "Kadri"] {
        simulator.say(person, "boom").await;
    }
    let row = daemon.plugin_until("notes", |row| text(row, "/state") == "suspended").await;
    let why = text(&row, "/problem/message");
    assert!(why.contains("brought its state over") && why.contains("beadle plugins rollback notes"), "{row}");
    // A person may have it asked again …
    let enabled = setup.cli(&["plugins", "enable", "notes"]).await;
    assert!(enabled.status.success(), "{}", said(&enabled));
    simulator.say("Ana", "four").await;
    until("it answers", async || simulator.texts("Ana").await.contains(&"v2 4 four".to_owned()).then_some(())).await;
    // … and does not go back to the earlier file without a word.
    setup.put_plugin("notes", &beadle_e2e::program::plugin("notes"));
    let row = daemon.plugin_until("notes", |row| text(row, "/problem/code") == "state-newer").await;
    assert_eq!(text(&row, "/state"), "active", "{row}");
    let refused = setup.cli(&["plugins", "rollback", "notes"]).await;
    let why = said(&refused);
    assert!(!refused.status.success() && why.contains("state-would-be-lost"), "{why}");
    assert!(why.contains("would be lost") && why.contains("--discard-state"), "{why}");
    let back = setup.cli(&["plugins", "rollback", "notes", "--discard-state"]).await;
    assert!(back.status.success(), "{}", said(&back));
    // With the state of then: what the second revision counted is gone.
    simulator.say("Ana", "five").await;
    until("it counts on from two", async || {
        simulator.texts("Ana").await.contains(&"v1 3 five".to_owned()).then_some(())
    })
    .await;
    assert_eq!(keeps(&daemon.get("plugins/notes").await), (0, 1));
    // It stays so across a start, until another file comes.
    daemon.stop().await;
    let daemon = setup.start().await;
    simulator.say("Ana", "six").await;
    until("it counts on", async || simulator.texts("Ana").await.contains(&"v1 4 six".to_owned()).then_some(())).await;
    put(&setup, "v2");
    is_brought_over(&daemon).await;
    simulator.say("Ana", "seven").await;
    until("it counts on", async || simulator.texts("Ana").await.contains(&"v2 5 seven".to_owned()).then_some(())).await;
    daemon.stop().await;
}
