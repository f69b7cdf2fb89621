//! Windows: opened and renewed by the platform's time, checked when due, each notice sent once.

use crate::env::*;
use beadle_model::{ConversationId, Event, EventBody, LeadTimes, Timestamp, WINDOW_MS};
use beadle_store::step::*;

const MINUTE: i64 = 60_000;
const LEAD_TIMES_KEY: [i64; 2] = [2 * HOUR, 30 * MINUTE];
fn all() -> Interest {
    Interest { window_expiring: true, window_closed: true, ..Interest::default() }
}

/// The window events in order: conversation, lead time in minutes (`None`: closed), and end in
/// minutes from [`NOW`].
fn notices(env: &TestEnv) -> Vec<(i64, Option<i64>, i64)> {
    let minutes = |at: &Timestamp| (at.0 - NOW.0) / MINUTE;
    let notice = |event: Event| {
        let conversation = event.conversation?.id.0;
        match event.body {
            EventBody::WindowExpiring { closes_at, lead_ms } => {
                Some((conversation, Some(lead_ms / MINUTE), minutes(&closes_at)))
            }
            EventBody::WindowClosed { closed_at } => Some((conversation, None, minutes(&closed_at))),
            _ => None,
        }
    };
    env.events().into_iter().filter_map(notice).collect()
}

async fn armed() -> TestEnv {
    let env = TestEnv::new();
    assert!(!env.store.arm_windows(LeadTimes::new(LEAD_TIMES_KEY.to_vec()), 100).await.unwrap());
    env
}

/// A message with this time stamp (in minutes) that arrives at that time.
async fn writes(env: &TestEnv, number: &str, at: i64, comes: i64) -> Appended {
    env.manual.set(NOW.plus_ms(comes * MINUTE));
    let mut event = from(number, &format!("{number} {at}"));
    event.happened_at = NOW.plus_ms(at * MINUTE);
    env.store.append(Batch { events: vec![event], interest: all(), ..Batch::default() }).await.unwrap()
}

/// Checks what is due at this time; returns when the next check is due.
async fn check(env: &TestEnv, at: i64) -> Option<i64> {
    env.manual.set(NOW.plus_ms(at * MINUTE));
    let looked = env.store.check_windows(env.clock.now(), all(), 100).await.unwrap();
    looked.next_due.map(|due| (due.0 - NOW.0) / MINUTE)
}

fn until(env: &TestEnv, conversation: i64) -> i64 {
    let view = env.reader.conversation(ConversationId(conversation)).unwrap().unwrap();
    (view.window_until.unwrap().0 - NOW.0) / MINUTE
}

const DAY_MINUTES: i64 = 24 * 60;

#[tokio::test]
async fn each_notice_is_sent_once() {
    let env = armed().await;
    let appended = writes(&env, "31600000001", 0, 0).await;
    assert_eq!(appended.window_due, Some(NOW.plus_ms(22 * HOUR)), "the longest lead time before its end");
    assert_eq!(check(&env, 22 * 60 - 1).await, Some(22 * 60));
    assert_eq!(check(&env, 22 * 60).await, Some(DAY_MINUTES - 30));
    assert_eq!(check(&env, 22 * 60).await, Some(DAY_MINUTES - 30));
    assert_eq!(check(&env, DAY_MINUTES - 30).await, Some(DAY_MINUTES));
    let crashed = env.crashed();
    for env in [env, crashed] {
        assert_eq!(check(&env, DAY_MINUTES).await, None);
        assert_eq!(check(&env, 2 * DAY_MINUTES).await, None);
        let wanted = [(1, Some(120), DAY_MINUTES), (1, Some(30), DAY_MINUTES), (1, None, DAY_MINUTES)];
        assert_eq!(notices(&env), wanted);
        let last = env.events().pop().unwrap();
        assert_eq!((last.happened_at, last.received_at), (NOW.plus_ms(DAY), NOW.plus_ms(DAY)));
        assert_eq!(number(&env, "SELECT count(*) FROM windows"), 0);
    }
}

