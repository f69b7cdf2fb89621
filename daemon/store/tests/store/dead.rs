//! Dead letters, and what a person is told about them and everything else.

use crate::house::*;
use beadle_model::{ContactId, EventId, HandlingId, MessageId, PluginNo, Timestamp, WebhookId};
use beadle_store::shown::{DeadFilter, EventFilter, EventState, OutboxFilter, Trace};
use beadle_store::step::*;
use beadle_store::{DeadRef, Retried, StoreError};

const PLUGIN: PluginNo = PluginNo(1);

async fn bury(house: &House, event: EventId, at: Timestamp) -> DeadRef {
    let burial = SetAside {
        fence: house.store.fence(),
        plugin: PLUGIN,
        how: Aside::Dead,
        attempts: 3,
        code: "trap".into(),
        error: "unreachable".into(),
        at,
        progress: Progress { done: 1, ..progress(event, 1, 0b11) },
    };
    house.store.set_aside(burial).await.unwrap();
    DeadRef::Handling(HandlingId { event, plugin: PLUGIN })
}

#[tokio::test]
async fn a_buried_handling_is_tried_again_until_it_is_committed() {
    let house = House::new();
    let roster = house.store.roster(vec![PLUGIN, PluginNo(2)]).await.unwrap();
    let event = house.said(from("31600000001", "wamid.in")).await;
    let letter = bury(&house, event.id, NOW).await;
    assert_eq!((letter.to_string().as_str(), letter.to_string().parse()), ("hnd_2.1", Ok(letter)));
    let shown = house.reader.dead_shown(letter).unwrap().unwrap();
    assert_eq!((shown.attempts, shown.code.as_str(), shown.ending, shown.retried_at), (3, "trap", None, None));

    // Somebody else answers meanwhile, and the letter knows.
    let answered = Progress { roster, ending: CLAIMED, ..progress(event.id, 0b10, 0b11) };
    house.store.commit(Commit { progress: answered, ..house.commit(event.id, PluginNo(2)) }).await.unwrap();
    assert_eq!(house.reader.event_shown(event.id).unwrap().unwrap().row.state, EventState::Finished);
    let retried = house.store.dead_retry(letter, NOW).await.unwrap();
    let Retried::Handling { event: again, plugin, ending } = retried else { panic!("{retried:?}") };
    assert_eq!((&*again, plugin, ending), (&event, PLUGIN, CLAIMED));

    // It fails once more, after a crash even; then it goes well.
    let house = house.crashed();
    assert_eq!(house.reader.dead_shown(letter).unwrap().unwrap().retried_at, Some(NOW));
    bury(&house, event.id, NOW.plus_ms(1)).await;
    assert_eq!(house.reader.dead_shown(letter).unwrap().unwrap().retried_at, None);
    house.store.dead_retry(letter, NOW).await.unwrap();
    let late = Progress { roster: 99, ..progress(event.id, 1, 1) };
    house.store.commit(Commit { progress: late, ..house.commit(event.id, PLUGIN) }).await.unwrap();
    assert_eq!((house.reader.dead_shown(letter).unwrap(), house.reader.counts().unwrap().dead), (None, 0));
    assert_eq!(house.reader.event_shown(event.id).unwrap().unwrap().handlings[0].state, "done");
}

#[tokio::test]
async fn a_message_in_doubt_is_queued_again_or_dropped() {
    let house = House::new();
    let event = house.said(from("31600000001", "wamid.in")).await;
    for (code, twice) in [("outcome-unknown", true), ("given-up", false)] {
        let message = house.send(&event, PLUGIN, SendState::Sending).await;
        house.settle(message, Outcome::Dead(problem(code))).await;
        let letter = DeadRef::Message(message);
        assert_eq!(house.reader.dead(&DeadFilter { plugin: Some(PLUGIN), most: 10 }).unwrap()[0].of, letter);
        house.hand.advance_ms(1000);
        let retried = house.store.dead_retry(letter, house.clock.now()).await.unwrap();
        let Retried::Send(row) = retried else { panic!("{retried:?}") };
        assert_eq!((row.state, row.due_at, row.maybe_twice), (SendState::Queued, house.clock.now(), twice));
        assert_eq!(house.reader.outbox_due(house.clock.now(), 10).unwrap(), [*row]);
        assert!(matches!(house.store.dead_retry(letter, NOW).await, Err(StoreError::NotFound { .. })));
        house.store.claim_sends(vec![message]).await.unwrap();
        house.settle(message, Outcome::Dead(problem(code))).await;
        house.store.dead_drop(letter).await.unwrap();
        assert_eq!((house.state_of(message), house.reader.counts().unwrap().dead), (SendState::Dropped, 0));
    }
}

