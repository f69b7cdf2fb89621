//! Whether the host's clock agrees with the platform's.
//!
//! A host whose clock is ahead takes every message for an old one and answers none of them. The
//! difference is measured by the `Date` of the Graph API's answers; it is the median of the last
//! few, because one answer may be delayed or come from a proxy. A webhook whose time stamp is far
//! from the host's time is only a reason to measure ([`crate::clock_check`]): the platform repeats
//! webhooks for days.
//!
//! Nothing is compared under a clock that is not the machine's: a simulator sets it by hours at
//! once, also while a request is under way.

use beadle_clock::Clock;
use beadle_model::Timestamp;
use parking_lot::Mutex;
use reqwest::header::{AGE, DATE, HeaderMap};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::Notify;

/// From this difference on it is a problem, in milliseconds. The platform delivers within seconds,
/// and everything that is measured in civil time (windows, the age of a message) bears a minute.
const LIMIT_MS: i64 = 2 * 60 * 1000;
/// Below this difference the clocks agree again: a difference near the limit makes no line for each
/// measurement.
const AGREEMENT_MS: i64 = 60 * 1000;
/// Measurements that are kept.
const KEPT: usize = 5;
/// Measurements that a difference is known from, and that are made at once: more than half of those
/// kept.
pub(crate) const NEEDED: usize = 3;
/// An answer that took longer says little about the time at which it was written.
const MAX_ROUND_TRIP: Duration = Duration::from_secs(10);
/// If civil and elapsed time differ by more during a request, the clock was set meanwhile. A date
/// has whole seconds, so less makes no difference.
const MAX_DRIFT_MS: i64 = 1000;

/// The difference between the host's clock and the platform's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockDifference {
    /// The host's time minus the platform's, in milliseconds.
    pub ms: i64,
    /// Whether it is large enough to be a problem.
    pub is_problem: bool,
}

/// Compares the host's clock with the platform's.
#[derive(Debug)]
pub struct HostClock {
    clock: Clock,
    measured: Mutex<Measured>,
    pub(crate) suspected: Notify,
}

/// What was measured last.
#[derive(Debug, Default)]
struct Measured {
    differences_ms: VecDeque<i64>,
    differs: bool,
}

impl Measured {
    /// Adds a measurement. Returns whether the clocks differ now, if that has changed.
    fn add(&mut self, difference_ms: i64) -> Option<bool> {
        self.differences_ms.push_back(difference_ms);
        if self.differences_ms.len() > KEPT {
            self.differences_ms.pop_front();
        }
        let median_ms = self.median_ms()?.saturating_abs();
        let differs = if self.differs { median_ms > AGREEMENT_MS } else { median_ms > LIMIT_MS };
        (std::mem::replace(&mut self.differs, differs) != differs).then_some(differs)
    }

    /// Of an even number of measurements, the smaller difference of the two in the middle.
    fn median_ms(&self) -> Option<i64> {
        let mut sorted: Vec<i64> = self.differences_ms.iter().copied().collect();
        sorted.sort_unstable();
        let middle = [sorted.len().saturating_sub(1) / 2, sorted.len() / 2];
        let middle = middle.into_iter().filter_map(|at| sorted.get(at)).copied();
        middle.min_by_key(|ms| ms.saturating_abs()).filter(|_| sorted.len() >= NEEDED)
    }
}

impl HostClock {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, measured: Mutex::default(), suspected: Notify::new() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The difference; `None` until enough was measured.
    pub fn difference(&self) -> Option<ClockDifference> {
        let measured = self.measured.lock();
        Some(ClockDifference { ms: measured.median_ms()?, is_problem: measured.differs })
    }

    /// The platform reports something that happened at this time. If that is far from the host's
    /// time, the difference is measured soon.
    pub fn consider(&self, happened_at: Timestamp) {
        if self.clock.is_machine() && is_far(self.now().since_ms(happened_at)) {
            self.suspected.notify_one();
        }
    }