#[tokio::test]
async fn message_renews_the_window_without_index_writes() {
    let env = armed().await;
    writes(&env, "31600000001", 0, 0).await;
    let due = number(&env, "SELECT due_at FROM windows");
    let appended = writes(&env, "31600000001", 10 * 60, 10 * 60).await;
    assert_eq!((appended.window_due, number(&env, "SELECT due_at FROM windows")), (None, due));
    // It is checked at the time of the first message and then moved to its present end.
    assert_eq!(check(&env, 22 * 60).await, Some(32 * 60));
    assert_eq!(check(&env, 32 * 60).await, Some(33 * 60 + 30));
    writes(&env, "31600000001", 33 * 60, 33 * 60).await;
    assert_eq!(check(&env, 33 * 60 + 30).await, Some(55 * 60), "renewed: no second notice, and of the other one later");
    check(&env, 55 * 60).await;
    check(&env, 57 * 60).await;
    assert_eq!(notices(&env), [(1, Some(120), 34 * 60), (1, Some(120), 57 * 60), (1, None, 57 * 60)]);
}

#[tokio::test]
async fn late_webhooks_count_by_platform_time() {
    let env = armed().await;
    writes(&env, "31600000001", 60, 60).await;
    // An older message never shortens a window.
    writes(&env, "31600000001", 0, 61).await;
    assert_eq!(until(&env, 1), DAY_MINUTES + 60);
    // A message that is a day late: its window has ended, so nothing is opened and no notice is
    // sent.
    let over = writes(&env, "31600000002", 100, 100 + DAY_MINUTES).await;
    assert_eq!((over.window_due, until(&env, 2)), (None, DAY_MINUTES + 100));
    assert_eq!(number(&env, "SELECT count(*) FROM windows WHERE conversation = 2"), 0);
    // An hour of the window is left: the lead time that has passed causes a notice at once.
    check(&env, DAY_MINUTES + 200).await;
    let late = writes(&env, "31600000003", 300, 300 + 23 * 60).await;
    assert_eq!(late.window_due, Some(NOW.plus_ms((300 + 22 * 60) * MINUTE)));
    check(&env, 300 + 23 * 60).await;
    let before: Vec<_> = notices(&env).into_iter().filter(|notice| notice.0 != 1).collect();
    assert_eq!(before, [(3, Some(120), 300 + DAY_MINUTES)]);
    // A time stamp in the future: at most 24 hours from the arrival.
    writes(&env, "31600000004", 5000, 2000).await;
    assert_eq!(until(&env, 4), 2000 + DAY_MINUTES);
}

#[tokio::test]
async fn ended_window_is_closed_before_a_new_one_opens() {
    let env = armed().await;
    writes(&env, "31600000001", 0, 0).await;
    writes(&env, "31600000002", 0, 0).await;
    writes(&env, "31600000003", 0, 0).await;
    // Two hours after the end: one writes again, one's webhook was late, one is silent.
    let after = DAY_MINUTES + 120;
    let again = writes(&env, "31600000001", after, after).await;
    assert_eq!((again.events, again.window_due), (2, Some(NOW.plus_ms((after + 22 * 60) * MINUTE))));
    writes(&env, "31600000002", DAY_MINUTES - 1, after).await;
    // A repeated webhook changes nothing.
    let twice = writes(&env, "31600000001", after, after).await;
    assert_eq!((twice.events, twice.duplicates), (0, 1));
    let env = env.reopen();
    check(&env, after).await;
    check(&env, after).await;
    assert_eq!(notices(&env), [(1, None, DAY_MINUTES), (3, None, DAY_MINUTES)], "the second one was never closed");
    let kinds = kinds(&env.events());
    assert_eq!(kinds[kinds.len() - 4..], ["window-closed", "message", "message", "window-closed"]);
    check(&env, 10 * DAY_MINUTES).await;
    assert_eq!(notices(&env)[2..], [(2, None, 2 * DAY_MINUTES - 1), (1, None, after + DAY_MINUTES)]);
}

