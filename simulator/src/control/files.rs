//! Files of people: put here first, then said by their id.

use super::{Answer, Problem};
use crate::hub::Hub;
use crate::media;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

#[derive(Deserialize)]
pub(super) struct Named {
    filename: Option<String>,
}

/// The body is the file, its `Content-Type` its type; gives the id, and as which kind of message it can be said.
pub(super) async fn add(
    State(hub): State<Arc<Hub>>,
    Query(named): Query<Named>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let mime = headers.get(header::CONTENT_TYPE).and_then(|mime| mime.to_str().ok()).unwrap_or_default();
    media::check(mime, &body).map_err(|refusal| Problem::wrong(refusal.details))?;
    let id = hub.world().media.add(hub.ids.number(), mime, named.filename, body, true, hub.clock.now_ms());
    Ok(Json(json!({"id": id, "kind": media::kind_of(mime)})))
}

/// A file of either side, for the page. It can be no page itself: a sandbox holds whatever is in it.
pub(super) async fn show(State(hub): State<Arc<Hub>>, Path(id): Path<String>) -> Response {
    let world = hub.world();
    match world.media.get(&id, hub.clock.now_ms()) {
        Some(file) => {
            let headers = [
                (header::CONTENT_TYPE, file.mime.clone()),
                (header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'; style-src 'unsafe-inline'".to_owned()),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
            ];
            (headers, file.bytes.clone()).into_response()
        }
        None => Problem::nothing(format!("there is no file `{id}`, or it has expired")).into_response(),
    }
}
