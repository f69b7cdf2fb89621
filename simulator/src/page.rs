//! The chat page: static files compiled into the program. Plain JavaScript modules and style
//! sheets, without a framework or a build step.

use crate::hub::Hub;
use axum::Router;
use axum::http::header;
use axum::routing::get;
use std::sync::Arc;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

/// Path, media type, text.
const FILES: &[(&str, &str, &str)] = &[
    ("/", HTML, include_str!("page/index.html")),
    ("/page/icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
    ("/page/base.css", CSS, include_str!("page/base.css")),
    ("/page/chat.css", CSS, include_str!("page/chat.css")),
    ("/page/content.css", CSS, include_str!("page/content.css")),
    ("/page/drawer.css", CSS, include_str!("page/drawer.css")),
    ("/page/main.js", JS, include_str!("page/main.js")),
    ("/page/api.js", JS, include_str!("page/api.js")),
    ("/page/dom.js", JS, include_str!("page/dom.js")),
    ("/page/message.js", JS, include_str!("page/message.js")),
    ("/page/content.js", JS, include_str!("page/content.js")),
    ("/page/chat.js", JS, include_str!("page/chat.js")),
    ("/page/group.js", JS, include_str!("page/group.js")),
    ("/page/attach.js", JS, include_str!("page/attach.js")),
    ("/page/dialogs.js", JS, include_str!("page/dialogs.js")),
    ("/page/inspector.js", JS, include_str!("page/inspector.js")),
    ("/page/phone.js", JS, include_str!("page/phone.js")),
    ("/page/sheet.js", JS, include_str!("page/sheet.js")),
    ("/page/drawer.js", JS, include_str!("page/drawer.js")),
];

/// Nothing from other origins, and inline only styles: messages cannot become code.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'";

pub(crate) fn routes() -> Router<Arc<Hub>> {
    FILES.iter().fold(Router::new(), |router, &(path, kind, text)| {
        let headers = [
            (header::CONTENT_TYPE, kind),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            // Another build may listen on the same address later.
            (header::CACHE_CONTROL, "no-cache"),
        ];
        router.route(path, get(move || async move { (headers, text) }))
    })
}
