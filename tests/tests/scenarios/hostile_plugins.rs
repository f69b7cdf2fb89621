//! Misbehaving plugins of every kind, dropped together into the folder of a running daemon: invalid files are refused, calls
//! over a limit end, and a good plugin answers as if they were not there.

use crate::{UNPACED, text};
use beadle_test_support::daemon::{Daemon, Setup};
use beadle_test_support::guest::guest;
use beadle_test_support::program::plugin;
use beadle_test_support::simulator::{SimulatorAddress, text_of};
use beadle_test_support::wait_until;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;

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

/// Grows a table until it fails.
const TABLES: &str =
    "(loop $on (br_if $on (i32.ne (table.grow $t (ref.null func) (i32.const 100000)) (i32.const -1)))) unreachable";

/// Returns an `about` that is too long.
const BOAST: &str = r#"(func (export "beadle:plugin/about@0.1.0#describe") (result i32)
    (i32.store (i32.const 2048) (i32.const 4096)) (i32.store (i32.const 2052) (i32.const 60000)) (i32.const 2048))"#;

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
        ("x-tables", guest("(table $t 1 funcref)", TABLES, ""), "memory-limit"),
        ("x-start", guest("(func $start (loop $on (br $on))) (start $start)", "", ""), "cpu-limit"),
        ("x-boast", guest(BOAST, "", "export beadle:plugin/about@0.1.0;"), "about-invalid"),
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
    for (fault, _) in FAULTS {
        // Before the good plugin, so that each message passes through all of them.
        let _ = writeln!(tables, "[plugins.{fault}]\norder = -1\nsettings = {{ wrong = \"{fault}\" }}");
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

    // Each is reported under its name.
    let expected = crafted.iter().map(|(name, _, code)| (*name, Some(*code))).chain(FAULTS);
    for (name, code) in expected {
        let row = daemon.get(&format!("plugins/{name}")).await;
        assert!(code.is_none_or(|code| has_problem(&row, code)), "{code:?}: {row}");
    }
    let newer = daemon.get("plugins/x-newer").await;
    let why = text(&newer, "/problem/message");
    assert!(why.contains("0.9.0") && why.contains("supports 0.1.0"), "{why}");
    let echo = daemon.get("plugins/echo").await;
    assert!(text(&echo, "/state") == "active" && echo.get("problem").is_none(), "{echo}");
    assert_eq!(daemon.try_get("/healthz").await.unwrap().status, 200);
    // None of their effects took place.
    assert_eq!(daemon.get("plugins/hoarder").await.pointer("/limits/6/used"), Some(&json!(0.0)));
    daemon.stop().await;
}
