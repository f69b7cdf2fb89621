//! Broadcasts: each person gets one at most once, in every order of events and across crashes.

use crate::env::*;
use beadle_model::broadcast::{BroadcastCommand, BroadcastDefinition, FollowUp, FollowUpRecipients, Texts};
use beadle_model::consent::rules::PlannedConsent;
use beadle_model::consent::{ConsentAct, ConsentSource, NewConsent};
use beadle_model::effect::Outreach;
use beadle_model::{
    Audience, BroadcastId, BroadcastState, ContactId, ConversationId, Keyword, MessageId, PluginNo, Purpose,
    RecipientState,
};
use beadle_store::step::*;
use beadle_store::{Handover, MarketingSends, PlannedRecipient, RecipientCount, RecipientFilter};
use proptest::prelude::*;
use std::collections::BTreeMap;

const OPERATOR: PluginNo = PluginNo(1);

pub fn definition(name: &str, audience: Audience) -> BroadcastDefinition {
    BroadcastDefinition {
        name: name.into(),
        channel: "shop".into(),
        purpose: Purpose::Marketing,
        audience,
        template: None,
        text: Some(Texts::One("hi".into())),
        file: None,
        expires: None,
    }
}

/// A broadcast to the first `people` contacts, which is being sent.
async fn sending(env: &TestEnv, people: i64) -> BroadcastId {
    for n in 1..=people {
        env.append_one(from(&format!("3160000{n:04}"), &format!("in {n}"))).await;
    }
    let definition = definition("news", Audience::Everyone);
    let id = env.store.create_broadcast(OPERATOR, "Ana".into(), definition).await.unwrap().unwrap();
    let planned = |n| PlannedRecipient {
        contact: ContactId(n),
        conversation: Some(ConversationId(n)),
        refused: None,
        language: None,
        parameters: Vec::new(),
    };
    env.store.plan_recipients(id, (1..=people).map(planned).collect()).await.unwrap();
    env.store.finish_planning(id, "{}".into()).await.unwrap();
    move_to(env, id, BroadcastCommand::Start).await;
    id
}

async fn move_to(env: &TestEnv, id: BroadcastId, command: BroadcastCommand) -> bool {
    let from = env.reader.broadcast(id).unwrap().unwrap().state;
    match from.after(command) {
        Some(to) => env.store.move_broadcast(id, (from, to), None).await.unwrap(),
        None => false,
    }
}

async fn hand_over(env: &TestEnv, id: BroadcastId, contact: i64) -> Option<MessageId> {
    let message = env.store.reserve_message();
    let send = new_send(message, ConversationId(contact), SendState::Queued, NewSend::AT_ONCE);
    let decided = vec![(ContactId(contact), Handover::Send(Box::new(send)))];
    let rows = env.store.hand_over(id, OPERATOR, decided).await.unwrap();
    rows.first().map(|row| row.message)
}

fn state(env: &TestEnv, id: BroadcastId, contact: i64) -> (RecipientState, Option<String>) {
    let row = env.reader.recipient(id, ContactId(contact)).unwrap().unwrap();
    (row.state, row.code)
}

/// The counts that are kept agree with the rows.
fn counts(env: &TestEnv, id: BroadcastId) -> BTreeMap<(u8, Option<String>), u64> {
    let kept: BTreeMap<_, _> = env
        .reader
        .recipient_counts(id)
        .unwrap()
        .into_iter()
        .map(|RecipientCount { state, code, recipients }| ((state as u8, code), recipients))
        .collect();
    let mut counted = BTreeMap::new();
    for row in env.reader.recipients(id, &RecipientFilter { limit: 1000, ..Default::default() }).unwrap() {
        *counted.entry((row.state as u8, row.code)).or_default() += 1;
    }
    assert_eq!(kept, counted);
    kept
}

