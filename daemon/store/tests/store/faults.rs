//! Failures: a failing step among others, a full disk, a second daemon, a full queue.

use crate::env::*;
use beadle_model::event::Problem;
use beadle_model::{Coded, EventId, PluginNo};
use beadle_store::step::*;
use beadle_store::{Retention, Store, StoreError};
use std::time::Duration;

#[tokio::test]
async fn only_the_failing_step_of_a_group_fails() {
    let env = TestEnv::new();
    let event = env.append_one(from("31600000001", "wamid.in")).await;
    let conversation = event.conversation.as_ref().unwrap().id;
    let taken = env.send(&event, PluginNo(1), SendState::Queued).await;
    let mut tasks = vec![];
    for n in 0..400 {
        let message = if n == 200 { taken } else { env.store.reserve_message() };
        let sends = vec![new_send(message, conversation, SendState::Sending, NOW)];
        let (store, commit) = (env.store.clone(), Commit { sends, ..env.commit(event.id, PluginNo(1)) });
        tasks.push(tokio::spawn(async move { store.commit(commit).await }));
    }
    let mut failed = vec![];
    for (n, task) in tasks.into_iter().enumerate() {
        if let Err(error) = task.await.unwrap() {
            failed.push((n, error.code()));
        }
    }
    assert_eq!(failed, [(200, "store-failed")]);
    assert_eq!(env.reader.outbox_sending().unwrap().len(), 399);
    assert!(env.store.health().rollbacks > 0);
    // The cache forgot what was rolled back, and nothing else.
    assert_eq!(env.state_of(taken), SendState::Queued);
    assert_eq!(env.crashed().reader.outbox_sending().unwrap().len(), 399);
}

async fn wait_until(condition: &str, is_done: impl Fn() -> bool) {
    beadle_test_support::wait_until(condition, async || is_done().then_some(())).await;
}

fn large_message(id: &str) -> NewEvent {
    let mut event = message(id, sender(vec![wa("31600000001")]), &"x".repeat(30_000));
    event.opens_window = false;
    event
}

/// An outcome whose error needs many pages.
fn long_problem() -> SendOutcome {
    SendOutcome::Failed(Problem { details: Some("y".repeat(300_000)), ..problem("131000") })
}

