//! Rows that cannot be read: skipped, set aside and reported, wherever rows are read back.

use crate::env::*;
use beadle_model::effect::{StateRead, StateWrite};
use beadle_model::event::Problem;
use beadle_model::{Coded as _, EventId, PluginNo, Scope};
use beadle_store::schedules::ScheduleEntry;
use beadle_store::step::*;
use beadle_store::views::DeadLetterFilter;

fn damage(env: &TestEnv, sql: &str) {
    let conn = rusqlite::Connection::open(env.db()).unwrap();
    assert!(conn.execute(sql, []).unwrap() > 0, "{sql}");
}

/// The ids of the dead letters, once reported rows were set aside.
async fn dead_letters(env: &TestEnv) -> Vec<String> {
    env.append(vec![from("31600000009", &format!("after {}", number(env, "SELECT count(*) FROM events")))]).await;
    let mut ids: Vec<_> = env
        .reader
        .dead_letters(&DeadLetterFilter { limit: 10, ..Default::default() })
        .unwrap()
        .into_iter()
        .map(|letter| format!("{} {}", letter.reference, letter.code))
        .collect();
    ids.sort();
    ids
}

/// Four events of two contacts; the feed is not read.
async fn four_events() -> TestEnv {
    let env = TestEnv::new();
    env.append(vec![from("31600000001", "1"), from("31600000002", "2")]).await;
    assert_eq!(env.events().len(), 4);
    env
}

#[tokio::test]
async fn unreadable_event_is_skipped_whatever_is_wrong_with_it() {
    for wrong in [
        "UPDATE event_bodies SET body = '{' WHERE id = 2",
        "UPDATE event_bodies SET body = CAST(x'ff' AS TEXT) WHERE id = 2",
        "DELETE FROM event_bodies WHERE id = 2",
        "UPDATE events SET kind = 999 WHERE id = 2",
    ] {
        let env = four_events().await;
        damage(&env, wrong);
        let env = env.reopen();
        let mut feed = env.store.feed().unwrap();
        assert_eq!(ids(&drain(&mut feed, 10).await), [1, 3, 4], "{wrong}");
        assert_eq!(dead_letters(&env).await, ["hnd_2.0 store-row-unreadable"], "{wrong}");
        // It does not come back.
        let env = env.reopen();
        assert!(!ids(&drain(&mut env.store.feed().unwrap(), 10).await).contains(&2), "{wrong}");
    }
}

