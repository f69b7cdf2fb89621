//! Schedules in virtual time: they fire at the expected moments across clock changes, kills,
//! outages and edits, each planned moment once; and the command line shows them.

use crate::text;
use beadle_test_support::daemon::{Daemon, Setup};
use beadle_test_support::rng::Rng;
use beadle_test_support::simulator::{Simulator, SimulatorAddress};
use beadle_test_support::{time_at, wait_until};
use serde_json::{Value, json};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Friday 2026-03-27T12:00:00Z, two days before clocks in Europe change.
const FRIDAY_NOON: i64 = 1_774_612_800_000;

/// Starts at that moment with the plugin hourglass and these entries in `conf.d/schedules.toml`.
async fn start(schedules: &str) -> (Setup, Daemon, Simulator) {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).plugin("hourglass", "max_age = \"30d\"").clock(&address.clock_url());
    setup.put_conf("schedules", schedules);
    let simulator = address.start_virtual(&setup).await;
    simulator.control("POST", "clock", &json!({ "set_ms": FRIDAY_NOON })).await;
    let daemon = setup.start().await;
    (setup, daemon, simulator)
}

fn entry(name: &str, pattern: &str, more: &str) -> String {
    format!("[[schedule]]\nname = \"{name}\"\n{pattern}\nplugin = \"hourglass\"\n{more}\n")
}

/// The firings that the plugin handled: name, planned moment (hours from Friday noon), zone, delay,
/// payload.
async fn fired(simulator: &Simulator) -> Vec<String> {
    let before = simulator.texts("Ana").await.len();
    simulator.say("Ana", "fired").await;
    let answer =
        wait_until("the plugin lists its firings", async || simulator.texts("Ana").await.get(before).cloned()).await;
    if answer == "nothing" {
        return Vec::new();
    }
    let in_hours = |line: &str| {
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        if let Some(word) = words.get_mut(1) {
            let planned: i64 = word.parse().unwrap_or_default();
            *word = format!("{}", (planned - FRIDAY_NOON) as f64 / HOUR_MS as f64);
        }
        words.join(" ")
    };
    answer.lines().map(in_hours).collect()
}

/// The standard output of a command that succeeds.
async fn cli(setup: &Setup, arguments: &[&str]) -> String {
    let output = setup.cli(arguments).await;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{arguments:?}: {stdout}{}", String::from_utf8_lossy(&output.stderr));
    stdout
}

async fn state_of(daemon: &Daemon, name: &str) -> Option<String> {
    let list = daemon.get("schedules").await;
    let rows = list.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    rows.iter().find(|row| text(row, "/name") == name).map(|row| text(row, "/state").to_owned())
}

#[tokio::test]
async fn schedules_fire_by_local_time_across_a_clock_change() {
    let amsterdam = "timezone = \"Europe/Amsterdam\"";
    let schedules = [
        entry("daily", "cron = \"0 9 * * *\"", amsterdam),
        entry("night", "cron = \"30 2 * * *\"", amsterdam),
        entry("rhythm", "cron = \"*/30 1,2,3 * * SUN\"", amsterdam),
        entry("month", "monthly = \"last sunday 18:00\"", "payload = { update = \"digest\" }\nexcept = [2026-04-26]"),
        entry("once", "at = 2026-03-28T10:00:00", "timezone = \"America/New_York\""),
    ];
    let (_setup, daemon, simulator) = start(&schedules.concat()).await;
    simulator.advance(3 * DAY_MS).await;
    let wanted = [
        "night 13.5 Europe/Amsterdam 0 {}",
        "daily 20 Europe/Amsterdam 0 {}",
        "once 26 America/New_York 0 {}",
        // Sunday: 01:00 and 01:30, then 03:00, at which the skipped 02:30 fires too.
        "rhythm 36 Europe/Amsterdam 0 {}",
        "rhythm 36.5 Europe/Amsterdam 0 {}",
        "night 37 Europe/Amsterdam 0 {}",
        "rhythm 37 Europe/Amsterdam 0 {}",
        "rhythm 37.5 Europe/Amsterdam 0 {}",
        "daily 43 Europe/Amsterdam 0 {}",
        "month 54 UTC 0 {\"update\":\"digest\"}",
        "night 60.5 Europe/Amsterdam 0 {}",
        "daily 67 Europe/Amsterdam 0 {}",
    ];
    let mut seen = fired(&simulator).await;
    // Two schedules of one moment run in different lanes.
    seen.sort_by(|a, b| hours(a).total_cmp(&hours(b)).then_with(|| a.cmp(b)));
    assert_eq!(seen, wanted);
    daemon.stop().await;
}

