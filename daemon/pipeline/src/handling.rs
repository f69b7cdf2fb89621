//! One handling: one event given to one plugin, tried until it is done or given up, committed as one transaction.
//!
//! What a plugin decided and all that it asked for go to the store together. Three things can come in between: the
//! plugin fails (tried again by `retry`'s rules), what it had read is no longer so (run again at once, after three times
//! alone), or the disk says no (the same commit waits; nothing is run twice for it).

use crate::retry::{self, Next};
use crate::roster::Member;
use crate::run::Run;
use crate::seat::Serving;
use crate::spine::Spine;
use beadle_model::{Coded, Disposition, Effects, Ending, Timestamp};
use beadle_sandbox::{Call, Handled, Level, Plugin, Report};
use beadle_store::StoreError;
use beadle_store::step::{Burial, Commit, FailedTry};
use std::sync::Arc;
use std::time::Duration;

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
/// While the disk refuses, the commit is tried again so often: soon enough to go on when there is room, rare enough to
/// cost nothing. Real time: a full disk does not care about the calendar.
const DISK_PAUSE: Duration = Duration::from_millis(250);

/// A try that has to be made again, and why.
enum Trouble {
    /// What it had read has changed.
    Stale,
    /// It failed.
    Failed { code: &'static str, error: String, final_word: bool },
    /// We are stopping.
    Stopping,
}

/// One event, one plugin, one try.
#[derive(Clone, Copy)]
struct Try<'a> {
    run: &'a Arc<Run>,
    place: usize,
    member: &'a Arc<Member>,
    /// 1 for the first.
    attempt: u32,
    /// A person retries it out of its order.
    late: bool,
}

impl Spine {
    /// Tries until it is done or given up. `late`: a person retries it out of its order.
    pub async fn handle(self: &Arc<Self>, run: &Arc<Run>, place: usize, late: bool) -> End {
        let Some(member) = run.subscribers.get(place).and_then(|subscriber| subscriber.member.clone()) else {
            return End::Passed;
        };
        if !late && self.clock.now().since_ms(run.event.received_at) > member.max_age_ms {
            let error =
                format!("it is older than the {} s that `{}` may wait", member.max_age_ms / 1000, member.seat.name());
            return self.give_up(run, place, &member, 0, "stale", error, false).await;
        }
        let (mut tries, mut stale) = (run.tries_before(place), 0);
        loop {
            let alone = stale >= TRIES_BESIDE_OTHERS;
            let trouble = match self.attempt(Try { run, place, member: &member, attempt: tries + 1, late }, alone).await
            {
                Ok(end) => return end,
                Err(trouble) => trouble,
            };
            match trouble {
                Trouble::Stopping => return End::Stopping,
                Trouble::Stale => stale += 1,
                Trouble::Failed { code, error, final_word } => {
                    tries += 1;
                    match self.after_failure(run, &member, tries, final_word || late) {
                        Next::GiveUp { closed } => {
                            return self.give_up(run, place, &member, tries, code, error, closed).await;
                        }
                        Next::Retry { after_ms } => {
                            let next_at = self.clock.now().plus_ms(after_ms);
                            self.note_failure(run, &member, tries, code, error, next_at).await;
                            tokio::select! {
                                () = self.clock.sleep_in_work_until(next_at) => {}
                                () = self.stopping() => return End::Stopping,
                            }
                        }
                    }
                }
            }
        }
    }

    fn after_failure(&self, run: &Run, member: &Member, tries: u32, final_word: bool) -> Next {
        let staged = run.event.kind().is_staged();
        if final_word {
            return Next::GiveUp { closed: false };
        }
        retry::after(tries, staged, member.stage, member.on_failure, self.jitter(run.event.id.0, tries))
    }

    /// One try. What a revision on probation fails is given to the one before it, at once and in its place.
    async fn attempt(self: &Arc<Self>, this: Try<'_>, alone: bool) -> Result<End, Trouble> {
        let seat = &this.member.seat;
        // Held until the commit is through, so that "alone" means alone with one's reads too.
        let (_beside, _alone) = match alone {
            false => (Some(seat.tries.read().await), None),
            true => (None, Some(seat.tries.write().await)),
        };
        let Serving { plugin, probation } = seat.serving();
        let tried = self.attempt_with(this, &plugin).await;
        let Some(probation) = probation else { return tried };
        match &tried {
            Ok(_) => probation.went_well(),
            Err(Trouble::Failed { code, error, .. }) => {
                let stood_in = self.attempt_with(this, probation.before()).await;
                if stood_in.is_ok() {
                    let event = this.run.event.id;
                    tracing::warn!(plugin = %seat.name(), %event, code, "The new revision failed and the one before it stood in: {error}.");
                    probation.was_stood_in_for();
                }
                // Where neither can, the failure is not the new one's own.
                if !matches!(stood_in, Err(Trouble::Failed { .. })) {
                    return stood_in;
                }
            }
            Err(_) => {}
        }
        tried
    }

