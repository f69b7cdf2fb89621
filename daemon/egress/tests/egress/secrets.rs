//! Secrets go out where they are bound, and never come back.

use crate::env::{Log, code, get, local, post, serve, text, with_header};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use beadle_clock::Clock;
use beadle_egress::{
    Boxed, ClientAuth, Grant, Placement, Policy, Rule, SecretBinding, SecretValue, SignatureEncoding, TokenSettings,
    TokenSource, TokenStore,
};
use beadle_model::Secret;
use std::sync::Arc;

fn fixed(name: &str, placement: Placement, secret: &str) -> SecretBinding {
    SecretBinding::new(name, placement, SecretValue::Fixed(Secret::new(secret))).unwrap()
}

fn rule(url: &str, bindings: Vec<SecretBinding>) -> Rule {
    let rule = Rule::new(url, &["GET", "POST"], &["loopback"]).unwrap();
    bindings.into_iter().fold(rule, |rule, binding| rule.with_secret(binding).unwrap())
}

/// Answers with everything that it received, in several encodings, in headers and body.
async fn echo(request: Request) -> (HeaderMap, String) {
    let uri = request.uri().to_string();
    let mut headers = HeaderMap::new();
    let mut lines = vec![uri.clone()];
    for (name, value) in request.headers() {
        let value = value.to_str().unwrap();
        headers.insert("x-echo-base64", STANDARD.encode(format!("{name}: {value}")).parse().unwrap());
        headers.insert("x-echo", value.parse().unwrap());
        lines.push(format!("{name}: {value}"));
        lines.push(STANDARD.encode(value));
        let percent: String = value.bytes().map(|byte| format!("%{byte:02x}")).collect();
        lines.push(format!("https://h/?{percent}"));
        lines.push(value.chars().map(|char| format!("\\u{:04x}", char as u32)).collect());
    }
    headers.insert("location", uri.parse().unwrap());
    (headers, lines.join("\n"))
}

#[tokio::test]
async fn plugin_reads_no_secret_back() {
    let port = serve(Router::new().fallback(echo)).await.port();
    let base = format!("http://localhost.test:{port}");
    let header = Placement::Header { name: "X-Api-Key".into(), value: "Token {secret}".into() };
    let secrets = ["header-secret+/=", "query secret & more", "basic-secret:!"];
    let bindings = vec![
        fixed("a", header, secrets[0]),
        fixed("b", Placement::Query { name: "key".into() }, secrets[1]),
        fixed("c", Placement::BasicAuth { user: "someone".into() }, secrets[2]),
    ];
    let policy = Policy::new("crm", vec![rule(&base, bindings)]);
    let response = local().send(&policy, get(&format!("{base}/echo?mine=1"))).await.unwrap();
    let body = text(&response);
    assert!(body.contains("/echo?mine=1&key=***") && body.contains("x-api-key: Token ***"), "{body}");
    let everything = format!("{body}\n{:?}\n{}\n{response:?}\n{policy:?}", response.headers, response.url);
    for secret in secrets {
        let scrubber = beadle_egress::Scrubber::new([&Secret::new(secret)]);
        for line in everything.lines() {
            assert!(!scrubber.finds(line), "{secret} in {line}");
        }
    }
    assert!(policy.has_secret("a") && !policy.has_secret("header-secret+/=") && !policy.has_secret("d"));
}

#[tokio::test]
async fn errors_contain_no_secret() {
    let router = Router::new().fallback(async |request: Request| {
        let mut headers = HeaderMap::new();
        headers.insert("content-encoding", request.headers()["x-api-key"].clone());
        headers
    });
    let base = format!("http://localhost.test:{}", serve(router).await.port());
    let header = Placement::Header { name: "X-Api-Key".into(), value: "{secret}".into() };
    let policy = Policy::new("crm", vec![rule(&base, vec![fixed("a", header, "header-secret")])]);
    let error = local().send(&policy, get(&base)).await.unwrap_err();
    assert!(error.to_string().contains("content encoding `***`"), "{error}");
    assert!(!format!("{error:?}").contains("header-secret"), "{error:?}");
    // A guess is not confirmed by a mask in an error that repeats the plugin's own URL.
    let [guess, other] = ["header-secret", "header-guess!"].map(|path| format!("{base}:x/{path}"));
    for url in [guess, other] {
        let error = local().send(&policy, get(&url)).await.unwrap_err();
        assert!(error.to_string().contains(&url), "{error}");
    }
}

#[tokio::test]
async fn plugin_cannot_set_what_the_host_sets() {
    let place = || Placement::BasicAuth { user: "u".into() };
    let policy = Policy::new("crm", vec![rule("http://localhost.test:9", vec![fixed("a", place(), "long-enough")])]);
    let request = with_header(get("http://localhost.test:9/"), "Authorization", "Basic x");
    assert_eq!(code(local().send(&policy, request).await), "egress-header-refused");
}

