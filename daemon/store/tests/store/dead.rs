//! Dead letters, and looking up anything by its id.

use crate::env::*;
use beadle_model::{ContactId, EventId, HandlingId, MessageId, PluginNo, Timestamp, WebhookId};
use beadle_store::step::*;
use beadle_store::views::{DeadLetterFilter, EventFilter, EventState, OutboxFilter, Trace};
use beadle_store::{DeadLetterRef, RetriedDeadLetter, StoreError};

const PLUGIN: PluginNo = PluginNo(1);

async fn give_up(env: &TestEnv, event: EventId, at: Timestamp) -> DeadLetterRef {
    let unhandled = Unhandled {
        fence: env.store.fence(),
        plugin: PLUGIN,
        state: UnhandledState::DeadLetter,
        attempts: 3,
        code: "trap".into(),
        error: "unreachable".into(),
        at,
        progress: Progress { done: 1, ..progress(event, 1, 0b11) },
        refused: Default::default(),
    };
    env.store.record_unhandled(unhandled).await.unwrap();
    DeadLetterRef::Handling(HandlingId { event, plugin: PLUGIN })
}

#[tokio::test]
async fn dead_handling_can_be_retried_until_it_commits() {
    let env = TestEnv::new();
    let subscriber_list = env.store.subscriber_list(vec![PLUGIN, PluginNo(2)]).await.unwrap();
    let event = env.append_one(from("31600000001", "wamid.in")).await;
    let letter = give_up(&env, event.id, NOW).await;
    assert_eq!((letter.to_string().as_str(), letter.to_string().parse()), ("hnd_2.1", Ok(letter)));
    let details = env.reader.dead_letter(letter).unwrap().unwrap();
    assert_eq!((details.attempts, details.code.as_str(), details.ending, details.retried_at), (3, "trap", None, None));

    // Another plugin answers meanwhile, and the dead letter shows it.
    let answered = Progress { subscriber_list, ending: CLAIMED, ..progress(event.id, 0b10, 0b11) };
    env.store.commit(Commit { progress: answered, ..env.commit(event.id, PluginNo(2)) }).await.unwrap();
    assert_eq!(env.reader.event_details(event.id).unwrap().unwrap().row.state, EventState::Finished);
    let retried = env.store.retry_dead_letter(letter, NOW).await.unwrap();
    let RetriedDeadLetter::Handling { event: again, plugin, ending } = retried else { panic!("{retried:?}") };
    assert_eq!((&*again, plugin, ending), (&event, PLUGIN, CLAIMED));

    // It fails once more, then after a crash it succeeds.
    let env = env.crashed();
    assert_eq!(env.reader.dead_letter(letter).unwrap().unwrap().retried_at, Some(NOW));
    give_up(&env, event.id, NOW.plus_ms(1)).await;
    assert_eq!(env.reader.dead_letter(letter).unwrap().unwrap().retried_at, None);
    env.store.retry_dead_letter(letter, NOW).await.unwrap();
    let late = Progress { subscriber_list: 99, ..progress(event.id, 1, 1) };
    env.store.commit(Commit { progress: late, ..env.commit(event.id, PLUGIN) }).await.unwrap();
    assert_eq!((env.reader.dead_letter(letter).unwrap(), env.reader.counts().unwrap().dead), (None, 0));
    assert_eq!(env.reader.event_details(event.id).unwrap().unwrap().handlings[0].state, "done");
}

