//! One attempt of a handling: the call into the plugin, then one transaction for its decision and
//! its effects.
//!
//! An attempt that read state which has changed since is run again at once, after three times
//! alone. What a revision on probation fails is handled by the earlier one, at once and in its
//! place. While the store fails, the same commit is repeated; nothing is called twice for that. A
//! call whose effects do not fit into memory with those of others runs again when they do. How
//! often a handling is tried is `executor`'s business.

use crate::budget::{EffectBudget, OverBudget, Reserved, effect_bytes};
use crate::context::{Context, NotStored, Phase};
use crate::lane::LaneKey;
use crate::outbox::Outbox;
use crate::policy::Failure;
use crate::run::EventRun;
use crate::slot::{ActiveRevision, Permit};
use crate::subscriptions::{Subscription, SubscriptionsReceiver};
use beadle_model::effect::{ContactWrite, NewMedia, RefusedAsk, RefusedAsks};
use beadle_model::{Blame, Coded, Disposition, Effects, Ending, Event, EventBody, Timestamp};
use beadle_sandbox::{Call, Handled, Level, LogLine, Plugin, Report};
use beadle_store::StoreError;
use beadle_store::step::{Commit, Quotas};
use std::sync::Arc;

/// A handling with stale reads runs concurrently with others this often, then alone
/// (docs/design.md#state).
const CONCURRENT_RUNS: u32 = 3;

/// One event in one plugin.
#[derive(Clone, Copy)]
pub(crate) struct Handling<'a> {
    pub run: &'a Arc<EventRun>,
    pub place: usize,
    pub subscription: &'a Arc<Subscription>,
    /// Where it runs.
    pub lane: LaneKey,
}

/// One attempt of a handling.
#[derive(Clone, Copy)]
pub(crate) struct Attempt<'a> {
    pub handling: Handling<'a>,
    /// 1 for the first.
    pub number: u32,
    /// A person retries it, out of its order.
    pub late: bool,
    pub permit: &'a Permit,
}

impl Attempt<'_> {
    /// Whether its success says something about the plugin.
    fn counts_if_it_succeeds(&self) -> bool {
        self.number <= 2 && !self.late
    }

    /// Whether its failure does: at the second attempt, or where there will be no other.
    fn counts_if_it_fails(&self, failure: &Failure) -> bool {
        let is_last = failure.is_final || self.handling.subscription.slot.is_poisoned(self.handling.lane);
        !self.late && (self.number == 2 || self.number == 1 && is_last)
    }
}

/// The result of an attempt.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is committed, or there was nothing to commit.
    Done(Disposition),
    /// It failed; nothing was committed.
    Failed(Failure),
    /// The pipeline is stopping; nothing was decided.
    Stopping,
}

/// Why one call was not committed.
enum Trouble {
    /// State that it read has changed.
    Stale,
    /// Its effects do not fit: it runs again when they do.
    OverBudget(OverBudget),
    /// It was the retry of a dead letter that another retry has settled, or an operator has
    /// dropped.
    Settled,
    Failed(Failure),
    Stopping,
}

/// Makes attempts.
pub(crate) struct Attempts {
    pub context: Arc<Context>,
    pub subscriptions: SubscriptionsReceiver,
    pub outbox: Outbox,
    pub budget: EffectBudget,
}

impl Attempts {
    /// Calls the plugin and commits. A failure that is the plugin's fault is reported to its
    /// breaker; so is a success.
    pub async fn run(&self, attempt: Attempt<'_>) -> Outcome {
        let (mut stale, mut reserved) = (0, None);
        loop {
            match self.call_and_commit(attempt, stale >= CONCURRENT_RUNS, &mut reserved).await {
                Ok(disposition) => return Outcome::Done(disposition),
                Err(Trouble::Stale) => stale += 1,
                Err(Trouble::OverBudget(over_budget)) => tokio::select! {
                    waited = self.budget.wait(over_budget) => reserved = Some(waited),
                    () = self.context.reached(Phase::Stopping) => return Outcome::Stopping,
                },
                Err(Trouble::Settled) => return Outcome::Done(Disposition::Pass),
                Err(Trouble::Stopping) => return Outcome::Stopping,
                Err(Trouble::Failed(failure)) => {
                    if failure.is_plugins_fault {
                        let counts = attempt.counts_if_it_fails(&failure);
                        attempt.permit.failed(attempt.handling.lane, counts, &failure, self.context.clock.now());
                    }
                    return Outcome::Failed(failure);
                }
            }
        }
    }

