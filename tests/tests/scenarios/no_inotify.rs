//! The limit of inotify is reached: changes are found by polling, and the operator is told which setting helps.

use crate::text;
use beadle_test_support::daemon::Setup;
use beadle_test_support::program::{probe, revision_of};
use beadle_test_support::simulator::SimulatorAddress;
use beadle_test_support::wait_until;
use serde_json::Value;

/// Whether user namespaces are allowed here, as in most containers they are not.
fn has_user_namespaces() -> bool {
    let unshare = std::process::Command::new("unshare").args(["--user", "--map-root-user", "true"]).output();
    unshare.is_ok_and(|output| output.status.success())
}

#[tokio::test]
async fn exhausted_inotify_is_reported_and_polled() {
    if !has_user_namespaces() {
        eprintln!("skipped: user namespaces are not allowed");
        return;
    }
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url())
        .plugin("hourglass", "documents = \"texts\"")
        .toml("[plugins.probe]\nsettings = { reply = \": \" }")
        .inotify_instances(0);
    setup.put_conf("10-poll", "[daemon]\npoll_interval = \"1s\"");
    setup.put_bytes("probe", &probe("v1"));
    let documents = setup.conf_d().with_file_name("texts");
    std::fs::create_dir(&documents).unwrap();
    let daemon = setup.start().await;
    let status = daemon.status().await;
    let problems = status["problems"].as_array().cloned().unwrap_or_default();
    let reports: Vec<&Value> = problems.iter().filter(|problem| problem["code"] == "watch-unavailable").collect();
    assert!(reports.len() == 1 && text(reports[0], "/message").contains("max_user_instances"), "{status}");
    assert_eq!(daemon.program.log().matches("folders not watched, polling instead").count(), 1);

    setup.put_bytes("probe", &probe("v2"));
    let v2 = revision_of(&probe("v2"));
    daemon.wait_for_plugin("probe", |row| v2.starts_with(text(row, "/revision")) && row.get("problem").is_none()).await;
    setup.put_conf("20-windows", "[windows]\nexpiring_before = [\"10m\"]");
    daemon.wait_for_config("windows.expiring_before").await;
    std::fs::write(documents.join("hello.md"), "hello").unwrap();
    wait_until("the document is found", async || {
        let rows = daemon.list_all("plugins/hourglass/documents").await;
        rows.iter().any(|row| text(row, "/name") == "hello.md" && row.get("size").is_some()).then_some(())
    })
    .await;
    daemon.stop().await;
}