/// The planned moment in a line of [`fired`].
fn hours(line: &str) -> f64 {
    line.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(f64::NAN)
}

#[tokio::test]
async fn member_schedule_fires_per_zone_at_nine() {
    let (_setup, daemon, simulator) = start(&entry("morning", "cron = \"0 9 * * *\"", "timezone = \"member\"")).await;
    simulator.advance(DAY_MS).await;
    assert_eq!(state_of(&daemon, "morning").await.as_deref(), Some("on"));
    simulator.add_person("Lena", "4915112345678").await;
    simulator.add_person("Rui", "5511987654321").await;
    for member in ["Ana", "Lena", "Rui"] {
        simulator.say(member, "hello").await;
    }
    simulator.advance(DAY_MS).await;
    // They joined on Saturday at noon UTC, which is nine in São Paulo. Nine on Sunday is 07:00 UTC
    // in Berlin and 08:00 in Lisbon.
    let wanted = [
        "morning 24 members in America/Sao_Paulo 0 {}",
        "morning 43 members in Europe/Berlin 0 {}",
        "morning 44 members in Europe/Lisbon 0 {}",
        "morning 48 members in America/Sao_Paulo 0 {}",
    ];
    assert_eq!(fired(&simulator).await, wanted);
    daemon.stop().await;
}

#[tokio::test]
async fn catch_up_decides_what_fires_after_an_outage() {
    let hourly = |name: &str| entry(name, "cron = \"0 * * * *\"", &format!("catch_up = \"{name}\""));
    let (setup, daemon, simulator) = start(&(hourly("none") + &hourly("last") + &hourly("all"))).await;
    simulator.advance(30 * MINUTE_MS).await;
    daemon.stop().await;
    simulator.advance(2 * HOUR_MS).await;
    let daemon = setup.start().await;
    simulator.advance(HOUR_MS).await;
    let mut seen = fired(&simulator).await;
    seen.sort();
    let wanted = [
        "all 1 UTC 5400000 caught up {}",
        "all 2 UTC 1800000 caught up {}",
        "all 3 UTC 0 {}",
        "last 2 UTC 1800000 caught up {}",
        "last 3 UTC 0 {}",
        "none 3 UTC 0 {}",
    ];
    assert_eq!(seen, wanted);
    let history = cli(&setup, &["schedules", "history", "none"]).await;
    assert!(history.contains("2026-03-27 13:00:00") && history.contains("missed 2"), "{history}");
    let list = cli(&setup, &["schedules", "list"]).await;
    assert!(list.lines().filter(|line| line.contains("fired") && line.contains(" on ")).count() == 3, "{list}");
    daemon.stop().await;
}

#[tokio::test]
async fn each_moment_fires_once_across_kills() {
    let mut rng = Rng::seeded();
    let all = "catch_up = \"all\"\ncatch_up_limit = 1000";
    let schedules = entry("hourly", "cron = \"0 * * * *\"", all) + &entry("often", "every = \"20m\"", all);
    let (setup, mut daemon, simulator) = start(&schedules).await;
    let mut hours_gone = 0;
    for round in 0..6 {
        let (lives, away) = (1 + round % 3, [0, 1, 3][round as usize % 3]);
        // The clock advances while the daemon runs, and the kill falls somewhere in between.
        let turn = json!({ "advance_ms": lives * HOUR_MS });
        let turning = simulator.control("POST", "clock", &turn);
        let killing = async {
            rng.sleep_below(60).await;
            daemon.kill9().await;
        };
        tokio::join!(turning, killing);
        simulator.advance(away * HOUR_MS).await;
        hours_gone += lives + away;
        daemon = setup.start().await;
        simulator.advance(0).await;
    }
    daemon.wait_until_idle().await;
    let seen = fired(&simulator).await;
    let hours_of = |name: &str| {
        let mut hours: Vec<f64> = seen.iter().filter(|line| line.starts_with(name)).map(|line| hours(line)).collect();
        hours.sort_by(f64::total_cmp);
        hours
    };
    let each_hour: Vec<f64> = (1..=hours_gone).map(|hour| hour as f64).collect();
    assert_eq!(hours_of("hourly"), each_hour);
    assert_eq!(hours_of("often").len() as i64, hours_gone * 3, "{seen:?}");
    daemon.stop().await;
}