#[tokio::test]
async fn a_letter_that_is_not_there_is_not_found() {
    let house = House::new();
    for letter in ["hnd_7.1", "msg_7"] {
        let letter: DeadRef = letter.parse().unwrap();
        assert!(matches!(house.store.dead_retry(letter, NOW).await, Err(StoreError::NotFound { .. })));
        let error = house.store.dead_drop(letter).await.unwrap_err();
        assert_eq!(error.to_string(), format!("there is no dead letter {letter}"));
    }
    let event = house.said(from("31600000001", "wamid.in")).await;
    let letter = bury(&house, event.id, NOW).await;
    house.store.dead_drop(letter).await.unwrap();
    assert!(house.reader.dead(&DeadFilter { most: 10, plugin: None }).unwrap().is_empty());
}

#[tokio::test]
async fn any_id_says_what_became_of_it() {
    let house = House::new();
    let event = house.said(from("31600000001", "wamid.in")).await;
    let reply = house.send(&event, PLUGIN, SendState::Sending).await;
    house.settle(reply, Outcome::Accepted(Some("wamid.out".into()))).await;
    house.receipt(reply, "delivered").await;
    for id in ["evt_2", "hnd_2.1", "wamid.in"] {
        let Some(Trace::Event(shown)) = house.reader.trace(id).unwrap() else { panic!("{id}") };
        assert_eq!((shown.row.id, &shown.body), (event.id, &event.body), "{id}");
        assert_eq!((shown.sends.len(), shown.sends[0].row.message), (1, reply), "{id}");
    }
    for id in ["msg_1", "wamid.out"] {
        let Some(Trace::Message { message, event: of }) = house.reader.trace(id).unwrap() else { panic!("{id}") };
        assert_eq!((message.row.message, message.delivered_at, of.unwrap().row.id), (reply, Some(NOW), event.id));
    }
    for id in ["evt_99", "msg_99", "hnd_99.1", "wamid.unknown", "con_9", ""] {
        assert_eq!(house.reader.trace(id).unwrap(), None, "{id}");
    }
    let Some(Trace::Contact(contact)) = house.reader.trace("con_1").unwrap() else { panic!() };
    assert_eq!((contact.contact.id, contact.aliases.len(), contact.conversations.len()), (ContactId(1), 2, 1));
    let json = serde_json::to_value(house.reader.trace("msg_1").unwrap()).unwrap();
    assert_eq!((&json["kind"], &json["message"]["row"]["message"]), (&"message".into(), &"msg_1".into()));
}

