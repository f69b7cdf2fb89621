//! What a redirect leads to (RFC 9110, section 15.4). Whether it is followed is the policy's.

use crate::error::Denied;
use crate::policy::{parse_url, quote};
use reqwest::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION, CONTENT_TYPE, COOKIE, HeaderMap, LOCATION,
};
use reqwest::{Method, StatusCode, Url};

/// One request of a chain of redirects, before secrets are put in.
pub(crate) struct Hop {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// The `Location` of a response that redirects. 300 and 304 do not: nothing may be chosen, or
/// nothing has changed.
pub(crate) fn target(status: StatusCode, headers: &HeaderMap) -> Option<String> {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
        .then(|| headers.get(LOCATION).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .flatten()
}

/// The request that follows.
///
/// After 303, and after a POST that got 301 or 302, it is a GET without a body, as all clients do
/// it. If the origin changes, credentials that the plugin set itself stay behind.
pub(crate) fn follow(hop: &Hop, status: StatusCode, target: &str) -> Result<Hop, Denied> {
    let url = hop.url.join(target).map_err(|error| Denied {
        code: "egress-url-invalid",
        message: format!("{} redirects to an address that is not a URL: {error}", quote(&hop.url)),
        toml: None,
    })?;
    let url = parse_url(url.as_str())?;
    let becomes_get = match status.as_u16() {
        303 => hop.method != Method::HEAD,
        301 | 302 => hop.method == Method::POST,
        _ => false,
    };
    let mut headers = hop.headers.clone();
    if url.origin() != hop.url.origin() {
        headers.remove(AUTHORIZATION);
        headers.remove(COOKIE);
    }
    if !becomes_get {
        return Ok(Hop { method: hop.method.clone(), url, headers, body: hop.body.clone() });
    }
    for name in [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION] {
        headers.remove(name);
    }
    Ok(Hop { method: Method::GET, url, headers, body: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    fn hop(method: Method) -> Hop {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer mine"));
        Hop { method, url: Url::parse("https://a.example/x/y?q=1").unwrap(), headers, body: b"body".to_vec() }
    }

    #[test]
    fn methods_follow_rfc_9110() {
        let propfind = Method::from_bytes(b"PROPFIND").unwrap();
        for (status, before, after) in [
            (301, Method::POST, Method::GET),
            (302, Method::POST, Method::GET),
            (303, Method::POST, Method::GET),
            (307, Method::POST, Method::POST),
            (308, Method::POST, Method::POST),
            (301, Method::PUT, Method::PUT),
            (302, Method::HEAD, Method::HEAD),
            (303, Method::HEAD, Method::HEAD),
            (303, Method::DELETE, Method::GET),
            (302, propfind.clone(), propfind),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let next = follow(&hop(before.clone()), status, "/z").unwrap();
            assert_eq!(next.method, after, "{status} {before}");
            assert_eq!(next.body.is_empty(), after == Method::GET, "{status} {before}");
            assert_eq!(next.headers.contains_key(CONTENT_TYPE), after != Method::GET);
        }
    }

    #[test]
    fn credentials_stay_with_their_origin() {
        for (target, url, keeps) in [
            ("/z", "https://a.example/z", true),
            ("z#f", "https://a.example/x/z#f", true),
            ("//b.example/", "https://b.example/", false),
            ("http://a.example/", "http://a.example/", false),
            ("https://a.example:444/", "https://a.example:444/", false),
            ("https://b.example/", "https://b.example/", false),
        ] {
            let next = follow(&hop(Method::GET), StatusCode::FOUND, target).unwrap();
            assert_eq!(next.url.as_str(), url);
            assert_eq!(next.headers.contains_key(AUTHORIZATION), keeps, "{target}");
        }
    }

    #[test]
    fn targets_are_checked_like_requests() {
        for (target, code) in [
            ("file:///etc/passwd", "egress-scheme-unknown"),
            ("https://user:pass@a.example/", "egress-user-info"),
            ("https://[::1%25eth0]/", "egress-url-invalid"),
            ("https://a.example./", "egress-url-invalid"),
        ] {
            let denied = follow(&hop(Method::GET), StatusCode::FOUND, target).err().unwrap();
            assert_eq!(denied.code, code, "{target}");
        }
        assert_eq!(target(StatusCode::OK, &HeaderMap::new()), None);
    }
}
