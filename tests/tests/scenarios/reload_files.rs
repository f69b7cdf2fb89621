//! Files in the plugin folder appear, change and disappear: a complete file takes over, an
//! incomplete one changes nothing, a removed plugin stops.

use crate::text;
use beadle_test_support::daemon::{Daemon, Setup};
use beadle_test_support::program::{probe, revision_of};
use beadle_test_support::simulator::{Simulator, SimulatorAddress};
use beadle_test_support::wait_until;
use std::io::Write as _;

const PROBE: &str = "[plugins.probe]\nsettings = { reply = \": \" }";

async fn start(conf: &str) -> (Setup, Daemon, Simulator) {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).toml(PROBE);
    setup.put_conf("10-more", conf);
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    (setup, daemon, simulator)
}

/// Waits until a revision other than `before` is active, and returns it.
async fn wait_for_revision(daemon: &Daemon, before: &str) -> String {
    let row = daemon.wait_for_plugin("probe", |row| {
        matches!(text(row, "/state"), "active" | "probation") && text(row, "/revision") != before
    });
    text(&row.await, "/revision").to_owned()
}

#[tokio::test]
async fn saved_file_takes_over_without_a_restart() {
    let (setup, daemon, simulator) = start("").await;
    daemon.wait_for_plugin("probe", |row| text(row, "/problem/code") == "plugin-missing").await;
    setup.put_bytes("probe", &probe("v1"));
    let v1 = wait_for_revision(&daemon, "").await;
    simulator.say("Ana", "one").await;
    simulator.expect_texts("Ana", &["v1: one"]).await;
    // Overwritten in place, as `cp` does.
    std::fs::write(setup.plugin_file("probe"), probe("v2")).unwrap();
    let v2 = wait_for_revision(&daemon, &v1).await;
    simulator.say("Ana", "two").await;
    simulator.expect_texts("Ana", &["v1: one", "v2: two"]).await;
    // The same bytes again change nothing.
    setup.put_bytes("probe", &probe("v2"));
    setup.put_bytes("zz", &probe("o"));
    daemon.wait_for_plugin("zz", |row| text(row, "/state") == "active").await;
    assert_eq!(wait_for_revision(&daemon, "").await, v2);
    daemon.stop().await;
}

#[tokio::test]
async fn incomplete_file_changes_nothing() {
    let (setup, daemon, simulator) = start("").await;
    setup.put_bytes("probe", &probe("v1"));
    let v1 = wait_for_revision(&daemon, "").await;
    let (bytes, path) = (probe("v2"), setup.plugin_file("probe"));
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(first).unwrap();
    file.sync_all().unwrap();
    // Another plugin passes through the same loop, which has therefore seen the incomplete file.
    setup.put_bytes("zz", &probe("o"));
    daemon.wait_for_plugin("zz", |row| text(row, "/state") == "active").await;
    let row = daemon.get("plugins/probe").await;
    assert!(row.get("problem").is_none() && text(&row, "/revision") == v1, "{row}");
    file.write_all(rest).unwrap();
    drop(file);
    let v2 = wait_for_revision(&daemon, &v1).await;
    // A truncated file: reported everywhere, and the earlier revision stays active.
    std::fs::write(&path, first).unwrap();
    let row = daemon.wait_for_plugin("probe", |row| text(row, "/problem/code") == "plugin-corrupt").await;
    assert_eq!((text(&row, "/revision"), text(&row, "/failed_step")), (&*v2, "parse"), "{row}");
    let status = daemon.status().await;
    assert_eq!(text(&status, "/problems/0/code"), "plugin-corrupt", "{status}");
    let (ready, metrics) = (daemon.try_get("/readyz").await.unwrap(), daemon.try_get("/metrics").await.unwrap());
    assert!(ready.status == 200 && ready.text().contains("damaged"), "{}", ready.text());
    assert!(metrics.text().contains("beadle_plugin_reloads_total{result=\"rejected\"} 1"), "{}", metrics.text());
    simulator.say("Ana", "still there?").await;
    simulator.expect_texts("Ana", &["v2: still there?"]).await;
    // A valid file clears the problem.
    setup.put_bytes("probe", &probe("v3"));
    wait_for_revision(&daemon, &v2).await;
    daemon.wait_for_plugin("probe", |row| row.get("problem").is_none()).await;
    daemon.stop().await;
}

