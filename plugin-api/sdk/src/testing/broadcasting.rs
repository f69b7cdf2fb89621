//! `broadcasts` in tests: a started broadcast is sent at once, to everyone in the audience whom the
//! test added as a member or with the tag, and everyone gets it.

use super::world::{Broadcast, World};
use crate::bindings::imports::broadcasts::{Audience, Definition, Progress};
use crate::types::{Contact, Refusal};

type Refusable<T> = Result<T, Refusal>;

fn change(name: &str, change: impl FnOnce(&mut World, usize)) -> Refusable<()> {
    World::with(|world| match world.broadcasts.iter().position(|it| it.definition.name == name) {
        Some(place) => {
            change(world, place);
            Ok(())
        }
        None => Err(Refusal::new("broadcast-unknown", format!("The plugin has no broadcast `{name}`."))),
    })
}

fn is_meant(audience: &Audience, contact: &Contact) -> bool {
    match audience {
        Audience::Everyone => true,
        Audience::Members => contact.member,
        // A test has no segments: a segment is a tag here.
        Audience::Tag(tag) | Audience::Segment(tag) => contact.tags.contains(tag),
        Audience::Contacts(ids) => ids.contains(&contact.id),
    }
}

pub(crate) mod broadcasts {
    use super::*;

    pub(crate) fn create(definition: &Definition) -> Refusable<()> {
        World::with(|world| {
            if world.broadcasts.iter().any(|it| it.definition.name == definition.name) {
                let message = format!("The plugin has a broadcast `{}` already.", definition.name);
                return Err(Refusal::new("broadcast-exists", message));
            }
            if definition.texts.is_empty() && definition.template.is_none() {
                return Err(Refusal::new("broadcast-invalid", "A broadcast needs a text or a template."));
            }
            world.broadcasts.push(Broadcast { definition: definition.clone(), state: "draft", recipients: Vec::new() });
            Ok(())
        })
    }
    pub(crate) fn start(name: &str) -> Refusable<()> {
        change(name, |world, place| {
            let World { broadcasts, people, .. } = world;
            let Some(it) = broadcasts.get_mut(place).filter(|it| it.state == "draft") else { return };
            let meant =
                people.values().filter(|contact| !contact.opted_out && is_meant(&it.definition.audience, contact));
            it.recipients = meant.map(|contact| contact.id.clone()).collect();
            it.state = "finished";
        })
    }
    fn end(name: &str, state: &'static str) -> Refusable<()> {
        change(name, |world, place| {
            if let Some(it) = world.broadcasts.get_mut(place).filter(|it| it.state != "finished") {
                it.state = state;
            }
        })
    }
    pub(crate) fn pause(name: &str) -> Refusable<()> {
        end(name, "paused")
    }
    pub(crate) fn stop(name: &str) -> Refusable<()> {
        end(name, "stopped")
    }
    pub(crate) fn status(name: &str) -> Refusable<Option<Progress>> {
        World::with(|world| {
            let found = world.broadcasts.iter().find(|it| it.definition.name == name);
            Ok(found.map(|it| {
                let count = u32::try_from(it.recipients.len()).unwrap_or(u32::MAX);
                Progress {
                    state: it.state.to_owned(),
                    problem: None,
                    recipients: count,
                    waiting: 0,
                    sent: count,
                    delivered: count,
                    read: 0,
                    failed: 0,
                    refused: Vec::new(),
                }
            }))
        })
    }
    pub(crate) fn recipient(name: &str, contact: &str) -> Refusable<Option<String>> {
        World::with(|world| {
            let found = world.broadcasts.iter().find(|it| it.definition.name == name);
            let is_recipient = found.is_some_and(|it| it.recipients.iter().any(|id| id == contact));
            Ok(is_recipient.then(|| "delivered".to_owned()))
        })
    }
}
