//! What `replies` and `messages` share: a message becomes an effect, once the gate has looked at it.

use super::{HostState, No};
use crate::abi::latest::outgoing as wit;
use beadle_gate::{Draft, Facts, Verdict};
use beadle_model::content::Location;
use beadle_model::effect::SendEffect;
use beadle_model::outgoing::{Button, Direct, Flow, Header, MediaKind, ProductSection, Row, Section, Source};
use beadle_model::{ConversationView, MessageId, Outgoing, Refusal};
use serde_json::Value;

impl HostState {
    /// Writes a send down and returns the id that it will have. The gate's "later" is no "no": it will wait its turn.
    pub(super) fn send(&mut self, to: &ConversationView, body: Outgoing, reply: bool) -> Result<String, No> {
        self.may_send_through(&to.channel)?;
        beadle_gate::limits::check(&body)?;
        if let Some(media) = body.media() {
            self.may_use(media)?;
        }
        let facts = Facts { conversation: to, now: self.senses.now() };
        if let Verdict::Refused(refusal) = beadle_gate::check(&Draft { body: &body, host: false }, &facts) {
            return Err(refusal.into());
        }
        // Looked at before an id is taken: a flood is to use up none.
        self.effect()?;
        let message = if self.task.dry { MessageId(0) } else { (self.facts.reserve)() };
        self.effect()?.sends.push(SendEffect { conversation: to.id, body, message, reply });
        Ok(message.to_string())
    }

    /// Answers too: an answer to a timer is written first by any other name.
    fn may_send_through(&self, channel: &str) -> Result<(), Refusal> {
        let Some(granted) = &self.facts.channels else { return Ok(()) };
        if granted.iter().any(|name| name == channel) {
            return Ok(());
        }
        let name = &self.facts.name;
        let list: Vec<String> =
            granted.iter().map(String::as_str).chain([channel]).map(|it| format!("{it:?}")).collect();
        // The line stands in the message and not beside it: what a plugin gives up with tells the message alone.
        let line = format!("`channels = [{}]` in `[plugins.{name}]`", list.join(", "));
        let what = format!("`{name}` may not send through channel `{channel}`; {line} would let it.");
        Err(Refusal::new("not-granted", what)
            .instead("Look at the conversation's channel before you send, or ask the operator for that line."))
    }
}

/// A message of the contract as ours; refused where a part of it is not what it says (`bad-id`, `bad-json`).
pub(super) trait Sendable {
    fn outgoing(self) -> Result<Outgoing, Refusal>;
}

/// A JSON text of a plugin.
pub(super) fn json(what: &str, text: &str) -> Result<Value, Refusal> {
    serde_json::from_str(text).map_err(|error| Refusal::new("bad-json", format!("{what} is not JSON: {error}.")))
}

