//! The outbox: due rows, sending rows, and the watermark that finds them after a crash.

use crate::env::*;
use beadle_model::effect::SendOptions;
use beadle_model::{Blame, Coded as _, ConversationId, EventBody, MessageId, PluginNo, Purpose};
use beadle_store::step::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

#[derive(Clone, Debug)]
enum Turn {
    /// Reserves numbers that are never used.
    Reserve(usize),
    Insert(SendState),
    /// Inserts a row with a number that was reserved long ago.
    InsertLate,
    Claim(usize),
    Settle(usize, SendOutcome),
    Crash,
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let later = SendOutcome::Later { due_at: NOW, counted: true, possibly_duplicate: false };
    let outcomes =
        vec![SendOutcome::Accepted(None), later, SendOutcome::Dead(problem("x")), SendOutcome::Failed(problem("x"))];
    let turn = prop_oneof![
        3 => (1_000..9_000usize).prop_map(Turn::Reserve),
        3 => prop::sample::select(vec![SendState::Sending, SendState::Queued]).prop_map(Turn::Insert),
        1 => Just(Turn::InsertLate),
        2 => (0..20usize).prop_map(Turn::Claim),
        3 => (0..20usize, prop::sample::select(outcomes)).prop_map(|(n, outcome)| Turn::Settle(n, outcome)),
        1 => Just(Turn::Crash),
    ];
    prop::collection::vec(turn, 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn watermark_is_below_all_sending_rows(turns in turns()) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut env = TestEnv::new();
            let event = env.append_one(from("31600000001", "wamid.in")).await;
            let mut early = env.store.reserve_message();
            let (mut rows, mut sending, mut inserted_late) = (vec![], BTreeSet::new(), false);
            for turn in turns {
                match turn {
                    Turn::Reserve(count) => (0..count).for_each(|_| _ = env.store.reserve_message()),
                    Turn::Insert(state) => {
                        let message = env.send(&event, PluginNo(1), state).await;
                        rows.push(message);
                        sending.extend((state == SendState::Sending).then_some(message));
                    }
                    Turn::InsertLate if !inserted_late => {
                        inserted_late = true;
                        let sends = vec![new_send(early, ConversationId(1), SendState::Sending, NOW)];
                        env.store.commit(Commit { sends, ..env.commit(event.id, PluginNo(1)) }).await.unwrap();
                        rows.push(early);
                        sending.insert(early);
                    }
                    Turn::Claim(n) if n < rows.len() => {
                        let was_queued = env.state_of(rows[n]) == SendState::Queued;
                        let claimed = env.store.claim_sends(vec![rows[n], MessageId(i64::MAX)]).await.unwrap();
                        assert_eq!(claimed, if was_queued { vec![rows[n]] } else { vec![] });
                        sending.extend(claimed);
                    }
                    Turn::Settle(n, outcome) if n < rows.len() => {
                        env.settle(rows[n], outcome).await;
                        sending.remove(&rows[n]);
                    }
                    Turn::Crash => {
                        env = env.crashed();
                        // Reserved but unused numbers are free again.
                        (early, inserted_late) = (env.store.reserve_message(), false);
                    }
                    _ => {}
                }
                let from = number(&env, "SELECT coalesce((SELECT value FROM meta WHERE key = 'sending_from'), 1)");
                assert!(sending.first().is_none_or(|lowest| lowest.0 >= from), "{from} {sending:?}");
                let found: BTreeSet<_> = env.reader.outbox_sending().unwrap().iter().map(|row| row.message).collect();
                assert_eq!(found, sending);
            }
        });
    }
}

