//! The executor: one handling, from the permission to call the plugin to the last attempt.
//!
//! It waits for a permit or does what the policy says while the plugin is unavailable, runs the
//! attempts that `policy` allows (each one in `attempt`), and writes down how a handling ended that
//! did not succeed: kept for the plugin, passed over, or a dead letter. It does not decide which
//! plugins get an event, nor in which order (`chain`).

use crate::attempt::{Attempt, Attempts, Handling, Outcome};
use crate::backlog::Backlogs;
use crate::breaker::LONGEST_REST_MS;
use crate::caught::caught;
use crate::context::{Context, NotStored, Phase};
use crate::lane::LaneKey;
use crate::policy::{
    AfterFailure, Availability, Failure, HOLD_MS, Meanwhile, after_failure, is_held, while_unavailable,
};
use crate::run::EventRun;
use crate::slot::Permit;
use beadle_clock::Thinned;
use beadle_model::effect::RefusedAsks;
use beadle_model::{Disposition, Ending, Event, EventKind, PluginNo, Timestamp};
use beadle_store::step::{FailedAttempt, Progress, Unhandled, UnhandledState};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// How a handling ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The event goes on: the plugin passed it, was passed over, failed for good, or has it kept.
    Passed,
    /// The chain has ended: the plugin claimed or stopped the event, or a guard never decided.
    Decided,
    /// The pipeline is stopping; nothing was decided.
    Stopping,
}

/// Why a handling ends without success.
struct Reason {
    code: &'static str,
    /// Without a full stop.
    error: String,
}

impl From<&Failure> for Reason {
    fn from(failure: &Failure) -> Self {
        Self { code: failure.code, error: failure.error.clone() }
    }
}

/// The code of an event that is too old for its plugin.
const STALE: &str = "stale";
/// Of such events, one line in this time.
pub(crate) const STALE_LINES_EVERY: Duration = Duration::from_secs(60);

/// Runs handlings.
pub(crate) struct Executor {
    pub context: Arc<Context>,
    pub attempts: Attempts,
    pub backlogs: Arc<Backlogs>,
    /// Lines about events that are too old: a wrong clock or a long outage makes one of each.
    pub stale_lines: Thinned,
}

impl Executor {
    /// Handles an event in the plugin at this place, until it is done or set aside. A panic of
    /// Beadle's own sets it aside too: the event goes on without this plugin. A panic while that is
    /// recorded is the caller's to catch.
    pub async fn handle(&self, run: &Arc<EventRun>, place: usize, lane: LaneKey) -> End {
        let Some(subscription) = run.subscribers.get(place).and_then(|subscriber| subscriber.subscription.as_ref())
        else {
            return End::Passed;
        };
        let handling = Handling { run, place, subscription, lane };
        let panic = match caught(self.run(handling)).await {
            Ok(end) => return end,
            Err(panic) => panic,
        };
        let failure = panicked(&panic);
        let ends_unanswered = is_held(run.event.kind(), subscription.stage, subscription.on_failure);
        let given_up = self.give_up(handling, run.attempts_before(place) + 1, Reason::from(&failure), ends_unanswered);
        given_up.await
    }

    async fn run(&self, handling: Handling<'_>) -> End {
        let Handling { run, place, subscription, .. } = handling;
        #[cfg(debug_assertions)]
        self.context.panic_if_injected(crate::context::PanicPoint::Handling);
        let began = self.context.clock.monotonic();
        if is_stale(&run.event, subscription.max_age_ms, self.context.clock.now()) {
            let (name, max_age_s) = (subscription.slot.name(), subscription.max_age_ms / 1000);
            let error = format!("the event is older than the {max_age_s} s that `{name}` allows");
            return self.give_up(handling, 0, Reason { code: STALE, error }, false).await;
        }
        let (mut attempts, mut last_failure) = (run.attempts_before(place), None);
        loop {
            let permit = match self.permit(handling, attempts, began, last_failure.as_ref()).await {
                Ok(permit) => permit,
                Err(end) => return end,
            };
            let is_trial = permit.is_trial();
            let attempt = Attempt { handling, number: attempts + 1, late: false, permit: &permit };
            let failure = match self.attempt(attempt).await {
                Outcome::Done(disposition) => return ended(disposition),
                Outcome::Stopping => return End::Stopping,
                Outcome::Failed(failure) => failure,
            };
            drop(permit);
            attempts += 1;
            if is_trial && failure.is_plugins_fault {
                // The plugin rests again; its next attempt of this event is when it is available,
                // if the event waits.
                self.note_failure(handling, attempts, &failure, self.context.clock.now()).await;
                last_failure = Some(failure);
                continue;
            }
            match self.after_failure(handling, attempts, &failure) {
                AfterFailure::GiveUp { ends_unanswered } => {
                    return self.give_up(handling, attempts, Reason::from(&failure), ends_unanswered).await;
                }
                AfterFailure::Retry { after_ms } => {
                    let next_at = self.context.clock.now().plus_ms(after_ms);
                    self.note_failure(handling, attempts, &failure, next_at).await;
                    if !self.pause(handling, after_ms).await {
                        return End::Stopping;
                    }
                    last_failure = Some(failure);
                }
            }
        }
    }

