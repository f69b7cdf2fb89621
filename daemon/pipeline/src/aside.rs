//! What becomes of an event whose plugin cannot be asked now, or fails it for good: it waits in its lane, is kept on disk,
//! goes on without the plugin, or ends.
//!
//! Nobody waits long for a plugin that rests. In the chain an answerer is passed over at once, and a guard holds the event
//! for a minute or lets it go, as it is configured. Who watches, and whatever is for one plugin alone, has time: it waits,
//! in a lane of its own where there is one, else on disk, where it takes none of the room that others need. A plugin that
//! is suspended has everything kept on disk. See `backlog` for how that comes back.

use crate::breaker::May;
use crate::handling::{End, Handling};
use crate::lane::LaneKey;
use crate::retry::HOLD_MS;
use crate::slot::{Availability, Failure};
use crate::spine::{Phase, Spine};
use crate::subscriptions::{OnFailure, Stage, Subscription};
use beadle_model::{Ending, Timestamp};
use beadle_store::step::{Unhandled, UnhandledState};
use std::sync::Arc;
use std::time::Duration;

/// While the disk refuses, what waits for it is tried again so often: soon enough to go on when there is room, rare enough
/// to cost nothing. Real time: a full disk does not care about the calendar.
pub(crate) const DISK_PAUSE: Duration = Duration::from_millis(250);

/// Why a handling does not go on.
pub(crate) struct Why {
    pub code: &'static str,
    /// A sentence without its end.
    pub error: String,
}

impl From<&Failure> for Why {
    fn from(failure: &Failure) -> Self {
        Self { code: failure.code, error: failure.error.clone() }
    }
}

/// Why a plugin is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Away {
    Resting,
    Suspended,
    Off,
}

/// What an event does meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meanwhile {
    /// It waits in its lane, until its plugin may be asked.
    Wait,
    /// It waits in its lane, as long as a guard may hold it.
    Hold,
    /// It is kept on disk.
    Keep,
    /// It goes on without this plugin.
    PassOver,
    /// It ends here, unanswered.
    Close,
}

/// What an event does while its plugin is away. `in_chain`: others wait behind this plugin. `own_lane`: nobody does.
fn meanwhile(away: Away, in_chain: bool, own_lane: bool, stage: Stage, on_failure: OnFailure) -> Meanwhile {
    match (in_chain, away) {
        (true, Away::Resting) if stage == Stage::Guard && on_failure == OnFailure::Hold => Meanwhile::Hold,
        (true, Away::Suspended) if stage == Stage::Guard && on_failure == OnFailure::Hold => Meanwhile::Close,
        (true, _) => Meanwhile::PassOver,
        (false, Away::Resting) if own_lane => Meanwhile::Wait,
        (false, _) => Meanwhile::Keep,
    }
}

impl Spine {
    /// Waits until its plugin may be asked; says whether this is the trial after a rest. `Err`: it is not asked. `failed`:
    /// how it failed last, if it did.
    pub(crate) async fn leave(
        self: &Arc<Self>,
        this: Handling<'_>,
        tries: u32,
        began: Timestamp,
        failed: Option<&Failure>,
    ) -> Result<bool, End> {
        let Handling { run, member, lane, .. } = this;
        let (slot, in_chain) = (&member.slot, member.is_in_chain(run.event.kind()));
        let mut changes = slot.changes();
        loop {
            let now = self.clock.now();
            let until = match slot.may(now) {
                May::Go => return Ok(false),
                May::Try => return Ok(true),
                May::NotBefore(until) => Some(until),
                May::NotYet | May::Never => None,
            };
            let (away, why) = why(member, now);
            match meanwhile(away, in_chain, lane.is_own(), member.stage, member.on_failure) {
                Meanwhile::Keep => return Err(self.keep(this, tries, why).await),
                Meanwhile::Close => return Err(self.give_up(this, tries, why, true).await),
                // What it has failed already is for a person to see.
                Meanwhile::PassOver if tries > 0 => {
                    let why = failed.map_or(why, Why::from);
                    return Err(self.give_up(this, tries, why, false).await);
                }
                Meanwhile::PassOver => return Err(self.pass_over(this, why).await),
                Meanwhile::Hold if now.since_ms(began) >= HOLD_MS => {
                    return Err(self.give_up(this, tries, why, true).await);
                }
                Meanwhile::Hold | Meanwhile::Wait => {
                    let held = (in_chain).then(|| began.plus_ms(HOLD_MS));
                    let look_at = until.into_iter().chain(held).min();
                    tokio::select! {
                        // It lives as long as its slot, which we hold.
                        _ = changes.changed() => {}
                        () = self.sleep_until(look_at) => {}
                        () = self.reached(Phase::Draining) => return Err(End::Stopping),
                    }
                }
            }
        }
    }

