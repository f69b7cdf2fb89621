//! Who it is: every name that the platform tells of a person, in whatever place (whatsapp.md 1.4, 1.5 and 6).

use crate::json::Json;
use crate::webhook::Origin;
use beadle_model::{Alias, AliasKind};
use std::borrow::Cow;

/// Names without doubles, in the order in which they were added.
#[derive(Default)]
struct Names(Vec<Alias>);

impl Names {
    fn add(&mut self, kind: AliasKind, value: Option<String>) {
        self.0.extend(value.map(|value| Alias { kind, value }).filter(|alias| !self.0.contains(alias)));
    }

    /// A number as people write it: digits only, and only where there are enough of them to be one.
    fn add_number(&mut self, text: Option<Cow<'_, str>>) {
        let digits: String = text.as_deref().unwrap_or_default().chars().filter(char::is_ascii_digit).collect();
        // The shortest international numbers have seven digits, the longest fifteen (E.164).
        if (7..=15).contains(&digits.len()) {
            self.add(AliasKind::Phone, Some(digits));
        }
    }
}

/// The element of `contacts` that is the sender: one that shares a name with the message, or the only one where it
/// contradicts none. Two people's names must never become one person's.
pub(crate) fn person<'a>(origin: &Origin<'a>, message: &Json<'_>) -> Option<&'a Json<'a>> {
    let contacts = origin.value.get("contacts")?.items()?;
    let compare = |contact: &Json<'_>| {
        [("wa_id", "from"), ("user_id", "from_user_id")]
            .map(|(theirs, says)| Some(contact.text_of(theirs)? == message.text_of(says)?))
    };
    let same = |contact: &&Json<'_>| compare(contact).contains(&Some(true));
    let only = || contacts.first().filter(|contact| contacts.len() == 1 && !compare(contact).contains(&Some(false)));
    contacts.iter().find(same).or_else(only)
}

/// What the platform shows of a person: their name, else their user name.
pub(crate) fn shown(person: &Json<'_>) -> Option<String> {
    let profile = person.get("profile");
    let name = profile.and_then(|profile| profile.string_of("name"));
    name.or_else(|| profile?.string_of("username")).or_else(|| person.string_of("username"))
}

/// Every name that the platform tells of the sender, each once, a new one before the one it takes the place of: the first
/// of its kind is where answers go. `from` is a telephone number and `wa_id` an account's id; mostly they are the same
/// digits, and then the store takes the id for both (whatsapp.md 6).
pub(crate) fn sender(message: &Json<'_>, person: Option<&Json<'_>>) -> Vec<Alias> {
    use AliasKind::{ParentUserId, Phone, UserId, WaId};
    let mut names = Names::default();
    if let Some(system) = message.get("system") {
        renamed(&mut names, system);
    }
    let (from, wa_id) = (message.text_of("from"), person.and_then(|person| person.text_of("wa_id")));
    let phone = from.filter(|from| wa_id.as_ref() != Some(from));
    names.add(UserId, message.string_of("from_user_id"));
    names.add(UserId, person.and_then(|person| person.string_of("user_id")));
    names.add(WaId, wa_id.map(Cow::into_owned));
    names.add(Phone, phone.map(Cow::into_owned));
    names.add(ParentUserId, message.string_of("from_parent_user_id"));
    names.add(ParentUserId, person.and_then(|person| person.string_of("parent_user_id")));
    for card in message.get("contacts").and_then(Json::items).unwrap_or_default() {
        // Only what answers a request of ours is the sender's own number; other cards are anybody's.
        if card.text_of("origin").as_deref() == Some("contact_request") {
            for phone in card.get("phones").and_then(Json::items).unwrap_or_default() {
                names.add(WaId, phone.string_of("wa_id"));
                names.add_number(phone.text_of("phone"));
            }
        }
    }
    names.0
}

