//! `contacts-identity`, `contacts-edit`, `consents` and `segments` in tests: changes apply at once,
//! and every grant counts without a question.

use super::world::World;
use crate::types::{Contact, Refusal};

type Refusable<T> = Result<T, Refusal>;

fn edit(id: &str, change: impl FnOnce(&mut Contact)) -> Refusable<()> {
    World::with(|world| match world.people.get_mut(id) {
        Some(contact) => {
            change(contact);
            Ok(())
        }
        None => Err(Refusal::new("unknown-contact", format!("There is no contact {id}."))),
    })
}

pub(crate) mod contacts_identity {
    use super::*;
    use crate::bindings::imports::contacts_identity::Identity;

    pub(crate) fn get(contact: &str) -> Refusable<Vec<Identity>> {
        World::with(|world| {
            if !world.people.contains_key(contact) {
                return Err(Refusal::new("unknown-contact", format!("There is no contact {contact}.")));
            }
            let number = world.phones.get(contact).cloned();
            let identity = |value| Identity { kind: "phone".to_owned(), value, since: world.now };
            Ok(number.map(identity).into_iter().collect())
        })
    }
    pub(crate) fn find(phone: &str) -> Refusable<Option<String>> {
        let digits: String = phone.chars().filter(char::is_ascii_digit).collect();
        if !(8..=15).contains(&digits.len()) {
            return Err(Refusal::new("bad-phone", "This is not a phone number."));
        }
        Ok(World::with(|world| {
            world.phones.iter().find(|(_, number)| **number == digits).map(|(contact, _)| contact.clone())
        }))
    }
}

pub(crate) mod contacts_edit {
    use super::*;
    use serde_json::{Map, Value};

    pub(crate) fn add_tags(contact: &str, tags: &[String]) -> Refusable<()> {
        edit(contact, |contact| {
            contact.tags.extend(tags.iter().cloned());
            contact.tags.sort();
            contact.tags.dedup();
        })
    }
    pub(crate) fn remove_tags(contact: &str, tags: &[String]) -> Refusable<()> {
        edit(contact, |contact| contact.tags.retain(|tag| !tags.contains(tag)))
    }
    pub(crate) fn set_attributes(contact: &str, attributes: &str) -> Refusable<()> {
        let changes: Map<String, Value> = serde_json::from_str(attributes)
            .map_err(|_| Refusal::new("attribute-type", "The attributes must be a JSON object."))?;
        edit(contact, |contact| {
            let mut all: Map<String, Value> = serde_json::from_str(&contact.attributes).unwrap_or_default();
            all.extend(changes);
            all.retain(|_, value| !value.is_null());
            contact.attributes = Value::Object(all).to_string();
        })
    }
    pub(crate) fn set_role(contact: &str, role: &str) -> Refusable<()> {
        if !["moderator", "helper", "member", "banned"].contains(&role) {
            return Err(Refusal::new("bad-role", format!("`{role}` is not a role that a plugin can give.")));
        }
        edit(contact, |contact| role.clone_into(&mut contact.role))
    }
}

pub(crate) mod consents {
    use super::*;
    use crate::bindings::imports::consents::{Decision, Entry};

    pub(crate) fn look_up(contact: &str, purpose: &str) -> Refusable<Decision> {
        World::with(|world| {
            Ok(match world.decision(contact, purpose) {
                Some(entry) => Decision { state: entry.act.clone(), since: Some(entry.at) },
                None => Decision { state: "missing".to_owned(), since: None },
            })
        })
    }
    pub(crate) fn history(contact: &str) -> Refusable<Vec<Entry>> {
        World::with(|world| {
            let entries = world.consents.iter().filter(|(person, _)| person == contact);
            Ok(entries.map(|(_, entry)| entry.clone()).collect())
        })
    }
    fn record(contact: &str, purpose: &str, act: &str, source: &str, wording: Option<&str>) -> Refusable<()> {
        World::with(|world| {
            if !world.people.contains_key(contact) {
                return Err(Refusal::new("unknown-contact", format!("There is no contact {contact}.")));
            }
            let entry = Entry {
                purpose: purpose.to_owned(),
                act: act.to_owned(),
                source: source.to_owned(),
                wording: wording.map(str::to_owned),
                wording_version: wording.map(|_| 1),
                at: world.now,
                recorded_at: world.now,
                actor: "plugin:test".to_owned(),
            };
            world.consents.push((contact.to_owned(), entry));
            Ok(())
        })
    }
    pub(crate) fn record_grant(
        contact: &str,
        purpose: &str,
        source: &str,
        wording: Option<&str>,
        _evidence: Option<&str>,
    ) -> Refusable<()> {
        record(contact, purpose, "granted", source, wording)
    }
    pub(crate) fn record_withdrawal(
        contact: &str,
        purpose: &str,
        source: &str,
        _evidence: Option<&str>,
    ) -> Refusable<()> {
        record(contact, purpose, "withdrawn", source, None)
    }
}

pub(crate) mod segments {
    use super::*;
    use crate::bindings::imports::segments::SegmentPage;

    fn members(world: &World, segment: &str) -> Refusable<Vec<String>> {
        let code = if segment.starts_with("list:") { "list-unknown" } else { "segment-unknown" };
        let unknown = || Refusal::new(code, format!("Unknown segment or list `{segment}`; define it in the test."));
        world.segments.get(segment).cloned().ok_or_else(unknown)
    }
    pub(crate) fn contains(segment: &str, contact: &str) -> Refusable<bool> {
        World::with(|world| {
            if !world.people.contains_key(contact) {
                return Err(Refusal::new("unknown-contact", format!("There is no contact {contact}.")));
            }
            Ok(members(world, segment)?.iter().any(|member| member == contact))
        })
    }
    pub(crate) fn page(segment: &str, after: Option<&str>, limit: u32) -> Refusable<SegmentPage> {
        World::with(|world| {
            let mut members = members(world, segment)?;
            members.sort();
            let mut rest = members.into_iter().filter(|member| after.is_none_or(|after| after < member.as_str()));
            let contacts: Vec<String> = rest.by_ref().take(limit.clamp(1, 500) as usize).collect();
            let next = rest.next().and(contacts.last().cloned());
            Ok(SegmentPage { contacts, next })
        })
    }
}
