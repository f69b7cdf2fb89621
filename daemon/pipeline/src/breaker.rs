//! When a plugin that keeps failing rests, when it is tried again, and when it is suspended: a
//! circuit breaker over [`Availability`] (docs/design.md#health). Pure: time is an argument.
//!
//! What counts is whether handlings succeed at their first or second attempt, by lane. Events of
//! one conversation that fail again and again are one failure, however many there are; only
//! failures in several lanes, with hardly any successes, show that the plugin itself is broken. The
//! first attempt alone would not do: of many handlings that run at once, those that fail end first
//! and would seem to be all there are.
//!
//! *Available* → (fails everywhere) → *resting* → one event *on trial* → success: *available*;
//! failure: *resting* for longer. Trials that end in traps or limits time after time suspend the
//! plugin. A plugin that returns failures itself (its back end is down) rests ever longer and is
//! never suspended for that.

use crate::lane::LaneKey;
use crate::policy::{Availability, Cause, Failure, Suspension};
use beadle_model::Timestamp;
use std::collections::{HashSet, VecDeque};

/// The code of a plugin that failed too often.
pub(crate) const SUSPENDED: &str = "plugin-suspended";

/// Handlings that are remembered: enough to see a share, few enough to see a change soon.
const RECENT: usize = 16;
/// Lanes that must have failed before it can be the plugin's own fault: a handful of conversations
/// with nothing else in common.
const FAILED_LANES: usize = 5;
/// Failed lanes for each lane that succeeded: a plugin that still does a fifth of its work is
/// better left running.
const FAILED_PER_SUCCEEDED: usize = 4;
/// The first rest, the second, and so on; then always the last. The first is shorter than a person
/// waits before looking again; at five minutes a trial costs nothing.
const RESTS_MS: [i64; 7] = [5000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000];
pub(crate) const LONGEST_REST_MS: i64 = 300_000;
/// Trials in a row that end in a trap or at a limit before the plugin is suspended: with the rests
/// between them five minutes, longer than a coincidence lasts.
const STRIKES: u32 = 6;
/// Successes after which earlier rests are forgotten: the next one is again the first.
const RECOVERED: u32 = 50;
/// Events of one lane given up in a row, after which events of that lane get one attempt each until
/// one succeeds.
const POISONED: u32 = 3;
/// Such lanes that are remembered; more are no longer the lanes' fault.
const POISONED_LANES: usize = 64;

/// Whether a rest until then is over. One that ends later than the longest would was counted on a
/// clock that was set back.
pub(crate) fn is_over(until: Timestamp, now: Timestamp) -> bool {
    until <= now || until.since_ms(now) > LONGEST_REST_MS
}

/// What a failure led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transition {
    /// The plugin rests until then.
    Rested(Timestamp),
    /// It is suspended.
    Suspended,
}

/// The breaker of one plugin.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    availability: Availability,
    /// The latest handlings, the latest last: the lane, and whether it failed.
    recent: VecDeque<(LaneKey, bool)>,
    /// Rests since it last recovered.
    rests: usize,
    /// Trials in a row that ended in a trap or at a limit.
    strikes: u32,
    /// Successes since the last rest.
    successes: u32,
    /// Lanes in which events were given up, and how many in a row.
    poisoned: VecDeque<(LaneKey, u32)>,
}

impl Breaker {
    /// Whether the plugin is called.
    pub fn availability(&self) -> &Availability {
        &self.availability
    }

    /// Asks to call the plugin once. `Ok(true)`: as the trial after a rest, whose outcome the
    /// caller reports to [`Breaker::succeeded`], [`Breaker::failed`] or [`Breaker::undecided`].
    pub fn acquire(&mut self, now: Timestamp) -> Result<bool, Availability> {
        match &mut self.availability {
            Availability::Available => Ok(false),
            Availability::Resting { until, cause } if is_over(*until, now) => {
                self.availability = Availability::OnTrial { cause: std::mem::take(cause) };
                Ok(true)
            }
            unavailable => Err(unavailable.clone()),
        }
    }