#[tokio::test]
async fn windows_are_per_conversation() {
    let env = armed().await;
    let mut events = Vec::new();
    for (n, (number, group, channel)) in [
        ("31600000001", None, "shop"),
        ("31600000001", None, "help"),
        ("31600000001", Some("group"), "shop"),
        ("31600000002", Some("group"), "shop"),
    ]
    .into_iter()
    .enumerate()
    {
        let sender = Sender { channel: channel.into(), group: group.map(String::from), ..sender(vec![wa(number)]) };
        let mut event = message(&n.to_string(), sender, "hi");
        event.happened_at = NOW.plus_ms(i64::try_from(n).unwrap() * MINUTE);
        events.push(event);
    }
    env.manual.advance_ms(10 * MINUTE);
    env.store.append(Batch { events, interest: all(), ..Batch::default() }).await.unwrap();
    assert_eq!(number(&env, "SELECT count(*) FROM windows"), 3);
    check(&env, 2 * DAY_MINUTES).await;
    assert_eq!(notices(&env), [(1, None, DAY_MINUTES), (2, None, DAY_MINUTES + 1), (3, None, DAY_MINUTES + 3)]);
    let group = env.events().pop().unwrap().conversation.unwrap();
    assert_eq!(group.group.as_deref(), Some("group"));
    assert_eq!(group.contact.id.0, 2, "who wrote last");
}

#[tokio::test]
async fn notices_without_a_subscriber_are_not_appended() {
    let env = armed().await;
    writes(&env, "31600000001", 0, 0).await;
    let none = Interest::default();
    let at = |minutes: i64| NOW.plus_ms(minutes * MINUTE);
    let looked = env.store.check_windows(at(22 * 60), none, 100).await.unwrap();
    assert_eq!(looked, WindowsChecked { checked: 1, events: 0, next_due: Some(at(DAY_MINUTES - 30)) });
    // A plugin that subscribes now gets the remaining notices.
    check(&env, DAY_MINUTES - 30).await;
    env.store.check_windows(at(DAY_MINUTES), Interest { window_closed: false, ..all() }, 100).await.unwrap();
    assert_eq!(notices(&env), [(1, Some(30), DAY_MINUTES)]);
    assert_eq!(number(&env, "SELECT count(*) FROM windows"), 0);
}

#[tokio::test]
async fn clock_set_back_repeats_no_notice() {
    let env = armed().await;
    writes(&env, "31600000001", 0, 0).await;
    for at in [22 * 60, 20 * 60, 22 * 60, DAY_MINUTES - 30, 22 * 60, DAY_MINUTES, 23 * 60] {
        check(&env, at).await;
    }
    // Open again by this clock; a message that does not renew the window opens no check.
    writes(&env, "31600000001", -5, 23 * 60).await;
    check(&env, 2 * DAY_MINUTES).await;
    let wanted = [(1, Some(120), DAY_MINUTES), (1, Some(30), DAY_MINUTES), (1, None, DAY_MINUTES)];
    assert_eq!(notices(&env), wanted);
    // A message that renews it does.
    writes(&env, "31600000001", 23 * 60, 23 * 60).await;
    assert_eq!(check(&env, 23 * 60).await, Some(45 * 60));
}

#[tokio::test]
async fn changed_lead_times_are_applied_in_slices_across_crashes() {
    let env = armed().await;
    for n in 0..10 {
        writes(&env, &format!("3160000000{n}"), n, n).await;
    }
    check(&env, 22 * 60 + 5).await;
    let other = LeadTimes::new(vec![6 * HOUR, HOUR]);
    assert!(env.store.arm_windows(other.clone(), 4).await.unwrap());
    let env = env.crashed();
    // A window that opens meanwhile uses the new lead times at once.
    let appended = writes(&env, "31600000010", 22 * 60 + 6, 22 * 60 + 6).await;
    assert_eq!(appended.window_due, Some(NOW.plus_ms((40 * 60 + 6) * MINUTE)));
    while env.store.arm_windows(other.clone(), 4).await.unwrap() {}
    assert!(!env.store.arm_windows(other, 4).await.unwrap(), "and once is enough");
    let due =
        "SELECT count(*) FROM windows JOIN conversations ON id = conversation WHERE window_until - due_at = 3600000";
    assert_eq!(number(&env, due), 10);
    check(&env, 23 * 60 + 2).await;
    let before = notices(&env);
    assert_eq!(before[..6].iter().map(|notice| notice.1).collect::<Vec<_>>(), [Some(120); 6]);
    assert_eq!(
        before[6..].iter().map(|notice| notice.1).collect::<Vec<_>>(),
        [Some(60); 3],
        "six hours before is over"
    );
}

