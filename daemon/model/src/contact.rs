//! People and the conversations with them.
//!
//! A contact has an id of ours; whatever the platform calls them (a phone number, a WhatsApp id, a business-scoped user
//! id and its parent) is an alias of it. Numbers and ids change and may be hidden, so none of them is a key. Two
//! contacts are never merged without a person's word.

use crate::{ContactId, ConversationId, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What kind of name an alias is. The numbers are what the store keeps: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum AliasKind {
    /// A telephone number in digits, with country code, without `+`.
    Phone = 1,
    /// WhatsApp's id of an account (`wa_id`): often the number, not always.
    WaId = 2,
    /// Business-scoped user id, `CC.…`; one per person and business portfolio.
    UserId = 3,
    /// The parent of a business-scoped user id, `CC.ENT.…`.
    ParentUserId = 4,
}

/// One of the names a platform has for a contact.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Alias {
    /// What kind of name.
    pub kind: AliasKind,
    /// The name.
    pub value: String,
}

/// A person as we know them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// Ours.
    pub id: ContactId,
    /// As the platform shows it.
    pub name: Option<String>,
    /// BCP 47, where known.
    pub language: Option<String>,
    /// Where they live, IANA, as far as their number tells; none where it does not.
    pub timezone: Option<String>,
    /// When they first became known.
    pub created_at: Timestamp,
    /// Since when they belong to the community; none where they left or never joined.
    pub member_since: Option<Timestamp>,
    /// Since when they want no messages (STOP).
    pub opted_out_since: Option<Timestamp>,
    /// Since when they want no marketing, as they told the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marketing_stopped_since: Option<Timestamp>,
}

impl Contact {
    /// Nobody: stands in for the person in a group where nobody has written yet.
    pub fn nobody() -> Self {
        Self {
            id: ContactId(0),
            name: None,
            language: None,
            timezone: None,
            created_at: Timestamp::default(),
            member_since: None,
            opted_out_since: None,
            marketing_stopped_since: None,
        }
    }

    /// Somebody: a person, and not what stands in for one.
    pub fn is_somebody(&self) -> bool {
        self.id.0 != 0
    }
}

/// A conversation as it stood when it was read: what an event carries to gate and plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationView {
    /// Ours.
    pub id: ConversationId,
    /// The channel's name in the configuration.
    pub channel: Arc<str>,
    /// Whom it is with; in a group, who wrote ([`Contact::nobody`] where nobody has yet).
    pub contact: Contact,
    /// The platform's group, where it is one.
    pub group: Option<String>,
    /// How the channel reaches them: the best of the contact's aliases. Plugins never see it.
    pub address: Option<Alias>,
    /// When the customer service window ends (or ended); none where none was ever opened.
    pub window_until: Option<Timestamp>,
    /// They came by an advertisement and were answered: until then (or so it was) messages cost nothing. It lengthens no
    /// window: what may be sent without a template is decided by that alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_entry_until: Option<Timestamp>,
}