#[tokio::test]
async fn last_of_a_thousand_changes_wins() {
    let (setup, daemon, simulator) = start("").await;
    setup.put_bytes("probe", &probe("v1"));
    let v1 = wait_for_revision(&daemon, "").await;
    // Overwritten, renamed over, removed and recreated, next to other files, as fast as possible.
    let path = setup.plugin_file("probe");
    for n in 0..1000 {
        let bytes = probe(&format!("n{n}"));
        match n % 4 {
            0 => std::fs::write(&path, bytes).unwrap(),
            1 => setup.put_bytes("probe", &bytes),
            2 => std::fs::remove_file(&path).and_then(|()| std::fs::write(&path, bytes)).unwrap(),
            _ => std::fs::write(setup.plugins().join(format!("notes-{n}.txt")), "nothing").unwrap(),
        }
    }
    setup.put_bytes("probe", &probe("last"));
    simulator.say("Ana", "one").await;
    let last = revision_of(&probe("last"));
    daemon
        .wait_for_plugin("probe", |row| last.starts_with(text(row, "/revision")) && row.get("problem").is_none())
        .await;
    simulator.say("Ana", "two").await;
    wait_until("the last revision answers", async || {
        simulator.texts("Ana").await.iter().any(|text| text == "last: two").then_some(())
    })
    .await;
    assert_ne!(text(&daemon.get("plugins/probe").await, "/revision"), v1);
    assert_eq!((daemon.status_count("dead_letters").await, simulator.texts("Ana").await.len()), (0, 2));
    daemon.stop().await;
}

/// Packages switch versions by changing the target of a link.
#[tokio::test]
async fn changed_target_of_a_link_is_loaded() {
    let (setup, daemon, _simulator) = start("").await;
    let path = setup.plugin_file("probe");
    let (aside, there) = (setup.conf_d().join("probe-5.wasm"), setup.conf_d().join("probe-6.wasm"));
    std::fs::write(&aside, probe("v5")).and_then(|()| std::fs::write(&there, probe("v6"))).unwrap();
    for (leads_to, tag) in [(&aside, "v5"), (&there, "v6")] {
        let link = setup.plugins().join(".link");
        std::os::unix::fs::symlink(leads_to, &link).and_then(|()| std::fs::rename(&link, &path)).unwrap();
        let wanted = revision_of(&probe(tag));
        daemon.wait_for_plugin("probe", |row| wanted.starts_with(text(row, "/revision"))).await;
    }
    daemon.stop().await;
}

#[tokio::test]
async fn polling_finds_changes_that_are_not_reported() {
    let (setup, daemon, _simulator) = start("[daemon]\npoll_interval = \"1s\"").await;
    // The link's target is in a folder that is not watched, as on a network file system.
    let there = setup.conf_d().with_file_name("elsewhere.wasm");
    std::fs::write(&there, probe("v1")).unwrap();
    std::os::unix::fs::symlink(&there, setup.plugin_file("probe")).unwrap();
    let v1 = wait_for_revision(&daemon, "").await;
    std::fs::write(&there, probe("v2")).unwrap();
    wait_for_revision(&daemon, &v1).await;
    daemon.stop().await;
}

#[tokio::test]
async fn revision_that_cannot_be_read_or_saved_changes_nothing() {
    let (setup, daemon, simulator) = start("[daemon]\npoll_interval = \"1s\"").await;
    setup.put_bytes("probe", &probe("v2"));
    let v2 = wait_for_revision(&daemon, "").await;
    // A file whose reading fails.
    let link = setup.plugins().join(".link");
    std::os::unix::fs::symlink("/proc/self/mem", &link)
        .and_then(|()| std::fs::rename(&link, setup.plugin_file("probe")))
        .unwrap();
    let refused = async |code: &str, step: &str| {
        let row = daemon.wait_for_plugin("probe", |row| text(row, "/problem/code") == code).await;
        assert_eq!((text(&row, "/revision"), text(&row, "/failed_step")), (&*v2, step), "{row}");
    };
    refused("plugin-unreadable", "read").await;
    // The data folder cannot keep the revision; when it can again, the revision takes over.
    let (kept, aside) = (setup.data().join("revisions"), setup.data().join("revisions-aside"));
    std::fs::rename(&kept, &aside).and_then(|()| std::fs::write(&kept, "a file")).unwrap();
    std::fs::remove_file(setup.plugin_file("probe")).unwrap();
    setup.put_bytes("probe", &probe("v3"));
    refused("revision-not-saved", "save").await;
    simulator.say("Ana", "still there?").await;
    simulator.expect_texts("Ana", &["v2: still there?"]).await;
    std::fs::remove_file(&kept).and_then(|()| std::fs::rename(&aside, &kept)).unwrap();
    let v3 = wait_for_revision(&daemon, &v2).await;
    assert!(revision_of(&probe("v3")).starts_with(&v3));
    daemon.stop().await;
}