    /// The call of this revision, and the commit of what it asked for.
    async fn attempt_with(self: &Arc<Self>, this: Try<'_>, plugin: &Arc<Plugin>) -> Result<End, Trouble> {
        let Try { run, place, member, attempt, late } = this;
        if !plugin.subscriptions().contains(&run.event.kind()) {
            // It was dispatched to a revision that wanted such events.
            run.pass(place);
            return Ok(End::Passed);
        }
        let now = self.clock.now();
        let ending = run.ending().filter(|_| run.event.kind().is_staged()).map(|ending| self.tell(ending));
        let call = Call { event: Arc::clone(&run.event), ending, attempt, late, now };
        let Report { outcome, log, usage } = plugin.handle(call).await;
        self.write_log(run, member, &log);
        self.health.called(&usage);
        member.seat.called(&usage, outcome.as_ref().ok(), &log);
        let handled = outcome.map_err(|fault| Trouble::Failed {
            code: fault.code(),
            // Some are sentences with an end of their own; what they are put into has one too.
            error: fault.to_string().trim_end_matches('.').to_owned(),
            final_word: !fault.retried(),
        })?;
        let needs_check = !handled.needs_no_check();
        let Handled { disposition, effects, instance } = handled;
        // What is not staged has no chain to end: it is for those who get it, each for themselves.
        let staged = run.event.kind().is_staged();
        let said = if staged { member.may_decide(disposition) } else { Disposition::Pass };
        if said == Disposition::Pass && effects.is_empty() {
            // Nothing to commit: its bit goes with the next one.
            run.pass(place);
            instance.keep();
            return Ok(End::Passed);
        }
        let decision = decision(run, member, said);
        // What read nothing that can be stale need not wait for the disk; should that refuse, all instances are renewed.
        let mut instance = Some(instance);
        if !needs_check && let Some(instance) = instance.take() {
            instance.keep();
        }
        self.commit(this, plugin, effects, decision, now).await?;
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
        Try { run, place, member, .. }: Try<'_>,
        plugin: &Plugin,
        effects: Effects,
        decision: Option<Ending>,
        now: Timestamp,
    ) -> Result<(), Trouble> {
        let conversation = run.event.conversation.as_ref();
        let launch = self.outbox.admit(conversation, run.event.id, member.seat.no(), effects.sends, now);
        let has_timers = !effects.timers.is_empty();
        let commit = Commit {
            fence: self.store.fence(),
            plugin: member.seat.no(),
            now,
            progress: run.progress(Some(place), decision),
            conversation: conversation.map(|conversation| conversation.id),
            reads: effects.reads,
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
                    plugin.forget_instances();
                    return Err(Trouble::Stale);
                }
                Err(error) if error.is_fatal() => {
                    self.outbox.take_back(launch);
                    self.fail(error);
                    return Err(Trouble::Stopping);
                }
                Err(error) => {
                    plugin.forget_instances();
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

    async fn note_failure(
        &self,
        run: &Run,
        member: &Member,
        attempts: u32,
        code: &str,
        error: String,
        next_at: Timestamp,
    ) {
        let (event, plugin) = (run.event.id, member.seat.no());
        tracing::warn!(plugin = %member.seat.name(), %event, code, attempts, %next_at, "A handling failed and will be tried again: {error}.");
        self.health.failed(member.seat.name());
        let failed = FailedTry { event, plugin, attempts, code: code.into(), error, next_at };
        if let Err(error) = self.store.failed_try(failed).await {
            // Only the record for people is missing; the retry itself is in our hands.
            tracing::debug!(%event, %error, "The failed try could not be recorded.");
        }
    }

    /// A dead letter, and the event goes on without this plugin.
    #[expect(clippy::too_many_arguments, reason = "what a burial records; a struct for one caller would say it twice")]
    async fn give_up(
        &self,
        run: &Run,
        place: usize,
        member: &Member,
        attempts: u32,
        code: &'static str,
        error: String,
        closed: bool,
    ) -> End {
        let (event, name) = (run.event.id, member.seat.name());
        let decision = closed.then_some(Ending::Stopped(member.seat.no()));
        tracing::error!(plugin = %name, %event, code, attempts, "A handling was given up and is a dead letter: {error}. See `beadle dead list`.");
        self.health.buried(name);
        let burial = Burial {
            fence: self.store.fence(),
            plugin: member.seat.no(),
            attempts,
            code: code.into(),
            error,
            at: self.clock.now(),
            progress: run.progress(Some(place), decision),
        };
        loop {
            match self.store.bury(burial.clone()).await {
                Ok(()) => break,
                Err(error) if error.is_fatal() => {
                    self.fail(error);
                    return End::Stopping;
                }
                Err(error) => {
                    self.health.disk_trouble(&error);
                    tokio::select! {
                        () = tokio::time::sleep(DISK_PAUSE) => {}
                        () = self.stopping() => return End::Stopping,
                    }
                }
            }
        }
        run.committed(&burial.progress);
        if closed { End::Closed } else { End::Passed }
    }

    /// How it ended, in words for an observer.
    fn tell(&self, ending: Ending) -> (String, Option<String>) {
        let name = |no| self.roster().name(no).map(str::to_owned);
        match ending {
            Ending::Passed => ("passed".into(), None),
            Ending::Claimed(by) => ("claimed".into(), name(by)),
            Ending::Stopped(by) => ("stopped".into(), name(by)),
            Ending::Host => ("host".into(), None),
        }
    }

    fn write_log(&self, run: &Run, member: &Member, lines: &[beadle_sandbox::LogLine]) {
        let (plugin, event) = (member.seat.name(), run.event.id);
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
fn decision(run: &Run, member: &Member, said: Disposition) -> Option<Ending> {
    if !run.event.kind().is_staged() || run.ending().is_some() {
        return None;
    }
    match said {
        Disposition::Pass => None,
        Disposition::Claimed => Some(Ending::Claimed(member.seat.no())),
        Disposition::Stopped => Some(Ending::Stopped(member.seat.no())),
    }
}
