//! People write text files into a plugin's folder: what is saved there the plugin can read, and it is told what changed; what
//! cannot be taken leaves all as it was and is named.

use crate::text;
use beadle_e2e::daemon::{Daemon, Setup};
use beadle_e2e::simulator::{Place, Simulator};
use beadle_e2e::until;
use serde_json::Value;
use std::path::{Path, PathBuf};

async fn world() -> (Setup, Daemon, Simulator, PathBuf) {
    let place = Place::new();
    let setup = Setup::new(&place.url()).plugin("hourglass", "documents = \"texts\"");
    let folder = setup.conf_d().with_file_name("texts");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("hello.md"), "hello").unwrap();
    let daemon = setup.start().await;
    let simulator = place.start(&setup).await;
    (setup, daemon, simulator, folder)
}

/// Saves a file as editors do: under another name, then renamed in.
fn save(folder: &Path, name: &str, text: &str) {
    let (aside, there) = (folder.join(".aside"), folder.join(name));
    std::fs::write(&aside, text).and_then(|()| std::fs::rename(&aside, &there)).unwrap();
}

/// Waits until the plugin can read these, as `name` and its size.
async fn listed(daemon: &Daemon, wanted: &[(&str, u64)]) {
    until(&format!("the documents are {wanted:?}"), async || {
        let rows = daemon.all("plugins/hourglass/documents").await;
        let rows: Vec<_> =
            rows.iter().filter_map(|row| Some((text(row, "/name"), row.get("size")?.as_u64()?))).collect();
        (rows == wanted).then_some(())
    })
    .await;
}

/// Waits until this one is not taken, with this in the reason.
async fn refused(daemon: &Daemon, name: &str, why: &str) {
    until(&format!("{name} is not taken: {why}"), async || {
        let rows = daemon.all("plugins/hourglass/documents").await;
        rows.iter().any(|row| text(row, "/name") == name && text(row, "/refused").contains(why)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_saved_is_read_and_told_and_what_is_gone_too() {
    let (_setup, daemon, simulator, folder) = world().await;
    listed(&daemon, &[("hello.md", 5)]).await;
    let shown = daemon.get("plugins/hourglass").await;
    assert_eq!(shown.pointer("/documents/files"), Some(&serde_json::json!(1)), "{shown}");
    // In a folder of its own, and beside an editor's own copy.
    std::fs::create_dir(folder.join("2026")).unwrap();
    save(&folder, "2026/summer.md", "a party");
    std::fs::write(folder.join("hello.md~"), "old").unwrap();
    listed(&daemon, &[("2026/summer.md", 7), ("hello.md", 5)]).await;
    save(&folder, "hello.md", "hello again");
    listed(&daemon, &[("2026/summer.md", 7), ("hello.md", 11)]).await;
    std::fs::remove_file(folder.join("hello.md")).unwrap();
    listed(&daemon, &[("2026/summer.md", 7)]).await;
    daemon.idle().await;
    simulator.say("Ana", "documents").await;
    let news = "+hello.md -;+2026/summer.md -;+hello.md -;+ -hello.md;";
    simulator.got("Ana", &["there: 2026/summer.md=a party"]).await;
    simulator.say("Ana", "news").await;
    simulator.got("Ana", &["there: 2026/summer.md=a party", news]).await;
    daemon.stop().await;
}

#[tokio::test]
async fn what_cannot_be_taken_leaves_all_as_it_was_and_is_named() {
    let (setup, daemon, simulator, folder) = world().await;
    listed(&daemon, &[("hello.md", 5)]).await;
    std::fs::write(folder.join("hello.md"), vec![b'a'; 300 << 10]).unwrap();
    refused(&daemon, "hello.md", "256 KiB").await;
    listed(&daemon, &[("hello.md", 5)]).await;
    std::os::unix::fs::symlink(setup.config(), folder.join("config.md")).unwrap();
    refused(&daemon, "config.md", "leads out of the folder").await;
    let told = |status: &Value| {
        let problems = status.get("problems").and_then(Value::as_array).cloned().unwrap_or_default();
        problems.iter().filter(|it| text(it, "/code") == "document-rejected").count() == 2
    };
    daemon.status_until(told).await;
    // The whole folder is gone: what it held stays, and it is told.
    std::fs::rename(&folder, folder.with_file_name("aside")).unwrap();
    refused(&daemon, "", "cannot be read").await;
    simulator.say("Ana", "documents").await;
    simulator.got("Ana", &["there: hello.md=hello"]).await;
    daemon.stop().await;
}

#[tokio::test]
async fn another_folder_and_a_start_bring_what_is_other() {
    let (setup, daemon, _simulator, folder) = world().await;
    listed(&daemon, &[("hello.md", 5)]).await;
    daemon.kill9().await;
    std::fs::write(folder.join("more.md"), "more").unwrap();
    let daemon = setup.start().await;
    listed(&daemon, &[("hello.md", 5), ("more.md", 4)]).await;
    let other = folder.with_file_name("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("new.md"), "new").unwrap();
    let config = std::fs::read_to_string(setup.config()).unwrap().replace("\"texts\"", "\"other\"");
    std::fs::write(setup.config(), config).unwrap();
    listed(&daemon, &[("new.md", 3)]).await;
    daemon.stop().await;
}
