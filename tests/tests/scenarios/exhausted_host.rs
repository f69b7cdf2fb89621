//! A host that is short of address space, inotify watches or inotify instances: the plugins are not
//! blamed, and all works again once there is enough, or in a slower way.

use crate::{UNPACED, text};
use beadle_test_support::daemon::Setup;
use beadle_test_support::program::{probe, revision_of};
use beadle_test_support::simulator::SimulatorAddress;
use beadle_test_support::wait_until;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};

/// The address space of a process in bytes.
fn address_space(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default() * 1024
}

fn limit_address_space(pid: u32, most: Option<u64>) {
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw);
    prlimit(process, Resource::As, Rlimit { current: most, maximum: None }).unwrap();
}

#[tokio::test]
async fn exhausted_address_space_is_blamed_on_the_host_and_the_load_is_repeated() {
    /// Less than the address space of one instance.
    const LEFT: u64 = 12 << 20;
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).plugin("echo", "").toml(UNPACED);
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    simulator.say("Ana", "before").await;
    simulator.expect_texts("Ana", &["before"]).await;
    let pid = daemon.program.pid();
    limit_address_space(pid, Some(address_space(pid) + LEFT));
    setup.put_bytes("late", &probe("v1"));
    let row = daemon.wait_for_plugin("late", |row| !text(row, "/problem/code").is_empty()).await;
    assert_eq!(text(&row, "/problem/code"), "host-resources-exhausted", "{row}");
    limit_address_space(pid, None);
    daemon.wait_for_plugin("late", |row| text(row, "/state") == "active").await;
    daemon.stop().await;
}

#[tokio::test]
async fn exhausted_watches_are_reported_and_changes_are_found_by_polling() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url())
        .plugin("echo", "")
        .toml(UNPACED)
        .toml("[plugins.late]\nsettings = { reply = \": \" }\norder = -1")
        .inotify_limit("max_inotify_watches", 0);
    let Some(setup) = setup else { return println!("skipped: user namespaces are not allowed") };
    setup.put_conf("10-poll", "[daemon]\npoll_interval = \"1s\"");
    let daemon = setup.start().await;
    let status = daemon.wait_for_status(|status| status.to_string().contains("watch-unavailable")).await;
    assert!(status.to_string().contains("max_user_watches"), "{status}");
    let simulator = address.start(&setup).await;
    setup.put_bytes("late", &probe("v1"));
    let row = daemon.wait_for_plugin("late", |row| text(row, "/state") == "active").await;
    assert_eq!(row.pointer("/problem"), None, "{row}");
    simulator.say("Ana", "hello").await;
    simulator.expect_texts("Ana", &["v1: hello"]).await;
    assert_eq!(daemon.get("plugins/late").await.pointer("/calls"), Some(&json!(1)));
    daemon.stop().await;
}

#[tokio::test]
async fn exhausted_inotify_is_reported_and_polled() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url())
        .plugin("hourglass", "documents = \"texts\"")
        .toml("[plugins.probe]\nsettings = { reply = \": \" }")
        .inotify_limit("max_inotify_instances", 0);
    let Some(setup) = setup else { return println!("skipped: user namespaces are not allowed") };
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
