//! The load: webhooks that are built and signed before the run, sent over kept connections.
//!
//! *Closed*: every connection sends its next webhook when it has the response; this measures throughput. *Open*: messages
//! are due at a steady rate whatever the server does, and latency counts from then, so that a stall counts for every
//! message that it delays.

use crate::marks::{Marks, TEXT_MARK};
use beadle_test_support::http::Connection;
use beadle_test_support::{rng, webhook};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Connections of the load.
pub const CONNECTIONS: usize = 32;

/// The pause before a refused webhook is repeated. The platform waits longer.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// The number of the first contact; the others follow.
pub const FIRST_PHONE: u64 = 31_600_000_000;

/// The webhooks of a run.
pub struct Load {
    /// Complete requests, in order.
    requests: Vec<Vec<u8>>,
}

impl Load {
    /// `count` messages from `contacts` contacts, in a fixed pseudo-random order. `run` makes message ids unique to a run;
    /// `text` may replace the text of message n.
    pub fn new(run: &str, count: usize, contacts: u64, text: impl Fn(usize) -> Option<String>) -> Self {
        let at_s = webhook::unix_time_s();
        let mut rng = rng::Rng::new(contacts);
        let requests = (0..count)
            .map(|n| {
                let from = (FIRST_PHONE + rng.below(contacts)).to_string();
                let text = text(n).unwrap_or_else(|| format!("{TEXT_MARK}{n}"));
                webhook::signed_request(&webhook::text_message(&from, &format!("wamid.{run}.{n}"), at_s, &text))
            })
            .collect();
        Self { requests }
    }

    /// Number of messages.
    pub fn count(&self) -> usize {
        self.requests.len()
    }

    /// Sends all messages as fast as the server accepts them.
    pub async fn closed(self: &Arc<Self>, address: &str, marks: &Arc<Marks>) -> Result<(), String> {
        let next = Arc::new(AtomicUsize::new(0));
        let mut senders = tokio::task::JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (load, marks, next, address) =
                (Arc::clone(self), Arc::clone(marks), Arc::clone(&next), address.to_owned());
            senders.spawn(async move {
                let mut connection = connect(&address).await?;
                loop {
                    let n = next.fetch_add(1, Relaxed);
                    let Some(request) = load.requests.get(n) else { return Ok(()) };
                    marks.sent(n);
                    deliver(&mut connection, request, n, &marks).await?;
                }
            });
        }
        all(senders).await
    }

    /// Sends messages at a rate, each when it is due.
    pub async fn open(self: &Arc<Self>, address: &str, marks: &Arc<Marks>, per_second: f64) -> Result<(), String> {
        let mut senders = tokio::task::JoinSet::new();
        let mut queues = Vec::new();
        for _ in 0..CONNECTIONS {
            let (load, marks, address) = (Arc::clone(self), Arc::clone(marks), address.to_owned());
            // A queue can hold the whole run: a stall must delay messages, not the pace.
            let (queue, mut due) = mpsc::channel::<usize>(self.count().max(1));
            queues.push(queue);
            senders.spawn(async move {
                let mut connection = connect(&address).await?;
                while let Some(n) = due.recv().await {
                    let request = load.requests.get(n).ok_or("no such message")?;
                    deliver(&mut connection, request, n, &marks).await?;
                }
                Ok(())
            });
        }
        let (count, marks) = (self.count(), Arc::clone(marks));
        // On a thread: the runtime's timers have a resolution of a millisecond, and a message is due each half.
        let pace = std::thread::spawn(move || {
            let start = Instant::now();
            for n in 0..count {
                let due = start + Duration::from_secs_f64(n as f64 / per_second);
                #[expect(clippy::disallowed_methods, reason = "the load is defined by moments of real time")]
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                marks.sent(n);
                if let Some(queue) = queues.get(n % CONNECTIONS) {
                    let _ = queue.try_send(n);
                }
            }
        });
        let result = all(senders).await;
        pace.join().map_err(|_| "the pacing thread panicked")?;
        result
    }
}

type Tcp = Connection<tokio::net::TcpStream>;

async fn connect(address: &str) -> Result<Tcp, String> {
    Connection::tcp(address).await.map_err(|error| format!("cannot connect to {address}: {error}"))
}

async fn deliver(connection: &mut Tcp, request: &[u8], n: usize, marks: &Marks) -> Result<(), String> {
    loop {
        let answer = connection.exchange(request).await.map_err(|error| format!("message {n}: {error}"))?;
        match answer.status {
            200 => {
                marks.acked(n);
                return Ok(());
            }
            503 => {
                marks.refused();
                // tidy: repeats after a pause, as the platform does
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
            status => return Err(format!("message {n}: status {status}: {}", answer.text())),
        }
    }
}

async fn all(mut senders: tokio::task::JoinSet<Result<(), String>>) -> Result<(), String> {
    while let Some(sender) = senders.join_next().await {
        sender.map_err(|error| error.to_string())??;
    }
    Ok(())
}