    /// A person retries a dead letter: one attempt, regardless of the event's age and the plugin's
    /// availability, marked `late`.
    pub async fn handle_late(&self, run: &Arc<EventRun>, place: usize, lane: LaneKey) -> End {
        let Some(subscription) = run.subscribers.get(place).and_then(|subscriber| subscriber.subscription.as_ref())
        else {
            return End::Passed;
        };
        let handling = Handling { run, place, subscription, lane };
        let permit = Permit::unconditional(&subscription.slot);
        let number = run.attempts_before(place) + 1;
        match self.attempt(Attempt { handling, number, late: true, permit: &permit }).await {
            Outcome::Done(disposition) => ended(disposition),
            Outcome::Stopping => End::Stopping,
            Outcome::Failed(failure) => self.give_up(handling, number, Reason::from(&failure), false).await,
        }
    }

    /// One attempt; a panic is a failure like any other.
    async fn attempt(&self, attempt: Attempt<'_>) -> Outcome {
        caught(self.attempts.run(attempt)).await.unwrap_or_else(|panic| Outcome::Failed(panicked(&panic)))
    }

    /// Keeps an event on disk because more than may be in memory wait for this plugin alone.
    pub async fn keep_behind(&self, run: &Arc<EventRun>, place: usize, lane: LaneKey) -> End {
        let Some(subscription) = run.subscribers.get(place).and_then(|subscriber| subscriber.subscription.as_ref())
        else {
            return End::Passed;
        };
        let error = format!("more events wait for `{}` than may be in memory", subscription.slot.name());
        let handling = Handling { run, place, subscription, lane };
        self.keep(handling, 0, Reason { code: "plugin-backlog", error }).await
    }

    /// Waits until the plugin may be called. `Err`: it is not called for this event. `attempts`,
    /// `last_failure`: how often it failed this event, and how. `began`: monotonic.
    async fn permit(
        &self,
        handling: Handling<'_>,
        attempts: u32,
        began: Timestamp,
        last_failure: Option<&Failure>,
    ) -> Result<Permit, End> {
        let Handling { run, subscription, lane, .. } = handling;
        let (slot, stage, kind) = (&subscription.slot, subscription.stage, run.event.kind());
        let mut changes = slot.changes();
        loop {
            let now = self.context.clock.now();
            let held_ms = self.context.clock.monotonic().since_ms(began);
            let availability = match slot.acquire(now) {
                Ok(permit) => return Ok(permit),
                Err(availability) => availability,
            };
            let Some(meanwhile) = while_unavailable(&availability, kind, stage, subscription.on_failure, lane) else {
                continue;
            };
            let reason = reason(slot.name(), &availability);
            // No rest is longer, even if its end was counted on a clock that was set back.
            let rest_ms = |until: Timestamp| until.since_ms(now).clamp(0, LONGEST_REST_MS);
            let wait_ms = match (meanwhile, availability) {
                (Meanwhile::KeepOnDisk, _) => return Err(self.keep(handling, attempts, reason).await),
                (Meanwhile::EndUnanswered, _) => return Err(self.give_up(handling, attempts, reason, true).await),
                // A person has to see what it failed already.
                (Meanwhile::PassOver, _) if attempts > 0 => {
                    let reason = last_failure.map_or(reason, Reason::from);
                    return Err(self.give_up(handling, attempts, reason, false).await);
                }
                (Meanwhile::PassOver, _) => return Err(self.pass_over(handling, reason).await),
                (Meanwhile::Hold, _) if held_ms >= HOLD_MS => {
                    return Err(self.give_up(handling, attempts, reason, true).await);
                }
                (Meanwhile::Hold, Availability::Resting { until, .. }) => Some(rest_ms(until).min(HOLD_MS - held_ms)),
                (Meanwhile::Hold, _) => Some(HOLD_MS - held_ms),
                (Meanwhile::Wait, Availability::Resting { until, .. }) => Some(rest_ms(until)),
                (Meanwhile::Wait, _) => None,
            };
            tokio::select! {
                // It lives as long as the slot.
                _ = changes.changed() => {}
                () = self.sleep_ms(wait_ms) => {}
                () = self.context.reached(Phase::Draining) => return Err(End::Stopping),
            }
        }
    }

