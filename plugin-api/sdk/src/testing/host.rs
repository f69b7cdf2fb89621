//! The capabilities in tests, with the signatures of the generated imports, implemented by the
//! [`World`] of this thread.

use super::lengths;
use super::sent::Sent;
use super::world::{Timer, Value, World, scope_key};
use crate::bindings::imports::messages::Destination;
use crate::bindings::imports::outgoing;
use crate::types::{Contact, Refusal, Scope};

type Refusable<T> = Result<T, Refusal>;

pub(crate) mod settings {
    use super::*;
    pub(crate) fn get() -> String {
        World::with(|world| world.settings.clone())
    }
}

pub(crate) mod clock {
    use super::*;
    pub(crate) fn now() -> i64 {
        World::with(|world| world.now)
    }
    pub(crate) fn utc_offset(timezone: &str, _at: i64) -> Refusable<i32> {
        let unknown = || {
            Refusal::new(
                "unknown-zone",
                format!("`{timezone}` is not a time zone of this test; add it with `Host::zone`."),
            )
        };
        World::with(|world| world.zones.get(timezone).copied()).ok_or_else(unknown)
    }
}

pub(crate) mod random {
    use super::*;
    /// The same in every run: splitmix64 of the number of calls.
    pub(crate) fn number() -> u64 {
        let calls = World::with(|world| world.number("")).trim_matches('_').parse::<u64>().unwrap_or(0);
        let z = calls.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub(crate) fn bytes(count: u32) -> Vec<u8> {
        (0..count.min(4096)).map(|_| number() as u8).collect()
    }
}

pub(crate) mod log {
    use super::*;
    pub(crate) use crate::bindings::imports::log::Level;
    pub(crate) fn write(level: Level, line: &str) {
        let name = match level {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        };
        World::with(|world| world.log.push(format!("{name}: {line}")));
    }
}

pub(crate) mod state {
    use super::*;
    use crate::bindings::imports::state::Entry;

