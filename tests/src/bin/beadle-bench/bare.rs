//! The bare bot that the daemon is compared with: it checks the signature, parses the JSON and
//! sends the text back.
//!
//! It stores nothing: a crash loses messages, a repeated webhook is answered twice, and no rule is
//! checked. It is as fast as its author could make it, because the ratio is worth what the baseline
//! is: hyper without a router, one parse that borrows from the body, one kept connection to the
//! platform per connection from it, written and read without a client library.

use beadle_test_support::webhook::{self, Key};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::io::{self, Write as _};
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

/// What the bot needs of a webhook; everything else is skipped.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    entry: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    changes: Vec<Change<'a>>,
}

#[derive(Deserialize)]
struct Change<'a> {
    #[serde(borrow)]
    value: Value<'a>,
}

#[derive(Deserialize)]
struct Value<'a> {
    #[serde(borrow, default)]
    messages: Vec<Message<'a>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    from: Cow<'a, str>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
}

#[derive(Deserialize, Serialize)]
struct Text<'a> {
    #[serde(borrow)]
    body: Cow<'a, str>,
}

#[derive(Serialize)]
struct Reply<'a> {
    messaging_product: &'a str,
    recipient_type: &'a str,
    to: &'a str,
    r#type: &'a str,
    text: &'a Text<'a>,
}

/// Serves until it is killed. Prints its address once it listens.
pub async fn run(graph_url: &str) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    let graph: Arc<str> = graph_url.trim_start_matches("http://").trim_end_matches('/').into();
    let key = Arc::new(Key::new(webhook::APP_SECRET));
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(text)?;
    println!("listening on {}", listener.local_addr().map_err(text)?);
    loop {
        let (stream, _) = listener.accept().await.map_err(text)?;
        stream.set_nodelay(true).map_err(text)?;
        let (graph, key) = (Arc::clone(&graph), Arc::clone(&key));
        tokio::spawn(async move {
            let platform = Arc::new(Mutex::new(Platform::new(graph)));
            let service = service_fn(move |request| answer(request, Arc::clone(&key), Arc::clone(&platform)));
            let _ = http1::Builder::new().pipeline_flush(true).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    key: Arc<Key>,
    platform: Arc<Mutex<Platform>>,
) -> Result<Response<Empty<Bytes>>, hyper::Error> {
    let mut response = Response::new(Empty::new());
    *response.status_mut() = handle(request, &key, &platform).await?;
    Ok(response)
}

async fn handle(request: Request<Incoming>, key: &Key, platform: &Mutex<Platform>) -> Result<StatusCode, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let signature = head.headers.get("x-hub-signature-256").map_or(&b""[..], |header| header.as_bytes());
    if !key.verifies(signature, &body) {
        return Ok(StatusCode::FORBIDDEN);
    }
    let Ok(envelope) = serde_json::from_slice::<Envelope<'_>>(&body) else { return Ok(StatusCode::BAD_REQUEST) };
    // One request after the other uses a connection, so nothing ever waits for this.
    let mut platform = platform.lock().await;
    let changes = envelope.entry.iter().flat_map(|entry| &entry.changes);
    for message in changes.flat_map(|change| &change.value.messages) {
        if let Some(text) = &message.text
            && platform.send(&message.from, text).await.is_err()
        {
            return Ok(StatusCode::INTERNAL_SERVER_ERROR);
        }
    }
    Ok(StatusCode::OK)
}

/// A kept connection to the platform.
struct Platform {
    /// `host:port`
    address: Arc<str>,
    stream: Option<TcpStream>,
    request: Vec<u8>,
    body: Vec<u8>,
    response: Vec<u8>,
}

impl Platform {
    fn new(address: Arc<str>) -> Self {
        Self { address, stream: None, request: Vec::new(), body: Vec::new(), response: Vec::with_capacity(1024) }
    }

    /// Sends a text; an error unless the platform accepts it.
    async fn send(&mut self, to: &str, text: &Text<'_>) -> io::Result<()> {
        self.body.clear();
        let (messaging_product, recipient_type) = ("whatsapp", "individual");
        serde_json::to_writer(&mut self.body, &Reply { messaging_product, recipient_type, to, r#type: "text", text })?;
        self.request.clear();
        write!(
            self.request,
            "POST /v26.0/{}/messages HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            webhook::PHONE_NUMBER_ID,
            self.address,
            webhook::ACCESS_TOKEN,
            self.body.len()
        )?;
        self.request.extend_from_slice(&self.body);
        let stream = match &mut self.stream {
            Some(stream) => stream,
            empty => {
                let stream = TcpStream::connect(&*self.address).await?;
                stream.set_nodelay(true)?;
                empty.insert(stream)
            }
        };
        stream.write_all(&self.request).await?;
        self.response.clear();
        loop {
            if stream.read_buf(&mut self.response).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(length) = whole_length(&self.response)
                && self.response.len() >= length
            {
                let is_accepted = self.response.starts_with(b"HTTP/1.1 200");
                return if is_accepted { Ok(()) } else { Err(io::ErrorKind::Other.into()) };
            }
        }
    }
}

/// The length of a response with its head, once the head is complete.
fn whole_length(response: &[u8]) -> Option<usize> {
    let head_end = response.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(response.get(..head_end)?).ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    Some(head_end + length.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_webhook_is_read_without_the_rest() {
        let body = webhook::text_message("31600000001", "wamid.A", 1, "hi");
        let envelope: Envelope<'_> = serde_json::from_str(&body).unwrap();
        let message = &envelope.entry[0].changes[0].value.messages[0];
        assert_eq!((&*message.from, &*message.text.as_ref().unwrap().body), ("31600000001", "hi"));
        let receipt = webhook::receipt("wamid.B", "sent", 2, "31600000001", "msg_1");
        let envelope: Envelope<'_> = serde_json::from_str(&receipt).unwrap();
        assert!(envelope.entry[0].changes[0].value.messages.is_empty());
    }

    #[test]
    fn length_of_a_response_is_known_once_its_head_is_complete() {
        let response = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(whole_length(&response[..30]), None);
        assert_eq!(whole_length(response), Some(response.len()));
    }
}