#[tokio::test]
async fn full_disk_defers_settlements() {
    let env = TestEnv::with(|config| (config.max_pages, config.ballast_bytes) = (Some(400), 1 << 20));
    let ballast = env.dir.path().join("ballast");
    assert!(ballast.exists());
    let event = env.append_one(large_message("first")).await;
    let (one, two) = (
        env.send(&event, PluginNo(1), SendState::Sending).await,
        env.send(&event, PluginNo(1), SendState::Sending).await,
    );
    let mut appended = 1;
    let error = loop {
        let batch = Batch { events: vec![large_message(&format!("{appended}"))], ..Batch::default() };
        match env.store.append(batch).await {
            Ok(_) => appended += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((error.code(), error.retried()), ("disk-full", true));
    assert!(!env.store.writable() && !ballast.exists());
    let health = env.store.health();
    assert!(health.trouble.is_some_and(|trouble| trouble.contains("no space")));
    // New work is refused, and none was stored.
    assert_eq!(env.store.commit(env.commit(event.id, PluginNo(1))).await.unwrap_err().code(), "disk-full");
    assert_eq!(env.events().len() as i64, appended);

    // A settlement that fits is written; one that does not is deferred, and so are later ones.
    env.settle(one, SendOutcome::Accepted(Some("wamid.1".into()))).await;
    assert_eq!(env.state_of(one), SendState::Accepted);
    let settled = env
        .store
        .settle(vec![Settlement { message: two, outcome: long_problem(), at: NOW, gate: None }], Interest::default())
        .await;
    assert_eq!(settled.unwrap().deferred, 1);
    assert_eq!((env.state_of(two), env.store.health().deferred_settlements), (SendState::Sending, 1));

    // A crash now leaves it ambiguous, not lost.
    let sending = env.crashed().reader.outbox_sending().unwrap();
    assert_eq!(sending.iter().map(|row| row.message).collect::<Vec<_>>(), [two]);
}

#[tokio::test]
async fn steps_before_a_full_disk_survive_a_restart() {
    let env = TestEnv::with(|config| (config.max_pages, config.ballast_bytes) = (Some(400), 1 << 20));
    let mut n = 0;
    while env.store.append(Batch { events: vec![large_message(&format!("{n}"))], ..Batch::default() }).await.is_ok() {
        n += 1;
    }
    assert!(n > 20);
    let env = env.reopen();
    assert_eq!(env.events().len(), n);
}

#[tokio::test]
async fn store_recovers_when_the_disk_has_space() {
    let env = TestEnv::with(|config| (config.max_pages, config.ballast_bytes) = (Some(400), 1 << 20));
    let ballast = env.dir.path().join("ballast");
    let (event, mut feed) = (env.append_one(large_message("first")).await, env.store.feed().unwrap());
    let sending = env.send(&event, PluginNo(1), SendState::Sending).await;
    for n in 0..29 {
        env.append(vec![large_message(&format!("{n}"))]).await;
    }
    for id in 1..=30 {
        env.store.finish(progress(EventId(id), 1, 1), env.store.fence()).await.unwrap();
    }
    assert_eq!(env.store.finished_below(EventId(31)).await.unwrap(), EventId(31));
    let mut n = 100;
    while env.store.append(Batch { events: vec![large_message(&format!("{n}"))], ..Batch::default() }).await.is_ok() {
        n += 1;
    }
    let settlements = vec![Settlement { message: sending, outcome: long_problem(), at: NOW, gate: None }];
    assert_eq!(env.store.settle(settlements, statuses_for(vec![PluginNo(1)])).await.unwrap().deferred, 1);

    env.manual.advance_ms(40 * DAY);
    assert_eq!(env.store.retain(Retention::default(), env.clock.now()).await.unwrap().events, 30);
    wait_until("the store is writable", || env.store.writable()).await;
    assert_eq!((env.store.health().deferred_settlements, env.state_of(sending)), (0, SendState::Failed));
    assert!(ballast.exists());
    env.append(vec![large_message("after")]).await;
    // The failure became an event once it could be written, and the feed missed nothing.
    let fed = drain(&mut feed, 100).await;
    assert_eq!(ids(&fed), (1..=env.reader.events(&newest()).unwrap()[0].id.0).collect::<Vec<_>>());
    let reports = fed.iter().filter(|fed| fed.event.kind() == beadle_model::EventKind::MessageStatus).count();
    assert_eq!(reports, 1);
}

fn newest() -> beadle_store::views::EventFilter {
    beadle_store::views::EventFilter { limit: 1, ..Default::default() }
}

#[tokio::test]
async fn second_daemon_is_refused() {
    let env = TestEnv::new();
    let error = Store::open(config(env.dir.path(), &env.clock)).map(drop).unwrap_err();
    let pid = std::process::id();
    assert_eq!(
        error.to_string(),
        format!(
            "{} is in use by another daemon (process {pid}); stop it, or set a different `data_dir`",
            env.dir.path().display()
        )
    );
    let (store, path) = (env.store.clone(), env.dir.path().to_owned());
    store.close();
    Store::open(config(&path, &env.clock)).unwrap().close();
    let error = env.store.append(Batch::default()).await.unwrap_err();
    assert!(matches!(error, StoreError::Closed) && error.is_fatal());
}

#[tokio::test]
async fn foreign_database_is_left_alone() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), beadle_clock::Clock::real());
    let path = dir.path().join("beadle.db");
    let open = || Store::open(config(dir.path(), &clock)).map(drop).unwrap_err().code();
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE recipes (id)").unwrap();
    let before = std::fs::read(&path).unwrap();
    assert_eq!(open(), "store-not-beadle");
    assert_eq!(std::fs::read(&path).unwrap(), before);
    std::fs::write(&path, "Dear diary, ".repeat(1000)).unwrap();
    assert_eq!(open(), "store-not-beadle");
}

