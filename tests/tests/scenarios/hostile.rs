//! Every way in which a plugin can misbehave, all at once, dropped into the folder of a daemon that runs: what is no plugin
//! is told so, what loops, hoards and floods is cut, and whoever is well answers as if nothing was there.

use crate::{UNPACED, text};
use beadle_e2e::daemon::{Daemon, Setup};
use beadle_e2e::guest::guest;
use beadle_e2e::program::plugin;
use beadle_e2e::simulator::{Place, text_of};
use beadle_e2e::until;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;

/// Probes that do this to each message; and what that is called, where it is a fault.
const WRONGS: [(&str, Option<&str>); 10] = [
    ("spin", Some("cpu-limit")),
    // In Rust a stack without end runs out of its memory before it runs out of frames.
    ("stack", Some("trap")),
    ("memory", Some("memory-limit")),
    ("trap", Some("trap")),
    ("flood", Some("host-call-limit")),
    ("crumbs", Some("host-call-limit")),
    ("wishes", Some("effect-limit")),
    ("hoarder", Some("effect-limit")),
    ("give-up", Some("plugin-gave-up")),
    // It is cut, counted and forgiven; what it calls the host for is the fault.
    ("chatter", Some("host-call-limit")),
];

/// Takes tables until there are no more.
const TABLES: &str =
    "(loop $on (br_if $on (i32.ne (table.grow $t (ref.null func) (i32.const 100000)) (i32.const -1)))) unreachable";

/// Says of itself more than anybody wants to read.
const BOAST: &str = r#"(func (export "beadle:plugin/about@0.1.0#describe") (result i32)
    (i32.store (i32.const 2048) (i32.const 4096)) (i32.store (i32.const 2052) (i32.const 60000)) (i32.const 2048))"#;

fn patched(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    let mut found = 0;
    while let Some(at) = bytes.windows(from.len()).skip(found).position(|window| window == from) {
        found += at;
        if let Some(place) = bytes.get_mut(found..found + to.len()) {
            place.copy_from_slice(to);
        }
    }
    assert!(found > 0, "nothing to patch");
    bytes
}

/// Written by hand, with what is said of each.
fn by_hand() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let echo = std::fs::read(plugin("echo")).unwrap();
    let half = echo.get(..echo.len() / 2).unwrap_or_default().to_vec();
    vec![
        ("x-tables", guest("(table $t 1 funcref)", TABLES, ""), "memory-limit"),
        ("x-start", guest("(func $start (loop $on (br $on))) (start $start)", "", ""), "cpu-limit"),
        ("x-boast", guest(BOAST, "", "export beadle:plugin/about@0.1.0;"), "about-invalid"),
        ("x-text", b"not wasm at all".to_vec(), "not-wasm"),
        ("x-malformed", b"\0asm\x01\0\0\0\x01\xff\xff\xff\xff\xff".to_vec(), "plugin-corrupt"),
        ("x-truncated", half, "plugin-corrupt"),
        ("x-stranger", patched(&echo, b"beadle:plugin/replies", b"beadle:plugin/rubbish"), "unknown-import"),
        ("x-newer", patched(&echo, b"@0.1.0", b"@0.9.0"), "api-version-unsupported"),
    ]
}

/// Whether it is told of a plugin that it failed so.
fn failed_so(row: &Value, code: &str) -> bool {
    let problem = row.get("problem").map(Value::to_string).unwrap_or_default();
    problem.contains(&format!("({code})")) || text(row, "/problem/code") == code
}

async fn answers_come_once_and_in_order(daemon: &Daemon, messages: &[Value], wanted: u64) {
    let mut events = daemon.all("events?kind=message").await;
    events.reverse();
    let mut said: BTreeMap<String, VecDeque<String>> = BTreeMap::new();
    for event in &events {
        said.entry(text(event, "/name").to_owned()).or_default().push_back(text(event, "/summary").to_owned());
    }
    assert_eq!(messages.len() as u64, wanted, "each once");
    for reply in messages.iter().filter_map(text_of) {
        let whose = said.values_mut().find(|texts| texts.front() == Some(&reply));
        assert!(whose.is_some_and(|texts| texts.pop_front().is_some()), "{reply} is out of its order");
    }
}

#[tokio::test]
async fn whoever_is_well_answers_as_if_nothing_was_there() {
    const MESSAGES: u64 = 120;
    let place = Place::new();
    let mut tables = String::new();
    for (wrong, _) in WRONGS {
        // Before the one that is well, so that each message goes through all of them.
        let _ = writeln!(tables, "[plugins.{wrong}]\norder = -1\nsettings = {{ wrong = \"{wrong}\" }}");
    }
    let by_hand = by_hand();
    for (name, ..) in &by_hand {
        let _ = writeln!(tables, "[plugins.{name}]\norder = -1");
    }
    let setup = Setup::new(&place.url()).plugin("echo", "").toml(UNPACED).toml(&tables);
    let daemon = setup.start().await;
    let simulator = place.start(&setup).await;
    simulator.flood(10, 20, 0.0, "before").await;
    for (name, bytes, _) in &by_hand {
        setup.put_bytes(name, bytes);
    }
    for (wrong, _) in WRONGS {
        setup.put_plugin(wrong, &plugin("probe"));
    }
    for (name, ..) in &by_hand {
        daemon.plugin_until(name, |row| !matches!(text(row, "/state"), "" | "loading")).await;
    }
    for (wrong, _) in WRONGS {
        daemon.plugin_until(wrong, |row| text(row, "/state") == "active").await;
    }
    simulator.flood(10, MESSAGES, 20.0, "n").await;
    let wanted = MESSAGES + 20;
    until("everyone has an answer", async || {
        (simulator.messages(None).await.len() as u64 >= wanted && daemon.count("events_open").await == 0).then_some(())
    })
    .await;
    daemon.idle().await;
    answers_come_once_and_in_order(&daemon, &simulator.messages(None).await, wanted).await;

    // Each is told by its name, here and to whoever asks.
    let told = by_hand.iter().map(|(name, _, code)| (*name, Some(*code))).chain(WRONGS);
    for (name, code) in told {
        let row = daemon.get(&format!("plugins/{name}")).await;
        assert!(code.is_none_or(|code| failed_so(&row, code)), "{code:?}: {row}");
    }
    let newer = daemon.get("plugins/x-newer").await;
    let why = text(&newer, "/problem/message");
    assert!(why.contains("0.9.0") && why.contains("speaks 0.1.0"), "{why}");
    let echo = daemon.get("plugins/echo").await;
    assert!(text(&echo, "/state") == "active" && echo.get("problem").is_none(), "{echo}");
    assert_eq!(daemon.try_get("/healthz").await.unwrap().status, 200);
    // None of what they asked for was done.
    assert_eq!(daemon.get("plugins/hoarder").await.pointer("/limits/6/used"), Some(&json!(0.0)));
    daemon.stop().await;
}
