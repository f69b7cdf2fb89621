//! Pacing: the pair rate (messages to one contact) and the throughput (messages from one number).
//!
//! Both are the generic cell rate algorithm, whose only state is the time at which everything sent
//! is paid for at the steady rate. A message adds one interval. A burst may run ahead of the steady
//! rate by a fixed amount, and what it borrows is paid back before the next burst. A rate takes 24
//! bytes, so that there may be one per contact.
//!
//! The caller supplies the time. It is counted in microseconds, because 80 messages a second are
//! 12.5 ms apart. If the clock is set back, the next message waits for one interval at most.

use crate::{Check, GateVerdict};
use beadle_model::Timestamp;

const SECOND_US: i64 = 1_000_000;

/// The part of a second that a burst of [`Throughput`] may use up: timers and threads wake a few
/// milliseconds late, and the rate is reached only if that is caught up.
const BURST_FRACTION: u32 = 20;

/// The algorithm of both rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rate {
    /// The time that pays for one message.
    interval_us: i64,
    /// How far a burst may run ahead of the steady rate.
    ahead_us: i64,
    /// When everything sent is paid for.
    paid_at_us: i64,
}

impl Rate {
    fn new(interval_us: i64, burst: u32) -> Self {
        let interval_us = interval_us.max(0);
        let ahead_us = interval_us.saturating_mul(i64::from(burst.max(1)) - 1);
        Self { interval_us, ahead_us, paid_at_us: i64::MIN }
    }

    /// The debt cannot exceed a full burst. If it does, the clock was set back: then nothing is
    /// known of the time that passed, and the debt is forgiven. Capped relative to `now` instead,
    /// it would never be paid.
    fn paid_at_us(&self, now_us: i64) -> i64 {
        let highest = now_us.saturating_add(self.ahead_us).saturating_add(self.interval_us);
        if self.paid_at_us > highest { now_us } else { self.paid_at_us }
    }