#[tokio::test]
async fn dead_message_is_requeued_or_dropped() {
    let env = TestEnv::new();
    let event = env.append_one(from("31600000001", "wamid.in")).await;
    for (code, twice) in [("outcome-unknown", true), ("given-up", false)] {
        let message = env.send(&event, PLUGIN, SendState::Sending).await;
        env.settle(message, SendOutcome::Dead(problem(code))).await;
        let letter = DeadLetterRef::Message(message);
        assert_eq!(
            env.reader.dead_letters(&DeadLetterFilter { plugin: Some(PLUGIN), limit: 10, before: None }).unwrap()[0]
                .reference,
            letter
        );
        env.manual.advance_ms(1000);
        let retried = env.store.retry_dead_letter(letter, env.clock.now()).await.unwrap();
        let RetriedDeadLetter::Send(row) = retried else { panic!("{retried:?}") };
        assert_eq!((row.state, row.due_at, row.possibly_duplicate), (SendState::Queued, env.clock.now(), twice));
        assert_eq!(due_sends(&env.reader, env.clock.now(), 10), [*row]);
        assert!(matches!(env.store.retry_dead_letter(letter, NOW).await, Err(StoreError::NotFound { .. })));
        env.store.claim_sends(vec![message]).await.unwrap();
        env.settle(message, SendOutcome::Dead(problem(code))).await;
        env.store.drop_dead_letter(letter).await.unwrap();
        assert_eq!((env.state_of(message), env.reader.counts().unwrap().dead), (SendState::Dropped, 0));
    }
}

#[tokio::test]
async fn unknown_dead_letter_is_not_found() {
    let env = TestEnv::new();
    for letter in ["hnd_7.1", "msg_7"] {
        let letter: DeadLetterRef = letter.parse().unwrap();
        assert!(matches!(env.store.retry_dead_letter(letter, NOW).await, Err(StoreError::NotFound { .. })));
        let error = env.store.drop_dead_letter(letter).await.unwrap_err();
        assert_eq!(error.to_string(), format!("no dead letter `{letter}`"));
    }
    let event = env.append_one(from("31600000001", "wamid.in")).await;
    let letter = give_up(&env, event.id, NOW).await;
    env.store.drop_dead_letter(letter).await.unwrap();
    assert!(env.reader.dead_letters(&DeadLetterFilter { limit: 10, ..Default::default() }).unwrap().is_empty());
}

#[tokio::test]
async fn trace_accepts_any_id() {
    let env = TestEnv::new();
    let event = env.append_one(from("31600000001", "wamid.in")).await;
    let reply = env.send(&event, PLUGIN, SendState::Sending).await;
    env.settle(reply, SendOutcome::Accepted(Some("wamid.out".into()))).await;
    env.receipt(reply, "delivered").await;
    for id in ["evt_2", "hnd_2.1", "wamid.in"] {
        let Some(Trace::Event(details)) = env.reader.trace(id).unwrap() else { panic!("{id}") };
        assert_eq!((details.row.id, &details.body), (event.id, &event.body), "{id}");
        assert_eq!((details.sends.len(), details.sends[0].row.message), (1, reply), "{id}");
    }
    for id in ["msg_1", "wamid.out"] {
        let Some(Trace::Message { message, event: cause }) = env.reader.trace(id).unwrap() else { panic!("{id}") };
        assert_eq!((message.row.message, message.delivered_at, cause.unwrap().row.id), (reply, Some(NOW), event.id));
    }
    for id in ["evt_99", "msg_99", "hnd_99.1", "wamid.unknown", "con_9", ""] {
        assert_eq!(env.reader.trace(id).unwrap(), None, "{id}");
    }
    let Some(Trace::Contact(contact)) = env.reader.trace("con_1").unwrap() else { panic!() };
    assert_eq!((contact.contact.id, contact.aliases.len(), contact.conversations.len()), (ContactId(1), 2, 1));
    let json = serde_json::to_value(env.reader.trace("msg_1").unwrap()).unwrap();
    assert_eq!((&json["kind"], &json["message"]["row"]["message"]), (&"message".into(), &"msg_1".into()));
}

