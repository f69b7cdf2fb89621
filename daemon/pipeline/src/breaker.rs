//! When a plugin that keeps failing rests, when it is tried again, and when it is suspended: a circuit breaker, as a
//! state that is told what happened and asked whether the plugin may be. Pure: time is given in.
//!
//! What tells of a plugin is whether handlings go well at their first or second try, by the lane they ran in: an event, or a
//! conversation, that breaks the plugin again and again is one failure, however often it comes. Only where several lanes
//! failed lately and in hardly any something went well is it the plugin that is broken. (Not the first try alone: of many
//! that run at once those that fail are through first, and would seem to be all there are.)
//!
//! *Works* → (it fails everywhere) → *rests* for a while → one event is tried → it went well: *works*; it failed: *rests*
//! for longer. Where the trials end in traps or limits time after time it is *suspended*, until a person or a new
//! revision changes something. A plugin that says of itself that it cannot now (`retry`: what it talks to is down) is never
//! suspended for it: it rests ever longer, and comes back by itself when the world does.

use crate::lane::LaneKey;
use beadle_model::Timestamp;
use std::collections::{HashSet, VecDeque};

/// Handlings that are remembered: enough to see a share, few enough to see a change soon.
const RECENT: usize = 16;
/// So many lanes have failed before it can be the plugin's own fault: a handful of people, or places, that have nothing
/// else in common.
const SEVERAL: usize = 5;
/// … for each in which something went well so many failed: one that still does a fifth of its work is more use awake.
const FAILED_FOR_EACH_WELL: usize = 4;
/// How long it rests the first time, the second, and so on; then always the last. The first is shorter than a person
/// waits for the second look at a screen; at five minutes a trial costs nothing, and whoever is away that long is not
/// kept waiting much longer.
const RESTS_MS: [i64; 7] = [5000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000];
/// So many trials in a row that end in a trap or at a limit, and it is suspended: with the rests between them that is five
/// minutes, more than any chance lasts.
const STRIKES: u32 = 6;
/// After so many handlings that went well what was before is forgotten: the next rest is again the first.
const RECOVERED: u32 = 50;
/// A lane in which so many events in a row were given up gets one try an event, until one goes well.
const POISONED: u32 = 3;
/// So many such lanes are remembered; more are no longer the lanes' fault.
const POISONED_LANES: usize = 64;

/// Whether a plugin may be asked now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum May {
    /// Yes.
    Go,
    /// Yes, as the one trial after a rest.
    Try,
    /// Not before then.
    NotBefore(Timestamp),
    /// Not while the trial runs.
    NotYet,
    /// No.
    Never,
}

/// How a try failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// A trap, or a limit.
    Broke,
    /// It said so itself.
    Said,
}

/// What a failure led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It rests until then.
    Rests(Timestamp),
    /// It is suspended.
    Suspended,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Works,
    /// Until then, and on until somebody comes to be tried.
    Rests(Timestamp),
    Trial,
    Suspended,
}

/// The breaker of one plugin.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    state: State,
    /// The latest handlings, the latest last: in which lane, and whether it failed.
    recent: VecDeque<(LaneKey, bool)>,
    /// Rests since it last recovered.
    rests: usize,
    /// Trials in a row that broke.
    strikes: u32,
    /// Handlings that went well since it last rested.
    well: u32,
    /// Lanes in which events were given up, and how many in a row.
    poisoned: VecDeque<(LaneKey, u32)>,
}

impl Breaker {
    /// Asks. Who is told [`May::Try`] must tell how it went, or that it is undecided.
    pub fn may(&mut self, now: Timestamp) -> May {
        match self.state {
            State::Works => May::Go,
            State::Rests(until) if now < until => May::NotBefore(until),
            State::Rests(_) => {
                self.state = State::Trial;
                May::Try
            }
            State::Trial => May::NotYet,
            State::Suspended => May::Never,
        }
    }

    /// The same without being the one who tries.
    pub fn look(&self, now: Timestamp) -> May {
        match self.state {
            State::Works => May::Go,
            State::Rests(until) if now < until => May::NotBefore(until),
            State::Rests(_) => May::Try,
            State::Trial => May::NotYet,
            State::Suspended => May::Never,
        }
    }

    /// A try went well. `tells`: it was the first or second of its handling. `true`: it works again.
    pub fn went_well(&mut self, lane: LaneKey, tells: bool, trial: bool) -> bool {
        self.poisoned.retain(|(poisoned, _)| *poisoned != lane);
        if trial && self.state == State::Trial {
            *self = Self { rests: self.rests, poisoned: std::mem::take(&mut self.poisoned), ..Self::default() };
            return true;
        }
        if tells {
            self.remember(lane, false);
            self.well = self.well.saturating_add(1);
            if self.well >= RECOVERED {
                self.rests = 0;
            }
        }
        false
    }

