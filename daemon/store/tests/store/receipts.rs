//! Receipts: in any order, repeatedly, before or after the response.

use crate::env::*;
use beadle_model::{EventBody, MessageId, PluginNo};
use beadle_store::step::*;
use proptest::prelude::*;

const RANKS: [(&str, u8); 5] = [("sent", 1), ("failed", 2), ("delivered", 3), ("read", 4), ("played", 5)];

fn rank(status: &str) -> u8 {
    RANKS.iter().find(|(name, _)| *name == status).unwrap().1
}

async fn a_message(env: &TestEnv, state: SendState) -> MessageId {
    let event = env.append_one(from("31600000001", "wamid.in")).await;
    env.send(&event, PluginNo(1), state).await
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn result_is_independent_of_receipt_order(
        statuses in prop::collection::vec(prop::sample::select(RANKS.map(|(name, _)| name).to_vec()), 1..8),
        answer_at in 0..8usize,
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let env = TestEnv::new();
            let message = a_message(&env, SendState::Sending).await;
            let mut at = NOW;
            for (n, status) in statuses.iter().enumerate() {
                if n == answer_at {
                    env.settle(message, SendOutcome::Accepted(Some(format!("wamid.{}", message.0)))).await;
                }
                at = at.plus_ms(1);
                env.receipts(vec![receipt(message, status, at)], vec![PluginNo(1)]).await;
            }
            let details = env.reader.message_details(message).unwrap().unwrap();
            let arrived = statuses.iter().any(|status| rank(status) > 2);
            let failed = !arrived && statuses.contains(&"failed");
            assert_eq!(details.row.state, if failed { SendState::Failed } else { SendState::Accepted }, "{statuses:?}");
            assert_eq!(details.problem.is_some(), failed, "{statuses:?}");
            assert_eq!(details.platform, Some(format!("wamid.{}", message.0)));
            let times = [details.sent_at, details.failed_at, details.delivered_at, details.read_at, details.played_at];
            for ((name, _), time) in RANKS.iter().zip(times) {
                let first = statuses.iter().position(|status| status == name);
                assert_eq!(time, first.map(|n| NOW.plus_ms(n as i64 + 1)), "{name} of {statuses:?}");
            }
            // The plugin got each step forward, and nothing else.
            let mut statuses_seen = vec![];
            for event in env.events() {
                if let EventBody::MessageStatus { status, .. } = event.body {
                    statuses_seen.push(rank(&status));
                }
            }
            assert!(statuses_seen.is_sorted_by(|a, b| a < b), "{statuses_seen:?} of {statuses:?}");
            assert_eq!(statuses_seen.last(), statuses.iter().map(|status| rank(status)).max().as_ref(), "{statuses:?}");
        });
    }
}

#[tokio::test]
async fn receipt_resolves_ambiguity() {
    let env = TestEnv::new();
    let event = env.append_one(from("31600000001", "wamid.in")).await;
    let unknown = || SendOutcome::Dead(problem("outcome-unknown"));
    let later = SendOutcome::Later { due_at: NOW, counted: true, possibly_duplicate: true };
    // The state of the row, the receipt, the state after it.
    let table = [
        (None, "sent", SendState::Accepted, 1),
        (None, "failed", SendState::Failed, 1),
        (Some(unknown()), "delivered", SendState::Accepted, 1),
        (Some(unknown()), "failed", SendState::Failed, 1),
        (Some(SendOutcome::Dead(problem("given-up"))), "sent", SendState::Dead, 0),
        (Some(later.clone()), "sent", SendState::Accepted, 1),
        (Some(later), "failed", SendState::Queued, 0),
        (Some(SendOutcome::Dropped), "sent", SendState::Dropped, 0),
        (Some(SendOutcome::Failed(problem("131026"))), "sent", SendState::Failed, 0),
        (Some(SendOutcome::Failed(problem("131026"))), "read", SendState::Accepted, 1),
        (Some(SendOutcome::Accepted(None)), "failed", SendState::Failed, 1),
    ];
    for (outcome, status, state, received) in table {
        let case = format!("{outcome:?} {status}");
        let message = env.send(&event, PluginNo(1), SendState::Sending).await;
        if let Some(outcome) = outcome {
            env.settle(message, outcome).await;
        }
        let appended = env.receipt(message, status).await;
        assert_eq!((env.state_of(message), appended.received.len()), (state, received), "{case}");
        assert_eq!(env.receipt(message, status).await.received, [], "{case}, again");
        let has_letter = env.reader.dead_letter(beadle_store::DeadLetterRef::Message(message)).unwrap().is_some();
        assert_eq!(has_letter, state == SendState::Dead, "{case}");
    }
    assert!(env.reader.outbox_sending().unwrap().is_empty());
}

