//! Durable requests: their order, their end, what a crash leaves, and their limits.

use crate::env::*;
use beadle_model::effect::{NewRequest, Scope, Traffic};
use beadle_model::event::RequestOutcome;
use beadle_model::{ContactId, Event, EventBody, PluginNo, RequestId, Timestamp};
use beadle_store::step::*;
use beadle_store::views::DeadLetterFilter;
use beadle_store::{
    AskedBy, DeadLetterRef, MAX_REQUESTS, RequestSettlement, RequestState, Retention, RetriedDeadLetter, StoreError,
};

const CRM: PluginNo = PluginNo(1);
const HOUR_MS: i64 = 60 * 60 * 1000;

fn request(key: Option<&str>, context: &str) -> NewRequest {
    NewRequest {
        scope: Scope::Plugin,
        key: key.map(str::to_owned),
        traffic: Traffic::Live,
        method: "POST".into(),
        url: "https://crm.example.org/people?id=7".into(),
        headers: vec![("X-A".into(), "b".into())],
        body: vec![0, 255],
        context: context.into(),
        expires_at: NOW.plus_ms(24 * HOUR_MS),
    }
}

/// Commits these requests in a handling of a new event.
async fn ask(env: &TestEnv, id: &str, requests: Vec<NewRequest>) -> Result<Event, StoreError> {
    let event = env.append_one(from("31600000001", id)).await;
    env.store.commit(Commit { requests, ..env.commit(event.id, CRM) }).await.map(|()| event)
}

/// The contexts of what is queued, in the order in which it is sent.
fn queued(env: &TestEnv) -> Vec<String> {
    let rows = [Traffic::Live, Traffic::Backfill].map(|traffic| env.reader.next_requests(CRM, traffic, 100).unwrap());
    rows.into_iter().flatten().map(|row| row.request.context).collect()
}

fn id_of(env: &TestEnv, context: &str) -> RequestId {
    let all = env.reader.durable_requests(None, false, None, 1000).unwrap();
    all.into_iter().find(|row| row.request.context == context).unwrap().id
}

async fn begin(env: &TestEnv, context: &str) -> RequestId {
    let id = id_of(env, context);
    assert_eq!(env.store.begin_requests(vec![id]).await.unwrap(), [id]);
    id
}

fn answered() -> RequestSettlement {
    let (url, headers) = ("https://crm.example.org/people".into(), vec![]);
    RequestSettlement::Ended(RequestOutcome::Answered { status: 201, url, headers, body: b"ok".to_vec().into() })
}

fn given_up() -> RequestSettlement {
    let (code, message) = ("request-expired".into(), "it expired".into());
    RequestSettlement::Ended(RequestOutcome::GivenUp { code, message, may_be_sent: true })
}

async fn end(env: &TestEnv, id: RequestId, settlement: RequestSettlement) {
    env.store.settle_request(id, settlement, RequestState::BeingSent, true).await.unwrap();
}

/// Contexts and attempts of the events about requests.
fn responses(env: &TestEnv) -> Vec<(String, u32)> {
    let of = |event: Event| match event.body {
        EventBody::Response { context, attempts, .. } => Some((context, attempts)),
        _ => None,
    };
    env.events().into_iter().filter_map(of).collect()
}

#[tokio::test]
async fn requests_with_a_key_are_sent_one_after_another() {
    let env = TestEnv::new();
    let backfill = NewRequest { traffic: Traffic::Backfill, ..request(None, "later") };
    let first = vec![backfill, request(Some("ana"), "a1"), request(None, "free"), request(Some("bram"), "b1")];
    ask(&env, "one", first).await.unwrap();
    ask(&env, "two", vec![request(Some("ana"), "a2"), request(Some("ana"), "a3")]).await.unwrap();
    assert_eq!(queued(&env), ["a1", "free", "b1", "later"]);

    let a1 = begin(&env, "a1").await;
    assert_eq!(queued(&env), ["free", "b1", "later"]);
    let again = RequestSettlement::Again { at: NOW.plus_ms(1000), code: "status-503".into(), error: "no".into() };
    end(&env, a1, again).await;
    let row = env.reader.durable_request(a1).unwrap().unwrap();
    assert_eq!((row.state, row.attempts, row.due_at), (RequestState::Queued, 1, NOW.plus_ms(1000)));
    assert_eq!(row.request, request(Some("ana"), "a1"));
    assert_eq!(queued(&env), ["free", "b1", "a1", "later"]);

    let a1 = begin(&env, "a1").await;
    end(&env, a1, answered()).await;
    assert_eq!((env.reader.durable_request(a1).unwrap(), responses(&env)), (None, vec![("a1".into(), 2)]));
    assert_eq!(queued(&env), ["free", "b1", "a2", "later"]);
    // The end of a request is known once, also if it is reported twice.
    end(&env, a1, answered()).await;
    let a2 = begin(&env, "a2").await;
    end(&env, a2, given_up()).await;
    end(&env, a2, answered()).await;
    assert_eq!(queued(&env), ["free", "b1", "a3", "later"]);
    assert_eq!(responses(&env), [("a1".into(), 2), ("a2".into(), 1)]);
}

