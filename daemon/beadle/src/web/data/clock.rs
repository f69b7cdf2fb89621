//! The clock, for a simulator that drives it.

use crate::api::ClockView;
use crate::web::context::Admin;
use axum::Json;
use axum::extract::{Query, State};
use beadle_clock::Activity;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

/// How long a request waits until everything is idle: longer than the time-outs of calls and sends,
/// shorter than the simulator's own. Real time.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Deserialize)]
pub struct Asked {
    /// Answer once this revision is shown and everything that it set off is done.
    revision: Option<u64>,
}

/// `GET /clock`
pub async fn clock(State(admin): State<Arc<Admin>>, Query(asked): Query<Asked>) -> Json<ClockView> {
    let rest = match (&admin.followed, asked.revision) {
        (Some(followed), Some(revision)) => Some(followed.settled(revision, PATIENCE).await),
        (Some(followed), None) => Some(followed.settled(0, Duration::ZERO).await),
        (None, _) => None,
    };
    let next_due = match rest {
        Some(Activity::IdleUntil(next_due)) => next_due,
        _ => None,
    };
    Json(ClockView {
        now: admin.clock.now().as_ms(),
        revision: admin.followed.as_ref().map(|followed| followed.rev()),
        at_rest: rest.map(|rest| rest != Activity::Busy),
        next_due_at: next_due.map(|at| at.as_ms()),
    })
}
