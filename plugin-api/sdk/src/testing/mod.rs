//! A small Beadle in memory, for `cargo test`.
//!
//! ```
//! use beadle_plugin::{prelude::*, testing::Host};
//! # #[derive(Default)] struct Echo;
//! # impl OnMessage for Echo {
//! #     fn on_message(&self, event: MessageEvent) -> Result<Disposition, Failure> {
//! #         let Some(text) = event.text() else { return Ok(Disposition::Pass) };
//! #         event.reply(text)?;
//! #         Ok(Disposition::Claimed)
//! #     }
//! # }
//!
//! let host = Host::new();
//! let ana = host.person("Ana");
//! assert_eq!(Echo.on_message(host.text(&ana, "Hi")), Ok(Disposition::Claimed));
//! assert_eq!(host.sent(), ["Hi"]);
//! ```
//!
//! It simulates what a plugin can observe: 24-hour windows, opt-outs, WhatsApp's lengths, expiring
//! state, timers in order, and a clock that moves only when the test moves it. It differs from the
//! daemon: effects are carried out at once, a handler that fails leaves its effects, nothing has to
//! be granted, and only lengths are limited.
//!
//! Every thread has its own, so that tests can run in parallel; [`Host::new`] resets it.

pub(crate) mod broadcasting;
pub(crate) mod files;
pub(crate) mod host;
mod lengths;
pub(crate) mod outside;
pub(crate) mod people;
mod sent;
#[cfg(test)]
mod tests;
mod time;
mod world;

use crate::migration::{Migration, Next};
use crate::privacy::{Person, Privacy};
use crate::records::{MemberJoinedEvent, MemberLeftEvent, MessageEvent, TimerEvent};
use crate::types::{Choice, Contact, Content, Context, Failure, MediaId, TimestampMs};
pub use sent::{Requested, Sent};
use std::marker::PhantomData;
use std::time::Duration;
use world::World;

/// The Beadle in memory of this thread.
#[derive(Debug)]
pub struct Host {
    /// Not `Send`: the state belongs to the thread.
    not_send: PhantomData<*const ()>,
}

impl Host {
    /// Resets everything: no contacts, no state, 2026-01-05T09:00:00Z.
    #[expect(clippy::new_without_default, reason = "it resets state of the thread")]
    pub fn new() -> Self {
        World::with(|world| *world = World::new());
        Self { not_send: PhantomData }
    }

    /// Sets the plugin's [`settings`](crate::settings), a JSON object.
    pub fn settings(&self, json: &str) {
        World::with(|world| world.settings = json.to_owned());
    }

    /// The time.
    pub fn now(&self) -> TimestampMs {
        World::with(|world| world.now)
    }

    /// Defines a segment, or a list as `list:NAME`, with these members.
    pub fn segment(&self, name: &str, members: &[&Contact]) {
        let members = members.iter().map(|member| member.id.clone()).collect();
        World::with(|world| world.segments.insert(name.to_owned(), members));
    }

    /// Advances the clock.
    pub fn wait(&self, time: Duration) {
        World::with(|world| world.now += i64::try_from(time.as_millis()).unwrap_or(0));
    }

    /// Creates a contact that is not a member and has no open window. Change it as needed and pass
    /// it to events; [`contacts`](crate::contacts) returns contacts as they were in their last
    /// event.
    pub fn person(&self, name: &str) -> Contact {
        World::with(|world| world.person(name))
    }

    /// Sets the phone number of a contact, for [`crate::contacts_identity`]: digits with country
    /// code.
    pub fn phone(&self, contact: &Contact, number: &str) {
        World::with(|world| world.phones.insert(contact.id.clone(), number.to_owned()));
    }

    /// A contact as [`Privacy`] gets it.
    pub fn ids(&self, contact: &Contact) -> Person {
        let conversation = World::with(|world| world.conversation(contact).id);
        Person { contact: contact.id.clone(), merged: Vec::new(), conversations: vec![conversation] }
    }

    /// Erases a contact as the daemon does: the plugin first, then its state and timers of the
    /// contact and the conversation, then the contact. If the plugin fails, the contact stays.
    pub fn erase(&self, plugin: &impl Privacy, contact: &Contact) -> Result<(), Failure> {
        let person = self.ids(contact);
        let scopes: Vec<String> = person.conversations.iter().cloned().chain([contact.id.clone()]).collect();
        plugin.erase_contact(person)?;
        World::with(|world| {
            world.state.retain(|(scope, _), _| !scopes.contains(scope));
            world.timers.retain(|(scope, _), _| !scopes.contains(scope));
            world.consents.retain(|(person, _)| *person != contact.id);
            world.phones.remove(&contact.id);
            world.people.remove(&contact.id);
            world.windows.remove(&contact.id);
        });
        Ok(())
    }

