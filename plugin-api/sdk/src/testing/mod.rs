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
//! It keeps what a plugin can feel: windows that open with a message and close 24 hours later, who left, WhatsApp's
//! lengths, state that expires, timers in order, a clock that stands still until it is turned. What it is not: the
//! daemon. Effects are done at once, a handler that fails leaves what it did, and nothing is granted or counted.
//!
//! Every thread has one, so that tests may run side by side; [`Host::new`] begins it anew.

pub(crate) mod files;
pub(crate) mod host;
mod lengths;
#[cfg(test)]
mod tests;
mod time;
mod world;

use crate::bindings::imports::outgoing::{Button, Section};
use crate::migration::{Migration, Next};
use crate::{
    Choice, Contact, ContactId, Content, Context, Failure, MemberJoinedEvent, MemberLeftEvent, MessageEvent, MessageId,
    TimerEvent, TimestampMs,
};
use std::marker::PhantomData;
use std::time::Duration;
use world::World;

/// The Beadle of this thread.
#[derive(Debug)]
pub struct Host {
    /// It belongs to its thread.
    here: PhantomData<*const ()>,
}

/// What a plugin sent. It equals a `&str` that is its body.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    /// The id that the plugin was told.
    pub id: MessageId,
    /// To whom.
    pub to: ContactId,
    /// The line above.
    pub header: Option<String>,
    /// The text; of a reaction the emoji.
    pub body: String,
    /// The small line below.
    pub footer: Option<String>,
    /// What can be tapped.
    pub buttons: Vec<Button>,
    /// What can be chosen.
    pub sections: Vec<Section>,
    /// Reacts to this message.
    pub reacts_to: Option<String>,
    /// `text`, `buttons`, `list`, `media`, `template`, `reaction`, …
    pub kind: &'static str,
}

impl PartialEq<&str> for Sent {
    fn eq(&self, body: &&str) -> bool {
        self.body == *body
    }
}

impl Host {
    /// Begins anew: nobody known, nothing kept, 2026-01-05T09:00:00Z.
    #[expect(clippy::new_without_default, reason = "it is not made but begun: the world is the thread's")]
    pub fn new() -> Self {
        World::with(|world| *world = World::new());
        Self { here: PhantomData }
    }

    /// What the plugin's [`settings`](crate::settings) will be, as a JSON object.
    pub fn settings(&self, json: &str) {
        World::with(|world| world.settings = json.to_owned());
    }

    /// What the clock shows.
    pub fn now(&self) -> TimestampMs {
        World::with(|world| world.now)
    }

    /// Time goes by.
    pub fn wait(&self, time: Duration) {
        World::with(|world| world.now += i64::try_from(time.as_millis()).unwrap_or(0));
    }

    /// Someone Beadle knows: no member yet, without a window. Change the contact as the test needs and hand it to the
    /// events; what [`contacts`](crate::contacts) tells is what the last event told.
    pub fn person(&self, name: &str) -> Contact {
        World::with(|world| world.person(name))
    }

    /// They write this; their window is open for 24 hours from now.
    pub fn text(&self, from: &Contact, text: &str) -> MessageEvent {
        self.message(from, Content::Text(text.to_owned()))
    }

    /// They tap the button of this title in a message; a button that is not there is made up, with its title as id.
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

    /// They send this; their window is open for 24 hours from now.
    pub fn message(&self, from: &Contact, content: Content) -> MessageEvent {
        World::with(|world| {
            world.open_window(&from.id);
            MessageEvent {
                info: world.info(),
                conversation: world.enter(from),
                sender: from.clone(),
                message: world.number("wamid.test"),
                content,
                context: None,
                referral: None,
                extra: "{}".to_owned(),
            }
        })
    }

    /// They join: `first-message` opens a window, other reasons do not.
    pub fn joins(&self, member: &Contact, reason: &str, again: bool) -> MemberJoinedEvent {
        World::with(|world| {
            if reason == "first-message" {
                world.open_window(&member.id);
            }
            MemberJoinedEvent {
                info: world.info(),
                conversation: world.enter(member),
                member: Contact { member: true, opted_out: false, ..member.clone() },
                reason: reason.to_owned(),
                again,
                extra: "{}".to_owned(),
            }
        })
    }

    /// They leave; after `stop` they may not be written to.
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

    /// Turns the clock to the next timer, or leaves it where the timer was due already; none where none is set.
    pub fn next_timer(&self) -> Option<TimerEvent> {
        World::with(World::next_timer)
    }

    /// When the next timer is due.
    pub fn next_timer_at(&self) -> Option<TimestampMs> {
        World::with(|world| world.next_timer_at())
    }

    /// What was sent since this was asked last.
    pub fn sent(&self) -> Vec<Sent> {
        World::with(|world| std::mem::take(&mut world.sent))
    }

    /// What was asked of groups since this was asked last: `create shop Potters`, `answer GROUP REQUEST true`, ….
    pub fn group_changes(&self) -> Vec<String> {
        World::with(|world| std::mem::take(&mut world.group_changes))
    }

    /// Brings the state over, as Beadle does: what is kept now is of version `from`. Where it fails all is as it was.
    pub fn migrate(&self, plugin: &impl Migration, from: u32) -> Result<(), Failure> {
        let before = World::with(|world| world.state.clone());
        let pages = World::with(|world| world.pages(from));
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

    /// A file that came with a message; its id, for [`Content::Image`] and the like.
    pub fn file(&self, mime_type: &str, bytes: &[u8]) -> crate::MediaId {
        World::with(|world| {
            let id = world.number("med");
            world.files.insert(id.clone(), (mime_type.to_owned(), None, bytes.to_owned()));
            id
        })
    }

    /// What was logged since this was asked last, as `level: line`.
    pub fn logged(&self) -> Vec<String> {
        World::with(|world| std::mem::take(&mut world.log))
    }
}
