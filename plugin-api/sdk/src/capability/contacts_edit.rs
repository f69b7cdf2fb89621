//! Changes of contacts: tags, attributes, roles. Must be granted. They take effect after the
//! handler has returned `Ok`.

use crate::host;
use crate::types::Refusal;

/// Adds tags. A tag has 1 to 64 characters without commas; a contact has at most 100 tags.
pub fn add_tags<T: AsRef<str>>(contact: &str, tags: impl IntoIterator<Item = T>) -> Result<(), Refusal> {
    host::contacts_edit::add_tags(contact, &owned(tags))
}

/// Removes tags.
pub fn remove_tags<T: AsRef<str>>(contact: &str, tags: impl IntoIterator<Item = T>) -> Result<(), Refusal> {
    host::contacts_edit::remove_tags(contact, &owned(tags))
}

/// Sets attributes that the operator declared, from anything that serialises to a JSON object;
/// `null` clears one.
pub fn set_attributes(contact: &str, attributes: &impl serde::Serialize) -> Result<(), Refusal> {
    let json = serde_json::to_string(attributes)
        .map_err(|error| Refusal::new("attribute-type", format!("The attributes are not JSON: {error}.")))?;
    host::contacts_edit::set_attributes(contact, &json)
}

/// Sets the role: `moderator`, `helper`, `member` or `banned`.
pub fn set_role(contact: &str, role: &str) -> Result<(), Refusal> {
    host::contacts_edit::set_role(contact, role)
}

fn owned<T: AsRef<str>>(tags: impl IntoIterator<Item = T>) -> Vec<String> {
    tags.into_iter().map(|tag| tag.as_ref().to_owned()).collect()
}