    /// An attempt succeeded. `counts`: it was the first or second of its handling. Returns whether
    /// that ended a rest.
    pub fn succeeded(&mut self, lane: LaneKey, counts: bool, trial: bool) -> bool {
        self.poisoned.retain(|(poisoned, _)| *poisoned != lane);
        if trial && matches!(self.availability, Availability::OnTrial { .. }) {
            *self = Self { rests: self.rests, poisoned: std::mem::take(&mut self.poisoned), ..Self::default() };
            return true;
        }
        if counts {
            self.remember(lane, false);
            self.successes = self.successes.saturating_add(1);
            if self.successes >= RECOVERED {
                self.rests = 0;
            }
        }
        false
    }

    /// An attempt failed by the plugin's own fault. `counts`: it was the second of its handling, or
    /// the last.
    pub fn failed(
        &mut self,
        lane: LaneKey,
        counts: bool,
        trial: bool,
        failure: &Failure,
        now: Timestamp,
    ) -> Option<Transition> {
        if trial && matches!(self.availability, Availability::OnTrial { .. }) {
            self.strikes = if failure.is_returned { 0 } else { self.strikes + 1 };
            if self.strikes >= STRIKES {
                let Failure { code, error, .. } = failure;
                let reason = format!("every trial after a rest failed, last with: {error} ({code})");
                self.suspend(Suspension { code: SUSPENDED.into(), reason, at: now });
                return Some(Transition::Suspended);
            }
            return Some(self.rest(failure, now));
        }
        if !counts {
            return None;
        }
        self.remember(lane, true);
        let lanes = |failed: bool| {
            let those = self.recent.iter().filter(|(_, has_failed)| *has_failed == failed).map(|(lane, _)| *lane);
            those.collect::<HashSet<_>>().len()
        };
        let is_broken = lanes(true) >= FAILED_LANES && lanes(true) >= lanes(false) * FAILED_PER_SUCCEEDED;
        (is_broken && self.availability == Availability::Available).then(|| self.rest(failure, now))
    }

    /// The trial ended without a result: the next event is the trial.
    pub fn undecided(&mut self) {
        if let Availability::OnTrial { cause } = &mut self.availability {
            // The rest is over, whatever the clock says.
            self.availability = Availability::Resting { until: Timestamp(i64::MIN), cause: std::mem::take(cause) };
        }
    }

    /// The plugin is not called until another revision or a person resets the breaker.
    pub fn suspend(&mut self, suspension: Suspension) {
        self.availability = Availability::Suspended(suspension);
    }

    /// The plugin is no longer called.
    pub fn disable(&mut self) {
        self.availability = Availability::Disabled;
    }

    /// An event of this lane was given up. Returns how many in a row.
    pub fn gave_up(&mut self, lane: LaneKey) -> u32 {
        let before = self.poisoned.iter().position(|(poisoned, _)| *poisoned == lane);
        let count = before.and_then(|at| self.poisoned.remove(at)).map_or(0, |(_, count)| count) + 1;
        if self.poisoned.len() >= POISONED_LANES {
            self.poisoned.pop_front();
        }
        self.poisoned.push_back((lane, count));
        count
    }

    /// Whether events of this lane get one attempt each.
    pub fn is_poisoned(&self, lane: LaneKey) -> bool {
        self.poisoned.iter().any(|(poisoned, count)| *poisoned == lane && *count >= POISONED)
    }

    fn rest(&mut self, failure: &Failure, now: Timestamp) -> Transition {
        let nth = self.rests.min(RESTS_MS.len() - 1);
        let until = now.plus_ms(RESTS_MS.get(nth).copied().unwrap_or_default());
        let cause = Cause { code: failure.code.into(), error: failure.error.clone() };
        self.rests += 1;
        self.successes = 0;
        self.recent.clear();
        self.availability = Availability::Resting { until, cause };
        Transition::Rested(until)
    }

