//! Media: upload, lookup, download and deletion; and resumable uploads, which the examples of
//! templates need.

use super::call::{Call, CallResult};
use crate::hub::Hub;
use crate::media;
use crate::refusal::Refusal;
use axum::body::Bytes;
use axum::extract::{Query, State as Shared};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

/// `POST /{PHONE_NUMBER_ID}/media`.
pub(super) async fn upload(call: &Call<'_>) -> CallResult {
    if call.method != Method::POST {
        return Err(call.unsupported());
    }
    let form = call.form().await?;
    // The Graph API accepts parameters in the query too, where whatsapp-api-js puts this one.
    let product = form.fields.get("messaging_product").or_else(|| call.query.get("messaging_product"));
    if product.map(String::as_str) != Some("whatsapp") {
        return Err(Refusal::new(100, "The parameter messaging_product is required."));
    }
    let file = form.file.ok_or_else(|| Refusal::new(100, "The parameter file is required."))?;
    // The form's `type` takes precedence over that of the part.
    let mime = form.fields.get("type").cloned().or(file.mime).unwrap_or_default();
    media::check(&mime, &file.bytes)?;
    let hub = call.hub;
    let id = hub.world().media.add(hub.ids.number(), &mime, Some(file.filename), file.bytes, false, hub.clock.now_ms());
    Ok(json!({"id": id}))
}

/// `GET` and `DELETE /{MEDIA_ID}`.
pub(super) fn file(call: &Call<'_>) -> CallResult {
    let hub = call.hub;
    let other = call.query.get("phone_number_id").is_some_and(|number| *number != hub.config.phone_number_id);
    let now_ms = hub.clock.now_ms();
    let mut world = hub.world();
    let Some(file) = world.media.get(call.id, now_ms).filter(|_| !other) else {
        return Err(Refusal::unknown_object(call.method, call.id));
    };
    if call.method == Method::GET {
        return Ok(json!({
            "messaging_product": "whatsapp",
            "url": media::url(&call.base_url, &hub.config.app_secret, call.id, now_ms),
            "mime_type": file.mime,
            "sha256": file.sha256_hex(),
            // A string, as documented.
            "file_size": file.bytes.len().to_string(),
            "id": file.id,
        }));
    }
    if call.method != Method::DELETE {
        return Err(call.unsupported());
    }
    Ok(json!({"success": world.media.remove(call.id)}))
}

#[derive(Deserialize)]
pub(crate) struct DownloadQuery {
    mid: String,
    ext: i64,
    hash: String,
}

/// Serves a file at the URL from `GET /{MEDIA_ID}` or a webhook. Requires the access token.
pub(crate) async fn download(
    Shared(hub): Shared<Arc<Hub>>,
    Query(query): Query<DownloadQuery>,
    headers: HeaderMap,
) -> Response {
    let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if !token.and_then(|token| token.strip_prefix("Bearer ")).is_some_and(|token| hub.accepts_token(token)) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let now_ms = hub.clock.now_ms();
    let world = hub.world();
    let valid = media::url_is_valid(&hub.config.app_secret, &query.mid, query.ext, &query.hash, now_ms);
    match world.media.get(&query.mid, now_ms).filter(|_| valid) {
        Some(file) => ([(header::CONTENT_TYPE, file.mime.clone())], file.bytes.clone()).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// `POST /{APP_ID}/uploads`: the first step of a resumable upload.
pub(super) fn start_upload(call: &Call<'_>) -> CallResult {
    for name in ["file_length", "file_type"] {
        call.parameter(name).ok_or_else(|| Refusal::new(100, format!("The parameter {name} is required.")))?;
    }
    Ok(json!({"id": format!("upload:{}", call.hub.ids.link())}))
}

/// `POST /upload:…`: the bytes of a resumable upload; returns the handle for a template's example.
pub(super) fn upload_part(call: &Call<'_>) -> CallResult {
    if call.method == Method::GET {
        return Ok(json!({"id": call.id, "file_offset": 0}));
    }
    let bytes: &Bytes = call.body;
    if bytes.is_empty() {
        return Err(Refusal::new(100, "The upload is empty."));
    }
    Ok(json!({"h": format!("4::{}:{}", call.hub.ids.link(), bytes.len())}))
}