#[tokio::test]
async fn watermark_moves_in_large_steps() {
    let env = TestEnv::new();
    let event = env.append_one(from("31600000001", "wamid.in")).await;
    let old = env.send(&event, PluginNo(1), SendState::Sending).await;
    (0..30_000).for_each(|_| _ = env.store.reserve_message());
    let young = env.send(&event, PluginNo(1), SendState::Sending).await;
    let from = || number(&env, "SELECT coalesce((SELECT value FROM meta WHERE key = 'sending_from'), 1)");
    assert_eq!(from(), 1, "the old one is still on its way");
    env.settle(old, SendOutcome::Accepted(None)).await;
    env.append(vec![unplaced("x")]).await;
    assert_eq!(from(), young.0);
    env.settle(young, SendOutcome::Later { due_at: NOW, counted: false, possibly_duplicate: false }).await;
    assert_eq!(env.store.claim_sends(vec![young]).await.unwrap(), [young]);
    assert_eq!(env.crashed().reader.outbox_sending().unwrap()[0].message, young);
}

fn unplaced(id: &str) -> NewEvent {
    NewEvent { placement: Placement::Nowhere, ..from("1", id) }
}

#[tokio::test]
async fn queued_rows_are_listed_when_due() {
    let env = TestEnv::new();
    let event = env.append_one(from("31600000001", "wamid.in")).await;
    let mut sends = vec![];
    for due in [30, 10, 20] {
        let message = env.store.reserve_message();
        sends.push(new_send(message, ConversationId(1), SendState::Queued, NOW.plus_ms(due)));
    }
    env.store.commit(Commit { sends, ..env.commit(event.id, PluginNo(1)) }).await.unwrap();
    let due = |ms, most| {
        let rows = due_sends(&env.reader, NOW.plus_ms(ms), most);
        rows.iter().map(|row| row.message.0).collect::<Vec<_>>()
    };
    assert_eq!((due(9, 10), due(10, 10), due(30, 10), due(30, 2)), (vec![], vec![2], vec![2, 3, 1], vec![2, 3]));
    let next = |ms| env.reader.outbox_next_due("shop", NOW.plus_ms(ms)).unwrap();
    assert_eq!((next(0), next(10), next(30)), (Some(NOW.plus_ms(10)), Some(NOW.plus_ms(20)), None));

    env.manual.advance_ms(15);
    env.store.claim_sends(vec![MessageId(2)]).await.unwrap();
    let row = env.reader.outbox_sending().unwrap().remove(0);
    assert_eq!((row.message, row.due_at, row.attempts), (MessageId(2), NOW.plus_ms(15), 0));
    env.settle(row.message, SendOutcome::Later { due_at: NOW.plus_ms(40), counted: true, possibly_duplicate: true })
        .await;
    let row = due_sends(&env.reader, NOW.plus_ms(40), 10).remove(2);
    assert_eq!((row.message, row.attempts, row.possibly_duplicate), (MessageId(2), 1, true));
    env.settle(row.message, SendOutcome::Later { due_at: NOW.plus_ms(50), counted: false, possibly_duplicate: false })
        .await;
    let row = due_sends(&env.reader, NOW.plus_ms(50), 10).remove(2);
    assert_eq!((row.attempts, row.possibly_duplicate), (1, true));
}