    /// Waits before the next attempt, unless the plugin would be passed over then: no pause of the
    /// chain is longer than a rest, so a person would wait in vain. False if the daemon is
    /// draining.
    async fn pause(&self, handling: Handling<'_>, ms: i64) -> bool {
        let Handling { run, subscription, lane, .. } = handling;
        let (slot, stage, on_failure) = (&subscription.slot, subscription.stage, subscription.on_failure);
        let mut changes = slot.changes();
        let mut pause = pin!(self.context.clock.sleep_in_work_ms(ms));
        loop {
            let meanwhile = while_unavailable(&slot.availability(), run.event.kind(), stage, on_failure, lane);
            if meanwhile == Some(Meanwhile::PassOver) {
                return true;
            }
            tokio::select! {
                () = &mut pause => return true,
                // It lives as long as the slot.
                _ = changes.changed() => {}
                () = self.context.reached(Phase::Draining) => return false,
            }
        }
    }

    async fn sleep_ms(&self, ms: Option<i64>) {
        match ms {
            Some(ms) => self.context.clock.sleep_in_work_ms(ms).await,
            None => std::future::pending().await,
        }
    }

    fn after_failure(&self, handling: Handling<'_>, attempts: u32, failure: &Failure) -> AfterFailure {
        let Handling { run, subscription, lane, .. } = handling;
        if failure.is_final {
            return AfterFailure::GiveUp { ends_unanswered: false };
        }
        let once = subscription.slot.is_poisoned(lane);
        let jitter = self.context.jitter(run.event.id.0, attempts);
        after_failure(attempts, run.event.kind(), subscription.stage, subscription.on_failure, once, jitter)
    }

    /// A failed attempt that is not the last: a row for people. The retry itself does not depend on
    /// it.
    async fn note_failure(&self, handling: Handling<'_>, attempts: u32, failure: &Failure, next_at: Timestamp) {
        let Handling { run, subscription, .. } = handling;
        let (event, plugin, Failure { code, error, .. }) = (run.event.id, subscription.slot.name(), failure);
        tracing::warn!(%plugin, %event, code, attempts, %next_at, error, "handling failed and will be retried");
        self.context.health.attempt_failed(plugin);
        let (is_waiting, code, error) = (run.is_waiting, (*code).into(), error.clone());
        let failed = FailedAttempt { event, plugin: subscription.no(), is_waiting, attempts, code, error, next_at };
        if let Err(error) = self.context.store.record_failed_attempt(failed).await {
            tracing::debug!(%event, %error, "failed attempt not recorded");
        }
    }

    /// The event is kept for its plugin, which handles it when it is available.
    async fn keep(&self, handling: Handling<'_>, attempts: u32, reason: Reason) -> End {
        let Handling { run, subscription, .. } = handling;
        let (no, plugin) = (subscription.no(), subscription.slot.name());
        tracing::debug!(%plugin, event = %run.event.id, code = reason.code, "event kept for its plugin");
        // Counted first: it may be replayed as soon as it is on disk. A kept event still is.
        self.backlogs.add(no);
        if !run.is_waiting && !self.set_aside(handling, UnhandledState::Waiting, attempts, reason, None).await {
            return End::Stopping;
        }
        self.backlogs.ring(no);
        End::Passed
    }

    /// The event goes on without this plugin.
    async fn pass_over(&self, handling: Handling<'_>, reason: Reason) -> End {
        let (plugin, event) = (handling.subscription.slot.name(), handling.run.event.id);
        tracing::debug!(%plugin, %event, code = reason.code, "plugin passed over");
        match self.set_aside(handling, UnhandledState::PassedOver, 0, reason, None).await {
            true => End::Passed,
            false => End::Stopping,
        }
    }

    /// A dead letter. The event goes on without this plugin, or ends unanswered.
    async fn give_up(&self, handling: Handling<'_>, attempts: u32, reason: Reason, ends_unanswered: bool) -> End {
        let Handling { run, subscription, lane, .. } = handling;
        let (event, plugin, Reason { code, error }) = (run.event.id, subscription.slot.name(), &reason);
        if *code != STALE {
            tracing::error!(%plugin, %event, code, attempts, error, "handling given up: dead letter");
        } else if let Some(suppressed) = self.stale_lines.pass() {
            tracing::error!(%plugin, %event, code, suppressed, error, "handling given up: dead letter");
        }
        self.context.health.handling_died(plugin);
        if attempts > 0 {
            subscription.slot.gave_up(lane);
        }
        let decision = ends_unanswered.then_some(Ending::Stopped(subscription.no()));
        match self.set_aside(handling, UnhandledState::DeadLetter, attempts, reason, decision).await {
            true if ends_unanswered => End::Decided,
            true => End::Passed,
            false => End::Stopping,
        }
    }

