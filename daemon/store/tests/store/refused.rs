//! Messages that the gate refused: they are kept with the handling, whatever becomes of it.

use crate::env::*;
use beadle_model::effect::{RefusedAsk, RefusedAsks};
use beadle_model::{
    CheckOutcome, ContactId, ConversationId, Event, EventId, GateTrace, PluginNo, Purpose, Refusal, TraceStep,
};
use beadle_store::Retention;
use beadle_store::step::*;
use beadle_store::views::{RefusedMessage, Trace};

const PLUGIN: PluginNo = PluginNo(1);

/// So many messages to this contact that were refused.
pub fn refused(contact: ContactId, conversation: ConversationId, number: usize, kind: &str) -> RefusedAsks {
    let refusal = Refusal::new("not-opted-in", "They have not agreed to it.");
    let outcome = CheckOutcome::Refused(refusal);
    let step = TraceStep { check: "consent".into(), outcome, reason: "".into(), time: None };
    let mut refused = RefusedAsks::default();
    for _ in 0..number {
        refused.add(RefusedAsk {
            conversation,
            contact: Some(contact),
            kind: kind.into(),
            purpose: Some(Purpose::Survey),
            code: "not-opted-in".into(),
            gate: GateTrace { at: NOW, leaving: false, steps: vec![step.clone()] },
        });
    }
    refused
}

async fn an_event(env: &TestEnv, person: &str, id: &str) -> Event {
    assert_eq!(env.store.plugin_no("tester").await.unwrap(), PLUGIN);
    env.append_one(from(person, id)).await
}

fn of_event(env: &TestEnv, event: EventId) -> Vec<RefusedMessage> {
    let Some(Trace::Event(details)) = env.reader.trace(&event.to_string()).unwrap() else { panic!("{event}") };
    details.refused
}

fn to_sender(event: &Event, number: usize) -> RefusedAsks {
    refused(event.contact().unwrap(), event.conversation.as_ref().unwrap().id, number, "text")
}

#[tokio::test]
async fn refused_messages_are_kept_with_the_handling() {
    let env = TestEnv::new();
    let first = an_event(&env, "31600000001", "a").await;
    env.store.commit(Commit { refused: to_sender(&first, 1), ..env.commit(first.id, PLUGIN) }).await.unwrap();
    let found = of_event(&env, first.id);
    let [one] = &found[..] else { panic!("{found:?}") };
    assert_eq!((one.plugin, one.contact, one.at), (PLUGIN, first.contact(), NOW));
    assert_eq!((one.kind.as_str(), one.code.as_str(), one.further), ("text", "not-opted-in", 0));
    assert_eq!(one.purpose, Some(Purpose::Survey));
    assert_eq!(one.gate.as_ref().unwrap().steps[0].check, "consent");

    // More than are kept, in a handling that was given up.
    env.manual.advance_ms(1);
    let second = an_event(&env, "31600000001", "b").await;
    let unhandled = Unhandled {
        fence: env.store.fence(),
        plugin: PLUGIN,
        state: UnhandledState::DeadLetter,
        attempts: 1,
        code: "plugin-gave-up".into(),
        error: String::new(),
        at: env.clock.now(),
        progress: progress(second.id, 1, 1),
        refused: to_sender(&second, 25),
    };
    env.store.record_unhandled(unhandled).await.unwrap();
    let found = of_event(&env, second.id);
    assert_eq!((found.len(), found.last().unwrap().further), (RefusedAsks::KEPT, 5));
    // A retry replaces them if something is refused again.
    let retry = Commit { is_retry: true, refused: to_sender(&second, 2), ..env.commit(second.id, PLUGIN) };
    env.store.commit(retry).await.unwrap();
    assert_eq!(of_event(&env, second.id).len(), 2);

    let newest = env.reader.refused_messages(first.contact().unwrap(), 2).unwrap();
    assert_eq!(newest.iter().map(|refused| refused.event).collect::<Vec<_>>(), [second.id, second.id]);
}

#[tokio::test]
async fn refused_messages_follow_a_merge_and_go_with_their_event() {
    let env = TestEnv::new();
    let ana = an_event(&env, "31600000001", "a").await;
    let mia = an_event(&env, "31600000002", "b").await;
    env.store.commit(Commit { refused: to_sender(&mia, 1), ..env.commit(mia.id, PLUGIN) }).await.unwrap();
    let (keep, removed) = (ana.contact().unwrap(), mia.contact().unwrap());
    env.store.merge_contacts(keep, removed, false).await.unwrap();
    let kept = ana.conversation.as_ref().unwrap().id;
    let [one] = &env.reader.refused_messages(keep, 10).unwrap()[..] else { panic!() };
    assert_eq!((one.event, one.contact, one.conversation), (mia.id, Some(keep), kept));
    // A handling that began before the merge.
    let late = an_event(&env, "31600000001", "c").await;
    let commit = Commit { refused: to_sender(&mia, 1), ..env.commit(late.id, PLUGIN) };
    env.store.commit(commit).await.unwrap();
    assert_eq!(env.reader.refused_messages(keep, 10).unwrap().len(), 2);

    for event in env.events() {
        env.store.finish(progress(event.id, 1, 1), env.store.fence()).await.unwrap();
    }
    env.store.finished_below(EventId(1000)).await.unwrap();
    env.run_days(40).await;
    while env.store.retain(Retention::default(), env.clock.now()).await.unwrap().more {}
    assert_eq!(number(&env, "SELECT count(*) FROM events"), 0);
    assert_eq!(number(&env, "SELECT count(*) FROM refused_asks"), 0);
}