#[tokio::test]
async fn due_rows_are_read_by_channel_behind_a_place() {
    let env = TestEnv::new();
    let shop = env.append_one(from("31600000001", "wamid.in")).await;
    let club = message("club", Sender { channel: "club".into(), ..sender(vec![wa("31600000002")]) }, "hi");
    let club = env.append_one(club).await;
    let mut queued = vec![];
    for (event, due_at) in
        [(&shop, NewSend::AT_ONCE), (&club, NewSend::AT_ONCE), (&shop, NOW.plus_ms(DAY)), (&shop, NewSend::AT_ONCE)]
    {
        let send =
            new_send(env.store.reserve_message(), event.conversation.as_ref().unwrap().id, SendState::Queued, due_at);
        queued.push(send.message);
        env.store.commit(Commit { sends: vec![send], ..env.commit(event.id, PluginNo(1)) }).await.unwrap();
    }
    assert_eq!(env.reader.outbox_channels().unwrap(), ["club", "shop"]);
    let read = |due: &DueSends<'_>| {
        let page = env.reader.outbox_due(due).unwrap();
        (page.rows.iter().map(|row| row.message).collect::<Vec<_>>(), page.last, page.is_end)
    };
    let first = due_of("shop", NOW, 1);
    let (rows, last, is_end) = read(&first);
    assert_eq!((rows, is_end), (vec![queued[0]], false));
    let rest = DueSends { after: last.unwrap(), rows: 10, ..first.clone() };
    assert_eq!((read(&rest).0, read(&rest).2), (vec![queued[3]], true));
    assert_eq!(read(&due_of("club", NOW, 10)).0, [queued[1]]);
    // Bytes bound a page too.
    let small = DueSends { bytes: 1, ..due_of("shop", NOW, 10) };
    assert_eq!((read(&small).0.len(), read(&small).2), (1, false));
    // A time that no rule sets was counted on a clock that was set back since.
    let set_back = DueSends { latest: NOW.plus_ms(HOUR), ..due_of("shop", NOW, 10) };
    assert_eq!(read(&set_back).0, [queued[0], queued[3], queued[2]]);
}

#[tokio::test]
async fn failure_is_appended_for_a_subscriber() {
    let env = TestEnv::new();
    let event = env.append_one(from("31600000001", "wamid.in")).await;
    for (listener, events) in [(PluginNo(1), 1), (PluginNo(2), 0)] {
        // The gate refuses a queued row, the platform a sending one.
        for state in [SendState::Queued, SendState::Sending] {
            let message = env.send(&event, PluginNo(1), state).await;
            let outcome = SendOutcome::Failed(problem("window-closed"));
            let settlements = vec![Settlement { message, outcome, at: NOW, gate: None }];
            let settled = env.store.settle(settlements.clone(), statuses_for(vec![listener])).await.unwrap();
            assert_eq!((settled.events, env.state_of(message)), (events, SendState::Failed));
            assert_eq!(
                env.store.settle(settlements, statuses_for(vec![listener])).await.unwrap().events,
                0,
                "only once"
            );
        }
    }
    let last = env.events().pop().unwrap();
    let EventBody::MessageStatus { status, problem, .. } = last.body else { panic!("{last:?}") };
    assert_eq!((status.as_str(), problem.unwrap().code.as_str()), ("failed", "window-closed"));
}

#[tokio::test]
async fn quotes_and_reactions_match_messages_of_their_conversation() {
    let env = TestEnv::new();
    let event = env.append_one(from("31600000001", "wamid.in")).await;
    let reply = env.send(&event, PluginNo(3), SendState::Sending).await;
    env.settle(reply, SendOutcome::Accepted(Some("wamid.out".into()))).await;
    // Many messages later it is found in another block.
    (0..40_000).for_each(|_| _ = env.store.reserve_message());
    let quoted = |event: beadle_model::Event| match event.body {
        EventBody::Message { context: Some(context), addressed, .. } => (context.quoted_message, addressed),
        other => panic!("{other:?}"),
    };
    let table = [
        ("31600000001", "wamid.out", (Some(reply), Some(PluginNo(3)))),
        ("31600000001", "wamid.theirs", (None, None)),
        ("31600000002", "wamid.out", (None, None)),
    ];
    for (n, (sender, original, found)) in table.into_iter().enumerate() {
        assert_eq!(
            quoted(env.append_one(quoting(sender, &format!("q{n}"), original)).await),
            found,
            "{sender} {original}"
        );
    }
    // Beadle's own message is found and belongs to no plugin.
    let appended = env.append(vec![keyword("31600000001", "stop", beadle_model::Keyword::Stop)]).await;
    let answer = appended.queued[0].message;
    env.store.claim_sends(vec![answer]).await.unwrap();
    env.settle(answer, SendOutcome::Accepted(Some("wamid.host".into()))).await;
    assert_eq!(quoted(env.append_one(quoting("31600000001", "q9", "wamid.host")).await), (Some(answer), None));

    let reaction = |id: &str, to: &str| NewEvent {
        body: EventBody::Reaction {
            message: to.into(),
            own_message: None,
            emoji: Some("👍".into()),
            extra: serde_json::Value::Null,
        },
        ..from("31600000001", id)
    };
    for (id, to, own) in [("r1", "wamid.out", Some(reply)), ("r2", "wamid.other", None)] {
        let event = env.append_one(reaction(id, to)).await;
        let EventBody::Reaction { own_message, .. } = event.body else { panic!() };
        assert_eq!(own_message, own);
    }
}