#[tokio::test]
async fn event_with_an_unreadable_body_is_shown_to_people() {
    use beadle_model::EventBody;
    let env = four_events().await;
    damage(&env, "UPDATE event_bodies SET body = CAST(x'7bff' AS TEXT) WHERE id = 2");
    damage(&env, "DELETE FROM event_bodies WHERE id = 3");
    let stored = |id| match env.reader.event_details(EventId(id)).unwrap().unwrap().body {
        EventBody::Unrouted { kind, json } if kind.starts_with("unreadable: ") => {
            json.as_str().unwrap_or_default().to_owned()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!([stored(2), stored(3)], ["{\u{fffd}", ""]);
    assert_eq!(env.reader.readable_event(EventId(2)).unwrap(), None);
    assert!(env.reader.readable_event(EventId(1)).unwrap().is_some());
}

#[tokio::test]
async fn event_with_an_unreadable_handling_or_list_is_skipped() {
    let env = four_events().await;
    let list = env.store.subscriber_list(vec![PluginNo(1), PluginNo(2)]).await.unwrap();
    let other = env.store.subscriber_list(vec![PluginNo(1)]).await.unwrap();
    for (event, subscriber_list) in [(1, list), (2, other), (3, other)] {
        let progress = Progress { subscriber_list, ..progress(EventId(event), 0, 1) };
        env.store.finish(progress, env.store.fence()).await.unwrap();
    }
    let failed = FailedAttempt {
        event: EventId(2),
        plugin: PluginNo(1),
        is_waiting: false,
        attempts: 1,
        code: "trap".into(),
        error: String::new(),
        next_at: NOW,
    };
    env.store.record_failed_attempt(failed).await.unwrap();
    damage(&env, "UPDATE subscriber_lists SET plugins = 'x' WHERE id = 1");
    damage(&env, "UPDATE handlings SET attempts = -1 WHERE event = 2");
    let env = env.reopen();
    assert_eq!(ids(&drain(&mut env.store.feed().unwrap(), 10).await), [3, 4]);
    assert_eq!(dead_letters(&env).await, ["hnd_1.0 store-row-unreadable", "hnd_2.0 store-row-unreadable"]);
}

/// Records that plugin 1 has not handled an event.
async fn record(env: &TestEnv, event: i64, state: UnhandledState, code: &str) {
    let unhandled = Unhandled {
        fence: env.store.fence(),
        plugin: PluginNo(1),
        state,
        attempts: 0,
        code: code.into(),
        error: String::new(),
        at: NOW,
        progress: progress(EventId(event), 1, 1),
        refused: Default::default(),
    };
    env.store.record_unhandled(unhandled).await.unwrap();
}

#[tokio::test]
async fn unreadable_waiting_handling_blocks_no_other() {
    let env = four_events().await;
    for event in 1..=3 {
        record(&env, event, UnhandledState::Waiting, "plugin-suspended").await;
    }
    damage(&env, "UPDATE handlings SET attempts = -1 WHERE event = 1");
    damage(&env, "DELETE FROM event_bodies WHERE id = 2");
    let waiting = env.reader.waiting_handlings(PluginNo(1), &Default::default(), 10).unwrap();
    assert_eq!(waiting.iter().map(|waiting| waiting.event.id.0).collect::<Vec<_>>(), [3]);
    assert_eq!(dead_letters(&env).await, ["hnd_1.1 store-row-unreadable", "hnd_2.1 store-row-unreadable"]);
    assert_eq!(env.reader.waiting_counts().unwrap(), [(PluginNo(1), 1)]);
}

#[tokio::test]
async fn conversation_with_an_unreadable_address_takes_messages() {
    let env = four_events().await;
    damage(&env, "UPDATE conversations SET address_kind = 99 WHERE contact = 1");
    let env = env.reopen();
    let event = env.append_one(from("31600000001", "again")).await;
    assert_eq!(event.conversation.unwrap().address, Some(wa("31600000001")));
}

#[tokio::test]
async fn webhook_with_a_part_that_needs_an_unreadable_row_brings_the_other_parts() {
    for wrong in [
        "UPDATE conversations SET channel = CAST(x'ff' AS TEXT) WHERE contact = 1",
        "UPDATE contacts SET name = CAST(x'ff' AS TEXT) WHERE id = 1",
        "DELETE FROM contacts WHERE id = 1",
    ] {
        let env = four_events().await;
        damage(&env, wrong);
        let env = env.reopen();
        let events = vec![from("31600000002", "3"), from("31600000001", "4"), from("31600000003", "5")];
        let batch = Batch { events, ..Batch::default() };
        let refused = env.store.append(batch.clone()).await.unwrap_err();
        assert!(refused.is_refusal(), "{wrong}: {refused}");
        let count = || number(&env, "SELECT count(*) FROM events");
        assert_eq!(count(), 4, "without its source a batch is appended whole or not at all: {wrong}");
        let source = Some(SourceWebhook { app: "club".into(), body: b"{}".to_vec() });
        let appended = env.store.append(Batch { source, ..batch }).await.unwrap();
        // Two messages, and a new member.
        assert_eq!((appended.events, appended.duplicates, appended.rejected.len()), (3, 0, 1), "{wrong}");
        let kept = env.reader.rejected_webhook(appended.rejected[0]).unwrap().unwrap();
        assert_eq!((kept.app.as_str(), kept.body.as_slice()), ("club", &b"{}"[..]), "{wrong}");
        let letters = env.reader.dead_letters(&DeadLetterFilter { limit: 10, ..Default::default() }).unwrap();
        assert_eq!(letters.iter().map(|letter| letter.code.as_str()).collect::<Vec<_>>(), [refused.code()], "{wrong}");
        // The feed gets what was appended, in order and without a gap.
        let mut feed = env.store.feed().unwrap();
        let fed = drain(&mut feed, 100).await;
        let own: Vec<_> = ids(&fed).into_iter().filter(|id| *id > 4).collect();
        assert_eq!(own, [5, 6, 7], "{wrong}");
    }
}

#[tokio::test]
async fn unreadable_plan_of_a_schedule_counts_as_an_edit() {
    let env = TestEnv::new();
    let plugin = env.store.plugin_no("news").await.unwrap();
    let entry =
        |name: &str| ScheduleEntry { name: name.into(), renamed_from: None, plan: [7; 16], plugins: vec![plugin] };
    let configure = async |from| env.store.configure_schedules(vec![entry("a"), entry("b")], from).await.unwrap();
    configure(NOW).await;
    damage(&env, "UPDATE schedules SET plan = x'00' WHERE name = 'a'");
    let later = NOW.plus_ms(HOUR);
    let decided: Vec<_> = configure(later).await.iter().map(|row| row.plugins[0].1).collect();
    assert_eq!(decided, [later, NOW]);
}

#[tokio::test]
async fn commit_that_needs_an_unreadable_row_is_refused_whole() {
    let env = four_events().await;
    let value = StateWrite::Set { scope: Scope::Plugin, key: "key".into(), value: b"x".to_vec(), expires_at: None };
    let commit = |event: i64| env.commit(EventId(event), PluginNo(1));
    env.store.commit(Commit { state: vec![value.clone()], ..commit(1) }).await.unwrap();
    damage(&env, "UPDATE state_values SET key = CAST(x'ff' AS TEXT)");
    let (prefix, seen) = (String::new(), vec![("key".to_owned(), 1)]);
    let read = StateRead::Scan { scope: Scope::Plugin, prefix, after: None, until: None, seen };
    let refused = env.store.commit(Commit { reads: vec![read], state: vec![value], ..commit(2) }).await.unwrap_err();
    assert_eq!((refused.code(), refused.blame()), ("store-row-unreadable", beadle_model::Blame::Host));
    assert!(refused.is_refusal(), "it is not repeated");
    assert_eq!(number(&env, "SELECT count(*) FROM state_values"), 1);
    env.store.commit(commit(3)).await.unwrap();
}

#[tokio::test]
async fn dead_letter_that_cannot_be_read_is_left_out_of_the_list() {
    let env = four_events().await;
    for event in 1..=2 {
        record(&env, event, UnhandledState::DeadLetter, "trap").await;
    }
    damage(&env, "UPDATE dead_letters SET attempts = -1 WHERE event = 1");
    assert_eq!(dead_letters(&env).await, ["hnd_2.1 trap"]);
}

#[tokio::test]
async fn reads_for_the_feed_are_bounded_by_bytes() {
    let env = TestEnv::with(|config| config.feed_events = 0);
    let mut feed = env.store.feed().unwrap();
    let large = |n: i32| {
        let mut event = message(&format!("{n}"), sender(vec![wa("31600000001")]), &"x".repeat(3 << 20));
        event.opens_window = false;
        event
    };
    for n in 0..5 {
        env.append(vec![large(n)]).await;
    }
    let mut sizes = vec![];
    while sizes.iter().sum::<usize>() < 5 {
        sizes.push(feed.next(100).await.len());
    }
    // Three messages of 3 MiB are over 8 MiB.
    assert_eq!(sizes, [3, 2]);
}

#[tokio::test]
async fn unreadable_hold_of_a_channel_is_left_out() {
    let env = TestEnv::new();
    let problem = Problem { code: "131048".into(), title: "limited".into(), details: None, by: "platform".into() };
    let hold = beadle_store::OutreachHold { until: NOW, duration_ms: HOUR, problem };
    env.store.keep_outreach_hold("shop".into(), hold.clone()).await.unwrap();
    damage(&env, "INSERT INTO meta (key, value) VALUES ('outreach_hold:club', '{\"until\": 3')");
    assert_eq!(env.reader.outreach_holds().unwrap(), [("shop".to_owned(), hold)]);
}

#[tokio::test]
async fn refresh_token_is_replaced_deleted_with_its_plugin_and_ignored_if_unreadable() {
    let env = TestEnv::new();
    let token = |token: &str| beadle_store::RotatedToken { configured: "hash".into(), token: token.into() };
    let crm = env.store.plugin_no("crm").await.unwrap();
    for (plugin, name) in [("crm", "one"), ("crm", "two"), ("crm-2", "one")] {
        env.store.keep_refresh_token(plugin.into(), name.into(), token("first")).await.unwrap();
    }
    env.store.keep_refresh_token("crm".into(), "one".into(), token("second")).await.unwrap();
    assert_eq!(env.reader.refresh_token("crm", "one").unwrap(), Some(token("second")));
    assert_eq!(env.reader.refresh_token("crm", "three").unwrap(), None);
    assert!(!format!("{:?}", token("second")).contains("second"));
    damage(&env, "UPDATE meta SET value = '{' WHERE key = 'refresh_token:crm/two'");
    assert_eq!(env.reader.refresh_token("crm", "two").unwrap(), None);
    env.store.purge_plugin(crm).await.unwrap();
    assert_eq!(env.reader.refresh_token("crm", "one").unwrap(), None);
    assert_eq!(env.reader.refresh_token("crm-2", "one").unwrap(), Some(token("first")));
}
