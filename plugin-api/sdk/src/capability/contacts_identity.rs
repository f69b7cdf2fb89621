//! Phone numbers and the platform's ids of contacts. Must be granted.

use crate::host;
use crate::types::{ContactId, Refusal};

/// A phone number or an id of the platform.
pub use crate::bindings::imports::contacts_identity::Identity;

/// The identities of a contact, the oldest first. Empty if the contact was erased.
pub fn get(contact: &str) -> Result<Vec<Identity>, Refusal> {
    host::contacts_identity::get(contact)
}

/// The contact with this phone number, in any spelling: `+31 6 1234 5678`.
pub fn find(phone: &str) -> Result<Option<ContactId>, Refusal> {
    host::contacts_identity::find(phone)
}

/// The latest phone number of a contact, as digits with country code.
pub fn phone(contact: &str) -> Result<Option<String>, Refusal> {
    let known = get(contact)?;
    Ok(known.into_iter().rev().find(|identity| identity.kind == "phone").map(|identity| identity.value))
}
