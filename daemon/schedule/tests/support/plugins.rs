//! Plugins that take part.

use beadle_model::event::EventKind;
use beadle_model::{PluginNo, Timestamp};
use beadle_pipeline::{OnFailure, PluginSlot, Stage, Subscription, Subscriptions, SubscriptionsReceiver, Suspension};
use std::sync::Arc;
use tokio::sync::watch;

/// These plugins, in service and subscribed to schedules and timers.
pub fn subscribed(plugins: &[PluginNo]) -> SubscriptionsReceiver {
    let subscription = |no: &PluginNo| {
        let suspension = Suspension { code: "plugin-loading".into(), reason: "not loaded".into(), at: Timestamp(0) };
        let events = [EventKind::Schedule, EventKind::Timer].into();
        let slot = PluginSlot::vacant("plugin", *no, events, suspension, Arc::default());
        slot.resume();
        Arc::new(Subscription::new(Arc::new(slot), Stage::Answer, 0, OnFailure::Hold, None))
    };
    watch::channel(Arc::new(Subscriptions::new(plugins.iter().map(subscription).collect()))).1
}
