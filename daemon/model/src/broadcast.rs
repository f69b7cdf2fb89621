//! Broadcasts: one message to many people, each of whom gets it at most once.
//!
//! An operator writes a definition in a file, and the store keeps it: the audience, the message and
//! the purpose. Planning freezes the recipients and their values. `beadle-broadcast` contains the
//! rules, `store` the SQL.

use crate::consent::Purpose;
use crate::id::{BroadcastId, ContactId};
use crate::outgoing::MediaKind;
use crate::time::Timestamp;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The definition of a broadcast.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BroadcastDefinition {
    /// Its name, unique among those of its author.
    pub name: String,
    /// The channel; empty if there is only one.
    #[serde(default)]
    pub channel: String,
    /// The purpose that recipients must have agreed to.
    pub purpose: Purpose,
    /// Who it is for.
    pub audience: Audience,
    /// The template for people whose window is closed, or for everyone if there is no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<BroadcastTemplate>,
    /// The text for people whose window is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Texts>,
    /// A file that is sent with the text as its caption.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<BroadcastFile>,
    /// When the message loses its meaning: nothing is handed over from then on. RFC 3339 in files.
    #[serde(with = "rfc3339", default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

/// Whether a message of a broadcast that failed with this code may be sent again. Not if it may
/// have arrived; not if WhatsApp would refuse it again for the same reason: the person cannot be
/// reached (131026), does not want it (131050) or is in an experiment (130472); the window is
/// closed (131047, 470); or the message or its template is wrong (131051, 132…). Such attempts
/// count against the number.
pub fn can_repeat(code: &str) -> bool {
    let is_about_template = code.len() == 6 && code.starts_with("132");
    !is_about_template
        && !matches!(code, "outcome-unknown" | "131026" | "131047" | "131050" | "131051" | "130472" | "470")
}

/// A time as RFC 3339 text.
mod rfc3339 {
    use crate::time::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(time: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => to.collect_str(time),
            None => to.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
        let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
        let time = text.parse::<jiff::Timestamp>();
        let invalid = |_| D::Error::custom(format!("`{text}` must be a time such as `2026-11-29T18:00:00+01:00`"));
        time.map(|time| Some(Timestamp(time.as_millisecond()))).map_err(invalid)
    }
}

/// The maximum length of a broadcast's name.
const MAX_NAME_CHARS: usize = 64;

impl BroadcastDefinition {
    /// Checks the name and the tag.
    ///
    /// # Errors
    /// A sentence that says why it is not valid.
    pub fn check(&self) -> Result<(), String> {
        if matches!(&self.audience, Audience::Tag(tag) if tag.trim().is_empty()) {
            return Err("`audience.tag` must not be empty".into());
        }
        let name = &self.name;
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let is_valid = (1..=MAX_NAME_CHARS).contains(&name.chars().count()) && name.chars().all(is_allowed);
        // Commands accept a name or an id.
        if is_valid && name.parse::<BroadcastId>().is_err() {
            return Ok(());
        }
        Err(format!(
            "`name` must consist of 1 to {MAX_NAME_CHARS} letters, digits, `-`, `_` or `.`, and must not be an id, but is `{name}`"
        ))
    }
}

/// A template and its values. Values may contain placeholders, such as `{first_name|there}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BroadcastTemplate {
    /// Its name.
    pub name: String,
    /// Its language. Default: the language of each recipient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// The values of the variables of its text.
    #[serde(default, skip_serializing_if = "TemplateValues::is_empty")]
    pub body: TemplateValues,
    /// The value of the variable of a text header: at most one.
    #[serde(default, skip_serializing_if = "TemplateValues::is_empty")]
    pub header: TemplateValues,
    /// The file of a file header.
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
    /// The payload of a quick reply.
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
    /// Some recipients of an earlier broadcast.
    Broadcast(FollowUp),
}

/// An audience of recipients of an earlier broadcast.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FollowUp {
    /// Its id or name.
    pub of: String,
    /// Which of them.
    pub recipients: FollowUpRecipients,
    /// For `unread`: the minimum time since the message was sent, in hours.
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
    /// The audience in words.
    pub fn describe(&self) -> String {
        match self {
            Audience::Everyone => "everyone".into(),
            Audience::Members => "members".into(),
            Audience::Tag(tag) => format!("tag {tag}"),
            Audience::Segment(name) => format!("segment {name}"),
            Audience::Contacts(contacts) => list_of(contacts.len()),
            Audience::Broadcast(FollowUp { of, recipients, after_hours }) => match recipients {
                FollowUpRecipients::Unread => format!("unread in {of} after {after_hours} h"),
                FollowUpRecipients::Failed => format!("failed in {of}"),
                FollowUpRecipients::Replied => format!("replied to {of}"),
                FollowUpRecipients::NotReplied => format!("did not reply to {of}"),
            },
        }
    }
}

