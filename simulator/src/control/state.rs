//! The whole state, out and in.

use super::{Answer, Problem};
use crate::hub::Hub;
use crate::save::{self, Saved};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

#[derive(Deserialize)]
pub(super) struct Patience {
    /// Real milliseconds to wait until nothing is on its way.
    #[serde(default = "a_second")]
    wait_ms: u64,
}

fn a_second() -> u64 {
    1_000
}

pub(super) async fn save(
    State(hub): State<Arc<Hub>>,
    Query(patience): Query<Patience>,
) -> Result<Json<Saved>, Problem> {
    let mut load = hub.courier.watch();
    // Not idle in time is told by what is asked next.
    let _ = timeout(Duration::from_millis(patience.wait_ms), load.wait_for(|load| load.open == 0)).await;
    save::save(&hub).map(Json).map_err(Problem::conflict)
}

pub(super) async fn load(State(hub): State<Arc<Hub>>, body: Bytes) -> Answer {
    let saved: Saved = serde_json::from_slice(&body).map_err(|error| Problem::wrong(error.to_string()))?;
    save::load(&hub, saved).map_err(Problem::wrong)?;
    Ok(Json(json!({})))
}