pub(super) fn source(source: wit::Source) -> Result<Source, Refusal> {
    Ok(match source {
        wit::Source::Link(url) => Source::Link(url),
        wit::Source::Media(id) => Source::Media(id.parse().map_err(super::bad_id)?),
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

pub(super) fn location(from: wit::Location) -> Location {
    Location { latitude: from.latitude, longitude: from.longitude, name: from.name, address: from.address }
}

impl Sendable for wit::Text {
    fn outgoing(self) -> Result<Outgoing, Refusal> {
        Ok(Outgoing::Text { body: self.body, preview_url: self.preview_url, quote: self.quote })
    }
}

impl Sendable for wit::Buttons {
    fn outgoing(self) -> Result<Outgoing, Refusal> {
        let message = self;
        let buttons = message.buttons.into_iter().map(|button| Button { id: button.id, title: button.title }).collect();
        Ok(Outgoing::Buttons {
            header: header(message.header)?,
            body: message.body,
            footer: message.footer,
            buttons,
            quote: message.quote,
        })
    }
}

impl Sendable for wit::List {
    fn outgoing(self) -> Result<Outgoing, Refusal> {
        let message = self;
        let row = |row: wit::Row| Row { id: row.id, title: row.title, description: row.description };
        let section = |section: wit::Section| {
            let rows = section.rows.into_iter().map(row).collect();
            Section { title: section.title, rows }
        };
        Ok(Outgoing::List {
            header: message.header,
            body: message.body,
            footer: message.footer,
            button: message.button,
            sections: message.sections.into_iter().map(section).collect(),
            quote: message.quote,
        })
    }
}

impl Sendable for wit::MediaMessage {
    fn outgoing(self) -> Result<Outgoing, Refusal> {
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
            quote: self.quote,
        })
    }
}

impl Sendable for wit::LocationMessage {
    fn outgoing(self) -> Result<Outgoing, Refusal> {
        Ok(Outgoing::Location { location: location(self.location), quote: self.quote })
    }
}

impl Sendable for wit::ContactsMessage {
    fn outgoing(self) -> Result<Outgoing, Refusal> {
        Ok(Outgoing::Contacts { contacts: json("`contacts`", &self.contacts)?, quote: self.quote })
    }
}

impl Sendable for wit::CtaUrl {
    fn outgoing(self) -> Result<Outgoing, Refusal> {
        Ok(Outgoing::CtaUrl {
            header: header(self.header)?,
            body: self.body,
            footer: self.footer,
            title: self.title,
            url: self.url,
            quote: self.quote,
        })
    }
}

impl Sendable for wit::LocationRequest {
    fn outgoing(self) -> Result<Outgoing, Refusal> {
        Ok(Outgoing::LocationRequest { body: self.body, quote: self.quote })
    }
}

impl Sendable for wit::ContactRequest {
    fn outgoing(self) -> Result<Outgoing, Refusal> {
        Ok(Outgoing::ContactRequest { body: self.body, quote: self.quote })
    }
}

impl Sendable for wit::Flow {
    fn outgoing(self) -> Result<Outgoing, Refusal> {
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
            quote: self.quote,
        })))
    }
}

impl Sendable for wit::Product {
    fn outgoing(self) -> Result<Outgoing, Refusal> {
        Ok(Outgoing::Product {
            body: self.body,
            footer: self.footer,
            catalog: self.catalog,
            product: self.product,
            quote: self.quote,
        })
    }
}

impl Sendable for wit::ProductList {
    fn outgoing(self) -> Result<Outgoing, Refusal> {
        let section =
            |section: wit::ProductSection| ProductSection { title: section.title, products: section.products };
        Ok(Outgoing::ProductList {
            header: self.header,
            body: self.body,
            footer: self.footer,
            catalog: self.catalog,
            sections: self.sections.into_iter().map(section).collect(),
            quote: self.quote,
        })
    }
}

impl Sendable for wit::Catalog {
    fn outgoing(self) -> Result<Outgoing, Refusal> {
        Ok(Outgoing::Catalog { body: self.body, footer: self.footer, product: self.product, quote: self.quote })
    }
}

impl Sendable for wit::Interactive {
    fn outgoing(self) -> Result<Outgoing, Refusal> {
        Ok(Outgoing::Interactive { json: json("`json`", &self.json)?, quote: self.quote })
    }
}

impl Sendable for wit::Direct {
    fn outgoing(self) -> Result<Outgoing, Refusal> {
        let message = match self.message {
            wit::DirectMessage::Text(text) => text.outgoing()?,
            wit::DirectMessage::Buttons(buttons) => buttons.outgoing()?,
            wit::DirectMessage::CtaUrl(link) => link.outgoing()?,
            wit::DirectMessage::VoiceCall(wit::VoiceCall { body, title, ttl_minutes }) => {
                Outgoing::VoiceCall { body, title, ttl_minutes }
            }
        };
        let category = self.category.to_ascii_lowercase();
        Ok(Outgoing::Direct(Box::new(Direct { category, template_name: self.template_name, message })))
    }
}