#[tokio::test]
async fn body_is_signed_as_it_is_sent() {
    let log = Log::default();
    let router = Router::new()
        .fallback(async |State(log): State<Log>, headers: HeaderMap, body: Bytes| {
            log.push(format!("{} {}", headers["x-hub-signature-256"].to_str().unwrap(), body.len()));
        })
        .with_state(log.clone());
    let base = format!("http://localhost.test:{}", serve(router).await.port());
    let placement = Placement::HmacSha256 {
        header: "X-Hub-Signature-256".into(),
        prefix: "sha256=".into(),
        encoding: SignatureEncoding::Hex,
    };
    // The example of GitHub's page "Validating webhook deliveries".
    let policy = Policy::new("crm", vec![rule(&base, vec![fixed("a", placement, "It's a Secret to Everybody")])]);
    local().send(&policy, post(&base, "Hello, World!")).await.unwrap();
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    assert_eq!(log.lines(), [format!("{signature} 13")]);
}

#[tokio::test]
async fn secret_is_not_sent_in_clear_to_the_internet() {
    let names = crate::env::Names::new(&[("crm.test", &[&["192.31.196.1"]])]);
    let egress = crate::env::egress(crate::env::limits(), names);
    let place = Placement::BasicAuth { user: "u".into() };
    let policy = Policy::new("crm", vec![rule("http://crm.test", vec![fixed("a", place, "long-enough")])]);
    assert_eq!(code(egress.send(&policy, get("http://crm.test/")).await), "egress-secret-in-clear");
}

struct Forgets;

impl TokenStore for Forgets {
    fn store(&self, _: &TokenSettings, _: &Secret) -> Boxed<Result<(), String>> {
        Box::pin(async { Ok(()) })
    }

    fn load(&self, _: &TokenSettings) -> Option<Secret> {
        None
    }
}

/// An authorization server that counts its tokens, and an API that accepts the last one only.
async fn oauth_server() -> (String, Log) {
    let log = Log::default();
    let router = Router::new()
        .fallback(async |State(log): State<Log>, request: Request| {
            let token = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
            let issued = log.lines().iter().filter(|line| *line == "token").count();
            if request.uri().path() == "/token" {
                log.push("token".into());
                let token = format!("access-token-{}", issued + 1);
                let body = format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":3600}}"#);
                return (axum::http::StatusCode::OK, body);
            }
            log.push(format!("api {}", token.as_deref().unwrap_or("-")));
            if request.uri().path() == "/second" && token.as_deref() != Some("Bearer access-token-2") {
                return (axum::http::StatusCode::UNAUTHORIZED, "token expired".to_owned());
            }
            (axum::http::StatusCode::OK, format!("hello {}", token.unwrap_or_default()))
        })
        .with_state(log.clone());
    (format!("http://localhost.test:{}", serve(router).await.port()), log)
}

fn oauth_policy(base: &str) -> (Policy, Arc<TokenSource>) {
    let settings = TokenSettings {
        plugin: "crm".into(),
        name: "oauth".into(),
        url: format!("{base}/token"),
        networks: vec!["loopback".into()],
        grant: Grant::ClientCredentials,
        client_id: "id".into(),
        client_secret: Some(Secret::new("client-secret")),
        client_auth: ClientAuth::Basic,
        scope: None,
    };
    let source = TokenSource::new(settings, Clock::real(), Arc::new(Forgets));
    let place = Placement::Header { name: "Authorization".into(), value: "Bearer {secret}".into() };
    let binding = SecretBinding::new("oauth", place, SecretValue::Token(Arc::clone(&source))).unwrap();
    (Policy::new("crm", vec![rule(&format!("{base}/"), vec![binding])]), source)
}

#[tokio::test]
async fn access_token_is_fetched_once_and_scrubbed() {
    let (base, log) = oauth_server().await;
    let (policy, source) = oauth_policy(&base);
    let egress = local();
    for _ in 0..3 {
        let response = egress.send(&policy, get(&format!("{base}/first"))).await.unwrap();
        assert_eq!(text(&response), "hello Bearer ***");
    }
    let api = "api Bearer access-token-1";
    assert_eq!(log.lines(), ["token", api, api, api]);
    assert!(source.status().expires_at.is_some());
}

#[tokio::test]
async fn refused_access_token_is_renewed_once() {
    let (base, log) = oauth_server().await;
    let (policy, _) = oauth_policy(&base);
    let egress = local();
    let response = egress.send(&policy, get(&format!("{base}/second"))).await.unwrap();
    assert_eq!(text(&response), "hello Bearer ***");
    assert_eq!(log.lines(), ["token", "api Bearer access-token-1", "token", "api Bearer access-token-2"]);
}

#[tokio::test]
async fn failed_renewal_is_an_error_that_is_retried() {
    let port =
        serve(Router::new().fallback(async || (axum::http::StatusCode::BAD_GATEWAY, "client-secret"))).await.port();
    let base = format!("http://localhost.test:{port}");
    let (policy, source) = oauth_policy(&base);
    assert_eq!(code(local().send(&policy, get(&format!("{base}/x"))).await), "oauth-unavailable");
    assert!(source.status().error.is_some());
}
