//! What is sent: the messages of `outgoing` in the plugin contract, and the effects of `groups`.
//!
//! Serialised as JSON, these are the bodies that the outbox keeps: a name here is a name on disk,
//! so once a version is released, add names and do not rename any. Changes of a group are included
//! because they need the same handling: durable, sent once, repeated with care, and reported.

mod group;
mod parts;
mod template;

pub use group::GroupChange;
pub use parts::{Button, Flow, Header, MediaKind, ProductSection, Row, Section, Source};
pub use template::{Parameter, ParameterValue, Template, TemplateAction, TemplateButton, TemplateCard, TemplateHeader};

use crate::content::Location;
use crate::id::MediaId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io;

/// Something to send.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Outgoing {
    /// A text.
    Text {
        /// 1 to 4096 characters.
        body: String,
        /// Whether to show a preview of the first link.
        #[serde(default)]
        preview_url: bool,
        /// The platform id of the message to quote.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quote: Option<String>,
    },
    /// A text with up to three reply buttons.
    Buttons {
        /// A text or file above the text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        header: Option<Header>,
        /// 1 to 1024 characters.
        body: String,
        /// A line below the text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        footer: Option<String>,
        /// 1 to 3.
        buttons: Vec<Button>,
        /// The platform id of the message to quote.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quote: Option<String>,
    },
    /// A text with a list to choose from.
    List {
        /// A line above the text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        header: Option<String>,
        /// 1 to 4096 characters.
        body: String,
        /// A line below the text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        footer: Option<String>,
        /// The title of the button that opens the list.
        button: String,
        /// 1 to 10.
        sections: Vec<Section>,
        /// The platform id of the message to quote.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quote: Option<String>,
    },
    /// A file.
    Media {
        /// Its kind.
        media: MediaKind,
        /// Where its bytes are.
        source: Source,
        /// At most 1024 characters; not for audio and stickers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        caption: Option<String>,
        /// A document's file name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        filename: Option<String>,
        /// Whether to show audio as a voice message.
        #[serde(default)]
        voice: bool,
        /// The platform id of the message to quote.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quote: Option<String>,
    },
    /// A location.
    Location {
        /// The location.
        location: Location,
        /// The platform id of the message to quote.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quote: Option<String>,
    },
    /// Contact cards, as the platform's JSON array.
    Contacts {
        /// At least one.
        contacts: Value,
        /// The platform id of the message to quote.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quote: Option<String>,
    },
    /// A text with a button that opens a web address.
    CtaUrl {
        /// A text or file above the text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        header: Option<Header>,
        /// 1 to 1024 characters.
        body: String,
        /// A line below the text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        footer: Option<String>,
        /// 1 to 20 characters.
        title: String,
        /// The address.
        url: String,
        /// The platform id of the message to quote.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quote: Option<String>,
    },
    /// A text with a button that shares the reader's location; the answer is a location.
    LocationRequest {
        /// 1 to 1024 characters.
        body: String,
        /// The platform id of the message to quote.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quote: Option<String>,
    },
    /// A text with a button that shares the reader's phone number; the answer is a contact card.
    ContactRequest {
        /// 1 to 1024 characters.
        body: String,
        /// The platform id of the message to quote.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quote: Option<String>,
    },
    /// A flow.
    Flow(Box<Flow>),
    /// A product.
    Product {
        /// At most 1024 characters.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<String>,
        /// A line below the text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        footer: Option<String>,
        /// The catalogue's id.
        catalog: String,
        /// The shop's id of the product.
        product: String,
        /// The platform id of the message to quote.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quote: Option<String>,
    },
    /// A list of products.
    ProductList {
        /// 1 to 60 characters.
        header: String,
        /// 1 to 1024 characters.
        body: String,
        /// A line below the text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        footer: Option<String>,
        /// The catalogue's id.
        catalog: String,
        /// 1 to 10, with at most 30 products in total.
        sections: Vec<ProductSection>,
        /// The platform id of the message to quote.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quote: Option<String>,
    },
    /// The whole catalogue.
    Catalog {
        /// 1 to 1024 characters.
        body: String,
        /// A line below the text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        footer: Option<String>,
        /// The shop's id of the product whose image is shown.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        product: Option<String>,
        /// The platform id of the message to quote.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quote: Option<String>,
    },
    /// Another kind of interactive message (a carousel, an address, an order), as the platform's
    /// JSON.
    Interactive {
        /// The platform's `interactive` object.
        json: Value,
        /// The platform id of the message to quote.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quote: Option<String>,
    },
    /// An approved template.
    Template(Box<Template>),
    /// A message by Direct Send, for which the platform creates a template.
    Direct(Box<Direct>),
    /// A text with a button to call the business; only in [`Outgoing::Direct`].
    VoiceCall {
        /// 1 to 1024 characters.
        body: String,
        /// 1 to 20 characters.
        title: String,
        /// How long the button works, 1 to 43,200 minutes (30 days).
        ttl_minutes: u32,
    },
    /// Pins a message in a group, or unpins it.
    Pin {
        /// The platform id of the message.
        message: String,
        /// For 1 to 30 days; `None` unpins it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        days: Option<u32>,
    },
    /// A change of a group. Not a message.
    Group(GroupChange),
    /// A reaction; an empty emoji removes it.
    Reaction {
        /// The platform id of the message reacted to.
        to: String,
        /// One emoji, or nothing.
        emoji: String,
    },
    /// A read mark.
    MarkRead {
        /// The platform id of the message.
        message: String,
    },
    /// A typing indicator, which also marks the message as read.
    Typing {
        /// The platform id of the message being answered.
        to: String,
    },
}