#[tokio::test]
async fn recipient_follows_the_message() {
    let env = TestEnv::new();
    let id = sending(&env, 11).await;
    let held = || Some(SendOutcome::Held(Some("w".into())));
    for (contact, outcome, receipts, expected) in [
        (1, None, &[][..], (RecipientState::Queued, None)),
        (2, Some(SendOutcome::Accepted(Some("w2".into()))), &[], (RecipientState::Sent, None)),
        (3, Some(SendOutcome::Accepted(Some("w3".into()))), &["delivered"], (RecipientState::Delivered, None)),
        (4, Some(SendOutcome::Accepted(Some("w4".into()))), &["read", "delivered"], (RecipientState::Read, None)),
        (5, Some(SendOutcome::Accepted(Some("w5".into()))), &["failed"], (RecipientState::Failed, Some("131026"))),
        (6, Some(SendOutcome::Failed(problem("opted-out"))), &[], (RecipientState::Refused, Some("opted-out"))),
        // The reason is not the recipient: they are planned again.
        (7, Some(SendOutcome::Failed(problem("window-closed"))), &[], (RecipientState::Planned, None)),
        (
            8,
            Some(SendOutcome::Dead(problem("outcome-unknown"))),
            &[],
            (RecipientState::Failed, Some("outcome-unknown")),
        ),
        (9, held(), &[], (RecipientState::Sent, Some("held-for-quality"))),
        (10, held(), &["sent"], (RecipientState::Sent, None)),
        (11, Some(SendOutcome::Failed(problem("131000"))), &[], (RecipientState::Failed, Some("131000"))),
    ] {
        let message = hand_over(&env, id, contact).await.unwrap();
        if let Some(outcome) = outcome {
            assert_eq!(env.store.claim_sends(vec![message]).await.unwrap(), [message]);
            env.settle(message, outcome).await;
        }
        for status in receipts {
            env.receipt(message, status).await;
        }
        let (state, code) = state(&env, id, contact);
        assert_eq!((state, code.as_deref()), expected, "contact {contact}");
        counts(&env, id);
    }
    // Neither an unknown outcome nor what would fail again is repeated.
    assert_eq!(env.store.retry_failed_recipients(id, ContactId(0)).await.unwrap(), (0, None), "it is being sent");
    assert!(move_to(&env, id, BroadcastCommand::Pause).await);
    assert_eq!(env.store.retry_failed_recipients(id, ContactId(0)).await.unwrap(), (1, None));
    assert_eq!(state(&env, id, 11).0, RecipientState::Planned);
    let retried = env.reader.recipient(id, ContactId(11)).unwrap().unwrap();
    assert_eq!(retried.sent_at, None, "replies count from the message that arrives");
    assert_eq!((state(&env, id, 5).0, state(&env, id, 8).0), (RecipientState::Failed, RecipientState::Failed));
    let due: Vec<i64> = env.reader.recipients_due(id, NOW, 10).unwrap().iter().map(|row| row.contact.0).collect();
    assert_eq!(due, [1, 7, 11], "the pause took the first back");
}

#[tokio::test]
async fn name_is_unique_by_author_and_pause_stops_the_handover() {
    let env = TestEnv::new();
    let id = sending(&env, 3).await;
    let create = |plugin| env.store.create_broadcast(plugin, "Bram".into(), definition("news", Audience::Everyone));
    assert_eq!(create(OPERATOR).await.unwrap(), None);
    assert!(create(PluginNo(2)).await.unwrap().is_some());
    assert!(hand_over(&env, id, 1).await.is_some());
    assert!(move_to(&env, id, BroadcastCommand::Pause).await);
    assert_eq!(hand_over(&env, id, 2).await, None);
    assert_eq!(state(&env, id, 2).0, RecipientState::Planned);
    assert!(move_to(&env, id, BroadcastCommand::Resume).await);
    assert!(hand_over(&env, id, 2).await.is_some());
    assert!(move_to(&env, id, BroadcastCommand::Stop).await);
    assert_eq!(hand_over(&env, id, 3).await, None);
}