#[tokio::test]
async fn listings_are_filtered_newest_first_page_by_page() {
    let env = TestEnv::new();
    for n in 0..6 {
        env.append(vec![from(&format!("3160000000{}", n % 2), &format!("m{n}"))]).await;
    }
    let ids = |filter: EventFilter| env.reader.events(&filter).unwrap().iter().map(|row| row.id.0).collect::<Vec<_>>();
    let all = EventFilter { limit: 100, ..EventFilter::default() };
    assert_eq!(ids(all.clone()), [8, 7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(ids(EventFilter { limit: 3, before: Some(EventId(6)), ..all.clone() }), [5, 4, 3]);
    let joined = Some(beadle_model::EventKind::MemberJoined);
    assert_eq!(ids(EventFilter { kind: joined, ..all.clone() }), [3, 1]);
    assert_eq!(ids(EventFilter { contact: Some(beadle_model::ContactId(2)), ..all.clone() }), [8, 6, 4, 3]);
    let conversation = Some(beadle_model::ConversationId(1));
    assert_eq!(ids(EventFilter { conversation, ..all.clone() }), [7, 5, 2, 1]);
    env.store.finish(progress(EventId(7), 0, 0), env.store.fence()).await.unwrap();
    assert_eq!(ids(EventFilter { state: Some(EventState::Finished), ..all }), [7]);
    assert_eq!(env.reader.events_after(EventId(6), 100).unwrap().len(), 2);

    let event = env.reader.event(EventId(8)).unwrap().unwrap();
    for (plugin, state) in [(1, SendState::Queued), (2, SendState::Sending), (1, SendState::Sending)] {
        env.send(&event, PluginNo(plugin), state).await;
    }
    let sends = |filter: OutboxFilter| {
        let rows = env.reader.outbox(&OutboxFilter { limit: 10, ..filter }).unwrap();
        rows.iter().map(|row| row.row.message.0).collect::<Vec<_>>()
    };
    assert_eq!(sends(OutboxFilter::default()), [3, 2, 1]);
    assert_eq!(sends(OutboxFilter { before: Some(MessageId(3)), ..Default::default() }), [2, 1]);
    assert_eq!(sends(OutboxFilter { state: Some(SendState::Sending), ..Default::default() }), [3, 2]);
    assert_eq!(sends(OutboxFilter { plugin: Some(PluginNo(1)), ..Default::default() }), [3, 1]);
    assert_eq!(sends(OutboxFilter { conversation, ..Default::default() }), Vec::<i64>::new());
}

fn rejected_webhook(app: &str, body: &[u8]) -> NewRejectedWebhook {
    NewRejectedWebhook {
        app: app.into(),
        code: "webhook-unreadable".into(),
        error: "it is no JSON".into(),
        body: body.to_vec(),
    }
}

async fn reject(env: &TestEnv, rejected: Vec<NewRejectedWebhook>) -> Vec<WebhookId> {
    env.store.append(Batch { rejected, ..Batch::default() }).await.unwrap().rejected
}

fn all_dead(env: &TestEnv) -> Vec<String> {
    let all = env.reader.dead_letters(&DeadLetterFilter { limit: 1000, ..Default::default() }).unwrap();
    all.iter().map(|letter| letter.reference.to_string()).collect()
}

#[tokio::test]
async fn rejected_webhook_is_kept_once_until_it_parses() {
    let env = TestEnv::new();
    let event = env.append_one(from("31600000001", "wamid.in")).await;
    give_up(&env, event.id, NOW.plus_ms(-1)).await;
    // The same bytes for another app are a different webhook.
    assert_eq!(
        reject(&env, vec![rejected_webhook("main", b"\xffhello"), rejected_webhook("other", b"\xffhello")]).await.len(),
        2
    );
    assert_eq!(reject(&env, vec![rejected_webhook("main", b"\xffhello")]).await, []);
    assert_eq!(
        (all_dead(&env).as_slice(), env.reader.counts().unwrap().dead),
        (&["whk_2".into(), "whk_1".into(), "hnd_2.1".into()][..], 3)
    );
    let reference: DeadLetterRef = "whk_1".parse().unwrap();
    let details = env.reader.dead_letter(reference).unwrap().unwrap();
    let webhook = details.webhook.unwrap();
    assert_eq!(
        (details.attempts, details.code.as_str(), webhook.app.as_str(), webhook.bytes),
        (2, "webhook-unreadable", "main", 6)
    );
    let page = |before: Option<&str>| {
        let before = before.map(|id| id.parse().unwrap());
        let page = env.reader.dead_letters(&DeadLetterFilter { limit: 1, before, plugin: None })?;
        Ok::<_, beadle_store::StoreError>(page.first().map(|letter| letter.reference.to_string()))
    };
    let pages = [None, Some("whk_2"), Some("whk_1"), Some("hnd_2.1")].map(|before| page(before).unwrap());
    assert_eq!(pages, [Some("whk_2".into()), Some("whk_1".into()), Some("hnd_2.1".into()), None]);
    assert!(page(Some("whk_9")).is_err(), "it does not exist");
    let only_of_the_plugin =
        env.reader.dead_letters(&DeadLetterFilter { plugin: Some(PLUGIN), limit: 10, before: None }).unwrap();
    assert_eq!(only_of_the_plugin.len(), 1);

    let env = env.reopen();
    let RetriedDeadLetter::Webhook(again) = env.store.retry_dead_letter(reference, NOW).await.unwrap() else {
        panic!()
    };
    assert_eq!((again.body.as_slice(), again.received_at), (&b"\xffhello"[..], NOW));
    assert_eq!(env.reader.dead_letter(reference).unwrap().unwrap().retried_at, Some(NOW));
    // The parsed event and the deletion are one step.
    let events = vec![from("31600000002", "wamid.found")];
    let RetriedDeadLetter::Webhook(again) = env.store.retry_dead_letter(reference, NOW).await.unwrap() else {
        panic!()
    };
    env.store.append(Batch { events, read_from: Some(again.id), ..Batch::default() }).await.unwrap();
    assert_eq!(all_dead(&env), ["whk_2", "hnd_2.1"]);
    env.store.drop_dead_letter("whk_2".parse().unwrap()).await.unwrap();
    assert!(matches!(env.store.drop_dead_letter(reference).await, Err(StoreError::NotFound { .. })));
    // A number is not reused.
    assert_eq!(reject(&env, vec![rejected_webhook("main", b"?")]).await, [WebhookId(3)]);
}

#[tokio::test]
async fn oldest_rejected_webhooks_are_dropped_beyond_the_bound() {
    let env = TestEnv::new();
    let large = |n: u8| rejected_webhook("main", &vec![n; 3 << 20]);
    for n in 0..25 {
        reject(&env, vec![large(n)]).await;
    }
    // 64 MiB hold twenty-one of three MiB each.
    assert_eq!((all_dead(&env).len(), env.store.health().rejected_dropped), (21, 4));
    let small = (0..1100_u32).map(|n| rejected_webhook("main", &n.to_le_bytes())).collect();
    assert_eq!(reject(&env, small).await.len(), 1100);
    assert_eq!(all_dead(&env).len(), 1000);
    assert_eq!(all_dead(&env).last().map(String::as_str), Some("whk_126"));
    env.manual.advance_ms(91 * DAY);
    env.store.retain(Default::default(), env.clock.now()).await.unwrap();
    env.store.retain(Default::default(), env.clock.now()).await.unwrap();
    assert_eq!(all_dead(&env), Vec::<String>::new());
}

#[tokio::test]
async fn second_retry_of_a_dead_letter_is_refused_at_commit() {
    let env = TestEnv::new();
    let event = env.append_one(from("31600000001", "wamid.in")).await;
    let letter = give_up(&env, event.id, NOW).await;
    let conversation = event.conversation.as_ref().unwrap().id;
    // Both retries have run the plugin, and both want to send its answer.
    for _ in 0..2 {
        env.store.retry_dead_letter(letter, NOW).await.unwrap();
    }
    let retry = || {
        let sends = vec![new_send(env.store.reserve_message(), conversation, SendState::Queued, NOW)];
        Commit { sends, is_retry: true, ..env.commit(event.id, PLUGIN) }
    };
    let (one, two) = tokio::join!(env.store.commit(retry()), env.store.commit(retry()));
    one.unwrap();
    let error = two.unwrap_err();
    assert!(matches!(error, StoreError::NotDead { .. }) && error.is_refusal(), "{error}");
    assert_eq!(number(&env, "SELECT count(*) FROM outbox"), 1);
    // So is one of a dead letter that was dropped meanwhile.
    let letter = give_up(&env, event.id, NOW).await;
    env.store.retry_dead_letter(letter, NOW).await.unwrap();
    env.store.drop_dead_letter(letter).await.unwrap();
    assert!(matches!(env.store.commit(retry()).await, Err(StoreError::NotDead { .. })));
}
