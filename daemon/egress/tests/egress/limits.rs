//! Slow, truncated, endless and nonsensical servers; sizes; requests at a time.

use crate::env::{Names, code, egress, get, limits, local, policy, post, serve, serve_raw, text, with_header};
use axum::Router;
use axum::routing::get as route;
use beadle_egress::{EgressError, EgressLimits, Phase};
use beadle_model::Coded as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// The error of a request to a server that answers with these bytes and then closes.
async fn answer(bytes: &'static [u8]) -> Result<String, EgressError> {
    let address = serve_raw(move |mut stream, _| async move {
        _ = stream.write_all(bytes).await;
    })
    .await;
    let url = format!("http://localhost.test:{}", address.port());
    let response = local().send(&policy(&[&url], &[]), get(&url)).await;
    response.map(|response| text(&response))
}

#[tokio::test]
async fn broken_responses_are_errors() {
    for (bytes, expected) in [
        (&b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort"[..], "egress-no-response"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", "egress-no-response"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n", "egress-no-response"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd", "egress-no-response"),
        (b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n", "egress-no-response"),
        (b"220 mail.example.org ESMTP\r\n", "egress-no-response"),
        (b"", "egress-no-response"),
        (b"\x00\x01\x02", "egress-no-response"),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 1\r\n\r\nx", "egress-response-encoded"),
    ] {
        let error = answer(bytes).await.unwrap_err();
        assert_eq!(error.code(), expected, "{} {error}", String::from_utf8_lossy(bytes));
        assert!(error.may_be_sent(), "{error}");
    }
    assert_eq!(answer(b"HTTP/1.1 200 OK\r\n\r\nuntil the end").await.unwrap(), "until the end");
}

#[tokio::test]
async fn interim_responses_are_skipped() {
    let bytes = b"HTTP/1.1 100 Continue\r\n\r\n\
        HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n\
        HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    assert_eq!(answer(bytes).await.unwrap(), "ok");
}

#[tokio::test]
async fn huge_headers_are_refused() {
    for (count, length) in [(1, 5000), (90, 100), (2000, 10), (1, 2_000_000)] {
        let address = serve_raw(move |mut stream, _| async move {
            _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
            for index in 0..count {
                let line = format!("x-{index}: {}\r\n", "a".repeat(length));
                if stream.write_all(line.as_bytes()).await.is_err() {
                    return;
                }
            }
            _ = stream.write_all(b"content-length: 0\r\n\r\n").await;
            _ = stream.read_u8().await;
        })
        .await;
        let url = format!("http://localhost.test:{}", address.port());
        let error = local().send(&policy(&[&url], &[]), get(&url)).await.unwrap_err();
        assert!(matches!(error.code(), "egress-response-too-large" | "egress-no-response"), "{error}");
    }
}

#[tokio::test]
async fn endless_body_ends_at_the_limit() {
    let address = serve_raw(|mut stream, _| async move {
        _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        while stream.write_all(b"400\r\n").await.is_ok()
            && stream.write_all(&[b'x'; 1024]).await.is_ok()
            && stream.write_all(b"\r\n").await.is_ok()
        {}
    })
    .await;
    let url = format!("http://localhost.test:{}", address.port());
    assert_eq!(code(local().send(&policy(&[&url], &[]), get(&url)).await), "egress-response-too-large");
}

#[tokio::test]
async fn slow_servers_end_at_their_limit() {
    let short = EgressLimits { first_byte: Duration::from_millis(200), whole: Duration::from_millis(600), ..limits() };
    let names = || Names::new(&[("localhost.test", &[&["127.0.0.1"]])]);
    // Never a first byte; interim responses for ever; a byte now and then.
    for (kind, expected) in [(0, Phase::FirstByte), (1, Phase::FirstByte), (2, Phase::Whole)] {
        let address = serve_raw(move |mut stream, _| async move {
            if kind == 2 {
                _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await;
            }
            let bytes = [&b""[..], b"HTTP/1.1 100 Continue\r\n\r\n", b"x"][kind];
            while stream.write_all(bytes).await.is_ok() {
                // tidy: a slow server, which the limits of the client end
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        let url = format!("http://localhost.test:{}", address.port());
        let error = egress(short, names()).send(&policy(&[&url], &[]), get(&url)).await.unwrap_err();
        match error {
            EgressError::Timeout { phase, may_be_sent, .. } => assert!(phase == expected && may_be_sent, "{kind}"),
            error => panic!("{kind}: {error}"),
        }
    }
}

#[tokio::test]
async fn refused_connection_was_not_sent() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://localhost.test:{}", listener.local_addr().unwrap().port());
    drop(listener);
    let error = local().send(&policy(&[&url], &["POST"]), post(&url, "x")).await.unwrap_err();
    assert_eq!(error.code(), "egress-connect-failed");
    assert!(!error.may_be_sent() && error.retried(), "{error}");
}

#[tokio::test]
async fn requests_are_limited_in_size() {
    let egress = local();
    let policy = policy(&["http://localhost.test:9"], &["POST"]);
    let url = "http://localhost.test:9/";
    assert_eq!(code(egress.send(&policy, post(url, &"x".repeat(10_001))).await), "egress-request-too-large");
    let headers = with_header(post(url, ""), "x-large", &"x".repeat(4001));
    assert_eq!(code(egress.send(&policy, headers).await), "egress-request-too-large");
    let long = format!("{url}{}", "x".repeat(8000));
    assert_eq!(code(egress.send(&policy, post(&long, "")).await), "egress-url-invalid");
}

#[tokio::test]
async fn reserved_headers_are_refused() {
    let egress = local();
    let policy = policy(&["http://localhost.test:9"], &[]);
    for name in [
        "host",
        "Content-Length",
        "transfer-encoding",
        "expect",
        "proxy-authorization",
        "x-http-method-override",
        "accept-encoding",
        "te",
        "upgrade",
    ] {
        let request = with_header(get("http://localhost.test:9/"), name, "x");
        assert_eq!(code(egress.send(&policy, request).await), "egress-header-refused", "{name}");
    }
}

#[tokio::test]
async fn requests_at_a_time_are_limited_per_plugin_and_host() {
    for (per_plugin, per_host, most) in [(2, 8, 2), (8, 3, 3)] {
        let (active, highest) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        // Answers only when as many requests as allowed are there.
        let together = Arc::new(tokio::sync::Barrier::new(most));
        let router = Router::new().route("/", {
            let (active, highest) = (Arc::clone(&active), Arc::clone(&highest));
            route(move || async move {
                highest.fetch_max(active.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                together.wait().await;
                active.fetch_sub(1, Ordering::SeqCst);
            })
        });
        let url = format!("http://localhost.test:{}/", serve(router).await.port());
        let names = Names::new(&[("localhost.test", &[&["127.0.0.1"]])]);
        let egress = egress(EgressLimits { per_plugin, per_host, ..limits() }, names);
        let requests: Vec<_> = (0..6)
            .map(|_| {
                let (egress, policy, request) = (egress.clone(), policy(&[&url], &[]), get(&url));
                tokio::spawn(async move { egress.send(&policy, request).await.unwrap() })
            })
            .collect();
        for request in requests {
            request.await.unwrap();
        }
        assert_eq!(highest.load(Ordering::SeqCst), most);
    }
}
