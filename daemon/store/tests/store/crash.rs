//! A process that is killed: everything that it acknowledged is there, whole and once.

use crate::env::*;
use beadle_model::{EventId, PluginNo};
use beadle_store::Store;
use beadle_store::step::*;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// Set for the process that will be killed: its directory.
const CHILD: &str = "BEADLE_STORE_TEST_CHILD";

/// Appends, replies and settles, and prints each acknowledged step, until it is killed.
async fn work_until_killed(dir: &Path) {
    let store = Store::open(config(dir, &beadle_clock::Clock::real())).unwrap();
    let mut feed = store.feed().unwrap();
    let mut out = std::io::stdout();
    for n in 0.. {
        // Distinct from the events of the previous process.
        let id = format!("{}.{n}", std::process::id());
        store.append(Batch { events: vec![from("31600000001", &id)], ..Batch::default() }).await.unwrap();
        writeln!(out, "appended {id}").unwrap();
        for fed in feed.next(10).await {
            let (event, message) = (fed.event, store.reserve_message());
            let sends = vec![new_send(message, event.conversation.as_ref().unwrap().id, SendState::Sending, NOW)];
            let commit = Commit {
                sends,
                ..Commit::empty(store.fence(), PluginNo(1), beadle_model::StateNo(1), NOW, progress(event.id, 1, 1))
            };
            store.commit(commit).await.unwrap();
            writeln!(out, "committed {} {}", event.id.0, message.0).unwrap();
            let outcome = SendOutcome::Accepted(Some(format!("wamid.{}", message.0)));
            store
                .settle(vec![Settlement { message, outcome, at: NOW, gate: None }], Interest::default())
                .await
                .unwrap();
            writeln!(out, "settled {}", message.0).unwrap();
        }
    }
}

#[tokio::test]
async fn acknowledged_steps_survive_a_kill() {
    if let Ok(dir) = std::env::var(CHILD) {
        return work_until_killed(Path::new(&dir)).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let (mut appended, mut settled, mut committed) = (vec![], vec![], vec![]);
    for lines in [3, 40, 117] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::acknowledged_steps_survive_a_kill", "--nocapture"])
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
        let lines_read: Vec<String> =
            out.by_ref().map(Result::unwrap).filter(|line| line.contains("ed ")).take(lines).collect();
        child.kill().unwrap();
        child.wait().unwrap();
        // What was printed before the kill counts too.
        for line in lines_read.into_iter().chain(out.map_while(Result::ok)) {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["appended", n] => appended.push(n.to_owned()),
                ["committed", event, message] => committed.push((event.to_owned(), message.to_owned())),
                ["settled", message] => settled.push(message.to_owned()),
                _ => {}
            }
        }
        check(dir.path(), &appended, &committed, &settled).await;
    }
    assert!(appended.len() > 30 && settled.len() > 30);
}

async fn check(dir: &Path, appended: &[String], committed: &[(String, String)], settled: &[String]) {
    let store = Store::open(config(dir, &beadle_clock::Clock::real())).unwrap();
    let reader = store.reader();
    for id in appended {
        let events = vec![from("31600000001", id)];
        assert_eq!(store.append(Batch { events, ..Batch::default() }).await.unwrap().duplicates, 1, "{id}");
    }
    let open: Vec<i64> = ids(&drain(&mut store.feed().unwrap(), 100).await);
    for (event, message) in committed {
        let event = EventId(event.parse().unwrap());
        assert!(!open.contains(&event.0));
        let details = reader.message_details(format!("msg_{message}").parse().unwrap()).unwrap().unwrap();
        assert_eq!(details.row.event, Some(event));
        assert_eq!(details.row.state == SendState::Accepted, details.platform.is_some());
    }
    for message in settled {
        let details = reader.message_details(format!("msg_{message}").parse().unwrap()).unwrap().unwrap();
        assert_eq!(details.row.state, SendState::Accepted);
    }
    // Each event was committed whole or not at all.
    for row in reader.outbox_sending().unwrap() {
        assert!(!open.contains(&row.event.unwrap().0));
    }
    store.close();
}
