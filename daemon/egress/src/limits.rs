//! The rate of requests to a host, shared by live traffic and backfill. Pure: the caller supplies
//! monotonic time.
//!
//! A server counts requests in windows of its own ("100 in 10 seconds"). A bucket with a burst `b`
//! and a rate `r` lets `b + r·t` requests through in a time `t`, so both are chosen such that this
//! is never more than the limit in any window of its length. Live traffic takes from one bucket.
//! Backfill takes from the same one, and from another with half of its burst and rate while live
//! traffic was seen within a window; so live traffic keeps at least half.

use beadle_model::effect::Traffic;

/// A limit that a server states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RateLimit {
    /// Requests in a window; at least 1.
    pub requests: u32,
    /// Length of the window, in milliseconds; at least 1.
    pub window_ms: u32,
}

/// The requests that a host may get.
#[derive(Clone, Copy, Debug)]
pub struct HostPace {
    limit: RateLimit,
    shared: Bucket,
    backfill: Bucket,
    last_live_ms: Option<i64>,
}

/// Parts of one request; a bucket counts them, so that no time is lost by rounding.
const PARTS: u64 = 1_000_000;

#[derive(Clone, Copy, Debug)]
struct Bucket {
    parts: u64,
    last_ms: Option<i64>,
}

impl Bucket {
    /// Adds what `per_window` requests in `window_ms` give since the last time, up to `burst`.
    fn fill(&mut self, per_window: u64, window_ms: u64, burst_parts: u64, now_ms: i64) {
        let elapsed_ms = self.last_ms.map_or(0, |last_ms| now_ms.saturating_sub(last_ms)).max(0).unsigned_abs();
        self.last_ms = Some(self.last_ms.map_or(now_ms, |last_ms| last_ms.max(now_ms)));
        let added = per_window.saturating_mul(PARTS).saturating_mul(elapsed_ms) / window_ms;
        self.parts = self.parts.saturating_add(added).min(burst_parts);
    }

    /// Time until it has the parts of a request, in milliseconds.
    fn wait_ms(&self, per_window: u64, window_ms: u64, needed: u64) -> i64 {
        let missing = needed.saturating_sub(self.parts);
        let wait_ms = missing.saturating_mul(window_ms).div_ceil((per_window * PARTS).max(1));
        i64::try_from(wait_ms).unwrap_or(i64::MAX)
    }
}

impl HostPace {
    /// A pace whose buckets are full.
    pub fn new(limit: RateLimit) -> Self {
        let limit = RateLimit { requests: limit.requests.max(1), window_ms: limit.window_ms.max(1) };
        let bucket = Bucket { parts: u64::MAX, last_ms: None };
        Self { limit, shared: bucket, backfill: bucket, last_live_ms: None }
    }

    /// Requests that may leave at once: a tenth of the limit.
    fn burst(&self) -> u64 {
        u64::from(self.limit.requests / 10).max(1)
    }

    /// Requests that are added in a window: what the burst leaves of the limit.
    fn rate(&self) -> u64 {
        // With a limit of 1, burst and rate cannot both fit: two requests are a window apart.
        (u64::from(self.limit.requests) - self.burst()).max(1)
    }