    /// A contact sends a text, which opens their window for 24 hours.
    pub fn text(&self, from: &Contact, text: &str) -> MessageEvent {
        self.message(from, Content::Text(text.to_owned()))
    }

    /// A contact taps a button of a message. If there is no button with this title, the title is
    /// used as its id.
    pub fn tap(&self, from: &Contact, message: &Sent, title: &str) -> MessageEvent {
        let id = message.buttons.iter().find(|button| button.title == title).map_or(title, |button| &button.id);
        let choice = Choice { id: id.to_owned(), title: title.to_owned(), description: None };
        let mut event = self.message(from, Content::Button(choice));
        event.context = Some(Context {
            quoted: None,
            quoted_message: Some(message.id.clone()),
            forwarded: false,
            frequently_forwarded: false,
            extra: "{}".to_owned(),
        });
        event
    }

    /// A contact sends a message, which opens their window for 24 hours.
    pub fn message(&self, from: &Contact, content: Content) -> MessageEvent {
        World::with(|world| {
            world.open_window(&from.id);
            MessageEvent {
                info: world.info(),
                conversation: world.enter(from),
                sender: from.clone(),
                message: world.number("pm"),
                content,
                context: None,
                referral: None,
                extra: "{}".to_owned(),
            }
        })
    }

    /// A contact joins. The reason `first-message` opens their window, others do not.
    pub fn joins(&self, member: &Contact, reason: &str, rejoined: bool) -> MemberJoinedEvent {
        World::with(|world| {
            if reason == "first-message" {
                world.open_window(&member.id);
            }
            MemberJoinedEvent {
                info: world.info(),
                conversation: world.enter(member),
                member: Contact { member: true, opted_out: false, ..member.clone() },
                reason: reason.to_owned(),
                rejoined,
                extra: "{}".to_owned(),
            }
        })
    }

    /// A contact leaves. After the reason `stop` no messages can be sent to them.
    pub fn leaves(&self, member: &Contact, reason: &str) -> MemberLeftEvent {
        let gone = Contact { member: false, opted_out: reason == "stop", ..member.clone() };
        World::with(|world| MemberLeftEvent {
            info: world.info(),
            conversation: world.enter(&gone),
            member: gone,
            reason: reason.to_owned(),
            extra: "{}".to_owned(),
        })
    }

    /// Delivers the next timer, and advances the clock to it. None if no timer is set.
    pub fn next_timer(&self) -> Option<TimerEvent> {
        World::with(World::next_timer)
    }

    /// The time of the next timer.
    pub fn next_timer_at(&self) -> Option<TimestampMs> {
        World::with(|world| world.next_timer_at())
    }

    /// Adds a template that can be sent to everyone, for [`crate::messages::allowed_for`].
    pub fn template(&self, name: &str, language: &str, category: &str, parameters: &[&str]) {
        let candidate = crate::bindings::imports::messages::Candidate {
            name: name.to_owned(),
            language: language.to_owned(),
            category: category.to_owned(),
            parameters: parameters.iter().map(|&name| name.to_owned()).collect(),
        };
        World::with(|world| world.templates.push(candidate));
    }

    /// Messages sent since the last call.
    pub fn sent(&self) -> Vec<Sent> {
        World::with(|world| std::mem::take(&mut world.sent))
    }

    /// The definitions of the plugin's broadcasts, in the order of their creation.
    pub fn broadcasts(&self) -> Vec<crate::bindings::imports::broadcasts::Definition> {
        World::with(|world| world.broadcasts.iter().map(|broadcast| broadcast.definition.clone()).collect())
    }

    /// Changes of groups requested since the last call: `create shop Potters`,
    /// `answer GROUP REQUEST true`, …
    pub fn group_changes(&self) -> Vec<String> {
        World::with(|world| std::mem::take(&mut world.group_changes))
    }

    /// Migrates the state from `from_version` as the daemon does. If a page fails, the state is
    /// unchanged.
    pub fn migrate(&self, plugin: &impl Migration, from_version: u32) -> Result<(), Failure> {
        let before = World::with(|world| world.state.clone());
        let pages = World::with(|world| world.pages(from_version));
        for page in pages {
            match plugin.migrate(page) {
                Ok(Next::More) => {}
                Ok(Next::Done) => break,
                Err(failure) => {
                    World::with(|world| world.state = before);
                    return Err(failure);
                }
            }
        }
        Ok(())
    }

    /// Adds a received file and returns its id, for [`Content::Image`] and similar.
    pub fn file(&self, mime_type: &str, bytes: &[u8]) -> MediaId {
        World::with(|world| {
            let id = world.number("med");
            world.files.insert(id.clone(), (mime_type.to_owned(), None, bytes.to_owned()));
            id
        })
    }

    /// Lines logged since the last call, as `level: line`.
    pub fn logged(&self) -> Vec<String> {
        World::with(|world| std::mem::take(&mut world.log))
    }
}
