//! How fast messages may follow each other: the pair rate (to one contact) and the throughput (from one number).
//!
//! Both are the generic cell rate algorithm: one number, the moment at which everything sent so far would be paid for
//! at the steady rate. Sending moves it on by one interval; a burst may run ahead of it by so much and no more, and what
//! was borrowed is paid back before the next burst. So a struct is 24 bytes, and there may be one per contact.
//!
//! Time is the caller's. Inside it is counted in microseconds, since 80 messages a second are 12.5 milliseconds apart.
//! A clock that is set back costs one interval, not the time it was set back by.

use crate::{Rule, Verdict};
use beadle_model::Timestamp;

const SECOND_US: i64 = 1_000_000;

/// A window of this part of a second may be used up at once by [`Throughput`]: timers and threads wake a few milliseconds
/// late, and what was missed must be caught up or the rate is never reached.
const BUCKET_BURST_PART: u32 = 20;

/// The meter that both are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Meter {
    /// One message is paid for in this time.
    interval_us: i64,
    /// So far ahead of the steady rate may a burst run.
    ahead_us: i64,
    /// Everything sent is paid for at this moment.
    paid_at_us: i64,
}

impl Meter {
    fn new(interval_us: i64, burst: u32) -> Self {
        let interval_us = interval_us.max(0);
        let ahead_us = interval_us.saturating_mul(i64::from(burst.max(1)) - 1);
        Self { interval_us, ahead_us, paid_at_us: i64::MIN }
    }

    /// What is owed cannot lie further ahead than a full burst: if it does, the clock was set back.
    fn paid_at_us(&self, now_us: i64) -> i64 {
        self.paid_at_us.min(now_us.saturating_add(self.ahead_us).saturating_add(self.interval_us))
    }

    fn next_free(&self, now: Timestamp) -> Timestamp {
        let now_us = to_us(now);
        let free_us = self.paid_at_us(now_us).saturating_sub(self.ahead_us);
        // Up to the next whole millisecond: never too early.
        Timestamp(free_us.max(now_us).saturating_add(999).div_euclid(1000)).max(now)
    }

    fn take(&mut self, now: Timestamp) {
        let now_us = to_us(now);
        self.paid_at_us = self.paid_at_us(now_us).max(now_us).saturating_add(self.interval_us);
    }
}

fn to_us(at: Timestamp) -> i64 {
    at.as_ms().saturating_mul(1000)
}

/// The throughput of one number: so many messages a second, and never more in any second.
///
/// A twentieth of a second's worth may go at once; the steady rate is a little lower for it, so that burst and steady
/// rate together stay within the limit of the platform (4 at once and 77 a second for its 80).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throughput(Meter);

impl Throughput {
    /// With `messages_per_second` from 1 (0 counts as 1) to a million, at which there is one a microsecond.
    pub fn new(messages_per_second: u32) -> Self {
        let per_second = messages_per_second.clamp(1, 1_000_000);
        let burst = (per_second / BUCKET_BURST_PART).max(1);
        // The steady rate is `per_second - (burst - 1)`; rounded up to whole microseconds, never too fast.
        let steady = i64::from(per_second - (burst - 1));
        Self(Meter::new((SECOND_US + steady - 1) / steady, burst))
    }

    /// When the next message may go: `now`, or the first millisecond after it at which it may.
    pub fn next_free(&self, now: Timestamp) -> Timestamp {
        self.0.next_free(now)
    }

    /// A message goes at `now`. Ask [`Throughput::next_free`] before.
    pub fn take(&mut self, now: Timestamp) {
        self.0.take(now);
    }
}

/// The pair rate: messages from one number to one contact.
///
/// One every `contact_seconds`, and `contact_burst` of them may go at once, borrowed from the time to come: after a
/// burst of 45 at 6 seconds each the next may go 6 seconds later, and the next burst of 45 after 270 (whatsapp.md 4).
/// Where the platform is stricter than its own text it says 131056, and the outbox slows down for that contact alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairRate(Meter);

impl PairRate {
    /// `contact_seconds` between messages (0: no limit), `contact_burst` at once (0 counts as 1).
    pub fn new(contact_seconds: u32, contact_burst: u32) -> Self {
        Self(Meter::new(i64::from(contact_seconds) * SECOND_US, contact_burst))
    }

    /// When the next message may go: `now`, or the first millisecond after it at which it may.
    pub fn next_free(&self, now: Timestamp) -> Timestamp {
        self.0.next_free(now)
    }

    /// A message goes at `now`. Ask [`PairRate::next_free`] before.
    pub fn take(&mut self, now: Timestamp) {
        self.0.take(now);
    }

    /// Everything is paid for: it is as good as a new one and can be forgotten.
    pub fn is_idle(&self, now: Timestamp) -> bool {
        self.0.paid_at_us <= to_us(now)
    }
}