    /// Takes a request now, or says how long to wait before asking again, in milliseconds.
    ///
    /// # Errors
    /// The time to wait, at least 1.
    pub fn take(&mut self, traffic: Traffic, now_ms: i64) -> Result<(), i64> {
        let window_ms = u64::from(self.limit.window_ms);
        let (rate, burst_parts) = (self.rate(), self.burst() * PARTS);
        if traffic == Traffic::Live {
            self.last_live_ms = Some(now_ms);
        }
        let is_shared =
            self.last_live_ms.is_some_and(|live_ms| now_ms.saturating_sub(live_ms) < i64::from(self.limit.window_ms));
        // In half requests per two windows, so that an odd rate is halved exactly.
        let backfill_window_ms = if is_shared { 2 * window_ms } else { window_ms };
        self.shared.fill(rate, window_ms, burst_parts, now_ms);
        self.backfill.fill(rate, backfill_window_ms, (burst_parts / 2).max(PARTS), now_ms);
        // Backfill leaves half of the burst, so that a live request does not wait for it.
        let reserve = if traffic == Traffic::Backfill { burst_parts / 2 / PARTS * PARTS } else { 0 };
        let mut wait_ms = self.shared.wait_ms(rate, window_ms, reserve + PARTS);
        if traffic == Traffic::Backfill {
            wait_ms = wait_ms.max(self.backfill.wait_ms(rate, backfill_window_ms, PARTS));
        }
        if wait_ms > 0 {
            return Err(wait_ms);
        }
        self.shared.parts -= PARTS;
        if traffic == Traffic::Backfill {
            self.backfill.parts -= PARTS;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HUBSPOT: RateLimit = RateLimit { requests: 100, window_ms: 10_000 };

    /// When requests leave, if both kinds ask every millisecond until `end_ms`.
    fn run(limit: RateLimit, end_ms: i64, live_every_ms: i64) -> Vec<(i64, Traffic)> {
        let (mut pace, mut sent, mut live_waits) = (HostPace::new(limit), Vec::new(), 0);
        for now_ms in 0..end_ms {
            live_waits += i64::from(live_every_ms > 0 && now_ms % live_every_ms.max(1) == 0);
            if live_waits > 0 && pace.take(Traffic::Live, now_ms).is_ok() {
                live_waits -= 1;
                sent.push((now_ms, Traffic::Live));
            }
            if pace.take(Traffic::Backfill, now_ms).is_ok() {
                sent.push((now_ms, Traffic::Backfill));
            }
        }
        sent
    }

    fn of(sent: &[(i64, Traffic)], traffic: Traffic) -> usize {
        sent.iter().filter(|(_, other)| *other == traffic).count()
    }

    #[test]
    fn backfill_alone_gets_nearly_the_whole_limit() {
        let sent = run(HUBSPOT, 100_000, 0);
        assert!((890..=1000).contains(&sent.len()), "{}", sent.len());
    }

    #[test]
    fn live_traffic_keeps_half() {
        let sent = run(HUBSPOT, 100_000, 10);
        let (live, backfill) = (of(&sent, Traffic::Live), of(&sent, Traffic::Backfill));
        assert!(live >= backfill && live + backfill <= 1000, "{live} {backfill}");
    }

    #[test]
    fn clock_set_back_neither_stops_nor_refills() {
        let mut pace = HostPace::new(RateLimit { requests: 10, window_ms: 1000 });
        assert_eq!(pace.take(Traffic::Live, 100_000), Ok(()));
        let wait_ms = pace.take(Traffic::Live, 0).unwrap_err();
        assert!(wait_ms <= 1000, "{wait_ms}");
        assert!(pace.take(Traffic::Live, 100_500).is_ok());
    }

    proptest! {
        #[test]
        fn no_window_has_more_than_the_limit(requests in 2..300u32, window_ms in 50..3000u32, live_every_ms in 0..200i64) {
            let limit = RateLimit { requests, window_ms };
            let sent = run(limit, 4 * i64::from(window_ms), live_every_ms);
            for (index, (start_ms, _)) in sent.iter().enumerate() {
                let end_ms = start_ms + i64::from(window_ms);
                let count = sent[index..].iter().take_while(|(at_ms, _)| *at_ms < end_ms).count();
                prop_assert!(count <= requests as usize, "{count} from {start_ms} ms");
            }
        }

        /// Whatever live traffic asks for, it waits no longer than for half of the rate.
        #[test]
        fn live_request_waits_for_half_of_the_rate_at_most(requests in 4..300u32, window_ms in 100..3000u32, live_every in 2..50u32) {
            let limit = RateLimit { requests, window_ms };
            // Live traffic that asks for at most 40 % of the limit.
            let live_every_ms = i64::from(window_ms / requests * 3 + live_every);
            let end_ms = 5 * i64::from(window_ms);
            let sent = run(limit, end_ms, live_every_ms);
            let asked = (end_ms + live_every_ms - 1) / live_every_ms;
            prop_assert!(of(&sent, Traffic::Live) as i64 >= asked - 2, "{} of {asked}", of(&sent, Traffic::Live));
        }

        #[test]
        fn waiting_as_told_is_enough(requests in 1..100u32, window_ms in 1..5000u32, taken in 0..200u32) {
            let mut pace = HostPace::new(RateLimit { requests, window_ms });
            let mut now_ms = 0;
            for _ in 0..taken {
                _ = pace.take(Traffic::Live, now_ms);
            }
            for traffic in [Traffic::Live, Traffic::Backfill] {
                if let Err(wait_ms) = pace.take(traffic, now_ms) {
                    prop_assert!(wait_ms >= 1);
                    now_ms += wait_ms;
                    // The rate of backfill may change while it waits, to its advantage only.
                    prop_assert_eq!(pace.take(traffic, now_ms), Ok(()));
                }
            }
        }
    }
}
