//! The load: webhooks that were made and signed before the run, sent over kept connections.
//!
//! Two ways. *Closed*: every connection sends its next as soon as it has the answer; it shows how much goes through.
//! *Open*: messages fall due at a steady rate whatever the server does, and their time counts from then, so that a stall
//! is felt by every message it held up and not only by one.

use crate::marks::{Marks, TEXT_MARK};
use beadle_test_support::http::Connection;
use beadle_test_support::{rng, webhook};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;

/// As many as the aim speaks of (DESIGN section 12).
pub const CONNECTIONS: usize = 32;

/// A server that says 503 is asked again after so long; a platform would wait longer.
const REFUSED_AGAIN: Duration = Duration::from_millis(20);

/// The first phone number; contacts have the numbers that follow.
pub const FIRST_PHONE: u64 = 31_600_000_000;

/// What is to be sent.
pub struct Load {
    /// Whole requests, in order.
    requests: Vec<Vec<u8>>,
}

impl Load {
    /// So many messages from so many contacts, in an order that looks like rng and is always the same. `run` makes
    /// the ids of one run differ from those of another; `text` may change what message n says.
    pub fn new(run: &str, count: usize, contacts: u64, text: impl Fn(usize) -> Option<String>) -> Self {
        let at_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
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

    /// How many there are.
    pub fn count(&self) -> usize {
        self.requests.len()
    }

    /// Sends all as fast as the server takes them.
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

    /// Sends so many a second, each at its time.
    pub async fn open(self: &Arc<Self>, address: &str, marks: &Arc<Marks>, per_second: f64) -> Result<(), String> {
        let mut senders = tokio::task::JoinSet::new();
        let mut queues = Vec::new();
        for _ in 0..CONNECTIONS {
            let (load, marks, address) = (Arc::clone(self), Arc::clone(marks), address.to_owned());
            // A queue may hold all of a run: what is held up is to be measured, not to hold up what falls due.
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
        // A thread of its own: the runtime's timers are good to a millisecond only, and here one falls due each half.
        let pace = std::thread::spawn(move || {
            let start = Instant::now();
            for n in 0..count {
                let due = start + Duration::from_secs_f64(n as f64 / per_second);
                // tidy: the load itself is made of moments in time
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
                // tidy: the load waits as a platform would, in time
                tokio::time::sleep(REFUSED_AGAIN).await;
            }
            status => return Err(format!("message {n} was answered with {status}: {}", answer.text())),
        }
    }
}

async fn all(mut senders: tokio::task::JoinSet<Result<(), String>>) -> Result<(), String> {
    while let Some(sender) = senders.join_next().await {
        sender.map_err(|error| error.to_string())??;
    }
    Ok(())
}