/// A changed number or id: the new names belong to whoever had the old ones.
fn renamed(names: &mut Names, system: &Json<'_>) {
    use AliasKind::{ParentUserId, Phone, UserId, WaId};
    let body = system.text_of("body").unwrap_or_default();
    let (old, new) = changed(&body).map(|(old, new)| (old.to_owned(), new.to_owned())).unzip();
    match system.text_of("type").as_deref() {
        Some("user_changed_user_id") => {
            names.add(UserId, system.string_of("user_id").or(new));
            names.add(UserId, system.string_of("previous_user_id").or(old));
            names.add(ParentUserId, system.string_of("parent_user_id"));
            names.add(ParentUserId, system.string_of("previous_parent_user_id"));
        }
        Some("user_changed_number") => {
            names.add(WaId, system.string_of("wa_id").or(new));
            names.add(UserId, system.string_of("user_id"));
            names.add(Phone, old);
        }
        _ => {}
    }
}

/// Old and new name in `User Sheena Nelson changed from 16505551234 to 12195555358`; the name may hold anything, so the
/// last place counts.
fn changed(body: &str) -> Option<(&str, &str)> {
    let (_, names) = body.rsplit_once(" changed from ")?;
    let (old, new) = names.split_once(" to ")?;
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
    (is_name(old) && is_name(new)).then_some((old, new))
}

/// The names in an object that has them as `wa_id`, `user_id` and their like: a member of a group, a preference, ….
/// `input` is what we wrote when we asked.
pub(crate) fn named(object: &Json<'_>) -> Vec<Alias> {
    use AliasKind::{ParentUserId, UserId, WaId};
    let mut names = Names::default();
    names.add(UserId, object.string_of("user_id"));
    names.add(WaId, object.string_of("wa_id"));
    match object.string_of("input") {
        Some(input) if input.contains('.') => names.add(UserId, Some(input)),
        Some(input) => names.add_number(Some(Cow::Owned(input))),
        None => {}
    }
    names.add(ParentUserId, object.string_of("parent_user_id"));
    names.0
}

/// To whom a colleague wrote.
pub(crate) fn addressee(echo: &Json<'_>) -> Vec<Alias> {
    let mut names = Names::default();
    names.add(AliasKind::UserId, echo.string_of("to_user_id"));
    names.add(AliasKind::WaId, echo.string_of("to"));
    names.add(AliasKind::ParentUserId, echo.string_of("to_parent_user_id"));
    names.0
}

/// The member of a group whom a status is about. The platform prints two spellings of the first (whatsapp.md 3.5).
pub(crate) fn participant(status: &Json<'_>) -> Vec<Alias> {
    let mut names = Names::default();
    let id = status.string_of("recipient_participant_id").or_else(|| status.string_of("participant_recipient_id"));
    names.add(AliasKind::UserId, status.string_of("recipient_participant_user_id"));
    names.add(AliasKind::WaId, id);
    names.add(AliasKind::ParentUserId, status.string_of("recipient_participant_parent_user_id"));
    names.0
}

/// What a status tells of whom a message went to, beyond the number that we wrote to ourselves.
pub(crate) fn recipient(status: &Json<'_>) -> Vec<Alias> {
    let mut names = Names::default();
    names.add(AliasKind::UserId, status.string_of("recipient_user_id"));
    names.add(AliasKind::ParentUserId, status.string_of("recipient_parent_user_id"));
    names.0
}

#[cfg(test)]
mod tests {
    use super::changed;

    #[test]
    fn the_names_of_a_change_are_the_last_ones() {
        assert_eq!(changed("User Ann changed from 1650 to 1219"), Some(("1650", "1219")));
        assert_eq!(changed("User x changed from a to b changed from US.1 to US.2"), Some(("US.1", "US.2")));
        for no in ["", "User Ann changed", "User Ann changed from 1650 to", "User Ann changed from you to all of us"] {
            assert_eq!(changed(no), None, "{no}");
        }
    }
}
