//! The chain of one event, in its lane: guards, then the plugin that the event is addressed to,
//! then answerers until one claims it; then observers in lanes of their own
//! (docs/design.md#stages).
//!
//! The next event of a conversation waits until this chain has ended. An unstaged event (a timer, a
//! receipt) has a chain of one plugin. `executor` runs one handling, and catches its panics; a
//! panic outside of handlings is caught here, so that the event is tried again or given up, and
//! does not stay open until a restart.

use crate::caught::caught;
use crate::context::{Context, NotStored};
use crate::executor::{End, Executor};
use crate::lane::{LaneKey, Lanes};
use crate::policy::Stage;
use crate::run::EventRun;
use crate::subscriptions::SubscriptionsReceiver;
use beadle_model::{ConversationId, Ending, EventBody, PluginNo};
use std::sync::Arc;

/// Panics outside of handlings after which an event is given up. One that comes from the event
/// comes each time.
const MOST_PANICS: u32 = 3;

/// The observers of an event that is walked.
#[derive(Default)]
struct Observers {
    /// Places that have the event, in a lane or on disk.
    handed_over: Vec<usize>,
    /// Whether the event waits for one of them.
    wait: bool,
}

/// Puts events into their lanes and walks their chains. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Chains(Arc<Inner>);

struct Inner {
    context: Arc<Context>,
    subscriptions: SubscriptionsReceiver,
    lanes: Lanes,
    executor: Arc<Executor>,
}

impl Chains {
    pub fn new(
        context: Arc<Context>,
        subscriptions: SubscriptionsReceiver,
        lanes: Lanes,
        executor: Arc<Executor>,
    ) -> Self {
        Self(Arc::new(Inner { context, subscriptions, lanes, executor }))
    }

    /// Puts an event into the lane of its chain.
    pub fn enqueue(&self, run: EventRun) {
        if let EventBody::ContactChanged { merged: Some(merged), .. } = &run.event.body {
            merged.conversations.iter().for_each(|(gone, kept)| self.0.join(*gone, *kept));
        }
        let (chains, lane) = (self.clone(), run.lane());
        let run = Arc::new(run);
        self.0.lanes.push(lane, async move { chains.0.walk_to_the_end(&run, lane).await });
    }
}

impl Inner {
    /// Two conversations were merged. Events of `gone` that are in its lanes come before everything
    /// that `kept` gets from now on.
    fn join(&self, gone: ConversationId, kept: ConversationId) {
        let plugins: Vec<PluginNo> = self.subscriptions.borrow().iter().map(|subscription| subscription.no()).collect();
        self.lanes.join(LaneKey::Conversation(gone), LaneKey::Conversation(kept), move |lanes| {
            // A chain puts its observers into their lanes when it ends: now they are all there.
            for no in plugins {
                lanes.join(LaneKey::Observer(no, gone), LaneKey::Observer(no, kept), |_| {});
                lanes.join(LaneKey::Receipts(no, gone), LaneKey::Receipts(no, kept), |_| {});
            }
        });
    }

    /// Walks the chain, again after a panic, and gives the event up after the last one.
    async fn walk_to_the_end(self: &Arc<Self>, run: &Arc<EventRun>, lane: LaneKey) {
        let mut observers = Observers::default();
        let mut panics = 0;
        while let Err(panic) = caught(self.walk(run, lane, &mut observers)).await {
            panics += 1;
            if panics < MOST_PANICS {
                tracing::warn!(event = %run.event.id, panics, panic, "panic outside a handling: event is tried again");
                continue;
            }
            // What panics here as well stays unfinished and is taken up after the next start.
            let given_up = self.executor.give_up_event(run, &observers.handed_over, panics, &panic);
            return drop(caught(given_up).await);
        }
    }

