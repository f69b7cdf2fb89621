//! The clock, and whether the simulator is idle.

use super::answer::{Answer, ControlError};
use crate::clock_control::{self, ClockError, MAX_SPEED};
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

/// Maximum duration of a long poll in real time; proxies and clients time out after 30 s or later.
const POLL_TIMEOUT: Duration = Duration::from_secs(25);

#[derive(Deserialize)]
pub(super) struct ClockQuery {
    /// Respond when the revision differs from this.
    after: Option<u64>,
    /// The URL at which the state of the follower can be queried.
    follower: Option<String>,
}

pub(super) async fn read(State(hub): State<Arc<Hub>>, Query(query): Query<ClockQuery>) -> Json<Value> {
    if let Some(follower) = query.follower {
        hub.set_follower(Some(follower));
    }
    Json(json!(match query.after {
        None => hub.clock.state(),
        Some(after) => hub.clock.changed_after(after, POLL_TIMEOUT).await,
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClockChange {
    /// Set the clock immediately, forwards or backwards, as after a suspend.
    set_ms: Option<i64>,
    /// Advance by this duration, stopping at every due time until everything due is done.
    advance_ms: Option<i64>,
    /// Advance by itself at this speed; 0 stops the clock.
    speed: Option<f64>,
}

pub(super) async fn change(State(hub): State<Arc<Hub>>, body: Result<Json<ClockChange>, JsonRejection>) -> Answer {
    let Json(change) = body?;
    match change {
        ClockChange { set_ms: Some(to_ms), advance_ms: None, speed: None } => clock_control::jump(&hub, to_ms).await?,
        ClockChange { set_ms: None, advance_ms: Some(by_ms @ 0..), speed: None } => {
            clock_control::advance(&hub, hub.clock.now_ms().saturating_add(by_ms)).await?;
        }
        ClockChange { set_ms: None, advance_ms: None, speed: Some(speed) } if (0.0..=MAX_SPEED).contains(&speed) => {
            clock_control::set_speed(&hub, speed)?;
        }
        _ => {
            return Err(ControlError::invalid(format!(
                "set exactly one of `set_ms`, `advance_ms` (not negative) and `speed` (0 to {MAX_SPEED})"
            )));
        }
    }
    Ok(Json(json!(hub.clock.state())))
}

impl From<ClockError> for ControlError {
    fn from(error: ClockError) -> Self {
        let status = match error {
            ClockError::SystemClock => StatusCode::CONFLICT,
            ClockError::NotIdle { .. } => StatusCode::GATEWAY_TIMEOUT,
        };
        ControlError(status, error.to_string())
    }
}

#[derive(Deserialize)]
pub(super) struct IdleQuery {
    /// How long to wait until the simulator is idle, in real milliseconds.
    wait_ms: Option<u64>,
    /// Also wait for everything that waits for the clock.
    #[serde(default)]
    drained: bool,
}

pub(super) async fn idle(State(hub): State<Arc<Hub>>, Query(query): Query<IdleQuery>) -> Json<Value> {
    if let Some(wait_ms) = query.wait_ms {
        let mut status = hub.webhook_sender.watch();
        let idle = status.wait_for(|status| status.in_flight == 0 && (!query.drained || status.waiting == 0));
        let _ = timeout(Duration::from_millis(wait_ms), idle).await;
    }
    let status = hub.webhook_sender.status();
    let mut response = json!(status);
    if let Some(response) = response.as_object_mut() {
        response.insert("idle".to_owned(), json!(status.in_flight == 0));
        response.insert("next_due_ms".to_owned(), json!(hub.webhook_sender.next_due_ms()));
    }
    Json(response)
}
