//! Messages to send: converted from the contract, checked by the gate, recorded as an effect.

use super::answer::HostError;
use super::host_state::HostState;
use crate::bindings::latest::outgoing as wit;
use crate::handles::Kind;
use beadle_gate::{Draft, GateVerdict};
use beadle_gatekeeper::Decision;
use beadle_model::content::Location;
use beadle_model::effect::{RefusedAsk, SendEffect, SendOptions};
use beadle_model::outgoing::{Button, Direct, Flow, Header, MediaKind, ProductSection, Row, Section, Source};
use beadle_model::{ConversationView, MessageId, Outgoing, Refusal};
use serde_json::Value;

/// Refusals that are decisions of the person or about them, and no failure of a plugin.
const ABOUT_THE_PERSON: [&str; 9] = [
    "opted-out",
    "marketing-opted-out",
    "marketing-country",
    "not-opted-in",
    "left",
    "banned",
    "quarantined",
    "erased",
    "unreachable",
];

impl HostState {
    /// Records a message and returns its id. A message that the gate defers is accepted: it waits
    /// in the outbox.
    pub(super) fn send(
        &mut self,
        to: &ConversationView,
        mut body: Outgoing,
        reply: bool,
        options: SendOptions,
    ) -> Result<String, HostError> {
        self.check_channel(&to.channel)?;
        self.facts.gatekeeper.choose_language(&mut body, to)?;
        beadle_gate::limits::check(&body)?;
        if let Some(media) = body.media() {
            self.check_file(media)?;
        }
        if let Some(key) = &options.key
            && let Some(before) = self.task.effects.sends.iter().find(|send| send.options.key.as_ref() == Some(key))
        {
            return Err(beadle_gate::already_sent(before.message).into());
        }
        let draft = Draft { reply, ..Draft::with(&body, &options) };
        let decision = self.facts.gatekeeper.ask(&draft, self.facts.no, to, self.inputs.now())?;
        if let GateVerdict::Refused(refusal) | GateVerdict::TemplateNeeded(refusal) = decision.verdict {
            self.task.person_refused |= ABOUT_THE_PERSON.contains(&&*refusal.code);
            self.task.refused.add(RefusedAsk {
                conversation: to.id,
                contact: to.group.is_none().then_some(to.contact.id),
                kind: body.label(),
                purpose: options.purpose,
                code: refusal.code.clone(),
                gate: decision.trace,
            });
            return Err(refusal.into());
        }
        let deferred = decision.is_budgeted || matches!(decision.verdict, GateVerdict::Later { .. });
        // Counted before an id is reserved, so that a flood of messages uses up no ids.
        self.effect(body.json_bytes())?;
        if reply
            && !deferred
            && self.facts.gatekeeper.joins_replies()
            && let Some(message) = self.join_reply(to, &body)
        {
            return Ok(message.to_string());
        }
        let message = if self.task.dry { MessageId(0) } else { (self.facts.reserve)() };
        let Decision { trace: gate, outreach, .. } = decision;
        self.task.effects.sends.push(SendEffect {
            conversation: to.id,
            body,
            message,
            reply,
            options,
            deferred,
            gate,
            outreach,
        });
        Ok(message.to_string())
    }

    /// Appends a text to the text before it, if both are replies in the same conversation and they
    /// fit in one message. Returns the id of that message.
    fn join_reply(&mut self, to: &ConversationView, body: &Outgoing) -> Option<MessageId> {
        let Outgoing::Text { body: text, preview_url, quote: None } = body else { return None };
        let before = self.task.effects.sends.last_mut()?;
        let Outgoing::Text { body: first, preview_url: previews, quote } = &before.body else { return None };
        let is_reply_before = before.reply && !before.deferred && before.conversation == to.id;
        let joined = Outgoing::Text {
            body: format!("{first}\n\n{text}"),
            preview_url: *previews || *preview_url,
            quote: quote.clone(),
        };
        if !is_reply_before || beadle_gate::limits::check(&joined).is_err() {
            return None;
        }
        before.body = joined;
        Some(before.message)
    }

