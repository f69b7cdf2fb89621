//! Misbehaving plugins of every kind, dropped together into the folder of a running daemon: invalid
//! files are refused, calls over a limit end, and a good plugin answers as if they were not there.

use crate::{UNPACED, text};
use beadle_test_support::daemon::{Daemon, Setup};
use beadle_test_support::hostile;
use beadle_test_support::program::plugin;
use beadle_test_support::simulator::{Simulator, SimulatorAddress, text_of};
use beadle_test_support::{TIMEOUT, time_at, wait_until};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

/// Faults of the probe, one plugin each, and the error code of each that fails the call.
const FAULTS: [(&str, Option<&str>); 10] = [
    ("spin", Some("cpu-limit")),
    // In Rust, endless recursion exhausts memory before it exhausts the stack.
    ("stack", Some("trap")),
    ("memory", Some("memory-limit")),
    ("trap", Some("trap")),
    ("flood", Some("host-call-limit")),
    ("crumbs", Some("host-call-limit")),
    ("effects", Some("effect-limit")),
    ("hoarder", Some("effect-limit")),
    ("give-up", Some("plugin-gave-up")),
    // Its log is cut and counted without an error; the number of host calls is the error.
    ("chatter", Some("host-call-limit")),
];

/// Floods of the bomber, one plugin each, and the error code of each that fails the call.
const BOMBS: [(&str, Option<&str>); 7] = [
    // Its timers are limited in number and fired at a limited rate.
    ("timers", None),
    // The quota refuses the seventeenth file, unless hashing them exceeds the CPU limit before.
    ("files", None),
    ("deep-json", None),
    ("long-texts", Some("plugin-gave-up")),
    ("numbers", Some("plugin-gave-up")),
    ("state", None),
    ("messages", None),
];

fn patched(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    let mut offset = 0;
    while let Some(at) = bytes.windows(from.len()).skip(offset).position(|window| window == from) {
        offset += at;
        if let Some(range) = bytes.get_mut(offset..offset + to.len()) {
            range.copy_from_slice(to);
        }
    }
    assert!(offset > 0, "nothing to patch");
    bytes
}

/// Invalid and hand-written plugins: name, bytes, expected error code.
fn crafted_plugins() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let echo = std::fs::read(plugin("echo")).unwrap();
    let half = echo.get(..echo.len() / 2).unwrap_or_default().to_vec();
    vec![
        ("x-tables", hostile::table(), "memory-limit"),
        ("x-start", hostile::start(), "cpu-limit"),
        ("x-boast", hostile::about(), "about-invalid"),
        ("x-instances", hostile::instances(), "plugin-too-complex"),
        ("x-globals", hostile::globals(), "initial-memory-limit"),
        ("x-schema", hostile::schema(), "settings-invalid"),
        ("x-text", b"not wasm at all".to_vec(), "not-wasm"),
        ("x-malformed", b"\0asm\x01\0\0\0\x01\xff\xff\xff\xff\xff".to_vec(), "plugin-corrupt"),
        ("x-truncated", half, "plugin-corrupt"),
        ("x-unknown-import", patched(&echo, b"beadle:plugin/replies", b"beadle:plugin/rubbish"), "unknown-import"),
        ("x-newer", patched(&echo, b"@0.1.0", b"@0.9.0"), "api-version-unsupported"),
    ]
}

/// Whether a plugin's row reports a problem with this code.
fn has_problem(row: &Value, code: &str) -> bool {
    let problem = row.get("problem").map(Value::to_string).unwrap_or_default();
    problem.contains(&format!("({code})")) || text(row, "/problem/code") == code
}

async fn assert_answered_once_in_order(daemon: &Daemon, messages: &[Value], wanted: u64) {
    let mut events = daemon.list_all("events?kind=message").await;
    events.reverse();
    let mut expected: BTreeMap<String, VecDeque<String>> = BTreeMap::new();
    for event in &events {
        expected.entry(text(event, "/name").to_owned()).or_default().push_back(text(event, "/summary").to_owned());
    }
    assert_eq!(messages.len() as u64, wanted, "each once");
    for reply in messages.iter().filter_map(text_of) {
        let whose = expected.values_mut().find(|texts| texts.front() == Some(&reply));
        assert!(whose.is_some_and(|texts| texts.pop_front().is_some()), "{reply} is out of order");
    }
}

