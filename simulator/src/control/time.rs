//! The clock, and whether there is anything left to do.

use super::{Answer, Problem};
use crate::hub::Hub;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// The longest that a poll waits, in real time: proxies and clients give up at 30 s or later.
const POLL: Duration = Duration::from_secs(25);

#[derive(Deserialize)]
pub(super) struct ClockQuery {
    /// Answer when the revision is another than this.
    after: Option<u64>,
}

pub(super) async fn read(State(hub): State<Arc<Hub>>, Query(query): Query<ClockQuery>) -> Json<Value> {
    Json(json!(match query.after {
        None => hub.clock.face(),
        Some(after) => hub.clock.changed_after(after, POLL).await,
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Turn {
    /// Go there at once, forwards or back, as after a suspend.
    set_ms: Option<i64>,
    /// Go forwards so far, stopping at every moment at which something of ours is due until it is done.
    advance_ms: Option<i64>,
}

pub(super) async fn turn(State(hub): State<Arc<Hub>>, body: Result<Json<Turn>, JsonRejection>) -> Answer {
    let Json(turn) = body?;
    let now_ms = hub.clock.now_ms();
    let to_ms = match (turn.set_ms, turn.advance_ms) {
        (Some(to_ms), None) => to_ms,
        (None, Some(by_ms @ 0..)) => {
            let to_ms = now_ms.saturating_add(by_ms);
            step_to(&hub, to_ms).await?;
            to_ms
        }
        _ => return Err(Problem::wrong("give `set_ms`, or an `advance_ms` that is not negative")),
    };
    put(&hub, to_ms)?;
    Ok(Json(json!(hub.clock.face())))
}

async fn step_to(hub: &Hub, to_ms: i64) -> Result<(), Problem> {
    loop {
        idle_within(hub, POLL).await;
        match hub.courier.next_due_ms() {
            Some(due_ms) if due_ms < to_ms => put(hub, due_ms.max(hub.clock.now_ms()))?,
            _ => return Ok(()),
        }
        // What became due is taken by another task; until it was, it is still the next that is due.
        let mut load = hub.courier.watch();
        while hub.courier.next_due_ms().is_some_and(|due_ms| due_ms <= hub.clock.now_ms()) {
            let _ = timeout(Duration::from_millis(1), load.changed()).await;
        }
    }
}

fn put(hub: &Hub, to_ms: i64) -> Result<(), Problem> {
    if !hub.clock.set(to_ms) {
        let what = "this is the machine's clock: start with --clock virtual to turn it";
        return Err(Problem(StatusCode::CONFLICT, what.to_owned()));
    }
    hub.tell(|| json!({"kind": "clock", "clock": hub.clock.face()}));
    Ok(())
}

#[derive(Deserialize)]
pub(super) struct IdleQuery {
    /// Wait until idle, so many real milliseconds at most.
    wait_ms: Option<u64>,
    /// Wait also for what waits for civil time.
    #[serde(default)]
    drained: bool,
}

pub(super) async fn idle(State(hub): State<Arc<Hub>>, Query(query): Query<IdleQuery>) -> Json<Value> {
    if let Some(wait_ms) = query.wait_ms {
        let mut load = hub.courier.watch();
        let done = load.wait_for(|load| load.open == 0 && (!query.drained || load.waiting == 0));
        let _ = timeout(Duration::from_millis(wait_ms), done).await;
    }
    let load = hub.courier.load();
    let mut answer = json!(load);
    if let Some(answer) = answer.as_object_mut() {
        answer.insert("idle".to_owned(), json!(load.open == 0));
        answer.insert("next_due_ms".to_owned(), json!(hub.courier.next_due_ms()));
    }
    Json(answer)
}

async fn idle_within(hub: &Hub, patience: Duration) {
    let mut load = hub.courier.watch();
    let _ = timeout(patience, load.wait_for(|load| load.open == 0)).await;
}
