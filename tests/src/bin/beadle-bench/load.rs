//! The load: webhooks that are built and signed before the run, sent over kept connections.
//!
//! *Closed*: every connection sends its next webhook when it has the response; this measures
//! throughput. *Open*: messages are due at a steady rate whatever the server does, and latency
//! counts from then, so that a stall counts for every message that it delays.

use crate::marks::{Marks, TEXT_MARK};
use beadle_test_support::http::Connection;
use beadle_test_support::{rng, webhook};
use std::ops::Range;
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

/// The time stamps of a run are spread over the seconds before it, as real ones are spread over
/// time.
const SPREAD_S: usize = 10;

/// The webhooks of a run.
pub struct Load {
    /// Complete requests, in order.
    requests: Vec<Vec<u8>>,
    /// Messages in each.
    per_request: usize,
}

impl Load {
    /// `count` messages from `contacts` contacts, in a fixed pseudo-random order, each in a webhook
    /// of its own. `run` makes message ids unique to a run; `text` may replace the text of message
    /// n, which then has a contact of its own.
    pub fn new(run: &str, count: usize, contacts: u64, text: impl Fn(usize) -> Option<String>) -> Self {
        Self::batched(run, count, contacts, 1, text)
    }

    /// The same with this many messages in each webhook; `count` is rounded down to whole webhooks.
    pub fn batched(
        run: &str,
        count: usize,
        contacts: u64,
        per_request: usize,
        text: impl Fn(usize) -> Option<String>,
    ) -> Self {
        let now_s = webhook::unix_time_s();
        let mut rng = rng::Rng::new(contacts);
        let mut message = |n: usize| {
            let (from, own) = (rng.below(contacts), text(n));
            // What follows in the same conversation waits on purpose while a handling is retried.
            let from = if own.is_some() { contacts + n as u64 } else { from };
            webhook::TextMessage {
                from: (FIRST_PHONE + from).to_string(),
                id: format!("wamid.{run}.{n}"),
                at_s: now_s.saturating_sub((SPREAD_S - n * SPREAD_S / count.max(1)) as u64),
                text: own.unwrap_or_else(|| format!("{TEXT_MARK}{n}")),
            }
        };
        let mut request = |nth: usize| {
            let messages: Vec<_> = (nth * per_request..(nth + 1) * per_request).map(&mut message).collect();
            webhook::signed_request(&webhook::text_messages(&messages))
        };
        Self { requests: (0..count / per_request).map(&mut request).collect(), per_request }
    }

    /// Number of messages.
    pub fn count(&self) -> usize {
        self.requests.len() * self.per_request
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
                    let nth = next.fetch_add(1, Relaxed);
                    let Some(request) = load.requests.get(nth) else { return Ok(()) };
                    let messages = nth * load.per_request..(nth + 1) * load.per_request;
                    messages.clone().for_each(|n| marks.sent(n));
                    deliver(&mut connection, request, messages, &marks).await?;
                }
            });
        }
        all(senders).await
    }

    /// Sends messages at a rate, each when it is due and in a webhook of its own.
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
                    deliver(&mut connection, request, n..n + 1, &marks).await?;
                }
                Ok(())
            });
        }
        let (count, marks) = (self.count(), Arc::clone(marks));
        // On a thread: the runtime's timers have a resolution of a millisecond, and a message is
        // due each half.
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

async fn deliver(connection: &mut Tcp, request: &[u8], messages: Range<usize>, marks: &Marks) -> Result<(), String> {
    let n = messages.start;
    loop {
        let answer = connection.exchange(request).await.map_err(|error| format!("message {n}: {error}"))?;
        match answer.status {
            200 => {
                messages.for_each(|n| marks.acked(n));
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