#[tokio::test]
async fn held_recipients_are_due_when_the_deferral_ends() {
    let env = TestEnv::new();
    let id = sending(&env, 2).await;
    let held = vec![(ContactId(1), Handover::Held(NOW.plus_ms(HOUR), "quiet-hours".into()))];
    env.store.hand_over(id, OPERATOR, held).await.unwrap();
    assert_eq!(state(&env, id, 1), (RecipientState::Held, Some("quiet-hours".into())));
    assert_eq!(env.reader.recipients_next_due(id).unwrap(), Some(NOW.plus_ms(HOUR)));
    let due = |at: i64| -> Vec<i64> {
        env.reader.recipients_due(id, NOW.plus_ms(at), 10).unwrap().iter().map(|row| row.contact.0).collect()
    };
    assert_eq!((due(0), due(HOUR)), (vec![2], vec![1, 2]));
    assert_eq!(due(-2 * DAY), [1, 2], "the clock was ahead when it was deferred");
    assert!(hand_over(&env, id, 1).await.is_some());
    counts(&env, id);
}

#[tokio::test]
async fn expired_broadcast_excludes_what_was_not_tried() {
    let env = TestEnv::new();
    let id = sending(&env, 5).await;
    let held = vec![(ContactId(1), Handover::Held(NOW.plus_ms(HOUR), "quiet-hours".into()))];
    env.store.hand_over(id, OPERATOR, held).await.unwrap();
    let queued = hand_over(&env, id, 2).await.unwrap();
    let tried = hand_over(&env, id, 3).await.unwrap();
    env.store.claim_sends(vec![tried]).await.unwrap();
    let later = SendOutcome::Later { due_at: NOW.plus_ms(HOUR), counted: true, possibly_duplicate: true };
    env.settle(tried, later).await;
    let sent = hand_over(&env, id, 4).await.unwrap();
    env.store.claim_sends(vec![sent]).await.unwrap();
    env.settle(sent, SendOutcome::Accepted(None)).await;
    while env.store.expire_recipients(id).await.unwrap() {}
    let expired = (RecipientState::Refused, Some("broadcast-expired".to_owned()));
    for (contact, expected) in [
        (1, expired.clone()),
        (2, expired.clone()),
        (3, (RecipientState::Queued, None)),
        (4, (RecipientState::Sent, None)),
        (5, expired),
    ] {
        assert_eq!(state(&env, id, contact), expected, "contact {contact}");
    }
    assert_eq!(env.state_of(queued), SendState::Dropped);
    assert_eq!(env.state_of(tried), SendState::Queued, "it may have arrived");
    counts(&env, id);
    // A paused broadcast keeps its recipients.
    let env = TestEnv::new();
    let id = sending(&env, 1).await;
    assert!(move_to(&env, id, BroadcastCommand::Pause).await);
    assert!(!env.store.expire_recipients(id).await.unwrap());
    assert_eq!(state(&env, id, 1).0, RecipientState::Planned);
}

#[tokio::test]
async fn baseline_has_the_quality_of_the_number() {
    let env = TestEnv::new();
    let quality = |id| env.reader.broadcast_baseline(id).unwrap().quality;
    let id = sending(&env, 1).await;
    assert_eq!((quality(id), env.reader.channel_quality("shop").unwrap()), (None, None));
    for rating in ["green", "red"] {
        env.store.set_channel_quality("shop".into(), rating.into()).await.unwrap();
        assert!(move_to(&env, id, BroadcastCommand::Pause).await);
        assert!(move_to(&env, id, BroadcastCommand::Resume).await);
        assert_eq!(quality(id).as_deref(), Some(rating));
    }
    assert_eq!(env.reader.channel_quality("club").unwrap(), None);
}

async fn withdraw(env: &TestEnv, contact: ContactId, purpose: Purpose) {
    let consent = NewConsent {
        contact,
        purpose,
        act: ConsentAct::Withdrawn,
        source: ConsentSource::Operator,
        wording: None,
        at: env.clock.now(),
        expires_at: None,
        evidence: None,
        actor: "operator".into(),
    };
    env.store.record_consent(PlannedConsent { consent, question: None }, Interest::default()).await.unwrap();
}