#[tokio::test]
async fn good_plugin_answers_next_to_hostile_ones() {
    const MESSAGES: u64 = 120;
    let address = SimulatorAddress::reserve();
    let mut tables = String::new();
    for (fault, code) in FAULTS {
        // Before the good plugin, so that each message passes through all of them. Each reaches its
        // own limit first: what the host does for a call counts as CPU time too, and takes long in
        // a build without optimisation.
        let cpu_ms = if code == Some("cpu-limit") { 100 } else { 1000 };
        let _ = writeln!(tables, "[plugins.{fault}]\norder = -1\nsettings = {{ wrong = \"{fault}\" }}");
        let _ = writeln!(tables, "limits = {{ cpu_ms = {cpu_ms} }}");
    }
    let crafted = crafted_plugins();
    for (name, ..) in &crafted {
        let _ = writeln!(tables, "[plugins.{name}]\norder = -1");
    }
    let setup = Setup::new(&address.url()).plugin("echo", "").toml(UNPACED).toml(&tables);
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    simulator.flood(10, 20, 0.0, "before").await;
    for (name, bytes, _) in &crafted {
        setup.put_bytes(name, bytes);
    }
    for (fault, _) in FAULTS {
        setup.put_plugin(fault, &plugin("probe"));
    }
    for (name, ..) in &crafted {
        daemon.wait_for_plugin(name, |row| !matches!(text(row, "/state"), "" | "loading")).await;
    }
    for (fault, _) in FAULTS {
        daemon.wait_for_plugin(fault, |row| text(row, "/state") == "active").await;
    }
    simulator.flood(10, MESSAGES, 20.0, "n").await;
    let wanted = MESSAGES + 20;
    wait_until("everyone has an answer", async || {
        (simulator.messages(None).await.len() as u64 >= wanted && daemon.status_count("events_open").await == 0)
            .then_some(())
    })
    .await;
    daemon.wait_until_idle().await;
    assert_answered_once_in_order(&daemon, &simulator.messages(None).await, wanted).await;
    for (times, tries) in handling_times(&daemon, "n ").await.iter().zip(["once", "again"]) {
        print_latencies(&format!("behind them in one chain inside the daemon, each tried {tries}"), times);
    }

    // Each is reported under its name.
    let expected = crafted.iter().map(|(name, _, code)| (*name, Some(*code))).chain(FAULTS);
    for (name, code) in expected {
        let row = daemon.get(&format!("plugins/{name}")).await;
        assert!(code.is_none_or(|code| has_problem(&row, code)), "{code:?}: {row}");
    }
    let newer = daemon.get("plugins/x-newer").await;
    let reason = text(&newer, "/problem/message");
    assert!(reason.contains("0.9.0") && reason.contains("supports 0.1.0"), "{reason}");
    let echo = daemon.get("plugins/echo").await;
    assert!(text(&echo, "/state") == "active" && echo.get("problem").is_none(), "{echo}");
    assert_eq!(daemon.try_get("/healthz").await.unwrap().status, 200);
    // None of their effects took place.
    assert_eq!(daemon.get("plugins/hoarder").await.pointer("/limits/6/used"), Some(&json!(0.0)));
    daemon.stop().await;
}

/// A figure of a process in its status file, in MiB.
fn memory_mib(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}

/// Has each person write a number of texts, one after the other, and returns how long each waited
/// for the same text as an answer, sorted.
async fn conversations(simulator: &Simulator, people: &[&str], topic: &str, rounds: usize) -> Vec<Duration> {
    let mut latencies = Vec::new();
    for round in 0..rounds {
        let mut open = BTreeMap::new();
        for person in people {
            let text = format!("{person} asks {topic} {round}");
            simulator.say(person, &text).await;
            open.insert(text, Instant::now());
        }
        let deadline = Instant::now() + TIMEOUT;
        while !open.is_empty() {
            assert!(Instant::now() < deadline, "no answer to {:?}", open.keys());
            for person in people {
                for text in simulator.texts(person).await {
                    latencies.extend(open.remove(&text).map(|asked| asked.elapsed()));
                }
            }
        }
    }
    latencies.sort();
    latencies
}

/// Prints a figure even if the test passes, when `println!` is silent.
fn show(line: &str) {
    let _ = writeln!(std::io::stderr(), "hostile plugins: {line}");
}

fn print_latencies(when: &str, sorted: &[Duration]) {
    let at = |share: f64| {
        let index = (sorted.len().saturating_sub(1) as f64 * share).round() as usize;
        sorted.get(index).map_or(0, Duration::as_millis)
    };
    let (count, p50, p99, max) = (sorted.len(), at(0.5), at(0.99), at(1.0));
    show(&format!("{count} answers {when}: p50 {p50} ms, p99 {p99} ms, max {max} ms"));
}

/// How long it took from the commit of each message on a topic to the commit of its answer: the
/// part of the wait that the daemon and its plugins cause. Those for which a plugin before the
/// answerer was tried again are apart.
async fn handling_times(daemon: &Daemon, topic: &str) -> [Vec<Duration>; 2] {
    let answers = daemon.list_all("outbox?state=accepted&plugin=echo").await;
    let answered: BTreeMap<&str, i64> =
        answers.iter().filter_map(|row| Some((text(row, "/event"), time_at(row, "/created_at")?))).collect();
    let mut times = [Vec::new(), Vec::new()];
    for row in daemon.list_all("events?kind=message").await {
        let id = text(&row, "/id");
        if text(&row, "/summary").contains(topic)
            && let (Some(answered), Some(received)) = (answered.get(id), time_at(&row, "/received_at"))
        {
            let event = daemon.get(&format!("events/{id}")).await;
            let handlings = event.get("handlings").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let is_tried_again = handlings.iter().any(|row| row.get("attempts").and_then(Value::as_u64) > Some(1));
            times[usize::from(is_tried_again)]
                .push(Duration::from_millis((answered - received).try_into().unwrap_or(0)));
        }
    }
    times.iter_mut().for_each(|times| times.sort());
    times
}

