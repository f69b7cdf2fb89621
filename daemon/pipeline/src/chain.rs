//! The chain: guards, then whoever the event is addressed to, then answerers until one claims it; observers afterwards.
//!
//! It runs in the conversation's lane, so the next event of that conversation waits until this one's chain has ended.
//! Observers then run in lanes of their own and are told how it ended. An event that is not staged (a timer, a receipt)
//! has a chain of one.

use crate::aside::Why;
use crate::handling::{End, Handling};
use crate::lane::LaneKey;
use crate::run::Run;
use crate::spine::Spine;
use crate::subscriptions::Stage;
use beadle_model::{ConversationId, Ending, EventBody, EventKind, PluginNo};
use std::sync::Arc;

/// Puts a run into its lane.
pub(crate) fn enqueue(spine: &Arc<Spine>, run: Run) {
    if let EventBody::ContactChanged { merged: Some(merged), .. } = &run.event.body {
        merged.conversations.iter().for_each(|(gone, kept)| join(spine, *gone, *kept));
    }
    let key = lane_of(&run);
    let (spine, run) = (Arc::clone(spine), Arc::new(run));
    spine.lanes.push(key, {
        let spine = Arc::clone(&spine);
        async move { walk(&spine, &run, key).await }
    });
}

/// Two conversations became one. Events that were given to the one before this are in its lanes; whatever comes after is
/// in the other's, and goes behind them.
fn join(spine: &Arc<Spine>, gone: ConversationId, kept: ConversationId) {
    let plugins: Vec<PluginNo> = spine.subscriptions().iter().map(|member| member.slot.no()).collect();
    spine.lanes.join(LaneKey::Conversation(gone), LaneKey::Conversation(kept), move |lanes| {
        // A chain puts its observers into their lanes when it ends: now they are all there.
        for no in plugins {
            lanes.join(LaneKey::Observer(no, gone), LaneKey::Observer(no, kept), |_| {});
            lanes.join(LaneKey::Receipts(no, gone), LaneKey::Receipts(no, kept), |_| {});
        }
    });
}

/// Where an event's chain runs. Timers come back into the lane they were set in; receipts have their own.
pub(crate) fn lane_of(run: &Run) -> LaneKey {
    let conversation = run.event.conversation.as_ref().map(|conversation| conversation.id);
    let only = run.subscribers.first();
    let observes = only.and_then(|it| it.member.as_ref()).is_some_and(|member| member.stage == Stage::Observe);
    if let EventBody::Schedule { plugin, no, .. } = &run.event.body {
        return LaneKey::Schedule(*plugin, *no);
    }
    match (conversation, run.event.kind(), only.map(|it| it.no)) {
        (Some(conversation), EventKind::MessageStatus, Some(no)) => LaneKey::Receipts(no, conversation),
        (Some(conversation), EventKind::Timer, Some(no)) if observes => LaneKey::Observer(no, conversation),
        (Some(conversation), ..) => LaneKey::Conversation(conversation),
        (None, _, no) => LaneKey::Plugin(no.unwrap_or(PluginNo::HOST)),
    }
}

/// Where one place of an event runs: in the chain's lane, or in one of its own.
pub(crate) fn lane_for(run: &Run, place: usize) -> LaneKey {
    let subscriber = run.subscribers.get(place);
    let observes = subscriber.and_then(|it| it.member.as_ref()).is_some_and(|member| member.stage == Stage::Observe);
    let kind = run.event.kind();
    match (subscriber, &run.event.conversation) {
        (Some(it), Some(conversation)) if kind.is_notification() || kind.is_staged() && observes => {
            LaneKey::Observer(it.no, conversation.id)
        }
        (Some(it), None) if kind.is_notification() || kind.is_staged() && observes => LaneKey::Plugin(it.no),
        _ => lane_of(run),
    }
}

/// From the first plugin of the chain to its end, then hands over to the observers.
async fn walk(spine: &Arc<Spine>, run: &Arc<Run>, lane: LaneKey) {
    run.gone().for_each(|place| run.pass(place));
    if run.ending().is_none() && ask_all(spine, run, lane).await.is_none() {
        // We are stopping: the event stays unfinished and is taken up again after the start.
        return;
    }
    run.leaves_chain();
    let mut waited_for = false;
    for place in run.observers().into_iter().filter(|place| !run.is_done(*place)) {
        waited_for |= hand_over(spine, run, place).await;
    }
    if !waited_for {
        spine.finish(run).await;
    }
}

/// Puts an event into an observer's lane, or behind what is kept for it. `true`: it is waited for.
async fn hand_over(spine: &Arc<Spine>, run: &Arc<Run>, place: usize) -> bool {
    let Some(member) = run.subscribers.get(place).and_then(|it| it.member.clone()) else { return false };
    let (no, lane) = (member.slot.no(), lane_for(run, place));
    let held = if spine.backlogs.is_behind(no) { None } else { member.slot.hold(spine.subscriptions().most_held()) };
    let Some(held) = held else {
        let error = format!("`{}` is behind, and what comes for it waits its turn on disk", member.slot.name());
        let this = Handling { run, place, member: &member, lane };
        return spine.keep(this, 0, Why { code: "plugin-backlog", error }).await == End::Stopping;
    };
    spine.lanes.push(lane, {
        let (spine, run) = (Arc::clone(spine), Arc::clone(run));
        async move {
            let end = spine.handle(&run, place, lane, false).await;
            drop(held);
            if end == End::Passed {
                spine.finish(&run).await;
            }
        }
    });
    true
}

/// Asks one after the other until one ends it. `None`: we are stopping.
async fn ask_all(spine: &Arc<Spine>, run: &Arc<Run>, lane: LaneKey) -> Option<Ending> {
    let host_has_answered = matches!(run.event.body, EventBody::Message { keyword: Some(_), .. });
    for place in order(run) {
        if run.is_done(place) {
            continue;
        }
        let Some(subscriber) = run.subscribers.get(place) else { continue };
        let stage = subscriber.member.as_ref().map(|member| member.stage);
        if host_has_answered && stage == Some(Stage::Answer) {
            run.pass(place);
            continue;
        }
        match spine.handle(run, place, lane, false).await {
            End::Passed => {}
            // The commit that claimed it has the ending and all who are spared by it.
            End::Claimed | End::Stopped | End::Closed => return run.ending(),
            End::Stopping => return None,
        }
    }
    Some(run.end(if host_has_answered { Ending::Host } else { Ending::Passed }))
}

/// The chain's places in order, with the plugin that the event is addressed to right after the guards.
fn order(run: &Run) -> Vec<usize> {
    let mut chain = run.chain();
    let EventBody::Message { addressed: Some(addressed), .. } = &run.event.body else { return chain };
    let at = |place: &usize| run.subscribers.get(*place);
    let guards = chain.iter().filter_map(at).take_while(|it| stage_of(it) == Some(Stage::Guard)).count();
    let theirs = chain.iter().filter_map(at).position(|it| it.no == *addressed);
    if let Some(theirs) = theirs.filter(|theirs| *theirs > guards) {
        let place = chain.remove(theirs);
        chain.insert(guards, place);
    }
    chain
}

fn stage_of(subscriber: &crate::run::Subscriber) -> Option<Stage> {
    subscriber.member.as_ref().map(|member| member.stage)
}
