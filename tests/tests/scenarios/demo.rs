//! `beadle demo`, as the README's first command starts it: what its greeting promises happens.

use beadle_test_support::program::{self, Program};
use beadle_test_support::simulator::Simulator;
use beadle_test_support::wait_until;
use serde_json::json;
use std::process::Output;
use tokio::process::Command;

const HOUR_MS: i64 = 3_600_000;

async fn beadle(arguments: &[&str]) -> Output {
    Command::new(program::built("beadle")).args(arguments).output().await.unwrap_or_else(|error| panic!("{error}"))
}

/// Two neighbours never wrote: one agreed to news and gets them by a template, the other did not
/// and gets none, and `why` says so. One who writes NEWS gets the text.
#[tokio::test]
async fn news_reach_those_who_agreed_and_why_explains_the_rest() {
    let plugins = program::target_dir().join("plugins");
    let mut command = Command::new(program::built("beadle"));
    command.args(["demo", "--no-open", "--plugins"]).arg(&plugins).env_remove("NOTIFY_SOCKET");
    let mut program = Program::start(&mut command);
    let word_after = |line: &str, label: &str| {
        let rest = line.trim_start().strip_prefix(label)?;
        rest.split_whitespace().next().map(str::to_owned)
    };
    let page = program.line(|line| word_after(line, "Chat page")).await;
    let socket = program.line(|line| word_after(line, "Status       beadle --socket")).await;
    let demo = Simulator::at(program, &page);
    demo.say("Ana", "NEWS").await;
    wait_until("NEWS is answered", async || (!demo.texts("Ana").await.is_empty()).then_some(())).await;
    let named = async |person: &str| -> Vec<String> {
        let messages = demo.messages(Some(person)).await;
        messages.iter().filter_map(|message| Some(message.pointer("/body/name")?.as_str()?.to_owned())).collect()
    };
    // Until it is 18:00, whatever time it is now.
    for _ in 0..24 {
        if !named("Dana").await.is_empty() {
            break;
        }
        demo.control("POST", "clock", &json!({ "advance_ms": HOUR_MS })).await;
        demo.wait_until_idle().await;
    }
    wait_until("Dana gets the template", async || (named("Dana").await == ["neighbourhood_news"]).then_some(())).await;
    wait_until("Ana gets the text", async || {
        demo.texts("Ana").await.iter().any(|text| text.contains("Street party")).then_some(())
    })
    .await;
    assert!(demo.messages(Some("Emil")).await.is_empty());
    let why = beadle(&["--socket", &socket, "why", "con_2"]).await;
    let why = String::from_utf8_lossy(&why.stdout).into_owned();
    assert!(why.contains("refused") && why.contains("not-opted-in"), "{why}");
}