/// The parts of a stored definition that people are shown: the contacts of an audience, of which
/// there may be 200,000, are counted and not kept.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct BroadcastOutline {
    /// The purpose that recipients must have agreed to.
    pub purpose: Purpose,
    audience: AudienceOutline,
    #[serde(default)]
    template: Option<TemplateOutline>,
    #[serde(default)]
    text: Option<IgnoredAny>,
    /// When the message loses its meaning.
    #[serde(with = "rfc3339", default)]
    pub expires: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct TemplateOutline {
    name: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum AudienceOutline {
    Everyone,
    Members,
    Tag(String),
    Segment(String),
    Contacts(Count),
    Broadcast(FollowUp),
}

/// The length of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Count(usize);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Counter;
        impl<'de> Visitor<'de> for Counter {
            type Value = Count;

            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Count, A::Error> {
                let mut count = 0;
                while list.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Count(count))
            }
        }
        from.deserialize_seq(Counter)
    }
}

impl BroadcastOutline {
    /// The audience in words.
    pub fn audience(&self) -> String {
        let other = match self.audience.clone() {
            AudienceOutline::Contacts(Count(count)) => return list_of(count),
            AudienceOutline::Everyone => Audience::Everyone,
            AudienceOutline::Members => Audience::Members,
            AudienceOutline::Tag(tag) => Audience::Tag(tag),
            AudienceOutline::Segment(name) => Audience::Segment(name),
            AudienceOutline::Broadcast(follow_up) => Audience::Broadcast(follow_up),
        };
        other.describe()
    }

    /// The template's name.
    pub fn template(&self) -> Option<&str> {
        self.template.as_ref().map(|template| template.name.as_str())
    }

    /// Whether there is a text for open windows.
    pub fn has_text(&self) -> bool {
        self.text.is_some()
    }
}

fn list_of(contacts: usize) -> String {
    format!("a list of {contacts}")
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
        /// Not planned, or being planned.
        Draft = 0, "draft";
        /// Recipients and values are frozen.
        Planned = 1, "planned";
        /// Messages are handed to the outbox.
        Sending = 2, "sending";
        /// Paused by an operator or a rule; no messages are handed over.
        Paused = 3, "paused";
        /// Every recipient has a final state.
        Finished = 4, "finished";
        /// Ended by an operator; the other recipients get nothing.
        Stopped = 5, "stopped";
    }
}

states! {
    /// The state of one recipient. The store keeps the numbers: never reuse one.
    RecipientState {
        /// Not handed over yet.
        Planned = 0, "planned";
        /// In the outbox.
        Queued = 1, "queued";
        /// WhatsApp accepted it.
        Sent = 2, "sent";
        /// Delivered.
        Delivered = 3, "delivered";
        /// Read.
        Read = 4, "read";
        /// Refused by WhatsApp, or the outcome is unknown.
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
    /// Start to send.
    Start,
    /// Hand over no more messages.
    Pause,
    /// Continue a paused or finished broadcast.
    Resume,
    /// End it; it cannot be resumed.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outline_says_what_the_definition_says() {
        let follow_up = FollowUp { of: "bro_1".into(), recipients: FollowUpRecipients::Unread, after_hours: 48 };
        let audiences = [
            Audience::Everyone,
            Audience::Members,
            Audience::Tag("vip".into()),
            Audience::Segment("list:friends".into()),
            Audience::Contacts(vec![ContactId(1), ContactId(7)]),
            Audience::Contacts(Vec::new()),
            Audience::Broadcast(follow_up),
        ];
        for audience in audiences {
            for (template, text, expires) in [
                (Some(BroadcastTemplate { name: "news".into(), ..BroadcastTemplate::default() }), None, None),
                (None, Some(Texts::One("hi".into())), Some(Timestamp(1_795_293_360_000))),
            ] {
                let definition = BroadcastDefinition {
                    name: "one".into(),
                    channel: "shop".into(),
                    purpose: Purpose::MarketingTopic("news".into()),
                    audience: audience.clone(),
                    template,
                    text,
                    file: None,
                    expires,
                };
                let json = serde_json::to_string(&definition).unwrap();
                let outline: BroadcastOutline = serde_json::from_str(&json).unwrap();
                assert_eq!(outline.audience(), definition.audience.describe());
                assert_eq!(outline.template(), definition.template.as_ref().map(|template| template.name.as_str()));
                assert_eq!((outline.has_text(), outline.expires), (definition.text.is_some(), definition.expires));
                assert_eq!(outline.purpose, definition.purpose);
            }
        }
    }
}
