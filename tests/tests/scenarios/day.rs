//! A seeded day: people write all the time, some of them thousands of messages, while the daemon is
//! killed, the disk fills up, the plugin folder disappears, the platform fails, the clock jumps by
//! minutes or by weeks, and hostile plugins are installed. At its end every message is accounted
//! for: it was answered once, or is a dead letter, or was refused with a reason; only a message
//! that is marked as possibly duplicate was sent twice. Who said STOP got nothing, timers and
//! firings are not repeated.
//!
//! Time is the simulator's, so that a day takes a minute. The moments of kills are real, and random
//! within a run of the same seed.

use crate::kill9::assert_handled_once;
use crate::{UNPACED, text, without_count};
use beadle_test_support::daemon::{Daemon, Setup};
use beadle_test_support::disk::Disk;
use beadle_test_support::program::plugin;
use beadle_test_support::rng::{Rng, is_long_run};
use beadle_test_support::simulator::{Simulator, SimulatorAddress, text_of};
use beadle_test_support::{time_at, wait_until};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;
const PEOPLE: u64 = 12;
/// Messages of one part of the day, at least and at most.
const MESSAGES: std::ops::Range<u64> = 10..40;
/// Fast enough that messages of one person wait for each other, slow enough that a kill falls
/// between them.
const PER_SECOND: f64 = 300.0;
/// Messages of a flood, sent as fast as they are taken.
const FLOOD: u64 = 2000;
/// The farthest that the clock jumps.
const FAR_JUMP_MS: i64 = 40 * DAY_MS;
/// Longer than any back-off, so that each part of the day ends at rest.
const AFTER_MS: i64 = 10 * MINUTE_MS;

/// The plugin that answers; the hostile ones are asked before it.
const ANSWERER: &str = "counter";
const HOSTILE: [&str; 7] = ["trap", "spin", "memory", "stack", "effects", "hoarder", "give-up"];
/// Floods of the bomber, which observes. Its timers have a scenario of their own: in a day there
/// would be millions.
const BOMBS: [&str; 4] = ["deep-json", "long-texts", "numbers", "state"];
/// Said STOP, and goes on to write.
const QUIET: &str = "Ana";
/// Asks in each part for an answer after some minutes.
const PATIENT: &str = "Bram";
/// The plugin that has the timers of these, and a schedule.
const TIMED: &str = "hourglass";

/// Fires once for each hour, whatever the clock does.
const HOURLY: &str = "[[schedule]]\nname = \"hourly\"\ncron = \"0 * * * *\"\nplugin = \"hourglass\"\n";

/// States of a loaded plugin. A hostile one that is dropped in again may still rest or be
/// suspended: its file did not change, and only an event ends a rest.
const LOADED: [&str; 3] = ["active", "resting", "suspended"];

/// What goes wrong during a part of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    None,
    Kill,
    FullDisk,
    KillOnFullDisk,
    LostFolder,
    KillWithLostFolder,
    Unavailable,
    LostResponses,
    TokenExpired,
    FailedReceipts,
    ChaoticWebhooks,
    LostReceipts,
    ClockForward,
    ClockBack,
    ClockFarForward,
    Flood,
    HostilePlugin,
    Bomb,
    BrokenPlugin,
}

/// Each occurs equally often in a day.
const TROUBLES: [Trouble; 19] = [
    Trouble::None,
    Trouble::Kill,
    Trouble::FullDisk,
    Trouble::KillOnFullDisk,
    Trouble::LostFolder,
    Trouble::KillWithLostFolder,
    Trouble::Unavailable,
    Trouble::LostResponses,
    Trouble::TokenExpired,
    Trouble::FailedReceipts,
    Trouble::ChaoticWebhooks,
    Trouble::LostReceipts,
    Trouble::ClockForward,
    Trouble::ClockBack,
    Trouble::ClockFarForward,
    Trouble::Flood,
    Trouble::HostilePlugin,
    Trouble::Bomb,
    Trouble::BrokenPlugin,
];

/// How often each trouble occurs.
fn rounds() -> usize {
    if is_long_run() { 6 } else { 2 }
}

/// All troubles of the day, in random order.
fn plan(rng: &mut Rng) -> Vec<Trouble> {
    let mut plan: Vec<Trouble> = (0..rounds()).flat_map(|_| TROUBLES).collect();
    for end in (1..plan.len()).rev() {
        plan.swap(end, usize::try_from(rng.below(end as u64 + 1)).unwrap());
    }
    plan
}

