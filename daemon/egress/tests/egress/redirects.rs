//! Redirects: each passes the policy and the address check again, and secrets stay behind.

use crate::env::{Log, code, get, local, policy, post, serve, text, with_header};
use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use beadle_egress::retry::{self, Attempt, Backoff, GiveUp, Repeatable, RetryVerdict};
use beadle_egress::{Denied, EgressError, Placement, Policy, Rule, SecretBinding, SecretValue};
use beadle_model::{Blame, Coded as _, Secret, Timestamp};
use reqwest::Method;

/// Answers `/to?STATUS,URL` with a redirect, and everything else with method and path.
async fn redirector() -> (u16, Log) {
    let log = Log::default();
    let router = Router::new().fallback({
        let log = log.clone();
        move |request: Request| async move { answer(&request, &log) }
    });
    (serve(router).await.port(), log)
}

fn answer(request: &Request, log: &Log) -> Response {
    let header = |name: &str| request.headers().get(name).map_or("-", |value| value.to_str().unwrap());
    let line =
        format!("{} {} auth={} key={}", request.method(), request.uri(), header("authorization"), header("x-key"));
    log.push(line.clone());
    let query = request.uri().query().unwrap_or_default();
    match query.split_once(',') {
        Some((status, target)) if request.uri().path() == "/to" => {
            (axum::http::StatusCode::from_u16(status.parse().unwrap()).unwrap(), [("location", target.to_owned())])
                .into_response()
        }
        _ => line.into_response(),
    }
}

#[tokio::test]
async fn redirect_within_a_rule_is_followed() {
    let (port, log) = redirector().await;
    let base = format!("http://localhost.test:{port}");
    let policy = policy(&[&base], &["GET", "POST"]);
    let response = local().send(&policy, post(&format!("{base}/to?303,/end#part"), "body")).await.unwrap();
    assert_eq!(text(&response), "GET /end auth=- key=-");
    assert_eq!(response.url, format!("{base}/end"));
    let response = local().send(&policy, post(&format!("{base}/to?308,end"), "body")).await.unwrap();
    assert_eq!(text(&response), "POST /end auth=- key=-");
    assert_eq!(log.lines().len(), 4);
}

#[tokio::test]
async fn redirect_to_what_is_not_allowed_is_refused() {
    let (port, log) = redirector().await;
    let base = format!("http://localhost.test:{port}");
    let policy = policy(
        &[&format!("{base}/to"), "http://metadata.test", "http://169.254.169.254", "http://[fd00:ec2::254]"],
        &["GET", "POST"],
    );
    for (target, expected) in [
        ("http://metadata.test/latest/", "egress-network-not-allowed"),
        ("http://169.254.169.254/latest/", "egress-network-not-allowed"),
        ("http://0xa9fea9fe/latest/", "egress-network-not-allowed"),
        ("http://[fd00:ec2::254]/latest/", "egress-network-not-allowed"),
        ("http://127.0.0.1:1/", "egress-host-not-allowed"),
        ("https://localhost.test/", "egress-scheme-not-allowed"),
        ("//evil.test/", "egress-host-not-allowed"),
        ("/elsewhere", "egress-path-not-allowed"),
        ("/to/..%2felsewhere", "egress-path-ambiguous"),
        ("http://user@localhost.test/", "egress-user-info"),
        ("file:///etc/passwd", "egress-scheme-unknown"),
        ("http://[", "egress-url-invalid"),
    ] {
        let url = format!("{base}/to?307,{target}");
        assert_eq!(code(local().send(&policy, get(&url)).await), expected, "{target}");
    }
    assert!(log.lines().iter().all(|line| line.starts_with("GET /to?")), "{:?}", log.lines());
}

#[tokio::test]
async fn redirect_that_needs_another_method_is_refused() {
    let (port, _) = redirector().await;
    let base = format!("http://localhost.test:{port}");
    let policy = policy(&[&base], &["POST"]);
    let url = format!("{base}/to?303,/end");
    assert_eq!(code(local().send(&policy, post(&url, "body")).await), "egress-method-not-allowed");
}

#[tokio::test]
async fn quoted_url_is_cut_after_it_is_scrubbed() {
    const SECRET: &str = "path-secret";
    // Within the rule, the server leads to a URL that contains the secret, and from there nowhere.
    let path = format!("/{}", "x".repeat(190 - "http://localhost.test:12345/".len()));
    let router = Router::new().fallback({
        let path = path.clone();
        move |request: Request| async move {
            let target =
                if request.uri().path() == "/start" { format!("{path}{SECRET}/end") } else { "http://[".into() };
            (axum::http::StatusCode::FOUND, [("location", target)])
        }
    });
    let base = format!("http://localhost.test:{}", serve(router).await.port());
    let place = Placement::Header { name: "X-Key".into(), value: "{secret}".into() };
    let binding = SecretBinding::new("key", place, SecretValue::Fixed(Secret::new(SECRET))).unwrap();
    let rule = Rule::new(&base, &[], &["loopback"]).unwrap().with_secret(binding).unwrap();
    let error = local().send(&Policy::new("crm", vec![rule]), get(&format!("{base}/start"))).await.unwrap_err();
    assert_eq!(error.code(), "egress-url-invalid");
    assert!(error.to_string().contains("x***") && !error.to_string().contains("path-"), "{error}");
}

