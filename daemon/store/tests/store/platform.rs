//! Other reports of the platform: spellings of numbers, marketing preferences, prices, receipts in
//! groups, and files.

use crate::env::*;
use beadle_model::event::Pricing;
use beadle_model::{Alias, Content, EventBody, PluginNo, Timestamp, content::Media};
use beadle_store::step::*;
use beadle_store::{ContactEdit, FetchOutcome, ImportedContact, MediaState, Retention};

async fn contact_of(env: &TestEnv, id: &str, aliases: Vec<Alias>) -> i64 {
    env.append_one(message(id, sender(aliases), "hi")).await.contact().unwrap().0
}

#[tokio::test]
async fn both_spellings_of_a_number_are_one_contact() {
    let env = TestEnv::new();
    for (n, (one, other)) in
        [("5511987654321", "551187654321"), ("525512345678", "5215512345678"), ("5491123456789", "541123456789")]
            .into_iter()
            .enumerate()
    {
        let person = i64::try_from(n).unwrap() + 1;
        assert_eq!(contact_of(&env, &format!("a{n}"), vec![wa(one)]).await, person);
        assert_eq!(contact_of(&env, &format!("b{n}"), vec![wa(other)]).await, person);
        assert_eq!(env.reader.contact_by_alias(&wa(other)).unwrap().unwrap().0, person);
    }
    // A landline is not the same as a mobile number.
    assert_eq!(contact_of(&env, "c", vec![wa("551133334444")]).await, 4);
    assert_eq!(contact_of(&env, "d", vec![wa("5511933334444")]).await, 5);
}

fn preference(id: &str, change: &str) -> NewEvent {
    let body = EventBody::ContactChanged { change: change.into(), merged: None, extra: serde_json::Value::Null };
    NewEvent { opens_window: false, body, ..message(id, sender(vec![wa("31600000001")]), "") }
}

#[tokio::test]
async fn marketing_preference_is_kept_until_resumed() {
    let env = TestEnv::new();
    for (id, change, stopped) in
        [("a", "marketing-stopped", true), ("b", "identity-changed", true), ("c", "marketing-resumed", false)]
    {
        let event = env.append_one(preference(id, change)).await;
        let contact = env.reader.contact(event.contact().unwrap()).unwrap().unwrap();
        assert_eq!(contact.marketing_stopped_since.is_some(), stopped, "{change}");
        assert_eq!(contact.member_since, None, "who did not write joins nothing");
    }
    assert_eq!(env.reopen().reader.contacts(None, 9).unwrap().len(), 1);
}

#[tokio::test]
async fn contact_changes_are_appended_only_for_subscribers() {
    let env = TestEnv::new();
    let named = |id: &str, number: &str, name: &str| NewEvent {
        placement: Placement::Sender(Sender { name: Some(name.into()), ..sender(vec![wa(number)]) }),
        ..from(number, id)
    };
    let news = async |event: NewEvent, contact_changed: bool| {
        let interest = Interest { contact_changed, ..Interest::default() };
        let before = env.events().len();
        env.store.append(Batch { events: vec![event], interest, ..Batch::default() }).await.unwrap();
        let changes = env.events().split_off(before).into_iter().filter_map(|event| match event.body {
            EventBody::ContactChanged { change, .. } => Some(change),
            _ => None,
        });
        changes.collect::<Vec<_>>()
    };
    assert_eq!(news(named("a", "31600000001", "Ana"), false).await, [""; 0]);
    assert_eq!(news(named("b", "31600000001", "Anna"), false).await, [""; 0]);
    assert_eq!(news(named("c", "31600000001", "Ana"), true).await, ["renamed"]);
    assert_eq!(news(named("d", "31600000001", "Ana"), true).await, [""; 0]);
    assert_eq!(news(named("e", "31600000002", "Bo"), true).await, ["created"]);
}

async fn a_sent_message(env: &TestEnv, group: Option<&str>) -> beadle_model::MessageId {
    let sender = Sender { group: group.map(str::to_owned), ..sender(vec![wa("31600000001")]) };
    let event = env.append_one(message("m", sender, "hi")).await;
    let sent = env.send(&event, PluginNo(1), SendState::Sending).await;
    env.settle(sent, SendOutcome::Accepted(Some(format!("wamid.{}", sent.0)))).await;
    sent
}