    /// Records it, repeating until the store accepts it. `false`: the pipeline is stopping.
    async fn set_aside(
        &self,
        handling: Handling<'_>,
        state: UnhandledState,
        attempts: u32,
        Reason { code, error }: Reason,
        decision: Option<Ending>,
    ) -> bool {
        let Handling { run, place, subscription, .. } = handling;
        let (plugin, progress) = (subscription.no(), run.progress(Some(place), decision));
        self.record(run, (plugin, run.refused(place)), state, attempts, Reason { code, error }, progress).await
    }

    /// An event whose chain panicked `attempts` times outside a handling becomes a dead letter of
    /// the host; it ends for every subscriber that is not done and is not in `elsewhere`. `false`:
    /// the pipeline is stopping.
    pub async fn give_up_event(&self, run: &EventRun, elsewhere: &[usize], attempts: u32, panic: &str) -> bool {
        let Failure { code, error, .. } = panicked(panic);
        tracing::error!(event = %run.event.id, code, attempts, error, "event given up: dead letter");
        let open = (0..run.subscribers.len()).filter(|place| !elsewhere.contains(place));
        open.for_each(|place| run.pass(place));
        run.end(Ending::Passed);
        let (host, dead) = (PluginNo::HOST, UnhandledState::DeadLetter);
        let by = (host, RefusedAsks::default());
        self.record(run, by, dead, attempts, Reason { code, error }, run.progress(None, None)).await
    }

    async fn record(
        &self,
        run: &EventRun,
        (plugin, refused): (PluginNo, RefusedAsks),
        state: UnhandledState,
        attempts: u32,
        Reason { code, error }: Reason,
        progress: Progress,
    ) -> bool {
        let (fence, at) = (self.context.store.fence(), self.context.clock.now());
        let aside = Unhandled { fence, plugin, state, attempts, code: code.into(), error, at, progress, refused };
        match self.context.until_stored(|| self.context.store.record_unhandled(aside.clone())).await {
            Ok(()) => self.context.health.messages_refused(&aside.refused),
            Err(NotStored::Stopping) => return false,
            // The event was deleted: there is nothing to note it on.
            Err(NotStored::Refused(error)) => {
                tracing::warn!(event = %run.event.id, %error, "handling not recorded");
            }
        }
        run.committed(&aside.progress);
        true
    }
}

/// A failure of Beadle's own.
fn panicked(panic: &str) -> Failure {
    let error = format!("Beadle panicked: {panic}");
    Failure { code: "host-panic", error, is_final: false, is_returned: false, is_plugins_fault: false }
}

/// Whether an event is too old to be handled: since it was received, and for what a person did also
/// since it happened, because a webhook that the platform repeats after hours is received late
/// (ADR 0074).
fn is_stale(event: &Event, max_age_ms: i64, now: Timestamp) -> bool {
    let kind = event.kind();
    // An erasure is due whenever the plugin is back.
    if kind == EventKind::EraseContact {
        return false;
    }
    let is_of_windows = matches!(kind, EventKind::WindowExpiring | EventKind::WindowClosed);
    let since = match kind.is_staged() && !is_of_windows {
        true => event.happened_at.min(event.received_at),
        false => event.received_at,
    };
    now.since_ms(since) > max_age_ms
}

fn ended(disposition: Disposition) -> End {
    match disposition {
        Disposition::Pass => End::Passed,
        Disposition::Claimed | Disposition::Stopped => End::Decided,
    }
}

/// Why a plugin is not called, for the operator.
fn reason(name: &str, availability: &Availability) -> Reason {
    match availability {
        Availability::Disabled => Reason { code: "plugin-disabled", error: format!("`{name}` is disabled") },
        Availability::Suspended(suspension) => {
            let error = format!("`{name}` is suspended: {}", suspension.reason);
            Reason { code: "plugin-suspended", error }
        }
        Availability::Resting { cause, .. } | Availability::OnTrial { cause } => {
            let error = format!("`{name}` rests after failures, the last: {}", cause.error);
            Reason { code: "plugin-resting", error }
        }
        Availability::Available => Reason { code: "plugin-resting", error: format!("`{name}` was resting") },
    }
}