/// What to do with an ambiguous send (`docs/design.md#sending`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepeatPolicy {
    /// Repeat it: a second time changes nothing (read marks, reactions).
    Safe,
    /// Drop it: too late to be useful (typing indicators).
    Never,
    /// A person might see it twice, so the operator's `on_ambiguous` decides.
    Configured,
}

/// Counts what is written.
struct ByteCounter(usize);

impl io::Write for ByteCounter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Outgoing {
    /// Its size as JSON, for bounds on what is in memory.
    pub fn json_bytes(&self) -> usize {
        let mut counter = ByteCounter(0);
        // It can be written: its parts are checked when it is made.
        let _ = serde_json::to_writer(&mut counter, self);
        counter.0
    }

    /// What kind of message it is, without its content: `text`, `template NAME`, `direct CATEGORY`.
    pub fn label(&self) -> String {
        let kind = match self {
            Outgoing::Template(template) => return format!("template {}", template.name),
            Outgoing::Direct(direct) => return format!("direct {}", direct.category),
            Outgoing::Media { media, .. } => media.name(),
            Outgoing::Text { .. } => "text",
            Outgoing::Buttons { .. } => "buttons",
            Outgoing::List { .. } => "list",
            Outgoing::Location { .. } => "location",
            Outgoing::Contacts { .. } => "contacts",
            Outgoing::CtaUrl { .. } => "cta-url",
            Outgoing::LocationRequest { .. } => "location-request",
            Outgoing::ContactRequest { .. } => "contact-request",
            Outgoing::Flow(_) => "flow",
            Outgoing::Product { .. } => "product",
            Outgoing::ProductList { .. } => "product-list",
            Outgoing::Catalog { .. } => "catalog",
            Outgoing::Interactive { .. } => "interactive",
            Outgoing::VoiceCall { .. } => "voice-call",
            Outgoing::Reaction { .. } => "reaction",
            Outgoing::MarkRead { .. } => "mark-read",
            Outgoing::Typing { .. } => "typing",
            Outgoing::Pin { .. } => "pin",
            Outgoing::Group(_) => "group",
        };
        kind.into()
    }

    /// What to do if the send is ambiguous.
    pub fn repeat_policy(&self) -> RepeatPolicy {
        match self {
            Outgoing::Reaction { .. } | Outgoing::MarkRead { .. } | Outgoing::Pin { .. } => RepeatPolicy::Safe,
            // Creating a group or resetting its link twice has an effect; repeating other changes
            // has none.
            Outgoing::Group(GroupChange::Create { .. } | GroupChange::InviteLink { reset: true }) => {
                RepeatPolicy::Configured
            }
            Outgoing::Group(_) => RepeatPolicy::Safe,
            Outgoing::Typing { .. } => RepeatPolicy::Never,
            _ => RepeatPolicy::Configured,
        }
    }