#[tokio::test]
async fn request_that_was_redirected_may_have_been_executed() {
    let (port, log) = redirector().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = format!("http://localhost.test:{}", listener.local_addr().unwrap().port());
    drop(listener);
    let base = format!("http://localhost.test:{port}");
    let policy = policy(&[&base, &closed], &["GET", "POST"]);
    let url = format!("{base}/to?303,{closed}/end");
    let error = local().send(&policy, post(&url, "body")).await.unwrap_err();
    assert_eq!(log.lines().len(), 1);
    assert_eq!(error.code(), "egress-connect-failed");
    assert!(error.to_string().starts_with("after a redirect: cannot connect to "), "{error}");
    assert!(error.may_be_sent() && error.retried() && error.blame() == Blame::Remote, "{error}");
    let now = Timestamp(1_000_000);
    let request = |has_idempotency_key| Repeatable {
        method: &Method::POST,
        has_idempotency_key,
        expires_at: now.plus_ms(3_600_000),
        failures: 1,
        seed: 7,
    };
    let verdict = |key| retry::decide(request(key), Attempt::Error(&error), Backoff::default(), now);
    assert_eq!(verdict(false), RetryVerdict::GiveUp(GiveUp::OutcomeUnknown));
    assert!(matches!(verdict(true), RetryVerdict::At(_)));
}

#[tokio::test]
async fn endless_redirects_end() {
    let (port, log) = redirector().await;
    let base = format!("http://localhost.test:{port}");
    // Every answer redirects to the same URL, with the query of the first.
    let policy = policy(&[&base], &[]);
    let url = format!("{base}/to?302,{base}/to?302,{base}/to?302,{base}/to?302,{base}/to?302,/end");
    assert_eq!(code(local().send(&policy, get(&url)).await), "egress-too-many-redirects");
    assert_eq!(log.lines().len(), 4, "the first request and three redirects");
}

#[tokio::test]
async fn redirects_without_a_target_are_responses() {
    let (port, _) = redirector().await;
    let base = format!("http://localhost.test:{port}");
    let policy = policy(&[&base], &[]);
    for status in [300, 304] {
        let response = local().send(&policy, get(&format!("{base}/to?{status},/end"))).await.unwrap();
        assert_eq!(response.status.as_u16(), status);
    }
}

#[tokio::test]
async fn secrets_and_credentials_stay_with_their_rule() {
    let (port, log) = redirector().await;
    let (other_port, other_log) = redirector().await;
    let (base, other) = (format!("http://localhost.test:{port}"), format!("http://localhost.test:{other_port}"));
    let bound = |url: &str, secret: &str| {
        let place = Placement::Header { name: "X-Key".into(), value: "{secret}".into() };
        let binding = SecretBinding::new("key", place, SecretValue::Fixed(Secret::new(secret))).unwrap();
        Rule::new(url, &[], &["loopback"]).unwrap().with_secret(binding).unwrap()
    };
    let policy = Policy::new("crm", vec![bound(&base, "first-secret"), bound(&other, "other-secret")]);
    let request = |url: &str| with_header(get(url), "authorization", "mine");

    local().send(&policy, request(&format!("{base}/to?302,/end"))).await.unwrap();
    assert_eq!(log.lines()[1], "GET /end auth=mine key=first-secret");

    // Not even the other rule's own secret: a server must not be able to make use of it.
    local().send(&policy, request(&format!("{base}/to?302,{other}/end"))).await.unwrap();
    assert_eq!(other_log.lines(), ["GET /end auth=- key=-"]);
    local().send(&policy, request(&format!("{other}/end"))).await.unwrap();
    assert_eq!(other_log.lines()[1], "GET /end auth=mine key=other-secret");

    // Nor after a way back.
    local().send(&policy, request(&format!("{base}/to?302,{other}/to?302,{base}/end"))).await.unwrap();
    assert_eq!(log.lines().last().unwrap(), "GET /end auth=- key=-");
}

#[tokio::test]
async fn secret_in_the_target_of_a_redirect_goes_nowhere_else() {
    let (port, _) = redirector().await;
    let (other_port, other_log) = redirector().await;
    let (base, other) = (format!("http://localhost.test:{port}"), format!("http://localhost.test:{other_port}"));
    let place = Placement::Query { name: "key".into() };
    let binding = SecretBinding::new("key", place, SecretValue::Fixed(Secret::new("first secret"))).unwrap();
    let rule = Rule::new(&base, &[], &["loopback"]).unwrap().with_secret(binding).unwrap();
    let plain = Rule::new(&other, &[], &["loopback"]).unwrap();
    let policy = Policy::new("crm", vec![rule, plain]);
    // The server appends its query, and with it the secret, to the target.
    let error = local().send(&policy, get(&format!("{base}/to?302,{other}/end"))).await.unwrap_err();
    let EgressError::Redirected(inner) = &error else { panic!("{error}") };
    let EgressError::Denied(Denied { code, .. }) = &**inner else { panic!("{error}") };
    assert_eq!(*code, "egress-secret-redirected");
    assert!(!error.to_string().contains("secret=") && !error.to_string().contains("first"), "{error}");
    assert!(other_log.lines().is_empty());
}
