//! A month of virtual time with the plugins that act by time, and occasional kills: no member gets
//! an update twice, a nudge without a reason, or a message outside the window.

use crate::text;
use beadle_test_support::daemon::Setup;
use beadle_test_support::rng::{Rng, is_long_run};
use beadle_test_support::simulator::{Simulator, SimulatorAddress, text_of};
use beadle_test_support::time_at;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
/// 2026-03-01T00:00:00Z. Clocks in Europe change in this month.
const MARCH: i64 = 1_772_323_200_000;
const DAYS: i64 = 31;
const PEOPLE: [&str; 6] = ["Ana", "Bram", "Kadri", "Lena", "Rui", "Mary"];
/// Messages of all people together in a day.
const MESSAGES_PER_DAY: u64 = 9;

/// Messages by person: when each was written, and whether a plugin answers it.
#[derive(Default)]
struct Written(BTreeMap<&'static str, Vec<(i64, bool)>>);

/// One day in which people write at random moments.
async fn live_a_day(simulator: &Simulator, rng: &mut Rng, written: &mut Written) {
    let end = simulator.now().await + DAY_MS;
    let mut moments: Vec<i64> =
        (0..MESSAGES_PER_DAY).map(|_| i64::try_from(rng.below(DAY_MS as u64)).unwrap()).collect();
    moments.sort_unstable();
    let mut at = 0;
    for moment in moments {
        simulator.advance(moment - at).await;
        at = moment;
        let person = PEOPLE[usize::try_from(rng.below(PEOPLE.len() as u64)).unwrap()];
        let answered = rng.below(2) == 0;
        simulator.say(person, if answered { "rules" } else { "Are you open on Sunday?" }).await;
        simulator.advance(0).await;
        written.0.entry(person).or_default().push((simulator.now().await, answered));
    }
    simulator.advance(end - simulator.now().await).await;
}

/// The texts that a person received, each with the time at which the platform accepted it.
async fn received(simulator: &Simulator, person: &str) -> Vec<(String, i64)> {
    let at = |message: &Value| message.get("at_ms").and_then(Value::as_i64).unwrap_or_default();
    simulator.messages(Some(person)).await.iter().filter_map(|message| Some((text_of(message)?, at(message)))).collect()
}

#[tokio::test]
async fn members_get_no_duplicates_needless_nudges_or_late_messages() {
    let mut rng = Rng::seeded();
    let address = SimulatorAddress::reserve();
    let loud = "stage = \"observe\"\nsettings = { quiet_from = 0, quiet_until = 0, per_week = 7 }";
    let updates = "order = -5\ngrant = [\"messages\", \"broadcasts\"]\ndocuments = \"updates\"";
    let setup = Setup::new(&address.url()).plugin("welcome", "").plugin("reminder", loud);
    let setup = setup.plugin("community-updates", updates).clock(&address.clock_url());
    let setup = setup.toml("[outbox]\non_ambiguous = \"hold\"\nambiguous_wait = \"1s\"");
    setup.put_conf(
        "schedules",
        "[[schedule]]\nname = \"evening\"\ncron = \"0 18 * * *\"\ntimezone = \"Europe/Amsterdam\"\ncatch_up = \"all\"\n\
         plugin = \"community-updates\"\n[[schedule]]\nname = \"round\"\ncron = \"30 20 * * *\"\nplugin = \"reminder\"\n\
         payload = { closing_within = \"12h\" }",
    );
    let folder = setup.conf_d().with_file_name("updates");
    std::fs::create_dir(&folder).unwrap();
    for day in 1..=DAYS {
        std::fs::write(folder.join(format!("day-{day:02}.md")), format!("update {day}")).unwrap();
    }
    let simulator = address.start_virtual(&setup).await;
    simulator.control("POST", "clock", &json!({ "set_ms": MARCH })).await;
    for (person, number) in [("Lena", "4915112345678"), ("Rui", "5511987654321"), ("Mary", "12125551234")] {
        simulator.add_person(person, number).await;
    }
    let mut daemon = setup.start().await;
    let mut written = Written::default();
    for day in 0..DAYS {
        live_a_day(&simulator, &mut rng, &mut written).await;
        // Usually while idle, sometimes while a message is being handled.
        if rng.below(if is_long_run() { 2 } else { 5 }) == 0 {
            let busy = rng.below(2) == 0 && day + 1 < DAYS;
            if busy {
                simulator.flood(1, 1, 0.0, "rules").await;
            }
            daemon.kill9().await;
            daemon = setup.start().await;
        }
    }
    simulator.advance(2 * DAY_MS).await;
    let mut updates = 0;
    for person in PEOPLE {
        updates += assert_month_of(
            person,
            written.0.get(person).map_or(&[], Vec::as_slice),
            &received(&simulator, person).await,
        );
    }
    assert!(updates > 60, "only {updates} updates reached a member");
    let dead = daemon.list_all("dead-letters").await;
    assert!(dead.iter().all(|row| text(row, "/code") == "outcome-unknown"), "{dead:?}");
    let refused = daemon.list_all("outbox?state=failed").await;
    assert!(refused.is_empty(), "the platform refused nothing: {refused:?}");
    let firings = daemon.list_all("schedules/evening/history").await;
    let planned: BTreeSet<_> = firings.iter().map(|row| time_at(row, "/planned_at")).collect();
    // Rows older than thirty days are deleted.
    assert!(planned.len() >= 30 && planned.len() == firings.len(), "each evening once: {firings:?}");
    daemon.stop().await;
}

/// Checks what one person received. Returns the number of different updates.
fn assert_month_of(person: &str, written: &[(i64, bool)], received: &[(String, i64)]) -> usize {
    let mut updates: BTreeMap<&str, usize> = BTreeMap::new();
    let mut nudged_in: BTreeMap<i64, usize> = BTreeMap::new();
    for (text, at) in received {
        let last = written.iter().rev().find(|(written_at, _)| written_at <= at);
        let Some((last_at, _)) = last else { panic!("{person} was written to before they wrote: {text}") };
        assert!(at - last_at < DAY_MS, "{person}: outside the window: {text}");
        if text.starts_with("update ") {
            *updates.entry(text).or_default() += 1;
        }
        if text.contains("have not answered your message yet") {
            *nudged_in.entry(*last_at).or_default() += 1;
            // A message since the last answered one is unanswered …
            let open = written
                .iter()
                .rev()
                .filter(|(written_at, _)| written_at <= at)
                .take_while(|(_, answered)| !answered)
                .count();
            // … or they did not reply to the greeting, which asks something.
            let only = written.iter().filter(|(written_at, _)| written_at <= at).count() == 1;
            assert!(open > 0 || only, "{person} was nudged about nothing at {at}");
        }
    }
    let twice: Vec<_> = updates.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "{person} received twice: {twice:?}");
    assert!(nudged_in.values().all(|times| *times == 1), "{person} was nudged twice in a window: {nudged_in:?}");
    // Every window that closed with an open question was preceded by a nudge.
    let ends = written.iter().zip(written.iter().skip(1).map(|(at, _)| *at).chain([i64::MAX]));
    for ((at, answered), next) in ends.filter(|((at, _), next)| next - at > DAY_MS) {
        assert!(*answered || nudged_in.contains_key(at), "{person}: wrote at {at}, next at {next}, and was not nudged");
    }
    updates.len()
}
