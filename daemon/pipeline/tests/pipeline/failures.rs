//! What the pipeline does when the store fails, a row cannot be read, or its own code panics.

use crate::env::{NOW, TestEnv, message, open, queue_texts, until, vacant};
use beadle_clock::Clock;
use beadle_model::event::{EventKind, Problem};
use beadle_model::{PluginNo, Timestamp};
use beadle_pipeline::{Advice, PanicPoint, SendResponse, Stage};
use beadle_store::fault::{BusyReaders, DatabaseLock, damage_conversation};
use beadle_store::step::{Batch, Receipt, ReceiptFor, SendState};
use beadle_store::views::{DeadLetterFilter, EventState};

/// What a store that is opened again knows of the events before it.
async fn store_with(texts: &[&str]) -> (tempfile::TempDir, Clock, beadle_clock::ManualClock) {
    let dir = tempfile::tempdir().unwrap();
    let (clock, manual) = Clock::manual(NOW);
    let store = open(dir.path(), &clock);
    store.plugin_no("plugin").await.unwrap();
    for text in texts {
        let events = vec![message("31612345678", text)];
        store.append(Batch { events, ..Batch::default() }).await.unwrap();
    }
    store.close();
    (dir, clock, manual)
}

fn states(env: &TestEnv) -> Vec<EventState> {
    let rows = env.reader.events_after(beadle_model::EventId(0), 1000).unwrap();
    rows.iter().filter(|row| row.kind == EventKind::Message).map(|row| row.state).collect()
}

#[tokio::test]
async fn events_of_before_a_start_are_kept_once_the_store_writes() {
    let (dir, clock, manual) = store_with(&["one", "two"]).await;
    let store = open(dir.path(), &clock);
    let plugin = store.plugin_no("plugin").await.unwrap();
    let lock = DatabaseLock::hold(dir.path()).unwrap();
    let env = TestEnv::with(store, dir, clock, manual);
    env.pipeline.publish(vacant(plugin, Stage::Observe, &[EventKind::Message]));
    until("the store fails", async || !env.store.writable()).await;
    drop(lock);
    until("the events are kept for the plugin", async || {
        env.pipeline.backlog_sizes() == [(plugin, 2)] && states(&env) == [EventState::Finished; 2]
    })
    .await;
}

#[tokio::test]
async fn event_without_subscribers_is_finished_once_the_store_writes() {
    let (dir, clock, manual) = store_with(&["one"]).await;
    let store = open(dir.path(), &clock);
    // The list of no subscribers is known, so that only the event's end has to be written.
    store.subscriber_list(vec![]).await.unwrap();
    let lock = DatabaseLock::hold(dir.path()).unwrap();
    let env = TestEnv::with(store, dir, clock, manual);
    env.pipeline.publish(beadle_pipeline::Subscriptions::new(vec![]));
    until("the store fails", async || !env.store.writable()).await;
    assert_ne!(states(&env), [EventState::Finished]);
    drop(lock);
    until("the event is finished", async || states(&env) == [EventState::Finished]).await;
}

#[tokio::test]
async fn deferred_events_are_read_once_the_store_reads() {
    // More events of one lane than may be in flight.
    let texts: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let (dir, clock, manual) = store_with(&texts).await;
    let store = open(dir.path(), &clock);
    let plugin = store.plugin_no("plugin").await.unwrap();
    // The lists of subscribers are known, so that only the handlings have to be written.
    for list in [vec![], vec![plugin]] {
        store.subscriber_list(list).await.unwrap();
    }
    let lock = DatabaseLock::hold(dir.path()).unwrap();
    let env = TestEnv::with(store, dir, clock, manual);
    env.pipeline.publish(vacant(plugin, Stage::Guard, &[EventKind::Message]));
    until("the lane is full", async || env.pipeline.in_flight()[1] > 40).await;
    let busy = BusyReaders::hold(&env.reader);
    drop(lock);
    until("the lane is empty", async || env.pipeline.in_flight()[0] < 50).await;
    until("reading them has failed", async || {
        env.pipeline.health().problems().iter().any(|problem| problem.contains("overloaded"))
    })
    .await;
    drop(busy);
    until("all are done", async || {
        env.pipeline.in_flight() == [0, 0, 0] && states(&env).iter().all(|state| *state == EventState::Finished)
    })
    .await;
}