#[tokio::test]
async fn failure_is_reported_once_with_its_channel() {
    let env = TestEnv::new();
    let event = env.append_one(from("31600000001", "wamid.in")).await;
    let message = env.send(&event, PluginNo(1), SendState::Sending).await;
    env.settle(message, SendOutcome::Accepted(None)).await;
    let appended = env.receipt(message, "sent").await;
    assert_eq!((appended.progressed, appended.failed), (vec![message], vec![]));
    let appended = env.receipt(message, "failed").await;
    let [failed] = &appended.failed[..] else { panic!("{appended:?}") };
    assert_eq!((failed.message, failed.channel.as_str(), &failed.problem), (message, "shop", &Some(problem("131026"))));
    assert_eq!(appended.progressed, []);
    // A redelivery, and a failure after the message has arrived.
    assert_eq!(env.receipt(message, "failed").await.failed, []);
    assert_eq!(env.receipt(message, "read").await.progressed, [message]);
    assert_eq!(env.receipt(message, "failed").await.failed, []);
}

#[tokio::test]
async fn late_response_does_not_undo_a_receipt() {
    let env = TestEnv::new();
    let event = env.append_one(from("31600000001", "wamid.in")).await;
    let late = [
        SendOutcome::Failed(problem("500")),
        SendOutcome::Dead(problem("outcome-unknown")),
        SendOutcome::Later { due_at: NOW, counted: true, possibly_duplicate: true },
        SendOutcome::Dropped,
        SendOutcome::Accepted(Some("wamid.other".into())),
    ];
    for outcome in late {
        let message = env.send(&event, PluginNo(1), SendState::Sending).await;
        env.receipt(message, "delivered").await;
        env.settle(message, outcome).await;
        let details = env.reader.message_details(message).unwrap().unwrap();
        assert_eq!(details.row.state, SendState::Accepted);
        assert_eq!(details.platform, Some(format!("wamid.{}", message.0)));
    }
    assert_eq!(env.reader.counts().unwrap().dead, 0);
}

#[tokio::test]
async fn receipts_match_by_either_id_or_are_unknown() {
    let env = TestEnv::new();
    let message = a_message(&env, SendState::Sending).await;
    let by_platform = |status: &str| Receipt {
        message: ReceiptFor::Platform(format!("wamid.{}", message.0)),
        ..receipt(message, status, NOW)
    };
    assert_eq!(env.receipts(vec![by_platform("sent")], vec![]).await.unknown_receipts, 1, "no answer came yet");
    env.settle(message, SendOutcome::Accepted(Some(format!("wamid.{}", message.0)))).await;
    assert_eq!(env.receipts(vec![by_platform("read")], vec![]).await.unknown_receipts, 0);
    assert!(env.reader.message_details(message).unwrap().unwrap().read_at.is_some());
    assert_eq!(env.receipt(MessageId(999), "sent").await.unknown_receipts, 1);
}

#[tokio::test]
async fn statuses_are_appended_only_for_subscribers() {
    let env = TestEnv::new();
    let message = a_message(&env, SendState::Sending).await;
    assert_eq!(env.receipts(vec![receipt(message, "sent", NOW)], vec![PluginNo(2)]).await.events, 0);
    assert_eq!(env.receipts(vec![receipt(message, "read", NOW)], vec![PluginNo(1)]).await.events, 1);
    let event = env.events().pop().unwrap();
    let EventBody::MessageStatus { plugin, message: about, platform, status, problem, .. } = event.body else {
        panic!()
    };
    assert_eq!((plugin, about, platform.as_deref()), (PluginNo(1), message, Some("wamid.1")));
    assert_eq!((status.as_str(), problem), ("read", None));
    assert!(event.conversation.is_some());
}

#[tokio::test]
async fn unknown_status_is_appended_once_and_proves_acceptance() {
    let env = TestEnv::new();
    let message = a_message(&env, SendState::Sending).await;
    // Without a time stamp each delivery has another.
    for (at, events) in [(NOW, 1), (NOW, 0), (NOW.plus_ms(HOUR), 0)] {
        let appended = env.receipts(vec![receipt(message, "framed", at)], vec![PluginNo(1)]).await;
        assert_eq!(appended.events, events);
    }
    assert_eq!(env.state_of(message), SendState::Accepted);
}