    /// For a handling: all that it waits for is time.
    async fn sleep_until(&self, at: Option<Timestamp>) {
        match at {
            Some(at) => self.clock.sleep_in_work_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// It is kept for its plugin, which gets it when it can be asked again.
    pub(crate) async fn keep(self: &Arc<Self>, this: Handling<'_>, attempts: u32, why: Why) -> End {
        let Handling { run, member, .. } = this;
        let event = run.event.id;
        tracing::debug!(plugin = %member.slot.name(), %event, code = why.code, "An event is kept: {}.", why.error);
        let no = member.slot.no();
        // Counted first: it may be taken up as soon as it is on disk. What was kept before still is there.
        self.backlogs.one_more(no);
        if !run.kept && !self.set_aside(this, UnhandledState::Waiting, attempts, why, None).await {
            return End::Stopping;
        }
        self.take_up(no);
        End::Passed
    }

    /// The event goes on without asking this plugin.
    async fn pass_over(&self, this: Handling<'_>, why: Why) -> End {
        let (plugin, event) = (this.member.slot.name(), this.run.event.id);
        tracing::debug!(%plugin, %event, code = why.code, "A plugin is passed over: {}.", why.error);
        if self.set_aside(this, UnhandledState::PassedOver, 0, why, None).await { End::Passed } else { End::Stopping }
    }

    /// A dead letter, and the event goes on without this plugin; or, `closed`, ends here.
    pub(crate) async fn give_up(&self, this: Handling<'_>, attempts: u32, why: Why, closed: bool) -> End {
        let Handling { run, member, lane, .. } = this;
        let (event, name, code, error) = (run.event.id, member.slot.name(), why.code, &why.error);
        tracing::error!(plugin = %name, %event, code, attempts, "A handling was given up and is a dead letter: {error}. See `beadle dead-letters list`.");
        self.health.buried(name);
        if attempts > 0 {
            member.slot.gave_up(lane);
        }
        let decision = closed.then_some(Ending::Stopped(member.slot.no()));
        match self.set_aside(this, UnhandledState::DeadLetter, attempts, why, decision).await {
            true if closed => End::Closed,
            true => End::Passed,
            false => End::Stopping,
        }
    }

    /// Writes it down, however long the disk refuses. `false`: we are stopping.
    async fn set_aside(
        &self,
        this: Handling<'_>,
        how: UnhandledState,
        attempts: u32,
        Why { code, error }: Why,
        decision: Option<Ending>,
    ) -> bool {
        let Handling { run, place, member, .. } = this;
        let aside = Unhandled {
            fence: self.store.fence(),
            plugin: member.slot.no(),
            state: how,
            attempts,
            code: code.into(),
            error,
            at: self.clock.now(),
            progress: run.progress(Some(place), decision),
        };
        loop {
            match self.store.record_unhandled(aside.clone()).await {
                Ok(()) => break,
                Err(error) if error.is_fatal() => {
                    self.fail(error);
                    return false;
                }
                Err(error) => {
                    self.health.disk_trouble(&error);
                    tokio::select! {
                        () = tokio::time::sleep(DISK_PAUSE) => {}
                        () = self.stopping() => return false,
                    }
                }
            }
        }
        run.committed(&aside.progress);
        true
    }
}

/// Why a plugin is not asked, for whoever looks at the event.
fn why(member: &Subscription, now: Timestamp) -> (Away, Why) {
    let name = member.slot.name();
    match member.slot.availability(now) {
        Availability::Disabled => {
            (Away::Off, Why { code: "plugin-disabled", error: format!("`{name}` was switched off") })
        }
        Availability::Suspended(suspension) => {
            let error = format!("`{name}` is suspended: {}", suspension.why);
            (Away::Suspended, Why { code: "plugin-suspended", error })
        }
        // One that works by now is looked at again at once.
        Availability::Resting { error, .. } => {
            (Away::Resting, Why { code: "plugin-resting", error: format!("`{name}` rests after it failed: {error}") })
        }
        Availability::Available => (Away::Resting, Why { code: "plugin-resting", error: format!("`{name}` rested") }),
    }
}

impl LaneKey {
    /// Whether nobody but one plugin waits in it.
    fn is_own(self) -> bool {
        !matches!(self, LaneKey::Conversation(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_for_who_is_away_but_what_is_for_it_alone() {
        use Away::{Off, Resting, Suspended};
        use Meanwhile::{Close, Hold, Keep, PassOver, Wait};
        use OnFailure::{Hold as Held, Skip};
        use Stage::{Answer, Guard, Observe};
        let (chain, alone, own, shared) = (true, false, true, false);
        for (away, in_chain, own_lane, stage, on_failure, wanted) in [
            (Resting, chain, shared, Answer, Held, PassOver),
            (Suspended, chain, shared, Answer, Held, PassOver),
            (Off, chain, shared, Answer, Held, PassOver),
            (Resting, chain, shared, Guard, Held, Hold),
            (Suspended, chain, shared, Guard, Held, Close),
            (Off, chain, shared, Guard, Held, PassOver),
            (Resting, chain, shared, Guard, Skip, PassOver),
            (Suspended, chain, shared, Guard, Skip, PassOver),
            (Resting, alone, own, Observe, Held, Wait),
            (Suspended, alone, own, Observe, Held, Keep),
            (Off, alone, own, Observe, Held, Keep),
            // A timer of an answerer comes back in the conversation, where others wait behind it.
            (Resting, alone, shared, Answer, Held, Keep),
            (Suspended, alone, shared, Answer, Held, Keep),
            (Resting, alone, own, Guard, Held, Wait),
        ] {
            let said = meanwhile(away, in_chain, own_lane, stage, on_failure);
            assert_eq!(said, wanted, "{away:?} {in_chain} {own_lane} {stage:?} {on_failure:?}");
        }
    }
}
