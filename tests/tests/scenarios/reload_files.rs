//! Files in the plugin folder come, change and go while everything runs: what is whole takes over, what is not changes
//! nothing, what is gone is gone after a moment.

use crate::text;
use beadle_e2e::daemon::{Daemon, Setup};
use beadle_e2e::program::{probe, revision_of};
use beadle_e2e::simulator::{Place, Simulator};
use beadle_e2e::until;
use std::io::Write as _;

const PROBE: &str = "[plugins.probe]\nsettings = { reply = \": \" }";

async fn started(conf: &str) -> (Setup, Daemon, Simulator) {
    let place = Place::new();
    let setup = Setup::new(&place.url()).toml(PROBE);
    setup.put_conf("10-more", conf);
    let daemon = setup.start().await;
    let simulator = place.start(&setup).await;
    (setup, daemon, simulator)
}

/// Waits until this revision serves: its answer says so.
async fn serves(daemon: &Daemon, before: &str) -> String {
    let row = daemon.plugin_until("probe", |row| {
        matches!(text(row, "/state"), "active" | "probation") && text(row, "/revision") != before
    });
    text(&row.await, "/revision").to_owned()
}

#[tokio::test]
async fn a_file_that_is_dropped_in_runs_and_one_over_it_takes_over() {
    let (setup, daemon, simulator) = started("").await;
    daemon.plugin_until("probe", |row| text(row, "/problem/code") == "plugin-missing").await;
    setup.put_bytes("probe", &probe("v1"));
    let v1 = serves(&daemon, "").await;
    simulator.say("Ana", "one").await;
    simulator.got("Ana", &["v1: one"]).await;
    // Written over in place, as `cp` does.
    std::fs::write(setup.plugin_file("probe"), probe("v2")).unwrap();
    let v2 = serves(&daemon, &v1).await;
    simulator.say("Ana", "two").await;
    simulator.got("Ana", &["v1: one", "v2: two"]).await;
    // The same bytes again, and an older time: nothing to do, and nothing is done.
    setup.put_bytes("probe", &probe("v2"));
    setup.put_bytes("zz", &probe("o"));
    daemon.plugin_until("zz", |row| text(row, "/state") == "active").await;
    assert_eq!(serves(&daemon, "").await, v2);
    daemon.stop().await;
}

#[tokio::test]
async fn a_slow_copy_is_waited_for_and_half_a_file_changes_nothing() {
    let (setup, daemon, simulator) = started("").await;
    setup.put_bytes("probe", &probe("v1"));
    let v1 = serves(&daemon, "").await;
    let (bytes, path) = (probe("v2"), setup.plugin_file("probe"));
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(first).unwrap();
    file.sync_all().unwrap();
    // Something else comes and goes through the same loop, which so has seen the half of it.
    setup.put_bytes("zz", &probe("o"));
    daemon.plugin_until("zz", |row| text(row, "/state") == "active").await;
    let row = daemon.get("plugins/probe").await;
    assert!(row.get("problem").is_none() && text(&row, "/revision") == v1, "{row}");
    file.write_all(rest).unwrap();
    drop(file);
    let v2 = serves(&daemon, &v1).await;
    // A copy that broke off: told everywhere, and the one before it goes on.
    std::fs::write(&path, first).unwrap();
    let row = daemon.plugin_until("probe", |row| text(row, "/problem/code") == "plugin-corrupt").await;
    assert_eq!((text(&row, "/revision"), text(&row, "/refused_at")), (&*v2, "parse"), "{row}");
    let status = daemon.status().await;
    assert_eq!(text(&status, "/problems/0/code"), "plugin-corrupt", "{status}");
    let (ready, metrics) = (daemon.try_get("/readyz").await.unwrap(), daemon.try_get("/metrics").await.unwrap());
    assert!(ready.status == 200 && ready.text().contains("damaged"), "{}", ready.text());
    assert!(metrics.text().contains("beadle_reloads_total{outcome=\"refused\"} 1"), "{}", metrics.text());
    simulator.say("Ana", "still there?").await;
    simulator.got("Ana", &["v2: still there?"]).await;
    // Gone over with a good one it is forgotten.
    setup.put_bytes("probe", &probe("v3"));
    serves(&daemon, &v2).await;
    daemon.plugin_until("probe", |row| row.get("problem").is_none()).await;
    daemon.stop().await;
}

