//! What is inside a message that came in: the Rust face of `types.content` in the plugin contract. What goes out is in
//! [`crate::outgoing`].
//!
//! Serialised as JSON these are the bodies that the store keeps, so a name here is a name on disk: add, do not rename.

use crate::{MediaId, MessageId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A tapped button or a chosen list row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The id that the sender gave it.
    pub id: String,
    /// What the person saw.
    pub title: String,
    /// The second line of a list row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A file that came with a message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Media {
    /// Ours; given by the store when the event is appended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handle: Option<MediaId>,
    /// The platform's id of the bytes; it lives for 7 days.
    pub platform: String,
    /// As the platform says, parameters and all: `audio/ogg; codecs=opus`.
    pub mime_type: String,
    /// Of the bytes, as the platform says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// What was written with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    /// A document's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// A voice message.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub voice: bool,
    /// A sticker that moves.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub animated: bool,
}

/// A place on the map.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Location {
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// What it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it is, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// One product in an order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OrderItem {
    /// The shop's own id of it.
    pub product: String,
    /// How many.
    pub quantity: u32,
    /// In the currency's own unit, as the platform prints it.
    pub price: String,
    /// ISO 4217.
    pub currency: String,
}

/// A filled basket.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// The catalogue's id.
    pub catalog: String,
    /// What was written with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What they want.
    pub items: Vec<OrderItem>,
}

/// What a person sent. Kinds that are not understood yet are kept whole in `Other`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value", rename_all = "kebab-case")]
pub enum Content {
    /// Plain text.
    Text(String),
    /// A reply button was tapped.
    Button(Choice),
    /// A list row was chosen.
    ListRow(Choice),
    /// A template's quick-reply button was tapped.
    TemplateButton(Choice),
    /// A picture.
    Image(Media),
    /// A film.
    Video(Media),
    /// Sound, or a voice message.
    Audio(Media),
    /// A file.
    Document(Media),
    /// A sticker.
    Sticker(Media),
    /// A place on the map.
    Location(Location),
    /// Contact cards, as the platform's array.
    Contacts(Value),
    /// A filled basket.
    Order(Order),
    /// A completed flow: the text of its `response_json`.
    Flow(String),
    /// Whether they may be called.
    CallPermission {
        /// They said yes.
        granted: bool,
        /// Until when.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// They changed an earlier message.
    Edited {
        /// That message, as the platform names it.
        original: String,
        /// Its new text or caption, where it has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        /// The new message, as the platform wrote it.
        json: Value,
    },
    /// They took an earlier message back.
    Deleted {
        /// That message, as the platform names it.
        original: String,
    },
    /// The platform says that it cannot show it; what it was, where told.
    Unsupported(Option<String>),
    /// Anything else, as the platform wrote it.
    Other {
        /// The platform's own `type`.
        kind: String,
        /// The platform's object, whole.
        json: Value,
    },
}

impl Content {
    /// The file in it, where there is one.
    pub fn media(&self) -> Option<&Media> {
        match self {
            Content::Image(media)
            | Content::Video(media)
            | Content::Audio(media)
            | Content::Document(media)
            | Content::Sticker(media) => Some(media),
            _ => None,
        }
    }

    /// The same, to be changed.
    pub fn media_mut(&mut self) -> Option<&mut Media> {
        match self {
            Content::Image(media)
            | Content::Video(media)
            | Content::Audio(media)
            | Content::Document(media)
            | Content::Sticker(media) => Some(media),
            _ => None,
        }
    }

    /// The text that a person typed, where it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Content::Text(body) => Some(body),
            _ => None,
        }
    }
}

/// What a message answers, or that it was forwarded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Context {
    /// The quoted message, as the platform names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quoted: Option<String>,
    /// The same, where we sent it; found by the store when the event is appended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quoted_message: Option<MessageId>,
    /// Forwarded at all.
    #[serde(default)]
    pub forwarded: bool,
    /// Forwarded more than five times.
    #[serde(default)]
    pub frequently_forwarded: bool,
}

/// The advertisement or post that brought a person here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Referral {
    /// Address of the advertisement.
    pub source_url: Option<String>,
    /// Its id.
    pub source_id: Option<String>,
    /// `ad` or `post`.
    pub source_type: Option<String>,
    /// Its headline.
    pub headline: Option<String>,
    /// Its text.
    pub body: Option<String>,
    /// `ctwa_clid`, to report a conversion with.
    pub click_id: Option<String>,
}

pub use crate::outgoing::{Button, Outgoing, Repeat, Row, Section};
