//! One handling: one event given to one plugin, tried until it is done or given up, committed as one transaction.
//!
//! What a plugin decided and all that it asked for go to the store together. Three things can come in between: the
//! plugin fails (tried again by `retry`'s rules), what it had read is no longer so (run again at once, after three times
//! alone), or the disk says no (the same commit waits; nothing is run twice for it).

use crate::aside::{DISK_PAUSE, Why};
use crate::lane::LaneKey;
use crate::retry::{self, Next};
use crate::run::Run;
use crate::slot::{ActiveRevision, Failure};
use crate::spine::{Phase, Spine};
use crate::subscriptions::Subscription;
use beadle_model::{Blame, Coded, Disposition, Effects, Ending, Timestamp};
use beadle_sandbox::{Call, Handled, Level, Plugin, Report};
use beadle_store::StoreError;
use beadle_store::step::{Commit, FailedAttempt};
use std::sync::Arc;

/// How a handling ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The chain goes on: it passed, or was given up and passed over.
    Passed,
    /// It answered.
    Claimed,
    /// A guard stopped it.
    Stopped,
    /// A guard that is to be waited for never spoke: nobody answers.
    Closed,
    /// We are stopping; nothing was decided.
    Stopping,
}

/// A handling whose reads were stale is run again at once so many times, then alone (DESIGN section 5).
const TRIES_BESIDE_OTHERS: u32 = 3;

/// A try that has to be made again, and why.
enum Trouble {
    /// What it had read has changed.
    Stale,
    /// It failed.
    Failed(Failure),
    /// We are stopping.
    Stopping,
}

/// One event in one plugin.
#[derive(Clone, Copy)]
pub(crate) struct Handling<'a> {
    pub run: &'a Arc<Run>,
    pub place: usize,
    pub member: &'a Arc<Subscription>,
    /// Where it runs.
    pub lane: LaneKey,
}

/// One try of it.
#[derive(Clone, Copy)]
struct Try<'a> {
    of: Handling<'a>,
    /// 1 for the first.
    attempt: u32,
    /// A person retries it out of its order.
    late: bool,
    /// It decides whether its plugin goes on resting.
    trial: bool,
}

impl Try<'_> {
    /// Whether it tells of its plugin that this try went well.
    fn tells_if_well(&self) -> bool {
        self.attempt <= 2 && !self.late
    }

    /// … or that it failed: at the second try, or where there will be none.
    fn tells_if_failed(&self, failure: &Failure) -> bool {
        let is_last = failure.is_final || self.of.member.slot.is_poisoned(self.of.lane);
        !self.late && (self.attempt == 2 || self.attempt == 1 && is_last)
    }
}

impl Spine {
    /// Tries until it is done or set aside. `late`: a person retries it out of its order.
    pub async fn handle(self: &Arc<Self>, run: &Arc<Run>, place: usize, lane: LaneKey, late: bool) -> End {
        let Some(member) = run.subscribers.get(place).and_then(|subscriber| subscriber.member.clone()) else {
            return End::Passed;
        };
        let this = Handling { run, place, member: &member, lane };
        let began = self.clock.now();
        if !late && began.since_ms(run.event.received_at) > member.max_age_ms {
            let error =
                format!("it is older than the {} s that `{}` may wait", member.max_age_ms / 1000, member.slot.name());
            return self.give_up(this, 0, Why { code: "stale", error }, false).await;
        }
        let (mut tries, mut failed) = (run.tries_before(place), None);
        loop {
            // A person who wants it tried has it tried.
            let trial = match late {
                true => false,
                false => match self.leave(this, tries, began, failed.as_ref()).await {
                    Ok(trial) => trial,
                    Err(end) => return end,
                },
            };
            let failure = match self.try_once(Try { of: this, attempt: tries + 1, late, trial }).await {
                Ok(end) => return end,
                Err(failure) => failure,
            };
            tries += 1;
            if trial {
                // It gets its chance when the plugin does; or is passed over, where nobody waits.
                self.note_failure(this, tries, &failure, None).await;
                failed = Some(failure);
                continue;
            }
            match self.after_failure(this, tries, &failure, late) {
                Next::GiveUp { closed } => return self.give_up(this, tries, Why::from(&failure), closed).await,
                Next::Retry { after_ms } => {
                    let next_at = self.clock.now().plus_ms(after_ms);
                    self.note_failure(this, tries, &failure, Some(next_at)).await;
                    tokio::select! {
                        () = self.clock.sleep_in_work_until(next_at) => {}
                        () = self.reached(Phase::Draining) => return End::Stopping,
                    }
                    failed = Some(failure);
                }
            }
        }
    }