#[tokio::test]
async fn a_thousand_changes_at_once_end_with_the_last_and_what_a_link_leads_to_counts() {
    let (setup, daemon, simulator) = started("").await;
    setup.put_bytes("probe", &probe("v1"));
    let v1 = serves(&daemon, "").await;
    // Written over, renamed over, removed and made again, with other files beside it, as fast as it goes.
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
    daemon.plugin_until("probe", |row| last.starts_with(text(row, "/revision")) && row.get("problem").is_none()).await;
    simulator.say("Ana", "two").await;
    until("the last one answers", async || {
        simulator.texts("Ana").await.iter().any(|text| text == "last: two").then_some(())
    })
    .await;
    assert_ne!(text(&daemon.get("plugins/probe").await, "/revision"), v1);
    assert_eq!((daemon.count("dead-letters").await, simulator.texts("Ana").await.len()), (0, 2));
    // A link, led elsewhere: as packages put versions in place.
    let (aside, there) = (setup.conf_d().join("probe-5.wasm"), setup.conf_d().join("probe-6.wasm"));
    std::fs::write(&aside, probe("v5")).and_then(|()| std::fs::write(&there, probe("v6"))).unwrap();
    for (leads_to, tag) in [(&aside, "v5"), (&there, "v6")] {
        let link = setup.plugins().join(".link");
        std::os::unix::fs::symlink(leads_to, &link).and_then(|()| std::fs::rename(&link, &path)).unwrap();
        let wanted = revision_of(&probe(tag));
        daemon.plugin_until("probe", |row| wanted.starts_with(text(row, "/revision"))).await;
    }
    daemon.stop().await;
}

#[tokio::test]
async fn where_nothing_notifies_it_is_looked_at_and_what_cannot_be_read_or_kept_changes_nothing() {
    let (setup, daemon, simulator) = started("[daemon]\nlook_every = \"1s\"").await;
    // What a link leads to lies in a folder that nobody watches, as on a network file system.
    let there = setup.conf_d().with_file_name("elsewhere.wasm");
    std::fs::write(&there, probe("v1")).unwrap();
    std::os::unix::fs::symlink(&there, setup.plugin_file("probe")).unwrap();
    let v1 = serves(&daemon, "").await;
    std::fs::write(&there, probe("v2")).unwrap();
    let v2 = serves(&daemon, &v1).await;
    // A file that is there and gives an error when it is read.
    let link = setup.plugins().join(".link");
    let lead_to = |target: &str| {
        std::os::unix::fs::symlink(target, &link)
            .and_then(|()| std::fs::rename(&link, setup.plugin_file("probe")))
            .unwrap();
    };
    lead_to("/proc/self/mem");
    let refused = async |code: &str, step: &str| {
        let row = daemon.plugin_until("probe", |row| text(row, "/problem/code") == code).await;
        assert_eq!((text(&row, "/revision"), text(&row, "/refused_at")), (&*v2, step), "{row}");
    };
    refused("plugin-unreadable", "read").await;
    // The data folder does not take the revision; when it does again, it is taken.
    let (kept, aside) = (setup.data().join("revisions"), setup.data().join("revisions-aside"));
    std::fs::rename(&kept, &aside).and_then(|()| std::fs::write(&kept, "a file")).unwrap();
    std::fs::remove_file(setup.plugin_file("probe")).unwrap();
    setup.put_bytes("probe", &probe("v3"));
    refused("revision-not-saved", "keep").await;
    simulator.say("Ana", "still there?").await;
    simulator.got("Ana", &["v2: still there?"]).await;
    std::fs::remove_file(&kept).and_then(|()| std::fs::rename(&aside, &kept)).unwrap();
    let v3 = serves(&daemon, &v2).await;
    assert!(revision_of(&probe("v3")).starts_with(&v3));
    daemon.stop().await;
}