    /// Whether it is a message in the conversation: ordered, paced, and with receipts.
    pub fn is_message(&self) -> bool {
        !matches!(
            self,
            Outgoing::Reaction { .. }
                | Outgoing::MarkRead { .. }
                | Outgoing::Typing { .. }
                | Outgoing::Pin { .. }
                | Outgoing::Group(_)
        )
    }

    /// Whether the business writes first with it: what can be sent without an open window.
    pub fn is_outreach(&self) -> bool {
        matches!(self, Outgoing::Template(_) | Outgoing::Direct(_))
    }

    /// Whether it asks the other side to tap, choose, fill in or share something.
    pub fn is_question(&self) -> bool {
        matches!(
            self,
            Outgoing::Buttons { .. }
                | Outgoing::List { .. }
                | Outgoing::LocationRequest { .. }
                | Outgoing::ContactRequest { .. }
                | Outgoing::Flow(_)
        )
    }

    /// Whether to retry it after a temporary refusal; read marks and typing indicators are not
    /// worth it.
    pub fn is_retryable(&self) -> bool {
        self.is_message() || matches!(self, Outgoing::Group(_) | Outgoing::Pin { .. })
    }

    /// The platform id of the message that it quotes.
    pub fn quote(&self) -> Option<&str> {
        match self {
            Outgoing::Text { quote, .. }
            | Outgoing::Buttons { quote, .. }
            | Outgoing::List { quote, .. }
            | Outgoing::Media { quote, .. }
            | Outgoing::Location { quote, .. }
            | Outgoing::Contacts { quote, .. }
            | Outgoing::CtaUrl { quote, .. }
            | Outgoing::LocationRequest { quote, .. }
            | Outgoing::ContactRequest { quote, .. }
            | Outgoing::Product { quote, .. }
            | Outgoing::ProductList { quote, .. }
            | Outgoing::Catalog { quote, .. }
            | Outgoing::Interactive { quote, .. } => quote.as_deref(),
            Outgoing::Flow(flow) => flow.quote.as_deref(),
            Outgoing::Template(template) => template.quote.as_deref(),
            Outgoing::Direct(direct) => direct.message.quote(),
            Outgoing::VoiceCall { .. }
            | Outgoing::Pin { .. }
            | Outgoing::Group(_)
            | Outgoing::Reaction { .. }
            | Outgoing::MarkRead { .. }
            | Outgoing::Typing { .. } => None,
        }
    }

    /// The file that must be uploaded before it is sent.
    pub fn media(&self) -> Option<MediaId> {
        let uploaded = |source: &Source| match source {
            Source::Media(media) => Some(*media),
            Source::Link(_) => None,
        };
        let above = |header: &Option<Header>| match header {
            Some(Header::File { source, .. }) => uploaded(source),
            _ => None,
        };
        match self {
            Outgoing::Media { source, .. } => uploaded(source),
            Outgoing::Buttons { header, .. } | Outgoing::CtaUrl { header, .. } => above(header),
            Outgoing::Flow(flow) => above(&flow.header),
            Outgoing::Template(template) => match &template.header {
                Some(TemplateHeader::File { source, .. }) => uploaded(source),
                _ => None,
            },
            Outgoing::Group(GroupChange::Picture { media }) => Some(*media),
            Outgoing::Direct(direct) => direct.message.media(),
            _ => None,
        }
    }
}

/// A message with a category, for accounts with Direct Send (`docs/whatsapp.md#direct-send`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Direct {
    /// `utility` or `authentication`. Service messages need no category; marketing needs a
    /// template.
    pub category: String,
    /// The name under which the platform counts it; otherwise the platform chooses one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_name: Option<String>,
    /// A text, reply buttons, a web address button or a call button.
    pub message: Outgoing,
}