#[tokio::test]
async fn marketing_text_counts_for_the_caps_until_it_is_withdrawn() {
    let env = TestEnv::new();
    let id = sending(&env, 2).await;
    let outreach =
        Outreach { is_marketing: true, topic: Some("news".into()), is_free_form: true, ..Outreach::default() };
    let mut messages = Vec::new();
    for contact in 1..=2 {
        let message = env.store.reserve_message();
        let send = new_send(message, ConversationId(contact), SendState::Queued, NewSend::AT_ONCE);
        let send = NewSend { reply: false, outreach: Some(outreach.clone()), ..send };
        let decided = vec![(ContactId(contact), Handover::Send(Box::new(send)))];
        env.store.hand_over(id, OPERATOR, decided).await.unwrap();
        messages.push(message);
    }
    let sent = |contact, topic| {
        let sends = MarketingSends {
            contact: ContactId(contact),
            topic,
            since: NOW.plus_ms(-DAY),
            until: NOW.plus_ms(DAY),
            before: None,
        };
        env.reader.marketing_sent(&sends).unwrap().len()
    };
    assert_eq!((sent(1, None), sent(1, Some("news")), sent(1, Some("cats"))), (1, 1, 0));
    // A text says nothing about WhatsApp's refusal of marketing templates.
    rusqlite::Connection::open(env.db())
        .unwrap()
        .execute("INSERT INTO marketing_refusals VALUES (1, '131049', 1, ?1)", [NOW.plus_ms(DAY).0])
        .unwrap();
    env.store.claim_sends(vec![messages[0]]).await.unwrap();
    env.settle(messages[0], SendOutcome::Accepted(Some("w1".into()))).await;
    env.receipt(messages[0], "delivered").await;
    assert!(env.reader.marketing_refused(ContactId(1), NOW).unwrap().is_some());
    for (topic, expected) in [("cats", SendState::Queued), ("news", SendState::Dropped)] {
        withdraw(&env, ContactId(2), Purpose::MarketingTopic(topic.into())).await;
        assert_eq!(env.state_of(messages[1]), expected, "{topic}");
    }
    assert_eq!(state(&env, id, 2), (RecipientState::Refused, Some("not-opted-in".into())));
    assert_eq!((sent(1, None), sent(2, None)), (1, 0));
}

#[tokio::test]
async fn retention_deletes_ended_broadcasts_in_slices() {
    let env = TestEnv::new();
    let id = sending(&env, 1).await;
    let planned = |n| PlannedRecipient {
        contact: ContactId(n),
        conversation: None,
        refused: Some("no-recipient".into()),
        language: None,
        parameters: Vec::new(),
    };
    env.store.plan_recipients(id, (2..=5000).map(planned).collect()).await.unwrap();
    let policy = beadle_store::Retention { outbox_ms: 40 * DAY, ..beadle_store::Retention::default() };
    let rows =
        || (number(&env, "SELECT count(*) FROM broadcast_recipients"), number(&env, "SELECT count(*) FROM broadcasts"));
    env.run_days(60).await;
    env.store.retain(policy, env.clock.now()).await.unwrap();
    assert_eq!(rows(), (5000, 1), "it has not ended");
    assert!(move_to(&env, id, BroadcastCommand::Stop).await);
    env.run_days(40).await;
    env.store.retain(policy, env.clock.now()).await.unwrap();
    assert_eq!(rows(), (5000, 1), "40 days are kept");
    env.run_days(1).await;
    let plan = env.reader.retention_plan(&policy, env.clock.now()).unwrap();
    assert!(plan.kinds.contains(&("broadcasts", 1, false)), "{plan:?}");
    let mut left = Vec::new();
    while env.store.retain(policy, env.clock.now()).await.unwrap().more {
        left.push(rows());
    }
    assert_eq!(left, [(3000, 1), (1000, 1), (0, 1), (0, 0)]);
    assert_eq!(number(&env, "SELECT count(*) FROM broadcast_counts"), 0);
}

