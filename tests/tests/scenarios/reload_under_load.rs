//! A new revision every 200 ms under load: nothing is lost, duplicated or reordered.

use crate::{UNPACED, text, without_count};
use beadle_test_support::daemon::Setup;
use beadle_test_support::program::probe;
use beadle_test_support::simulator::{SimulatorAddress, text_of};
use beadle_test_support::wait_until;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

const PEOPLE: u64 = 10;
const MESSAGES: u64 = 3000;
const PER_SECOND: f64 = 500.0;
const EVERY: Duration = Duration::from_millis(200);

#[tokio::test]
async fn reloads_under_load_keep_every_message_once_and_in_order() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).probe("probe", "reply = \" \", count = true", "").toml(UNPACED);
    setup.put_bytes("probe", &probe("r0"));
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    let reloads = async {
        let mut every = tokio::time::interval(EVERY);
        for n in 1.. {
            every.tick().await;
            setup.put_bytes("probe", &probe(&format!("r{n}")));
        }
    };
    let load = async {
        simulator.flood(PEOPLE, MESSAGES, PER_SECOND, "n").await;
        simulator.wait_for_written(MESSAGES).await;
    };
    tokio::select! {
        () = load => {}
        () = reloads => {}
    }
    wait_until("everyone has an answer", async || {
        (simulator.messages(None).await.len() as u64 >= MESSAGES).then_some(())
    })
    .await;
    daemon.wait_until_idle().await;
    // The texts of each conversation, in the order of the inbox.
    let mut events = daemon.list_all("events?kind=message").await;
    events.reverse();
    let mut expected: BTreeMap<String, VecDeque<String>> = BTreeMap::new();
    for event in &events {
        expected.entry(text(event, "/name").to_owned()).or_default().push_back(text(event, "/summary").to_owned());
    }
    // Replies are "r7 12 n 345": revision, count of the conversation, text.
    let (mut texts, mut revisions) = (BTreeSet::new(), BTreeSet::new());
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for message in &simulator.messages(None).await {
        let reply = text_of(message).unwrap_or_default();
        let (revision, rest) = reply.split_once(' ').unwrap_or_default();
        let answered = without_count(rest);
        assert!(texts.insert(answered.clone()), "answered twice: {reply}");
        revisions.insert(revision.to_owned());
        // Counted without gaps, and answered in the order of the inbox.
        let count = counts.entry(text(message, "/person").to_owned()).or_default();
        *count += 1;
        assert!(rest.starts_with(&format!("{count} ")), "{reply} is not number {count}");
        let whose = expected.values_mut().find(|texts| texts.front() == Some(&answered));
        assert!(whose.is_some_and(|texts| texts.pop_front().is_some()), "{reply} is out of order");
    }
    assert_eq!((texts.len() as u64, counts.len() as u64), (MESSAGES, PEOPLE));
    assert!(revisions.len() > 3, "only {revisions:?} answered");
    assert_eq!(daemon.status_count("dead_letters").await, 0);
    let row = daemon.get("plugins/probe").await;
    assert!(row.get("problem").is_none() && text(&row, "/state") != "broken", "{row}");
    daemon.stop().await;
}
