//! What the small Beadle knows.

use super::Sent;
use crate::migration::{Entry, Page};
use crate::{Contact, Conversation, EventInfo, Refusal, Scope, TimerEvent, TimestampMs};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// A customer service window, as WhatsApp has it.
const WINDOW_MS: i64 = 24 * 60 * 60 * 1000;
/// 2026-01-05T09:00:00Z, a Monday morning.
const BEGINNING_MS: i64 = 1_767_603_600_000;

/// Half of the effects that an event has, as in Beadle.
const PAGE_ENTRIES: usize = 50;

/// A timer as it was set.
pub(super) struct Timer {
    pub(super) due_at: TimestampMs,
    pub(super) scope: Scope,
    pub(super) payload: Vec<u8>,
    pub(super) set_in: Option<Contact>,
}

/// A value and when it is gone.
#[derive(Clone)]
pub(super) struct Value {
    pub(super) bytes: Vec<u8>,
    pub(super) expires_at: Option<TimestampMs>,
}

pub(super) struct World {
    pub(super) settings: String,
    pub(super) now: TimestampMs,
    pub(super) state: BTreeMap<(String, String), Value>,
    pub(super) timers: BTreeMap<(String, String), Timer>,
    pub(super) people: BTreeMap<String, Contact>,
    pub(super) windows: BTreeMap<String, TimestampMs>,
    /// By name: text, and when it was put there.
    pub(super) documents: BTreeMap<String, (String, TimestampMs)>,
    pub(super) sent: Vec<Sent>,
    pub(super) log: Vec<String>,
    /// Type, name and bytes, by id.
    pub(super) files: BTreeMap<String, (String, Option<String>, Vec<u8>)>,
    pub(super) group_changes: Vec<String>,
    /// Seconds ahead of UTC, by zone.
    pub(super) zones: BTreeMap<String, i32>,
    /// Who the event is about that is being handled.
    pub(super) here: Option<Contact>,
    count: u64,
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::new(World::new());
}

/// A scope as a key that can be ordered.
pub(super) fn scope_key(scope: &Scope) -> String {
    match scope {
        Scope::Plugin => String::new(),
        Scope::Contact(id) | Scope::Conversation(id) => id.clone(),
    }
}

impl World {
    pub(super) fn with<T>(look: impl FnOnce(&mut World) -> T) -> T {
        WORLD.with_borrow_mut(look)
    }

    pub(super) fn new() -> Self {
        Self {
            settings: "{}".to_owned(),
            now: BEGINNING_MS,
            state: BTreeMap::new(),
            timers: BTreeMap::new(),
            people: BTreeMap::new(),
            windows: BTreeMap::new(),
            documents: BTreeMap::new(),
            sent: Vec::new(),
            log: Vec::new(),
            files: BTreeMap::new(),
            group_changes: Vec::new(),
            zones: [("UTC", 0), ("Europe/Amsterdam", 3600)].map(|(zone, ahead)| (zone.to_owned(), ahead)).into(),
            here: None,
            count: 0,
        }
    }

    /// `kind_0001`, `kind_0002`, …: in the order they were made.
    pub(super) fn number(&mut self, kind: &str) -> String {
        self.count += 1;
        format!("{kind}_{:04}", self.count)
    }

    pub(super) fn person(&mut self, name: &str) -> Contact {
        let contact = Contact {
            id: self.number("con"),
            name: Some(name.to_owned()),
            language: None,
            timezone: None,
            member: false,
            opted_out: false,
            tags: Vec::new(),
            attributes: "{}".to_owned(),
            extra: "{}".to_owned(),
        };
        self.people.insert(contact.id.clone(), contact.clone());
        contact
    }

    pub(super) fn open_window(&mut self, contact: &str) {
        self.windows.insert(contact.to_owned(), self.now + WINDOW_MS);
    }

    pub(super) fn info(&mut self) -> EventInfo {
        EventInfo {
            id: self.number("evt"),
            happened_at: self.now,
            received_at: self.now,
            attempt: 1,
            late: false,
            ending: None,
            extra: "{}".to_owned(),
        }
    }

    /// An event of this person is handled from now on.
    pub(super) fn enter(&mut self, contact: &Contact) -> Conversation {
        self.people.insert(contact.id.clone(), contact.clone());
        self.here = Some(contact.clone());
        self.conversation(contact)
    }

    pub(super) fn conversation(&self, contact: &Contact) -> Conversation {
        Conversation {
            id: contact.id.replacen("con", "cnv", 1),
            channel: "test".to_owned(),
            contact: contact.id.clone(),
            group: None,
            window_closes_at: self.windows.get(&contact.id).copied().filter(|closes_at| self.now < *closes_at),
            free_entry_until: None,
        }
    }

    /// Whether this contact may be written to: known, not opted out, and in the window where that is needed.
    pub(super) fn may_write(&self, contact: &str, needs_window: bool) -> Result<(), Refusal> {
        let Some(known) = self.people.get(contact) else {
            return Err(Refusal::new("unknown-contact", format!("There is no contact {contact}.")));
        };
        if known.opted_out {
            return Err(Refusal::new("opted-out", "They said STOP."));
        }
        if needs_window && !self.conversation(known).is_open(self.now) {
            return Err(Refusal::new("window-closed", "They wrote more than 24 hours ago, or never."));
        }
        Ok(())
    }

    /// The state in the pages in which it is brought over: the plugin's own values first, then people's, then conversations'.
    pub(super) fn pages(&self, from: u32) -> Vec<Page> {
        let mut entries: Vec<Entry> = Vec::new();
        for prefix in ["", "con", "cnv"] {
            let those = self.state.iter().filter(|((scope, _), _)| match prefix {
                "" => scope.is_empty(),
                prefix => scope.starts_with(prefix),
            });
            let alive = those.filter(|(_, value)| value.expires_at.is_none_or(|at| self.now < at));
            entries.extend(alive.map(|((scope, key), value)| Entry {
                scope: match prefix {
                    "" => Scope::Plugin,
                    "con" => Scope::Contact(scope.clone()),
                    _ => Scope::Conversation(scope.clone()),
                },
                key: key.clone(),
                value: value.bytes.clone(),
                expires_at: value.expires_at,
            }));
        }
        let mut pages: Vec<Page> = (0..)
            .zip(entries.chunks(PAGE_ENTRIES))
            .map(|(number, entries)| Page {
                from,
                number,
                entries: entries.to_vec(),
                last: false,
                extra: "{}".to_owned(),
            })
            .collect();
        if let Some(page) = pages.last_mut() {
            page.last = true;
        }
        pages
    }

    pub(super) fn next_timer_at(&self) -> Option<TimestampMs> {
        self.timers.values().map(|timer| timer.due_at).min()
    }

    pub(super) fn next_timer(&mut self) -> Option<TimerEvent> {
        let name = self.timers.iter().min_by_key(|(_, timer)| timer.due_at).map(|(name, _)| name.clone())?;
        let timer = self.timers.remove(&name)?;
        self.now = self.now.max(timer.due_at);
        // As they are now, not as they were when the timer was set.
        let here = timer.set_in.map(|was| self.people.get(&was.id).cloned().unwrap_or(was));
        let conversation = here.as_ref().map(|contact| self.enter(contact));
        self.here = here;
        Some(TimerEvent {
            info: self.info(),
            conversation,
            scope: timer.scope,
            key: name.1,
            due_at: timer.due_at,
            payload: timer.payload,
            extra: "{}".to_owned(),
        })
    }
}