#[tokio::test]
async fn unreadable_row_becomes_a_dead_letter_and_blocks_no_other() {
    let env = TestEnv::new();
    let event = env.append_one(from("31600000001", "in")).await;
    let mut messages = vec![];
    for state in [SendState::Queued, SendState::Sending, SendState::Queued] {
        messages.push(env.send(&event, PluginNo(1), state).await);
    }
    let damage = format!("UPDATE outbox_bodies SET body = '{{}}' WHERE id IN ({}, {})", messages[0].0, messages[1].0);
    rusqlite::Connection::open(env.db()).unwrap().execute_batch(&damage).unwrap();
    let due = due_sends(&env.reader, env.clock.now(), 10);
    assert_eq!(due.iter().map(|row| row.message).collect::<Vec<_>>(), messages[2..]);
    assert!(env.reader.outbox_sending().unwrap().is_empty());
    // A later step runs after the rows were set aside.
    env.append(vec![from("31600000001", "x")]).await;
    let env = env.crashed();
    let dead =
        env.reader.dead_letters(&beadle_store::views::DeadLetterFilter { limit: 10, ..Default::default() }).unwrap();
    let codes: Vec<_> = dead.iter().map(|letter| (letter.code.as_str(), letter.attempts)).collect();
    assert_eq!(codes, [("store-row-unreadable", 1); 2]);
    assert_eq!(number(&env, "SELECT count(*) FROM outbox WHERE state IN (0, 1)"), 1);
}

#[tokio::test]
async fn of_messages_with_one_key_the_first_is_sent() {
    let env = TestEnv::new();
    let event = env.append_one(from("31600000001", "in")).await;
    let conversation = event.conversation.as_ref().unwrap().id;
    let ids: Vec<MessageId> = (0..3).map(|_| env.store.reserve_message()).collect();
    let send = |message: &MessageId| NewSend {
        options: SendOptions { key: Some("reward 7".into()), purpose: None },
        ..new_send(*message, conversation, SendState::Queued, NOW)
    };
    // The order is that in which they are stored, not that of their ids.
    for id in [ids[1], ids[0]] {
        env.store.commit(Commit { sends: vec![send(&id)], ..env.commit(event.id, PluginNo(1)) }).await.unwrap();
    }
    let before = |plugin, key, message| env.reader.sent_before(PluginNo(plugin), key, message).unwrap();
    let draft = |plugin, key| before(plugin, key, None);
    assert_eq!(draft(1, "reward 7"), Some(ids[1]));
    assert_eq!((draft(2, "reward 7"), draft(1, "reward 8")), (None, None), "another plugin, another key");
    assert_eq!(before(1, "reward 7", Some(ids[1])), None);
    assert_eq!(before(1, "reward 7", Some(ids[0])), Some(ids[1]));
    let env = env.reopen();
    let before = |message| env.reader.sent_before(PluginNo(1), "reward 7", message).unwrap();
    let details = env.reader.message_details(ids[0]).unwrap().unwrap();
    assert_eq!(details.row.options.key.as_deref(), Some("reward 7"));
    // The first failed: the key is free. What was asked for before is still refused.
    env.store.claim_sends(vec![ids[1]]).await.unwrap();
    env.settle(ids[1], SendOutcome::Failed(problem("131026"))).await;
    assert_eq!((before(None), before(Some(ids[0]))), (None, Some(ids[1])));
    env.store.commit(Commit { sends: vec![send(&ids[2])], ..env.commit(event.id, PluginNo(1)) }).await.unwrap();
    assert_eq!((before(None), before(Some(ids[2]))), (Some(ids[2]), None));
}

