//! What an event does when its plugin fails or cannot be called: pure functions with table tests.
//!
//! [`Availability`] is the one description of whether a plugin is called. [`while_unavailable`]
//! maps it, with the plugin's stage, its `on_failure`, the event's kind and the lane, to what the
//! event does meanwhile; [`after_failure`] maps a failed attempt to the next one. Semantics:
//! docs/design.md#failure and docs/design.md#health.
//!
//! It keeps no state (see `breaker`) and does not cover sends, which the outbox retries by its own
//! rules.

use crate::lane::LaneKey;
use beadle_model::{EventKind, Timestamp};
use serde::{Deserialize, Serialize};

/// When a plugin is called (docs/design.md#stages).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// First, one after the other; may stop an event.
    Guard,
    /// Then, one after the other, until one claims the event.
    #[default]
    Answer,
    /// After the chain, in a lane of its own, with the event's ending.
    Observe,
}

impl Stage {
    /// Whether a plugin of this stage is in the chain of such events, where others wait for it.
    pub(crate) fn is_in_chain(self, kind: EventKind) -> bool {
        kind.is_staged() && self != Stage::Observe
    }
}

/// What an event does when its guard keeps failing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// It waits for the guard, and is not answered if the guard never decides.
    #[default]
    Hold,
    /// It goes on as if the guard had passed it.
    Skip,
}

/// Why a plugin is suspended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspension {
    /// For `beadle explain`.
    pub code: String,
    /// What happened, without a full stop.
    pub reason: String,
    /// Since when.
    pub at: Timestamp,
}

/// The failure that made a plugin rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    /// For `beadle explain`.
    pub code: String,
    /// What happened, without a full stop.
    pub error: String,
}

/// Whether a plugin is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Availability {
    /// It is called.
    #[default]
    Available,
    /// Not before `until`; the first event after that is a trial.
    Resting {
        /// The end of the rest.
        until: Timestamp,
        /// What it failed with.
        cause: Cause,
    },
    /// One event is being tried after a rest; its outcome decides.
    OnTrial {
        /// What it failed with before.
        cause: Cause,
    },
    /// Not until an operator or a new revision changes something.
    Suspended(Suspension),
    /// It was disabled, or its file was removed.
    Disabled,
}

impl Availability {
    /// Whether only a person or a new revision can make it available again.
    pub fn is_out_of_service(&self) -> bool {
        matches!(self, Availability::Suspended(_) | Availability::Disabled)
    }
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub code: &'static str,
    /// What happened, without a full stop.
    pub error: String,
    /// Another attempt would not help.
    pub is_final: bool,
    /// The plugin returned it; otherwise it trapped or hit a limit.
    pub is_returned: bool,
    /// The plugin is at fault, not the host or the disk.
    pub is_plugins_fault: bool,
}

impl Failure {
    /// Whether it counts against a revision that no other revision can be compared with. A plugin
    /// that asks for a retry may be right: the cause may lie outside.
    pub fn counts_without_comparison(&self) -> bool {
        self.is_plugins_fault && (self.is_final || !self.is_returned)
    }
}

/// What an event does while its plugin is not called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meanwhile {
    /// It waits in its lane until the plugin may be called.
    Wait,
    /// It waits in its lane for at most [`HOLD_MS`].
    Hold,
    /// It is kept on disk and handled when the plugin may be called.
    KeepOnDisk,
    /// It goes on without the plugin.
    PassOver,
    /// It ends here, unanswered.
    EndUnanswered,
}

/// What an event of this kind does in this lane while its plugin is not called; `None` where the
/// plugin is available.
///
/// Others wait behind a plugin of the chain, so a rest does not hold them up, except for a guard
/// with `on_failure = "hold"`. Everything else is for this plugin alone: it waits in memory during
/// a rest where its lane is its own, and on disk otherwise.
pub(crate) fn while_unavailable(
    availability: &Availability,
    kind: EventKind,
    stage: Stage,
    on_failure: OnFailure,
    lane: LaneKey,
) -> Option<Meanwhile> {
    use Availability::{Available, Disabled, OnTrial, Resting, Suspended};
    let holds = is_held(kind, stage, on_failure);
    Some(match (availability, stage.is_in_chain(kind)) {
        (Available, _) => return None,
        (Resting { .. } | OnTrial { .. }, true) if holds => Meanwhile::Hold,
        (Suspended(_), true) if holds => Meanwhile::EndUnanswered,
        (Resting { .. } | OnTrial { .. } | Suspended(_) | Disabled, true) => Meanwhile::PassOver,
        (Resting { .. } | OnTrial { .. }, false) if lane.is_of_one_plugin() => Meanwhile::Wait,
        (Resting { .. } | OnTrial { .. } | Suspended(_) | Disabled, false) => Meanwhile::KeepOnDisk,
    })
}

/// Whether such an event waits for this plugin, and ends unanswered without its decision.
pub(crate) fn is_held(kind: EventKind, stage: Stage, on_failure: OnFailure) -> bool {
    stage == Stage::Guard && stage.is_in_chain(kind) && on_failure == OnFailure::Hold
}

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterFailure {
    /// Another attempt after this many milliseconds of civil time.
    Retry { after_ms: i64 },
    /// A dead letter.
    GiveUp {
        /// The event ends unanswered: it waited for a guard that never decided.
        ends_unanswered: bool,
    },
}

/// Pauses after the first, second, … failed attempt, before jitter. Guard and answer: 3 attempts
/// within 5 seconds, while a person waits.
const CHAIN_PAUSES_MS: [i64; 2] = [300, 1500];
/// A guard with `on_failure = "hold"` is tried for another 60 seconds, ever more slowly.
const HOLD_PAUSES_MS: [i64; 5] = [3000, 6000, 12_000, 18_000, 18_000];
/// An event waits this long for such a guard, in all, whether the guard fails or rests.
pub(crate) const HOLD_MS: i64 = 60_000;
/// Observers and unstaged events: 5 attempts within 60 seconds.
const OBSERVER_PAUSES_MS: [i64; 4] = [1000, 4000, 12_000, 30_000];

