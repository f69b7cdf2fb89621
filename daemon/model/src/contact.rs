//! Contacts and the conversations with them.
//!
//! A contact has an id of Beadle's. Whatever the platform calls the person (a phone number, a
//! WhatsApp id, a business-scoped user id and its parent) is an alias. Numbers and ids change and
//! may be hidden, so none of them is a key. Contacts are merged only by an operator's command.

use crate::consent::{ConsentDecision, Purpose};
use crate::id::{ContactId, ConversationId};
use crate::profile::Profile;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, LazyLock};

/// The kind of an alias. The store keeps the numbers: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum AliasKind {
    /// A phone number: digits with country code, without `+`.
    Phone = 1,
    /// WhatsApp's account id (`wa_id`): often the phone number, not always.
    WaId = 2,
    /// A business-scoped user id, `CC.…`: one per person and business portfolio.
    UserId = 3,
    /// The parent of a business-scoped user id, `CC.ENT.…`.
    ParentUserId = 4,
}

impl AliasKind {
    /// The name for people, plugins and JSON.
    pub fn name(self) -> &'static str {
        match self {
            AliasKind::Phone => "phone",
            AliasKind::WaId => "wa-id",
            AliasKind::UserId => "user-id",
            AliasKind::ParentUserId => "parent-user-id",
        }
    }
}

/// One of the platform's names for a contact.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Alias {
    /// The kind of the name.
    pub kind: AliasKind,
    /// The name.
    pub value: String,
}

/// A person as Beadle knows them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// Beadle's id.
    pub id: ContactId,
    /// The display name on the platform.
    pub name: Option<String>,
    /// The language (BCP 47), if known.
    pub language: Option<String>,
    /// The IANA time zone, if set or derived from the phone number.
    pub timezone: Option<String>,
    /// When the contact was created.
    pub created_at: Timestamp,
    /// When the contact joined the community; `None` if not a member.
    pub member_since: Option<Timestamp>,
    /// When the contact opted out of all messages (STOP).
    pub opted_out_since: Option<Timestamp>,
    /// When the contact turned off marketing messages on the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marketing_stopped_since: Option<Timestamp>,
    /// Role, tags, attributes and consents; `None` if there is nothing but defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Arc<Profile>>,
}

/// The profile of a contact without one.
static NO_PROFILE: LazyLock<Profile> = LazyLock::new(Profile::default);

impl Contact {
    /// A placeholder for the person in a group without a message yet.
    pub fn unknown() -> Self {
        Self {
            id: ContactId(0),
            name: None,
            language: None,
            timezone: None,
            created_at: Timestamp::default(),
            member_since: None,
            opted_out_since: None,
            marketing_stopped_since: None,
            profile: None,
        }
    }

    /// Role, tags, attributes and consents.
    pub fn profile(&self) -> &Profile {
        self.profile.as_deref().unwrap_or(&NO_PROFILE)
    }

    /// Whether the contact agreed to messages for this purpose.
    pub fn consent_for(&self, purpose: &Purpose) -> ConsentDecision {
        self.profile().consents.decide(purpose)
    }

    /// Whether this is a person, not the placeholder.
    pub fn is_known(&self) -> bool {
        self.id.0 != 0
    }
}

/// A conversation at the time it was read: what an event carries to the gate and to plugins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationView {
    /// Beadle's id.
    pub id: ConversationId,
    /// The channel's name in the configuration.
    pub channel: Arc<str>,
    /// The other side; in a group, the author ([`Contact::unknown`] before the first message).
    pub contact: Contact,
    /// The platform's group id, if this is a group.
    pub group: Option<String>,
    /// The alias by which the channel reaches the contact. Hidden from plugins.
    pub address: Option<Alias>,
    /// When the customer service window ends or ended; `None` if it was never opened.
    pub window_until: Option<Timestamp>,
    /// When the free entry point that an advertisement opened ends or ended. Messages cost nothing
    /// until then. It does not extend the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_entry_until: Option<Timestamp>,
}
