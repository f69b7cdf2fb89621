//! The host's functions with arbitrary arguments, for fuzzing. No part of the interface.
//!
//! A guest can pass anything that the types of the contract allow. Each input becomes a series of
//! such calls during one event. Whatever they are, no call panics, the effects stay under their
//! limits, and every message that was accepted can be read back from the store.

use crate::bindings::latest::types::Scope;
use crate::bindings::latest::{messages, outgoing as wit};
use crate::call::Level;
use crate::handles::{Handles, Kind};
use crate::host::{Facts, HostError, HostState, StateSlot};
use crate::limits::{self, Limits};
use beadle_gatekeeper::{Gatekeeper, Policy};
use beadle_model::{
    Alias, AliasKind, Contact, ContactId, Content, ConversationId, ConversationView, Event, EventBody, EventId,
    EventKind, MessageId, Outgoing, PluginNo, StateNo, Timestamp,
};
use beadle_segments::{Definitions, Segments};
use beadle_store::Reader;
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// The time of all calls.
const NOW: Timestamp = Timestamp(1_795_293_360_123);

/// A host's side of an instance without a guest.
pub struct Host {
    pub(crate) facts: Arc<Facts>,
    event: Arc<Event>,
    /// A handle that this host made.
    handle: String,
}

impl Host {
    /// Reads from this store, in which nothing needs to exist.
    pub fn new(reader: Reader) -> Self {
        let handles = Arc::new(Handles::new(&[7; 32]));
        let facts = Facts {
            name: "fuzzed".into(),
            no: PluginNo(1),
            state: StateSlot::new(StateNo(1)),
            settings: "{}".into(),
            limits: Limits { media_mib: 1, ..Limits::default() },
            hostcall_bytes: limits::HOSTCALL_BYTES,
            metadata_bytes: 0,
            channels: None,
            subscriptions: EventKind::ALL.into_iter().collect(),
            host_key: [7; 32],
            handles: Arc::clone(&handles),
            gatekeeper: Gatekeeper::new(reader.clone(), Policy::default()),
            segments: Segments::new(reader.clone(), Definitions::default()),
            reader,
            egress: None,
            permits: Arc::new(Semaphore::new(1)),
            waiting: Arc::new(Semaphore::new(1)),
            reserve: Arc::new(|| MessageId(1)),
            people: Arc::default(),
        };
        let handle = handles.seal(Kind::Message, "wamid.1");
        Self { facts: Arc::new(facts), event: Arc::new(event()), handle }
    }

    /// The state while the event is handled.
    pub(crate) fn handling(&self) -> HostState {
        let mut host = HostState::new(Arc::clone(&self.facts));
        host.prepare(EventId(1), NOW);
        host.task.dry = true;
        host.begin(Arc::clone(&self.event));
        host
    }

    /// Makes the calls that these bytes stand for.
    pub fn run(&self, data: &[u8]) {
        let mut host = self.handling();
        let mut from = Source { bytes: data, handle: &self.handle };
        while !from.bytes.is_empty() && from.call(&mut host) {}
        let task = host.finish();
        let effects = task.effects;
        let count = effects.count();
        assert!(count <= self.facts.limits.effects as usize, "{count} effects");
        let log_bytes: usize = task.log.iter().map(|line| line.text.len()).sum();
        // A character that is replaced may grow to three bytes, and a sentence says what was
        // dropped.
        assert!(log_bytes <= 3 * self.facts.limits.log_bytes() + 1024, "{log_bytes} bytes of log");
        let mut bytes = 0;
        for send in &effects.sends {
            let text = serde_json::to_string(&send.body).unwrap_or_default();
            // Not compared: a number may be read back as its neighbour.
            assert!(serde_json::from_str::<Outgoing>(&text).is_ok(), "not readable: {text}");
            bytes += text.len();
        }
        assert!(bytes <= limits::EFFECT_BYTES, "{bytes} bytes of messages");
    }
}

/// An event in a conversation whose window is open.
fn event() -> Event {
    let contact = Contact {
        id: ContactId(3),
        name: None,
        language: None,
        timezone: None,
        created_at: NOW,
        member_since: Some(NOW),
        opted_out_since: None,
        marketing_stopped_since: None,
        profile: None,
    };
    let conversation = ConversationView {
        id: ConversationId(9),
        channel: "shop".into(),
        contact,
        group: None,
        address: Some(Alias { kind: AliasKind::WaId, value: "31612345678".into() }),
        window_until: Some(NOW.plus_ms(3_600_000)),
        free_entry_until: None,
    };
    let body = EventBody::Message {
        message: "wamid.1".into(),
        content: Content::Text("ping".into()),
        context: None,
        referral: None,
        keyword: None,
        addressed: None,
        extra: Value::Null,
    };
    Event { id: EventId(1), happened_at: NOW, received_at: NOW, conversation: Some(Arc::new(conversation)), body }
}

/// Values made of bytes. What is missing is zero or empty.
struct Source<'a> {
    bytes: &'a [u8],
    handle: &'a str,
}

