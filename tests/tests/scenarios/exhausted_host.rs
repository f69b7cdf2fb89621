//! A host that is short of address space or of inotify watches: the plugins are not blamed, and all works again once there is
//! enough, or in a slower way.

use crate::{UNPACED, text};
use beadle_test_support::daemon::Setup;
use beadle_test_support::program::probe;
use beadle_test_support::simulator::SimulatorAddress;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;

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
    // A user namespace has limits of its own.
    let around = ["unshare", "--user", "--map-root-user"];
    let is_possible = std::process::Command::new("unshare").args(["--user", "--map-root-user", "true"]).status();
    if !is_possible.is_ok_and(|status| status.success()) {
        return println!("skipped: this system allows no user namespaces");
    }
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url())
        .plugin("echo", "")
        .toml(UNPACED)
        .toml("[plugins.late]\nsettings = { reply = \": \" }\norder = -1")
        .before(&around, "echo 0 > /proc/sys/user/max_inotify_watches");
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