/// May a message go by both? `Later` says until when, and names the rule that takes longer.
pub fn check(pair: &PairRate, bucket: &Throughput, now: Timestamp) -> Verdict {
    let (by_pair, by_bucket) = (pair.next_free(now), bucket.next_free(now));
    match by_pair.max(by_bucket) {
        until if until <= now => Verdict::Send,
        until if until == by_pair => Verdict::Later { until, rule: Rule::PairRate },
        until => Verdict::Later { until, rule: Rule::Throughput },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: Timestamp = Timestamp(1_795_293_360_000);

    /// Sends whenever it may, being ready after each of these pauses; when each went.
    fn sent(meter: &mut Meter, pauses_ms: &[i64]) -> Vec<i64> {
        let mut now = START;
        let mut times = Vec::new();
        for pause_ms in pauses_ms {
            now = meter.next_free(now.plus_ms(*pause_ms));
            assert_eq!(meter.next_free(now), now, "what was promised is kept");
            meter.take(now);
            times.push(now.as_ms());
        }
        times
    }

    proptest! {
        /// In any span there are no more than a burst and what the steady rate gives for it.
        #[test]
        fn never_too_many(
            interval_us in 1..20_000_000i64,
            burst in 1..60u32,
            pauses_ms in prop::collection::vec(prop_oneof![4 => Just(0i64), 1 => 0..30_000i64], 1..300),
        ) {
            let times = sent(&mut Meter::new(interval_us, burst), &pauses_ms);
            for (first, from) in times.iter().enumerate() {
                for (count, to) in times[first..].iter().enumerate() {
                    let span_us = (to - from) * 1000;
                    let allowed = i64::from(burst) + span_us / interval_us;
                    prop_assert!((count as i64) < allowed, "{} in {span_us} µs", count + 1);
                }
            }
        }

        /// A message waits only where the one before it in this millisecond would have been too many.
        #[test]
        fn never_later_than_needed(
            interval_us in 1000..20_000_000i64,
            burst in 1..60u32,
            pauses_ms in prop::collection::vec(prop_oneof![4 => Just(0i64), 1 => 0..30_000i64], 1..300),
        ) {
            let mut meter = Meter::new(interval_us, burst);
            let times = sent(&mut meter, &pauses_ms);
            let last = Timestamp(times[times.len() - 1]);
            let next = meter.next_free(last);
            if next > last {
                // Some span that ends one millisecond earlier would be over what `never_too_many` allows.
                let end_us = (next.as_ms() - 1) * 1000;
                let over = times.iter().enumerate().any(|(first, from)| {
                    let count = (times.len() - first) as i64 + 1;
                    count > i64::from(burst) + (end_us - from * 1000).div_euclid(interval_us)
                });
                prop_assert!(over, "waits until {next} for nothing");
            }
        }

        /// The operator's number holds for every second.
        #[test]
        fn a_number_never_sends_more_in_a_second(per_second in 1..2000u32, pauses_ms in prop::collection::vec(0..5i64, 500)) {
            let mut bucket = Throughput::new(per_second);
            let times = sent(&mut bucket.0, &pauses_ms);
            for (first, from) in times.iter().enumerate() {
                let within = times[first..].iter().take_while(|to| **to < from + 1000).count();
                prop_assert!(within <= per_second as usize, "{within}");
            }
        }

        /// Whatever the clock does, nobody waits longer than one interval.
        #[test]
        fn a_clock_set_back_costs_an_interval(back_ms in 0..10_000_000_000i64, burst in 1..60u32) {
            let mut pair = PairRate::new(6, burst);
            for _ in 0..burst {
                pair.take(START);
            }
            let now = START.plus_ms(-back_ms);
            prop_assert!(pair.next_free(now).since_ms(now) <= 6000);
        }
    }

    #[test]
    fn a_burst_of_45_is_paid_back() {
        let mut pair = PairRate::new(6, 45);
        let times = sent(&mut pair.0, &[0; 47]);
        assert_eq!(times[44], START.as_ms());
        assert_eq!(times[45], START.as_ms() + 6000);
        assert_eq!(times[46], START.as_ms() + 12_000);
        assert!(!pair.is_idle(START.plus_ms(281_999)));
        assert!(pair.is_idle(START.plus_ms(282_000)));
        assert_eq!(sent(&mut pair.0, &[282_000; 1])[0], START.as_ms() + 282_000);
    }

    #[test]
    fn eighty_a_second_are_reached() {
        let mut bucket = Throughput::new(80);
        let times = sent(&mut bucket.0, &[0; 801]);
        let took_ms = times[800] - times[0];
        assert!((9900..=10_400).contains(&took_ms), "{took_ms} ms for 800");
    }

    #[test]
    fn the_slower_rule_is_named() {
        let (mut pair, mut bucket) = (PairRate::new(6, 1), Throughput::new(1));
        assert_eq!(check(&pair, &bucket, START), Verdict::Send);
        bucket.take(START);
        assert_eq!(check(&pair, &bucket, START), Verdict::Later { until: START.plus_ms(1000), rule: Rule::Throughput });
        pair.take(START);
        assert_eq!(check(&pair, &bucket, START), Verdict::Later { until: START.plus_ms(6000), rule: Rule::PairRate });
    }

    #[test]
    fn no_limit_is_no_limit() {
        let mut pair = PairRate::new(0, 0);
        assert_eq!(sent(&mut pair.0, &[0; 100]), [START.as_ms(); 100]);
    }

    #[test]
    fn the_ends_of_time_overflow_nothing() {
        let mut pair = PairRate::new(u32::MAX, u32::MAX);
        for now in [Timestamp(i64::MIN), START, Timestamp(i64::MAX)] {
            assert!(pair.next_free(now) >= now);
            pair.take(now);
            assert!(pair.next_free(now) >= now);
        }
    }
}