    /// With the active revision; what a revision on probation fails, with the earlier one.
    async fn call_and_commit(
        &self,
        attempt: Attempt<'_>,
        alone: bool,
        reserved: &mut Option<Reserved>,
    ) -> Result<Disposition, Trouble> {
        let slot = &attempt.handling.subscription.slot;
        // Held until the commit is done, so that "alone" covers what was read.
        let _hold = tokio::select! {
            biased;
            hold = slot.hold_for_attempt(alone) => hold,
            // A migration of the state may hold the slot for minutes.
            () = self.context.reached(Phase::Draining), if !alone => return Err(Trouble::Stopping),
        };
        let Some(ActiveRevision { plugin, probation }) = slot.active() else {
            return Err(Trouble::Failed(not_loaded(slot.name())));
        };
        let tried = self.with_revision(attempt, &plugin, reserved).await;
        let Some(probation) = probation else { return tried };
        match &tried {
            Ok(_) => probation.count_success(),
            Err(Trouble::Failed(failure)) => {
                let Some(earlier) = probation.earlier() else {
                    // Without comparison an event counts once, however often it is tried.
                    if failure.counts_without_comparison() && attempt.counts_if_it_fails(failure) {
                        probation.count_failure();
                    }
                    return tried;
                };
                let by_earlier = self.with_revision(attempt, earlier, reserved).await;
                if by_earlier.is_ok() {
                    probation.earlier_stood_in(slot.name(), attempt.handling.run.event.id, failure);
                }
                // Where both fail, the failure is not the new revision's own.
                if !matches!(by_earlier, Err(Trouble::Failed(_))) {
                    return by_earlier;
                }
            }
            Err(Trouble::Stale | Trouble::Settled | Trouble::OverBudget(_) | Trouble::Stopping) => {}
        }
        tried
    }

    /// The call into this revision, and the commit.
    async fn with_revision(
        &self,
        attempt: Attempt<'_>,
        plugin: &Arc<Plugin>,
        reserved: &mut Option<Reserved>,
    ) -> Result<Disposition, Trouble> {
        let Handling { run, place, subscription, lane } = attempt.handling;
        let now = self.context.clock.now();
        if !plugin.subscriptions().contains(&run.event.kind()) || self.is_superseded(&run.event).await {
            attempt.permit.succeeded(lane, false);
            if run.is_waiting {
                self.commit(attempt, plugin, Effects::default(), None, now).await?;
            } else {
                run.pass(place);
            }
            return Ok(Disposition::Pass);
        }
        let is_staged = run.event.kind().is_staged();
        let ending = run.ending().filter(|_| is_staged).map(|ending| self.describe(ending));
        let call = Call { event: Arc::clone(&run.event), ending, attempt: attempt.number, late: attempt.late, now };
        let Report { outcome, log, refused, usage } = plugin.handle(call).await;
        write_log(attempt.handling, &log);
        self.context.health.called(&usage);
        subscription.slot.called(&usage, outcome.as_ref().ok(), &log);
        let nothing_refused = refused.is_empty();
        log_refused(attempt.handling, &refused);
        run.set_refused(place, refused);
        let handled = outcome.map_err(|fault| {
            Trouble::Failed(Failure {
                code: fault.code(),
                error: fault.to_string().trim_end_matches('.').to_owned(),
                is_final: !fault.retried(),
                is_returned: fault.is_returned(),
                is_plugins_fault: fault.blame() == Blame::Plugin,
            })
        })?;
        // Reported before the commit: a failure is reported sooner than a commit ends, and the
        // breaker must not see only failures.
        attempt.permit.succeeded(lane, attempt.counts_if_it_succeeds());
        let reads_can_be_stale = !handled.has_no_reads();
        let Handled { disposition, effects, instance } = handled;
        let disposition = if is_staged { subscription.effective(disposition) } else { Disposition::Pass };
        let is_without_trace = effects.is_empty() && nothing_refused;
        if disposition == Disposition::Pass && is_without_trace && !run.is_waiting && !attempt.late {
            // Nothing to commit: its bit goes with the next commit.
            run.pass(place);
            instance.keep();
            return Ok(Disposition::Pass);
        }
        let _reserved = self.budget.reserve(reserved.take(), effect_bytes(&effects)).map_err(|over_budget| {
            self.delete_files(&effects.media);
            Trouble::OverBudget(over_budget)
        })?;
        let asks = effects.sends.iter().any(|send| send.reply && send.body.is_question());
        let decision = decision(attempt.handling, disposition, asks);
        // An instance whose reads cannot be stale need not wait for the disk.
        let instance = if reads_can_be_stale {
            Some(instance)
        } else {
            instance.keep();
            None
        };
        self.commit(attempt, plugin, effects, decision, now).await?;
        if let Some(instance) = instance {
            instance.keep();
        }
        Ok(disposition)
    }

