//! The receiver: accepts messages like the Graph API and records when they arrived.
//!
//! It runs on its own thread and does as little as possible, since it shares two cores with the
//! server under test. With receipts, each reply is followed by three webhooks (sent, delivered,
//! read), as on the platform.

use crate::marks::{Marks, TEXT_MARK};
use beadle_test_support::http::Connection;
use beadle_test_support::webhook;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Connections for receipts, as many as the load has.
const RECEIPT_CONNECTIONS: usize = 32;

/// Replies whose receipts wait to be sent. Larger than the backlog of any run.
const RECEIPT_QUEUE: usize = 1 << 20;

/// Queues for receipts, one per connection.
#[derive(Clone)]
struct Receipts(Vec<mpsc::Sender<Reply>>);

/// A reply that gets receipts.
struct Reply {
    id: String,
    to: String,
    callback: String,
}

/// The address for receipts, once it is known.
#[derive(Clone, Default)]
pub struct Callback(Arc<std::sync::OnceLock<String>>);

impl Callback {
    /// Sets `host:port`; only the first call counts.
    pub fn set(&self, address: &str) {
        let _ = self.0.set(address.to_owned());
    }
}

/// The receiver of one run.
pub struct Receiver {
    /// `host:port`.
    pub address: String,
}

impl Receiver {
    /// Listens on a free port, records times in `marks`, and posts receipts to `receipts_to`.
    pub fn start(marks: Arc<Marks>, receipts_to: Option<Callback>) -> Result<Self, String> {
        let text = |error: std::io::Error| error.to_string();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(text)?;
        let address = listener.local_addr().map_err(text)?.to_string();
        listener.set_nonblocking(true).map_err(text)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(text)?;
        std::thread::Builder::new()
            .name("receiver".into())
            .spawn(move || runtime.block_on(serve(listener, marks, receipts_to)))
            .map_err(text)?;
        Ok(Self { address })
    }
}

async fn serve(listener: std::net::TcpListener, marks: Arc<Marks>, receipts_to: Option<Callback>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let receipts = receipts_to.map(|callback| start_receipts(&callback, &marks));
    let ids = Arc::new(AtomicU64::new(0));
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        tokio::spawn(connection(stream, Arc::clone(&marks), receipts.clone(), Arc::clone(&ids)));
    }
}

/// One connection, until the other side closes it.
async fn connection(mut stream: TcpStream, marks: Arc<Marks>, receipts: Option<Receipts>, ids: Arc<AtomicU64>) {
    let mut buffer: Vec<u8> = Vec::with_capacity(8192);
    loop {
        while let Some((length, answer)) = request(&buffer, &marks, receipts.as_ref(), &ids) {
            buffer.drain(..length);
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
        if !matches!(stream.read_buf(&mut buffer).await, Ok(1..)) {
            return;
        }
    }
}

/// The length of the request at the start of the buffer and its response; none while it is
/// incomplete.
fn request(buffer: &[u8], marks: &Marks, receipts: Option<&Receipts>, ids: &AtomicU64) -> Option<(usize, String)> {
    let head_end = find(buffer, b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(buffer.get(..head_end)?).ok()?;
    let length: usize = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0);
    let body = std::str::from_utf8(buffer.get(head_end..head_end + length)?).ok()?;
    Some((head_end + length, answer(body, marks, receipts, ids)))
}

fn answer(body: &str, marks: &Marks, receipts: Option<&Receipts>, ids: &AtomicU64) -> String {
    let to = value_of(body, "\"to\":\"").trim_start_matches('+');
    if to.is_empty() {
        // A read mark has no recipient.
        return http(r#"{"success":true}"#);
    }
    // Messages of the host, and replies to a hostile plugin's messages, have no number.
    let digits = body.split_once(TEXT_MARK).and_then(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()).next());
    let number: Option<usize> = digits.and_then(|digits| digits.parse().ok());
    if let Some(n) = number {
        marks.replied(n);
    }
    let id = format!("wamid.BENCH{:012}", ids.fetch_add(1, Relaxed));
    if let Some(Receipts(queues)) = receipts {
        let callback = value_of(body, "\"biz_opaque_callback_data\":\"");
        let reply = Reply { id: id.clone(), to: to.into(), callback: callback.into() };
        let at = number.unwrap_or(0) % RECEIPT_CONNECTIONS;
        if let Some(queue) = queues.get(at) {
            let _ = queue.try_send(reply);
        }
    }
    http(&format!(
        r#"{{"messaging_product":"whatsapp","contacts":[{{"input":"{to}","wa_id":"{to}"}}],"messages":[{{"id":"{id}"}}]}}"#
    ))
}

fn http(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// The text between `mark` and the next quote; empty without the mark.
fn value_of<'a>(body: &'a str, mark: &str) -> &'a str {
    body.split_once(mark).and_then(|(_, rest)| rest.split('"').next()).unwrap_or_default()
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn start_receipts(callback: &Callback, marks: &Arc<Marks>) -> Receipts {
    let queues = (0..RECEIPT_CONNECTIONS).map(|_| {
        let (queue, mut replies) = mpsc::channel::<Reply>(RECEIPT_QUEUE / RECEIPT_CONNECTIONS);
        let (callback, marks) = (callback.clone(), Arc::clone(marks));
        tokio::spawn(async move {
            let mut connection = None;
            while let Some(reply) = replies.recv().await {
                if connection.is_none() {
                    let address = callback.0.get().map_or("", String::as_str);
                    connection = Connection::tcp(address).await.ok();
                }
                let Some(connection) = &mut connection else { return };
                for status in ["sent", "delivered", "read"] {
                    let at_s = webhook::unix_time_s();
                    let body = webhook::receipt(&reply.id, status, at_s, &reply.to, &reply.callback);
                    let request = webhook::signed_request(&body);
                    while !connection.exchange(&request).await.is_ok_and(|answer| answer.status == 200) {
                        tokio::task::yield_now().await;
                    }
                    marks.receipt();
                }
            }
        });
        queue
    });
    Receipts(queues.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reply_is_recognised_by_its_number() {
        let marks = Marks::new(10);
        marks.sent(7);
        let body = format!(r#"{{"to":"31600000001","type":"text","text":{{"body":"{TEXT_MARK}7"}}}}"#);
        let wire = format!("POST /v26.0/1/messages HTTP/1.1\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let ids = AtomicU64::new(0);
        assert!(request(&wire.as_bytes()[..wire.len() - 1], &marks, None, &ids).is_none());
        let (length, answer) = request(wire.as_bytes(), &marks, None, &ids).unwrap();
        assert_eq!(length, wire.len());
        assert!(answer.contains(r#""wa_id":"31600000001""#) && answer.contains("wamid.BENCH"));
        assert_eq!(marks.done(), (1, 0));
    }
}
