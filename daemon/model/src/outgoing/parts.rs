//! What messages are made of: buttons, rows, files, forms, product sections.

use crate::MediaId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where the bytes of something to send are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// On the web: the platform fetches them, and keeps them for ten minutes.
    Link(String),
    /// Here: they are uploaded when the message is about to go.
    Media(MediaId),
}

/// What kind of file.
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
    /// The platform's word for it.
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

/// What stands above the text of an interactive message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Header {
    /// A line.
    Text(String),
    /// A picture, a film or a document.
    File {
        /// Which of the three.
        kind: MediaKind,
        /// Where it is.
        source: Source,
        /// A document's name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        filename: Option<String>,
    },
}

/// A form in several screens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    /// Above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<Header>,
    /// 1 to 1024 characters.
    pub body: String,
    /// Below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub footer: Option<String>,
    /// The flow's id, or its name.
    pub flow: String,
    /// `flow` is its name.
    #[serde(default)]
    pub by_name: bool,
    /// Comes back with the answer.
    pub token: String,
    /// What opens it, 1 to 30 characters.
    pub button: String,
    /// The first screen; none: the flow's own server says (`data_exchange`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub screen: Option<String>,
    /// What the first screen is given: a JSON object, or null.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub data: Value,
    /// It is not published yet.
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
    /// The shop's own ids.
    pub products: Vec<String>,
}

/// A reply button to send.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Button {
    /// 1 to 256 characters.
    pub id: String,
    /// 1 to 20 characters.
    pub title: String,
}

/// A list row to send.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// 1 to 200 characters.
    pub id: String,
    /// 1 to 24 characters.
    pub title: String,
    /// 72 characters at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A part of a list to send.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Section {
    /// 24 characters at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// 10 in all sections together.
    pub rows: Vec<Row>,
}