#[tokio::test]
async fn first_price_is_kept_and_each_is_reported() {
    let env = TestEnv::new();
    let message = a_sent_message(&env, None).await;
    let priced = |status: &str, category: &str| {
        let pricing = Pricing { category: category.into(), ..Pricing::default() };
        Receipt { pricing: Some(pricing), ..receipt(message, status, NOW) }
    };
    env.receipts(vec![receipt(message, "sent", NOW)], vec![PluginNo(1)]).await;
    env.receipts(vec![priced("delivered", "service"), priced("read", "utility")], vec![PluginNo(1)]).await;
    let categories: Vec<_> = env
        .events()
        .into_iter()
        .filter_map(|event| match event.body {
            EventBody::MessageStatus { pricing, .. } => Some(pricing.map(|pricing| pricing.category)),
            _ => None,
        })
        .collect();
    assert_eq!(categories, [None, Some("service".to_owned()), Some("utility".to_owned())]);
    assert_eq!(number(&env, "SELECT pricing LIKE '%service%' FROM outbox"), 1);
}

#[tokio::test]
async fn group_receipts_move_forward_per_member() {
    let env = TestEnv::new();
    let message = a_sent_message(&env, Some("Y2FwaQZD")).await;
    let receipt_of =
        |status: &str, member: &str| Receipt { participant: vec![wa(member)], ..receipt(message, status, NOW) };
    let events_of = async |receipts: Vec<Receipt>| env.receipts(receipts, vec![PluginNo(1)]).await.events;
    assert_eq!(events_of(vec![receipt(message, "sent", NOW)]).await, 1);
    assert_eq!(
        events_of(vec![receipt_of("delivered", "31600000001"), receipt_of("delivered", "31600000002")]).await,
        2
    );
    assert_eq!(events_of(vec![receipt_of("read", "31600000002"), receipt_of("delivered", "31600000002")]).await, 1);
    assert_eq!(events_of(vec![receipt_of("read", "31600000001")]).await, 1, "the message was read; by them it was not");
    assert_eq!(events_of(vec![receipt_of("read", "31600000001")]).await, 0);
    let members: std::collections::BTreeSet<_> = env
        .events()
        .into_iter()
        .filter_map(|event| match event.body {
            EventBody::MessageStatus { participant, .. } => Some(participant),
            _ => None,
        })
        .collect();
    assert_eq!(members.len(), 3, "no member for `sent`, and the two");
    assert_eq!(number(&env, "SELECT count(*) FROM group_receipts WHERE receipt = 4"), 2);
}

#[tokio::test]
async fn receipt_adds_aliases_of_the_recipient() {
    let env = TestEnv::new();
    let message = a_sent_message(&env, None).await;
    let with_user_id = Receipt { recipient: vec![user("NL.7")], ..receipt(message, "delivered", NOW) };
    env.receipts(vec![with_user_id], vec![]).await;
    assert_eq!(contact_of(&env, "later", vec![user("NL.7")]).await, 1);
}

fn picture(id: &str) -> NewEvent {
    let media = Media { platform: id.into(), mime_type: "image/png".into(), ..Media::default() };
    let mut event = from("31600000001", id);
    if let EventBody::Message { content, .. } = &mut event.body {
        *content = Content::Image(media);
    }
    event
}

#[tokio::test]
async fn file_survives_a_crash_until_its_retention() {
    let env = TestEnv::new();
    let event = env.append_one(picture("a")).await;
    let EventBody::Message { content, .. } = &event.body else { panic!() };
    let id = content.media().unwrap().handle.unwrap();
    let env = env.reopen();
    let (coming, next) = env.reader.media_pending(env.clock.now(), 10).unwrap();
    assert_eq!((coming.len(), coming[0].id, next), (1, id, None));
    let later = env.clock.now().plus_ms(HOUR);
    env.store.settle_media(id, FetchOutcome::Later(later, "busy".into())).await.unwrap();
    assert_eq!(env.reader.media_pending(env.clock.now(), 10).unwrap(), (vec![], Some(later)));
    env.store.files().write(id, b"bytes").unwrap();
    env.store.settle_media(id, FetchOutcome::Stored(5)).await.unwrap();
    let row = env.reader.media(id).unwrap().unwrap();
    assert_eq!((row.state, row.bytes, row.attempts), (MediaState::Stored, Some(5), 2));
    // An id is not reused after its file is deleted.
    let policy = Retention { media_ms: DAY, ..Retention::default() };
    env.manual.advance_ms(DAY + 1);
    assert_eq!(env.store.retain(policy, env.clock.now()).await.unwrap().media, 1);
    assert!(env.reader.media(id).unwrap().is_none());
    assert!(!env.store.files().path(id).exists());
    assert!(env.reopen().store.files().reserve() > id);
}