#[tokio::test]
async fn message_is_tried_again_once_its_outcome_is_on_disk() {
    let mut env = TestEnv::new();
    env.pipeline.publish(beadle_pipeline::Subscriptions::new(vec![]));
    let event = env.receive_text("31612345678", "hello").await;
    for after_s in [1, 16] {
        env.channel.hold(true);
        // After a second it stays in memory, after 16 it waits on disk.
        if after_s == 16 {
            (0..2).for_each(|_| env.channel.respond_next(refused()));
        }
        env.channel.respond_next(refused());
        let message = env.queue_text(&event, "hello").await;
        if after_s == 16 {
            // The first two attempts.
            env.channel.hold(false);
            for pause_ms in [1000, 4000] {
                env.next_sent().await;
                until("it is queued again", async || sending(&env) == 0).await;
                env.channel.hold(pause_ms == 4000);
                env.manual.advance_ms(pause_ms);
            }
        }
        assert_eq!(env.next_sent().await.message, message);
        let lock = env.lock_database();
        env.channel.hold(false);
        until("the outcome is kept in memory", async || env.store.health().deferred_settlements == 1).await;
        env.manual.advance_ms(after_s * 1000);
        drop(lock);
        until("the outcome is on disk", async || env.store.health().deferred_settlements == 0).await;
        env.manual.advance_ms(after_s * 1000);
        assert_eq!(env.next_sent().await.message, message);
        until("it is accepted", async || {
            env.reader.message_details(message).unwrap().unwrap().row.state == SendState::Accepted
        })
        .await;
    }
}

fn refused() -> SendResponse {
    let problem =
        Problem { code: "131000".into(), title: "Something went wrong".into(), details: None, by: "platform".into() };
    SendResponse::Refused(problem, Advice::Retry { attempts: 4 })
}

fn sending(env: &TestEnv) -> usize {
    env.reader.outbox_sending().unwrap().len()
}

#[tokio::test]
async fn unreadable_conversation_holds_up_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, manual) = Clock::manual(NOW);
    let store = open(dir.path(), &clock);
    store.plugin_no("plugin").await.unwrap();
    let mut messages = vec![];
    for (number, state) in
        [("31611111111", SendState::Sending), ("31622222222", SendState::Queued), ("31633333333", SendState::Queued)]
    {
        let events = vec![message(number, "hello")];
        store.append(Batch { events, ..Batch::default() }).await.unwrap();
        let rows = store.reader().events_after(beadle_model::EventId(0), 1000).unwrap();
        let last = rows.iter().rfind(|row| row.kind == EventKind::Message).unwrap().id;
        let event = store.reader().event(last).unwrap().unwrap();
        messages.extend(queue_texts(&store, &event, &["hello"], state).await);
        if number != "31633333333" {
            damage_conversation(dir.path(), event.conversation.as_ref().unwrap().id).unwrap();
        }
    }
    store.close();
    let store = open(dir.path(), &clock);
    let mut env = TestEnv::with(store, dir, clock, manual);
    assert_eq!(env.next_sent().await.message, messages[2]);
    until("the others are dead letters", async || {
        let dead = env.reader.dead_letters(&DeadLetterFilter { limit: 10, ..Default::default() }).unwrap();
        dead.len() == 2 && dead.iter().all(|letter| letter.code == "store-row-unreadable")
    })
    .await;
}

#[tokio::test]
async fn panic_in_a_handling_makes_a_dead_letter() {
    let env = TestEnv::new();
    let plugin = env.store.plugin_no("plugin").await.unwrap();
    env.pipeline.publish(vacant(plugin, Stage::Observe, &[EventKind::Message]));
    env.pipeline.inject_panics(PanicPoint::Handling, 1);
    env.receive_text("31612345678", "one").await;
    env.receive_text("31612345678", "two").await;
    until("both events are finished", async || states(&env) == [EventState::Finished; 2]).await;
    let dead = env.reader.dead_letters(&DeadLetterFilter { limit: 10, ..Default::default() }).unwrap();
    assert_eq!(dead.iter().map(|letter| letter.code.as_str()).collect::<Vec<_>>(), ["host-panic"]);
    assert_eq!(env.pipeline.backlog_sizes(), [(plugin, 1)], "the next event waits for its plugin");
    until("nothing is in flight", async || env.pipeline.in_flight() == [0, 0, 0]).await;
}

