//! Contacts, without phone numbers and platform ids. Granted by default.

use crate::host;
use crate::types::{Contact, Refusal};

/// Contacts, and the start of the next page in `next`.
pub use crate::bindings::imports::contacts::ContactPage;

/// The contact with this id (`con_…`), if there is one.
pub fn get(id: &str) -> Result<Option<Contact>, Refusal> {
    host::contacts::get(id)
}

/// Up to `limit` contacts (maximum 500) after `after`, in the order in which they became known.
pub fn page(after: Option<&str>, limit: u32) -> Result<ContactPage, Refusal> {
    host::contacts::page(after, limit)
}

/// Contacts with this role, at most 500: `owner`, `admin`, `moderator`, `helper` or `banned`.
pub fn with_role(role: &str) -> Result<Vec<Contact>, Refusal> {
    host::contacts::with_role(role)
}

/// Admins and owners.
pub fn admins() -> Result<Vec<Contact>, Refusal> {
    let mut admins = with_role("owner")?;
    admins.extend(with_role("admin")?);
    Ok(admins)
}

/// The platform's limit for a profile name. A first name is shorter.
const NAME_CHARACTERS: usize = 25;

impl Contact {
    /// The first name: `Ana` for "Ana Souza ✨". Empty if the name is unknown, or is not a word.
    pub fn first_name(&self) -> &str {
        let first = self.name.as_deref().and_then(|name| name.split_whitespace().next()).unwrap_or_default();
        let is_name = first.chars().any(char::is_alphabetic) && first.chars().count() <= NAME_CHARACTERS;
        if is_name { first } else { "" }
    }

    /// Whether the operator made them an admin or owner.
    pub fn is_admin(&self) -> bool {
        matches!(self.role.as_str(), "admin" | "owner")
    }

    /// Whether they may keep order: a moderator, admin or owner.
    pub fn is_moderator(&self) -> bool {
        self.is_admin() || self.role == "moderator"
    }

    /// The language without region: `pt` for `pt-BR`. Empty if it is unknown.
    pub fn language_code(&self) -> &str {
        self.language.as_deref().and_then(|tag| tag.split(['-', '_']).next()).unwrap_or_default()
    }
}