    fn next_free(&self, now: Timestamp) -> Timestamp {
        let now_us = to_us(now);
        let free_us = self.paid_at_us(now_us).saturating_sub(self.ahead_us);
        // Rounded up to the next millisecond, so that it is never too early.
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

/// The throughput of one number: a maximum number of messages in any second.
///
/// A twentieth of a second's messages may be sent at once. The steady rate is reduced accordingly,
/// so that burst and steady rate together stay within the platform's limit (4 at once and 77 a
/// second for 80).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throughput(Rate);

impl Throughput {
    /// `messages_per_second` from 1 (0 counts as 1) to a million.
    pub fn new(messages_per_second: u32) -> Self {
        let per_second = messages_per_second.clamp(1, 1_000_000);
        let burst = (per_second / BURST_FRACTION).max(1);
        // `per_second - (burst - 1)`, with the interval rounded up to a microsecond.
        let steady = i64::from(per_second - (burst - 1));
        Self(Rate::new((SECOND_US + steady - 1) / steady, burst))
    }

    /// The earliest time for the next message: `now` or later.
    pub fn next_free(&self, now: Timestamp) -> Timestamp {
        self.0.next_free(now)
    }

    /// Records a message at `now`, after [`Throughput::next_free`].
    pub fn take(&mut self, now: Timestamp) {
        self.0.take(now);
    }
}

/// The pair rate: messages from one number to one contact.
///
/// One every `contact_seconds`, of which `contact_burst` may be sent at once: after a burst of 45
/// at 6 seconds each, the next message waits 6 seconds and the next burst of 45 waits 270
/// (`docs/whatsapp.md#limits`). If the platform is stricter, it returns 131056, and the outbox
/// slows down for that contact alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairRate(Rate);

impl PairRate {
    /// `contact_seconds` between messages (0: no limit), `contact_burst` at once (0 counts as 1).
    pub fn new(contact_seconds: u32, contact_burst: u32) -> Self {
        Self(Rate::new(i64::from(contact_seconds) * SECOND_US, contact_burst))
    }

    /// The earliest time for the next message: `now` or later.
    pub fn next_free(&self, now: Timestamp) -> Timestamp {
        self.0.next_free(now)
    }

    /// Records a message at `now`, after [`PairRate::next_free`].
    pub fn take(&mut self, now: Timestamp) {
        self.0.take(now);
    }

    /// Whether everything is paid for, so that it equals a new one and can be dropped.
    pub fn is_idle(&self, now: Timestamp) -> bool {
        self.0.paid_at_us <= to_us(now)
    }
}

/// Checks both rates. `Later` names the rule that takes longer.
pub fn check(pair: &PairRate, throughput: &Throughput, now: Timestamp) -> GateVerdict {
    let (by_pair, by_throughput) = (pair.next_free(now), throughput.next_free(now));
    match by_pair.max(by_throughput) {
        until if until <= now => GateVerdict::Send,
        until if until == by_pair => GateVerdict::Later { until, check: Check::PairRate },
        until => GateVerdict::Later { until, check: Check::Throughput },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: Timestamp = Timestamp(1_795_293_360_000);

    /// Sends as early as possible after each of these pauses; returns the times.
    fn sent(meter: &mut Rate, pauses_ms: &[i64]) -> Vec<i64> {
        let mut now = START;
        let mut times = Vec::new();
        for pause_ms in pauses_ms {
            now = meter.next_free(now.plus_ms(*pause_ms));
            assert_eq!(meter.next_free(now), now, "the returned time is free");
            meter.take(now);
            times.push(now.as_ms());
        }
        times
    }

    proptest! {
        /// No span contains more messages than a burst and its share of the steady rate.
        #[test]
        fn never_exceeds_the_rate(
            interval_us in 1..20_000_000i64,
            burst in 1..60u32,
            pauses_ms in prop::collection::vec(prop_oneof![4 => Just(0i64), 1 => 0..30_000i64], 1..300),
        ) {
            let times = sent(&mut Rate::new(interval_us, burst), &pauses_ms);
            for (first, from) in times.iter().enumerate() {
                for (count, to) in times[first..].iter().enumerate() {
                    let span_us = (to - from) * 1000;
                    let allowed = i64::from(burst) + span_us / interval_us;
                    prop_assert!((count as i64) < allowed, "{} in {span_us} µs", count + 1);
                }
            }
        }

        /// A message waits only if sending it a millisecond earlier would exceed the rate.
        #[test]
        fn never_waits_without_need(
            interval_us in 1000..20_000_000i64,
            burst in 1..60u32,
            pauses_ms in prop::collection::vec(prop_oneof![4 => Just(0i64), 1 => 0..30_000i64], 1..300),
        ) {
            let mut meter = Rate::new(interval_us, burst);
            let times = sent(&mut meter, &pauses_ms);
            let last = Timestamp(times[times.len() - 1]);
            let next = meter.next_free(last);
            if next > last {
                // Some span that ends a millisecond earlier would exceed the rate.
                let end_us = (next.as_ms() - 1) * 1000;
                let over = times.iter().enumerate().any(|(first, from)| {
                    let count = (times.len() - first) as i64 + 1;
                    count > i64::from(burst) + (end_us - from * 1000).div_euclid(interval_us)
                });
                prop_assert!(over, "waits until {next} without need");
            }
        }

        /// The configured number holds for every second.
        #[test]
        fn throughput_holds_for_every_second(per_second in 1..2000u32, pauses_ms in prop::collection::vec(0..5i64, 500)) {
            let mut throughput = Throughput::new(per_second);
            let times = sent(&mut throughput.0, &pauses_ms);
            for (first, from) in times.iter().enumerate() {
                let within = times[first..].iter().take_while(|to| **to < from + 1000).count();
                prop_assert!(within <= per_second as usize, "{within}");
            }
        }

        /// A clock set back by any amount delays a message by one interval at most.
        #[test]
        fn clock_set_back_delays_by_one_interval(back_ms in 0..10_000_000_000i64, burst in 1..60u32) {
            let mut pair = PairRate::new(6, burst);
            for _ in 0..burst {
                pair.take(START);
            }
            let now = START.plus_ms(-back_ms);
            prop_assert!(pair.next_free(now).since_ms(now) <= 6000);
        }
    }

    #[test]
    fn clock_set_back_silences_nothing() {
        for back_ms in [1000, 120_000, 10 * 365 * 24 * 3_600_000] {
            let mut throughput = Throughput::new(80);
            throughput.take(START);
            let mut now = START.plus_ms(-back_ms);
            for _ in 0..10 {
                let free = throughput.next_free(now);
                assert!(free.since_ms(now) <= 13, "{back_ms}: waits {} ms", free.since_ms(now));
                assert_eq!(throughput.next_free(free), free, "{back_ms}: what was promised is kept");
                throughput.take(free);
                now = free;
            }
        }
    }

    #[test]
    fn burst_of_45_is_paid_back() {
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
    fn rate_of_80_a_second_is_reached() {
        let mut throughput = Throughput::new(80);
        let times = sent(&mut throughput.0, &[0; 801]);
        let took_ms = times[800] - times[0];
        assert!((9900..=10_400).contains(&took_ms), "{took_ms} ms for 800");
    }

    #[test]
    fn slower_rule_is_named() {
        let (mut pair, mut throughput) = (PairRate::new(6, 1), Throughput::new(1));
        assert_eq!(check(&pair, &throughput, START), GateVerdict::Send);
        throughput.take(START);
        assert_eq!(
            check(&pair, &throughput, START),
            GateVerdict::Later { until: START.plus_ms(1000), check: Check::Throughput }
        );
        pair.take(START);
        assert_eq!(
            check(&pair, &throughput, START),
            GateVerdict::Later { until: START.plus_ms(6000), check: Check::PairRate }
        );
    }

    #[test]
    fn zero_interval_means_no_limit() {
        let mut pair = PairRate::new(0, 0);
        assert_eq!(sent(&mut pair.0, &[0; 100]), [START.as_ms(); 100]);
    }

    #[test]
    fn extreme_times_do_not_overflow() {
        let mut pair = PairRate::new(u32::MAX, u32::MAX);
        for now in [Timestamp(i64::MIN), START, Timestamp(i64::MAX)] {
            assert!(pair.next_free(now) >= now);
            pair.take(now);
            assert!(pair.next_free(now) >= now);
        }
    }
}