    fn remember(&mut self, lane: LaneKey, failed: bool) {
        if self.recent.len() >= RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((lane, failed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use beadle_model::ConversationId;
    use proptest::prelude::*;

    fn lane(n: i64) -> LaneKey {
        LaneKey::Conversation(ConversationId(n))
    }

    const NOW: Timestamp = Timestamp(1_000_000);

    fn failure(is_returned: bool) -> Failure {
        Failure { code: "trapped", error: "it trapped".into(), is_final: false, is_returned, is_plugins_fault: true }
    }

    fn fail(breaker: &mut Breaker, lane_no: i64) -> Option<Transition> {
        breaker.failed(lane(lane_no), true, false, &failure(false), NOW)
    }

    /// Handlings in a row, `F` failed and `s` succeeded, each with the number of its lane. Returns
    /// what the last one led to.
    fn after(attempts: &str) -> Option<Transition> {
        let mut breaker = Breaker::default();
        let mut transition = None;
        for word in attempts.split_whitespace() {
            let (how, number) = word.split_at(1);
            let number = number.parse().unwrap();
            assert_eq!(transition, None, "{attempts}: before {word}");
            match how {
                "s" => assert!(!breaker.succeeded(lane(number), true, false)),
                _ => transition = fail(&mut breaker, number),
            }
        }
        transition
    }

    #[test]
    fn rests_after_failing_in_several_lanes_with_hardly_any_success() {
        let rests = Some(Transition::Rested(NOW.plus_ms(5000)));
        for (attempts, expected) in [
            ("F1 F2 F3 F4", None),
            ("F1 F2 F3 F4 F5", rests),
            // One conversation, or a few, are not the plugin's fault.
            ("F1 F1 F1 F1 F1 F1 F1 F1", None),
            ("F1 F2 F1 F2 F3 F1 F2 F3 F4 F4", None),
            ("F1 F1 F1 F1 F1 F1 F1 F1 F1 F2 s3 F4 s5 F6 s7 F8", None),
            // A fifth of its work is worth doing.
            ("s1 s2 F3 F4 F5 F6 F7", None),
            ("s1 F2 F3 F4 F5 F6", rests),
            ("s1 s1 s1 s1 F2 F3 F4 F5 F6", rests),
            ("F1 s2 F3 s4 F5 s6 F7 s8 F9 s10 F11 s12", None),
            // Every third event breaks it and its lane waits, so the successes come first.
            ("s1 s2 s3 s4 s5 s6 F1 F2 F3 F4 F5 F6 F7 F8 F9 F10", None),
            // Old successes do not excuse it.
            ("s1 s2 s3 s4 s5 s6 s1 s2 s3 s4 F1 F2 F3 F4 F5 F6 F1 F2 F3 F4 F5", None),
            ("s1 s2 s3 s4 s5 s6 s1 s2 s3 s4 F1 F2 F3 F4 F5 F6 F1 F2 F3 F4 F5 F6 F1 F2 F3", rests),
        ] {
            assert_eq!(after(attempts), expected, "{attempts}");
        }
    }

    /// A breaker whose first rest has just begun.
    fn resting() -> Breaker {
        let mut breaker = Breaker::default();
        let transitions: Vec<_> = (1..=5).filter_map(|n| fail(&mut breaker, n)).collect();
        assert_eq!(transitions.len(), 1);
        breaker
    }

    fn end_of_rest(breaker: &Breaker) -> Timestamp {
        match breaker.availability() {
            Availability::Resting { until, .. } => *until,
            other => panic!("{other:?}"),
        }
    }

    /// Trials, each at the earliest moment. Returns the rest that each led to, in milliseconds; 0
    /// for a suspension.
    fn trials(breaker: &mut Breaker, count: u32, is_returned: bool) -> Vec<Option<i64>> {
        let mut led_to = Vec::new();
        for _ in 0..count {
            let now = end_of_rest(breaker);
            assert_eq!(breaker.acquire(now), Ok(true));
            let transition = breaker.failed(lane(1), true, true, &failure(is_returned), now);
            led_to.push(transition.map(|transition| match transition {
                Transition::Rested(until) => until.since_ms(now),
                Transition::Suspended => 0,
            }));
        }
        led_to
    }

    #[test]
    fn six_trials_that_trap_suspend_the_plugin() {
        let rests = [10_000, 20_000, 40_000, 80_000, 160_000, 0].map(Some);
        let mut breaker = resting();
        assert_eq!(trials(&mut breaker, 6, false), rests);
        let later = breaker.acquire(NOW.plus_ms(1 << 40));
        assert!(matches!(later, Err(Availability::Suspended(_))), "{later:?}");
    }

    #[test]
    fn clock_set_back_ends_a_rest() {
        let mut breaker = resting();
        assert!(breaker.acquire(NOW).is_err());
        assert_eq!(breaker.acquire(NOW.plus_ms(-3_600_000)), Ok(true));
    }

    #[test]
    fn returned_failures_never_suspend() {
        let mut breaker = resting();
        let led_to = trials(&mut breaker, 100, true);
        assert!(led_to.iter().all(|ms| ms.is_some_and(|ms| (10_000..=300_000).contains(&ms))), "{led_to:?}");
        assert_eq!(led_to.last(), Some(&Some(300_000)));
    }

    #[test]
    fn one_trial_decides_whether_a_rest_is_over() {
        let mut breaker = resting();
        let until = NOW.plus_ms(5000);
        assert!(matches!(breaker.acquire(NOW), Err(Availability::Resting { until: found, .. }) if found == until));
        assert_eq!(breaker.acquire(until), Ok(true));
        assert!(matches!(breaker.acquire(until), Err(Availability::OnTrial { .. })));
        // What began before the rest does not count now.
        assert!(!breaker.succeeded(lane(2), true, false));
        assert_eq!(fail(&mut breaker, 3), None);
        assert!(matches!(breaker.acquire(until), Err(Availability::OnTrial { .. })));
        breaker.undecided();
        assert_eq!(breaker.acquire(until), Ok(true));
        assert!(breaker.succeeded(lane(1), true, true));
        assert_eq!(breaker.acquire(until), Ok(false));
        // The next rest is longer, unless it succeeds for a while.
        let again = |breaker: &mut Breaker| (11..=15).find_map(|n| fail(breaker, n)).unwrap();
        assert_eq!(again(&mut breaker), Transition::Rested(NOW.plus_ms(10_000)));
        assert_eq!(breaker.acquire(NOW.plus_ms(10_000)), Ok(true));
        breaker.succeeded(lane(1), true, true);
        (0..50).for_each(|n| _ = breaker.succeeded(lane(n % 20), true, false));
        (20..36).for_each(|n| _ = breaker.failed(lane(n), false, false, &failure(false), NOW));
        let transition = (40..60).find_map(|n| fail(&mut breaker, n)).unwrap();
        assert_eq!(transition, Transition::Rested(NOW.plus_ms(5000)));
    }

    #[test]
    fn lane_that_keeps_failing_gets_one_try_per_event() {
        let mut breaker = Breaker::default();
        for (count, poisoned) in [(1, false), (2, false), (3, true), (4, true)] {
            assert_eq!((breaker.gave_up(lane(1)), breaker.is_poisoned(lane(1))), (count, poisoned));
        }
        assert!(!breaker.is_poisoned(lane(2)));
        breaker.succeeded(lane(2), true, false);
        assert!(breaker.is_poisoned(lane(1)));
        breaker.succeeded(lane(1), true, false);
        assert!(!breaker.is_poisoned(lane(1)));
        (0..200).for_each(|n| (0..3).for_each(|_| _ = breaker.gave_up(lane(n))));
        assert_eq!(breaker.poisoned.len(), POISONED_LANES);
    }

    proptest! {
        /// Whatever happens in whatever order: one trial at a time, and a suspension stays.
        #[test]
        fn one_trial_at_a_time(steps in prop::collection::vec((0u8..6, 0i64..8), 0..300)) {
            let (mut breaker, mut now, mut trying, mut suspended) = (Breaker::default(), NOW, false, false);
            for (step, n) in steps {
                match step {
                    0 => now = now.plus_ms(n * 1000),
                    1 => match breaker.acquire(now) {
                        Ok(true) => {
                            prop_assert!(!trying && !suspended);
                            trying = true;
                        }
                        Ok(false) => prop_assert!(!suspended),
                        Err(Availability::OnTrial { .. }) => prop_assert!(trying),
                        Err(Availability::Resting { until, .. }) => prop_assert!(until > now),
                        Err(Availability::Suspended(_)) => prop_assert!(suspended),
                        Err(other) => prop_assert!(false, "{:?}", other),
                    },
                    2 if trying => {
                        breaker.undecided();
                        trying = false;
                    }
                    3 | 4 => {
                        let transition = breaker.failed(lane(n), true, trying, &failure(step == 4), now);
                        trying = false;
                        suspended |= transition == Some(Transition::Suspended);
                    }
                    _ => {
                        breaker.succeeded(lane(n), true, trying);
                        trying = false;
                    }
                }
            }
        }
    }
}
