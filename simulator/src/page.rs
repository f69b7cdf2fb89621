//! The chat page: files that are part of the program, so that it needs no network and no folder.

use crate::hub::Hub;
use axum::Router;
use axum::http::header;
use axum::routing::get;
use std::sync::Arc;

/// Path, media type, text.
const FILES: [(&str, &str, &str); 1] = [("/", "text/html; charset=utf-8", include_str!("page/index.html"))];

pub(crate) fn routes() -> Router<Arc<Hub>> {
    FILES.into_iter().fold(Router::new(), |router, (path, kind, text)| {
        router.route(path, get(move || async move { ([(header::CONTENT_TYPE, kind)], text) }))
    })
}
