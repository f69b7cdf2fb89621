//! One run: a load against a server, with the receiving end listening, until everything that was owed has come.

use crate::load::Load;
use crate::machine::{self, Usage};
use crate::marks::Marks;
use std::sync::Arc;
use std::time::Duration;

/// A run that is so many times slower than aimed at is ended: it shows what there is to show.
const SLOWEST: u32 = 12;

/// How the load comes.
#[derive(Clone, Copy)]
pub enum Way {
    /// Each connection as fast as it is answered.
    Closed,
    /// So many a second.
    Open(f64),
}

/// What is measured.
pub struct Server {
    /// `host:port` of its webhook.
    pub address: String,
    /// For what the kernel says of it.
    pub pid: u32,
}

/// What came of a run.
pub struct Outcome {
    /// From the first message to the last reply and receipt.
    pub seconds: f64,
    /// Messages that were answered.
    pub replies: u64,
    /// Used by the server during the run, and its memory at the end.
    pub usage: Usage,
    /// The times of each message.
    pub marks: Arc<Marks>,
}

impl Outcome {
    /// Messages answered a second.
    pub fn per_second(&self) -> f64 {
        self.replies as f64 / self.seconds
    }

    /// Processor time of the server a message, in microseconds.
    pub fn cpu_us(&self) -> f64 {
        self.usage.cpu_s * 1e6 / (self.replies.max(1) as f64)
    }

    /// What a reader should know of it besides the figure.
    pub fn oddities(&self) -> String {
        let (doubles, refused) = self.marks.oddities();
        let missing = self.marks.wanted().saturating_sub(self.replies);
        let parts = [(missing, "not answered in time"), (doubles, "answered twice"), (refused, "refused and repeated")];
        let said = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}"));
        said.collect::<Vec<_>>().join(", ")
    }
}

/// A run to be.
pub struct Run {
    /// What is sent.
    pub load: Load,
    /// Where the times go; the receiving end has it too.
    pub marks: Arc<Marks>,
    /// How it is sent.
    pub way: Way,
    /// Receipts that are owed for each reply.
    pub receipts_each: u64,
    /// How long it takes where the aim is reached.
    pub aim_s: u32,
}

impl Run {
    /// Sends the load and waits for the replies and receipts.
    pub async fn against(self, server: &Server) -> Result<Outcome, String> {
        let Self { load, marks, way, receipts_each, aim_s } = self;
        let load = Arc::new(load);
        let before = machine::usage(server.pid);
        let began_s = marks.elapsed_s();
        let (replies, receipts) = (marks.wanted(), marks.wanted() * receipts_each);
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
        Ok(Outcome { seconds, replies: marks.done().0, usage, marks })
    }
}
