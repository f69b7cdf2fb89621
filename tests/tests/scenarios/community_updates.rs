//! The plugin community-updates: files become messages to members by schedule, once to each, in
//! their language and zone, across kills, after their release and before their expiry.

use crate::text;
use beadle_test_support::daemon::{Daemon, Setup};
use beadle_test_support::rng::{Rng, is_long_run};
use beadle_test_support::simulator::{Simulator, SimulatorAddress, text_of};
use beadle_test_support::wait_until;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
/// Friday 2026-03-27T12:00:00Z
const FRIDAY_NOON: i64 = 1_774_612_800_000;

struct World {
    setup: Setup,
    simulator: Simulator,
    /// The folder of the updates.
    folder: PathBuf,
}

/// Starts at noon on a Friday with these settings of the plugin and these files.
async fn world(settings: &str, files: &[(&str, &str)], more: &str) -> (World, Daemon) {
    let address = SimulatorAddress::reserve();
    let plugin =
        format!("grant = [\"messages\", \"broadcasts\"]\ndocuments = \"updates\"\nsettings = {{ {settings} }}");
    let guess = "[contacts]\nlanguage_from_number = true\n[windows]\nexpiring_before = []";
    let setup = Setup::new(&address.url()).plugin("community-updates", &plugin).toml(guess).toml(more);
    let setup = setup.clock(&address.clock_url());
    let folder = setup.conf_d().with_file_name("updates");
    std::fs::create_dir(&folder).unwrap();
    for (name, text) in files {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let simulator = address.start_virtual(&setup).await;
    simulator.control("POST", "clock", &json!({ "set_ms": FRIDAY_NOON })).await;
    let daemon = setup.start().await;
    (World { setup, simulator, folder }, daemon)
}

/// A `[[schedule]]` entry.
fn entry(name: &str, pattern: &str, payload: &str) -> String {
    format!("[[schedule]]\nname = \"{name}\"\n{pattern}\nplugin = \"community-updates\"\npayload = {payload}\n")
}

impl World {
    /// A person writes a message that no plugin answers.
    async fn write_as(&self, person: &str) {
        self.simulator.say(person, "hello").await;
        self.simulator.advance(0).await;
    }

    /// Makes the first person who wrote an admin.
    async fn appoint_first(&self) {
        let done = self.setup.cli(&["contacts", "set", "con_1", "--role", "admin"]).await;
        assert!(done.status.success(), "{done:?}");
    }

    /// The texts that a person received, each with its time in minutes after noon.
    async fn received(&self, person: &str) -> Vec<(String, i64)> {
        let at = |message: &Value| message.get("at_ms").and_then(Value::as_i64).unwrap_or_default();
        let messages = self.simulator.messages(Some(person)).await;
        messages
            .iter()
            .filter_map(|message| Some((text_of(message)?, (at(message) - FRIDAY_NOON) / MINUTE_MS)))
            .collect()
    }

    /// How often each person received each text.
    async fn sent_counts(&self) -> BTreeMap<(String, String), usize> {
        let mut sent = BTreeMap::new();
        for message in self.simulator.messages(None).await {
            let person = text(&message, "/person").to_owned();
            *sent.entry((person, text_of(&message).unwrap_or_default())).or_default() += 1;
        }
        sent
    }
}

/// Members.
const CROWD: u64 = 300;
/// Members who wrote within the last day.
const TODAY: u64 = 240;

#[tokio::test]
async fn update_reaches_each_member_once_across_kills() {
    let mut rng = Rng::seeded();
    let files = [("party.md", "# Party\nCome!"), ("party.nl.md", "# Feest\nKom!")];
    let settings = "per_step = 20";
    let pace = "[channels.shop.pace]\ncontact_seconds = 0\n[outbox]\non_ambiguous = \"hold\"\nambiguous_wait = \"1s\"";
    let (world, mut daemon) = world(settings, &files, pace).await;
    world.write_as("Ana").await;
    world.appoint_first().await;
    let simulator = &world.simulator;
    simulator.flood(CROWD, CROWD, 0.0, "hello").await;
    simulator.wait_for_written(CROWD + 1).await;
    simulator.advance(25 * HOUR_MS).await;
    simulator.flood(TODAY, TODAY, 0.0, "hello again").await;
    simulator.wait_for_written(CROWD + 1 + TODAY).await;
    world.write_as("Ana").await;
    let at = FRIDAY_NOON + 26 * HOUR_MS;
    world.setup.put_conf("schedules", &entry("party", "at = \"2026-03-28T14:00:00Z\"", "{ update = \"party\" }"));
    wait_until("the schedule is known", async || {
        let list = daemon.get("schedules").await;
        (text(&list, "/items/0/name") == "party").then_some(())
    })
    .await;
    simulator.control("POST", "clock", &json!({ "set_ms": at })).await;
    for _ in 0..if is_long_run() { 40 } else { 5 } {
        let before = simulator.messages(None).await.len();
        let some = before + usize::try_from(1 + rng.below(45)).unwrap();
        let kill = async {
            // If this times out, the kill falls between two steps.
            let enough = async || (simulator.messages(None).await.len() >= some).then_some(());
            let _ =
                tokio::time::timeout(std::time::Duration::from_secs(2), wait_until("some received it", enough)).await;
            daemon.kill9().await;
        };
        tokio::join!(kill, simulator.advance(4_000));
        daemon = world.setup.start().await;
    }
    simulator.advance(HOUR_MS).await;
    let (mut received, mut report) = (0, None);
    for ((person, text), times) in world.sent_counts().await {
        assert_eq!(times, 1, "{person}: {text}");
        if text.starts_with("*Feest*") || text.starts_with("*Party*") { received += 1 } else { report = Some(text) }
    }
    // Sends that were ambiguous after a kill are held for the operator.
    let dead = daemon.list_all("dead-letters").await;
    let held = dead.iter().filter(|row| text(row, "/code") == "outcome-unknown").count();
    assert_eq!(held, dead.len(), "{dead:?}");
    let members = usize::try_from(TODAY).unwrap() + 1;
    assert!((members - held..=members).contains(&received), "{received} of {members} received it, {held} are held");
    let report = report.unwrap_or_default();
    let missed = CROWD - TODAY;
    assert!(report.contains(&members.to_string()) && report.contains(&format!("{missed} window-closed")), "{report}");
    let listed = world
        .setup
        .cli(&["plugins", "state", "community-updates", "--prefix", "missed/party/", "--limit", "1000"])
        .await;
    let listed = String::from_utf8_lossy(&listed.stdout).matches("window-closed").count();
    assert_eq!(
        listed,
        usize::try_from(missed).unwrap(),
        "members who could not be written to are listed with the reason"
    );
    // It was sent: running the schedule again sends nothing.
    let before = simulator.messages(None).await.len();
    assert!(world.setup.cli(&["schedules", "run", "party"]).await.status.success());
    simulator.advance(HOUR_MS).await;
    assert_eq!(simulator.messages(None).await.len(), before);
    daemon.stop().await;
}

#[tokio::test]
async fn update_arrives_in_the_members_zone_and_language() {
    let files = [("digest.md", "News"), ("digest.nl.md", "Nieuws"), ("digest.pt.md", "Novidades")];
    let schedule = entry("morning", "cron = \"0 9 * * SAT\"\ntimezone = \"member\"", "{ update = \"digest\" }");
    let (world, daemon) = world("", &files, &schedule).await;
    world.simulator.add_person("Rui", "5511987654321").await;
    world.simulator.add_person("Mary", "12125551234").await;
    world.simulator.add_person("Joop", "12125551235").await;
    for person in ["Ana", "Bram", "Kadri", "Rui", "Mary", "Joop"] {
        world.write_as(person).await;
    }
    // Their numbers give no language: Joop states one by a word, Mary's is set by command.
    world.simulator.say("Joop", "aanmelden").await;
    let out =
        world.setup.cli(&["contacts", "set", "con_5", "--language", "pt-BR", "--timezone", "America/New_York"]).await;
    assert!(out.status.success(), "{out:?}");
    let contact = daemon.get("contacts/con_5").await;
    assert_eq!((text(&contact, "/language"), text(&contact, "/timezone")), ("pt-BR", "America/New_York"));
    for (field, value, part) in [("--language", "Dutch!", "language tag"), ("--timezone", "Mars/Base", "time zone")] {
        let no = world.setup.cli(&["contacts", "set", "con_5", field, value]).await;
        assert!(!no.status.success() && String::from_utf8_lossy(&no.stderr).contains(part), "{no:?}");
    }
    // In the evening, so that the westernmost windows are still open in their morning.
    world.simulator.advance(6 * HOUR_MS).await;
    for person in ["Rui", "Mary"] {
        world.write_as(person).await;
    }
    world.simulator.advance(24 * HOUR_MS).await;
    // Saturday: 09:00 in Tallinn is 07:00 UTC, 19 hours after noon. Joop's zone is unknown: the
    // daemon's zone counts.
    for (person, wanted, hours) in [
        ("Kadri", "News", 19),
        ("Joop", "Nieuws", 19),
        ("Bram", "Nieuws", 20),
        ("Ana", "Novidades", 21),
        ("Rui", "Novidades", 24),
        ("Mary", "Novidades", 25),
    ] {
        assert_eq!(world.received(person).await, [(wanted.to_owned(), hours * 60)], "{person}");
    }
    assert_eq!(daemon.status_count("dead_letters").await, 0);
    daemon.stop().await;
}

#[tokio::test]
async fn update_follows_its_release_and_expiry_dates() {
    let files = [
        ("a-late.md", "---\nexpires_at: 2026-03-27 13:00\n---\nToo late"),
        ("b-soon.md", "---\nrelease_at: 2026-03-28 10:00\n---\nSoon"),
    ];
    let schedules = entry("preview", "cron = \"0 17 * * *\"", "{ preview = true }")
        + &entry("daily", "cron = \"0 18 * * *\"", "{}")
        + &entry("named", "cron = \"30 18 * * *\"", "{ update = \"a-late\" }");
    let (world, daemon) = world("", &files, &schedules).await;
    for person in ["Ana", "Bram"] {
        world.write_as(person).await;
    }
    world.appoint_first().await;
    world.simulator.advance(12 * HOUR_MS).await;
    assert_eq!(world.received("Ana").await, [("Soon".to_owned(), 5 * 60)], "the preview at 17:00");
    assert_eq!(world.received("Bram").await, [], "one is not released, one has expired");
    // It is corrected before its release.
    std::fs::write(world.folder.join("b-soon.md"), "---\nrelease_at: 2026-03-28 10:00\n---\nSoon, and better").unwrap();
    wait_until("the file is read", async || {
        let rows = daemon.list_all("plugins/community-updates/documents").await;
        rows.iter().any(|row| row.get("size").and_then(Value::as_u64) == Some(53)).then_some(())
    })
    .await;
    world.simulator.advance(11 * HOUR_MS).await;
    for person in ["Ana", "Bram"] {
        world.write_as(person).await;
    }
    world.simulator.advance(12 * HOUR_MS).await;
    let better = "Soon, and better".to_owned();
    assert_eq!(world.received("Bram").await, [(better.clone(), 30 * 60)]);
    let ana: Vec<String> = world.received("Ana").await.into_iter().map(|(text, _)| text).collect();
    let wanted = ["Soon".to_owned(), better.clone(), better, "b-soon foi enviado a 2 membros.".to_owned()];
    assert_eq!(ana, wanted, "a preview each day, the update, and its report");
    daemon.stop().await;
}