#[tokio::test(flavor = "multi_thread")]
async fn full_queue_is_reported_at_once() {
    let env = TestEnv::with(|config| config.queue = 2);
    // Another process holds the database's lock, so the writer waits with its group.
    let other = rusqlite::Connection::open(env.db()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut waiting = vec![];
    let busy = loop {
        let (store, id) = (env.store.clone(), format!("{}", waiting.len()));
        let append = tokio::spawn(async move {
            store.append(Batch { events: vec![from("31600000001", &id)], ..Batch::default() }).await
        });
        let begun = tokio::time::Instant::now();
        wait_until("the step waits or was refused", || {
            append.is_finished() || begun.elapsed() > Duration::from_millis(20)
        })
        .await;
        if append.is_finished() {
            break append.await.unwrap().unwrap_err();
        }
        waiting.push(append);
    };
    assert_eq!((busy.code(), busy.retried()), ("store-busy", true));
    assert!((2..=4).contains(&waiting.len()));
    other.execute_batch("COMMIT").unwrap();
    for append in waiting {
        append.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn lock_held_by_another_process_defers_settlements() {
    let env = TestEnv::new();
    let event = env.append_one(from("31600000001", "in")).await;
    let message = env.send(&event, PluginNo(1), SendState::Sending).await;
    let other = rusqlite::Connection::open(env.db()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let settlement =
        Settlement { message, outcome: SendOutcome::Accepted(Some("wamid.1".into())), at: NOW, gate: None };
    let settled = env.store.settle(vec![settlement], Interest::default()).await.unwrap();
    assert_eq!((settled.deferred, env.state_of(message)), (1, SendState::Sending));
    let refused = env.store.append(Batch { events: vec![from("31600000001", "x")], ..Batch::default() }).await;
    assert_eq!(refused.unwrap_err().code(), "store-unavailable");
    other.execute_batch("ROLLBACK").unwrap();
    wait_until("the store is writable", || env.store.writable()).await;
    assert_eq!(env.state_of(message), SendState::Accepted);
    env.append(vec![from("31600000001", "x")]).await;
}

#[tokio::test]
async fn start_waits_for_a_program_that_locks_the_database() {
    let TestEnv { dir, store, clock, .. } = TestEnv::new();
    store.close();
    let other = rusqlite::Connection::open(dir.path().join("beadle.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let configured = config(dir.path(), &clock);
    let opening = std::thread::spawn(move || Store::open(configured));
    // SQLite itself gives up after five seconds. This waits for longer, and in vain.
    let third = rusqlite::Connection::open(dir.path().join("beadle.db")).unwrap();
    third.busy_timeout(Duration::from_secs(7)).unwrap();
    third.execute_batch("BEGIN IMMEDIATE").unwrap_err();
    assert!(!opening.is_finished());
    other.execute_batch("ROLLBACK").unwrap();
    opening.join().unwrap().unwrap().close();
}

#[tokio::test]
async fn reader_that_never_ends_stops_new_work_at_the_limit_of_the_log() {
    let env = TestEnv::with(|config| (config.log_pages, config.log_limit_bytes) = (100, 8 << 20));
    let event = env.append_one(large_message("first")).await;
    let message = env.send(&event, PluginNo(1), SendState::Sending).await;
    let reader = rusqlite::Connection::open(env.db()).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM events").unwrap();

    let (mut appended, mut was_long) = (0, false);
    let error = loop {
        let batch = Batch { events: vec![large_message(&format!("{appended}"))], ..Batch::default() };
        match env.store.append(batch).await {
            Ok(_) => appended += 1,
            Err(error) => break error,
        }
        assert!(appended < 5000, "{:?}", env.store.health());
        was_long |= env.store.health().is_log_long;
        // The checkpointer measures the log every 20 ms.
        if appended % 20 == 0 {
            wait_until("the log was measured", || {
                let health = env.store.health();
                health.wal_pages * 4096 > appended * 25_000 || !health.writable
            })
            .await;
        }
    };
    assert_eq!((error.code(), error.retried()), ("store-log-too-large", true));
    assert!(was_long && !env.store.writable());
    assert!(env.store.health().trouble.is_some_and(|trouble| trouble.contains("read transaction")));
    assert_eq!(env.store.commit(env.commit(event.id, PluginNo(1))).await.unwrap_err().code(), "store-log-too-large");
    let size = || std::fs::metadata(env.dir.path().join("beadle.db-wal")).unwrap().len();
    let at_the_limit = size();

    // What must not be lost is written.
    env.settle(message, SendOutcome::Accepted(Some("wamid.1".into()))).await;
    assert_eq!(env.state_of(message), SendState::Accepted);
    assert!(size() < at_the_limit + (1 << 20));

    drop(reader);
    wait_until("the store is writable", || env.store.writable()).await;
    assert!(size() < 1 << 20, "the log was truncated");
    env.append(vec![large_message("after")]).await;
    assert!(!env.store.health().is_log_long);
}

#[tokio::test]
async fn log_without_a_foreign_reader_stays_below_its_limit() {
    let env = TestEnv::with(|config| (config.log_pages, config.log_limit_bytes) = (100, 8 << 20));
    for n in 0..1000 {
        env.append(vec![large_message(&format!("{n}"))]).await;
    }
    assert!(env.store.writable());
}