#[tokio::test]
async fn listings_are_filtered_newest_first_page_by_page() {
    let house = House::new();
    for n in 0..6 {
        house.append(vec![from(&format!("3160000000{}", n % 2), &format!("m{n}"))]).await;
    }
    let ids =
        |filter: EventFilter| house.reader.events(&filter).unwrap().iter().map(|row| row.id.0).collect::<Vec<_>>();
    let all = EventFilter { most: 100, ..EventFilter::default() };
    assert_eq!(ids(all.clone()), [8, 7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(ids(EventFilter { most: 3, before: Some(EventId(6)), ..all.clone() }), [5, 4, 3]);
    let joined = Some(beadle_model::EventKind::MemberJoined);
    assert_eq!(ids(EventFilter { kind: joined, ..all.clone() }), [3, 1]);
    assert_eq!(ids(EventFilter { contact: Some(beadle_model::ContactId(2)), ..all.clone() }), [8, 6, 4, 3]);
    let conversation = Some(beadle_model::ConversationId(1));
    assert_eq!(ids(EventFilter { conversation, ..all.clone() }), [7, 5, 2, 1]);
    house.store.finish(progress(EventId(7), 0, 0), house.store.fence()).await.unwrap();
    assert_eq!(ids(EventFilter { state: Some(EventState::Finished), ..all }), [7]);
    assert_eq!(house.reader.events_after(EventId(6), 100).unwrap().len(), 2);

    let event = house.reader.event(EventId(8)).unwrap().unwrap();
    for (plugin, state) in [(1, SendState::Queued), (2, SendState::Sending), (1, SendState::Sending)] {
        house.send(&event, PluginNo(plugin), state).await;
    }
    let sends = |filter: OutboxFilter| {
        let rows = house.reader.outbox(&OutboxFilter { most: 10, ..filter }).unwrap();
        rows.iter().map(|shown| shown.row.message.0).collect::<Vec<_>>()
    };
    assert_eq!(sends(OutboxFilter::default()), [3, 2, 1]);
    assert_eq!(sends(OutboxFilter { before: Some(MessageId(3)), ..Default::default() }), [2, 1]);
    assert_eq!(sends(OutboxFilter { state: Some(SendState::Sending), ..Default::default() }), [3, 2]);
    assert_eq!(sends(OutboxFilter { plugin: Some(PluginNo(1)), ..Default::default() }), [3, 1]);
    assert_eq!(sends(OutboxFilter { conversation, ..Default::default() }), Vec::<i64>::new());
}

fn letter(app: &str, body: &[u8]) -> NewLetter {
    NewLetter { app: app.into(), code: "webhook-unreadable".into(), error: "it is no JSON".into(), body: body.to_vec() }
}

async fn kept(house: &House, letters: Vec<NewLetter>) -> Vec<WebhookId> {
    house.store.append(Batch { letters, ..Batch::default() }).await.unwrap().letters
}

fn all_dead(house: &House) -> Vec<String> {
    let all = house.reader.dead(&DeadFilter { plugin: None, most: 1000 }).unwrap();
    all.iter().map(|letter| letter.of.to_string()).collect()
}

#[tokio::test]
async fn a_webhook_that_is_not_understood_is_kept_once_until_it_is() {
    let house = House::new();
    let event = house.said(from("31600000001", "wamid.in")).await;
    bury(&house, event.id, NOW.plus_ms(-1)).await;
    // The same bytes for another app are another letter.
    assert_eq!(kept(&house, vec![letter("main", b"\xffhello"), letter("other", b"\xffhello")]).await.len(), 2);
    assert_eq!(kept(&house, vec![letter("main", b"\xffhello")]).await, []);
    assert_eq!(
        (all_dead(&house).as_slice(), house.reader.counts().unwrap().dead),
        (&["whk_2".into(), "whk_1".into(), "hnd_2.1".into()][..], 3)
    );
    let of: DeadRef = "whk_1".parse().unwrap();
    let shown = house.reader.dead_shown(of).unwrap().unwrap();
    let webhook = shown.webhook.unwrap();
    assert_eq!(
        (shown.attempts, shown.code.as_str(), webhook.app.as_str(), webhook.bytes),
        (2, "webhook-unreadable", "main", 6)
    );
    let only_of_the_plugin = house.reader.dead(&DeadFilter { plugin: Some(PLUGIN), most: 10 }).unwrap();
    assert_eq!(only_of_the_plugin.len(), 1);

    let house = house.reopen();
    let Retried::Webhook(again) = house.store.dead_retry(of, NOW).await.unwrap() else { panic!() };
    assert_eq!((again.body.as_slice(), again.received_at), (&b"\xffhello"[..], NOW));
    assert_eq!(house.reader.dead_shown(of).unwrap().unwrap().retried_at, Some(NOW));
    // What came of it and its end are one step.
    let events = vec![from("31600000002", "wamid.found")];
    let Retried::Webhook(again) = house.store.dead_retry(of, NOW).await.unwrap() else { panic!() };
    house.store.append(Batch { events, read_from: Some(again.id), ..Batch::default() }).await.unwrap();
    assert_eq!(all_dead(&house), ["whk_2", "hnd_2.1"]);
    house.store.dead_drop("whk_2".parse().unwrap()).await.unwrap();
    assert!(matches!(house.store.dead_drop(of).await, Err(StoreError::NotFound { .. })));
    // A number is not given twice.
    assert_eq!(kept(&house, vec![letter("main", b"?")]).await, [WebhookId(3)]);
}

#[tokio::test]
async fn there_is_room_for_some_letters_and_the_oldest_go() {
    let house = House::new();
    let large = |n: u8| letter("main", &vec![n; 3 << 20]);
    for n in 0..25 {
        kept(&house, vec![large(n)]).await;
    }
    // 64 MiB hold twenty-one of three.
    assert_eq!((all_dead(&house).len(), house.store.health().letters_dropped), (21, 4));
    let small = (0..1100_u32).map(|n| letter("main", &n.to_le_bytes())).collect();
    assert_eq!(kept(&house, small).await.len(), 1100);
    assert_eq!(all_dead(&house).len(), 1000);
    assert_eq!(all_dead(&house).last().map(String::as_str), Some("whk_126"));
    house.hand.advance_ms(91 * DAY);
    house.store.retain(Default::default(), house.clock.now()).await.unwrap();
    house.store.retain(Default::default(), house.clock.now()).await.unwrap();
    assert_eq!(all_dead(&house), Vec::<String>::new());
}
