//! Who may ask on the admin address: programs of this machine, and pages that came from it.
//!
//! There is no password, so a browser must not be made a go-between. A page from elsewhere could post a form here
//! (`Origin` and `Sec-Fetch-Site` tell), or give its own name the address 127.0.0.1 and read along (`Host` tells: a name
//! that is neither an address nor `localhost` is somebody else's). Programs send no `Origin` and are let through.

use super::failure::No;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use std::net::{IpAddr, SocketAddr};

/// Answers 403 to whoever may not ask.
pub async fn guard(request: Request, next: Next) -> Response {
    let changes = !matches!(request.method().as_str(), "GET" | "HEAD");
    match objection(request.headers(), changes) {
        None => next.run(request).await,
        Some(why) => No::cross_site(why).into_response(),
    }
}

/// Why a request with these headers is not answered.
fn objection(headers: &HeaderMap, changes: bool) -> Option<&'static str> {
    let text = |name| headers.get(name).map(|value: &axum::http::HeaderValue| value.to_str().unwrap_or("?"));
    let host = text(header::HOST).unwrap_or_default();
    if !is_ours(host) {
        return Some("ask by address or as `localhost`: this name may be somebody else's");
    }
    if !changes {
        return None;
    }
    match (text(header::ORIGIN), text(header::HeaderName::from_static("sec-fetch-site"))) {
        (Some(origin), _) if origin.split_once("://").map(|(_, host)| host) != Some(host) => {
            Some("a page from another site may not change anything here")
        }
        (_, Some(site)) if site != "same-origin" && site != "none" => {
            Some("a page from another site may not change anything here")
        }
        _ => None,
    }
}

/// An address, or `localhost`, with or without a port.
fn is_ours(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    host.parse::<SocketAddr>().is_ok() || bare.parse::<IpAddr>().is_ok() || name.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(headers: &[(&'static str, &str)], changes: bool) -> bool {
        let headers = headers.iter().map(|(name, value)| {
            (header::HeaderName::from_static(name), header::HeaderValue::from_str(value).unwrap())
        });
        objection(&headers.collect(), changes).is_none()
    }

    #[test]
    fn programs_and_own_pages_may_ask() {
        for host in
            ["localhost", "localhost:8421", "127.0.0.1:8421", "[::1]:8421", "[::1]", "192.168.1.5:80", "LOCALHOST"]
        {
            assert!(asks(&[("host", host)], false), "{host}");
            assert!(asks(&[("host", host)], true), "{host}");
        }
        let own = [("host", "127.0.0.1:8421"), ("origin", "http://127.0.0.1:8421"), ("sec-fetch-site", "same-origin")];
        assert!(asks(&own, true));
    }

    #[test]
    fn other_names_may_not_even_read() {
        for host in ["", "evil.example", "evil.example:8421", "localhost.evil.example", "127.0.0.1.evil.example:8421"] {
            assert!(!asks(&[("host", host)], false), "{host}");
        }
    }

    #[test]
    fn pages_from_elsewhere_may_not_change() {
        for headers in [
            [("host", "127.0.0.1:8421"), ("origin", "http://evil.example")],
            [("host", "127.0.0.1:8421"), ("origin", "null")],
            [("host", "127.0.0.1:8421"), ("origin", "http://127.0.0.1:9999")],
            [("host", "127.0.0.1:8421"), ("sec-fetch-site", "cross-site")],
            [("host", "127.0.0.1:8421"), ("sec-fetch-site", "same-site")],
        ] {
            assert!(!asks(&headers, true), "{headers:?}");
            assert!(asks(&headers, false), "{headers:?}");
        }
    }
}
