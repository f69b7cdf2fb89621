//! The chain of one event, in its lane: guards, then the plugin that the event is addressed to, then answerers until one
//! claims it; then observers in lanes of their own (docs/design.md#stages).
//!
//! The next event of a conversation waits until this chain has ended. An unstaged event (a timer, a receipt) has a chain
//! of one plugin. `executor` runs one handling.

use crate::context::{Context, NotStored};
use crate::executor::{End, Executor};
use crate::lane::{LaneKey, Lanes};
use crate::policy::Stage;
use crate::run::EventRun;
use crate::subscriptions::SubscriptionsReceiver;
use beadle_model::{ConversationId, Ending, EventBody, PluginNo};
use std::sync::Arc;

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
        self.0.lanes.push(lane, async move { chains.0.walk(&run, lane).await });
    }
}

impl Inner {
    /// Two conversations were merged. Events of `gone` that are in its lanes come before everything that `kept` gets from
    /// now on.
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

    /// The chain, then the observers.
    async fn walk(self: &Arc<Self>, run: &Arc<EventRun>, lane: LaneKey) {
        run.gone().for_each(|place| run.pass(place));
        if run.ending().is_none() && self.call_in_order(run, lane).await == End::Stopping {
            // The event stays unfinished and is taken up after the next start.
            return;
        }
        run.leave_chain();
        let mut waits = false;
        for place in run.observers().into_iter().filter(|place| !run.is_done(*place)) {
            waits |= self.hand_over(run, place).await;
        }
        if !waits {
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

    /// Puts an event into an observer's lane, or at the end of its backlog. Returns whether the event waits for it.
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
            let end = chains.executor.handle(&run, place, lane).await;
            drop(held);
            if end == End::Passed {
                chains.finish(&run).await;
            }
        });
        true
    }

    /// Records that an event is finished, where no commit has recorded it.
    async fn finish(&self, run: &EventRun) {
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
