//! What becomes an event by time, and by a person's hand in a folder.

use super::Host;
use super::world::World;
use crate::{Contact, DocumentsChangedEvent, ScheduleEvent, TimestampMs, WindowClosedEvent, WindowExpiringEvent};

impl Host {
    /// The operator's schedule of this name fires now, as planned, with this payload (JSON).
    pub fn schedule(&self, name: &str, payload: &str) -> ScheduleEvent {
        World::with(|world| {
            world.here = None;
            ScheduleEvent {
                schedule: name.to_owned(),
                planned_at: world.now,
                timezone: "Europe/Amsterdam".to_owned(),
                for_zone: false,
                late_by_ms: 0,
                caught_up: false,
                payload: payload.to_owned(),
                extra: "{}".to_owned(),
                info: world.info(),
            }
        })
    }

    /// The wall clocks of this zone are so many seconds ahead of UTC, all year. Known from the start are UTC and
    /// Europe/Amsterdam (3600: it is January).
    pub fn zone(&self, timezone: &str, ahead_seconds: i32) {
        World::with(|world| world.zones.insert(timezone.to_owned(), ahead_seconds));
    }

    /// When this person's window closes, where it is open.
    pub fn window_closes_at(&self, of: &Contact) -> Option<TimestampMs> {
        World::with(|world| world.conversation(of).window_closes_at)
    }

    /// Turns the clock to so long before this person's window closes. Panics where it is not open any more by then, as a
    /// test should.
    pub fn window_expiring(&self, of: &Contact, lead_ms: u64) -> WindowExpiringEvent {
        World::with(|world| {
            let closes_at = world.conversation(of).window_closes_at;
            assert!(closes_at.is_some(), "the window of {} is not open", of.id);
            let closes_at = closes_at.unwrap_or(world.now);
            world.now = world.now.max(closes_at - i64::try_from(lead_ms).unwrap_or(0));
            WindowExpiringEvent {
                info: world.info(),
                conversation: world.enter(of),
                contact: of.clone(),
                closes_at,
                lead_ms,
                extra: "{}".to_owned(),
            }
        })
    }

    /// Turns the clock to the end of this person's window, or leaves it where that was before.
    pub fn window_closed(&self, of: &Contact) -> WindowClosedEvent {
        World::with(|world| {
            let closed_at = world.windows.get(&of.id).copied().unwrap_or(world.now);
            world.now = world.now.max(closed_at);
            WindowClosedEvent {
                info: world.info(),
                conversation: world.enter(of),
                contact: of.clone(),
                closed_at,
                extra: "{}".to_owned(),
            }
        })
    }

    /// A person puts a document into the plugin's folder, or takes it away (`None`).
    pub fn document(&self, name: &str, text: Option<&str>) -> DocumentsChangedEvent {
        World::with(|world| {
            world.here = None;
            match text {
                Some(text) => world.documents.insert(name.to_owned(), (text.to_owned(), world.now)),
                None => world.documents.remove(name),
            };
            let (changed, removed) = if text.is_some() { (Some(name), None) } else { (None, Some(name)) };
            DocumentsChangedEvent {
                info: world.info(),
                changed: changed.into_iter().map(str::to_owned).collect(),
                removed: removed.into_iter().map(str::to_owned).collect(),
                extra: "{}".to_owned(),
            }
        })
    }
}
