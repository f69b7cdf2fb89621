//! The rules that pause a broadcast, and the rate at which it hands over messages. Pure functions.

use crate::settings::Settings;
use beadle_model::RecipientState;
use beadle_store::{BroadcastReason, RecipientCount};

/// The outcomes of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Accepted by the platform.
    pub sent: u64,
    /// Failed.
    pub failed: u64,
    /// Recipients who withdrew their consent.
    pub opted_out: u64,
}

impl Tally {
    /// Adds up counts.
    pub fn of(counts: &[RecipientCount], opted_out: u64) -> Self {
        let sum = |is: fn(RecipientState) -> bool| {
            counts.iter().filter(|count| is(count.state)).map(|count| count.recipients).sum()
        };
        Self { sent: sum(RecipientState::is_sent), failed: sum(|state| state == RecipientState::Failed), opted_out }
    }

    /// The difference to an earlier tally.
    pub fn since(self, before: Self) -> Self {
        Self {
            // A message that was sent may fail later.
            sent: self.sent.saturating_sub(before.sent),
            failed: self.failed.saturating_sub(before.failed),
            opted_out: self.opted_out.saturating_sub(before.opted_out),
        }
    }
}

/// Why the rules pause a broadcast, by the outcomes since it was started or resumed.
pub fn pause(settings: &Settings, since: Tally) -> Option<BroadcastReason> {
    let Tally { sent, failed, opted_out } = since;
    let attempted = sent + failed;
    if attempted < settings.min_messages {
        return None;
    }
    let is_over = |part: u64, limit: u32| part * 100 > attempted * u64::from(limit);
    if is_over(failed, settings.max_failed_percent) {
        let message = format!(
            "{failed} of {attempted} messages failed, more than {} %; `beadle broadcasts recipients NAME --state failed` \
             lists them",
            settings.max_failed_percent
        );
        return Some(BroadcastReason { code: "broadcast-failures".into(), message });
    }
    if is_over(opted_out, settings.max_opt_out_percent) {
        let message = format!(
            "{opted_out} of {attempted} recipients withdrew their consent, more than {} %",
            settings.max_opt_out_percent
        );
        return Some(BroadcastReason { code: "broadcast-opt-outs".into(), message });
    }
    None
}

/// Why the quality of the channel's number pauses a broadcast: it has fallen to red since the
/// broadcast was started or resumed.
pub fn pause_for_quality(before: Option<&str>, now: Option<&str>) -> Option<BroadcastReason> {
    (now == Some("red") && before != Some("red")).then(|| BroadcastReason {
        code: "broadcast-number-quality".into(),
        message: "the quality of the number has fallen to red; `beadle broadcasts resume NAME` accepts it".into(),
    })
}

/// Messages for this time are handed to the outbox in advance: the longest time for which they
/// delay a live message.
const AHEAD_MS: u64 = 250;
/// The minimum number of messages in advance, so that the interval of the task does not limit a
/// slow channel.
const MIN_AHEAD: u64 = 4;
/// The maximum number of messages in advance: those of a few group commits.
const MAX_AHEAD: u64 = 1024;

/// The rate at which broadcasts of a channel hand over messages.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// The messages that can be handed over, in thousandths.
    tokens_milli: u64,
    last_ms: Option<i64>,
}

/// The messages that a channel has to send.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Messages per second that the number can send.
    pub per_second: u64,
    /// All messages that wait in the outbox.
    pub waiting: u64,
    /// Messages of broadcasts that wait in the outbox and are not deferred.
    pub own_waiting: u64,
    /// Messages of broadcasts in flight.
    pub own_in_flight: u64,
    /// Whether the channel does not send for now.
    pub is_paused: bool,
}

impl Pace {
    /// The number of messages that can be handed over at this monotonic time in milliseconds.
    pub fn available(&mut self, load: Load, now_ms: i64) -> u64 {
        let elapsed_ms = self.last_ms.map_or(0, |last_ms| now_ms.saturating_sub(last_ms)).clamp(0, 1000).unsigned_abs();
        self.last_ms = Some(now_ms);
        // Live messages wait: they get at least half.
        let is_shared = load.waiting > load.own_waiting;
        let rate = if is_shared { (load.per_second / 2).max(1) } else { load.per_second };
        let ahead = (load.per_second * AHEAD_MS / 1000).clamp(MIN_AHEAD, MAX_AHEAD);
        self.tokens_milli = (self.tokens_milli + rate * elapsed_ms).min(ahead * 1000);
        if load.is_paused {
            return 0;
        }
        (self.tokens_milli / 1000).min(ahead.saturating_sub(load.own_waiting + load.own_in_flight))
    }