    /// The end of the handling, its decision and its effects: one transaction, repeated while the
    /// store fails.
    async fn commit(
        &self,
        Attempt { handling: Handling { run, place, subscription, .. }, late, .. }: Attempt<'_>,
        plugin: &Plugin,
        effects: Effects,
        decision: Option<Ending>,
        now: Timestamp,
    ) -> Result<(), Trouble> {
        let (store, conversation) = (&self.context.store, run.event.conversation.as_ref());
        let limits = plugin.limits();
        let staged = self.outbox.stage(conversation, run.event.id, subscription.no(), effects.sends, now);
        let sets_timers = !effects.timers.is_empty();
        let asks_people = effects
            .contacts
            .iter()
            .any(|write| matches!(write, ContactWrite::Consent(consent) if consent.question.is_some()));
        let commit = Arc::new(Commit {
            fence: store.fence(),
            plugin: subscription.no(),
            was_waiting: run.is_waiting,
            now,
            progress: run.progress(Some(place), decision),
            conversation: conversation.map(|conversation| conversation.id),
            reads: effects.reads,
            state_no: plugin.state(),
            state: effects.state,
            timers: effects.timers,
            contacts: effects.contacts,
            wants_consents: self.subscriptions.borrow().interest().consent_changed,
            media: effects.media,
            sends: staged.new_sends(),
            broadcasts: effects.broadcasts,
            requests: effects.requests,
            refused: run.refused(place),
            quotas: Quotas { state_bytes: limits.state_bytes(), media_bytes: limits.media_bytes() },
            is_retry: late,
        });
        let committed = self.context.until_stored(async || {
            // Instances remember effects that are not durable yet.
            store.commit(Arc::clone(&commit)).await.inspect_err(|_| plugin.discard_instances())
        });
        match committed.await {
            Ok(()) => {
                run.committed(&commit.progress);
                self.context.health.messages_refused(&commit.refused);
                self.outbox.release(staged);
                if sets_timers {
                    self.context.timers_changed.ring();
                }
                if !commit.broadcasts.is_empty() {
                    self.context.broadcasts_changed.ring();
                }
                if !commit.requests.is_empty() {
                    self.context.requests_changed.ring();
                }
                if asks_people {
                    // The store queued the questions.
                    self.outbox.rescan();
                }
                Ok(())
            }
            Err(not_stored) => {
                // None of the messages goes.
                drop(staged);
                if let NotStored::Refused(_) = not_stored {
                    self.delete_files(&commit.media);
                }
                Err(match not_stored {
                    NotStored::Stopping => Trouble::Stopping,
                    NotStored::Refused(StoreError::StaleRead { .. }) => Trouble::Stale,
                    NotStored::Refused(error @ StoreError::NotDead { .. }) => {
                        tracing::warn!(%error, "effects of a retry discarded");
                        Trouble::Settled
                    }
                    NotStored::Refused(error) => Trouble::Failed(refused(&error)),
                })
            }
        }
    }