    /// `channels` applies to replies too: a plugin can reply to its own timers at any time.
    pub(super) fn check_channel(&self, channel: &str) -> Result<(), Refusal> {
        let Some(granted) = &self.facts.channels else { return Ok(()) };
        if granted.iter().any(|name| name == channel) {
            return Ok(());
        }
        let name = &self.facts.name;
        let list: Vec<String> =
            granted.iter().map(String::as_str).chain([channel]).map(|name| format!("{name:?}")).collect();
        // The setting is part of the message, because a plugin that gives up reports the message
        // only.
        let setting = format!("`channels = [{}]` in `[plugins.{name}]`", list.join(", "));
        let message = format!("`{name}` may not send on channel `{channel}`; {setting} would allow it.");
        Err(Refusal::new("not-granted", message)
            .instead("Check the conversation's channel before sending, or ask the operator for that setting."))
    }

    /// The platform's id of a message that a plugin names by its handle.
    pub fn platform_id(&self, handle: &str) -> Result<String, Refusal> {
        self.facts.handles.open(Kind::Message, handle).ok_or_else(|| {
            Refusal::new("bad-id", "This is not a handle of a message.")
                .instead("Use the handle of an event (`pm_…`) unchanged.")
        })
    }

    fn quote(&self, handle: Option<String>) -> Result<Option<String>, Refusal> {
        handle.map(|handle| self.platform_id(&handle)).transpose()
    }
}

/// A message of the contract.
pub trait Sendable {
    /// Converts it. Refused if a part of it is invalid (`bad-id`, `bad-json`).
    fn into_outgoing(self, host: &HostState) -> Result<Outgoing, HostError>;
}

/// Parses a plugin's JSON. The length is checked first: parsing takes many times the memory of the
/// text.
pub(super) fn json(name: &str, text: &str) -> Result<Value, Refusal> {
    beadle_gate::limits::check_json(text)?;
    let value = serde_json::from_str(text)
        .map_err(|error| Refusal::new("bad-json", format!("{name} is not JSON: {error}.")))?;
    if depth(&value) > JSON_DEPTH {
        return Err(Refusal::new("bad-json", format!("{name} is nested more than {JSON_DEPTH} levels deep.")));
    }
    Ok(value)
}

/// The platform's deepest message has a dozen levels. A parser gives up at 128, and the outbox
/// wraps the message in a few more.
const JSON_DEPTH: usize = 32;

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

pub(super) fn source(source: wit::Source) -> Result<Source, Refusal> {
    Ok(match source {
        wit::Source::Link(url) => Source::Link(url),
        wit::Source::Media(id) => Source::Media(id.parse().map_err(super::host_state::bad_id)?),
    })
}

fn header(header: Option<wit::Header>) -> Result<Option<Header>, Refusal> {
    let file = |kind, from, filename| Ok(Header::File { kind, source: source(from)?, filename });
    header
        .map(|header| match header {
            wit::Header::Text(text) => Ok(Header::Text(text)),
            wit::Header::Image(from) => file(MediaKind::Image, from, None),
            wit::Header::Video(from) => file(MediaKind::Video, from, None),
            wit::Header::Document(document) => file(MediaKind::Document, document.source, document.filename),
        })
        .transpose()
}

pub(super) fn location(location: wit::Location) -> Location {
    Location {
        latitude: location.latitude,
        longitude: location.longitude,
        name: location.name,
        address: location.address,
    }
}

impl Sendable for wit::Text {
    fn into_outgoing(self, host: &HostState) -> Result<Outgoing, HostError> {
        Ok(Outgoing::Text { body: self.body, preview_url: self.preview_url, quote: host.quote(self.quote)? })
    }
}

impl Sendable for wit::Buttons {
    fn into_outgoing(self, host: &HostState) -> Result<Outgoing, HostError> {
        let button = |button: wit::Button| Button { id: button.id, title: button.title };
        Ok(Outgoing::Buttons {
            header: header(self.header)?,
            body: self.body,
            footer: self.footer,
            buttons: self.buttons.into_iter().map(button).collect(),
            quote: host.quote(self.quote)?,
        })
    }
}

