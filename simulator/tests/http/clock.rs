//! The virtual clock: advancing with a follower, and advancing by itself.

use crate::env::{START_MS, TestEnv};
use axum::extract::Query;
use axum::routing::get;
use axum::{Json, Router};
use parking_lot::Mutex;
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;

/// A follower with tasks due at these times. It is busy when it is queried about a revision for the
/// first time. Returns its URL, and the revisions that it was queried about.
async fn follower(due: &'static [i64]) -> (String, Arc<Mutex<Vec<u64>>>) {
    let queried: Arc<Mutex<Vec<u64>>> = Arc::default();
    let (revisions, due) = (Arc::clone(&queried), Arc::new(Mutex::new(due.iter())));
    let respond = move |Query(query): Query<HashMap<String, u64>>| {
        let (revision, mut revisions) = (query["revision"], revisions.lock());
        let at_rest = revisions.last() == Some(&revision);
        revisions.push(revision);
        // A task remains the next due until the clock has reached it, which is another revision.
        let next = if at_rest { due.lock().next().map(|after| START_MS + after) } else { None };
        std::future::ready(Json(json!({"at_rest": at_rest, "next_due_at": next})))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/clock", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/clock", get(respond))).await.unwrap() });
    (url, queried)
}

#[tokio::test]
async fn advance_stops_at_the_followers_due_times_until_it_is_idle() {
    let env = TestEnv::new().await;
    let (url, queried) = follower(&[1000, 5000, 60_000]).await;
    env.get(&format!("clock?follower={url}")).await;
    let clock = env.control("clock", json!({"advance_ms": 10_000})).await;
    assert_eq!(clock["now_ms"], START_MS + 10_000);
    // At the start, after one and after five seconds, and at the end; twice each, because it is
    // busy at first.
    assert_eq!(*queried.lock(), [1, 1, 2, 2, 3, 3, 4, 4]);
}

#[tokio::test]
async fn stopped_follower_is_not_awaited() {
    let env = TestEnv::new().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    env.get(&format!("clock?follower=http://{closed}/clock")).await;
    let clock = env.control("clock", json!({"advance_ms": 10_000})).await;
    assert_eq!(clock["now_ms"], START_MS + 10_000);
}

#[tokio::test]
async fn clock_advances_by_itself_at_a_speed() {
    let env = TestEnv::new().await;
    let mut clock = env.control("clock", json!({"speed": 3600})).await;
    while clock["now_ms"].as_i64().unwrap() < START_MS + 3_600_000 {
        clock = env.get(&format!("clock?after={}", clock["rev"])).await;
    }
    let stopped = env.control("clock", json!({"speed": 0})).await;
    assert_eq!(stopped["speed"], 0.0);
    for wrong in [json!({"speed": -1}), json!({"speed": 1e9}), json!({"advance_ms": 1, "speed": 1}), json!({})] {
        assert_eq!(env.post("/control/clock", wrong).await.0, 400);
    }
}
