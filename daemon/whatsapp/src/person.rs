//! The identities of a person in a webhook, collected from all the places that carry them (docs/whatsapp.md#identities).
//!
//! Invariant: identities of two people never end up in one list. The store decides which contact a list belongs to.

use crate::json::Json;
use crate::origin::Origin;
use beadle_model::{Alias, AliasKind};
use std::borrow::Cow;

/// Aliases without duplicates, in the order in which they were added.
#[derive(Default)]
struct Aliases(Vec<Alias>);

impl Aliases {
    fn add(&mut self, kind: AliasKind, value: Option<String>) {
        self.0.extend(value.map(|value| Alias { kind, value }).filter(|alias| !self.0.contains(alias)));
    }

    /// Adds a phone number as people write it. It is reduced to its digits, and ignored if their number is implausible.
    fn add_number(&mut self, text: Option<Cow<'_, str>>) {
        let digits: String = text.as_deref().unwrap_or_default().chars().filter(char::is_ascii_digit).collect();
        // The shortest international numbers have seven digits, the longest fifteen (E.164).
        if (7..=15).contains(&digits.len()) {
            self.add(AliasKind::Phone, Some(digits));
        }
    }
}

/// The element of `contacts` that is the sender: the one that shares an identity with the message, or the only one if
/// none of its identities differs.
pub(crate) fn person<'a>(origin: &Origin<'a>, message: &Json<'_>) -> Option<&'a Json<'a>> {
    let contacts = origin.value.get("contacts")?.items()?;
    let compare = |contact: &Json<'_>| {
        [("wa_id", "from"), ("user_id", "from_user_id")]
            .map(|(ours, theirs)| Some(contact.text_of(ours)? == message.text_of(theirs)?))
    };
    let same = |contact: &&Json<'_>| compare(contact).contains(&Some(true));
    let only = || contacts.first().filter(|contact| contacts.len() == 1 && !compare(contact).contains(&Some(false)));
    contacts.iter().find(same).or_else(only)
}

/// A person's profile name, or else their username.
pub(crate) fn display_name(person: &Json<'_>) -> Option<String> {
    let profile = person.get("profile");
    let name = profile.and_then(|profile| profile.string_of("name"));
    name.or_else(|| profile?.string_of("username")).or_else(|| person.string_of("username"))
}

/// The identities of the sender. A new identity precedes the one that it replaces, because replies go to the first of
/// each kind. `from` is a phone number and `wa_id` an account id; they usually have the same digits, and then only the
/// account id is listed.
pub(crate) fn sender(message: &Json<'_>, person: Option<&Json<'_>>) -> Vec<Alias> {
    use AliasKind::{ParentUserId, Phone, UserId, WaId};
    let mut aliases = Aliases::default();
    if let Some(notice) = message.get("system") {
        add_changed(&mut aliases, notice);
    }
    let (from, wa_id) = (message.text_of("from"), person.and_then(|person| person.text_of("wa_id")));
    let phone = from.filter(|from| wa_id.as_ref() != Some(from));
    aliases.add(UserId, message.string_of("from_user_id"));
    aliases.add(UserId, person.and_then(|person| person.string_of("user_id")));
    aliases.add(WaId, wa_id.map(Cow::into_owned));
    aliases.add(Phone, phone.map(Cow::into_owned));
    aliases.add(ParentUserId, message.string_of("from_parent_user_id"));
    aliases.add(ParentUserId, person.and_then(|person| person.string_of("parent_user_id")));
    for contact in message.get("contacts").and_then(Json::items).unwrap_or_default() {
        // Only the answer to a contact request is the sender's own number; other shared contacts are other people.
        if contact.text_of("origin").as_deref() == Some("contact_request") {
            for phone in contact.get("phones").and_then(Json::items).unwrap_or_default() {
                aliases.add(WaId, phone.string_of("wa_id"));
                aliases.add_number(phone.text_of("phone"));
            }
        }
    }
    aliases.0
}

