//! What is inside a message, in and out: the Rust face of `types.content` and `outgoing` in the plugin contract.
//!
//! Serialised as JSON these are the bodies that the store keeps, so a name here is a name on disk: add, do not rename.

use crate::MessageId;
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
    /// Anything else, as the platform wrote it.
    Other {
        /// The platform's own `type`.
        kind: String,
        /// The platform's object, whole.
        json: Value,
    },
}

impl Content {
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
        /// A line above.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        header: Option<String>,
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
pub enum Repeat {
    /// Doing it twice is doing it once: read marks, reactions.
    Freely,
    /// Not worth doing late: typing.
    Never,
    /// A person would see it twice: the operator's `on_ambiguous` decides.
    Ask,
}

impl Outgoing {
    /// Whether it may be repeated when nobody knows if it went out.
    pub fn repeat(&self) -> Repeat {
        match self {
            Outgoing::Text { .. } | Outgoing::Buttons { .. } | Outgoing::List { .. } => Repeat::Ask,
            Outgoing::Reaction { .. } | Outgoing::MarkRead { .. } => Repeat::Freely,
            Outgoing::Typing { .. } => Repeat::Never,
        }
    }

    /// Whether it is a message in the conversation: keeps its order, is paced, and gets receipts.
    pub fn is_message(&self) -> bool {
        self.repeat() == Repeat::Ask
    }
}
