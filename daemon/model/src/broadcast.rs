//! Broadcasts: one message to many people, each of whom gets it at most once.
//!
//! A definition says to whom, what and for which purpose; it is what an operator writes in a file
//! and what the store keeps. Planning freezes who gets it and with which values. Rules are in
//! `beadle-broadcast`, SQL in `store`.

use crate::consent::Purpose;
use crate::id::{BroadcastId, ContactId};
use crate::outgoing::MediaKind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What to send to whom.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BroadcastDefinition {
    /// Its name, unique among those of its author.
    pub name: String,
    /// The channel; empty for the only one.
    #[serde(default)]
    pub channel: String,
    /// What the recipients must have agreed to.
    pub purpose: Purpose,
    /// Who gets it.
    pub audience: Audience,
    /// For people whose window is closed, or for all if there is no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<BroadcastTemplate>,
    /// For people whose window is open; the others get the template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Texts>,
    /// A file that goes with the text, which is its caption then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<BroadcastFile>,
}

/// The longest name of a broadcast.
const MAX_NAME_CHARS: usize = 64;

impl BroadcastDefinition {
    /// Checks the name.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence.
    pub fn check_name(&self) -> Result<(), String> {
        let name = &self.name;
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let is_valid = (1..=MAX_NAME_CHARS).contains(&name.chars().count()) && name.chars().all(is_allowed);
        // A name that is an id could not be told apart from it.
        if is_valid && name.parse::<BroadcastId>().is_err() {
            return Ok(());
        }
        Err(format!("`name` must have 1 to {MAX_NAME_CHARS} letters, digits, `-`, `_` or `.`, not `{name}`"))
    }
}

/// A template and what fills it. Values may contain placeholders, such as `{first_name|there}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BroadcastTemplate {
    /// Its name.
    pub name: String,
    /// Its language; without it, that of each recipient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// The variables of its text.
    #[serde(default, skip_serializing_if = "TemplateValues::is_empty")]
    pub body: TemplateValues,
    /// The variable of a header that is a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header_text: Option<Texts>,
    /// The file of a header that is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header_file: Option<BroadcastFile>,
    /// The values of buttons, by index.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buttons: Vec<ButtonValue>,
}

/// A text for everyone, or one for each language.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Texts {
    /// For everyone.
    One(String),
    /// By language (BCP 47).
    ByLanguage(BTreeMap<String, String>),
}

/// The values of a text's variables: by position, or by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TemplateValues {
    /// In order.
    Positional(Vec<Texts>),
    /// By name.
    Named(BTreeMap<String, Texts>),
}

impl Default for TemplateValues {
    fn default() -> Self {
        TemplateValues::Positional(Vec::new())
    }
}

impl TemplateValues {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        match self {
            TemplateValues::Positional(values) => values.is_empty(),
            TemplateValues::Named(values) => values.is_empty(),
        }
    }
}

/// The value of a template's button.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ButtonValue {
    /// Its index, from 0.
    pub index: u32,
    /// The end of its web address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The code that it copies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What a quick reply returns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
}

/// A file at a web address, or one that a plugin stored (`med_…`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BroadcastFile {
    /// Its kind.
    pub kind: MediaKind,
    /// `https://…` or `med_…`.
    pub source: String,
    /// A document's file name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
}

/// Who gets a broadcast, before the gate is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Audience {
    /// Every contact.
    Everyone,
    /// The members of the community.
    Members,
    /// Contacts with this tag.
    Tag(String),
    /// A segment or list of the operator's.
    Segment(String),
    /// These contacts.
    Contacts(Vec<ContactId>),
    /// Recipients of an earlier broadcast.
    Broadcast(FollowUp),
}

/// Recipients of an earlier broadcast.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FollowUp {
    /// Its id or name.
    pub of: String,
    /// Which of them.
    pub recipients: FollowUpRecipients,
    /// For `unread`: those to whom it was sent at least this long ago, in hours.
    #[serde(default)]
    pub after_hours: u32,
}

/// Which recipients of an earlier broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FollowUpRecipients {
    /// It was delivered and not read.
    Unread,
    /// It failed.
    Failed,
    /// They replied.
    Replied,
    /// It was delivered, and they did not reply.
    NotReplied,
}

impl Audience {
    /// In words.
    pub fn describe(&self) -> String {
        match self {
            Audience::Everyone => "everyone".into(),
            Audience::Members => "members".into(),
            Audience::Tag(tag) => format!("tag {tag}"),
            Audience::Segment(name) => format!("segment {name}"),
            Audience::Contacts(contacts) => format!("a list of {}", contacts.len()),
            Audience::Broadcast(FollowUp { of, recipients, after_hours }) => match recipients {
                FollowUpRecipients::Unread => format!("unread in {of} after {after_hours} h"),
                FollowUpRecipients::Failed => format!("failed in {of}"),
                FollowUpRecipients::Replied => format!("replied to {of}"),
                FollowUpRecipients::NotReplied => format!("did not reply to {of}"),
            },
        }
    }
}

macro_rules! states {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $number:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        #[repr(u8)]
        pub enum $name { $($(#[$variant_doc])* $variant = $number),* }

        impl $name {
            /// All of them, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name for people and JSON.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            /// The state with this number.
            pub fn from_number(number: i64) -> Option<Self> {
                Self::ALL.iter().copied().find(|state| *state as i64 == number)
            }
        }
    };
}

states! {
    /// The state of a broadcast. The store keeps the numbers: never reuse one.
    BroadcastState {
        /// Not planned yet, or being planned.
        Draft = 0, "draft";
        /// Recipients and values are frozen.
        Planned = 1, "planned";
        /// Messages are handed to the outbox.
        Sending = 2, "sending";
        /// By an operator or a rule; nothing is handed over.
        Paused = 3, "paused";
        /// Every recipient is decided.
        Finished = 4, "finished";
        /// For good; the rest of the recipients get nothing.
        Stopped = 5, "stopped";
    }
}

states! {
    /// The state of one recipient. The store keeps the numbers: never reuse one.
    RecipientState {
        /// Waits for its turn.
        Planned = 0, "planned";
        /// In the outbox.
        Queued = 1, "queued";
        /// WhatsApp accepted it.
        Sent = 2, "sent";
        /// It arrived.
        Delivered = 3, "delivered";
        /// It was read.
        Read = 4, "read";
        /// WhatsApp refused it, or it is not known what became of it.
        Failed = 5, "failed";
        /// Excluded by the gate.
        Refused = 6, "refused";
        /// Deferred by the gate.
        Held = 7, "held";
    }
}

impl RecipientState {
    /// Whether WhatsApp has the message.
    pub fn is_sent(self) -> bool {
        matches!(self, RecipientState::Sent | RecipientState::Delivered | RecipientState::Read)
    }
}

/// A command to a broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BroadcastCommand {
    /// Begin to send.
    Start,
    /// Send no more for now.
    Pause,
    /// Go on.
    Resume,
    /// End it for good.
    Stop,
}

impl BroadcastState {
    /// The state after a command; `None` if the command is not possible.
    pub fn after(self, command: BroadcastCommand) -> Option<BroadcastState> {
        use BroadcastCommand::{Pause, Resume, Start, Stop};
        use BroadcastState::{Draft, Finished, Paused, Planned, Sending, Stopped};
        match (self, command) {
            (Planned, Start) => Some(Sending),
            (Sending, Pause) => Some(Paused),
            (Paused | Finished, Resume) => Some(Sending),
            (Draft | Planned | Sending | Paused, Stop) => Some(Stopped),
            _ => None,
        }
    }
}