#[tokio::test]
async fn reactions_within_72_hours_are_attributed_to_the_latest_broadcast() {
    let env = TestEnv::new();
    let id = sending(&env, 3).await;
    for contact in 1..=3 {
        let message = hand_over(&env, id, contact).await.unwrap();
        env.store.claim_sends(vec![message]).await.unwrap();
        env.settle(message, SendOutcome::Accepted(None)).await;
    }
    let at = |event: NewEvent, after_ms: i64| NewEvent { happened_at: NOW.plus_ms(after_ms), ..event };
    env.manual.advance_ms(HOUR);
    env.append(vec![at(from("31600000001", "reply"), HOUR), at(from("31600000001", "more"), HOUR)]).await;
    env.append(vec![at(keyword("31600000002", "stop", Keyword::Stop), HOUR)]).await;
    env.manual.advance_ms(3 * DAY);
    env.append(vec![at(from("31600000003", "late"), 3 * DAY + HOUR)]).await;
    let row = env.reader.broadcast(id).unwrap().unwrap();
    assert_eq!((row.replied, row.opted_out), (2, 1), "STOP is a reply too");
    let audience = |recipients| Audience::Broadcast(FollowUp { of: id.to_string(), recipients, after_hours: 0 });
    let people = |audience: Audience| -> Vec<i64> {
        let page = env.reader.audience(&audience, Some(id), (ContactId(0), env.clock.now()), 10).unwrap();
        page.into_iter().map(|contact| contact.0).collect()
    };
    assert_eq!(people(audience(FollowUpRecipients::Replied)), [1, 2]);
    assert_eq!(people(audience(FollowUpRecipients::Failed)), Vec::<i64>::new());
}

#[tokio::test]
async fn audiences() {
    let env = TestEnv::new();
    for n in 1..=4 {
        env.append_one(from(&format!("3160000000{n}"), &format!("in {n}"))).await;
    }
    env.append(vec![keyword("31600000002", "leave", Keyword::Leave)]).await;
    let tag = beadle_model::profile::ProfileEdit {
        add_tags: ["vip".to_owned()].into(),
        ..beadle_model::profile::ProfileEdit::default()
    };
    let edit = beadle_store::ContactEdit { profile: tag, ..beadle_store::ContactEdit::default() };
    env.store.edit_contact(ContactId(3), edit).await.unwrap();
    env.store.merge_contacts(ContactId(1), ContactId(4), false).await.unwrap();
    let contacts = vec![ContactId(4), ContactId(2), ContactId(1)];
    assert_eq!(
        env.reader.current_contacts(&contacts).unwrap(),
        [1, 2].map(ContactId),
        "merged contacts are one person"
    );
    for (audience, expected) in
        [(Audience::Everyone, &[1, 2, 3][..]), (Audience::Members, &[1, 3]), (Audience::Tag("vip".into()), &[3])]
    {
        let page = |after, limit| env.reader.audience(&audience, None, (ContactId(after), NOW), limit).unwrap();
        let ids: Vec<i64> = page(0, 10).iter().map(|contact| contact.0).collect();
        assert_eq!(ids, expected, "{audience:?}");
        assert_eq!(page(expected[0], 10).len(), expected.len() - 1, "{audience:?}");
    }
}

#[tokio::test]
async fn merged_people_get_one_message() {
    for handed in [&[][..], &[1], &[2], &[1, 2]] {
        let env = TestEnv::new();
        let id = sending(&env, 2).await;
        for contact in handed {
            assert!(hand_over(&env, id, *contact).await.is_some());
        }
        env.store.merge_contacts(ContactId(1), ContactId(2), false).await.unwrap();
        let is_handed_over = hand_over(&env, id, 1).await.is_some();
        assert_eq!(is_handed_over, handed.is_empty(), "{handed:?}");
        assert_eq!(counts(&env, id).values().sum::<u64>(), 1, "{handed:?}");
    }
}

/// What the row of a merged contact had reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reached {
    Planned,
    Refused,
    TakenBack,
    Queued,
    Failed,
    Sent,
}