    /// One try, and again where what it had read is no longer so. That it failed goes on the plugin's record; that it went
    /// well is there already.
    async fn try_once(self: &Arc<Self>, this: Try<'_>) -> Result<End, Failure> {
        let (slot, lane) = (&this.of.member.slot, this.of.lane);
        let mut stale = 0;
        loop {
            match self.attempt(this, stale >= TRIES_BESIDE_OTHERS).await {
                Err(Trouble::Stale) => stale += 1,
                Ok(end) => return Ok(end),
                Err(Trouble::Failed(failure)) if failure.counts => {
                    slot.failed(lane, this.tells_if_failed(&failure), this.trial, &failure, self.clock.now());
                    return Err(failure);
                }
                Err(trouble) => {
                    if this.trial {
                        slot.undecided(self.clock.now());
                    }
                    return match trouble {
                        Trouble::Failed(failure) => Err(failure),
                        Trouble::Stale | Trouble::Stopping => Ok(End::Stopping),
                    };
                }
            }
        }
    }

    fn after_failure(&self, this: Handling<'_>, tries: u32, failure: &Failure, late: bool) -> Next {
        let Handling { run, member, lane, .. } = this;
        if failure.is_final || late {
            return Next::GiveUp { closed: false };
        }
        let (staged, once) = (run.event.kind().is_staged(), member.slot.is_poisoned(lane));
        retry::after(tries, staged, member.stage, member.on_failure, once, self.jitter(run.event.id.0, tries))
    }

    /// One try. What a revision on probation fails is given to the one before it, at once and in its place.
    async fn attempt(self: &Arc<Self>, this: Try<'_>, alone: bool) -> Result<End, Trouble> {
        let slot = &this.of.member.slot;
        // Held until the commit is through, so that "alone" means alone with one's reads too.
        let (_beside, _alone) = match alone {
            false => tokio::select! {
                biased;
                beside = slot.tries.read() => (Some(beside), None),
                // Its state is being brought over, which may take minutes.
                () = self.reached(Phase::Draining) => return Err(Trouble::Stopping),
            },
            true => (None, Some(slot.tries.write().await)),
        };
        let Some(ActiveRevision { plugin, probation }) = slot.active() else {
            return Err(Trouble::Failed(Failure::of_nobody(slot.name())));
        };
        let tried = self.attempt_with(this, &plugin).await;
        let Some(probation) = probation else { return tried };
        match &tried {
            Ok(_) => probation.went_well(),
            Err(Trouble::Failed(failure)) => {
                let Some(before) = probation.before() else {
                    // Nobody shows that it can be done: an event counts once, however often it is tried.
                    if failure.tells_by_itself() && this.tells_if_failed(failure) {
                        probation.did_not();
                    }
                    return tried;
                };
                let stood_in = self.attempt_with(this, before).await;
                if stood_in.is_ok() {
                    probation.stood_in(slot.name(), this.of.run.event.id, failure);
                }
                // Where neither can, the failure is not the new one's own.
                if !matches!(stood_in, Err(Trouble::Failed(_))) {
                    return stood_in;
                }
            }
            Err(_) => {}
        }
        tried
    }

