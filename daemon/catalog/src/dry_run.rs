//! The dry run: gives the same recent events to the active and the new revision, compares their
//! effects, and discards them.
//!
//! Both get the same event, state, time and random seed. The new revision is rejected only for a
//! trap or limit that the active one does not hit on the same event. Different effects are the
//! purpose of a new revision; they are reported. No effect is committed: the instances are dropped
//! with their effects.

use beadle_clock::Clock;
use beadle_model::{Disposition, Effects, Event, Timestamp};
use beadle_sandbox::{Call, Plugin, Report};
use beadle_store::views::EventFilter;
use beadle_store::{Reader, StoreError};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Maximum number of events (`docs/design.md#reload`).
const MAX_EVENTS: usize = 20;
/// No further event is tried after this time; a running call is ended by its own limits.
const MAX_DURATION: Duration = Duration::from_millis(100);
/// Recent events that are examined to find them.
const MAX_EXAMINED: usize = 200;
/// Maximum number of differences that are reported.
const MAX_DIFFERENCES: usize = 5;

/// The result of a dry run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Comparison {
    /// Why the new revision is rejected.
    pub failure: Option<String>,
    /// How its effects differ, without a full stop.
    pub differences: Vec<String>,
}

/// Runs both on the latest events that both export.
pub(crate) async fn compare(
    before: &Arc<Plugin>,
    after: &Arc<Plugin>,
    reader: &Reader,
    clock: &Clock,
) -> Result<Comparison, StoreError> {
    let began = Instant::now();
    let mut comparison = Comparison::default();
    let (events, now) = (recent(before, after, reader).await?, clock.now());
    for event in events {
        if began.elapsed() > MAX_DURATION {
            break;
        }
        let event = Arc::new(event);
        let (old, new) = (try_event(before, &event, now).await, try_event(after, &event, now).await);
        match (old, new) {
            (Ok(_), Err(error)) => {
                let id = event.id;
                comparison.failure = Some(format!("it failed on {id}, which the active revision handles: {error}"));
                return Ok(comparison);
            }
            (Ok(old), Ok(new)) if old != new && comparison.differences.len() < MAX_DIFFERENCES => {
                let (new, old) = (describe(new.as_ref()), describe(old.as_ref()));
                comparison.differences.push(format!("on {} it {new}; the active revision {old}", event.id));
            }
            _ => {}
        }
    }
    Ok(comparison)
}

/// The recent events that both would get, latest first.
async fn recent(before: &Arc<Plugin>, after: &Arc<Plugin>, reader: &Reader) -> Result<Vec<Event>, StoreError> {
    let wanted: Vec<_> = before.subscriptions().intersection(after.subscriptions()).copied().collect();
    let (no, reader) = (after.no(), reader.clone());
    let read = move || {
        let mut events = Vec::new();
        for row in reader.events(&EventFilter { limit: MAX_EXAMINED, ..EventFilter::default() })? {
            if wanted.contains(&row.kind)
                && let Some(event) = reader.readable_event(row.id)?
                && event.body.only_for().is_none_or(|only| only == no)
            {
                events.push(event);
                if events.len() >= MAX_EVENTS {
                    break;
                }
            }
        }
        Ok(events)
    };
    // The blocking pool is gone only while the daemon shuts down.
    tokio::task::spawn_blocking(read).await.unwrap_or_else(|_| Ok(Vec::new()))
}

/// Returns the decision and the effects, or `None` if the plugin returned a failure. `Err`: a trap
/// or a limit.
async fn try_event(
    plugin: &Arc<Plugin>,
    event: &Arc<Event>,
    now: Timestamp,
) -> Result<Option<(Disposition, Effects)>, String> {
    let call = Call { event: Arc::clone(event), ending: None, attempt: 1, late: false, now };
    let Report { outcome, .. } = plugin.dry_run(call).await;
    match outcome {
        Ok(handled) => {
            let mut effects = handled.effects;
            // The versions of what was read are not effects.
            effects.reads.clear();
            Ok(Some((handled.disposition, effects)))
        }
        Err(fault) if fault.is_returned() => Ok(None),
        Err(fault) => Err(fault.to_string()),
    }
}

/// Describes a result in a few words.
fn describe(result: Option<&(Disposition, Effects)>) -> String {
    match result {
        None => "returns a failure".into(),
        Some((disposition, effects)) => {
            let decision = match disposition {
                Disposition::Pass => "passes",
                Disposition::Claimed => "claims",
                Disposition::Stopped => "stops",
            };
            let (writes, timers, sends) = (effects.state.len(), effects.timers.len(), effects.sends.len());
            format!("{decision} with {sends} messages, {writes} writes and {timers} timers")
        }
    }
}