#[tokio::test]
async fn stated_purpose_and_hold_are_kept() {
    let env = TestEnv::new();
    let event = env.append_one(from("31600000001", "in")).await;
    let message = env.store.reserve_message();
    let options = SendOptions { purpose: Some(Purpose::MarketingTopic("cats".into())), key: None };
    let send = NewSend {
        options: options.clone(),
        ..new_send(message, event.conversation.as_ref().unwrap().id, SendState::Sending, NOW)
    };
    env.store.commit(Commit { sends: vec![send], ..env.commit(event.id, PluginNo(1)) }).await.unwrap();
    env.settle(message, SendOutcome::Held(Some("wamid.1".into()))).await;
    let details = env.reader.message_details(message).unwrap().unwrap();
    assert_eq!((details.row.options, details.row.state), (options, SendState::Accepted));
    assert_eq!((details.held_at, details.sent_at), (Some(env.clock.now()), None));
}

#[tokio::test]
async fn body_that_could_not_be_read_back_is_refused_or_kept_as_text() {
    let env = TestEnv::new();
    let deep = |levels: usize| (0..levels).fold(serde_json::json!(1), |inner, _| serde_json::json!([inner]));
    let mut event = from("31600000001", "deep");
    if let EventBody::Message { extra, .. } = &mut event.body {
        *extra = deep(126);
    }
    let event = env.append_one(event).await;
    assert!(matches!(&event.body, EventBody::Unrouted { kind, .. } if kind == "message/too-deep"), "{:?}", event.body);
    let message = env.store.reserve_message();
    let conversation = event.conversation.as_ref().unwrap().id;
    let body = beadle_model::Outgoing::Interactive { json: deep(126), quote: None };
    let send = NewSend { body, ..new_send(message, conversation, SendState::Queued, NOW) };
    let error = env.store.commit(Commit { sends: vec![send], ..env.commit(event.id, PluginNo(1)) }).await.unwrap_err();
    assert!(matches!(error, beadle_store::StoreError::Unstorable { .. }), "{error}");
    assert_eq!((error.code(), error.blame(), error.retried()), ("effect-unstorable", Blame::Plugin, false));
}

#[tokio::test]
async fn quotes_and_reactions_by_another_spelling_of_the_id_are_recognised() {
    let env = TestEnv::new();
    let event = env.append_one(from("31600000001", "in")).await;
    let sent = env.send(&event, PluginNo(1), SendState::Sending).await;
    // The same token behind a number and behind a user id, as base64.
    let by_number = "wamid.HBgLMTU1NTAxMDAwMDEVAgARGCAwQTFCMkMzRDRFNUY2MDcxODI5M0E0QjVDNkQ3RThGOQA=";
    let scoped = "wamid.SFM6TkwuQUJDLTEyMzQVAgARGCAwQTFCMkMzRDRFNUY2MDcxODI5M0E0QjVDNkQ3RThGOQA=";
    env.settle(sent, SendOutcome::Accepted(Some(by_number.into()))).await;
    for (id, quoted) in [("a", by_number), ("b", scoped)] {
        let event = env.append_one(quoting("31600000001", id, quoted)).await;
        let EventBody::Message { context, addressed, .. } = event.body else { panic!() };
        assert_eq!((context.unwrap().quoted_message, addressed), (Some(sent), Some(PluginNo(1))), "{quoted}");
        let emoji = Some("👍".into());
        let (message, extra) = (quoted.into(), serde_json::Value::Null);
        let body = EventBody::Reaction { message, own_message: None, emoji, extra };
        let event = env.append_one(NewEvent { body, ..from("31600000001", &format!("r{id}")) }).await;
        let EventBody::Reaction { own_message, .. } = event.body else { panic!() };
        assert_eq!(own_message, Some(sent), "{quoted}");
    }
}
