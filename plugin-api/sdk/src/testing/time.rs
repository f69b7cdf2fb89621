//! Events of schedules, windows and documents.

use super::Host;
use super::world::World;
use crate::records::{DocumentsChangedEvent, ScheduleEvent, WindowClosedEvent, WindowExpiringEvent};
use crate::types::{Contact, TimestampMs};

impl Host {
    /// A schedule fires now, as planned, with a payload in JSON.
    pub fn schedule(&self, name: &str, payload: &str) -> ScheduleEvent {
        World::with(|world| {
            world.current = None;
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

    /// Defines a time zone with a constant offset from UTC. UTC and Europe/Amsterdam (3600, as in
    /// January) are predefined.
    pub fn zone(&self, timezone: &str, offset_seconds: i32) {
        World::with(|world| world.zones.insert(timezone.to_owned(), offset_seconds));
    }

    /// The end of a person's window, if it is open.
    pub fn window_closes_at(&self, contact: &Contact) -> Option<TimestampMs> {
        World::with(|world| world.conversation(contact).window_closes_at)
    }

    /// Advances the clock to the lead time before the end of a person's window.
    ///
    /// # Panics
    /// If the window is not open.
    pub fn window_expiring(&self, contact: &Contact, lead_ms: u64) -> WindowExpiringEvent {
        World::with(|world| {
            let closes_at = world.conversation(contact).window_closes_at;
            assert!(closes_at.is_some(), "the window of {} is not open", contact.id);
            let closes_at = closes_at.unwrap_or(world.now);
            world.now = world.now.max(closes_at - i64::try_from(lead_ms).unwrap_or(0));
            WindowExpiringEvent {
                info: world.info(),
                conversation: world.enter(contact),
                contact: contact.clone(),
                closes_at,
                lead_ms,
                extra: "{}".to_owned(),
            }
        })
    }

    /// Advances the clock to the end of a person's window, unless that has passed.
    pub fn window_closed(&self, contact: &Contact) -> WindowClosedEvent {
        World::with(|world| {
            let closed_at = world.windows.get(&contact.id).copied().unwrap_or(world.now);
            world.now = world.now.max(closed_at);
            WindowClosedEvent {
                info: world.info(),
                conversation: world.enter(contact),
                contact: contact.clone(),
                closed_at,
                extra: "{}".to_owned(),
            }
        })
    }

    /// Adds or changes a document in the plugin's folder, or removes it (`None`).
    pub fn document(&self, name: &str, text: Option<&str>) -> DocumentsChangedEvent {
        World::with(|world| {
            world.current = None;
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