    /// Records that messages were handed over.
    pub fn take(&mut self, count: u64) {
        self.tokens_milli = self.tokens_milli.saturating_sub(count * 1000);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spikes_pause_after_min_messages() {
        let settings = Settings::default();
        let tally = |sent, failed, opted_out| Tally { sent, failed, opted_out };
        for (since, code) in [
            (tally(0, 99, 0), None),
            (tally(0, 100, 0), Some("broadcast-failures")),
            (tally(95, 10, 0), None),
            (tally(89, 11, 0), Some("broadcast-failures")),
            (tally(1000, 0, 20), None),
            (tally(1000, 0, 21), Some("broadcast-opt-outs")),
            (tally(50, 0, 50), None),
        ] {
            assert_eq!(pause(&settings, since).map(|reason| reason.code).as_deref(), code, "{since:?}");
        }
    }

    #[test]
    fn only_a_fall_to_red_pauses() {
        for (before, now, pauses) in [
            (Some("green"), Some("red"), true),
            (None, Some("red"), true),
            (Some("red"), Some("red"), false),
            (Some("green"), Some("yellow"), false),
            (Some("green"), None, false),
        ] {
            assert_eq!(pause_for_quality(before, now).is_some(), pauses, "{before:?} {now:?}");
        }
    }

    #[test]
    fn rules_count_from_the_last_resume() {
        let count = |state, recipients| RecipientCount { state, code: None, recipients };
        let before = [count(RecipientState::Read, 10), count(RecipientState::Failed, 90)];
        let after = [count(RecipientState::Read, 110), count(RecipientState::Failed, 95)];
        let since = Tally::of(&after, 3).since(Tally::of(&before, 1));
        assert_eq!(since, Tally { sent: 100, failed: 5, opted_out: 2 });
    }

    proptest! {
        /// Whatever the live traffic does, broadcasts get at most half of the throughput while it
        /// waits, and never more than the throughput.
        #[test]
        fn live_traffic_keeps_half(per_second in 1..2000u64, steps in prop::collection::vec((1..400i64, any::<bool>()), 1..200)) {
            let (mut pace, mut now, mut handed) = (Pace::default(), 0i64, 0u64);
            let mut allowed_milli = 0u64;
            for (step_ms, live_waits) in steps {
                now += step_ms;
                let load = Load { per_second, waiting: u64::from(live_waits), own_waiting: 0, own_in_flight: 0, is_paused: false };
                let rate = if live_waits { (per_second / 2).max(1) } else { per_second };
                let step = if handed == 0 && allowed_milli == 0 { 0 } else { step_ms.unsigned_abs() };
                allowed_milli += rate * step.max(1);
                let count = pace.available(load, now);
                pace.take(count);
                handed += count;
            }
            prop_assert!(handed * 1000 <= allowed_milli + per_second * 400 + 4000, "{} {}", handed, allowed_milli);
        }

        #[test]
        fn outbox_never_holds_more_than_a_quarter_of_a_second(per_second in 16..5000u64, own in 0..3000u64, now in 0..100_000i64) {
            let mut pace = Pace::default();
            pace.available(Load { per_second, waiting: 0, own_waiting: own, own_in_flight: 0, is_paused: false }, now);
            let count = pace.available(Load { per_second, waiting: 0, own_waiting: own, own_in_flight: 0, is_paused: false }, now + 10_000);
            prop_assert!(count == 0 || own + count <= (per_second / 4).clamp(MIN_AHEAD, MAX_AHEAD));
        }

        /// Messages of broadcasts in flight hide no live message that waits.
        #[test]
        fn live_message_halves_the_rate(per_second in 100..1000u64, in_flight in 0..20u64) {
            let rate = |waiting: u64| {
                let mut pace = Pace::default();
                let load = Load { per_second, waiting, own_waiting: 0, own_in_flight: in_flight, is_paused: false };
                pace.available(load, 0);
                pace.available(load, 100)
            };
            let in_advance = per_second * AHEAD_MS / 1000;
            prop_assert!(rate(1) <= (per_second / 20).min(in_advance.saturating_sub(in_flight)));
            prop_assert!(rate(1) <= rate(0));
        }

        #[test]
        fn paused_channel_gets_nothing(own in 0..10u64, now in 0..1_000_000i64) {
            let mut pace = Pace::default();
            prop_assert_eq!(pace.available(Load { per_second: 80, waiting: 0, own_waiting: own, own_in_flight: 0, is_paused: true }, now), 0);
        }
    }
}