    fn check(key: &str, value: &[u8]) -> Refusable<()> {
        if key.is_empty() || key.len() > 256 {
            return Err(Refusal::new("bad-key", "A key must have 1 to 256 bytes."));
        }
        if value.len() > 256 * 1024 {
            return Err(Refusal::new("value-too-large", "A value may have 256 KiB."));
        }
        Ok(())
    }
    fn is_alive(world: &World, value: &Value) -> bool {
        value.expires_at.is_none_or(|expires_at| world.now < expires_at)
    }
    pub(crate) fn get(scope: &Scope, key: &str) -> Refusable<Option<Vec<u8>>> {
        check(key, &[])?;
        Ok(World::with(|world| {
            let value = world.state.get(&(scope_key(scope), key.to_owned()))?;
            is_alive(world, value).then(|| value.bytes.clone())
        }))
    }
    pub(crate) fn set(scope: &Scope, key: &str, value: &[u8], expires_at: Option<i64>) -> Refusable<()> {
        check(key, value)?;
        let value = Value { bytes: value.to_owned(), expires_at };
        World::with(|world| world.state.insert((scope_key(scope), key.to_owned()), value));
        Ok(())
    }
    pub(crate) fn delete(scope: &Scope, key: &str) -> Refusable<()> {
        check(key, &[])?;
        World::with(|world| world.state.remove(&(scope_key(scope), key.to_owned())));
        Ok(())
    }
    pub(crate) fn scan(scope: &Scope, prefix: &str, after: Option<&str>, limit: u32) -> Refusable<Vec<Entry>> {
        let owner = scope_key(scope);
        Ok(World::with(|world| {
            world
                .state
                .iter()
                .filter(|((scope, key), value)| *scope == owner && key.starts_with(prefix) && is_alive(world, value))
                .filter(|((_, key), _)| after.is_none_or(|after| key.as_str() > after))
                .take(limit.min(1000) as usize)
                .map(|((_, key), value)| Entry { key: key.clone(), value: value.bytes.clone() })
                .collect()
        }))
    }
    pub(crate) fn add(scope: &Scope, key: &str, delta: i64) -> Refusable<()> {
        let before = match get(scope, key)? {
            Some(bytes) => String::from_utf8_lossy(&bytes)
                .parse::<i64>()
                .map_err(|_| Refusal::new("not-a-counter", format!("The value of `{key}` is not a number.")))?,
            None => 0,
        };
        set(scope, key, before.saturating_add(delta).to_string().as_bytes(), None)
    }
}

pub(crate) mod timers {
    use super::*;
    pub(crate) fn set(scope: &Scope, key: &str, due_at: i64, payload: &[u8]) -> Refusable<()> {
        if payload.len() > 4096 {
            return Err(Refusal::new("value-too-large", "The payload of a timer may have 4 KiB."));
        }
        World::with(|world| {
            let set_in = world.current.clone();
            let timer = Timer { due_at, scope: scope.clone(), payload: payload.to_owned(), set_in };
            world.timers.insert((scope_key(scope), key.to_owned()), timer)
        });
        Ok(())
    }
    pub(crate) fn move_(scope: &Scope, key: &str, due_at: i64) -> Refusable<()> {
        World::with(|world| {
            if let Some(timer) = world.timers.get_mut(&(scope_key(scope), key.to_owned())) {
                timer.due_at = due_at;
            }
        });
        Ok(())
    }
    pub(crate) fn cancel(scope: &Scope, key: &str) -> Refusable<()> {
        World::with(|world| world.timers.remove(&(scope_key(scope), key.to_owned())));
        Ok(())
    }
}

fn send(to: Option<&Destination>, needs_window: bool, fill: impl FnOnce(&mut Sent)) -> Refusable<String> {
    World::with(|world| {
        let (purpose, key) = to.map(|to| (to.purpose.clone(), to.key.clone())).unwrap_or_default();
        let to = match to {
            Some(destination) => destination.to.clone(),
            None => match &world.current {
                Some(contact) => contact.id.clone(),
                None => return Err(Refusal::new("no-conversation", "This event belongs to no conversation.")),
            },
        };
        world.may_write(&to, needs_window)?;
        world.has_agreed(&to, purpose.as_deref())?;
        if key.is_some_and(|key| !world.keys.insert(key)) {
            return Err(Refusal::new("already-sent", "An earlier message has the same key."));
        }
        let id = world.number("msg");
        let mut sent = Sent {
            id: id.clone(),
            to,
            header: None,
            body: String::new(),
            footer: None,
            buttons: Vec::new(),
            sections: Vec::new(),
            reacts_to: None,
            purpose,
            kind: "text",
        };
        fill(&mut sent);
        world.sent.push(sent);
        Ok(id)
    })
}

/// A message as tests see it: its kind and its text.
trait TestMessage {
    /// Templates and Direct Send can be sent outside the window.
    const NEEDS_WINDOW: bool = true;
    fn check(&self) -> Refusable<()>;
    fn show(&self, sent: &mut Sent);
}

impl TestMessage for outgoing::Text {
    fn check(&self) -> Refusable<()> {
        lengths::text(self)
    }
    fn show(&self, sent: &mut Sent) {
        sent.body.clone_from(&self.body);
    }
}

fn line(header: &Option<outgoing::Header>) -> Option<String> {
    match header {
        Some(outgoing::Header::Text(text)) => Some(text.clone()),
        _ => None,
    }
}

impl TestMessage for outgoing::Buttons {
    fn check(&self) -> Refusable<()> {
        lengths::buttons(self)
    }
    fn show(&self, sent: &mut Sent) {
        sent.kind = "buttons";
        sent.header = line(&self.header);
        sent.body.clone_from(&self.body);
        sent.footer.clone_from(&self.footer);
        sent.buttons.clone_from(&self.buttons);
    }
}

impl TestMessage for outgoing::List {
    fn check(&self) -> Refusable<()> {
        lengths::list(self)
    }
    fn show(&self, sent: &mut Sent) {
        sent.kind = "list";
        sent.header.clone_from(&self.header);
        sent.body.clone_from(&self.body);
        sent.footer.clone_from(&self.footer);
        sent.sections.clone_from(&self.sections);
    }
}

macro_rules! test_messages {
    ($($record:ident, $kind:literal, $most:literal, |$message:ident| $body:expr $(, $window:ident = $needs:literal)?;)*) => {
        $(impl TestMessage for outgoing::$record {
            $(const $window: bool = $needs;)?
            fn check(&self) -> Refusable<()> {
                let $message = self;
                lengths::at_most($kind, &$body, $most)
            }
            fn show(&self, sent: &mut Sent) {
                let $message = self;
                sent.kind = $kind;
                sent.body = $body;
            }
        })*
    };
}

// Only texts are checked here; the daemon checks more.
test_messages! {
    MediaMessage, "media", 1024, |message| message.caption.clone().unwrap_or_default();
    LocationMessage, "location", 1000, |message| message.location.name.clone().unwrap_or_default();
    ContactsMessage, "contacts", 65536, |message| message.contacts.clone();
    CtaUrl, "cta-url", 1024, |message| message.body.clone();
    LocationRequest, "location-request", 1024, |message| message.body.clone();
    ContactRequest, "contact-request", 1024, |message| message.body.clone();
    Flow, "flow", 1024, |message| message.body.clone();
    Product, "product", 1024, |message| message.body.clone().unwrap_or_default();
    ProductList, "product-list", 1024, |message| message.body.clone();
    Catalog, "catalog", 1024, |message| message.body.clone();
    Interactive, "interactive", 65536, |message| message.json.clone();
    Template, "template", 512, |message| message.name.clone(), NEEDS_WINDOW = false;
}

impl TestMessage for outgoing::Direct {
    const NEEDS_WINDOW: bool = false;
    fn check(&self) -> Refusable<()> {
        let is_text = matches!(self.message, outgoing::DirectMessage::Text(_));
        match self.category.as_str() {
            "authentication" if is_text => {}
            "utility" => {}
            _ => {
                return Err(Refusal::new(
                    "bad-message",
                    "Direct Send accepts utility messages, and texts for authentication.",
                ));
            }
        }
        match &self.message {
            outgoing::DirectMessage::Text(text) => text.check(),
            outgoing::DirectMessage::Buttons(buttons) => buttons.check(),
            outgoing::DirectMessage::CtaUrl(link) => link.check(),
            outgoing::DirectMessage::VoiceCall(call) => lengths::at_most("body", &call.body, 1024),
        }
    }
    fn show(&self, sent: &mut Sent) {
        match &self.message {
            outgoing::DirectMessage::Text(text) => text.show(sent),
            outgoing::DirectMessage::Buttons(buttons) => buttons.show(sent),
            outgoing::DirectMessage::CtaUrl(link) => link.show(sent),
            outgoing::DirectMessage::VoiceCall(call) => sent.body.clone_from(&call.body),
        }
        sent.kind = "direct";
    }
}

fn deliver<M: TestMessage>(to: Option<&Destination>, message: &M) -> Refusable<String> {
    message.check()?;
    send(to, M::NEEDS_WINDOW, |sent| message.show(sent))
}

/// The functions of `replies` and `messages` for each kind of message.
macro_rules! senders {
    ($($send:ident: $record:ident;)*) => {
        pub(crate) mod replies {
            use super::*;
            $(pub(crate) fn $send(message: &outgoing::$record) -> Refusable<String> {
                deliver(None, message)
            })*
            pub(crate) fn react(to: &str, emoji: &str) -> Refusable<String> {
                send(None, true, |sent| {
                    sent.kind = "reaction";
                    emoji.clone_into(&mut sent.body);
                    sent.reacts_to = Some(to.to_owned());
                })
            }
            pub(crate) fn show_typing(_to: &str) -> Refusable<()> {
                Ok(())
            }
            pub(crate) fn mark_read(_message: &str) -> Refusable<()> {
                Ok(())
            }
        }

        pub(crate) mod messages {
            use super::*;
            pub(crate) use crate::bindings::imports::messages::Allowed;
            $(pub(crate) fn $send(to: &Destination, message: &outgoing::$record) -> Refusable<String> {
                deliver(Some(to), message)
            })*
            pub(crate) fn allowed_for(to: &str, _channel: Option<&str>) -> Refusable<Allowed> {
                World::with(|world| world.allowed_for(to))
            }
            pub(crate) fn send_direct(to: &Destination, message: &outgoing::Direct) -> Refusable<String> {
                deliver(Some(to), message)
            }
        }
    };
}

senders! {
    send_text: Text;
    send_buttons: Buttons;
    send_list: List;
    send_media: MediaMessage;
    send_location: LocationMessage;
    send_contacts: ContactsMessage;
    send_cta_url: CtaUrl;
    send_location_request: LocationRequest;
    send_contact_request: ContactRequest;
    send_flow: Flow;
    send_product: Product;
    send_product_list: ProductList;
    send_catalog: Catalog;
    send_interactive: Interactive;
    send_template: Template;
}

pub(crate) mod contacts {
    use super::*;
    use crate::bindings::imports::contacts::ContactPage;
    pub(crate) fn get(id: &str) -> Refusable<Option<Contact>> {
        Ok(World::with(|world| world.people.get(id).cloned()))
    }
    pub(crate) fn with_role(role: &str) -> Refusable<Vec<Contact>> {
        if role == "member" {
            return Err(Refusal::new("bad-role", "Members are everyone else: use `page`."));
        }
        Ok(World::with(|world| world.people.values().filter(|contact| contact.role == role).cloned().collect()))
    }
    pub(crate) fn page(after: Option<&str>, limit: u32) -> Refusable<ContactPage> {
        World::with(|world| {
            let mut rest =
                world.people.values().filter(|contact| after.is_none_or(|after| contact.id.as_str() > after));
            let contacts: Vec<Contact> = rest.by_ref().take(limit.min(500) as usize).cloned().collect();
            let next = rest.next().and(contacts.last()).map(|contact| contact.id.clone());
            Ok(ContactPage { contacts, next })
        })
    }
}

pub(crate) mod documents {
    use super::*;
    use crate::bindings::imports::documents::Document;
    pub(crate) fn list() -> Refusable<Vec<Document>> {
        let document = |(name, (text, seen_at)): (&String, &(String, i64))| Document {
            name: name.clone(),
            size: text.len() as u32,
            seen_at: *seen_at,
        };
        Ok(World::with(|world| world.documents.iter().map(document).collect()))
    }
    pub(crate) fn read(name: &str) -> Refusable<Option<String>> {
        Ok(World::with(|world| world.documents.get(name).map(|(text, _)| text.clone())))
    }
}