#[tokio::test]
async fn removed_plugin_resumes_with_its_state_until_purged() {
    let address = SimulatorAddress::reserve();
    let counting = "[plugins.probe]\nsettings = { reply = \": \", count = true }";
    let setup = Setup::new(&address.url()).toml(counting);
    setup.put_bytes("probe", &probe("v1"));
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    simulator.say("Ana", "hello").await;
    simulator.expect_texts("Ana", &["v1: 1 hello"]).await;
    // Removed and rewritten at once, as some tools do: the plugin was never absent.
    std::fs::remove_file(setup.plugin_file("probe")).unwrap();
    setup.put_bytes("probe", &probe("v2"));
    let v1 = wait_for_revision(&daemon, "").await;
    if text(&daemon.get("plugins/probe").await, "/revision") == v1 {
        daemon.wait_for_plugin("probe", |row| !text(row, "/earlier_revisions/0").is_empty()).await;
    }
    simulator.say("Ana", "again").await;
    simulator.expect_texts("Ana", &["v1: 1 hello", "v2: 2 again"]).await;
    std::fs::remove_file(setup.plugin_file("probe")).unwrap();
    daemon.wait_for_plugin("probe", |row| text(row, "/problem/code") == "plugin-missing").await;
    simulator.say("Ana", "no plugin gets this").await;
    daemon.wait_until_idle().await;
    setup.put_bytes("probe", &probe("v2"));
    wait_for_revision(&daemon, "").await;
    simulator.say("Ana", "back").await;
    simulator.expect_texts("Ana", &["v1: 1 hello", "v2: 2 again", "v2: 3 back"]).await;
    // Its state is deleted only by an operator's command.
    let present = setup.cli(&["plugins", "purge", "probe"]).await;
    assert!(!present.status.success() && String::from_utf8_lossy(&present.stderr).contains("plugin-not-removed"));
    std::fs::remove_file(setup.plugin_file("probe")).unwrap();
    daemon.wait_for_plugin("probe", |row| text(row, "/problem/code") == "plugin-missing").await;
    let purged = setup.cli(&["plugins", "purge", "probe"]).await;
    assert!(String::from_utf8_lossy(&purged.stdout).contains("1 values"), "{purged:?}");
    setup.put_bytes("probe", &probe("v2"));
    wait_for_revision(&daemon, "").await;
    simulator.say("Ana", "new").await;
    simulator.expect_texts("Ana", &["v1: 1 hello", "v2: 2 again", "v2: 3 back", "v2: 1 new"]).await;
    daemon.stop().await;
}

#[tokio::test]
async fn missing_plugin_folder_keeps_plugins_for_its_grace() {
    let (setup, daemon, simulator) = start("[daemon]\nfolder_grace = \"2s\"").await;
    setup.put_bytes("probe", &probe("v1"));
    let v1 = wait_for_revision(&daemon, "").await;
    let aside = setup.plugins().with_file_name("aside");
    std::fs::rename(setup.plugins(), &aside).unwrap();
    daemon.wait_for_status(|status| status.to_string().contains("plugin-folder-missing")).await;
    simulator.say("Ana", "still there?").await;
    simulator.expect_texts("Ana", &["v1: still there?"]).await;
    // A new folder in its place, as an installation does.
    std::fs::create_dir(setup.plugins()).unwrap();
    setup.put_bytes("probe", &probe("v2"));
    wait_for_revision(&daemon, &v1).await;
    daemon.wait_for_status(|status| !status.to_string().contains("plugin-folder-missing")).await;
    // After the grace its plugins stop.
    std::fs::remove_dir_all(setup.plugins()).unwrap();
    daemon.wait_for_plugin("probe", |row| !matches!(text(row, "/state"), "active" | "probation")).await;
    daemon.stop().await;
}

#[tokio::test]
async fn entry_that_is_no_file_keeps_its_plugin_for_the_grace() {
    let (setup, daemon, simulator) = start("[daemon]\nfolder_grace = \"10m\"").await;
    let (file, elsewhere) = (setup.plugin_file("probe"), setup.plugins().with_file_name("elsewhere"));
    std::fs::create_dir(&elsewhere).unwrap();
    let target = elsewhere.join("probe.wasm");
    std::fs::write(&target, probe("v1")).unwrap();
    std::os::unix::fs::symlink(&target, &file).unwrap();
    wait_for_revision(&daemon, "").await;
    let mut expected = Vec::new();
    let restore = || {
        let _ = std::fs::remove_file(&file).or_else(|_| std::fs::remove_dir(&file));
        std::os::unix::fs::symlink(&target, &file).unwrap();
    };
    for entry in ["dangling link", "folder", "device"] {
        std::fs::remove_file(&file).unwrap();
        match entry {
            "folder" => std::fs::create_dir(&file).unwrap(),
            "device" => std::os::unix::fs::symlink("/dev/zero", &file).unwrap(),
            _ => std::os::unix::fs::symlink(elsewhere.join("away"), &file).unwrap(),
        }
        daemon.wait_for_status(|status| status.to_string().contains("plugin-unreadable")).await;
        simulator.say("Ana", entry).await;
        expected.push(format!("v1: {entry}"));
        simulator.expect_texts("Ana", &expected.iter().map(String::as_str).collect::<Vec<_>>()).await;
        restore();
        daemon.wait_for_status(|status| !status.to_string().contains("plugin-unreadable")).await;
    }
    daemon.stop().await;
}