/// What follows the `attempts`-th failed attempt (1 or more).
///
/// `once`: there is only one attempt in any stage. The low 16 bits of `jitter` are random and
/// shorten a pause by up to a quarter, so that events that failed together are not retried
/// together; a pause never grows.
pub(crate) fn after_failure(
    attempts: u32,
    kind: EventKind,
    stage: Stage,
    on_failure: OnFailure,
    once: bool,
    jitter: u64,
) -> AfterFailure {
    let nth = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
    let in_chain = stage.is_in_chain(kind);
    let holds = is_held(kind, stage, on_failure);
    let pause = if in_chain {
        let hold = holds.then(|| HOLD_PAUSES_MS.get(nth.checked_sub(CHAIN_PAUSES_MS.len())?)).flatten();
        CHAIN_PAUSES_MS.get(nth).or(hold)
    } else {
        OBSERVER_PAUSES_MS.get(nth)
    };
    match pause.filter(|_| !once) {
        Some(pause_ms) => {
            let share = i64::try_from(jitter % 65_536).unwrap_or(0);
            AfterFailure::Retry { after_ms: pause_ms - pause_ms * share / 65_536 / 4 }
        }
        None => AfterFailure::GiveUp { ends_unanswered: holds },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use beadle_model::{ConversationId, PluginNo};
    use proptest::prelude::*;

    #[test]
    fn only_what_is_for_one_plugin_waits_for_it() {
        use EventKind::{ContactChanged, Message, Schedule, Timer};
        use Meanwhile::{EndUnanswered, Hold, KeepOnDisk, PassOver, Wait};
        use OnFailure::{Hold as Held, Skip};
        use Stage::{Answer, Guard, Observe};
        let shared = LaneKey::Conversation(ConversationId(1));
        let own = LaneKey::Observer(PluginNo(1), ConversationId(1));
        let resting = Availability::Resting { until: Timestamp(1), cause: Cause::default() };
        let on_trial = Availability::OnTrial { cause: Cause::default() };
        let suspended =
            Availability::Suspended(Suspension { code: String::new(), reason: String::new(), at: Timestamp(0) });
        for (kind, stage, on_failure, lane, [while_resting, while_suspended, while_disabled]) in [
            (Message, Answer, Held, shared, [PassOver, PassOver, PassOver]),
            (Message, Guard, Held, shared, [Hold, EndUnanswered, PassOver]),
            (Message, Guard, Skip, shared, [PassOver, PassOver, PassOver]),
            (Message, Observe, Held, own, [Wait, KeepOnDisk, KeepOnDisk]),
            (ContactChanged, Answer, Held, own, [Wait, KeepOnDisk, KeepOnDisk]),
            // A timer of an answerer runs in the conversation's lane, where others wait behind it.
            (Timer, Answer, Held, shared, [KeepOnDisk, KeepOnDisk, KeepOnDisk]),
            (Timer, Guard, Held, own, [Wait, KeepOnDisk, KeepOnDisk]),
            (Schedule, Guard, Held, LaneKey::Schedule(PluginNo(1), 1), [Wait, KeepOnDisk, KeepOnDisk]),
        ] {
            for (availability, expected) in [
                (&Availability::Available, None),
                (&resting, Some(while_resting)),
                (&on_trial, Some(while_resting)),
                (&suspended, Some(while_suspended)),
                (&Availability::Disabled, Some(while_disabled)),
            ] {
                let found = while_unavailable(availability, kind, stage, on_failure, lane);
                assert_eq!(found, expected, "{availability:?} {kind:?} {stage:?} {on_failure:?} {lane:?}");
            }
        }
    }

    /// Attempts in all, the longest time that they take, and whether the event then ends
    /// unanswered.
    fn life(kind: EventKind, stage: Stage, on_failure: OnFailure, jitter: u64) -> (u32, i64, bool) {
        let (mut attempts, mut ms) = (1, 0);
        loop {
            match after_failure(attempts, kind, stage, on_failure, false, jitter) {
                AfterFailure::Retry { after_ms } => (attempts, ms) = (attempts + 1, ms + after_ms),
                AfterFailure::GiveUp { ends_unanswered } => return (attempts, ms, ends_unanswered),
            }
        }
    }

    proptest! {
        #[test]
        fn tries_and_times_are_those_of_the_design(jitter: u64) {
            use EventKind::{Message, Timer};
            let (attempts, ms, unanswered) = life(Message, Stage::Answer, OnFailure::Hold, jitter);
            prop_assert!(attempts == 3 && ms <= 5000 && !unanswered);
            let (attempts, ms, unanswered) = life(Message, Stage::Guard, OnFailure::Skip, jitter);
            prop_assert!(attempts == 3 && ms <= 5000 && !unanswered);
            let (_, ms, unanswered) = life(Message, Stage::Guard, OnFailure::Hold, jitter);
            prop_assert!((40_000..=HOLD_MS).contains(&ms) && unanswered);
            let once = after_failure(1, Message, Stage::Guard, OnFailure::Hold, true, jitter);
            prop_assert_eq!(once, AfterFailure::GiveUp { ends_unanswered: true });
            for (kind, stage) in [(Message, Stage::Observe), (Timer, Stage::Answer), (Timer, Stage::Guard)] {
                let (attempts, ms, unanswered) = life(kind, stage, OnFailure::Hold, jitter);
                prop_assert!(attempts == 5 && ms <= 60_000 && !unanswered);
            }
        }
    }
}