    /// The chain, then the observers, except those that have the event already.
    async fn walk(self: &Arc<Self>, run: &Arc<EventRun>, lane: LaneKey, observers: &mut Observers) {
        #[cfg(debug_assertions)]
        self.context.panic_if_injected(crate::context::PanicPoint::Chain);
        run.gone().for_each(|place| run.pass(place));
        if run.ending().is_none() && self.call_in_order(run, lane).await == End::Stopping {
            // The event stays unfinished and is taken up after the next start.
            return;
        }
        run.leave_chain();
        for place in run.observers() {
            if !run.is_done(place) && !observers.handed_over.contains(&place) {
                observers.wait |= self.hand_over(run, place).await;
                observers.handed_over.push(place);
            }
        }
        if !observers.wait {
            self.finish(run).await;
        }
    }

    /// Calls one plugin after the other until one decides.
    async fn call_in_order(&self, run: &Arc<EventRun>, lane: LaneKey) -> End {
        let is_keyword = matches!(run.event.body, EventBody::Message { keyword: Some(_), .. });
        for place in run.chain_in_order().into_iter().filter(|place| !run.is_done(*place)) {
            let subscription = run.subscribers.get(place).and_then(|subscriber| subscriber.subscription.as_ref());
            if is_keyword && subscription.is_some_and(|subscription| subscription.stage == Stage::Answer) {
                // The host has answered.
                run.pass(place);
                continue;
            }
            match self.executor.handle(run, place, lane).await {
                End::Passed => {}
                // The commit wrote the ending.
                decided @ (End::Decided | End::Stopping) => return decided,
            }
        }
        run.end(if is_keyword { Ending::Host } else { Ending::Passed });
        End::Decided
    }

    /// Puts an event into an observer's lane, or at the end of its backlog. Returns whether the
    /// event waits for it.
    async fn hand_over(self: &Arc<Self>, run: &Arc<EventRun>, place: usize) -> bool {
        let Some(subscription) = run.subscribers.get(place).and_then(|subscriber| subscriber.subscription.clone())
        else {
            return false;
        };
        let (no, lane) = (subscription.no(), run.lane_of(place));
        let most = self.subscriptions.borrow().most_held();
        let is_behind = self.executor.backlogs.is_behind(no);
        let held = if is_behind { None } else { subscription.slot.hold_event(run.bytes(), most) };
        let Some(held) = held else {
            return self.executor.keep_behind(run, place, lane).await == End::Stopping;
        };
        let (chains, run) = (Arc::clone(self), Arc::clone(run));
        self.lanes.push(lane, async move {
            chains.observe(&run, place, lane).await;
            drop(held);
        });
        true
    }

    /// The handling of an observer, again after a panic outside of it.
    async fn observe(&self, run: &Arc<EventRun>, place: usize, lane: LaneKey) {
        let handle = async || {
            if run.is_done(place) || self.executor.handle(run, place, lane).await == End::Passed {
                self.finish(run).await;
            }
        };
        let mut panics = 0;
        while let Err(panic) = caught(handle()).await {
            panics += 1;
            tracing::warn!(event = %run.event.id, panics, panic, "panic outside a handling of an observer");
            if panics == MOST_PANICS {
                // The others have the event, or are done.
                let others: Vec<usize> = (0..run.subscribers.len()).filter(|other| *other != place).collect();
                return drop(caught(self.executor.give_up_event(run, &others, panics, &panic)).await);
            }
        }
    }

    /// Records that an event is finished, where no commit has recorded it.
    async fn finish(&self, run: &EventRun) {
        #[cfg(debug_assertions)]
        self.context.panic_if_injected(crate::context::PanicPoint::Finish);
        if run.is_all_committed() {
            return;
        }
        let (store, progress) = (&self.context.store, run.progress(None, None));
        let finished = self.context.until_stored(|| store.finish(progress.clone(), store.fence())).await;
        if let Err(NotStored::Refused(error)) = finished {
            tracing::warn!(event = %run.event.id, %error, "event not marked as finished");
        }
    }
}
