//! A simulator on a free port, and a daemon that is not one: it keeps what it is told and answers as it is told to.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use beadle_simulator::{ClockKind, Config, Simulator};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

pub const NUMBER: &str = "106540352242922";
pub const TOKEN: &str = "test-token";
pub const ANA: &str = "351910000101";
/// The virtual clock's start: 2026-11-23 09:00 UTC.
pub const START_MS: i64 = 1_795_424_400_000;

/// What was delivered: the exact bytes and the signature.
#[derive(Clone, Debug)]
pub struct Delivered {
    pub body: Bytes,
    pub signature: String,
}

#[derive(Default)]
struct DaemonState {
    delivered: Vec<Delivered>,
    /// The next answers; then 200.
    answers: Vec<u16>,
    greeted: usize,
}

#[derive(Clone)]
pub struct Daemon {
    state: Arc<Mutex<DaemonState>>,
    count: watch::Sender<usize>,
}

impl Daemon {
    pub async fn start() -> (Self, String) {
        let daemon = Self { state: Arc::default(), count: watch::Sender::new(0) };
        let app = Router::new().route("/webhooks/main", get(greet).post(take)).with_state(daemon.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/webhooks/main", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (daemon, url)
    }

    /// Answers the next deliveries so.
    pub fn answer(&self, statuses: &[u16]) {
        self.state.lock().unwrap().answers = statuses.iter().rev().copied().collect();
    }

    pub fn greeted(&self) -> usize {
        self.state.lock().unwrap().greeted
    }

    /// All deliveries, once there are so many.
    pub async fn delivered(&self, count: usize) -> Vec<Delivered> {
        let mut counted = self.count.subscribe();
        let enough = tokio::time::timeout(Duration::from_secs(20), counted.wait_for(|n| *n >= count)).await;
        assert!(enough.is_ok(), "{} deliveries came, not {count}", *self.count.borrow());
        self.state.lock().unwrap().delivered.clone()
    }

    /// Everything under `key` (`messages`, `statuses`) of all deliveries so far, in their order.
    pub fn all(&self, key: &str) -> Vec<Value> {
        let delivered = self.state.lock().unwrap().delivered.clone();
        delivered.iter().flat_map(|letter| under(&letter.body, key)).collect()
    }

    /// The values of all changes of a field, in their order.
    pub fn field(&self, field: &str) -> Vec<Value> {
        let delivered = self.state.lock().unwrap().delivered.clone();
        let bodies = delivered.iter().map(|letter| serde_json::from_slice::<Value>(&letter.body).unwrap());
        let changes = bodies.flat_map(|body| {
            let entries = body["entry"].as_array().unwrap().clone();
            entries.into_iter().flat_map(|entry| entry["changes"].as_array().unwrap().clone())
        });
        changes.filter(|change| change["field"] == field).map(|change| change["value"].clone()).collect()
    }

    /// The states told, in their order.
    pub fn states(&self) -> Vec<String> {
        self.all("statuses").iter().map(|status| status["status"].as_str().unwrap().to_owned()).collect()
    }

    pub fn forget(&self) {
        self.state.lock().unwrap().delivered.clear();
        self.count.send_replace(0);
    }
}

/// Everything under `key` in one body, and all its envelopes looked at.
pub fn under(body: &[u8], key: &str) -> Vec<Value> {
    let body: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(body["object"], "whatsapp_business_account");
    let entries = body["entry"].as_array().unwrap().iter();
    let changes = entries.flat_map(|entry| entry["changes"].as_array().unwrap());
    changes.filter_map(|change| change["value"][key].as_array()).flatten().cloned().collect()
}

async fn greet(State(daemon): State<Daemon>, Query(query): Query<HashMap<String, String>>) -> (StatusCode, String) {
    let mut state = daemon.state.lock().unwrap();
    state.greeted += 1;
    if query.get("hub.verify_token").map(String::as_str) != Some("test-verify") || query["hub.mode"] != "subscribe" {
        return (StatusCode::FORBIDDEN, String::new());
    }
    match state.answers.pop() {
        Some(status) if status != 200 => (StatusCode::from_u16(status).unwrap(), String::new()),
        _ => (StatusCode::OK, query["hub.challenge"].clone()),
    }
}

async fn take(State(daemon): State<Daemon>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let mut state = daemon.state.lock().unwrap();
    let signature = headers["x-hub-signature-256"].to_str().unwrap().to_owned();
    state.delivered.push(Delivered { body, signature });
    daemon.count.send_replace(state.delivered.len());
    StatusCode::from_u16(state.answers.pop().unwrap_or(200)).unwrap()
}

pub struct House {
    pub url: String,
    pub daemon: Daemon,
    pub http: reqwest::Client,
}

impl House {
    /// By a virtual clock, so that nothing happens by itself.
    pub async fn new() -> Self {
        Self::with(|_| {}, &[]).await
    }

    pub async fn with(change: impl FnOnce(&mut Config), first_answers: &[u16]) -> Self {
        let (daemon, callback) = Daemon::start().await;
        daemon.answer(first_answers);
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
            first_people: true,
            keep_messages: 1_000,
            log: 100,
            lanes: 4,
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

    pub async fn faults(&self, knobs: Value) {
        self.control("faults", knobs).await;
    }

    pub async fn say(&self, from: &str, text: &str) -> Value {
        self.control("say", json!({"from": from, "text": text})).await
    }

    /// A Graph API call as it came back, or the error of the connection.
    pub async fn try_send(&self, body: &Value) -> reqwest::Result<(u16, String)> {
        let url = format!("{}/v26.0/{NUMBER}/messages", self.url);
        let answer = self.http.post(url).bearer_auth(TOKEN).json(body).send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    pub async fn send(&self, body: Value) -> (u16, Value) {
        let (status, text) = self.try_send(&body).await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Ana has written, so that she can be written to; nothing of it is left in the daemon.
    pub async fn open_window(&self) {
        self.say("ana", "hello").await;
        self.idle().await;
        self.daemon.forget();
    }

    /// Any other call of the Graph API: `GET groups`, with the number's id before an edge that has none of its own.
    pub async fn graph(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let url = format!("{}/v26.0/{path}", self.url);
        let mut request = self.http.request(method.parse().unwrap(), url).bearer_auth(TOKEN);
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// A group with these people in it, as the business made it; its id. Nothing of it is left in the daemon.
    pub async fn group(&self, members: &[&str]) -> String {
        let made = self.control("groups", json!({"subject": "Street", "members": members})).await;
        self.idle().await;
        self.daemon.forget();
        made["id"].as_str().unwrap().to_owned()
    }

    /// Waits until nothing is on its way.
    pub async fn idle(&self) -> Value {
        let idle = self.get("idle?wait_ms=20000").await;
        assert_eq!(idle["idle"], true, "{idle}");
        idle
    }

    pub async fn advance(&self, ms: i64) {
        self.control("clock", json!({"advance_ms": ms})).await;
    }
}

/// The code of an error.
pub fn code(answer: &Value) -> i64 {
    answer["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error: {answer}"))
}

pub fn text(to: &str, body: &str) -> Value {
    json!({"messaging_product": "whatsapp", "to": to, "type": "text", "text": {"body": body}})
}