#[tokio::test]
async fn edits_count_from_now() {
    let (setup, daemon, simulator) = start(&entry("daily", "cron = \"0 13 * * *\"", "")).await;
    let fires_at = async |name: &str| {
        let view = daemon.get(&format!("schedules/{name}")).await;
        time_at(&view, "/next/at").map(|at| (at - FRIDAY_NOON) / MINUTE_MS)
    };
    assert_eq!(fires_at("daily").await, Some(60));
    // Moments of today that have passed do not fire; the next one does.
    setup.put_conf("schedules", &entry("daily", "cron = \"30 11,12 * * *\"", ""));
    wait_until("the edit is in effect", async || (fires_at("daily").await == Some(30)).then_some(())).await;
    simulator.advance(31 * MINUTE_MS).await;
    // Renamed, it keeps its history; another entry is new.
    let renamed = entry("noon", "cron = \"30 11,12 * * *\"", "renamed_from = \"daily\"")
        + &entry("new", "cron = \"45 12 * * *\"", "");
    setup.put_conf("schedules", &renamed);
    wait_until("the new names are in effect", async || state_of(&daemon, "noon").await).await;
    simulator.advance(DAY_MS).await;
    let history = daemon.get("schedules/noon/history").await;
    let planned = |row: &Value| time_at(row, "/planned_at").map(|at| (at - FRIDAY_NOON) / MINUTE_MS);
    let items = history.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    let moments: Vec<_> = items.iter().filter_map(planned).collect();
    assert_eq!(moments, [24 * 60 + 30, 23 * 60 + 30, 30]);
    assert_eq!(daemon.get("schedules").await.pointer("/items/1/name"), Some(&json!("new")));
    // Removed, it does not fire; its history can still be shown.
    setup.put_conf("schedules", "");
    wait_until("it is removed", async || state_of(&daemon, "noon").await.is_none().then_some(())).await;
    simulator.advance(DAY_MS).await;
    let history = daemon.get("schedules/noon/history").await;
    assert_eq!(history.get("items").and_then(Value::as_array).map(Vec::len), Some(3));
    daemon.stop().await;
}

#[tokio::test]
async fn invalid_schedules_change_nothing_and_are_all_reported() {
    let (setup, daemon, _simulator) = start(&entry("daily", "cron = \"0 13 * * *\"", "")).await;
    // Two errors: nothing of the file takes effect.
    let broken = entry("daily", "cron = \"0 25 * * *\"", "") + &entry("daily", "every = \"1m\"", "");
    setup.put_conf("schedules", &broken);
    let status = daemon.wait_for_status(|status| status.pointer("/problems/0/message").is_some()).await;
    let message = text(&status, "/problems/0/message");
    assert!(message.contains("schedules.toml:3") && message.contains("schedules.toml:7"), "{message}");
    let view = daemon.get("schedules/daily").await;
    assert_eq!(time_at(&view, "/next/at"), Some(FRIDAY_NOON + HOUR_MS), "{view}");
    daemon.stop().await;
}

#[tokio::test]
async fn absent_plugin_catches_up_when_it_returns() {
    let (setup, daemon, simulator) = start(&entry("hourly", "cron = \"0 * * * *\"", "")).await;
    let file = setup.plugin_file("hourglass");
    let aside = file.with_extension("aside");
    std::fs::rename(&file, &aside).unwrap();
    daemon.wait_for_plugin("hourglass", |row| text(row, "/problem/code") == "plugin-missing").await;
    let status = daemon.wait_for_status(|status| status.to_string().contains("schedule-plugin-unavailable")).await;
    assert!(
        status.to_string().contains("schedule `hourly` names the plugin `hourglass`, but it does not run"),
        "{status}"
    );
    simulator.advance(150 * MINUTE_MS).await;
    assert_eq!(state_of(&daemon, "hourly").await.as_deref(), Some("waiting"));
    std::fs::rename(&aside, &file).unwrap();
    daemon.wait_for_plugin("hourglass", |row| row.get("problem").is_none()).await;
    wait_until("the missed firings are decided", async || {
        let history = daemon.get("schedules/hourly/history").await;
        (history.get("items").and_then(Value::as_array).map_or(0, Vec::len) == 2).then_some(())
    })
    .await;
    daemon.wait_until_idle().await;
    assert_eq!(fired(&simulator).await, ["hourly 2 UTC 1800000 caught up {}"]);
    daemon.stop().await;
}