    /// The files of a call that is not committed.
    fn delete_files(&self, media: &[NewMedia]) {
        media.iter().for_each(|created| self.context.store.files().remove(created.media));
    }

    /// Whether the event no longer holds: a window that was about to close was renewed, or has
    /// closed. Such an event is passed. Checked before each attempt.
    async fn is_superseded(&self, event: &Event) -> bool {
        let (EventBody::WindowExpiring { closes_at, .. }, Some(conversation)) = (&event.body, &event.conversation)
        else {
            return false;
        };
        let (now, id) = (self.context.clock.now(), conversation.id);
        match self.context.store.read(move |reader| reader.conversation(id)).await {
            Ok(conversation) => {
                let until = conversation.and_then(|conversation| conversation.window_until);
                until != Some(*closes_at) || now >= *closes_at
            }
            // The gate checks every message again: a needless event is better than a lost one.
            Err(error) => {
                tracing::warn!(event = %event.id, %error, "window unreadable: assumed to be about to close");
                false
            }
        }
    }

    /// How the chain ended, as the contract tells an observer.
    fn describe(&self, ending: Ending) -> (String, Option<String>) {
        let name = |no| self.subscriptions.borrow().name(no).map(str::to_owned);
        match ending {
            Ending::Passed => ("passed".into(), None),
            Ending::Claimed(by) => ("claimed".into(), name(by)),
            Ending::Asked(by) => ("asked".into(), name(by)),
            Ending::Stopped(by) => ("stopped".into(), name(by)),
            Ending::Host => ("host".into(), None),
        }
    }
}

/// A claim or a stop ends the chain, in the same commit.
fn decision(handling: Handling<'_>, disposition: Disposition, asks: bool) -> Option<Ending> {
    let Handling { run, subscription, .. } = handling;
    if !run.event.kind().is_staged() || run.ending().is_some() {
        return None;
    }
    match disposition {
        Disposition::Pass => None,
        Disposition::Claimed if asks => Some(Ending::Asked(subscription.no())),
        Disposition::Claimed => Some(Ending::Claimed(subscription.no())),
        Disposition::Stopped => Some(Ending::Stopped(subscription.no())),
    }
}

fn not_loaded(plugin: &str) -> Failure {
    let error = format!("`{plugin}` is not loaded");
    Failure { code: "plugin-suspended", error, is_final: true, is_returned: false, is_plugins_fault: false }
}

/// The store refused this commit for good.
fn refused(error: &StoreError) -> Failure {
    Failure {
        code: error.code(),
        error: error.to_string(),
        is_final: true,
        is_returned: false,
        is_plugins_fault: error.blame() == Blame::Plugin,
    }
}

fn log_refused(handling: Handling<'_>, refused: &RefusedAsks) {
    let (plugin, event) = (handling.subscription.slot.name(), handling.run.event.id);
    for RefusedAsk { code, kind, .. } in &refused.kept {
        tracing::debug!(%plugin, %event, %code, %kind, "gate refused a message");
    }
}

fn write_log(handling: Handling<'_>, lines: &[LogLine]) {
    let (plugin, event) = (handling.subscription.slot.name(), handling.run.event.id);
    for LogLine { level, text, .. } in lines {
        match level {
            Level::Debug => tracing::debug!(target: "plugin", %plugin, %event, "{text}"),
            Level::Info => tracing::info!(target: "plugin", %plugin, %event, "{text}"),
            Level::Warn => tracing::warn!(target: "plugin", %plugin, %event, "{text}"),
            Level::Error => tracing::error!(target: "plugin", %plugin, %event, "{text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_be_stored_is_the_plugins_fault() {
        let (subject, reason) = ("a state value".to_owned(), "not UTF-8".to_owned());
        let damaged = refused(&StoreError::Unreadable { subject: subject.clone(), reason: reason.clone() });
        assert_eq!((damaged.code, damaged.is_plugins_fault, damaged.is_final), ("store-row-unreadable", false, true));
        let unstorable = refused(&StoreError::Unstorable { subject, reason });
        assert_eq!((unstorable.code, unstorable.is_plugins_fault), ("effect-unstorable", true));
    }
}
