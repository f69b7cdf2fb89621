//! The identities of a person in a webhook, collected from all the places that carry them
//! (docs/whatsapp.md#identities).
//!
//! Invariant: identities of two people never end up in one list. The store decides which contact a
//! list belongs to.

use crate::json::Json;
use crate::origin::Origin;
use beadle_model::text::is_hidden;
use beadle_model::{Alias, AliasKind};
use std::borrow::Cow;

/// Aliases without duplicates, in the order in which they were added.
#[derive(Default)]
struct Aliases(Vec<Alias>);

impl Aliases {
    fn add(&mut self, kind: AliasKind, value: Option<String>) {
        self.0.extend(value.map(|value| Alias { kind, value }).filter(|alias| !self.0.contains(alias)));
    }

    /// Adds the value of a member that usually holds a number, such as `from` or `wa_id`. The
    /// platform also puts user ids there; a value with a letter or a `.` is one, and never a
    /// number.
    fn add_address(&mut self, kind: AliasKind, value: Option<Cow<'_, str>>) {
        let Some(value) = value.map(|value| normalized(&value)) else { return };
        if is_user_id(&value) {
            self.add(AliasKind::UserId, Some(value));
        } else if !value.is_empty() {
            self.add(kind, Some(value));
        }
    }

    /// Adds a phone number as people write it. It is reduced to its digits, and ignored if their
    /// number is implausible.
    fn add_number(&mut self, text: Option<Cow<'_, str>>) {
        let digits: String = text.as_deref().unwrap_or_default().chars().filter(char::is_ascii_digit).collect();
        // The shortest international numbers have seven digits, the longest fifteen (E.164).
        if (7..=15).contains(&digits.len()) {
            self.add(AliasKind::Phone, Some(digits));
        }
    }
}

/// An identity without invisible characters and without the `+` of a number.
fn normalized(identity: &str) -> String {
    let visible: String = identity.chars().filter(|c| !is_invisible(*c) && !c.is_whitespace()).collect();
    visible.strip_prefix('+').map_or_else(|| visible.clone(), str::to_owned)
}

fn is_user_id(identity: &str) -> bool {
    identity.chars().any(|c| c == '.' || c.is_alphabetic())
}

fn is_invisible(c: char) -> bool {
    c.is_control() || is_hidden(c)
}

/// The element of `contacts` that is the sender: the one that shares an identity with the message,
/// or the only one if none of its identities differs.
pub(crate) fn person<'a>(origin: &Origin<'a>, message: &Json<'_>) -> Option<&'a Json<'a>> {
    contact_of(origin, message, ["from", "from_user_id"])
}

/// The element of `contacts` that a preference is about.
pub(crate) fn preference_owner<'a>(origin: &Origin<'a>, preference: &Json<'_>) -> Option<&'a Json<'a>> {
    contact_of(origin, preference, ["wa_id", "user_id"])
}

/// The contact whose number or user id is in one of these two members of the element.
fn contact_of<'a>(origin: &Origin<'a>, element: &Json<'_>, members: [&str; 2]) -> Option<&'a Json<'a>> {
    let [number, user_id] = members;
    let contacts = origin.value.get("contacts")?.items()?;
    let compare = |contact: &Json<'_>| {
        [("wa_id", number), ("user_id", user_id)]
            .map(|(ours, theirs)| Some(normalized(&contact.text_of(ours)?) == normalized(&element.text_of(theirs)?)))
    };
    let same = |contact: &&Json<'_>| compare(contact).contains(&Some(true));
    let only = || contacts.first().filter(|contact| contacts.len() == 1 && !compare(contact).contains(&Some(false)));
    contacts.iter().find(same).or_else(only)
}

/// Characters of a name that are kept. WhatsApp's own limit is 25, so that the rest is no name.
const MAX_NAME_CHARS: usize = 128;

