//! Documents: the plugin can read what is saved in its folder and gets one event per change; a file
//! that cannot be taken changes nothing and is reported.

use crate::text;
use beadle_test_support::daemon::{Daemon, Setup};
use beadle_test_support::simulator::{Simulator, SimulatorAddress};
use beadle_test_support::wait_until;
use serde_json::Value;
use std::path::{Path, PathBuf};

async fn world() -> (Setup, Daemon, Simulator, PathBuf) {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).plugin("hourglass", "documents = \"texts\"");
    let folder = setup.conf_d().with_file_name("texts");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("hello.md"), "hello").unwrap();
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    (setup, daemon, simulator, folder)
}

/// Saves a file as editors do: under another name, then renamed in.
fn save(folder: &Path, name: &str, text: &str) {
    let (aside, there) = (folder.join(".aside"), folder.join(name));
    std::fs::write(&aside, text).and_then(|()| std::fs::rename(&aside, &there)).unwrap();
}

/// Waits until exactly these documents, with these sizes, can be read.
async fn wait_for_documents(daemon: &Daemon, wanted: &[(&str, u64)]) {
    wait_until(&format!("the documents are {wanted:?}"), async || {
        let rows = daemon.list_all("plugins/hourglass/documents").await;
        let rows: Vec<_> =
            rows.iter().filter_map(|row| Some((text(row, "/name"), row.get("size")?.as_u64()?))).collect();
        (rows == wanted).then_some(())
    })
    .await;
}

/// Waits until a document is refused with a reason that contains `why`.
async fn wait_for_refusal(daemon: &Daemon, name: &str, reason: &str) {
    wait_until(&format!("{name} is refused: {reason}"), async || {
        let rows = daemon.list_all("plugins/hourglass/documents").await;
        rows.iter().any(|row| text(row, "/name") == name && text(row, "/rejected").contains(reason)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn saved_and_removed_documents_reach_the_plugin() {
    let (_setup, daemon, simulator, folder) = world().await;
    wait_for_documents(&daemon, &[("hello.md", 5)]).await;
    let plugin = daemon.get("plugins/hourglass").await;
    assert_eq!(plugin.pointer("/documents/files"), Some(&serde_json::json!(1)), "{plugin}");
    // In a subfolder, and next to an editor's backup copy.
    std::fs::create_dir(folder.join("2026")).unwrap();
    save(&folder, "2026/summer.md", "a party");
    std::fs::write(folder.join("hello.md~"), "old").unwrap();
    wait_for_documents(&daemon, &[("2026/summer.md", 7), ("hello.md", 5)]).await;
    save(&folder, "hello.md", "hello again");
    wait_for_documents(&daemon, &[("2026/summer.md", 7), ("hello.md", 11)]).await;
    std::fs::remove_file(folder.join("hello.md")).unwrap();
    wait_for_documents(&daemon, &[("2026/summer.md", 7)]).await;
    daemon.wait_until_idle().await;
    simulator.say("Ana", "documents").await;
    let news = "+hello.md -;+2026/summer.md -;+hello.md -;+ -hello.md;";
    simulator.expect_texts("Ana", &["there: 2026/summer.md=a party"]).await;
    simulator.say("Ana", "news").await;
    simulator.expect_texts("Ana", &["there: 2026/summer.md=a party", news]).await;
    daemon.stop().await;
}

#[tokio::test]
async fn refused_documents_keep_the_previous_copy() {
    let (setup, daemon, simulator, folder) = world().await;
    wait_for_documents(&daemon, &[("hello.md", 5)]).await;
    std::fs::write(folder.join("hello.md"), vec![b'a'; 300 << 10]).unwrap();
    wait_for_refusal(&daemon, "hello.md", "256 KiB").await;
    wait_for_documents(&daemon, &[("hello.md", 5)]).await;
    std::os::unix::fs::symlink(setup.config(), folder.join("config.md")).unwrap();
    wait_for_refusal(&daemon, "config.md", "outside the folder").await;
    let are_reported = |status: &Value| {
        let problems = status.get("problems").and_then(Value::as_array).cloned().unwrap_or_default();
        problems.iter().filter(|problem| text(problem, "/code") == "document-rejected").count() == 2
    };
    daemon.wait_for_status(are_reported).await;
    // The whole folder disappears: its copies stay, and it is reported.
    std::fs::rename(&folder, folder.with_file_name("aside")).unwrap();
    wait_for_refusal(&daemon, "", "could not be read").await;
    simulator.say("Ana", "documents").await;
    simulator.expect_texts("Ana", &["there: hello.md=hello"]).await;
    daemon.stop().await;
}

#[tokio::test]
async fn restart_and_another_folder_update_the_documents() {
    let (setup, daemon, _simulator, folder) = world().await;
    wait_for_documents(&daemon, &[("hello.md", 5)]).await;
    daemon.kill9().await;
    std::fs::write(folder.join("more.md"), "more").unwrap();
    let daemon = setup.start().await;
    wait_for_documents(&daemon, &[("hello.md", 5), ("more.md", 4)]).await;
    let other = folder.with_file_name("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("new.md"), "new").unwrap();
    let config = std::fs::read_to_string(setup.config()).unwrap().replace("\"texts\"", "\"other\"");
    std::fs::write(setup.config(), config).unwrap();
    wait_for_documents(&daemon, &[("new.md", 3)]).await;
    daemon.stop().await;
}