    /// The call of this revision, and the commit of what it asked for.
    async fn attempt_with(self: &Arc<Self>, this: Try<'_>, plugin: &Arc<Plugin>) -> Result<End, Trouble> {
        let Try { of: Handling { run, place, member, lane }, attempt, late, trial } = this;
        let now = self.clock.now();
        if !plugin.subscriptions().contains(&run.event.kind()) || self.is_overtaken(&run.event) {
            // It was dispatched to a revision that wanted such events; or is no longer so.
            member.slot.went_well(lane, false, trial);
            if run.kept {
                self.commit(this.of, plugin, Effects::default(), None, now).await?;
            } else {
                run.pass(place);
            }
            return Ok(End::Passed);
        }
        let ending = run.ending().filter(|_| run.event.kind().is_staged()).map(|ending| self.tell(ending));
        let call = Call { event: Arc::clone(&run.event), ending, attempt, late, now };
        let Report { outcome, log, usage } = plugin.handle(call).await;
        self.write_log(run, member, &log);
        self.health.called(&usage);
        member.slot.called(&usage, outcome.as_ref().ok(), &log);
        let handled = outcome.map_err(|fault| {
            Trouble::Failed(Failure {
                code: fault.code(),
                // Some are sentences with an end of their own; what they are put into has one too.
                error: fault.to_string().trim_end_matches('.').to_owned(),
                is_final: !fault.retried(),
                own_word: fault.is_returned(),
                counts: fault.blame() == Blame::Plugin,
            })
        })?;
        // Said before the commit, which takes longer than many a failure: those who failed must not seem to be alone.
        member.slot.went_well(lane, this.tells_if_well(), trial);
        let needs_check = !handled.has_no_reads();
        let Handled { disposition, effects, instance } = handled;
        // What is not staged has no chain to end: it is for those who get it, each for themselves.
        let staged = run.event.kind().is_staged();
        let said = if staged { member.may_decide(disposition) } else { Disposition::Pass };
        if said == Disposition::Pass && effects.is_empty() && !run.kept {
            // Nothing to commit: its bit goes with the next one.
            run.pass(place);
            instance.keep();
            return Ok(End::Passed);
        }
        let asks = effects.sends.iter().any(|send| send.reply && send.body.is_question());
        let decision = decision(run, member, said, asks);
        // What read nothing that can be stale need not wait for the disk; should that refuse, all instances are renewed.
        let mut instance = Some(instance);
        if !needs_check && let Some(instance) = instance.take() {
            instance.keep();
        }
        self.commit(this.of, plugin, effects, decision, now).await?;
        if let Some(instance) = instance {
            instance.keep();
        }
        Ok(match said {
            Disposition::Pass => End::Passed,
            Disposition::Claimed => End::Claimed,
            Disposition::Stopped => End::Stopped,
        })
    }

    async fn commit(
        self: &Arc<Self>,
        Handling { run, place, member, .. }: Handling<'_>,
        plugin: &Plugin,
        effects: Effects,
        decision: Option<Ending>,
        now: Timestamp,
    ) -> Result<(), Trouble> {
        let conversation = run.event.conversation.as_ref();
        let launch = self.outbox.admit(conversation, run.event.id, member.slot.no(), effects.sends, now);
        let has_timers = !effects.timers.is_empty();
        let commit = Commit {
            fence: self.store.fence(),
            plugin: member.slot.no(),
            was_waiting: run.kept,
            now,
            progress: run.progress(Some(place), decision),
            conversation: conversation.map(|conversation| conversation.id),
            reads: effects.reads,
            state_no: plugin.state(),
            state: effects.state,
            timers: effects.timers,
            media: effects.media,
            sends: launch.new_sends(),
        };
        loop {
            match self.store.commit(commit.clone()).await {
                Ok(()) => break,
                Err(StoreError::StaleRead { .. }) => {
                    self.outbox.take_back(launch);
                    plugin.discard_instances();
                    return Err(Trouble::Stale);
                }
                Err(error) if error.is_fatal() => {
                    self.outbox.take_back(launch);
                    self.fail(error);
                    return Err(Trouble::Stopping);
                }
                Err(error) => {
                    plugin.discard_instances();
                    self.health.disk_trouble(&error);
                    tokio::select! {
                        () = tokio::time::sleep(DISK_PAUSE) => {}
                        () = self.stopping() => {
                            self.outbox.take_back(launch);
                            return Err(Trouble::Stopping);
                        }
                    }
                }
            }
        }
        run.committed(&commit.progress);
        self.outbox.launch(launch);
        if has_timers {
            self.timers_changed.ring();
        }
        Ok(())
    }

