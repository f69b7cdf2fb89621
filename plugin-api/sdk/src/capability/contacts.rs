//! Look people up. Granted to all; numbers and platform ids are not in it.

use crate::{Contact, Refusal, host};

/// Up to `limit` contacts and, as `next`, where the next page begins.
pub use crate::bindings::imports::contacts::ContactPage;

/// The contact of this id (`con_…`), where there is one.
pub fn get(id: &str) -> Result<Option<Contact>, Refusal> {
    host::contacts::get(id)
}

/// Up to `limit` (500 at most) contacts in the order they became known, from behind `after`.
pub fn page(after: Option<&str>, limit: u32) -> Result<ContactPage, Refusal> {
    host::contacts::page(after, limit)
}

/// WhatsApp's own limit for a profile's name; a first name is shorter.
const NAME_CHARACTERS: usize = 25;

impl Contact {
    /// "Ana" for "Ana Souza ✨"; empty for a name that is no word, and where there is none.
    pub fn first_name(&self) -> &str {
        let first = self.name.as_deref().and_then(|name| name.split_whitespace().next()).unwrap_or_default();
        let is_name = first.chars().any(char::is_alphabetic) && first.chars().count() <= NAME_CHARACTERS;
        if is_name { first } else { "" }
    }

    /// The language they speak, without what stands behind it: "pt" of "pt-BR"; empty where it is not known.
    pub fn language_code(&self) -> &str {
        self.language.as_deref().and_then(|tag| tag.split(['-', '_']).next()).unwrap_or_default()
    }
}