#[tokio::test]
async fn merge_keeps_the_recipient_whose_message_got_furthest() {
    use Reached::{Failed, Planned, Queued, Refused, Sent, TakenBack};
    let all = [Planned, Refused, TakenBack, Queued, Failed, Sent];
    for (kept, removed) in all.iter().flat_map(|kept| all.iter().map(move |removed| (*kept, *removed))) {
        let env = TestEnv::new();
        let id = sending(&env, 2).await;
        let mut messages = Vec::new();
        for (contact, reached) in [(1, kept), (2, removed)] {
            if reached == Refused {
                let decided = vec![(ContactId(contact), Handover::Refused("banned".into()))];
                env.store.hand_over(id, OPERATOR, decided).await.unwrap();
            }
            if matches!(reached, Planned | Refused) {
                continue;
            }
            let message = hand_over(&env, id, contact).await.unwrap();
            messages.push(message);
            if reached != Queued {
                env.store.claim_sends(vec![message]).await.unwrap();
            }
            match reached {
                TakenBack => env.settle(message, SendOutcome::Failed(problem("window-closed"))).await,
                Failed => env.settle(message, SendOutcome::Failed(problem("131026"))).await,
                Sent => env.settle(message, SendOutcome::Accepted(Some(format!("w{contact}")))).await,
                _ => {}
            }
        }
        env.store.merge_contacts(ContactId(1), ContactId(2), false).await.unwrap();
        let expected = match (kept, removed) {
            (Sent, _) | (_, Sent) => RecipientState::Sent,
            (Queued, _) | (_, Queued) => RecipientState::Queued,
            (Failed, _) | (_, Failed) => RecipientState::Failed,
            (Refused, Refused) => RecipientState::Refused,
            _ => RecipientState::Planned,
        };
        assert_eq!(state(&env, id, 1).0, expected, "{kept:?} {removed:?}");
        assert_eq!(counts(&env, id).values().sum::<u64>(), 1, "{kept:?} {removed:?}");
        let waiting = messages.iter().filter(|message| env.state_of(**message) == SendState::Queued).count();
        assert!(waiting <= 1, "{kept:?} {removed:?}");
    }
}

#[tokio::test]
async fn pause_takes_back_what_was_not_tried() {
    for command in [BroadcastCommand::Pause, BroadcastCommand::Stop] {
        let env = TestEnv::new();
        let id = sending(&env, 3).await;
        let queued = hand_over(&env, id, 1).await.unwrap();
        let tried = hand_over(&env, id, 2).await.unwrap();
        env.store.claim_sends(vec![tried]).await.unwrap();
        assert_eq!(env.reader.broadcasts_in_outbox("shop", NOW).unwrap(), (1, 1));
        assert_eq!(env.reader.broadcasts_in_outbox("club", NOW).unwrap(), (0, 0));
        assert!(move_to(&env, id, command).await);
        assert_eq!(env.state_of(queued), SendState::Dropped);
        assert_eq!(env.store.claim_sends(vec![queued]).await.unwrap(), []);
        let states = [1, 2, 3].map(|contact| state(&env, id, contact).0);
        assert_eq!(states, [RecipientState::Planned, RecipientState::Queued, RecipientState::Planned]);
        assert_eq!(env.reader.broadcasts_in_outbox("shop", NOW).unwrap(), (0, 1));
        counts(&env, id);
    }
}

#[tokio::test]
async fn broadcast_that_is_planned_again_cannot_be_resumed_or_approved() {
    let env = TestEnv::new();
    let id = sending(&env, 1).await;
    assert!(move_to(&env, id, BroadcastCommand::Pause).await);
    let before = env.reader.broadcast(id).unwrap().unwrap().planned_at;
    assert!(env.store.begin_planning(id).await.unwrap());
    assert!(!move_to(&env, id, BroadcastCommand::Resume).await);
    assert!(!env.store.approve_broadcast(id, before, "Bram".into()).await.unwrap());
    env.manual.advance_ms(1);
    env.store.finish_planning(id, "{}".into()).await.unwrap();
    assert!(!env.store.approve_broadcast(id, before, "Bram".into()).await.unwrap(), "another plan");
    let now = env.reader.broadcast(id).unwrap().unwrap().planned_at;
    assert!(env.store.approve_broadcast(id, now, "Bram".into()).await.unwrap());
    assert!(move_to(&env, id, BroadcastCommand::Resume).await);
}