/// A person's profile name, or else their username, without invisible characters: a name is shown
/// next to other text, which a directional mark would reverse.
pub(crate) fn display_name(person: &Json<'_>) -> Option<String> {
    let profile = person.get("profile");
    let name = profile.and_then(|profile| profile.string_of("name"));
    let name = name.or_else(|| profile?.string_of("username")).or_else(|| person.string_of("username"))?;
    let name: String = name.chars().filter(|c| !is_invisible(*c)).take(MAX_NAME_CHARS).collect();
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// The identities of the sender. A new identity precedes the one that it replaces, because replies
/// go to the first of each kind. `from` is a phone number and `wa_id` an account id; they usually
/// have the same digits, and then only the account id is listed.
pub(crate) fn sender(message: &Json<'_>, person: Option<&Json<'_>>) -> Vec<Alias> {
    use AliasKind::{ParentUserId, Phone, UserId, WaId};
    let mut aliases = Aliases::default();
    if let Some(notice) = message.get("system") {
        add_changed(&mut aliases, notice);
    }
    let (from, wa_id) = (message.text_of("from"), person.and_then(|person| person.text_of("wa_id")));
    let phone = from.filter(|from| wa_id.as_ref().is_none_or(|wa_id| normalized(wa_id) != normalized(from)));
    aliases.add(UserId, message.string_of("from_user_id"));
    aliases.add(UserId, person.and_then(|person| person.string_of("user_id")));
    aliases.add_address(WaId, wa_id);
    aliases.add_address(Phone, phone);
    aliases.add(ParentUserId, message.string_of("from_parent_user_id"));
    aliases.add(ParentUserId, person.and_then(|person| person.string_of("parent_user_id")));
    for contact in message.get("contacts").and_then(Json::items).unwrap_or_default() {
        // Only the answer to a contact request is the sender's own number; other shared contacts
        // are other people.
        if contact.text_of("origin").as_deref() == Some("contact_request") {
            for phone in contact.get("phones").and_then(Json::items).unwrap_or_default() {
                aliases.add_address(WaId, phone.text_of("wa_id"));
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
    let (old, new) = changed(&body).unzip();
    match change(notice) {
        Some(Change::UserId) => {
            aliases.add(UserId, notice.string_of("user_id"));
            aliases.add_address(WaId, new.map(Cow::Owned));
            aliases.add(UserId, notice.string_of("previous_user_id"));
            aliases.add_address(WaId, old.map(Cow::Owned));
            aliases.add(ParentUserId, notice.string_of("parent_user_id"));
            aliases.add(ParentUserId, notice.string_of("previous_parent_user_id"));
        }
        Some(Change::Number) => {
            for name in ["wa_id", "new_wa_id"] {
                aliases.add_address(WaId, notice.text_of(name));
            }
            aliases.add_address(WaId, new.map(Cow::Owned));
            aliases.add(UserId, notice.string_of("user_id"));
            aliases.add_address(Phone, old.map(Cow::Owned));
            aliases.add_address(Phone, notice.text_of("customer"));
        }
        Some(Change::Device) | None => {}
    }
}

/// What a system message says about a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// They have another phone number.
    Number,
    /// They have another user id.
    UserId,
    /// They registered another device.
    Device,
}

/// The change in a notice. The prefix of its type is `user_` in current and `customer_` in older
/// API versions; a notice without a type is classified by its sentence.
pub(crate) fn change(notice: &Json<'_>) -> Option<Change> {
    if let Some(kind) = notice.text_of("type") {
        let kind = kind.strip_prefix("user_").or_else(|| kind.strip_prefix("customer_"))?;
        return match kind {
            "changed_number" => Some(Change::Number),
            "changed_user_id" => Some(Change::UserId),
            "identity_changed" => Some(Change::Device),
            _ => None,
        };
    }
    let (_, new) = changed(&notice.text_of("body")?)?;
    Some(if is_user_id(&new) { Change::UserId } else { Change::Number })
}

/// The old and the new identity in `User Sheena Nelson changed from 16505551234 to 12195555358`.
/// The name may contain anything, so the last occurrence counts. Invisible characters and a `+`
/// around the identities are dropped.
fn changed(body: &str) -> Option<(String, String)> {
    let (_, identities) = body.rsplit_once(" changed from ")?;
    let (old, new) = identities.split_once(" to ")?;
    let identity = |text: &str| {
        let visible: String = text.chars().filter(|c| !is_invisible(*c)).collect();
        let text = visible.trim().trim_end_matches('.');
        let text = text.strip_prefix('+').unwrap_or(text);
        let valid = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
        // A word without a digit is prose.
        (valid && text.bytes().any(|byte| byte.is_ascii_digit())).then(|| text.to_owned())
    };
    Some((identity(old)?, identity(new)?))
}

/// The identities in an object with members `wa_id`, `user_id` and so on, such as a group member or
/// a preference. `input` is the identity as we wrote it in a request.
pub(crate) fn identities(object: &Json<'_>) -> Vec<Alias> {
    use AliasKind::{ParentUserId, UserId, WaId};
    let mut aliases = Aliases::default();
    aliases.add(UserId, object.string_of("user_id"));
    aliases.add_address(WaId, object.text_of("wa_id"));
    match object.string_of("input") {
        Some(input) if is_user_id(&input) => aliases.add(UserId, Some(input)),
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
    aliases.add_address(AliasKind::WaId, echo.text_of("to"));
    aliases.add(AliasKind::ParentUserId, echo.string_of("to_parent_user_id"));
    aliases.0
}

/// The identities of the group member that a status is about. The platform documents two spellings
/// of the first member name (docs/whatsapp.md#group-statuses).
pub(crate) fn participant(status: &Json<'_>) -> Vec<Alias> {
    let mut aliases = Aliases::default();
    let id = status.text_of("recipient_participant_id").or_else(|| status.text_of("participant_recipient_id"));
    aliases.add(AliasKind::UserId, status.string_of("recipient_participant_user_id"));
    aliases.add_address(AliasKind::WaId, id);
    aliases.add(AliasKind::ParentUserId, status.string_of("recipient_participant_parent_user_id"));
    aliases.0
}

/// The identities of a message's recipient in a status, except the number, which we sent to
/// ourselves.
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
        let pair = |old: &str, new: &str| Some((old.to_owned(), new.to_owned()));
        assert_eq!(changed("User Ann changed from 1650 to 1219"), pair("1650", "1219"));
        assert_eq!(changed("User x changed from a to b changed from US.1 to US.2"), pair("US.1", "US.2"));
        assert_eq!(changed("Ann changed from \u{200e}+1650 to +1219\u{200e}"), pair("1650", "1219"));
        for no in ["", "User Ann changed", "User Ann changed from 1650 to", "User Ann changed from you to all of us"] {
            assert_eq!(changed(no), None, "{no}");
        }
    }
}