    /// A try failed by the plugin's own fault; what that leads to. `tells`: it was the second of its handling, or the last.
    pub fn failed(&mut self, lane: LaneKey, tells: bool, trial: bool, how: Failed, now: Timestamp) -> Option<Turn> {
        if trial && self.state == State::Trial {
            self.strikes = if how == Failed::Broke { self.strikes + 1 } else { 0 };
            if self.strikes >= STRIKES {
                self.state = State::Suspended;
                return Some(Turn::Suspended);
            }
            return Some(self.rest(now));
        }
        if !tells {
            return None;
        }
        self.remember(lane, true);
        let lanes = |failed: bool| {
            let those = self.recent.iter().filter(|(_, it)| *it == failed).map(|(lane, _)| *lane);
            those.collect::<HashSet<_>>().len()
        };
        let is_broken = lanes(true) >= SEVERAL && lanes(true) >= lanes(false) * FAILED_FOR_EACH_WELL;
        (is_broken && self.state == State::Works).then(|| self.rest(now))
    }

    /// The trial ended without an answer: another is to be made.
    pub fn undecided(&mut self, now: Timestamp) {
        if self.state == State::Trial {
            self.state = State::Rests(now);
        }
    }

    /// A person, or the loader, says so.
    pub fn suspend(&mut self) {
        self.state = State::Suspended;
    }

    /// An event of this lane was given up. How many that makes in a row.
    pub fn gave_up(&mut self, lane: LaneKey) -> u32 {
        let before = self.poisoned.iter().position(|(poisoned, _)| *poisoned == lane);
        let count = before.and_then(|at| self.poisoned.remove(at)).map_or(0, |(_, count)| count) + 1;
        if self.poisoned.len() >= POISONED_LANES {
            self.poisoned.pop_front();
        }
        self.poisoned.push_back((lane, count));
        count
    }

    /// Whether events of this lane get one try each.
    pub fn is_poisoned(&self, lane: LaneKey) -> bool {
        self.poisoned.iter().any(|(poisoned, count)| *poisoned == lane && *count >= POISONED)
    }