    /// Measures by an answer to a request that was sent at `sent_at`.
    pub(crate) fn measure(&self, answer: &HeaderMap, sent_at: Timestamp, round_trip: Duration) {
        // A cache repeats the time of the answer that it keeps.
        if !self.clock.is_machine() || answer.contains_key(AGE) {
            return;
        }
        let date = answer.get(DATE).and_then(|date| Timestamp::from_http_date(date.to_str().ok()?));
        let difference_ms = date.and_then(|date| difference_ms(date, (sent_at, self.now()), round_trip));
        let Some(difference_ms) = difference_ms else { return };
        let mut measured = self.measured.lock();
        let changed = measured.add(difference_ms);
        let (median_ms, differs) = (measured.median_ms().unwrap_or(difference_ms), measured.differs);
        drop(measured);
        match changed {
            Some(true) => {
                let difference_s = median_ms / 1000;
                tracing::error!(code = "clock-differs", difference_s, "clock of this host differs from WhatsApp's");
            }
            Some(false) => tracing::info!("clock of this host agrees with WhatsApp's again"),
            None if is_far(difference_ms) && !differs => self.suspected.notify_one(),
            None => {}
        }
    }
}

fn is_far(difference_ms: i64) -> bool {
    difference_ms.saturating_abs() > LIMIT_MS
}

/// By how much the host is ahead, by an answer with this date. `host` is its time before and after
/// the request; `None` if that says nothing: the answer took long, or the clock was set meanwhile.
fn difference_ms(date: Timestamp, host: (Timestamp, Timestamp), round_trip: Duration) -> Option<i64> {
    let (sent_at, received_at) = host;
    let round_trip_ms = i64::try_from(round_trip.as_millis()).ok()?;
    let drift_ms = received_at.since_ms(sent_at).saturating_sub(round_trip_ms).saturating_abs();
    if round_trip > MAX_ROUND_TRIP || drift_ms > MAX_DRIFT_MS {
        return None;
    }
    // A date is a whole second that has begun.
    Some(sent_at.plus_ms(round_trip_ms / 2).since_ms(date.plus_ms(500)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_MS: i64 = 60 * 1000;

    fn answer(date: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(DATE, reqwest::header::HeaderValue::from_static(date))])
    }

    #[test]
    fn one_wrong_answer_is_no_difference() {
        let mut measured = Measured::default();
        assert_eq!([0, 0].map(|ms| measured.add(ms)), [None, None]);
        assert_eq!(measured.median_ms(), None, "too few");
        assert_eq!([20, 20, 0].map(|minutes| measured.add(minutes * MINUTE_MS)), [None, None, None]);
        assert_eq!(measured.median_ms(), Some(0));
    }

    #[test]
    fn difference_begins_at_two_minutes_and_ends_below_one() {
        for sign in [1, -1] {
            let mut measured = Measured::default();
            let mut add =
                |seconds: i64| (0..NEEDED).filter_map(|_| measured.add(sign * seconds * 1000)).collect::<Vec<_>>();
            assert_eq!([119, 121, 125, 61, 59, 119].map(&mut add), [&[][..], &[true], &[], &[], &[false], &[]]);
        }
    }

    #[test]
    fn long_round_trips_and_a_clock_that_is_set_measure_nothing() {
        let (date, second) = (Timestamp(1_000_000), Duration::from_secs(1));
        let at = |ms: i64| date.plus_ms(ms);
        assert_eq!(difference_ms(date, (at(0), at(1000)), second), Some(0));
        assert_eq!(difference_ms(date, (at(600_000), at(601_000)), second), Some(600_000));
        assert_eq!(difference_ms(date, (at(-600_000), at(-599_000)), second), Some(-600_000));
        assert_eq!(difference_ms(date, (at(0), at(11_000)), second * 11), None);
        for set in [60_000, -60_000] {
            assert_eq!(difference_ms(date, (at(0), at(1000 + set)), second), None);
        }
    }

    #[test]
    fn answers_of_a_cache_and_under_a_simulators_clock_measure_nothing() {
        let ancient = answer("Sun, 06 Nov 1994 08:49:37 GMT");
        let mut cached = ancient.clone();
        cached.insert(AGE, reqwest::header::HeaderValue::from_static("7"));
        let measured = |clock: Clock, answer: &HeaderMap| {
            let host = HostClock::new(clock);
            (0..KEPT).for_each(|_| host.measure(answer, host.now(), Duration::ZERO));
            host.consider(Timestamp(0));
            let is_suspected = host.suspected.notified();
            (host.difference().map(|difference| difference.is_problem), poll_once(is_suspected))
        };
        assert_eq!(measured(Clock::real(), &ancient), (Some(true), true));
        assert_eq!(measured(Clock::real(), &cached), (None, true), "the time stamp of a webhook is far");
        let (manual, _handle) = Clock::manual(Timestamp(1_795_293_360_000));
        assert_eq!(measured(manual, &ancient), (None, false));
    }

    /// Whether the future is ready.
    fn poll_once(future: impl Future) -> bool {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        std::pin::pin!(future).poll(&mut context).is_ready()
    }
}
