//! The clock, and whether there is anything left to do.

use super::{Answer, Problem};
use crate::hub::Hub;
use crate::turning::{self, MOST_SPEED, NotTurned};
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
    /// Whoever asks follows the clock, and can be asked there whether it is at rest.
    follower: Option<String>,
}

pub(super) async fn read(State(hub): State<Arc<Hub>>, Query(query): Query<ClockQuery>) -> Json<Value> {
    if let Some(follower) = query.follower {
        hub.set_follower(Some(follower));
    }
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
    /// Go forwards so far, stopping at every moment at which something is due until it is done.
    advance_ms: Option<i64>,
    /// Go by itself from now on, so fast; 0 stands still.
    speed: Option<f64>,
}

pub(super) async fn turn(State(hub): State<Arc<Hub>>, body: Result<Json<Turn>, JsonRejection>) -> Answer {
    let Json(turn) = body?;
    match turn {
        Turn { set_ms: Some(to_ms), advance_ms: None, speed: None } => turning::jump(&hub, to_ms).await?,
        Turn { set_ms: None, advance_ms: Some(by_ms @ 0..), speed: None } => {
            turning::advance(&hub, hub.clock.now_ms().saturating_add(by_ms)).await?;
        }
        Turn { set_ms: None, advance_ms: None, speed: Some(speed) } if (0.0..=MOST_SPEED).contains(&speed) => {
            turning::set_speed(&hub, speed)?;
        }
        _ => {
            let what =
                format!("give `set_ms`, an `advance_ms` that is not negative, or a `speed` from 0 to {MOST_SPEED}");
            return Err(Problem::wrong(&what));
        }
    }
    Ok(Json(json!(hub.clock.face())))
}

impl From<NotTurned> for Problem {
    fn from(why: NotTurned) -> Self {
        let status = match why {
            NotTurned::Machine => StatusCode::CONFLICT,
            NotTurned::Restless { .. } => StatusCode::GATEWAY_TIMEOUT,
        };
        Problem(status, why.to_string())
    }
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
