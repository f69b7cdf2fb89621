//! A month with both plugins that live by time: members write at any hour, updates go out each evening, the daemon is killed
//! now and then; and nobody has an update twice, a nudge without a reason, or a message outside their window.

use crate::text;
use beadle_e2e::daemon::Setup;
use beadle_e2e::random::{Chance, long};
use beadle_e2e::simulator::{Place, Simulator, text_of};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
/// 2026-03-01T00:00:00Z: clocks in Europe are put forward in this month.
const MARCH: i64 = 1_772_323_200_000;
const DAYS: i64 = 31;
const PEOPLE: [&str; 6] = ["Ana", "Bram", "Kadri", "Lena", "Rui", "Mary"];
/// Said in a day, by all together.
const A_DAY: u64 = 9;

/// What a person said when, and whether anybody answers it.
#[derive(Default)]
struct Said(BTreeMap<&'static str, Vec<(i64, bool)>>);

/// One day: people say something at random moments, and the daemon is killed on some of them.
async fn a_day(simulator: &Simulator, chance: &mut Chance, said: &mut Said) {
    let end = simulator.now().await + DAY_MS;
    let mut moments: Vec<i64> = (0..A_DAY).map(|_| i64::try_from(chance.below(DAY_MS as u64)).unwrap()).collect();
    moments.sort_unstable();
    let mut at = 0;
    for moment in moments {
        simulator.advance(moment - at).await;
        at = moment;
        let who = PEOPLE[usize::try_from(chance.below(PEOPLE.len() as u64)).unwrap()];
        let answered = chance.below(2) == 0;
        simulator.say(who, if answered { "rules" } else { "Are you open on Sunday?" }).await;
        simulator.advance(0).await;
        said.0.entry(who).or_default().push((simulator.now().await, answered));
    }
    simulator.advance(end - simulator.now().await).await;
}

/// What somebody got, and when the platform took it.
async fn got(simulator: &Simulator, who: &str) -> Vec<(String, i64)> {
    let at = |message: &Value| message.get("at_ms").and_then(Value::as_i64).unwrap_or_default();
    simulator.messages(Some(who)).await.iter().filter_map(|it| Some((text_of(it)?, at(it)))).collect()
}

#[tokio::test]
async fn nobody_is_written_to_twice_for_nothing_or_too_late() {
    let mut chance = Chance::seeded();
    let place = Place::new();
    let loud = "stage = \"observe\"\nsettings = { quiet_from = 0, quiet_until = 0, per_week = 7 }";
    let updates = "order = -5\ngrant = [\"messages\"]\ndocuments = \"updates\"";
    let setup = Setup::new(&place.url()).plugin("welcome", "").plugin("reminder", loud);
    let setup = setup.plugin("community-updates", updates).clock(&place.clock_url());
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
    let simulator = place.start_virtual(&setup).await;
    simulator.control("POST", "clock", &json!({ "set_ms": MARCH })).await;
    for (who, number) in [("Lena", "4915112345678"), ("Rui", "5511987654321"), ("Mary", "12125551234")] {
        simulator.person(who, number).await;
    }
    let mut daemon = setup.start().await;
    let mut said = Said::default();
    for day in 0..DAYS {
        a_day(&simulator, &mut chance, &mut said).await;
        // Mostly at rest, now and then with something under way.
        if chance.below(if long() { 2 } else { 5 }) == 0 {
            let busy = chance.below(2) == 0 && day + 1 < DAYS;
            if busy {
                simulator.flood(1, 1, 0.0, "rules").await;
            }
            daemon.kill9().await;
            daemon = setup.start().await;
        }
    }
    simulator.advance(2 * DAY_MS).await;
    let mut updates = 0;
    for who in PEOPLE {
        updates += assert_month_of(who, said.0.get(who).map_or(&[], Vec::as_slice), &got(&simulator, who).await);
    }
    assert!(updates > 60, "{updates} updates reached somebody");
    let dead = daemon.all("dead-letters").await;
    assert!(dead.iter().all(|row| text(row, "/code") == "outcome-unknown"), "{dead:?}");
    let refused = daemon.all("outbox?state=failed").await;
    assert!(refused.is_empty(), "the platform never had to say no: {refused:?}");
    let firings = daemon.all("schedules/evening/history").await;
    let planned: BTreeSet<_> = firings.iter().map(|row| row.get("planned_at").and_then(Value::as_i64)).collect();
    // What is older than thirty days is no longer kept.
    assert!(planned.len() >= 30 && planned.len() == firings.len(), "evenings, each once: {firings:?}");
    daemon.stop().await;
}

/// Looks at what one person said and got; how many updates they had.
fn assert_month_of(who: &str, said: &[(i64, bool)], got: &[(String, i64)]) -> usize {
    let mut updates: BTreeMap<&str, usize> = BTreeMap::new();
    let mut nudged_in: BTreeMap<i64, usize> = BTreeMap::new();
    for (text, at) in got {
        let last = said.iter().rev().find(|(said_at, _)| said_at <= at);
        let Some((last_at, _)) = last else { panic!("{who} was written to before they wrote: {text}") };
        assert!(at - last_at < DAY_MS, "{who}: outside the window: {text}");
        if text.starts_with("update ") {
            *updates.entry(text).or_default() += 1;
        }
        if text.contains("have not answered your message yet") {
            *nudged_in.entry(*last_at).or_default() += 1;
            // Something was unanswered: since the last answered message there is one that nobody answered.
            let open =
                said.iter().rev().filter(|(said_at, _)| said_at <= at).take_while(|(_, answered)| !answered).count();
            // … or they never said anything after the greeting, which asks something.
            let only = said.iter().filter(|(said_at, _)| said_at <= at).count() == 1;
            assert!(open > 0 || only, "{who} was nudged about nothing at {at}");
        }
    }
    let twice: Vec<_> = updates.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "{who} had twice: {twice:?}");
    assert!(nudged_in.values().all(|times| *times == 1), "{who} was nudged twice in a window: {nudged_in:?}");
    // Every window that was left to close with a question in it was nudged about.
    let ends = said.iter().zip(said.iter().skip(1).map(|(at, _)| *at).chain([i64::MAX]));
    for ((at, answered), next) in ends.filter(|((at, _), next)| next - at > DAY_MS) {
        assert!(*answered || nudged_in.contains_key(at), "{who}: said at {at}, next at {next}, and was not nudged");
    }
    updates.len()
}