#[tokio::test]
async fn request_that_was_given_up_is_a_dead_letter() {
    let env = TestEnv::new();
    let event = ask(&env, "one", vec![request(Some("ana"), "a1"), request(Some("ana"), "a2")]).await.unwrap();
    let a1 = begin(&env, "a1").await;
    end(&env, a1, given_up()).await;
    let letter = DeadLetterRef::Request(a1);
    assert_eq!((letter.to_string().as_str(), letter.to_string().parse()), ("req_1", Ok(letter)));
    let details = env.reader.dead_letter(letter).unwrap().unwrap();
    assert_eq!((details.plugin, details.event, details.attempts), (CRM, Some(event.id), 1));
    let list = |plugin| {
        let filter = DeadLetterFilter { plugin, before: None, limit: 10 };
        env.reader.dead_letters(&filter).unwrap().into_iter().map(|letter| letter.reference).collect::<Vec<_>>()
    };
    assert_eq!((list(Some(CRM)), list(Some(PluginNo(2)))), (vec![letter], vec![]));
    assert_eq!((list(None), env.reader.counts().unwrap().dead), (vec![letter], 1));
    let before = DeadLetterFilter { plugin: None, before: Some(letter), limit: 10 };
    assert_eq!(env.reader.dead_letters(&before).unwrap(), []);

    // It waits behind the one that took its place.
    begin(&env, "a2").await;
    assert_eq!(env.store.retry_dead_letter(letter, NOW).await.unwrap(), RetriedDeadLetter::Request);
    assert_eq!(env.reader.durable_request(a1).unwrap().unwrap().state, RequestState::Behind);
    assert!(matches!(env.store.retry_dead_letter(letter, NOW).await, Err(StoreError::NotFound { .. })));
    end(&env, id_of(&env, "a2"), answered()).await;
    assert_eq!(queued(&env), ["a1"]);

    let a1 = begin(&env, "a1").await;
    end(&env, a1, given_up()).await;
    env.store.drop_dead_letter(letter).await.unwrap();
    assert_eq!((env.reader.durable_request(a1).unwrap(), env.reader.counts().unwrap().dead), (None, 0));
}

#[tokio::test]
async fn crash_leaves_what_was_being_sent() {
    let env = TestEnv::new();
    ask(&env, "one", vec![request(None, "sent"), request(None, "waits")]).await.unwrap();
    begin(&env, "sent").await;
    let env = env.crashed();
    let sent = env.reader.requests_being_sent(10).unwrap();
    assert_eq!(sent.iter().map(|row| row.request.context.as_str()).collect::<Vec<_>>(), ["sent"]);
    assert_eq!(queued(&env), ["waits"]);
    assert_eq!(env.reader.requesting_plugins().unwrap(), [CRM]);
    let sent = sent[0].id;
    end(&env, sent, answered()).await;
    let env = env.crashed();
    assert_eq!((responses(&env), queued(&env)), (vec![("sent".into(), 1)], vec!["waits".into()]));
}

#[tokio::test]
async fn number_and_size_are_limited() {
    let env = TestEnv::new();
    let many = |count: i64| (0..count).map(|number| request(None, &number.to_string())).collect::<Vec<_>>();
    ask(&env, "one", many(MAX_REQUESTS)).await.unwrap();
    assert_eq!(env.reader.requests_left(CRM).unwrap().0, 0);
    let refused = ask(&env, "two", many(1)).await.unwrap_err();
    assert!(matches!(refused, StoreError::OverQuota { resource: "durable requests", .. }), "{refused:?}");
    let last = begin(&env, &(MAX_REQUESTS - 1).to_string()).await;
    end(&env, last, answered()).await;
    ask(&env, "three", many(1)).await.unwrap();

    let env = TestEnv::new();
    let large = NewRequest { body: vec![0; 40 << 20], ..request(None, "large") };
    ask(&env, "one", vec![large.clone()]).await.unwrap();
    assert!(matches!(ask(&env, "two", vec![large]).await, Err(StoreError::OverQuota { .. })));
}

#[tokio::test]
async fn requests_about_a_person_go_with_them() {
    let env = TestEnv::new();
    let about = |contact| NewRequest { scope: Scope::Contact(ContactId(contact)), ..request(Some("k"), "about") };
    ask(&env, "one", vec![about(1), request(Some("k"), "other")]).await.unwrap();
    env.store.begin_erasure(ContactId(1), AskedBy::Operator, NOW).await.unwrap();
    assert_eq!(queued(&env), ["other"]);
    ask(&env, "two", vec![about(1)]).await.unwrap();
    assert_eq!(env.reader.durable_requests(None, false, None, 10).unwrap().len(), 1);
    let purged = env.store.purge_plugin(CRM).await.unwrap();
    assert_eq!((purged.requests, env.reader.requesting_plugins().unwrap()), (1, vec![]));
}

#[tokio::test]
async fn requests_are_postponed_and_deleted_when_old() {
    let env = TestEnv::new();
    ask(&env, "one", vec![request(None, "a"), request(None, "b")]).await.unwrap();
    let later = NOW.plus_ms(HOUR_MS);
    env.store.postpone_requests(vec![(id_of(&env, "a"), later)]).await.unwrap();
    let rows = env.reader.next_requests(CRM, Traffic::Live, 10).unwrap();
    let due: Vec<(&str, Timestamp)> = rows.iter().map(|row| (row.request.context.as_str(), row.due_at)).collect();
    assert_eq!(due, [("b", NOW), ("a", later)]);
    let b = begin(&env, "b").await;
    end(&env, b, given_up()).await;
    env.run_days(2).await;
    let policy = Retention { dead_ms: 24 * HOUR_MS, ..Retention::default() };
    env.store.retain(policy, env.clock.now()).await.unwrap();
    assert_eq!(env.reader.counts().unwrap().dead, 0);
}