impl Sendable for wit::List {
    fn into_outgoing(self, host: &HostState) -> Result<Outgoing, HostError> {
        let row = |row: wit::Row| Row { id: row.id, title: row.title, description: row.description };
        let section = |section: wit::Section| {
            let rows = section.rows.into_iter().map(row).collect();
            Section { title: section.title, rows }
        };
        Ok(Outgoing::List {
            header: self.header,
            body: self.body,
            footer: self.footer,
            button: self.button,
            sections: self.sections.into_iter().map(section).collect(),
            quote: host.quote(self.quote)?,
        })
    }
}

impl Sendable for wit::MediaMessage {
    fn into_outgoing(self, host: &HostState) -> Result<Outgoing, HostError> {
        let media = match self.kind {
            wit::MediaKind::Image => MediaKind::Image,
            wit::MediaKind::Video => MediaKind::Video,
            wit::MediaKind::Audio => MediaKind::Audio,
            wit::MediaKind::Document => MediaKind::Document,
            wit::MediaKind::Sticker => MediaKind::Sticker,
        };
        Ok(Outgoing::Media {
            media,
            source: source(self.source)?,
            caption: self.caption,
            filename: self.filename,
            voice: self.voice,
            quote: host.quote(self.quote)?,
        })
    }
}

impl Sendable for wit::LocationMessage {
    fn into_outgoing(self, host: &HostState) -> Result<Outgoing, HostError> {
        Ok(Outgoing::Location { location: location(self.location), quote: host.quote(self.quote)? })
    }
}

impl Sendable for wit::ContactsMessage {
    fn into_outgoing(self, host: &HostState) -> Result<Outgoing, HostError> {
        Ok(Outgoing::Contacts { contacts: json("`contacts`", &self.contacts)?, quote: host.quote(self.quote)? })
    }
}

impl Sendable for wit::CtaUrl {
    fn into_outgoing(self, host: &HostState) -> Result<Outgoing, HostError> {
        Ok(Outgoing::CtaUrl {
            header: header(self.header)?,
            body: self.body,
            footer: self.footer,
            title: self.title,
            url: self.url,
            quote: host.quote(self.quote)?,
        })
    }
}

impl Sendable for wit::LocationRequest {
    fn into_outgoing(self, host: &HostState) -> Result<Outgoing, HostError> {
        Ok(Outgoing::LocationRequest { body: self.body, quote: host.quote(self.quote)? })
    }
}

impl Sendable for wit::ContactRequest {
    fn into_outgoing(self, host: &HostState) -> Result<Outgoing, HostError> {
        Ok(Outgoing::ContactRequest { body: self.body, quote: host.quote(self.quote)? })
    }
}

impl Sendable for wit::Flow {
    fn into_outgoing(self, host: &HostState) -> Result<Outgoing, HostError> {
        Ok(Outgoing::Flow(Box::new(Flow {
            header: header(self.header)?,
            body: self.body,
            footer: self.footer,
            flow: self.flow,
            by_name: self.by_name,
            token: self.token,
            button: self.button,
            screen: self.screen,
            data: self.data.map_or(Ok(Value::Null), |data| json("`data`", &data))?,
            draft: self.draft,
            quote: host.quote(self.quote)?,
        })))
    }
}

impl Sendable for wit::Product {
    fn into_outgoing(self, host: &HostState) -> Result<Outgoing, HostError> {
        Ok(Outgoing::Product {
            body: self.body,
            footer: self.footer,
            catalog: self.catalog,
            product: self.product,
            quote: host.quote(self.quote)?,
        })
    }
}

impl Sendable for wit::ProductList {
    fn into_outgoing(self, host: &HostState) -> Result<Outgoing, HostError> {
        let section =
            |section: wit::ProductSection| ProductSection { title: section.title, products: section.products };
        Ok(Outgoing::ProductList {
            header: self.header,
            body: self.body,
            footer: self.footer,
            catalog: self.catalog,
            sections: self.sections.into_iter().map(section).collect(),
            quote: host.quote(self.quote)?,
        })
    }
}

