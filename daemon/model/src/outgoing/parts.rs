//! Parts of messages: buttons, rows, files, flows, product sections.

use crate::id::MediaId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where the bytes of a file are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// At a web address; the platform downloads them and caches them for ten minutes.
    Link(String),
    /// In the store; they are uploaded before the message is sent.
    Media(MediaId),
}

/// The kind of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MediaKind {
    /// JPEG or PNG.
    Image,
    /// MP4 or 3GP.
    Video,
    /// AAC, AMR, MP3, M4A, OGG.
    Audio,
    /// Anything.
    Document,
    /// WebP.
    Sticker,
}

impl MediaKind {
    /// The platform's name.
    pub fn name(self) -> &'static str {
        match self {
            MediaKind::Image => "image",
            MediaKind::Video => "video",
            MediaKind::Audio => "audio",
            MediaKind::Document => "document",
            MediaKind::Sticker => "sticker",
        }
    }
}

/// The header of an interactive message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Header {
    /// A line of text.
    Text(String),
    /// An image, a video or a document.
    File {
        /// Which of the three.
        kind: MediaKind,
        /// Where its bytes are.
        source: Source,
        /// A document's file name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        filename: Option<String>,
    },
}

/// A flow: a form with several screens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    /// A text or file above the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<Header>,
    /// 1 to 1024 characters.
    pub body: String,
    /// A line below the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub footer: Option<String>,
    /// The flow's id or name.
    pub flow: String,
    /// Whether `flow` is its name.
    #[serde(default)]
    pub by_name: bool,
    /// Returned with the answer.
    pub token: String,
    /// The title of the button that opens it, 1 to 30 characters.
    pub button: String,
    /// The first screen; `None` if the flow's own server decides (`data_exchange`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub screen: Option<String>,
    /// The input of the first screen: a JSON object, or null.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub data: Value,
    /// Whether it is an unpublished draft.
    #[serde(default)]
    pub draft: bool,
    /// The platform id of the message to quote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote: Option<String>,
}

/// Products under a title.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProductSection {
    /// 1 to 24 characters.
    pub title: String,
    /// The shop's ids of the products.
    pub products: Vec<String>,
}

/// A reply button.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Button {
    /// 1 to 256 characters.
    pub id: String,
    /// 1 to 20 characters.
    pub title: String,
}

/// A list row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// 1 to 200 characters.
    pub id: String,
    /// 1 to 24 characters.
    pub title: String,
    /// At most 72 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A section of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Section {
    /// At most 24 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// At most 10 in all sections together.
    pub rows: Vec<Row>,
}