    /// `next_at`: when it is tried again, where that is known.
    async fn note_failure(&self, this: Handling<'_>, attempts: u32, failure: &Failure, next_at: Option<Timestamp>) {
        let Handling { run, member, .. } = this;
        let (event, plugin, Failure { code, error, .. }) = (run.event.id, member.slot.no(), failure);
        match next_at {
            Some(next_at) => {
                tracing::warn!(plugin = %member.slot.name(), %event, code, attempts, %next_at, "A handling failed and will be tried again: {error}.");
            }
            None => {
                tracing::warn!(plugin = %member.slot.name(), %event, code, attempts, "The one event that a plugin was tried with failed: {error}.");
            }
        }
        let next_at = next_at.unwrap_or(self.clock.now());
        self.health.failed(member.slot.name());
        let (kept, code, error) = (run.kept, (*code).into(), error.clone());
        let failed = FailedAttempt { event, plugin, is_waiting: kept, attempts, code, error, next_at };
        if let Err(error) = self.store.record_failed_attempt(failed).await {
            // Only the record for people is missing; the retry itself is in our hands.
            tracing::debug!(%event, %error, "The failed try could not be recorded.");
        }
    }

    /// How it ended, in words for an observer.
    fn tell(&self, ending: Ending) -> (String, Option<String>) {
        let name = |no| self.subscriptions().name(no).map(str::to_owned);
        match ending {
            Ending::Passed => ("passed".into(), None),
            Ending::Claimed(by) => ("claimed".into(), name(by)),
            Ending::Asked(by) => ("asked".into(), name(by)),
            Ending::Stopped(by) => ("stopped".into(), name(by)),
            Ending::Host => ("host".into(), None),
        }
    }

    fn write_log(&self, run: &Run, member: &Subscription, lines: &[beadle_sandbox::LogLine]) {
        let (plugin, event) = (member.slot.name(), run.event.id);
        for line in lines {
            let text = &line.text;
            match line.level {
                Level::Debug => tracing::debug!(target: "plugin", %plugin, %event, "{text}"),
                Level::Info => tracing::info!(target: "plugin", %plugin, %event, "{text}"),
                Level::Warn => tracing::warn!(target: "plugin", %plugin, %event, "{text}"),
                Level::Error => tracing::error!(target: "plugin", %plugin, %event, "{text}"),
            }
        }
    }

    /// Writes down that an event is through, where no commit has said so yet.
    pub async fn finish(&self, run: &Run) {
        if run.is_all_committed() {
            return;
        }
        let progress = run.progress(None, None);
        if let Err(error) = self.store.finish(progress, self.store.fence()).await {
            // It stays unfinished and is walked again after the next start, where everybody passes it as now.
            tracing::debug!(event = %run.event.id, %error, "An event could not be marked finished.");
        }
    }
}

/// A claim or a stop ends the chain, in the same commit.
fn decision(run: &Run, member: &Subscription, said: Disposition, asks: bool) -> Option<Ending> {
    if !run.event.kind().is_staged() || run.ending().is_some() {
        return None;
    }
    match said {
        Disposition::Pass => None,
        Disposition::Claimed if asks => Some(Ending::Asked(member.slot.no())),
        Disposition::Claimed => Some(Ending::Claimed(member.slot.no())),
        Disposition::Stopped => Some(Ending::Stopped(member.slot.no())),
    }
}