#[tokio::test]
async fn planning_again_keeps_what_was_handed_over() {
    let env = TestEnv::new();
    let id = sending(&env, 4).await;
    let sent = hand_over(&env, id, 1).await.unwrap();
    env.store.claim_sends(vec![sent]).await.unwrap();
    env.settle(sent, SendOutcome::Accepted(None)).await;
    // One that the gate stopped as it was sent, and that was held then.
    let stopped = hand_over(&env, id, 2).await.unwrap();
    env.settle(stopped, SendOutcome::Failed(problem("window-closed"))).await;
    let held = vec![(ContactId(2), Handover::Held(NOW.plus_ms(HOUR), "quiet-hours".into()))];
    env.store.hand_over(id, OPERATOR, held).await.unwrap();
    assert!(move_to(&env, id, BroadcastCommand::Pause).await);
    assert!(env.store.begin_planning(id).await.unwrap());
    assert_eq!(env.store.unplan_broadcast(id, ContactId(0)).await.unwrap(), None);
    let left = env.reader.recipients(id, &RecipientFilter { limit: 10, ..Default::default() }).unwrap();
    assert_eq!(left.iter().map(|row| row.contact.0).collect::<Vec<_>>(), [1]);
    counts(&env, id);
}

#[derive(Clone, Debug)]
enum Step {
    HandOver(i64),
    Claim,
    Accept,
    Fail(&'static str),
    Dead,
    Receipt(&'static str),
    Command(BroadcastCommand),
    RetryFailed,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    use BroadcastCommand::{Pause, Resume, Stop};
    prop_oneof![
        6 => (1..=3i64).prop_map(Step::HandOver),
        4 => Just(Step::Claim),
        3 => Just(Step::Accept),
        1 => prop::sample::select(vec!["window-closed", "opted-out", "131026", "131000", "over-budget"]).prop_map(Step::Fail),
        1 => Just(Step::Dead),
        2 => prop::sample::select(vec!["sent", "delivered", "read", "failed"]).prop_map(Step::Receipt),
        1 => prop::sample::select(vec![Pause, Resume, Resume, Stop]).prop_map(Step::Command),
        1 => Just(Step::RetryFailed),
        1 => Just(Step::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    /// In every order of events, at most one of a person's messages was or may have been accepted,
    /// and none is handed over while the broadcast is paused or has ended.
    #[test]
    fn no_order_of_events_sends_it_twice(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut env = TestEnv::new();
            let id = sending(&env, 3).await;
            let mut messages: Vec<(i64, MessageId)> = Vec::new();
            for step in steps {
                let last = messages.last().map(|(_, message)| *message);
                match (step, last) {
                    (Step::HandOver(contact), _) => {
                        let state = env.reader.broadcast(id).unwrap().unwrap().state;
                        let handed = hand_over(&env, id, contact).await;
                        prop_assert!(handed.is_none() || state == BroadcastState::Sending);
                        messages.extend(handed.map(|message| (contact, message)));
                    }
                    (Step::Claim, Some(message)) => _ = env.store.claim_sends(vec![message]).await.unwrap(),
                    (Step::Accept, Some(message)) if env.state_of(message) == SendState::Sending => {
                        env.settle(message, SendOutcome::Accepted(Some(format!("w{}", message.0)))).await;
                    }
                    (Step::Fail(code), Some(message)) => env.settle(message, SendOutcome::Failed(problem(code))).await,
                    (Step::Dead, Some(message)) => env.settle(message, SendOutcome::Dead(problem("outcome-unknown"))).await,
                    (Step::Receipt(status), Some(message))
                        if !matches!(env.state_of(message), SendState::Queued | SendState::Dropped) =>
                    {
                        env.receipt(message, status).await;
                    }
                    (Step::Command(command), _) => _ = move_to(&env, id, command).await,
                    (Step::RetryFailed, _) => _ = env.store.retry_failed_recipients(id, ContactId(0)).await.unwrap(),
                    (Step::Crash, _) => env = env.crashed(),
                    _ => {}
                }
                counts(&env, id);
                for contact in 1..=3i64 {
                    let may_have_it = messages.iter().filter(|(to, _)| *to == contact).filter(|(_, message)| {
                        matches!(env.state_of(*message), SendState::Sending | SendState::Accepted | SendState::Dead | SendState::Queued)
                    });
                    prop_assert!(may_have_it.count() <= 1, "contact {}", contact);
                }
            }
            Ok(())
        })?;
    }
}