impl Source<'_> {
    fn byte(&mut self) -> u8 {
        match self.bytes.split_first() {
            Some((first, rest)) => {
                self.bytes = rest;
                *first
            }
            None => 0,
        }
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let (taken, rest) = self.bytes.split_at(count.min(self.bytes.len()));
        self.bytes = rest;
        taken.to_vec()
    }

    /// A text of the bytes, a long one, or one that is nearly valid for something.
    fn text(&mut self) -> String {
        match self.byte() {
            0 => String::new(),
            1 => self.handle.to_owned(),
            2 => format!("con_{}", self.byte()),
            3 => format!("cnv_{}", self.byte()),
            4 => format!("med_{}", self.byte()),
            5 => "x".repeat(1 << (self.byte() % 21)),
            6 => {
                let depth = usize::from(self.byte());
                format!("{}1{}", "[".repeat(depth), "]".repeat(depth))
            }
            7 => format!(r#"{{"type":"{}","a":{}}}"#, char::from(self.byte()), self.byte()),
            8 => format!("https://{}", self.byte()),
            9 => "utility".into(),
            length => {
                let bytes = self.take(usize::from(length));
                String::from_utf8_lossy(&bytes).into_owned()
            }
        }
    }

    fn maybe<T>(&mut self, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.byte() % 2 == 1).then(|| value(self))
    }

    fn list<T>(&mut self, mut value: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let length = self.byte();
        (0..length).map(|_| value(self)).collect()
    }

    fn optional_text(&mut self) -> Option<String> {
        self.maybe(Self::text)
    }

    fn number(&mut self) -> i64 {
        i64::from_le_bytes(self.array())
    }

    fn scope(&mut self) -> Scope {
        match self.byte() % 3 {
            0 => Scope::Plugin,
            1 => Scope::Contact(self.text()),
            _ => Scope::Conversation(self.text()),
        }
    }

    fn file(&mut self) -> wit::Source {
        if self.byte().is_multiple_of(2) { wit::Source::Link(self.text()) } else { wit::Source::Media(self.text()) }
    }

    fn header(&mut self) -> Option<wit::Header> {
        self.maybe(|from| match from.byte() % 3 {
            0 => wit::Header::Text(from.text()),
            1 => wit::Header::Image(from.file()),
            _ => wit::Header::Document(wit::File { source: from.file(), filename: from.optional_text() }),
        })
    }

    fn location(&mut self) -> wit::Location {
        let (latitude, longitude) = (f64::from_le_bytes(self.array()), f64::from_le_bytes(self.array()));
        wit::Location { latitude, longitude, name: self.optional_text(), address: self.optional_text() }
    }

    fn buttons(&mut self) -> wit::Buttons {
        wit::Buttons {
            header: self.header(),
            body: self.text(),
            footer: self.optional_text(),
            buttons: self.list(|from| wit::Button { id: from.text(), title: from.text() }),
            quote: self.optional_text(),
        }
    }

    fn parameter(&mut self) -> wit::Parameter {
        let name = self.optional_text();
        let value = match self.byte() % 4 {
            0 => wit::ParameterValue::Text(self.text()),
            1 => wit::ParameterValue::Currency(wit::Money {
                fallback: self.text(),
                code: self.text(),
                amount1000: self.number(),
            }),
            2 => wit::ParameterValue::DateTime(self.text()),
            _ => wit::ParameterValue::Group(self.text()),
        };
        wit::Parameter { name, value }
    }

    fn template(&mut self) -> wit::Template {
        let header = |from: &mut Self| match from.byte() % 3 {
            0 => wit::TemplateHeader::Text(from.parameter()),
            1 => wit::TemplateHeader::Image(from.file()),
            _ => wit::TemplateHeader::Location(from.location()),
        };
        let button = |from: &mut Self| wit::TemplateButton {
            index: u32::from(from.byte()),
            action: match from.byte() % 4 {
                0 => wit::TemplateAction::Reply(from.text()),
                1 => wit::TemplateAction::Url(from.text()),
                2 => wit::TemplateAction::CopyCode(from.text()),
                _ => wit::TemplateAction::Other(wit::OtherAction { kind: from.text(), json: from.text() }),
            },
        };
        wit::Template {
            name: self.text(),
            language: self.text(),
            category: self.optional_text(),
            topic: self.optional_text(),
            header: self.maybe(header),
            body: self.list(Self::parameter),
            buttons: self.list(button),
            cards: vec![],
            quote: self.optional_text(),
        }
    }

    /// Makes one call. Returns false if it ended the event.
    fn call(&mut self, host: &mut HostState) -> bool {
        let ended = match self.byte() % 18 {
            0 => {
                let message = wit::Text { body: self.text(), preview_url: false, quote: self.optional_text() };
                host.reply_with(message).map(drop)
            }
            1 => host.reply_with(self.buttons()).map(drop),
            2 => {
                let row = |from: &mut Self| wit::Row {
                    id: from.text(),
                    title: from.text(),
                    description: from.optional_text(),
                };
                let message = wit::List {
                    header: self.optional_text(),
                    body: self.text(),
                    footer: self.optional_text(),
                    button: self.text(),
                    sections: self.list(|from| wit::Section { title: from.optional_text(), rows: from.list(row) }),
                    quote: self.optional_text(),
                };
                host.reply_with(message).map(drop)
            }
            3 => {
                let message = wit::MediaMessage {
                    kind: wit::MediaKind::Document,
                    source: self.file(),
                    caption: self.optional_text(),
                    filename: self.optional_text(),
                    voice: self.byte() % 2 == 1,
                    quote: self.optional_text(),
                };
                host.reply_with(message).map(drop)
            }
            4 => host.reply_with(wit::LocationMessage { location: self.location(), quote: None }).map(drop),
            5 => host.reply_with(wit::ContactsMessage { contacts: self.text(), quote: None }).map(drop),
            6 => host.reply_with(wit::Interactive { json: self.text(), quote: self.optional_text() }).map(drop),
            7 => {
                let message = wit::Flow {
                    header: self.header(),
                    body: self.text(),
                    footer: self.optional_text(),
                    flow: self.text(),
                    by_name: true,
                    token: self.text(),
                    button: self.text(),
                    screen: self.optional_text(),
                    data: self.optional_text(),
                    draft: false,
                    quote: self.optional_text(),
                };
                host.reply_with(message).map(drop)
            }
            8 => host.reply_with(self.template()).map(drop),
            9 => {
                let message = match self.byte() % 2 {
                    0 => wit::DirectMessage::Buttons(self.buttons()),
                    _ => wit::DirectMessage::VoiceCall(wit::VoiceCall {
                        body: self.text(),
                        title: self.text(),
                        ttl_minutes: u32::from_le_bytes(self.array()),
                    }),
                };
                let direct = wit::Direct { category: self.text(), template_name: self.optional_text(), message };
                let to = messages::Destination {
                    to: self.text(),
                    channel: self.optional_text(),
                    purpose: self.optional_text(),
                    key: self.optional_text(),
                };
                host.send_to(to, direct).map(drop)
            }
            10 => {
                let to = host.platform_id(&self.text());
                let emoji = self.text();
                to.map_err(Into::into).and_then(|to| host.reply(Outgoing::Reaction { to, emoji })).map(drop)
            }
            11 => host.get_state(self.scope(), self.text()).map(drop),
            12 => {
                let (scope, key, value) = (self.scope(), self.text(), self.text().into_bytes());
                let expires_at = self.maybe(Self::number).map(Timestamp);
                host.set_state(scope, key, value, expires_at)
            }
            13 => host.add_state(self.scope(), self.text(), self.number()),
            14 => {
                let (scope, prefix, after) = (self.scope(), self.text(), self.optional_text());
                host.scan_state(scope, &prefix, after, u32::from(self.byte())).map(drop)
            }
            15 => host.set_timer(self.scope(), self.text(), self.number(), self.text().into_bytes()),
            16 => host.create_file(self.text(), self.optional_text(), self.text().as_bytes()).map(drop),
            _ => {
                host.write_line(Level::Info, self.text());
                Ok(())
            }
        };
        !matches!(ended, Err(HostError::Stopped(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use beadle_clock::Clock;
    use beadle_store::{Store, StoreConfig};

    #[test]
    fn arbitrary_calls_stay_under_the_limits_and_what_is_sent_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(StoreConfig::new(folder.path(), Clock::manual(NOW).0)).unwrap();
        let host = Host::new(store.reader());
        // A linear congruential generator: the same in every run.
        let mut random = 20_261_129_u64;
        for round in 0..3000 {
            let bytes: Vec<u8> = (0..round % 400)
                .map(|_| {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    // Small numbers are more interesting: kinds, short lists, special texts.
                    let byte = (random >> 40) as u8;
                    if random >> 63 == 0 { byte % 19 } else { byte }
                })
                .collect();
            host.run(&bytes);
        }
    }

    #[test]
    fn numbers_and_depths_that_json_cannot_express_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(StoreConfig::new(folder.path(), Clock::manual(NOW).0)).unwrap();
        let fuzzed = Host::new(store.reader());
        let mut host = fuzzed.handling();
        let code = |refused: Result<String, HostError>| match refused {
            Err(HostError::Refused(refusal)) => refusal.code.to_string(),
            _ => panic!("accepted"),
        };
        for number in [f64::NAN, f64::INFINITY] {
            let at = wit::Location { latitude: number, longitude: 0.0, name: None, address: None };
            let template = wit::Template {
                name: "greeting".into(),
                language: "en".into(),
                category: None,
                topic: None,
                header: Some(wit::TemplateHeader::Location(at)),
                body: vec![],
                buttons: vec![],
                cards: vec![],
                quote: None,
            };
            assert_eq!(code(host.reply_with(template)), "bad-message");
        }
        let json = format!("{{\"type\":{}1{}}}", "[".repeat(126), "]".repeat(126));
        assert_eq!(code(host.reply_with(wit::Interactive { json, quote: None })), "bad-json");
        assert!(host.task.effects.sends.is_empty());
    }
}