#[tokio::test]
async fn event_that_opens_no_window_opens_none() {
    let env = armed().await;
    let mut silent = from("31600000001", "1");
    silent.opens_window = false;
    let appended = env.append(vec![silent]).await;
    assert_eq!(appended.window_due, None);
    assert_eq!(number(&env, "SELECT count(*) FROM windows"), 0);
    assert_eq!(env.reader.conversation(ConversationId(1)).unwrap().unwrap().window_until, None);
}

#[tokio::test]
async fn free_entry_point_does_not_extend_the_window() {
    let env = armed().await;
    let event = env.append_one(from("31600000001", "1")).await;
    let message = env.send(&event, beadle_model::PluginNo(1), SendState::Sending).await;
    let free = |until_hours: i64| Receipt {
        free_entry_until: Some(NOW.plus_ms(until_hours * HOUR)),
        ..receipt(message, "sent", NOW)
    };
    env.receipts(vec![free(72), free(70)], vec![]).await;
    let view = env.reader.conversation(ConversationId(1)).unwrap().unwrap();
    assert_eq!(view.free_entry_until, Some(NOW.plus_ms(72 * HOUR)), "the furthest that was reported");
    assert_eq!(view.window_until, Some(NOW.plus_ms(WINDOW_MS)));
    let later = env.append_one(from("31600000001", "2")).await;
    assert_eq!(later.conversation.unwrap().free_entry_until, Some(NOW.plus_ms(72 * HOUR)));
}

/// Caps what ends too late, as the loop does before each check.
async fn cap(env: &TestEnv, at: i64) {
    env.manual.set(NOW.plus_ms(at * MINUTE));
    while env.store.arm_windows(LeadTimes::new(LEAD_TIMES_KEY.to_vec()), 100).await.unwrap() {}
}

#[tokio::test]
async fn window_of_a_clock_that_was_ahead_ends_a_day_after_the_correction() {
    const AHEAD: i64 = 2 * 365 * DAY_MINUTES;
    for (restarts, closes_ahead) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut env = armed().await;
        writes(&env, "31600000001", 0, 0).await;
        writes(&env, "31600000002", 0, 0).await;
        writes(&env, "31600000002", AHEAD, AHEAD).await;
        writes(&env, "31600000003", AHEAD, AHEAD).await;
        if closes_ahead {
            check(&env, AHEAD + 2 * DAY_MINUTES).await;
            // The clock is further ahead than the window was open.
            writes(&env, "31600000004", AHEAD + 3 * DAY_MINUTES, AHEAD + 3 * DAY_MINUTES).await;
        }
        if restarts {
            env = env.reopen();
        }
        cap(&env, 5).await;
        let ends: Vec<_> = (1..=3).map(|conversation| until(&env, conversation)).collect();
        assert_eq!(ends, [DAY_MINUTES, DAY_MINUTES + 5, DAY_MINUTES + 5], "restarts {restarts}, closes {closes_ahead}");
        assert_eq!(number(&env, "SELECT max(last_inbound_at) FROM conversations"), NOW.plus_ms(5 * MINUTE).0);
        // Nothing is repeated, and a message renews as ever.
        let appended = writes(&env, "31600000003", 60, 60).await;
        assert_eq!(until(&env, 3), DAY_MINUTES + 60);
        assert_eq!(appended.window_due.is_some(), closes_ahead, "a closed window opens");
        cap(&env, 61).await;
        assert_eq!(until(&env, 3), DAY_MINUTES + 60);
        check(&env, 26 * 60).await;
        assert_eq!(number(&env, "SELECT count(*) FROM windows"), 0, "all are closed in time");
    }
}
