//! The test environment: a simulator on a free port, and a fake daemon that records webhooks and
//! responds as the test says.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use beadle_simulator::{ClockKind, Config, Simulator};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

pub const NUMBER: &str = "106540352242922";
pub const TOKEN: &str = "test-token";
pub const ANA: &str = "351910000101";
/// The start of the virtual clock: 2026-11-23 09:00 UTC.
pub const START_MS: i64 = 1_795_424_400_000;

/// A delivered webhook: the exact bytes and the signature.
#[derive(Clone, Debug)]
pub struct Delivered {
    pub body: Bytes,
    pub signature: String,
}

#[derive(Default)]
struct DaemonState {
    delivered: Vec<Delivered>,
    /// The statuses of the next responses; then 200.
    responses: Vec<u16>,
    handshakes: usize,
}

#[derive(Clone)]
pub struct Daemon {
    state: Arc<Mutex<DaemonState>>,
    count: watch::Sender<usize>,
}

impl Daemon {
    pub async fn start() -> (Self, String) {
        let daemon = Self { state: Arc::default(), count: watch::Sender::new(0) };
        let app = Router::new().route("/webhooks/main", get(handshake).post(webhook)).with_state(daemon.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/webhooks/main", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (daemon, url)
    }

    /// Responds to the next requests with these statuses.
    pub fn respond(&self, statuses: &[u16]) {
        self.state.lock().responses = statuses.iter().rev().copied().collect();
    }

    /// The number of handshakes.
    pub fn handshakes(&self) -> usize {
        self.state.lock().handshakes
    }

    /// All deliveries, once there are this many.
    pub async fn delivered(&self, count: usize) -> Vec<Delivered> {
        let mut counted = self.count.subscribe();
        let enough = tokio::time::timeout(Duration::from_secs(20), counted.wait_for(|n| *n >= count)).await;
        assert!(enough.is_ok(), "expected {count} deliveries, got {}", *self.count.borrow());
        self.state.lock().delivered.clone()
    }

    /// All elements of this array (`messages`, `statuses`) in all deliveries, in order.
    pub fn all(&self, key: &str) -> Vec<Value> {
        let delivered = self.state.lock().delivered.clone();
        delivered.iter().flat_map(|delivery| under(&delivery.body, key)).collect()
    }

    /// The values of all changes of a field, in order.
    pub fn field(&self, field: &str) -> Vec<Value> {
        let delivered = self.state.lock().delivered.clone();
        let bodies = delivered.iter().map(|delivery| serde_json::from_slice::<Value>(&delivery.body).unwrap());
        let changes = bodies.flat_map(|body| {
            let entries = body["entry"].as_array().unwrap().clone();
            entries.into_iter().flat_map(|entry| entry["changes"].as_array().unwrap().clone())
        });
        changes.filter(|change| change["field"] == field).map(|change| change["value"].clone()).collect()
    }

    /// The states of all statuses, in order.
    pub fn states(&self) -> Vec<String> {
        self.all("statuses").iter().map(|status| status["status"].as_str().unwrap().to_owned()).collect()
    }

    pub fn clear(&self) {
        self.state.lock().delivered.clear();
        self.count.send_replace(0);
    }
}

/// All elements of this array in a body.
pub fn under(body: &[u8], key: &str) -> Vec<Value> {
    let body: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(body["object"], "whatsapp_business_account");
    let entries = body["entry"].as_array().unwrap().iter();
    let changes = entries.flat_map(|entry| entry["changes"].as_array().unwrap());
    changes.filter_map(|change| change["value"][key].as_array()).flatten().cloned().collect()
}

async fn handshake(State(daemon): State<Daemon>, Query(query): Query<HashMap<String, String>>) -> (StatusCode, String) {
    let mut state = daemon.state.lock();
    state.handshakes += 1;
    if query.get("hub.verify_token").map(String::as_str) != Some("test-verify") || query["hub.mode"] != "subscribe" {
        return (StatusCode::FORBIDDEN, String::new());
    }
    match state.responses.pop() {
        Some(status) if status != 200 => (StatusCode::from_u16(status).unwrap(), String::new()),
        _ => (StatusCode::OK, query["hub.challenge"].clone()),
    }
}

async fn webhook(State(daemon): State<Daemon>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let mut state = daemon.state.lock();
    let signature = headers["x-hub-signature-256"].to_str().unwrap().to_owned();
    state.delivered.push(Delivered { body, signature });
    daemon.count.send_replace(state.delivered.len());
    StatusCode::from_u16(state.responses.pop().unwrap_or(200)).unwrap()
}

pub struct TestEnv {
    pub url: String,
    pub daemon: Daemon,
    pub http: reqwest::Client,
}

impl TestEnv {
    /// Uses a virtual clock, so that nothing happens by itself.
    pub async fn new() -> Self {
        Self::with(|_| {}, &[]).await
    }

