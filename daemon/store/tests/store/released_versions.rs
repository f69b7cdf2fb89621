//! Databases of all released schema versions, written by `examples/fixture.rs`, open with their
//! content.

use crate::env::*;
use beadle_model::{AliasKind, ContactId, EventId, MessageId, PluginNo, Scope};
use beadle_store::step::*;
use beadle_store::{DeadLetterRef, Store};

#[tokio::test]
async fn version_1_opens_with_its_content() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/v1.db");
    std::fs::copy(fixture, dir.path().join("beadle.db")).unwrap();
    let (clock, _manual) = beadle_clock::Clock::manual(NOW);
    let store = Store::open(config(dir.path(), &clock)).unwrap();
    let reader = store.reader();
    assert_eq!(store.fence(), Fence(2));
    let plugin = store.plugin_no("welcome").await.unwrap();
    assert_eq!(plugin, PluginNo(1));

    let ana = reader.contact_by_alias(&alias(AliasKind::Phone, "31600000001")).unwrap().unwrap();
    assert_eq!((ana, reader.contact(ana).unwrap().unwrap().member_since), (ContactId(1), Some(NOW)));
    let stopped = reader.contact_by_alias(&user("NL.31600000002")).unwrap().unwrap();
    assert_eq!(reader.contact(stopped).unwrap().unwrap().opted_out_since, Some(NOW));

    let state_no = reader.state_of(plugin).unwrap();
    let state = |scope, key| reader.state_get(state_no, scope, key, NOW).unwrap().unwrap().0;
    assert_eq!(state(Scope::Contact(ana), "greeted"), b"yes");
    assert_eq!(state(Scope::Plugin, "greetings"), b"7");

    let reply = reader.message_details(MessageId(2)).unwrap().unwrap();
    assert_eq!((reply.platform.as_deref(), reply.read_at), (Some("wamid.out"), Some(NOW)));
    let letters = ["msg_3", "hnd_1.1"].map(|id| id.parse::<DeadLetterRef>().unwrap());
    assert!(letters.iter().all(|letter| reader.dead_letter(*letter).unwrap().is_some()));
    assert_eq!(due_sends(&reader, NOW, 10).len(), 1, "the answer to STOP");

    assert_eq!(ids(&drain(&mut store.feed().unwrap(), 10).await), [3]);
    assert_eq!(reader.event_details(EventId(3)).unwrap().unwrap().handlings[0].state, "failing");
    assert_eq!(store.fire_timers(NOW, 10).await.unwrap(), (1, None));
    let digest = reader.schedule_no("digest").unwrap().unwrap();
    let missed = &reader.firings(digest, None, 9).unwrap()[0];
    assert_eq!((missed.planned_at, missed.moments, missed.zone.as_str()), (NOW, 3, "Europe/Amsterdam"));
    let again = Batch { events: vec![from("31600000001", "new")], ..Batch::default() };
    assert_eq!(store.append(again).await.unwrap().events, 1);
}
