//! A tiny Graph API in the test's own process: answers as the test says, and remembers what it was asked.

#![expect(dead_code, reason = "each test binary uses a part of it")]

use beadle_clock::{Clock, Hand};
use beadle_model::Timestamp;
use beadle_store::{Store, StoreConfig};
use beadle_whatsapp::{CloudChannel, CloudConfig, Depot, Secret, http_client};
use serde_json::Value;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub const TOKEN: &str = "EAAJB-very-secret";
pub const NUMBER: &str = "106540352242922";
/// 2026-11-21T20:36:00Z.
pub const NOW: Timestamp = Timestamp(1_795_293_360_000);

/// What was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `POST /v26.0/1/messages`
    pub line: String,
    pub head: String,
    pub body: Vec<u8>,
}

impl Asked {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

type Answers = dyn Fn(&Asked) -> (u16, Vec<u8>) + Send + Sync;

pub struct Graph {
    pub address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

pub fn ok(json: Value) -> (u16, Vec<u8>) {
    (200, json.to_string().into_bytes())
}

pub fn error(status: u16, code: i64) -> (u16, Vec<u8>) {
    let error = serde_json::json!({"error": {"message": format!("(#{code}) no"), "code": code,
        "error_data": {"details": "no"}}});
    (status, error.to_string().into_bytes())
}

impl Graph {
    pub async fn start(answer: impl Fn(&Asked) -> (u16, Vec<u8>) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (all, answer): (_, Arc<Answers>) = (Arc::clone(&asked), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&all), Arc::clone(&answer)));
            }
        });
        Self { address, asked }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }
}

async fn serve(mut stream: TcpStream, all: Arc<Mutex<Vec<Asked>>>, answer: Arc<Answers>) {
    let Some(asked) = read(&mut stream).await else { return };
    all.lock().unwrap().push(asked.clone());
    let (status, body) = answer(&asked);
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(&body).await;
}

/// Head and body, by its `content-length`.
async fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    loop {
        let mut part = [0; 64 * 1024];
        let length = stream.read(&mut part).await.ok().filter(|length| *length > 0)?;
        bytes.extend_from_slice(part.get(..length)?);
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(bytes.get(..end)?).into_owned();
        let length = head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let body = bytes.get(end + 4..)?;
        if body.len() >= length.unwrap_or(0_usize) {
            let line = head.lines().next()?.trim_end_matches(" HTTP/1.1").to_owned();
            return Some(Asked { line, body: body.to_vec(), head });
        }
    }
}

pub fn config(graph: &Graph) -> CloudConfig {
    CloudConfig {
        name: "shop".into(),
        app: "main".into(),
        graph_url: graph.address.clone(),
        graph_version: "v26.0".into(),
        phone_number_id: NUMBER.into(),
        access_token: Secret::new(TOKEN),
        timeout: CloudConfig::TIMEOUT,
    }
}

pub fn channel(graph: &Graph) -> CloudChannel {
    CloudChannel::new(config(graph), http_client().unwrap()).unwrap()
}

/// A store of the test's own, with a clock that it turns.
pub struct House {
    pub dir: tempfile::TempDir,
    pub store: Store,
    pub clock: Clock,
    pub hand: Hand,
}

impl House {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (clock, hand) = Clock::manual(NOW);
        let config = StoreConfig { ballast_bytes: 0, readers: 2, ..StoreConfig::new(dir.path(), clock.clone()) };
        Self { store: Store::open(config).unwrap(), dir, clock, hand }
    }

    pub fn depot(&self) -> Depot {
        Depot { store: self.store.clone(), clock: self.clock.clone() }
    }
}
