//! The state of the Beadle in memory.

use super::sent::{Requested, Sent};
use crate::bindings::imports::broadcasts::Definition;
use crate::bindings::imports::consents::Entry as ConsentEntry;
use crate::bindings::imports::http::Response;
use crate::bindings::imports::messages::{Allowed, Candidate};
use crate::bindings::imports::requests::Request as DurableRequest;
use crate::migration::{Entry, Page};
use crate::records::TimerEvent;
use crate::types::{Contact, Conversation, EventInfo, Refusal, Scope, TimestampMs};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// The platform's customer service window.
const WINDOW_MS: i64 = 24 * 60 * 60 * 1000;
/// 2026-01-05T09:00:00Z, a Monday morning.
const START_MS: i64 = 1_767_603_600_000;

/// Half of the effects of an event, as in the daemon.
const PAGE_ENTRIES: usize = 50;

/// A timer.
pub(super) struct Timer {
    pub(super) due_at: TimestampMs,
    pub(super) scope: Scope,
    pub(super) payload: Vec<u8>,
    pub(super) set_in: Option<Contact>,
}

/// A value and its expiry.
#[derive(Clone)]
pub(super) struct Value {
    pub(super) bytes: Vec<u8>,
    pub(super) expires_at: Option<TimestampMs>,
}

/// A broadcast of the plugin.
pub(super) struct Broadcast {
    pub(super) definition: Definition,
    pub(super) state: &'static str,
    pub(super) recipients: Vec<String>,
}

pub(super) struct World {
    pub(super) settings: String,
    pub(super) now: TimestampMs,
    pub(super) state: BTreeMap<(String, String), Value>,
    pub(super) timers: BTreeMap<(String, String), Timer>,
    pub(super) people: BTreeMap<String, Contact>,
    /// Phone numbers by contact.
    pub(super) phones: BTreeMap<String, String>,
    /// The ledger: the contact and the entry.
    pub(super) consents: Vec<(String, ConsentEntry)>,
    /// The members by segment.
    pub(super) segments: BTreeMap<String, Vec<String>>,
    pub(super) broadcasts: Vec<Broadcast>,
    pub(super) templates: Vec<Candidate>,
    pub(super) windows: BTreeMap<String, TimestampMs>,
    /// Text and time of the last change, by name.
    pub(super) documents: BTreeMap<String, (String, TimestampMs)>,
    pub(super) sent: Vec<Sent>,
    /// The keys of messages.
    pub(super) keys: BTreeSet<String>,
    pub(super) log: Vec<String>,
    /// Type, name and bytes by id.
    pub(super) files: BTreeMap<String, (String, Option<String>, Vec<u8>)>,
    pub(super) group_changes: Vec<String>,
    /// By method and URL.
    pub(super) responses: BTreeMap<(String, String), Response>,
    pub(super) requests: Vec<Requested>,
    pub(super) durable: Vec<DurableRequest>,
    /// The names of configured secrets.
    pub(super) secrets: BTreeSet<String>,
    /// Offsets from UTC in seconds, by zone.
    pub(super) zones: BTreeMap<String, i32>,
    /// The contact of the event that is being handled.
    pub(super) current: Option<Contact>,
    count: u64,
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::new(World::new());
}

/// A scope as part of a key.
pub(super) fn scope_key(scope: &Scope) -> String {
    match scope {
        Scope::Plugin => String::new(),
        Scope::Contact(id) | Scope::Conversation(id) => id.clone(),
    }
}

impl World {
    pub(super) fn with<T>(run: impl FnOnce(&mut World) -> T) -> T {
        WORLD.with_borrow_mut(run)
    }

    pub(super) fn new() -> Self {
        Self {
            settings: "{}".to_owned(),
            now: START_MS,
            state: BTreeMap::new(),
            timers: BTreeMap::new(),
            people: BTreeMap::new(),
            phones: BTreeMap::new(),
            consents: Vec::new(),
            segments: BTreeMap::new(),
            broadcasts: Vec::new(),
            templates: Vec::new(),
            windows: BTreeMap::new(),
            documents: BTreeMap::new(),
            sent: Vec::new(),
            keys: BTreeSet::new(),
            log: Vec::new(),
            files: BTreeMap::new(),
            group_changes: Vec::new(),
            responses: BTreeMap::new(),
            requests: Vec::new(),
            durable: Vec::new(),
            secrets: BTreeSet::new(),
            zones: [("UTC", 0), ("Europe/Amsterdam", 3600)].map(|(zone, offset)| (zone.to_owned(), offset)).into(),
            current: None,
            count: 0,
        }
    }

