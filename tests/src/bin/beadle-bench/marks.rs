//! When each message of a run was sent, acknowledged and answered: shared by the load and the receiving end.
//!
//! One slot a message and no lock, so that writing down a time costs nothing that is worth measuring. Times are
//! nanoseconds since the run began; 0 means "not yet".

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;
use tokio::sync::Notify;

/// What the text of message 7 looks like: the receiving end finds its number behind the mark.
pub const TEXT_MARK: &str = "message n=";

/// The times of a run.
pub struct Marks {
    began: Instant,
    sent: Vec<AtomicU64>,
    acked: Vec<AtomicU64>,
    replied: Vec<AtomicU64>,
    wanted: AtomicU64,
    replies: AtomicU64,
    doubles: AtomicU64,
    receipts: AtomicU64,
    refused: AtomicU64,
    /// Rings for every reply and receipt that may be the last.
    pub bell: Notify,
}

impl Marks {
    /// For so many messages; the run begins now.
    pub fn new(count: usize) -> Self {
        let slots = || (0..count).map(|_| AtomicU64::new(0)).collect();
        Self {
            began: Instant::now(),
            sent: slots(),
            acked: slots(),
            replied: slots(),
            wanted: AtomicU64::new(count as u64),
            replies: AtomicU64::new(0),
            doubles: AtomicU64::new(0),
            receipts: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            bell: Notify::new(),
        }
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
    }

    /// How many replies are owed.
    pub fn wanted(&self) -> u64 {
        self.wanted.load(Relaxed)
    }

    /// One message fewer is to be answered: a hostile plugin has it.
    pub fn not_owed(&self) {
        self.wanted.fetch_sub(1, Relaxed);
    }

    /// Message `n` is due; a repeat keeps the first time.
    pub fn sent(&self, n: usize) {
        if let Some(slot) = self.sent.get(n) {
            let _ = slot.compare_exchange(0, self.now_ns(), Relaxed, Relaxed);
        }
    }

    /// Message `n` got its 200.
    pub fn acked(&self, n: usize) {
        if let Some(slot) = self.acked.get(n) {
            slot.store(self.now_ns(), Relaxed);
        }
    }

    /// Message `n` was refused and will be sent again.
    pub fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    /// A reply to message `n` arrived.
    pub fn replied(&self, n: usize) {
        let Some(slot) = self.replied.get(n) else { return };
        if slot.compare_exchange(0, self.now_ns(), Relaxed, Relaxed).is_err() {
            self.doubles.fetch_add(1, Relaxed);
        } else if self.replies.fetch_add(1, Relaxed) + 1 >= self.wanted() {
            self.bell.notify_one();
        }
    }

    /// A receipt was acknowledged.
    pub fn receipt(&self) {
        self.receipts.fetch_add(1, Relaxed);
        self.bell.notify_one();
    }

    /// How many messages have an answer, and how many receipts were acknowledged.
    pub fn done(&self) -> (u64, u64) {
        (self.replies.load(Relaxed), self.receipts.load(Relaxed))
    }

    /// What there was besides the times: answers that came twice, webhooks that were refused and repeated.
    pub fn oddities(&self) -> (u64, u64) {
        (self.doubles.load(Relaxed), self.refused.load(Relaxed))
    }

    /// From the start to now, in seconds.
    pub fn elapsed_s(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// Time from due to acknowledged, for those messages that `wanted` names.
    pub fn ack_times(&self, wanted: impl Fn(usize) -> bool) -> Spread {
        Spread::new(self.times(&self.acked, wanted))
    }

    /// Time from due to answered.
    pub fn reply_times(&self, wanted: impl Fn(usize) -> bool) -> Spread {
        Spread::new(self.times(&self.replied, wanted))
    }

    /// When each message was due, acknowledged and answered, in nanoseconds since the run began; 0 where it was not.
    pub fn all_ns(&self) -> Vec<[u64; 3]> {
        let slots = self.sent.iter().zip(&self.acked).zip(&self.replied);
        slots.map(|((sent, acked), replied)| [sent, acked, replied].map(|at| at.load(Relaxed))).collect()
    }

    fn times(&self, ends: &[AtomicU64], wanted: impl Fn(usize) -> bool) -> Vec<u64> {
        let times = self.sent.iter().zip(ends).enumerate().filter(|(n, _)| wanted(*n));
        times
            .map(|(_, (start, end))| (start.load(Relaxed), end.load(Relaxed)))
            .filter(|(start, end)| *start > 0 && *end > 0)
            .map(|(start, end)| end.saturating_sub(start))
            .collect()
    }
}

/// Times in order, to be asked for percentiles.
pub struct Spread(Vec<u64>);

impl Spread {
    fn new(mut times_ns: Vec<u64>) -> Self {
        times_ns.sort_unstable();
        Self(times_ns)
    }

    /// The time that so many in a thousand do not exceed, in milliseconds; none of none.
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
    fn a_second_answer_is_a_double_and_not_a_second_time() {
        let marks = Marks::new(2);
        marks.sent(0);
        marks.replied(0);
        marks.replied(0);
        marks.replied(7);
        assert_eq!((marks.done(), marks.oddities()), ((1, 0), (1, 0)));
        assert!(marks.reply_times(|n| n == 1).per_mille_ms(500).is_none());
    }
}
