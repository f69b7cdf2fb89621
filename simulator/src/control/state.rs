//! Saving and loading the whole state.

use super::answer::{Answer, ControlError};
use crate::hub::Hub;
use crate::saved_state::{self, SavedState};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

#[derive(Deserialize)]
pub(super) struct SaveQuery {
    /// How long to wait until nothing is in flight, in real milliseconds.
    #[serde(default = "default_wait_ms")]
    wait_ms: u64,
}

fn default_wait_ms() -> u64 {
    1_000
}

pub(super) async fn save(
    State(hub): State<Arc<Hub>>,
    Query(query): Query<SaveQuery>,
) -> Result<Json<SavedState>, ControlError> {
    let mut status = hub.webhook_sender.watch();
    // After a time-out, saving fails with an error.
    let _ = timeout(Duration::from_millis(query.wait_ms), status.wait_for(|status| status.in_flight == 0)).await;
    saved_state::save(&hub).map(Json).map_err(ControlError::conflict)
}

pub(super) async fn load(State(hub): State<Arc<Hub>>, body: Bytes) -> Answer {
    let saved: SavedState = serde_json::from_slice(&body).map_err(|error| ControlError::invalid(error.to_string()))?;
    saved_state::load(&hub, saved).map_err(ControlError::invalid)?;
    Ok(Json(json!({})))
}