struct Day {
    setup: Setup,
    disk: Disk,
    daemon: Daemon,
    simulator: Simulator,
    rng: Rng,
    /// Texts that people wrote, with the trouble of their part of the day.
    written: BTreeMap<String, Trouble>,
    /// What [`QUIET`] wrote, STOP included.
    quiet: u64,
    /// What [`PATIENT`] asked for.
    timed: BTreeMap<String, Trouble>,
}

impl Day {
    async fn begin(mut rng: Rng) -> Self {
        let (address, disk) = (SimulatorAddress::reserve(), Disk::new());
        let on_ambiguous = if rng.below(2) == 0 { "hold" } else { "resend" };
        let mut toml = format!("[outbox]\non_ambiguous = \"{on_ambiguous}\"\n");
        for fault in HOSTILE {
            toml.push_str(&format!(
                "[plugins.{fault}]\norder = -1\nsettings = {{ wrong = \"{fault}\", every = 5, claim = false }}\n"
            ));
        }
        let setup = Setup::new(&address.url()).probe(ANSWERER, "reply = \"\", count = true", "");
        for bomb in BOMBS {
            toml.push_str(&format!("[plugins.{bomb}]\nstage = \"observe\"\nsettings = {{ bomb = \"{bomb}\" }}\n"));
        }
        let setup = setup.plugin(TIMED, "order = -2");
        setup.put_conf("hourly", HOURLY);
        let setup = setup.toml(UNPACED).toml(&toml).clock(&address.clock_url()).disk(&disk);
        let simulator = address.start_virtual(&setup).await;
        let daemon = setup.start().await;
        eprintln!("on_ambiguous = {on_ambiguous}");
        simulator.say(QUIET, "STOP").await;
        wait_until("STOP is answered", async || (simulator.texts(QUIET).await.len() == 1).then_some(())).await;
        let (written, timed) = Default::default();
        Self { setup, disk, daemon, simulator, rng, written, quiet: 1, timed }
    }

    /// People write; returns before it is delivered.
    async fn write(&mut self, part: usize, trouble: Trouble) {
        let count = MESSAGES.start + self.rng.below(MESSAGES.end - MESSAGES.start);
        self.write_many(part, trouble, count, PER_SECOND).await;
        self.write_quietly().await;
        let text = format!("timed-{part}");
        self.simulator.say(PATIENT, &format!("in 6 {text}")).await;
        self.timed.insert(text, trouble);
    }

    async fn write_quietly(&mut self) {
        self.simulator.say(QUIET, &format!("quiet {}", self.quiet)).await;
        self.quiet += 1;
    }

    async fn write_many(&mut self, part: usize, trouble: Trouble, count: u64, per_second: f64) {
        self.simulator.flood(PEOPLE, count, per_second, &format!("part {part} n")).await;
        self.written.extend((0..count).map(|n| (format!("part {part} n {n}"), trouble)));
    }

    /// A random moment while messages arrive and are answered.
    async fn meanwhile(&mut self) {
        self.rng.sleep_below(120).await;
    }

    async fn kill(self) -> Self {
        self.daemon.kill9().await;
        let daemon = self.setup.start().await;
        Self { daemon, ..self }
    }

    /// Kills it and starts it as systemd does: where the disk has no room for a start at all, again
    /// when it has.
    async fn kill_on_full_disk(mut self) -> Self {
        self.daemon.kill9().await;
        let mut starting = self.setup.spawn();
        while starting.program.is_running() && !starting.program.output().contains("beadle::run: ready") {
            self.rng.sleep_below(20).await;
        }
        self.disk.set_full(false);
        let daemon = if starting.program.is_running() { starting.ready().await } else { self.setup.start().await };
        Self { daemon, ..self }
    }

    async fn faults(&self, faults: Value) {
        self.simulator.set_faults(faults).await;
    }

    /// Everything works again.
    async fn recover(&self) {
        self.simulator.control("DELETE", "faults", &Value::Null).await;
        self.faults(json!({ "retry_initial_ms": 50, "retry_max_ms": 400 })).await;
    }

    /// Moves the clock by up to this, at once.
    async fn jump(&mut self, most_ms: i64) {
        let by = i64::try_from(self.rng.below(most_ms.unsigned_abs())).unwrap() * most_ms.signum();
        let now = self.simulator.now().await;
        self.simulator.control("POST", "clock", &json!({ "set_ms": now + by })).await;
    }

