//! The identities of a person in a webhook, collected from all the places that carry them
//! (docs/whatsapp.md#identities).
//!
//! Invariant: identities of two people never end up in one list. The store decides which contact a
//! list belongs to.

use crate::json::Json;
use crate::origin::Origin;
use beadle_model::text::{is_hidden, is_ignorable};
use beadle_model::{Alias, AliasKind};
use std::borrow::Cow;

/// The digits of the shortest and the longest international numbers (E.164).
const MIN_DIGITS: usize = 7;
const MAX_DIGITS: usize = 15;

/// Aliases without duplicates, in the order in which they were added.
#[derive(Default)]
struct Aliases(Vec<Alias>);

impl Aliases {
    /// Adds an identity without invisible characters, which would make it another person's.
    fn add(&mut self, kind: AliasKind, value: Option<String>) {
        let alias = value.map(|value| Alias { kind, value: normalized(&value) });
        self.0.extend(alias.filter(|alias| !alias.value.is_empty() && !self.0.contains(alias)));
    }

    /// Adds the value of a member that usually holds a number, such as `from` or `wa_id`. The
    /// platform also puts user ids there; a value with a letter or a `.` is one, and never a
    /// number.
    fn add_address(&mut self, kind: AliasKind, value: Option<Cow<'_, str>>) {
        let Some(value) = value.map(|value| normalized(&value)) else { return };
        if is_user_id(&value) {
            self.add(AliasKind::UserId, Some(value));
        } else {
            self.add(kind, Some(value));
        }
    }

    /// Adds a phone number as people write it. It is reduced to its digits, and ignored if their
    /// number is implausible.
    fn add_number(&mut self, text: Option<Cow<'_, str>>) {
        let digits: String = text.as_deref().unwrap_or_default().chars().filter(char::is_ascii_digit).collect();
        if (MIN_DIGITS..=MAX_DIGITS).contains(&digits.len()) {
            self.add(AliasKind::Phone, Some(digits));
        }
    }
}

/// An identity without invisible characters, spaces and the `+` of a number.
fn normalized(identity: &str) -> String {
    let visible: String = identity.chars().filter(|c| !is_ignorable(*c) && !c.is_whitespace()).collect();
    visible.strip_prefix('+').map_or_else(|| visible.clone(), str::to_owned)
}

