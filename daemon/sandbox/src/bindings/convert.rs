//! Conversions between types of the model and of the latest contract that need no context.

use super::v0_1_0::types as wit;
use beadle_model::{Contact, Disposition, ParseIdError, Refusal, Scope};

/// A JSON object without members.
const EMPTY: &str = "{}";

/// What every plugin may know about a person.
pub fn contact(contact: &Contact) -> wit::Contact {
    let profile = contact.profile();
    wit::Contact {
        id: contact.id.to_string(),
        name: contact.name.clone(),
        language: contact.language.clone(),
        timezone: contact.timezone.clone(),
        member: contact.member_since.is_some(),
        opted_out: contact.opted_out_since.is_some(),
        role: profile.role.name().into(),
        tags: profile.tags.iter().cloned().collect(),
        attributes: serde_json::to_string(&profile.attributes).unwrap_or_else(|_| EMPTY.into()),
        extra: EMPTY.into(),
    }
}

/// A scope for the guest.
pub fn scope(scope: Scope) -> wit::Scope {
    match scope {
        Scope::Plugin => wit::Scope::Plugin,
        Scope::Contact(id) => wit::Scope::Contact(id.to_string()),
        Scope::Conversation(id) => wit::Scope::Conversation(id.to_string()),
    }
}

impl TryFrom<wit::Scope> for Scope {
    type Error = ParseIdError;

    fn try_from(scope: wit::Scope) -> Result<Self, ParseIdError> {
        Ok(match scope {
            wit::Scope::Plugin => Scope::Plugin,
            wit::Scope::Contact(id) => Scope::Contact(id.parse()?),
            wit::Scope::Conversation(id) => Scope::Conversation(id.parse()?),
        })
    }
}

impl From<wit::Disposition> for Disposition {
    fn from(disposition: wit::Disposition) -> Self {
        match disposition {
            wit::Disposition::Pass => Disposition::Pass,
            wit::Disposition::Claimed => Disposition::Claimed,
            wit::Disposition::Stopped => Disposition::Stopped,
        }
    }
}

impl From<Refusal> for wit::Refusal {
    fn from(refusal: Refusal) -> Self {
        Self { code: refusal.code, message: refusal.message, instead: refusal.instead }
    }
}
