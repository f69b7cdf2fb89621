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

/// The platform's limit for a profile name. A first name is shorter.
const NAME_CHARACTERS: usize = 25;

impl Contact {
    /// The first name: `Ana` for "Ana Souza ✨". Empty if the name is unknown, or is not a word.
    pub fn first_name(&self) -> &str {
        let first = self.name.as_deref().and_then(|name| name.split_whitespace().next()).unwrap_or_default();
        let is_name = first.chars().any(char::is_alphabetic) && first.chars().count() <= NAME_CHARACTERS;
        if is_name { first } else { "" }
    }

    /// The language without region: `pt` for `pt-BR`. Empty if it is unknown.
    pub fn language_code(&self) -> &str {
        self.language.as_deref().and_then(|tag| tag.split(['-', '_']).next()).unwrap_or_default()
    }
}
