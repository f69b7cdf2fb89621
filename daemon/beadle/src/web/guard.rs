//! Protection of the admin address against pages of other sites in a local browser.
//!
//! A page of another site could post a form here; `Origin` and `Sec-Fetch-Site` reveal that. It
//! could also resolve its own name to 127.0.0.1 and read (DNS rebinding); `Host` reveals that,
//! because a name that is neither an address nor `localhost` is not ours. Programs send no `Origin`
//! and are not affected.

use super::failure::ApiError;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use std::net::{IpAddr, SocketAddr};

/// Answers 403 to requests of other sites.
pub async fn guard(request: Request, next: Next) -> Response {
    let changes = !matches!(request.method().as_str(), "GET" | "HEAD");
    match objection(request.headers(), changes) {
        None => next.run(request).await,
        Some(reason) => ApiError::cross_site(reason).into_response(),
    }
}

/// Why a request with these headers is refused.
fn objection(headers: &HeaderMap, changes: bool) -> Option<&'static str> {
    let text = |name| headers.get(name).map(|value: &axum::http::HeaderValue| value.to_str().unwrap_or("?"));
    let host = text(header::HOST).unwrap_or_default();
    if !is_ours(host) {
        return Some("the `Host` header must be an address or `localhost`");
    }
    if !changes {
        return None;
    }
    match (text(header::ORIGIN), text(header::HeaderName::from_static("sec-fetch-site"))) {
        (Some(origin), _) if origin.split_once("://").map(|(_, host)| host) != Some(host) => {
            Some("pages of other sites must not change anything")
        }
        (_, Some(site)) if site != "same-origin" && site != "none" => {
            Some("pages of other sites must not change anything")
        }
        _ => None,
    }
}

/// Whether it is an address or `localhost`, with or without a port.
fn is_ours(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    host.parse::<SocketAddr>().is_ok() || bare.parse::<IpAddr>().is_ok() || name.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(headers: &[(&'static str, &str)], changes: bool) -> bool {
        let headers = headers.iter().map(|(name, value)| {
            (header::HeaderName::from_static(name), header::HeaderValue::from_str(value).unwrap())
        });
        objection(&headers.collect(), changes).is_none()
    }

    #[test]
    fn programs_and_own_pages_are_allowed() {
        for host in
            ["localhost", "localhost:8421", "127.0.0.1:8421", "[::1]:8421", "[::1]", "192.168.1.5:80", "LOCALHOST"]
        {
            assert!(allowed(&[("host", host)], false), "{host}");
            assert!(allowed(&[("host", host)], true), "{host}");
        }
        let own = [("host", "127.0.0.1:8421"), ("origin", "http://127.0.0.1:8421"), ("sec-fetch-site", "same-origin")];
        assert!(allowed(&own, true));
    }

    #[test]
    fn other_host_names_are_refused() {
        for host in ["", "evil.example", "evil.example:8421", "localhost.evil.example", "127.0.0.1.evil.example:8421"] {
            assert!(!allowed(&[("host", host)], false), "{host}");
        }
    }

    #[test]
    fn pages_of_other_sites_may_not_change_anything() {
        for headers in [
            [("host", "127.0.0.1:8421"), ("origin", "http://evil.example")],
            [("host", "127.0.0.1:8421"), ("origin", "null")],
            [("host", "127.0.0.1:8421"), ("origin", "http://127.0.0.1:9999")],
            [("host", "127.0.0.1:8421"), ("sec-fetch-site", "cross-site")],
            [("host", "127.0.0.1:8421"), ("sec-fetch-site", "same-site")],
        ] {
            assert!(!allowed(&headers, true), "{headers:?}");
            assert!(allowed(&headers, false), "{headers:?}");
        }
    }
}