    pub async fn with(change: impl FnOnce(&mut Config), first_responses: &[u16]) -> Self {
        let (daemon, callback) = Daemon::start().await;
        daemon.respond(first_responses);
        let mut config = Config {
            listen: "127.0.0.1:0".to_owned(),
            callback,
            app_secret: "test-app-secret".to_owned(),
            verify_token: "test-verify".to_owned(),
            access_token: TOKEN.to_owned(),
            phone_number_id: NUMBER.to_owned(),
            business_account_id: "102290129340398".to_owned(),
            display_number: "15550783881".to_owned(),
            seed: 1,
            clock: ClockKind::Virtual(START_MS),
            speed: 0.0,
            default_people: true,
            people: Vec::new(),
            max_messages: 1_000,
            max_log_entries: 100,
            concurrency: 4,
            templates: Vec::new(),
        };
        change(&mut config);
        let simulator = Simulator::bind(config).await.unwrap();
        let url = format!("http://{}", simulator.addr());
        tokio::spawn(async move { simulator.run().await.unwrap() });
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap();
        Self { url, daemon, http }
    }

    pub async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let answer = self.http.post(format!("{}{path}", self.url)).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    pub async fn control(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.post(&format!("/control/{path}"), body).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    pub async fn get(&self, path: &str) -> Value {
        self.http.get(format!("{}/control/{path}", self.url)).send().await.unwrap().json().await.unwrap()
    }

    pub async fn faults(&self, faults: Value) {
        self.control("faults", faults).await;
    }

    pub async fn say(&self, from: &str, text: &str) -> Value {
        self.control("say", json!({"from": from, "text": text})).await
    }

    /// Sends a message; returns the status and the raw body, or the error of the connection.
    pub async fn try_send(&self, body: &Value) -> reqwest::Result<(u16, String)> {
        let url = format!("{}/v26.0/{NUMBER}/messages", self.url);
        let answer = self.http.post(url).bearer_auth(TOKEN).json(body).send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    pub async fn send(&self, body: Value) -> (u16, Value) {
        let (status, text) = self.try_send(&body).await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Opens the window with Ana, and clears the recorded webhooks.
    pub async fn open_window(&self) {
        self.say("ana", "hello").await;
        self.idle().await;
        self.daemon.clear();
    }

    /// Any other request to the Graph API.
    pub async fn graph(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let url = format!("{}/v26.0/{path}", self.url);
        let mut request = self.http.request(method.parse().unwrap(), url).bearer_auth(TOKEN);
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// Creates a group with these members, and clears the recorded webhooks. Returns the id.
    pub async fn group(&self, members: &[&str]) -> String {
        let group = self.control("groups", json!({"subject": "Street", "members": members})).await;
        self.idle().await;
        self.daemon.clear();
        group["id"].as_str().unwrap().to_owned()
    }

    /// Waits until nothing is in flight.
    pub async fn idle(&self) -> Value {
        let idle = self.get("idle?wait_ms=20000").await;
        assert_eq!(idle["idle"], true, "{idle}");
        idle
    }

    pub async fn advance(&self, ms: i64) {
        self.control("clock", json!({"advance_ms": ms})).await;
    }
}

/// The code of an error response.
pub fn code(answer: &Value) -> i64 {
    answer["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error: {answer}"))
}

pub fn text(to: &str, body: &str) -> Value {
    json!({"messaging_product": "whatsapp", "to": to, "type": "text", "text": {"body": body}})
}