/// The dead letters: plugin and code.
fn given_up(env: &TestEnv) -> Vec<(PluginNo, String)> {
    let dead = env.reader.dead_letters(&DeadLetterFilter { limit: 10, ..Default::default() }).unwrap();
    dead.into_iter().map(|letter| (letter.plugin, letter.code)).collect()
}

/// One plugin that observes these events and is not loaded, and a known person.
async fn with_observer(kind: EventKind) -> (TestEnv, PluginNo) {
    let env = TestEnv::new();
    let plugin = env.store.plugin_no("plugin").await.unwrap();
    env.pipeline.publish(vacant(plugin, Stage::Observe, &[kind]));
    env.receive_text("31612345678", "zero").await;
    until("it is finished", async || states(&env) == [EventState::Finished]).await;
    until("nothing is in flight", async || env.pipeline.in_flight() == [0, 0, 0]).await;
    (env, plugin)
}

#[tokio::test]
async fn event_whose_chain_panics_is_tried_again() {
    for point in [PanicPoint::Chain, PanicPoint::Finish] {
        let (env, plugin) = with_observer(EventKind::Message).await;
        env.pipeline.inject_panics(point, 2);
        env.receive_text("31612345678", "one").await;
        until("both wait for their plugin, once", async || env.pipeline.backlog_sizes() == [(plugin, 2)]).await;
        until("nothing is in flight", async || env.pipeline.in_flight() == [0, 0, 0]).await;
        assert_eq!((states(&env), given_up(&env)), (vec![EventState::Finished; 2], vec![]), "{point:?}");
    }
}

#[tokio::test]
async fn event_whose_chain_panics_each_time_becomes_a_dead_letter() {
    use PanicPoint::{Chain, Finish};
    for (point, kind) in [(Chain, EventKind::Message), (Finish, EventKind::Message), (Finish, EventKind::Timer)] {
        let (env, _) = with_observer(kind).await;
        env.pipeline.inject_panics(point, 3);
        env.receive_text("31612345678", "one").await;
        let dead = [(PluginNo::HOST, "host-panic".to_owned())];
        until("it is a dead letter", async || given_up(&env) == dead).await;
        env.receive_text("31612345678", "two").await;
        until("all are finished", async || states(&env) == [EventState::Finished; 3]).await;
        until("nothing is in flight", async || env.pipeline.in_flight() == [0, 0, 0]).await;
        assert_eq!(given_up(&env), dead, "{point:?}: the lane goes on");
    }
}

#[tokio::test]
async fn question_that_is_delivered_late_gets_no_answer() {
    let env = TestEnv::new();
    let plugin = env.store.plugin_no("plugin").await.unwrap();
    env.pipeline.publish(vacant(plugin, Stage::Guard, &[EventKind::Message]));
    let mut late = message("31612345678", "hours ago");
    late.happened_at = Timestamp(NOW.0 - 8 * 24 * 3_600_000);
    env.receive(late).await;
    until("it is a dead letter", async || {
        let dead = env.reader.dead_letters(&DeadLetterFilter { limit: 10, ..Default::default() }).unwrap();
        dead.iter().map(|letter| letter.code.as_str()).eq(["stale"])
    })
    .await;
}

#[tokio::test]
async fn status_that_comes_during_a_start_reaches_its_plugin() {
    let env = TestEnv::new();
    let plugin = env.store.plugin_no("plugin").await.unwrap();
    let event = env.receive_text("31612345678", "hello").await;
    let message = queue_texts(&env.store, &event, &["hi"], SendState::Sending).await[0];
    // The plugins are not known yet.
    let receipt = Receipt {
        message: ReceiptFor::Ours(message, "wamid.1".into()),
        status: "delivered".into(),
        at: NOW,
        problem: None,
        further_problems: vec![],
        pricing: None,
        participant: vec![],
        recipient: vec![],
        free_entry_until: None,
        extra: serde_json::Value::Null,
    };
    let delivery = beadle_pipeline::Delivery { receipts: vec![receipt], ..Default::default() };
    env.pipeline.inbox().receive(delivery).await.unwrap();
    env.pipeline.publish(vacant(plugin, Stage::Observe, &[EventKind::MessageStatus]));
    until("the status waits for the plugin", async || env.pipeline.backlog_sizes() == [(plugin, 1)]).await;
}
