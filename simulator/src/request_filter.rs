//! What happens to every request before it is routed: the `Host` header is checked, and Graph paths
//! are normalised.
//!
//! The control API has no authentication and is reached from a browser. A page on the internet can
//! make a browser send requests to a loopback address by resolving its own name to it (DNS
//! rebinding); such requests carry that name in `Host`. Accepted are therefore addresses,
//! `localhost`, and names without a dot, which cannot be public.

use axum::extract::Request;
use axum::http::uri::PathAndQuery;
use axum::http::{StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::net::IpAddr;

/// The version of paths that name none.
const DEFAULT_VERSION: &str = "v26.0";

/// Paths that are not Graph paths.
const OTHER_PATHS: [&str; 4] = ["", "control", "page", "whatsapp_business"];

/// Checks the host and normalises the path.
pub(crate) async fn filter(mut request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    if let Some(host) = host.filter(|host| !is_local(host)) {
        let error = format!("the host `{host}` is not local; use `localhost` or an IP address");
        return (StatusCode::FORBIDDEN, axum::Json(json!({ "error": error }))).into_response();
    }
    if let Some(uri) = normalised(request.uri()) {
        *request.uri_mut() = uri;
    }
    next.run(request).await
}

fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.parse::<IpAddr>().is_ok() || !name.contains('.') || name.ends_with(".localhost")
}

/// A Graph path without a slash at the end, and with the default version if it names none; `None`
/// if nothing changes.
fn normalised(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    let trimmed = path.trim_end_matches('/');
    let mut segments = trimmed.trim_start_matches('/').split('/');
    let first = segments.next()?;
    if OTHER_PATHS.contains(&first) {
        return None;
    }
    let has_version = first.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    // `/{id}` and `/{id}/{edge}`; with a third segment the first one is an invalid version.
    let prefix = if has_version || segments.count() > 1 { String::new() } else { format!("/{DEFAULT_VERSION}") };
    if prefix.is_empty() && trimmed == path {
        return None;
    }
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(format!("{prefix}{trimmed}{query}")).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_local_hosts_are_accepted() {
        for host in ["127.0.0.1:8490", "[::1]:8490", "localhost", "simulator:8490", "a.localhost:1"] {
            assert!(is_local(host), "{host}");
        }
        for host in ["attacker.example", "attacker.example:8490", "127.0.0.1.attacker.example"] {
            assert!(!is_local(host), "{host}");
        }
    }

    #[test]
    fn graph_paths_are_normalised() {
        for (path, expected) in [
            ("/1/messages", Some("/v26.0/1/messages")),
            ("/v25.0/1/messages/", Some("/v25.0/1/messages")),
            ("/77?fields=id", Some("/v26.0/77?fields=id")),
            ("/v25.0/1/messages", None),
            ("/latest/1/messages", None),
            ("/control/people/", None),
            ("/", None),
        ] {
            let changed = normalised(&path.parse().unwrap()).map(|uri| uri.to_string());
            assert_eq!(changed.as_deref(), expected, "{path}");
        }
    }
}