    fn rest(&mut self, now: Timestamp) -> Turn {
        let nth = self.rests.min(RESTS_MS.len() - 1);
        let until = now.plus_ms(RESTS_MS.get(nth).copied().unwrap_or_default());
        self.rests += 1;
        self.well = 0;
        self.recent.clear();
        self.state = State::Rests(until);
        Turn::Rests(until)
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

    /// Handlings in a row, `F` that failed and `s` that went well, each with the number of its lane; what the last one
    /// led to.
    fn after(tries: &str) -> Option<Turn> {
        let mut breaker = Breaker::default();
        let mut turn = None;
        for word in tries.split_whitespace() {
            let (how, number) = word.split_at(1);
            let lane = lane(number.parse().unwrap());
            assert_eq!(turn, None, "{tries}: before {word}");
            match how {
                "s" => assert!(!breaker.went_well(lane, true, false)),
                _ => turn = breaker.failed(lane, true, false, Failed::Broke, NOW),
            }
        }
        turn
    }

    #[test]
    fn it_rests_when_it_fails_in_several_lanes_and_hardly_anywhere_not() {
        let rests = Some(Turn::Rests(NOW.plus_ms(5000)));
        for (tries, turn) in [
            ("F1 F2 F3 F4", None),
            ("F1 F2 F3 F4 F5", rests),
            // One conversation, or a few, are not the plugin's fault.
            ("F1 F1 F1 F1 F1 F1 F1 F1", None),
            ("F1 F2 F1 F2 F3 F1 F2 F3 F4 F4", None),
            ("F1 F1 F1 F1 F1 F1 F1 F1 F1 F2 s3 F4 s5 F6 s7 F8", None),
            // A fifth of its work, and more, is worth doing.
            ("s1 s2 F3 F4 F5 F6 F7", None),
            ("s1 F2 F3 F4 F5 F6", rests),
            ("s1 s1 s1 s1 F2 F3 F4 F5 F6", rests),
            ("F1 s2 F3 s4 F5 s6 F7 s8 F9 s10 F11 s12", None),
            // Each third event breaks it, and with it the lane waits, so that what went well lies behind.
            ("s1 s2 s3 s4 s5 s6 F1 F2 F3 F4 F5 F6 F7 F8 F9 F10", None),
            // What was long ago does not excuse it, nor does it take many people to see that.
            ("s1 s2 s3 s4 s5 s6 s1 s2 s3 s4 F1 F2 F3 F4 F5 F6 F1 F2 F3 F4 F5", None),
            ("s1 s2 s3 s4 s5 s6 s1 s2 s3 s4 F1 F2 F3 F4 F5 F6 F1 F2 F3 F4 F5 F6 F1 F2 F3", rests),
        ] {
            assert_eq!(after(tries), turn, "{tries}");
        }
    }

    /// One that has just begun to rest.
    fn resting() -> Breaker {
        let mut breaker = Breaker::default();
        let turns: Vec<_> = (1..=5).filter_map(|n| breaker.failed(lane(n), true, false, Failed::Broke, NOW)).collect();
        assert_eq!(turns.len(), 1);
        breaker
    }

    /// Tried as soon as it may be, so often; what that led to each time, as milliseconds of rest.
    fn trials(breaker: &mut Breaker, count: u32, how: Failed) -> Vec<Option<i64>> {
        let mut now = NOW;
        let mut led = Vec::new();
        for _ in 0..count {
            if let May::NotBefore(until) = breaker.may(now) {
                now = until;
                assert_eq!(breaker.may(now), May::Try);
            }
            led.push(breaker.failed(lane(1), true, true, how, now).map(|turn| match turn {
                Turn::Rests(until) => until.since_ms(now),
                Turn::Suspended => 0,
            }));
        }
        led
    }

    #[test]
    fn it_rests_ever_longer_and_is_suspended_when_its_trials_break() {
        let rests = [10_000, 20_000, 40_000, 80_000, 160_000, 0].map(Some);
        let mut breaker = resting();
        assert_eq!(trials(&mut breaker, 6, Failed::Broke), rests);
        assert_eq!(breaker.may(NOW.plus_ms(1 << 40)), May::Never);
    }

    #[test]
    fn who_says_that_it_cannot_now_rests_and_is_never_suspended() {
        let mut breaker = resting();
        let led = trials(&mut breaker, 100, Failed::Said);
        assert!(led.iter().all(|ms| ms.is_some_and(|ms| (10_000..=300_000).contains(&ms))), "{led:?}");
        assert_eq!(led.last(), Some(&Some(300_000)));
    }

    #[test]
    fn one_event_is_tried_and_decides() {
        let mut breaker = resting();
        let until = NOW.plus_ms(5000);
        assert_eq!(breaker.may(NOW), May::NotBefore(until));
        assert_eq!((breaker.look(until), breaker.may(until)), (May::Try, May::Try));
        assert_eq!((breaker.look(until), breaker.may(until)), (May::NotYet, May::NotYet));
        // What was begun before it rested says nothing now.
        assert!(!breaker.went_well(lane(2), true, false));
        assert_eq!(breaker.failed(lane(3), true, false, Failed::Broke, until), None);
        assert_eq!(breaker.may(until), May::NotYet);
        breaker.undecided(until);
        assert_eq!(breaker.may(until), May::Try);
        assert!(breaker.went_well(lane(1), true, true));
        assert_eq!(breaker.may(until), May::Go);
        // The next rest is longer, unless it does well for a while.
        let again = |breaker: &mut Breaker| {
            (11..=15).find_map(|n| breaker.failed(lane(n), true, false, Failed::Broke, NOW)).unwrap()
        };
        assert_eq!(again(&mut breaker), Turn::Rests(NOW.plus_ms(10_000)));
        assert_eq!(breaker.may(NOW.plus_ms(10_000)), May::Try);
        breaker.went_well(lane(1), true, true);
        (0..50).for_each(|n| _ = breaker.went_well(lane(n % 20), true, false));
        (20..36).for_each(|n| _ = breaker.failed(lane(n), false, false, Failed::Broke, NOW));
        let turn = (40..60).find_map(|n| breaker.failed(lane(n), true, false, Failed::Broke, NOW)).unwrap();
        assert_eq!(turn, Turn::Rests(NOW.plus_ms(5000)));
    }

    #[test]
    fn a_lane_that_breaks_it_again_and_again_is_set_apart_alone() {
        let mut breaker = Breaker::default();
        for (count, poisoned) in [(1, false), (2, false), (3, true), (4, true)] {
            assert_eq!((breaker.gave_up(lane(1)), breaker.is_poisoned(lane(1))), (count, poisoned));
        }
        assert!(!breaker.is_poisoned(lane(2)));
        breaker.went_well(lane(2), true, false);
        assert!(breaker.is_poisoned(lane(1)));
        breaker.went_well(lane(1), true, false);
        assert!(!breaker.is_poisoned(lane(1)));
        (0..200).for_each(|n| (0..3).for_each(|_| _ = breaker.gave_up(lane(n))));
        assert_eq!(breaker.poisoned.len(), POISONED_LANES);
    }

    proptest! {
        /// Whatever happens in whatever order: one trial at a time, and what is suspended stays so.
        #[test]
        fn one_is_tried_at_a_time(steps in prop::collection::vec((0u8..6, 0i64..8), 0..300)) {
            let (mut breaker, mut now, mut trying, mut suspended) = (Breaker::default(), NOW, false, false);
            for (step, n) in steps {
                match step {
                    0 => now = now.plus_ms(n * 1000),
                    1 => match breaker.may(now) {
                        May::Try => {
                            prop_assert!(!trying && !suspended);
                            trying = true;
                        }
                        May::NotYet => prop_assert!(trying),
                        May::Never => prop_assert!(suspended),
                        May::NotBefore(until) => prop_assert!(until > now),
                        May::Go => prop_assert!(!suspended),
                    },
                    2 if trying => {
                        breaker.undecided(now);
                        trying = false;
                    }
                    3 | 4 => {
                        let how = if step == 3 { Failed::Broke } else { Failed::Said };
                        let turn = breaker.failed(lane(n), true, trying, how, now);
                        trying = false;
                        suspended |= turn == Some(Turn::Suspended);
                    }
                    _ => {
                        breaker.went_well(lane(n), true, trying);
                        trying = false;
                    }
                }
            }
        }
    }
}