#[tokio::test]
async fn overlap_queues_or_skips_the_next_firing() {
    let fails = |overlap: &str| {
        let more = format!("overlap = \"{overlap}\"\npayload = \"fail\"\nenabled = true");
        entry(overlap, "cron = \"*/20 * * * * *\"", &more)
    };
    let (_setup, daemon, simulator) = start(&(fails("skip") + &fails("queue"))).await;
    simulator.advance(70_000).await;
    let outcomes = async |name: &str| {
        let history = daemon.get(&format!("schedules/{name}/history")).await;
        let items = history.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut outcomes: Vec<_> = items.iter().map(|row| text(row, "/outcome").to_owned()).collect();
        outcomes.reverse();
        outcomes
    };
    // The first firing is tried for almost a minute.
    assert_eq!(outcomes("queue").await, ["fired", "fired", "fired"]);
    assert_eq!(outcomes("skip").await.get(..2), Some(&["fired".to_owned(), "skipped".to_owned()][..]));
    daemon.stop().await;
}

#[tokio::test]
async fn command_line_shows_and_runs_schedules() {
    let schedules = entry(
        "night",
        "cron = \"30 2 * * *\"",
        "timezone = \"Europe/Amsterdam\"\njitter = \"0s\"\npayload = { a = 1 }",
    ) + &entry("uneven", "cron = \"*/13 9 * * *\"", "except = [2026-03-28]")
        + &entry("disabled", "cron = \"0 9 31 * *\"", "enabled = false").replace("hourglass", "echo");
    let (setup, daemon, simulator) = start(&schedules).await;
    let next = cli(&setup, &["schedules", "next", "night", "--limit", "2"]).await;
    let lines: Vec<&str> = next.lines().collect();
    assert!(
        lines
            .get(1)
            .is_some_and(|line| line.starts_with("Sat 2026-03-28 02:30 CET") && line.contains("2026-03-28 01:30:00")),
        "{next}"
    );
    assert!(
        lines
            .get(2)
            .is_some_and(|line| line.starts_with("Sun 2026-03-29 03:00 CEST") && line.contains("02:30 is skipped")),
        "{next}"
    );
    let next = cli(&setup, &["schedules", "next", "uneven", "--limit", "1"]).await;
    assert!(next.contains("2026-03-28 09:00 UTC") && next.contains("excluded by `except`"), "{next}");
    let show = cli(&setup, &["schedules", "show", "night"]).await;
    for part in ["at 02:30 every day", "schedule-skipped-time", "2026-03-29", "schedule-repeated-time", "{\"a\":1}"] {
        assert!(show.contains(part), "{part}: {show}");
    }
    let config = setup.config();
    let check = cli(&setup, &["check", "--config", config.to_str().unwrap_or_default()]).await;
    for part in
        ["schedule-uneven-step", "schedule-short-months", "schedule `uneven`: `*/13` does not fire every 13 minutes"]
    {
        assert!(check.contains(part), "{part}: {check}");
    }
    let dry = cli(&setup, &["schedules", "run", "night", "--dry-run"]).await;
    assert!(dry.contains("hourglass") && dry.contains("{\"a\":1}"), "{dry}");
    assert!(fired(&simulator).await.is_empty());
    let ran = cli(&setup, &["schedules", "run", "night"]).await;
    assert!(ran.contains("Fired `night` manually: evt_"), "{ran}");
    daemon.wait_until_idle().await;
    assert_eq!(fired(&simulator).await, ["night 0 Europe/Amsterdam 0 {\"a\":1}"]);
    let json: Value = serde_json::from_str(&cli(&setup, &["schedules", "history", "night", "--json"]).await).unwrap();
    assert_eq!(json.pointer("/items/0/outcome"), Some(&json!("manual")));
    let list: Value = serde_json::from_str(&cli(&setup, &["schedules", "list", "--json"]).await).unwrap();
    let states: Vec<_> = (0..3).map(|n| text(&list, &format!("/items/{n}/state")).to_owned()).collect();
    assert_eq!(states, ["on", "on", "off"]);
    let unknown = setup.cli(&["schedules", "show", "nihgt"]).await;
    assert_eq!(unknown.status.code(), Some(1));
    daemon.stop().await;
}