    fn choose<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[usize::try_from(self.rng.below(from.len() as u64)).unwrap()]
    }

    /// One part of the day. Everything that was written in it has been delivered at its end.
    async fn live(mut self, part: usize, trouble: Trouble) -> Self {
        match trouble {
            Trouble::None => self.write(part, trouble).await,
            Trouble::Kill => {
                self.write(part, trouble).await;
                self.meanwhile().await;
                self = self.kill().await;
            }
            Trouble::FullDisk | Trouble::KillOnFullDisk => {
                self.write(part, trouble).await;
                self.meanwhile().await;
                self.disk.set_full(true);
                self.meanwhile().await;
                if trouble == Trouble::KillOnFullDisk {
                    self = self.kill_on_full_disk().await;
                } else {
                    self.disk.set_full(false);
                }
            }
            Trouble::LostFolder | Trouble::KillWithLostFolder => {
                let (folder, aside) = (self.setup.plugins(), self.setup.plugins().with_file_name("aside"));
                std::fs::rename(&folder, &aside).unwrap();
                self.write(part, trouble).await;
                self.meanwhile().await;
                if trouble == Trouble::KillWithLostFolder {
                    self = self.kill().await;
                    self.meanwhile().await;
                }
                std::fs::rename(&aside, &folder).unwrap();
            }
            Trouble::Unavailable => {
                let fault = self.choose(&["send_http_500", "send_http_503", "send_drop_before", "send_error"]);
                self.faults(json!({ fault: { "probability": 0.7 } })).await;
                self.write(part, trouble).await;
                self.simulator.advance(2 * MINUTE_MS).await;
            }
            Trouble::LostResponses => {
                self.faults(json!({ "send_drop_after": { "probability": 0.4 } })).await;
                self.write(part, trouble).await;
                self.simulator.advance(5000).await;
            }
            Trouble::TokenExpired => {
                self.faults(json!({ "token_expired": true })).await;
                self.write(part, trouble).await;
                self.simulator.advance(3 * MINUTE_MS).await;
            }
            Trouble::FailedReceipts => {
                let code = [131_042, 131_026, 130_429, 131_056][usize::try_from(self.rng.below(4)).unwrap()];
                self.faults(json!({ "send_async_failure": { "next": 3, "code": code } })).await;
                self.write(part, trouble).await;
            }
            Trouble::ChaoticWebhooks => {
                let often = json!({ "probability": 0.4, "ms": 50 });
                self.faults(
                    json!({ "webhook_duplicated": often, "webhook_rebatched": often, "webhook_reordered": often,
                    "webhook_delayed": often, "max_batch_size": 9, "batch_wait_ms": 5 }),
                )
                .await;
                self.write(part, trouble).await;
            }
            Trouble::LostReceipts => {
                self.faults(json!({ "receipts": false, "send_drop_after": { "next": 2 } })).await;
                self.write(part, trouble).await;
                self.simulator.advance(5 * MINUTE_MS).await;
            }
            Trouble::ClockForward => {
                self.write(part, trouble).await;
                self.meanwhile().await;
                self.jump(3 * 60 * MINUTE_MS).await;
            }
            Trouble::ClockBack => {
                self.write(part, trouble).await;
                self.meanwhile().await;
                self.jump(-20 * MINUTE_MS).await;
            }
            Trouble::ClockFarForward => {
                self.write(part, trouble).await;
                self.meanwhile().await;
                let before = self.simulator.now().await;
                self.jump(FAR_JUMP_MS).await;
                self.write_quietly().await;
                self.meanwhile().await;
                self.simulator.advance(MINUTE_MS).await;
                self.simulator.control("POST", "clock", &json!({ "set_ms": before })).await;
            }
            Trouble::Flood => {
                self.write_many(part, trouble, FLOOD, 0.0).await;
                self.meanwhile().await;
            }
            Trouble::Bomb => {
                let name = self.choose(&BOMBS);
                self.setup.put_plugin(name, &plugin("bomber"));
                self.daemon.wait_for_plugin(name, |row| LOADED.contains(&text(row, "/state"))).await;
                eprintln!("{name} is installed");
                self.write(part, trouble).await;
            }
            Trouble::HostilePlugin => {
                let name = self.choose(&HOSTILE);
                self.setup.put_plugin(name, &plugin("probe"));
                let row = self.daemon.wait_for_plugin(name, |row| LOADED.contains(&text(row, "/state"))).await;
                eprintln!("{name} is {}", text(&row, "/state"));
                self.write(part, trouble).await;
            }
            Trouble::BrokenPlugin => {
                self.setup.put_bytes("broken", b"\0asm\x01\0\0\0\x01\xff\xff\xff\xff\xff");
                self.write(part, trouble).await;
            }
        }
        let written = self.written.len() + self.timed.len();
        self.simulator.wait_for_written(written as u64 + self.quiet).await;
        self.recover().await;
        self.simulator.advance(AFTER_MS).await;
        // A bomb that always fails would rest with its events for days: the operator takes it away.
        for bomb in BOMBS {
            if std::fs::remove_file(self.setup.plugin_file(bomb)).is_ok() {
                self.daemon.wait_for_plugin(bomb, |row| !LOADED.contains(&text(row, "/state"))).await;
            }
        }
        // Whatever happened, the answerer is called again.
        self.daemon.wait_for_plugin(ANSWERER, |row| text(row, "/state") == "active").await;
        self
    }

    /// What became of every message: counted by trouble and outcome. Panics where a message is
    /// unaccounted for or doubled.
    async fn account(&self) -> BTreeMap<(Trouble, String), usize> {
        let daemon = &self.daemon;
        let mut event_of: BTreeMap<String, String> = BTreeMap::new();
        for event in daemon.list_all("events?kind=message").await {
            let (summary, id) = (text(&event, "/summary").to_owned(), text(&event, "/id").to_owned());
            if let Some(other) = event_of.insert(summary.clone(), id.clone()) {
                panic!("`{summary}` was stored twice: {other} and {id}");
            }
        }
        let mut sends: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for state in ["queued", "sending", "accepted", "failed", "dead", "dropped"] {
            for row in daemon.list_all(&format!("outbox?state={state}")).await {
                if text(&row, "/plugin") == ANSWERER {
                    sends.entry(text(&row, "/event").to_owned()).or_default().push(row);
                }
            }
        }
        // The list is not paged, and hostile plugins leave thousands.
        let letters = daemon.list_all(&format!("dead-letters?plugin={ANSWERER}")).await;
        assert!(letters.len() < 1000, "the oldest dead letters are not listed");
        let letters: BTreeMap<&str, &str> =
            letters.iter().map(|row| (text(row, "/event"), text(row, "/code"))).collect();
        let mut replies: BTreeMap<String, usize> = BTreeMap::new();
        for reply in self.simulator.messages(None).await.iter().filter_map(text_of) {
            *replies.entry(without_count(&reply)).or_default() += 1;
        }
        self.account_for_stop_and_timers(&mut replies).await;
        let mut outcomes = BTreeMap::new();
        let mut unaccounted = Vec::new();
        for (written, trouble) in &self.written {
            let replies = replies.remove(written).unwrap_or(0);
            let event = event_of.get(written).map_or("", String::as_str);
            let rows = sends.get(event).map_or(&[][..], Vec::as_slice);
            let row = rows.first().unwrap_or(&Value::Null);
            let is_marked = row.get("possibly_duplicate") == Some(&json!(true));
            let outcome = match (event, rows.len(), text(row, "/state"), letters.get(event)) {
                ("", ..) => None,
                (_, 1, "accepted", None) if replies == 1 => Some("answered".to_owned()),
                (_, 1, "accepted", None) if replies == 2 && is_marked => Some("answered, marked as doubled".to_owned()),
                (_, 1, "failed", None) if replies <= 1 => Some(format!("refused: {}", text(row, "/problem/code"))),
                // Its outcome is unknown: it may have arrived.
                (_, 1, "dead", Some(code)) if replies <= 1 || is_marked => Some(format!("dead letter: {code}")),
                (_, 0, _, Some(code)) if replies == 0 => Some(format!("dead letter: {code}")),
                _ => None,
            };
            match outcome {
                Some(outcome) => *outcomes.entry((*trouble, outcome)).or_default() += 1,
                None => unaccounted.push(format!("{trouble:?}: `{written}` {event}: {replies} replies, {rows:?}")),
            }
        }
        assert!(
            unaccounted.is_empty(),
            "{} messages are not accounted for:\n{}",
            unaccounted.len(),
            unaccounted.join("\n")
        );
        assert!(replies.is_empty(), "replies to texts that were never written: {replies:?}");
        outcomes
    }

    /// Removes from the replies the one to STOP, and those of timers: each fired once.
    async fn account_for_stop_and_timers(&self, replies: &mut BTreeMap<String, usize>) {
        let quiet = self.simulator.texts(QUIET).await;
        assert_eq!(quiet.len(), 1, "nothing is sent after STOP: {quiet:?}");
        replies.remove(&without_count(&quiet[0]));
        let timed = self.simulator.texts(PATIENT).await;
        let mut fired: BTreeMap<&str, usize> = BTreeMap::new();
        for text in &timed {
            *fired.entry(text.split(' ').next().unwrap()).or_default() += 1;
            replies.remove(&without_count(text));
        }
        assert!(fired.keys().all(|text| self.timed.contains_key(*text)), "{timed:?}");
        assert!(fired.values().all(|count| *count == 1), "{timed:?}");
        let letters = self.daemon.list_all(&format!("dead-letters?plugin={TIMED}")).await;
        for (asked, trouble) in &self.timed {
            // A jump makes a message too old, or closes the window before the timer fires.
            let is_letter = letters.iter().any(|letter| {
                let summary = text(letter, "/summary");
                summary == format!("message: in 6 {asked}") || summary.starts_with(&format!("timer: {asked},"))
            });
            assert!(fired.contains_key(asked.as_str()) || is_letter, "{asked} of {trouble:?}: {timed:?} {letters:?}");
        }
        let firings = self.daemon.list_all("schedules/hourly/history").await;
        let planned: BTreeSet<_> = firings.iter().map(|row| time_at(row, "/planned_at")).collect();
        eprintln!("the schedule fired {} times", firings.len());
        assert!(planned.len() >= 10 && planned.len() == firings.len(), "each hour at most once: {firings:?}");
    }
}