impl Sendable for wit::Catalog {
    fn into_outgoing(self, host: &HostState) -> Result<Outgoing, HostError> {
        let quote = host.quote(self.quote)?;
        Ok(Outgoing::Catalog { body: self.body, footer: self.footer, product: self.product, quote })
    }
}

impl Sendable for wit::Interactive {
    fn into_outgoing(self, host: &HostState) -> Result<Outgoing, HostError> {
        Ok(Outgoing::Interactive { json: json("`json`", &self.json)?, quote: host.quote(self.quote)? })
    }
}

impl Sendable for wit::Direct {
    fn into_outgoing(self, host: &HostState) -> Result<Outgoing, HostError> {
        let message = match self.message {
            wit::DirectMessage::Text(text) => text.into_outgoing(host)?,
            wit::DirectMessage::Buttons(buttons) => buttons.into_outgoing(host)?,
            wit::DirectMessage::CtaUrl(cta_url) => cta_url.into_outgoing(host)?,
            wit::DirectMessage::VoiceCall(wit::VoiceCall { body, title, ttl_minutes }) => {
                Outgoing::VoiceCall { body, title, ttl_minutes }
            }
        };
        let category = self.category.to_ascii_lowercase();
        Ok(Outgoing::Direct(Box::new(Direct { category, template_name: self.template_name, message })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use beadle_gatekeeper::Policy;
    use beadle_store::{Store, StoreConfig};

    fn text(body: &str) -> wit::Text {
        wit::Text { body: body.into(), preview_url: false, quote: None }
    }

    /// What is sent for these replies, if they are to be joined.
    fn sent(replies: impl FnOnce(&mut HostState)) -> Vec<Outgoing> {
        let folder = tempfile::tempdir().unwrap();
        let clock = beadle_clock::Clock::manual(beadle_model::Timestamp(1_795_293_360_123)).0;
        let store = Store::open(StoreConfig::new(folder.path(), clock)).unwrap();
        let host = crate::fuzz::Host::new(store.reader());
        host.facts.gatekeeper.configure(Policy { join_replies: true, ..Policy::default() });
        let mut state = host.handling();
        replies(&mut state);
        state.finish().effects.sends.into_iter().map(|send| send.body).collect()
    }

    #[test]
    fn texts_that_follow_each_other_are_one_message() {
        let bodies = sent(|host| {
            let first = host.reply_with(text("Welcome!")).ok();
            assert_eq!(host.reply_with(text("These are the rules.")).ok(), first);
        });
        let joined =
            Outgoing::Text { body: "Welcome!\n\nThese are the rules.".into(), preview_url: false, quote: None };
        assert_eq!(bodies, [joined]);
    }

    #[test]
    fn json_is_measured_before_it_is_parsed() {
        let code = |text: &str| json("message", text).err().map(|refusal| refusal.code);
        // Neither is JSON. Only the short one is parsed.
        assert_eq!(code("{").as_deref(), Some("bad-json"));
        assert_eq!(code(&"{".repeat(1 << 20)).as_deref(), Some("too-long"));
        assert_eq!(code(&format!("{}{}", "[".repeat(40), "]".repeat(40))).as_deref(), Some("bad-json"));
        assert_eq!(code("{}"), None);
    }

    #[test]
    fn other_messages_long_texts_and_quotes_stay_apart() {
        let long = "x".repeat(4096);
        let bodies = sent(|host| {
            let location = wit::Location { latitude: 1.0, longitude: 1.0, name: None, address: None };
            assert!(host.reply_with(text("Here:")).is_ok());
            assert!(host.reply_with(wit::LocationMessage { location, quote: None }).is_ok());
            assert!(host.reply_with(text("Come!")).is_ok());
            assert!(host.reply_with(text(&long)).is_ok());
            let quote = host.facts.handles.seal(Kind::Message, "wamid.1");
            assert!(host.reply_with(wit::Text { quote: Some(quote.to_string()), ..text("This one.") }).is_ok());
        });
        assert_eq!(bodies.len(), 5);
    }
}
