//! Time as it is turned: with a follower that is asked where it stands, and by itself.

use crate::house::{House, START_MS};
use axum::extract::Query;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// A daemon whose things are due at these moments; the first time it is asked about a turn it is busy. Gives where it can be
/// asked, and the turns that it was asked about.
async fn follower(due: &'static [i64]) -> (String, Arc<Mutex<Vec<u64>>>) {
    let asked: Arc<Mutex<Vec<u64>>> = Arc::default();
    let (turns, due) = (Arc::clone(&asked), Arc::new(Mutex::new(due.iter())));
    let answer = move |Query(query): Query<HashMap<String, u64>>| {
        let (turn, mut turns) = (query["turn"], turns.lock().unwrap());
        let rested = turns.last() == Some(&turn);
        turns.push(turn);
        // What is due next stands until the clock got there, which is the next turn.
        let next = if rested { due.lock().unwrap().next().map(|after| START_MS + after) } else { None };
        std::future::ready(Json(json!({"at_rest": rested, "next_due_at": next})))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/clock", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/clock", get(answer))).await.unwrap() });
    (url, asked)
}

#[tokio::test]
async fn a_turn_stops_where_the_follower_has_something_due_and_waits_until_it_is_done() {
    let house = House::new().await;
    let (url, asked) = follower(&[1000, 5000, 60_000]).await;
    house.get(&format!("clock?follower={url}")).await;
    let face = house.control("clock", json!({"advance_ms": 10_000})).await;
    assert_eq!(face["now_ms"], START_MS + 10_000);
    // As it stood, a second later, four seconds after that, and at the end; each until it was at rest.
    assert_eq!(*asked.lock().unwrap(), [1, 1, 2, 2, 3, 3, 4, 4]);
}

#[tokio::test]
async fn a_follower_that_is_gone_is_not_waited_for() {
    let house = House::new().await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    house.get(&format!("clock?follower=http://{nobody}/clock")).await;
    let face = house.control("clock", json!({"advance_ms": 10_000})).await;
    assert_eq!(face["now_ms"], START_MS + 10_000);
}

#[tokio::test]
async fn it_goes_by_itself_and_stands_still_again() {
    let house = House::new().await;
    let mut face = house.control("clock", json!({"speed": 3600})).await;
    while face["now_ms"].as_i64().unwrap() < START_MS + 3_600_000 {
        face = house.get(&format!("clock?after={}", face["rev"])).await;
    }
    let still = house.control("clock", json!({"speed": 0})).await;
    assert_eq!(still["speed"], 0.0);
    for wrong in [json!({"speed": -1}), json!({"speed": 1e9}), json!({"advance_ms": 1, "speed": 1}), json!({})] {
        assert_eq!(house.post("/control/clock", wrong).await.0, 400);
    }
}