#[tokio::test]
async fn file_from_the_future_does_not_stop_retention() {
    let env = TestEnv::new();
    let stored = async |name: &str| {
        let event = env.append_one(picture(name)).await;
        let EventBody::Message { content, .. } = &event.body else { panic!() };
        let id = content.media().unwrap().handle.unwrap();
        env.store.settle_media(id, FetchOutcome::Stored(100)).await.unwrap();
        id
    };
    env.manual.advance_ms(3650 * DAY);
    let ahead = stored("ahead").await;
    env.manual.set(NOW);
    let old = stored("old").await;
    env.run_days(40).await;
    let planned = env.reader.retention_plan(&Retention::default(), env.clock.now()).unwrap();
    let media = planned.kinds.iter().find(|kind| kind.0 == "media").unwrap();
    assert_eq!(media.1, 1);
    assert_eq!(env.store.retain(Retention::default(), env.clock.now()).await.unwrap().media, 1);
    assert!(env.reader.media(ahead).unwrap().is_some());
    assert!(env.reader.media(old).unwrap().is_none());
}

#[tokio::test]
async fn oldest_files_are_deleted_above_the_size_limit() {
    let env = TestEnv::new();
    let mut ids = Vec::new();
    for name in ["a", "b", "c"] {
        let event = env.append_one(picture(name)).await;
        let EventBody::Message { content, .. } = &event.body else { panic!() };
        let id = content.media().unwrap().handle.unwrap();
        env.store.settle_media(id, FetchOutcome::Stored(100)).await.unwrap();
        ids.push(id);
    }
    let policy = Retention { media_bytes: 150, ..Retention::default() };
    assert_eq!(env.store.retain(policy, env.clock.now()).await.unwrap().media, 2);
    assert_eq!(env.reader.media_total().unwrap(), (1, 100));
    assert!(env.reader.media(ids[2]).unwrap().is_some());
}

#[tokio::test]
async fn upload_is_reused_until_it_expires() {
    let env = TestEnv::new();
    let event = env.append_one(picture("a")).await;
    let EventBody::Message { content, .. } = &event.body else { panic!() };
    let id = content.media().unwrap().handle.unwrap();
    let expires = NOW.plus_ms(DAY);
    env.store.note_upload(id, "shop", Some(("77".into(), expires))).await.unwrap();
    let at = |at: Timestamp, channel: &str| env.reader.uploaded(id, channel, at).unwrap();
    assert_eq!((at(NOW, "shop").as_deref(), at(expires, "shop"), at(NOW, "other")), (Some("77"), None, None));
    env.store.note_upload(id, "shop", None).await.unwrap();
    assert_eq!(at(NOW, "shop"), None);
}

/// Receipts and members of a group name an account id, in which there is a number. An import and a
/// message that name the number alone are about the same person.
#[tokio::test]
async fn person_known_by_the_account_id_is_not_doubled_by_an_import() {
    let env = TestEnv::new();
    let message = a_sent_message(&env, Some("Y2FwaQZD")).await;
    let participant = |number| Receipt { participant: vec![wa(number)], ..receipt(message, "read", NOW) };
    env.receipts(["31600000007", "31600000008", "5511987654321"].map(participant).to_vec(), vec![]).await;
    let known = env.reader.contacts(None, 10).unwrap().len();
    // Earlier versions recorded the account id alone.
    let TestEnv { dir, store, clock, manual, .. } = env;
    store.close();
    let conn = rusqlite::Connection::open(dir.path().join("beadle.db")).unwrap();
    let (kind, value) = (beadle_model::AliasKind::Phone as i64, "31600000007");
    assert_eq!(conn.execute("DELETE FROM aliases WHERE kind = ?1 AND value = ?2", (kind, value)).unwrap(), 1);
    drop(conn);
    let store = beadle_store::Store::open(config(dir.path(), &clock)).unwrap();
    let env = TestEnv { reader: store.reader(), dir, store, clock, manual };

    let row = |phone: &str| ImportedContact {
        phone: phone.into(),
        name: None,
        edit: ContactEdit::default(),
        consents: Vec::new(),
    };
    let rows = ["31600000007", "551187654321"].map(row).to_vec();
    let outcomes = env.store.import_contacts("shop", rows, Interest::default()).await.unwrap();
    let found: Vec<_> = outcomes.iter().map(|outcome| (outcome.created, outcome.quarantined)).collect();
    assert_eq!(found, [(false, false); 2]);
    for number in ["31600000007", "31600000008"] {
        let by_number = vec![alias(beadle_model::AliasKind::Phone, number)];
        env.append_one(crate::env::message(number, sender(by_number), "hi")).await;
    }
    assert_eq!(env.reader.contacts(None, 10).unwrap().len(), known);
}
