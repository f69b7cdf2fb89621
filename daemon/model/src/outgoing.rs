//! What is to leave the machine: the Rust face of `outgoing` and of the effects of `groups` in the plugin contract.
//!
//! Serialised as JSON these are the bodies that the outbox keeps, so a name here is a name on disk: add, do not rename.
//! A change of a group is one of them too, since it wants the same: to be durable, sent once, repeated with care, and told.

mod direct;
mod group;
mod parts;
mod template;

pub use direct::Direct;
pub use group::GroupChange;
pub use parts::{Button, Flow, Header, MediaKind, ProductSection, Row, Section, Source};
pub use template::{Parameter, ParameterValue, Template, TemplateAction, TemplateButton, TemplateHeader};

use crate::MediaId;
use crate::content::Location;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Something that is to leave the machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Outgoing {
    /// A text.
    Text {
        /// 1 to 4096 characters.
        body: String,
        /// Show a preview of the first link.
        #[serde(default)]
        preview_url: bool,
        /// The platform id of the message to quote.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quote: Option<String>,
    },
    /// Up to three buttons.
    Buttons {
        /// A line or a picture above.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        header: Option<Header>,
        /// 1 to 1024 characters.
        body: String,
        /// A line below.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        footer: Option<String>,
        /// 1 to 3.
        buttons: Vec<Button>,
        /// The platform id of the message to quote.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quote: Option<String>,
    },
    /// A list to choose from.
    List {
        /// A line above.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        header: Option<String>,
        /// 1 to 4096 characters.
        body: String,
        /// A line below.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        footer: Option<String>,
        /// What opens the list.
        button: String,
        /// 1 to 10.
        sections: Vec<Section>,
        /// The platform id of the message to quote.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quote: Option<String>,
    },
    /// A file.
    Media {
        /// What kind.
        media: MediaKind,
        /// Where it is.
        source: Source,
        /// 1024 characters at most; not with sound and stickers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        caption: Option<String>,
        /// A document's name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        filename: Option<String>,
        /// Sound that is shown as a voice message.
        #[serde(default)]
        voice: bool,
        /// The platform id of the message to quote.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quote: Option<String>,
    },
    /// A place on the map.
    Location {
        /// Where.
        location: Location,
        /// The platform id of the message to quote.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quote: Option<String>,
    },
    /// Contact cards, as the platform's array.
    Contacts {
        /// At least one.
        contacts: Value,
        /// The platform id of the message to quote.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quote: Option<String>,
    },
    /// A text with a button that opens an address.
    CtaUrl {
        /// Above.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        header: Option<Header>,
        /// 1 to 1024 characters.
        body: String,
        /// Below.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        footer: Option<String>,
        /// 1 to 20 characters.
        title: String,
        /// What it opens.
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
    /// A form.
    Flow(Box<Flow>),
    /// One product.
    Product {
        /// 1024 characters at most.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<String>,
        /// Below.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        footer: Option<String>,
        /// The catalogue's id.
        catalog: String,
        /// The shop's own id.
        product: String,
        /// The platform id of the message to quote.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quote: Option<String>,
    },
    /// Several products.
    ProductList {
        /// 1 to 60 characters.
        header: String,
        /// 1 to 1024 characters.
        body: String,
        /// Below.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        footer: Option<String>,
        /// The catalogue's id.
        catalog: String,
        /// 1 to 10, with 30 products in all.
        sections: Vec<ProductSection>,
        /// The platform id of the message to quote.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quote: Option<String>,
    },
    /// The whole catalogue.
    Catalog {
        /// 1 to 1024 characters.
        body: String,
        /// Below.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        footer: Option<String>,
        /// Whose picture is shown: the shop's own id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        product: Option<String>,
        /// The platform id of the message to quote.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quote: Option<String>,
    },
    /// An interactive message of another kind (a carousel, an address, an order), as the platform writes it.
    Interactive {
        /// The platform's `interactive` object.
        json: Value,
        /// The platform id of the message to quote.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quote: Option<String>,
    },
    /// A message that the platform approved beforehand.
    Template(Box<Template>),
    /// One that the platform makes a template of by itself.
    Direct(Box<Direct>),
    /// A text with a button by which they call the business; only in [`Outgoing::Direct`].
    VoiceCall {
        /// 1 to 1024 characters.
        body: String,
        /// 1 to 20 characters.
        title: String,
        /// How long it can be tapped, 1 to 43,200 (30 days).
        ttl_minutes: u32,
    },
    /// Pins a message in a group, or takes the pin out.
    Pin {
        /// The platform id.
        message: String,
        /// For so many days, 1 to 30; none: takes it out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        days: Option<u32>,
    },
    /// A change of a group; no message.
    Group(GroupChange),
    /// A reaction; an empty emoji takes it back.
    Reaction {
        /// The platform id of the message reacted to.
        to: String,
        /// One emoji, or nothing.
        emoji: String,
    },
    /// Blue ticks.
    MarkRead {
        /// The platform id.
        message: String,
    },
    /// "typing…"; marks the message read as well.
    Typing {
        /// The platform id of the message being answered.
        to: String,
    },
}

/// What may be done with something whose sending is in doubt (DESIGN section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepeatPolicy {
    /// Doing it twice is doing it once: read marks, reactions.
    Safe,
    /// Not worth doing late: typing.
    Never,
    /// A person would see it twice: the operator's `on_ambiguous` decides.
    Configured,
}

impl Outgoing {
    /// Whether it may be repeated when nobody knows if it went out.
    pub fn repeat_policy(&self) -> RepeatPolicy {
        match self {
            Outgoing::Reaction { .. } | Outgoing::MarkRead { .. } | Outgoing::Pin { .. } => RepeatPolicy::Safe,
            // A second group is a group too many; the rest leaves a group as it is to be, however often it is done.
            Outgoing::Group(GroupChange::Create { .. } | GroupChange::InviteLink { reset: true }) => {
                RepeatPolicy::Configured
            }
            Outgoing::Group(_) => RepeatPolicy::Safe,
            Outgoing::Typing { .. } => RepeatPolicy::Never,
            _ => RepeatPolicy::Configured,
        }
    }

    /// Whether it is a message in the conversation: keeps its order, is paced, and gets receipts.
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

    /// Whether it asks the other side for something: to tap, to choose, to fill in, to share.
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

    /// Whether it is worth another try when the platform could not take it; marks and typing are of the moment.
    pub fn is_retryable(&self) -> bool {
        self.is_message() || matches!(self, Outgoing::Group(_) | Outgoing::Pin { .. })
    }

    /// The platform id of the message it quotes.
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

    /// The file that has to be uploaded before it can go.
    pub fn media(&self) -> Option<MediaId> {
        let of = |source: &Source| match source {
            Source::Media(media) => Some(*media),
            Source::Link(_) => None,
        };
        let above = |header: &Option<Header>| match header {
            Some(Header::File { source, .. }) => of(source),
            _ => None,
        };
        match self {
            Outgoing::Media { source, .. } => of(source),
            Outgoing::Buttons { header, .. } | Outgoing::CtaUrl { header, .. } => above(header),
            Outgoing::Flow(flow) => above(&flow.header),
            Outgoing::Template(template) => match &template.header {
                Some(TemplateHeader::File { source, .. }) => of(source),
                _ => None,
            },
            Outgoing::Group(GroupChange::Picture { media }) => Some(*media),
            Outgoing::Direct(direct) => direct.message.media(),
            _ => None,
        }
    }
}
