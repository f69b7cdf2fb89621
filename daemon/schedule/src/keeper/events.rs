//! From what was decided to what the store writes: rows, and the events that they become.

use super::{Kept, Share};
use crate::policy::{Area, Decided, Turn, Verdict};
use crate::schedule::{Overlap, Zones, hash};
use crate::zone::Zone;
use beadle_model::{EventBody, Timestamp};
use beadle_store::schedules::{self, Firing, FiringOutcome};
use beadle_store::step::EventKey;

/// What has come of a share.
pub(super) fn share(kept: &Kept, share: &Share, turn: &Turn, areas: &[Area], now: Timestamp) -> schedules::Share {
    let firing = |decided: &Decided| Some(firing(kept, share, decided, &areas.get(decided.area)?.zone, now));
    schedules::Share {
        schedule: kept.no,
        plugin: share.plugin,
        until: turn.until,
        firings: turn.decided.iter().filter_map(firing).collect(),
        skip_overlap: kept.schedule.overlap == Overlap::Skip,
    }
}

/// What a person has fire now, in each of the zones.
pub(super) fn by_hand(kept: &Kept, share: &Share, zones: &[Zone], now: Timestamp) -> schedules::Share {
    let by_hand = |(area, zone): (usize, &Zone)| {
        let decided = Decided { planned_at: now, due_at: now, area, verdict: Verdict::Fire };
        let mut firing = firing(kept, share, &decided, zone, now);
        firing.outcome = FiringOutcome::ByHand;
        if let Some((key, EventBody::Schedule { by_hand, .. })) = &mut firing.event {
            (*key, *by_hand) = (None, true);
        }
        firing
    };
    schedules::Share {
        schedule: kept.no,
        plugin: share.plugin,
        until: share.until(),
        firings: zones.iter().enumerate().map(by_hand).collect(),
        skip_overlap: false,
    }
}

fn firing(kept: &Kept, share: &Share, decided: &Decided, zone: &Zone, now: Timestamp) -> Firing {
    let Decided { planned_at, due_at, verdict, .. } = *decided;
    let for_zone = matches!(kept.schedule.zones, Zones::Members(_));
    let (outcome, moments) = match verdict {
        Verdict::Fire => (FiringOutcome::Fired, 1),
        Verdict::CatchUp => (FiringOutcome::CaughtUp, 1),
        Verdict::Miss(moments) => (FiringOutcome::Missed, moments),
    };
    let body = || EventBody::Schedule {
        plugin: share.plugin,
        no: kept.no,
        schedule: kept.schedule.name.as_ref().into(),
        planned_at,
        timezone: zone.name().as_ref().into(),
        for_zone,
        late_by_ms: u64::try_from(now.since_ms(due_at)).unwrap_or(0),
        caught_up: outcome == FiringOutcome::CaughtUp,
        by_hand: false,
        payload: kept.schedule.payload.as_ref().clone(),
    };
    let fires = outcome != FiringOutcome::Missed;
    Firing {
        planned_at,
        due_at,
        zone: if for_zone { zone.name().as_ref().into() } else { String::new() },
        outcome,
        moments,
        event: fires.then(|| (Some(key(kept, share, zone, planned_at)), body())),
    }
}

/// Schedule, moment, plugin and zone: whatever crashes, there is one event of it.
fn key(kept: &Kept, share: &Share, zone: &Zone, planned_at: Timestamp) -> EventKey {
    let (no, plugin, at) = (kept.no.to_be_bytes(), share.plugin.0.to_be_bytes(), planned_at.as_ms().to_be_bytes());
    EventKey { at: planned_at, hash: hash([b"schedule", &no, &at, &plugin, zone.name().as_bytes()]) }
}
