//! When each message of a run was due, acknowledged and answered; shared by the load and the
//! receiver.
//!
//! One slot per message and no lock, so that recording a time costs next to nothing. Times are
//! nanoseconds since the run began; 0 means "not yet".

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;
use tokio::sync::Notify;

/// Precedes the number of a message in its text, by which the receiver recognises a reply.
pub const TEXT_MARK: &str = "message n=";

/// The times of a run.
pub struct Marks {
    began: Instant,
    sent: Vec<AtomicU64>,
    acked: Vec<AtomicU64>,
    replied: Vec<AtomicU64>,
    expected: AtomicU64,
    replies: AtomicU64,
    duplicates: AtomicU64,
    receipts: AtomicU64,
    refused: AtomicU64,
    /// Notified for every reply and receipt that may be the last.
    pub bell: Notify,
}

impl Marks {
    /// For `count` messages. The run begins now.
    pub fn new(count: usize) -> Self {
        let slots = || (0..count).map(|_| AtomicU64::new(0)).collect();
        Self {
            began: Instant::now(),
            sent: slots(),
            acked: slots(),
            replied: slots(),
            expected: AtomicU64::new(count as u64),
            replies: AtomicU64::new(0),
            duplicates: AtomicU64::new(0),
            receipts: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            bell: Notify::new(),
        }
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
    }

    /// Number of expected replies.
    pub fn expected(&self) -> u64 {
        self.expected.load(Relaxed)
    }

    /// Expects one reply less.
    pub fn expect_one_less(&self) {
        self.expected.fetch_sub(1, Relaxed);
    }

    /// Message `n` is due. A repetition keeps the first time.
    pub fn sent(&self, n: usize) {
        if let Some(slot) = self.sent.get(n) {
            let _ = slot.compare_exchange(0, self.now_ns(), Relaxed, Relaxed);
        }
    }

    /// Message `n` was answered with 200.
    pub fn acked(&self, n: usize) {
        if let Some(slot) = self.acked.get(n) {
            slot.store(self.now_ns(), Relaxed);
        }
    }

    /// A message was refused and will be repeated.
    pub fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    /// A reply to message `n` arrived.
    pub fn replied(&self, n: usize) {
        let Some(slot) = self.replied.get(n) else { return };
        if slot.compare_exchange(0, self.now_ns(), Relaxed, Relaxed).is_err() {
            self.duplicates.fetch_add(1, Relaxed);
        } else if self.replies.fetch_add(1, Relaxed) + 1 >= self.expected() {
            self.bell.notify_one();
        }
    }

    /// A receipt was acknowledged.
    pub fn receipt(&self) {
        self.receipts.fetch_add(1, Relaxed);
        self.bell.notify_one();
    }

    /// Numbers of answered messages and of acknowledged receipts.
    pub fn done(&self) -> (u64, u64) {
        (self.replies.load(Relaxed), self.receipts.load(Relaxed))
    }

    /// Numbers of duplicate replies and of refused webhooks.
    pub fn anomalies(&self) -> (u64, u64) {
        (self.duplicates.load(Relaxed), self.refused.load(Relaxed))
    }

    /// Seconds since the run began.
    pub fn elapsed_s(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// Time from due to acknowledged, for the messages that `filter` selects.
    pub fn ack_times(&self, filter: impl Fn(usize) -> bool) -> Spread {
        Spread::new(self.times(&self.acked, filter))
    }

    /// Time from due to answered, for the messages that `filter` selects.
    pub fn reply_times(&self, filter: impl Fn(usize) -> bool) -> Spread {
        Spread::new(self.times(&self.replied, filter))
    }

    /// When each message was due, acknowledged and answered, in nanoseconds since the run began; 0
    /// if it was not.
    pub fn all_ns(&self) -> Vec<[u64; 3]> {
        let slots = self.sent.iter().zip(&self.acked).zip(&self.replied);
        slots.map(|((sent, acked), replied)| [sent, acked, replied].map(|at| at.load(Relaxed))).collect()
    }

    fn times(&self, ends: &[AtomicU64], filter: impl Fn(usize) -> bool) -> Vec<u64> {
        let times = self.sent.iter().zip(ends).enumerate().filter(|(n, _)| filter(*n));
        times
            .map(|(_, (start, end))| (start.load(Relaxed), end.load(Relaxed)))
            .filter(|(start, end)| *start > 0 && *end > 0)
            .map(|(start, end)| end.saturating_sub(start))
            .collect()
    }
}

/// Sorted times, for percentiles.
pub struct Spread(Vec<u64>);

impl Spread {
    fn new(mut times_ns: Vec<u64>) -> Self {
        times_ns.sort_unstable();
        Self(times_ns)
    }

    /// The time that `per_mille` of 1000 messages do not exceed, in milliseconds; none if there are
    /// no times.
    pub fn per_mille_ms(&self, per_mille: usize) -> Option<f64> {
        let rank = (self.0.len() * per_mille).div_ceil(1000).saturating_sub(1);
        self.0.get(rank).map(|ns| *ns as f64 / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_ranks() {
        let spread = Spread::new((1..=1000).rev().map(|ms| ms * 1_000_000).collect());
        assert_eq!(spread.per_mille_ms(500), Some(500.0));
        assert_eq!(spread.per_mille_ms(990), Some(990.0));
        assert_eq!(spread.per_mille_ms(999), Some(999.0));
        assert_eq!(Spread::new(Vec::new()).per_mille_ms(500), None);
    }

    #[test]
    fn second_reply_is_a_duplicate() {
        let marks = Marks::new(2);
        marks.sent(0);
        marks.replied(0);
        marks.replied(0);
        marks.replied(7);
        assert_eq!((marks.done(), marks.anomalies()), ((1, 0), (1, 0)));
        assert!(marks.reply_times(|n| n == 1).per_mille_ms(500).is_none());
    }
}
