//! A fake Graph API in the test's own process: responds as the test says, and records the requests.

#![expect(clippy::unwrap_used, reason = "test support: panicking is how a test fails")]

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;

/// A request that the fake received.
#[derive(Clone, Debug)]
pub struct ReceivedRequest {
    /// Method and path with query, such as `POST /v26.0/1/messages`.
    pub line: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl ReceivedRequest {
    /// The body as JSON; null if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header; empty if missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A response: HTTP status and body.
type Response = (u16, Vec<u8>);

type Respond = dyn Fn(&ReceivedRequest) -> Response + Send + Sync;

#[derive(Clone)]
struct Shared {
    respond: Arc<Respond>,
    received: Arc<Mutex<Vec<ReceivedRequest>>>,
}

/// A running fake. It stops when the test's runtime does.
pub struct FakeGraph {
    /// Such as `http://127.0.0.1:40123`.
    pub url: String,
    received: Arc<Mutex<Vec<ReceivedRequest>>>,
}

/// A successful response with this JSON.
pub fn ok(json: Value) -> Response {
    (200, json.to_string().into_bytes())
}

/// An error response in the platform's form.
pub fn error(status: u16, code: i64) -> Response {
    let error = json!({"error": {"message": format!("(#{code}) no"), "code": code, "error_data": {"details": "no"}}});
    (status, error.to_string().into_bytes())
}

impl FakeGraph {
    /// Starts a fake that answers every request with `respond`.
    pub async fn start(respond: impl Fn(&ReceivedRequest) -> Response + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Shared { respond: Arc::new(respond), received: Arc::default() };
        let received = Arc::clone(&shared.received);
        let router = Router::new().fallback(handle).layer(DefaultBodyLimit::disable()).with_state(shared);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, received }
    }

    /// The requests so far, in order.
    pub fn requests(&self) -> Vec<ReceivedRequest> {
        self.received.lock().clone()
    }

    /// The request lines so far, in order.
    pub fn lines(&self) -> Vec<String> {
        self.requests().into_iter().map(|request| request.line).collect()
    }
}

async fn handle(
    State(shared): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, Vec<u8>) {
    let request = ReceivedRequest { line: format!("{method} {uri}"), headers, body: body.to_vec() };
    shared.received.lock().push(request.clone());
    let (status, body) = (shared.respond)(&request);
    (StatusCode::from_u16(status).unwrap(), body)
}
