//! Builds what the store writes for decided planned times: the firing rows and the events that they
//! emit.

use crate::configured::{ConfiguredSchedule, Target};
use crate::policy::{ActiveZone, Decided, Decision, Decisions};
use crate::schedule::{Overlap, Zones, hash};
use crate::zone::Zone;
use beadle_model::{EventBody, Timestamp};
use beadle_store::schedules::{self, Firing, FiringOutcome};
use beadle_store::step::EventKey;

/// The rows for what was decided for one target.
pub(crate) fn planned(
    configured: &ConfiguredSchedule,
    target: &Target,
    decisions: &Decisions,
    zones: &[ActiveZone],
    now: Timestamp,
) -> schedules::ScheduleDecision {
    let row = |decided: &Decided| Some(firing(configured, target, decided, &zones.get(decided.zone)?.zone, now));
    schedules::ScheduleDecision {
        schedule: configured.no,
        plugin: target.plugin,
        until: decisions.until,
        firings: decisions.decided.iter().filter_map(row).collect(),
        skip_overlap: configured.schedule.overlap == Overlap::Skip,
    }
}

/// The rows for a firing that a person requested, one in each zone. It leaves the target's progress
/// unchanged.
pub(crate) fn manual(
    configured: &ConfiguredSchedule,
    target: &Target,
    zones: &[Zone],
    now: Timestamp,
) -> schedules::ScheduleDecision {
    let row = |(zone_index, zone): (usize, &Zone)| {
        let decided = Decided { planned_at: now, due_at: now, zone: zone_index, decision: Decision::Fire };
        let mut firing = firing(configured, target, &decided, zone, now);
        firing.outcome = FiringOutcome::Manual;
        if let Some((key, EventBody::Schedule { manual, .. })) = &mut firing.event {
            (*key, *manual) = (None, true);
        }
        firing
    };
    schedules::ScheduleDecision {
        schedule: configured.no,
        plugin: target.plugin,
        until: target.decided_until(),
        firings: zones.iter().enumerate().map(row).collect(),
        skip_overlap: false,
    }
}

fn firing(configured: &ConfiguredSchedule, target: &Target, decided: &Decided, zone: &Zone, now: Timestamp) -> Firing {
    let Decided { planned_at, due_at, decision, .. } = *decided;
    let schedule = &configured.schedule;
    let for_zone = matches!(schedule.zones, Zones::Members(_));
    let (outcome, moments) = match decision {
        Decision::Fire => (FiringOutcome::Fired, 1),
        Decision::CatchUp => (FiringOutcome::CaughtUp, 1),
        Decision::Miss(moments) => (FiringOutcome::Missed, moments),
    };
    let body = || EventBody::Schedule {
        plugin: target.plugin,
        no: configured.no,
        schedule: schedule.name.as_ref().into(),
        planned_at,
        timezone: zone.name().as_ref().into(),
        for_zone,
        late_by_ms: u64::try_from(now.since_ms(due_at)).unwrap_or(0),
        caught_up: outcome == FiringOutcome::CaughtUp,
        manual: false,
        payload: schedule.payload.as_ref().clone(),
    };
    let emits_event = outcome != FiringOutcome::Missed;
    Firing {
        planned_at,
        due_at,
        zone: if for_zone { zone.name().as_ref().into() } else { String::new() },
        outcome,
        moments,
        event: emits_event.then(|| (Some(event_key(configured, target, zone, planned_at)), body())),
    }
}

/// Identifies a firing by schedule, planned time, plugin and zone, so that it is stored once across
/// crashes.
fn event_key(configured: &ConfiguredSchedule, target: &Target, zone: &Zone, planned_at: Timestamp) -> EventKey {
    let (no, plugin) = (configured.no.to_be_bytes(), target.plugin.0.to_be_bytes());
    let at = planned_at.as_ms().to_be_bytes();
    EventKey { at: planned_at, hash: hash([b"schedule", &no, &at, &plugin, zone.name().as_bytes()]) }
}
