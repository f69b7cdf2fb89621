//! Files of people: uploaded here, then sent by their id with `/control/say`.

use super::answer::{Answer, ControlError};
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
pub(super) struct UploadQuery {
    filename: Option<String>,
}

/// Stores a file: the body, with its `Content-Type`. Returns its id and the message type that it is
/// for.
pub(super) async fn add(
    State(hub): State<Arc<Hub>>,
    Query(query): Query<UploadQuery>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let mime = headers.get(header::CONTENT_TYPE).and_then(|mime| mime.to_str().ok()).unwrap_or_default();
    media::check(mime, &body).map_err(|refusal| ControlError::invalid(refusal.details))?;
    let id = hub.world().media.add(hub.ids.number(), mime, query.filename, body, true, hub.clock.now_ms());
    Ok(Json(json!({"id": id, "kind": media::kind_of(mime)})))
}

/// Serves any file to the chat page. The sandbox policy prevents it from acting as a page itself.
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
        None => ControlError::not_found(format!("file `{id}` does not exist or has expired")).into_response(),
    }
}
