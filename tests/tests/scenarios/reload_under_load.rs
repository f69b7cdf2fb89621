//! A new revision every 200 ms while messages pour in: nothing lost, nothing doubled, nothing out of its order.

use crate::{UNPACED, text, uncounted};
use beadle_e2e::daemon::Setup;
use beadle_e2e::program::probe;
use beadle_e2e::simulator::{Place, text_of};
use beadle_e2e::until;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

const PEOPLE: u64 = 10;
const MESSAGES: u64 = 3000;
const PER_SECOND: f64 = 500.0;
const EVERY: Duration = Duration::from_millis(200);

#[tokio::test]
async fn nothing_is_lost_doubled_or_out_of_order() {
    let place = Place::new();
    let setup = Setup::new(&place.url()).probe("probe", "reply = \" \", count = true", "").toml(UNPACED);
    setup.put_bytes("probe", &probe("r0"));
    let daemon = setup.start().await;
    let simulator = place.start(&setup).await;
    let reloads = async {
        let mut every = tokio::time::interval(EVERY);
        for n in 1.. {
            every.tick().await;
            setup.put_bytes("probe", &probe(&format!("r{n}")));
        }
    };
    let load = async {
        simulator.flood(PEOPLE, MESSAGES, PER_SECOND, "n").await;
        simulator.said(MESSAGES).await;
    };
    tokio::select! {
        () = load => {}
        () = reloads => {}
    }
    until("everyone has an answer", async || (simulator.messages(None).await.len() as u64 >= MESSAGES).then_some(()))
        .await;
    daemon.idle().await;
    // What each conversation said, in the order of the inbox.
    let mut events = daemon.all("events?kind=message").await;
    events.reverse();
    let mut said: BTreeMap<String, VecDeque<String>> = BTreeMap::new();
    for event in &events {
        said.entry(text(event, "/name").to_owned()).or_default().push_back(text(event, "/summary").to_owned());
    }
    // "r7 12 n 345": the revision, how many this conversation had, what was said.
    let (mut texts, mut revisions) = (BTreeSet::new(), BTreeSet::new());
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for message in &simulator.messages(None).await {
        let reply = text_of(message).unwrap_or_default();
        let (revision, rest) = reply.split_once(' ').unwrap_or_default();
        let answered = uncounted(rest);
        assert!(texts.insert(answered.clone()), "answered twice: {reply}");
        revisions.insert(revision.to_owned());
        // Counted one by one, and answered in the order in which it was said.
        let count = counts.entry(text(message, "/person").to_owned()).or_default();
        *count += 1;
        assert!(rest.starts_with(&format!("{count} ")), "{reply} is not number {count}");
        let whose = said.values_mut().find(|texts| texts.front() == Some(&answered));
        assert!(whose.is_some_and(|texts| texts.pop_front().is_some()), "{reply} is out of its order");
    }
    assert_eq!((texts.len() as u64, counts.len() as u64), (MESSAGES, PEOPLE));
    assert!(revisions.len() > 3, "only {revisions:?} answered");
    assert_eq!(daemon.count("dead-letters").await, 0);
    let row = daemon.get("plugins/probe").await;
    assert!(row.get("problem").is_none() && text(&row, "/state") != "broken", "{row}");
    daemon.stop().await;
}
