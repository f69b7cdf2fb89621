//! The dry run: the old and the new revision are given the same recent events of this installation, and what they ask for
//! is compared and thrown away.
//!
//! The same event, the same state, the same time and the same chance go to both. Only a failure that the old revision
//! does not share on that very event speaks against the new one: an event that breaks both says nothing. A difference in
//! what they ask for is what a new revision is for; it is told, not judged. Nothing of it leaves: effects are dropped with
//! the instances that asked for them.

use beadle_clock::Clock;
use beadle_model::{Disposition, Effects, Event, Timestamp};
use beadle_sandbox::{Call, Plugin, Report};
use beadle_store::views::EventFilter;
use beadle_store::{Reader, StoreError};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Events that are tried, at most (DESIGN section 7).
const EVENTS: usize = 20;
/// Time for all of them together, at most; a call that has begun is ended by its own limits.
const TIME: Duration = Duration::from_millis(100);
/// Events that are looked at to find those.
const LOOK_AT: usize = 200;
/// Differences that are told.
const TOLD: usize = 5;

/// What a dry run showed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Compared {
    /// Why the new revision should not take over.
    pub failure: Option<String>,
    /// What it would do otherwise, in sentences without an end.
    pub differences: Vec<String>,
}

/// Runs both on the latest events that both want.
pub(crate) async fn compare(
    before: &Arc<Plugin>,
    after: &Arc<Plugin>,
    reader: &Reader,
    clock: &Clock,
) -> Result<Compared, StoreError> {
    let began = Instant::now();
    let mut compared = Compared::default();
    let (events, now) = (recent(before, after, reader).await?, clock.now());
    for event in events {
        if began.elapsed() > TIME {
            break;
        }
        let event = Arc::new(event);
        let (old, new) = (ask(before, &event, now).await, ask(after, &event, now).await);
        match (old, new) {
            (Ok(_), Err(what)) => {
                let id = event.id;
                compared.failure = Some(format!("tried on {id}, which the revision before it handles: {what}"));
                return Ok(compared);
            }
            (Ok(old), Ok(new)) if old != new && compared.differences.len() < TOLD => {
                compared.differences.push(format!("on {} it {}, where it {} before", event.id, say(&new), say(&old)));
            }
            _ => {}
        }
    }
    Ok(compared)
}

/// The latest events first that both would be given.
async fn recent(before: &Arc<Plugin>, after: &Arc<Plugin>, reader: &Reader) -> Result<Vec<Event>, StoreError> {
    let wanted: Vec<_> = before.subscriptions().intersection(after.subscriptions()).copied().collect();
    let (no, reader) = (after.no(), reader.clone());
    let read = move || {
        let mut events = Vec::new();
        for row in reader.events(&EventFilter { limit: LOOK_AT, ..EventFilter::default() })? {
            if wanted.contains(&row.kind)
                && let Some(event) = reader.event(row.id)?
                && event.body.only_for().is_none_or(|only| only == no)
            {
                events.push(event);
                if events.len() >= EVENTS {
                    break;
                }
            }
        }
        Ok(events)
    };
    // It reads, so not on a thread that others wait for; should that thread be gone, there is nothing to compare.
    tokio::task::spawn_blocking(read).await.unwrap_or_else(|_| Ok(Vec::new()))
}

/// What it decided and asked for. `Err`: it trapped or met a limit. One that says "try again" or "never" did neither.
async fn ask(
    plugin: &Arc<Plugin>,
    event: &Arc<Event>,
    now: Timestamp,
) -> Result<Option<(Disposition, Effects)>, String> {
    let call = Call { event: Arc::clone(event), ending: None, attempt: 1, late: false, now };
    let Report { outcome, .. } = plugin.try_out(call).await;
    match outcome {
        Ok(handled) => {
            let mut effects = handled.effects;
            // Versions of what was read say nothing of what it does.
            effects.reads.clear();
            Ok(Some((handled.disposition, effects)))
        }
        Err(fault) if fault.is_its_word() => Ok(None),
        Err(fault) => Err(fault.to_string()),
    }
}

/// In a few words.
fn say(said: &Option<(Disposition, Effects)>) -> String {
    match said {
        None => "fails".into(),
        Some((disposition, effects)) => {
            let decided = match disposition {
                Disposition::Pass => "passes",
                Disposition::Claimed => "claims",
                Disposition::Stopped => "stops",
            };
            let (writes, timers, sends) = (effects.state.len(), effects.timers.len(), effects.sends.len());
            format!("{decided} with {sends} messages, {writes} writes and {timers} timers")
        }
    }
}
