//! Revisions that do not take over: missing capabilities, failures in the dry run or on probation;
//! and rollback.

use crate::{UNPACED, text};
use beadle_test_support::daemon::Setup;
use beadle_test_support::program::{self, probe};
use beadle_test_support::simulator::SimulatorAddress;
use beadle_test_support::wait_until;
use serde_json::Value;

fn output_of(output: &std::process::Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn revision_with_an_ungranted_capability_waits_for_the_grant() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).plugin_as("bot", "echo", "");
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    simulator.say("Ana", "one").await;
    simulator.expect_texts("Ana", &["one"]).await;
    // The old revision stays active meanwhile.
    setup.put_plugin("bot", &program::plugin("eager"));
    let row = daemon.wait_for_plugin("bot", |row| text(row, "/problem/code") == "plugin-pending").await;
    assert_eq!((text(&row, "/state"), text(&row, "/failed_step")), ("active", "capabilities"), "{row}");
    let still = format!("the earlier revision {} stays active", text(&row, "/revision"));
    assert!(text(&row, "/problem/message").contains(&still), "{row}");
    simulator.say("Ana", "two").await;
    simulator.expect_texts("Ana", &["one", "two"]).await;
    let none = setup.cli(&["plugins", "grant", "bot", "everything"]).await;
    assert!(none.status.code() == Some(2) && output_of(&none).contains("no such capability"), "{}", output_of(&none));
    // What every plugin has cannot be granted.
    let default = setup.cli(&["plugins", "grant", "bot", "state"]).await;
    assert!(default.status.code() == Some(2) && output_of(&default).contains("by default"), "{}", output_of(&default));
    let granted = setup.cli(&["plugins", "grant", "bot", "messages"]).await;
    assert!(output_of(&granted).contains("write to people first"), "{}", output_of(&granted));
    daemon.wait_for_plugin("bot", |row| row.get("problem").is_none()).await;
    simulator.say("Ana", "three").await;
    simulator.expect_texts("Ana", &["one", "two", "eager: three"]).await;
    let output = output_of(&setup.cli(&["plugins", "show", "bot"]).await);
    assert!(output.contains("messages") && output.contains("command") && output.contains("cpu_ms"), "{output}");
    // A grant that the plugin does not request is called so.
    let unused = output_of(&setup.cli(&["plugins", "grant", "bot", "groups"]).await);
    assert!(unused.contains("does not request it"), "{unused}");
    // The grant survives a restart; revoked, the plugin stops.
    daemon.stop().await;
    let daemon = setup.start().await;
    simulator.say("Ana", "four").await;
    simulator.expect_texts("Ana", &["one", "two", "eager: three", "eager: four"]).await;
    setup.cli(&["plugins", "revoke", "bot", "messages"]).await;
    daemon.wait_for_plugin("bot", |row| text(row, "/state") == "pending").await;
    daemon.stop().await;
}

#[tokio::test]
async fn rollback_lasts_until_another_file_appears() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).probe("probe", "reply = \": \"", "");
    setup.put_bytes("probe", &probe("v1"));
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    let none = setup.cli(&["plugins", "rollback", "probe"]).await;
    assert!(output_of(&none).contains("no-earlier-revision"), "{}", output_of(&none));
    setup.put_bytes("probe", &probe("v2"));
    daemon.wait_for_plugin("probe", |row| !text(row, "/earlier_revisions/0").is_empty()).await;
    let back = setup.cli(&["plugins", "rollback", "probe"]).await;
    assert!(back.status.success(), "{}", output_of(&back));
    simulator.say("Ana", "one").await;
    simulator.expect_texts("Ana", &["v1: one"]).await;
    // Also after a restart, and if the same bytes are written again.
    daemon.stop().await;
    setup.put_bytes("probe", &probe("v2"));
    let daemon = setup.start().await;
    simulator.say("Ana", "two").await;
    simulator.expect_texts("Ana", &["v1: one", "v1: two"]).await;
    setup.put_bytes("probe", &probe("v3"));
    daemon
        .wait_for_plugin("probe", |row| {
            row.get("rolled_back").is_none() && !text(row, "/earlier_revisions/0").is_empty()
        })
        .await;
    simulator.say("Ana", "three").await;
    simulator.expect_texts("Ana", &["v1: one", "v1: two", "v3: three"]).await;
    daemon.stop().await;
}

#[tokio::test]
async fn old_revision_handles_what_the_new_one_fails_and_returns() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).probe("probe", "reply = \": \"", "").toml(UNPACED);
    setup.put_bytes("probe", &probe("v1"));
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    // There is no event yet, so the dry run finds nothing.
    setup.put_bytes("probe", &probe("v2!trap"));
    daemon.wait_for_plugin("probe", |row| text(row, "/state") == "probation").await;
    for text in ["one", "two", "three", "four"] {
        simulator.say("Ana", text).await;
    }
    simulator.expect_texts("Ana", &["v1: one", "v1: two", "v1: three", "v1: four"]).await;
    let row = daemon.wait_for_plugin("probe", |row| text(row, "/problem/code") == "rolled-back").await;
    assert_eq!(text(&row, "/state"), "active", "{row}");
    daemon.wait_until_idle().await;
    assert_eq!(daemon.status_count("dead_letters").await, 0);
    // Now there are events: the dry run rejects the same fault.
    setup.put_bytes("probe", &probe("v3!trap"));
    let row = daemon.wait_for_plugin("probe", |row| text(row, "/problem/code") == "dry-run-failed").await;
    assert_eq!((text(&row, "/state"), text(&row, "/failed_step")), ("active", "dry run"), "{row}");
    assert_eq!(simulator.texts("Ana").await.len(), 4, "a dry run sends nothing");
    setup.put_bytes("probe", &probe("v4"));
    daemon.wait_for_plugin("probe", |row| row.get("problem").is_none()).await;
    simulator.say("Ana", "five").await;
    wait_until("the new revision answers", async || {
        simulator.texts("Ana").await.last().filter(|text| *text == "v4: five").cloned()
    })
    .await;
    daemon.stop().await;
}

#[tokio::test]
async fn start_with_a_broken_file_runs_the_last_active_revision() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).probe("probe", "reply = \": \"", "");
    setup.put_bytes("probe", &probe("v1"));
    let daemon = setup.start().await;
    daemon.stop().await;
    setup.put_bytes("probe", b"\0asm and no more");
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    let row = daemon.get("plugins/probe").await;
    assert_eq!(text(&row, "/state"), "active", "{row}");
    assert!(row.get("problem").is_some_and(Value::is_object), "{row}");
    simulator.say("Ana", "one").await;
    simulator.expect_texts("Ana", &["v1: one"]).await;
    daemon.stop().await;
}