fn is_user_id(identity: &str) -> bool {
    identity.chars().any(|c| c == '.' || c.is_alphabetic())
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
    let name: String = name.chars().filter(|c| !c.is_control() && !is_hidden(*c)).take(MAX_NAME_CHARS).collect();
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// The identities of the sender. A new identity precedes the one that it replaces, because replies
/// go to the first of each kind; in a report of a changed number, the new number also precedes the
/// user id that belonged to the old one. `from` is a phone number and `wa_id` an account id; they
/// usually have the same digits, and then only the account id is listed.
pub(crate) fn sender(message: &Json<'_>, person: Option<&Json<'_>>) -> Vec<Alias> {
    use AliasKind::{ParentUserId, Phone, UserId, WaId};
    let mut aliases = Aliases::default();
    if let Some(notice) = message.get("system") {
        add_changed(&mut aliases, message, notice);
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

/// Adds the new and the old identity of a person whose number or user id changed.
fn add_changed(aliases: &mut Aliases, message: &Json<'_>, notice: &Json<'_>) {
    use AliasKind::{ParentUserId, Phone, UserId, WaId};
    let body = notice.text_of("body").unwrap_or_default();
    let (old, new) = changed(&body).unzip();
    match change(message, notice) {
        Some(Change::UserId) => {
            aliases.add(UserId, notice.string_of("user_id"));
            aliases.add_address(WaId, new.map(Cow::Owned));
            aliases.add(UserId, notice.string_of("previous_user_id"));
            aliases.add_address(WaId, old.map(Cow::Owned));
            aliases.add(ParentUserId, notice.string_of("parent_user_id"));
            aliases.add(ParentUserId, notice.string_of("previous_parent_user_id"));
        }
        Some(Change::Number) => {
            aliases.add(UserId, notice.string_of("user_id"));
            for name in ["new_wa_id", "wa_id"] {
                aliases.add_address(WaId, notice.text_of(name));
            }
            aliases.add_address(WaId, new.map(Cow::Owned));
            aliases.add_address(Phone, old.map(Cow::Owned));
            aliases.add_address(Phone, notice.text_of("customer"));
            aliases.add_address(Phone, message.text_of("from"));
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

/// The change in a notice. The platform names its types differently from version to version
/// (`user_changed_number`, `customer_changed_number`, `changed_number`), so the thing that changed
/// counts. A notice whose type says nothing is classified by its new identity: a `new_wa_id`, the
/// sentence, or, without a type, a `wa_id` other than the sender's. In a notice of an unknown type,
/// `wa_id` may be another person's.
pub(crate) fn change(message: &Json<'_>, notice: &Json<'_>) -> Option<Change> {
    let kind = notice.text_of("type").map(|kind| kind.to_ascii_lowercase());
    match kind.as_deref() {
        Some(kind) if kind.contains("identity") => return Some(Change::Device),
        Some(kind) if kind.contains("user_id") => return Some(Change::UserId),
        Some(kind) if kind.contains("number") => return Some(Change::Number),
        _ => {}
    }
    let id_of = |json: &Json<'_>, name: &str| json.text_of(name).map(|id| normalized(&id)).filter(|id| !id.is_empty());
    let stated = id_of(notice, "new_wa_id");
    let sentence = || Some(changed(&notice.text_of("body")?)?.1);
    let untyped = || id_of(notice, "wa_id").filter(|id| kind.is_none() && Some(id) != id_of(message, "from").as_ref());
    let new = stated.or_else(sentence).or_else(untyped)?;
    Some(if is_user_id(&new) { Change::UserId } else { Change::Number })
}

/// The old and the new identity in `User Sheena Nelson changed from 16505551234 to 12195555358`.
/// The name may contain anything, so the last occurrence counts. Invisible characters are dropped
/// everywhere, and any white space is a space.
fn changed(body: &str) -> Option<(String, String)> {
    let visible: String = body.chars().filter(|c| !is_ignorable(*c)).collect();
    let sentence = visible.split_whitespace().collect::<Vec<_>>().join(" ");
    let (_, identities) = sentence.rsplit_once(" changed from ")?;
    let (old, new) = identities.split_once(" to ")?;
    Some((identity(old)?, identity(new)?))
}

/// The identity at the start of a text: the digits of a number as people write it, or a user id. A
/// word without a digit is prose.
fn identity(text: &str) -> Option<String> {
    let text = text.trim_start_matches(|c: char| !c.is_alphanumeric());
    let is_in_number =
        |c: char| c.is_ascii_digit() || matches!(c, ' ' | '-' | '.' | '/' | '(' | ')' | '\u{2010}'..='\u{2015}');
    let number = text.split(|c| !is_in_number(c)).next().unwrap_or_default();
    let follows = text.strip_prefix(number).unwrap_or_default();
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    // What directly follows a digit belongs to the same word.
    let is_whole = !number.ends_with(|c: char| c.is_ascii_digit()) || !follows.starts_with(char::is_alphanumeric);
    if !digits.is_empty() && is_whole {
        // A short number before other words is prose.
        return (digits.len() >= MIN_DIGITS || follows.is_empty()).then_some(digits);
    }
    let word = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '.').next()?.trim_end_matches('.');
    word.bytes().any(|byte| byte.is_ascii_digit()).then(|| word.to_owned())
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
        for sentence in [
            "Ann changed from +31 6 1000-0001 to +31 (6) 1000 0002",
            "Ann\u{a0}changed\u{a0}from\u{a0}31610000001\u{202f}to\u{a0}31610000002.",
            "Ann chan\u{ad}ged fr\u{200e}om\u{200e} 31610000001 to\u{200e}  31610000002. Tap to chat.",
            "\u{2068}Ann\u{2069} changed from \u{2068}+31610000001\u{2069} to \u{2068}+31610000002\u{2069}",
        ] {
            assert_eq!(changed(sentence), pair("31610000001", "31610000002"), "{sentence}");
        }
        for no in [
            "",
            "User Ann changed",
            "User Ann changed from 1650 to",
            "User Ann changed from you to all of us",
            "User Ann changed from 2 to 3 people",
        ] {
            assert_eq!(changed(no), None, "{no}");
        }
    }
}