fn print(outcomes: &BTreeMap<(Trouble, String), usize>) {
    eprintln!("{:20} {:>8}  outcome", "trouble", "messages");
    for ((trouble, outcome), count) in outcomes {
        eprintln!("{:20} {count:>8}  {outcome}", format!("{trouble:?}"));
    }
    eprintln!("{:20} {:>8}", "total", outcomes.values().sum::<usize>());
}

#[tokio::test]
async fn day_ends_with_every_message_accounted_for() {
    let mut rng = Rng::seeded();
    let plan = plan(&mut rng);
    let mut day = Day::begin(rng).await;
    let pause_ms = (DAY_MS / i64::try_from(plan.len()).unwrap() - AFTER_MS).max(0);
    for (part, trouble) in plan.iter().enumerate() {
        eprintln!("part {part}: {trouble:?}");
        day = day.live(part, *trouble).await;
        day.simulator.advance(pause_ms).await;
    }
    // Everything that was still delayed or waited for another attempt.
    day.simulator.advance(3 * 60 * MINUTE_MS).await;
    day.daemon.wait_until_idle().await;
    let outcomes = day.account().await;
    print(&outcomes);
    let answered: usize =
        outcomes.iter().filter(|((_, outcome), _)| outcome.starts_with("answered")).map(|(_, count)| count).sum();
    assert_eq!(outcomes.values().sum::<usize>(), day.written.len());
    assert!(answered * 10 >= day.written.len() * 8, "only {answered} of {} were answered", day.written.len());
    let quiet: BTreeSet<&str> =
        outcomes.keys().filter(|(trouble, _)| *trouble == Trouble::None).map(|(_, outcome)| outcome.as_str()).collect();
    assert_eq!(quiet, BTreeSet::from(["answered"]), "without trouble everything is answered");
    let mut replies = day.simulator.messages(None).await;
    replies.retain(|message| !text_of(message).is_some_and(|text| text.starts_with("timed-")));
    assert_handled_once(&replies);
    // Nothing is left that a restart would repeat.
    let sent = day.simulator.sent_counts().await;
    day.daemon.stop().await;
    let daemon = day.setup.start().await;
    day.simulator.advance(60 * MINUTE_MS).await;
    daemon.wait_until_idle().await;
    assert_eq!(day.simulator.sent_counts().await, sent);
    wait_until("the daemon reports no problem of the store", async || {
        let status = daemon.status().await;
        (!status.to_string().contains("does not take writes")).then_some(())
    })
    .await;
    daemon.stop().await;
}
