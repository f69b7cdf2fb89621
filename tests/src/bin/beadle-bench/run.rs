//! One run: a load against a server, until every expected reply and receipt has arrived.

use crate::load::Load;
use crate::machine::{self, Usage};
use crate::marks::Marks;
use std::sync::Arc;
use std::time::Duration;

/// A run that takes this many times longer than aimed at is ended.
const SLOWEST: u32 = 12;

/// How the load is sent.
#[derive(Clone, Copy)]
pub enum Way {
    /// Each connection as fast as the server responds.
    Closed,
    /// At this rate per second.
    Open(f64),
}

/// The server under test.
pub struct Server {
    /// `host:port` of its webhook.
    pub address: String,
    /// Its process id.
    pub pid: u32,
}

/// The result of a run.
pub struct Outcome {
    /// From the first message to the last reply and receipt.
    pub seconds: f64,
    /// Answered messages.
    pub replies: u64,
    /// Receipts that were not taken in time.
    pub missing_receipts: u64,
    /// CPU time of the server during the run, and its memory at the end.
    pub usage: Usage,
    /// The times of each message.
    pub marks: Arc<Marks>,
}

impl Outcome {
    /// Answered messages per second.
    pub fn per_second(&self) -> f64 {
        self.replies as f64 / self.seconds
    }

    /// CPU time of the server per message, in microseconds.
    pub fn cpu_us(&self) -> f64 {
        self.usage.cpu_s * 1e6 / (self.replies.max(1) as f64)
    }

    /// Missing, duplicate and refused messages, as a note; empty if there were none.
    pub fn anomalies(&self) -> String {
        let (duplicates, refused) = self.marks.anomalies();
        let missing = self.marks.expected().saturating_sub(self.replies);
        let parts = [
            (missing, "not answered in time"),
            (self.missing_receipts, "receipts not taken in time"),
            (duplicates, "answered twice"),
            (refused, "refused and repeated"),
        ];
        let notes = parts.iter().filter(|(n, _)| *n > 0).map(|(n, label)| format!("{n} {label}"));
        notes.collect::<Vec<_>>().join(", ")
    }
}

/// A run.
pub struct Run {
    /// The webhooks.
    pub load: Load,
    /// The times, shared with the receiver.
    pub marks: Arc<Marks>,
    /// How it is sent.
    pub way: Way,
    /// Receipts for each reply.
    pub receipts_each: u64,
    /// Seconds that it takes if the aim is reached.
    pub aim_s: u32,
}

impl Run {
    /// Sends the load and waits for the replies and receipts.
    pub async fn against(self, server: &Server) -> Result<Outcome, String> {
        let Self { load, marks, way, receipts_each, aim_s } = self;
        let load = Arc::new(load);
        let before = machine::usage(server.pid);
        let began_s = marks.elapsed_s();
        let (replies, receipts) = (marks.expected(), marks.expected() * receipts_each);
        let all = async {
            match way {
                Way::Closed => load.closed(&server.address, &marks).await?,
                Way::Open(per_second) => load.open(&server.address, &marks, per_second).await?,
            }
            while marks.done().0 < replies || marks.done().1 < receipts {
                marks.bell.notified().await;
            }
            Ok::<(), String>(())
        };
        let limit = Duration::from_secs(u64::from(aim_s * SLOWEST));
        if let Ok(result) = tokio::time::timeout(limit, all).await {
            result?;
        }
        let seconds = marks.elapsed_s() - began_s;
        let after = machine::usage(server.pid);
        let usage = Usage { cpu_s: after.cpu_s - before.cpu_s, ..after };
        let (replied, received) = marks.done();
        let missing_receipts = receipts.saturating_sub(received);
        Ok(Outcome { seconds, replies: replied, missing_receipts, usage, marks })
    }
}