/// Adds the old and the new identity of a person whose number or user id changed.
fn add_changed(aliases: &mut Aliases, notice: &Json<'_>) {
    use AliasKind::{ParentUserId, Phone, UserId, WaId};
    let body = notice.text_of("body").unwrap_or_default();
    let (old, new) = changed(&body).map(|(old, new)| (old.to_owned(), new.to_owned())).unzip();
    match notice.text_of("type").as_deref() {
        Some("user_changed_user_id") => {
            aliases.add(UserId, notice.string_of("user_id").or(new));
            aliases.add(UserId, notice.string_of("previous_user_id").or(old));
            aliases.add(ParentUserId, notice.string_of("parent_user_id"));
            aliases.add(ParentUserId, notice.string_of("previous_parent_user_id"));
        }
        Some("user_changed_number") => {
            aliases.add(WaId, notice.string_of("wa_id").or(new));
            aliases.add(UserId, notice.string_of("user_id"));
            aliases.add(Phone, old);
        }
        _ => {}
    }
}

/// The old and the new identity in `User Sheena Nelson changed from 16505551234 to 12195555358`. The name may contain
/// anything, so the last occurrence counts.
fn changed(body: &str) -> Option<(&str, &str)> {
    let (_, identities) = body.rsplit_once(" changed from ")?;
    let (old, new) = identities.split_once(" to ")?;
    let is_identity =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
    (is_identity(old) && is_identity(new)).then_some((old, new))
}

/// The identities in an object with members `wa_id`, `user_id` and so on, such as a group member or a preference. `input`
/// is the identity as we wrote it in a request.
pub(crate) fn identities(object: &Json<'_>) -> Vec<Alias> {
    use AliasKind::{ParentUserId, UserId, WaId};
    let mut aliases = Aliases::default();
    aliases.add(UserId, object.string_of("user_id"));
    aliases.add(WaId, object.string_of("wa_id"));
    match object.string_of("input") {
        Some(input) if input.contains('.') => aliases.add(UserId, Some(input)),
        Some(input) => aliases.add_number(Some(Cow::Owned(input))),
        None => {}
    }
    aliases.add(ParentUserId, object.string_of("parent_user_id"));
    aliases.0
}

/// The identities of the recipient of an echoed message.
pub(crate) fn echo_recipient(echo: &Json<'_>) -> Vec<Alias> {
    let mut aliases = Aliases::default();
    aliases.add(AliasKind::UserId, echo.string_of("to_user_id"));
    aliases.add(AliasKind::WaId, echo.string_of("to"));
    aliases.add(AliasKind::ParentUserId, echo.string_of("to_parent_user_id"));
    aliases.0
}

/// The identities of the group member that a status is about. The platform documents two spellings of the first member
/// name (docs/whatsapp.md#group-statuses).
pub(crate) fn participant(status: &Json<'_>) -> Vec<Alias> {
    let mut aliases = Aliases::default();
    let id = status.string_of("recipient_participant_id").or_else(|| status.string_of("participant_recipient_id"));
    aliases.add(AliasKind::UserId, status.string_of("recipient_participant_user_id"));
    aliases.add(AliasKind::WaId, id);
    aliases.add(AliasKind::ParentUserId, status.string_of("recipient_participant_parent_user_id"));
    aliases.0
}

/// The identities of a message's recipient in a status, except the number, which we sent to ourselves.
pub(crate) fn recipient(status: &Json<'_>) -> Vec<Alias> {
    let mut aliases = Aliases::default();
    aliases.add(AliasKind::UserId, status.string_of("recipient_user_id"));
    aliases.add(AliasKind::ParentUserId, status.string_of("recipient_parent_user_id"));
    aliases.0
}

#[cfg(test)]
mod tests {
    use super::changed;

    #[test]
    fn changed_identities_are_the_last_in_the_sentence() {
        assert_eq!(changed("User Ann changed from 1650 to 1219"), Some(("1650", "1219")));
        assert_eq!(changed("User x changed from a to b changed from US.1 to US.2"), Some(("US.1", "US.2")));
        for no in ["", "User Ann changed", "User Ann changed from 1650 to", "User Ann changed from you to all of us"] {
            assert_eq!(changed(no), None, "{no}");
        }
    }
}