/// All hostile plugins get every event in lanes of their own, as observers do, while a good plugin
/// answers six people. Prints how long they wait; only that each is answered once, and what the
/// daemon uses, is checked.
#[tokio::test]
async fn every_hostile_plugin_at_once_costs_no_answer_and_bounded_memory() {
    const ROUNDS: usize = 10;
    const PEOPLE: [&str; 6] = ["Ana", "Ben", "Cas", "Dee", "Eva", "Fin"];
    /// Twenty-nine plugins, of which some dozen may have an instance or two at their limit.
    const MOST_MIB: u64 = 1024;
    let address = SimulatorAddress::reserve();
    let mut tables = String::new();
    for (key, faults) in [("wrong", &FAULTS[..]), ("bomb", &BOMBS[..])] {
        for (name, _) in faults {
            let _ = writeln!(tables, "[plugins.{name}]\nstage = \"observe\"\nsettings = {{ {key} = \"{name}\" }}");
        }
    }
    let mut crafted = crafted_plugins();
    crafted.extend([("x-names", hostile::names(), ""), ("x-compilation", hostile::compilation(), "")]);
    for (name, ..) in &crafted {
        let _ = writeln!(tables, "[plugins.{name}]\nstage = \"observe\"");
    }
    let setup = Setup::new(&address.url()).plugin("echo", "").toml(UNPACED).toml(&tables);
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    for (number, person) in PEOPLE.iter().enumerate().skip(1) {
        simulator.add_person(person, &format!("3161000000{number}")).await;
    }
    print_latencies("alone", &conversations(&simulator, &PEOPLE, "alone", ROUNDS).await);
    for (built, faults) in [("probe", &FAULTS[..]), ("bomber", &BOMBS[..])] {
        for (name, _) in faults {
            setup.put_plugin(name, &plugin(built));
        }
    }
    for (name, bytes, _) in &crafted {
        setup.put_bytes(name, bytes);
    }
    let hostile: Vec<(&str, &str)> = crafted
        .iter()
        .map(|(name, _, code)| (*name, *code))
        .chain(FAULTS.iter().chain(&BOMBS).map(|(name, code)| (*name, code.unwrap_or_default())))
        .collect();
    let when = format!("while {} hostile plugins are loaded", hostile.len());
    print_latencies(&when, &conversations(&simulator, &PEOPLE, "early", ROUNDS).await);
    for (name, _) in &hostile {
        daemon.wait_for_plugin(name, |row| !matches!(text(row, "/state"), "" | "loading")).await;
    }
    print_latencies("next to them", &conversations(&simulator, &PEOPLE, "late", ROUNDS).await);
    for (times, tries) in handling_times(&daemon, "late").await.iter().zip(["once", "again"]) {
        print_latencies(&format!("next to them inside the daemon, each plugin tried {tries}"), times);
    }
    for (name, code) in hostile.iter().filter(|(_, code)| !code.is_empty()) {
        daemon.wait_for_plugin(name, |row| has_problem(row, code)).await;
    }
    let most = memory_mib(daemon.program.pid(), "VmHWM");
    show(&format!("at most {most} MiB of memory"));
    assert!(most < MOST_MIB, "{most} MiB");
    assert_eq!(daemon.try_get("/healthz").await.unwrap().status, 200);
    for person in PEOPLE {
        let mut answers = simulator.texts(person).await;
        answers.retain(|text| text.contains(" asks "));
        let all: BTreeSet<&String> = answers.iter().collect();
        assert_eq!((answers.len(), all.len()), (3 * ROUNDS, 3 * ROUNDS), "{person}: {answers:?}");
    }
    daemon.kill9().await;
}

/// Each handling fits alone. What fits is asked again when they are committed, because they run at
/// the same time.
#[tokio::test]
async fn quota_of_state_holds_for_handlings_at_the_same_time() {
    let address = SimulatorAddress::reserve();
    let toml = "settings = { bomb = \"state\" }\nlimits = { state_mib = 8, cpu_ms = 5000 }";
    let setup = Setup::new(&address.url()).plugin_as("bomber", "bomber", toml).toml(UNPACED);
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    for round in 0..5 {
        simulator.flood(12, 12, 0.0, &format!("round {round}")).await;
    }
    simulator.wait_until_delivered().await;
    daemon.wait_until_idle().await;
    let row = daemon.get("plugins/bomber").await;
    let limits = row.get("limits").and_then(Value::as_array).cloned().unwrap_or_default();
    let state = limits.iter().find(|limit| text(limit, "/key") == "state_mib");
    let used = state.and_then(|limit| limit.get("used")?.as_f64()).unwrap_or_default();
    // One conversation has 6.8 MiB.
    assert!((6.0..=8.0).contains(&used), "{limits:?}");
    let letters = daemon.list_all("dead-letters").await;
    // Those that ran later were refused when they asked.
    assert!(letters.iter().any(|letter| text(letter, "/code") == "over-quota"), "{letters:?}");
    daemon.stop().await;
}
