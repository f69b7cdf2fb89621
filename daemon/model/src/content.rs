//! The content of a received message, as in `types.content` of the plugin contract. What is sent is
//! in [`crate::outgoing`].
//!
//! Serialised as JSON, these are the bodies that the store keeps: a name here is a name on disk, so
//! once a version is released, add names and do not rename any.

use crate::id::{MediaId, MessageId};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A tapped button or a chosen list row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The id that the sender of the button gave it.
    pub id: String,
    /// The visible title.
    pub title: String,
    /// The second line of a list row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A file that arrived with a message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Media {
    /// Beadle's id, assigned by the store at the append.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handle: Option<MediaId>,
    /// The platform's id of the bytes, valid for 7 days.
    pub platform: String,
    /// The MIME type with its parameters, as reported: `audio/ogg; codecs=opus`.
    pub mime_type: String,
    /// SHA-256 of the bytes, as reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The caption.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    /// A document's file name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// Whether it is a voice message.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub voice: bool,
    /// Whether it is an animated sticker.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub animated: bool,
}

/// A location.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Location {
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// The name of the place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The address in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// A product in an order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OrderItem {
    /// The shop's id of the product.
    pub product: String,
    /// The number of pieces.
    pub quantity: u32,
    /// The price in the currency's unit, as the platform prints it.
    pub price: String,
    /// ISO 4217.
    pub currency: String,
}

/// An order from a catalogue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// The catalogue's id.
    pub catalog: String,
    /// The text sent with the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The ordered products.
    pub items: Vec<OrderItem>,
}

/// What a person sent. Kinds that this version does not know are kept in `Other`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value", rename_all = "kebab-case")]
pub enum Content {
    /// A text.
    Text(String),
    /// A tapped reply button.
    Button(Choice),
    /// A chosen list row.
    ListRow(Choice),
    /// A tapped quick-reply button of a template.
    TemplateButton(Choice),
    /// An image.
    Image(Media),
    /// A video.
    Video(Media),
    /// An audio file or voice message.
    Audio(Media),
    /// A document.
    Document(Media),
    /// A sticker.
    Sticker(Media),
    /// A location.
    Location(Location),
    /// Contact cards, as the platform's JSON array.
    Contacts(Value),
    /// An order.
    Order(Order),
    /// A completed flow: the text of its `response_json`.
    Flow(String),
    /// A reply to a request for permission to call.
    CallPermission {
        /// Whether calls are allowed.
        granted: bool,
        /// When the permission ends.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// An edit of an earlier message.
    Edited {
        /// The platform's id of the edited message.
        original: String,
        /// The new text or caption, if any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        /// The new message as the platform's JSON.
        json: Value,
    },
    /// The deletion of an earlier message.
    Deleted {
        /// The platform's id of the deleted message.
        original: String,
    },
    /// A message that the platform cannot deliver to businesses; its type, if reported.
    Unsupported(Option<String>),
    /// A kind that this version does not know.
    Other {
        /// The platform's `type`.
        kind: String,
        /// The platform's JSON object.
        json: Value,
    },
}

impl Content {
    /// The file, if the content is one.
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

    /// The file, if the content is one.
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

    /// The text, if the content is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Content::Text(body) => Some(body),
            _ => None,
        }
    }
}

/// What a message quotes, or that it was forwarded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Context {
    /// The platform's id of the quoted message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quoted: Option<String>,
    /// The quoted message if Beadle sent it; filled in by the store at the append.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quoted_message: Option<MessageId>,
    /// Whether it was forwarded.
    #[serde(default)]
    pub forwarded: bool,
    /// Whether it was forwarded more than five times.
    #[serde(default)]
    pub frequently_forwarded: bool,
}

/// The advertisement or post that led to a message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Referral {
    /// Its address.
    pub source_url: Option<String>,
    /// Its id.
    pub source_id: Option<String>,
    /// `ad` or `post`.
    pub source_type: Option<String>,
    /// Its headline.
    pub headline: Option<String>,
    /// Its text.
    pub body: Option<String>,
    /// `ctwa_clid`, for reporting a conversion.
    pub click_id: Option<String>,
}
