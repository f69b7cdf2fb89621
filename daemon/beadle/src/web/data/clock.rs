//! The clock, for whoever turns it.

use super::Admin;
use crate::api::ClockFace;
use axum::Json;
use axum::extract::{Query, State};
use beadle_clock::Activity;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

/// So long it is waited until everything is at rest: longer than any time-out of a call or a send goes on for, shorter than
/// whoever asks waits. Real time.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Deserialize)]
pub struct Asked {
    /// Answer when this turn has come and all that it set off is done.
    turn: Option<u64>,
}

/// `GET /clock`
pub async fn clock(State(admin): State<Arc<Admin>>, Query(asked): Query<Asked>) -> Json<ClockFace> {
    let rest = match (&admin.followed, asked.turn) {
        (Some(followed), Some(turn)) => Some(followed.settled(turn, PATIENCE).await),
        (Some(followed), None) => Some(followed.settled(0, Duration::ZERO).await),
        (None, _) => None,
    };
    let next_due = match rest {
        Some(Activity::IdleUntil(next_due)) => next_due,
        _ => None,
    };
    Json(ClockFace {
        now: admin.clock.now().as_ms(),
        turn: admin.followed.as_ref().map(|followed| followed.rev()),
        at_rest: rest.map(|rest| rest != Activity::Busy),
        next_due_at: next_due.map(|at| at.as_ms()),
    })
}