    /// The next id of a kind: `kind_0001`, `kind_0002`, …
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
            role: "member".to_owned(),
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

    /// Makes this person's conversation the current one.
    pub(super) fn enter(&mut self, contact: &Contact) -> Conversation {
        self.people.insert(contact.id.clone(), contact.clone());
        self.current = Some(contact.clone());
        self.conversation(contact)
    }

    pub(super) fn conversation(&self, contact: &Contact) -> Conversation {
        Conversation {
            id: contact.id.replacen("con", "cnv", 1),
            channel: "test".to_owned(),
            contact: contact.id.clone(),
            is_group: false,
            window_closes_at: self.windows.get(&contact.id).copied().filter(|closes_at| self.now < *closes_at),
            free_entry_until: None,
        }
    }

    /// What can be sent to a contact.
    pub(super) fn allowed_for(&self, contact: &str) -> Result<Allowed, Refusal> {
        self.may_write(contact, false)?;
        let any_until = self.people.get(contact).and_then(|known| self.conversation(known).window_closes_at);
        Ok(Allowed { any_until: any_until.filter(|until| self.now < *until), templates: self.templates.clone() })
    }

    /// Checks that a message can be sent to a contact: known, not opted out, window open if needed.
    pub(super) fn may_write(&self, contact: &str, needs_window: bool) -> Result<(), Refusal> {
        let Some(known) = self.people.get(contact) else {
            return Err(Refusal::new("unknown-contact", format!("There is no contact {contact}.")));
        };
        if known.opted_out {
            return Err(Refusal::new("opted-out", "They opted out."));
        }
        if needs_window && !self.conversation(known).is_open(self.now) {
            return Err(Refusal::new("window-closed", "The 24-hour window is closed."));
        }
        Ok(())
    }

    /// The last entry of the ledger that decides about a purpose.
    pub(super) fn decision(&self, contact: &str, purpose: &str) -> Option<&ConsentEntry> {
        let about =
            |entry: &ConsentEntry| entry.purpose == purpose || entry.purpose == "service" && entry.act == "withdrawn";
        self.consents
            .iter()
            .rev()
            .filter(|(person, _)| person == contact)
            .map(|(_, entry)| entry)
            .find(|entry| about(entry))
    }

    /// Checks that a contact has agreed to the purpose that a plugin states.
    pub(super) fn has_agreed(&self, contact: &str, purpose: Option<&str>) -> Result<(), Refusal> {
        let Some(purpose) = purpose.filter(|purpose| *purpose != "service") else { return Ok(()) };
        let granted = |entry: &ConsentEntry| entry.act == "granted";
        let covers = purpose.starts_with("marketing:") && self.decision(contact, "marketing").is_some_and(granted);
        match self.decision(contact, purpose).map_or(covers, granted) {
            true => Ok(()),
            false => Err(Refusal::new("not-opted-in", format!("They have not agreed to `{purpose}`."))),
        }
    }

    /// The state as pages of a migration: plugin scope, contacts, conversations.
    pub(super) fn pages(&self, from_version: u32) -> Vec<Page> {
        let mut entries: Vec<Entry> = Vec::new();
        for prefix in ["", "con", "cnv"] {
            let in_scope = self.state.iter().filter(|((scope, _), _)| match prefix {
                "" => scope.is_empty(),
                prefix => scope.starts_with(prefix),
            });
            let alive = in_scope.filter(|(_, value)| value.expires_at.is_none_or(|at| self.now < at));
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
                from_version,
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
        // The contact as it is now, not as it was when the timer was set.
        let contact = timer.set_in.map(|before| self.people.get(&before.id).cloned().unwrap_or(before));
        let conversation = contact.as_ref().map(|contact| self.enter(contact));
        self.current = contact;
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