#[tokio::test]
async fn one_that_is_removed_is_gone_and_back_where_it_was_when_it_is_put_back() {
    let place = Place::new();
    let counting = "[plugins.probe]\nsettings = { reply = \": \", count = true }";
    let setup = Setup::new(&place.url()).toml(counting);
    setup.put_bytes("probe", &probe("v1"));
    let daemon = setup.start().await;
    let simulator = place.start(&setup).await;
    simulator.say("Ana", "hello").await;
    simulator.got("Ana", &["v1: 1 hello"]).await;
    // Removed and written anew in a moment, as some tools do it: it never was away.
    std::fs::remove_file(setup.plugin_file("probe")).unwrap();
    setup.put_bytes("probe", &probe("v2"));
    let v1 = serves(&daemon, "").await;
    if text(&daemon.get("plugins/probe").await, "/revision") == v1 {
        daemon.plugin_until("probe", |row| !text(row, "/earlier/0").is_empty()).await;
    }
    simulator.say("Ana", "again").await;
    simulator.got("Ana", &["v1: 1 hello", "v2: 2 again"]).await;
    std::fs::remove_file(setup.plugin_file("probe")).unwrap();
    daemon.plugin_until("probe", |row| text(row, "/problem/code") == "plugin-missing").await;
    simulator.say("Ana", "nobody hears this").await;
    daemon.idle().await;
    setup.put_bytes("probe", &probe("v2"));
    serves(&daemon, "").await;
    simulator.say("Ana", "back").await;
    simulator.got("Ana", &["v1: 1 hello", "v2: 2 again", "v2: 3 back"]).await;
    // Gone for good: what it kept is forgotten when somebody says so, and not before.
    let present = setup.cli(&["plugins", "purge", "probe"]).await;
    assert!(!present.status.success() && String::from_utf8_lossy(&present.stderr).contains("plugin-not-removed"));
    std::fs::remove_file(setup.plugin_file("probe")).unwrap();
    daemon.plugin_until("probe", |row| text(row, "/problem/code") == "plugin-missing").await;
    let purged = setup.cli(&["plugins", "purge", "probe"]).await;
    assert!(String::from_utf8_lossy(&purged.stdout).contains("1 values"), "{purged:?}");
    setup.put_bytes("probe", &probe("v2"));
    serves(&daemon, "").await;
    simulator.say("Ana", "new").await;
    simulator.got("Ana", &["v1: 1 hello", "v2: 2 again", "v2: 3 back", "v2: 1 new"]).await;
    daemon.stop().await;
}

#[tokio::test]
async fn a_folder_that_goes_takes_nobody_with_it_at_once() {
    let (setup, daemon, simulator) = started("[daemon]\nfolder_grace = \"2s\"").await;
    setup.put_bytes("probe", &probe("v1"));
    let v1 = serves(&daemon, "").await;
    let aside = setup.plugins().with_file_name("aside");
    std::fs::rename(setup.plugins(), &aside).unwrap();
    daemon.status_until(|status| status.to_string().contains("plugin-folder-missing")).await;
    simulator.say("Ana", "still there?").await;
    simulator.got("Ana", &["v1: still there?"]).await;
    // Another folder in its place, as an installation does it.
    std::fs::create_dir(setup.plugins()).unwrap();
    setup.put_bytes("probe", &probe("v2"));
    serves(&daemon, &v1).await;
    daemon.status_until(|status| !status.to_string().contains("plugin-folder-missing")).await;
    // Gone for longer than its grace, its plugins are gone too.
    std::fs::remove_dir_all(setup.plugins()).unwrap();
    daemon.plugin_until("probe", |row| !matches!(text(row, "/state"), "active" | "probation")).await;
    daemon.stop().await;
}
