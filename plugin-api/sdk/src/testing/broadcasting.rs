//! `broadcasts` in tests: a started broadcast is delivered at once to everyone in the audience who
//! has not opted out.

use super::world::{Broadcast, World};
use crate::bindings::imports::broadcasts::{Audience, Definition, Progress};
use crate::types::{Contact, Refusal};

type Refusable<T> = Result<T, Refusal>;

fn change(name: &str, change: impl FnOnce(&mut World, usize)) -> Refusable<()> {
    World::with(|world| match world.broadcasts.iter().position(|broadcast| broadcast.definition.name == name) {
        Some(index) => {
            change(world, index);
            Ok(())
        }
        None => Err(Refusal::new("broadcast-unknown", format!("The plugin has no broadcast `{name}`."))),
    })
}

fn is_in_audience(audience: &Audience, contact: &Contact) -> bool {
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
            if world.broadcasts.iter().any(|broadcast| broadcast.definition.name == definition.name) {
                let message = format!("The plugin already has a broadcast `{}`.", definition.name);
                return Err(Refusal::new("broadcast-exists", message));
            }
            if definition.texts.is_empty() && definition.template.is_none() {
                return Err(Refusal::new("broadcast-invalid", "`template` or `text` must be set"));
            }
            world.broadcasts.push(Broadcast { definition: definition.clone(), state: "draft", recipients: Vec::new() });
            Ok(())
        })
    }
    pub(crate) fn start(name: &str) -> Refusable<()> {
        change(name, |world, index| {
            let World { broadcasts, people, .. } = world;
            let broadcast = broadcasts.get_mut(index).filter(|broadcast| broadcast.state == "draft");
            let Some(Broadcast { definition, state, recipients }) = broadcast else { return };
            let audience =
                people.values().filter(|contact| !contact.opted_out && is_in_audience(&definition.audience, contact));
            *recipients = audience.map(|contact| contact.id.clone()).collect();
            *state = "finished";
        })
    }
    fn end(name: &str, state: &'static str) -> Refusable<()> {
        change(name, |world, index| {
            let broadcast = world.broadcasts.get_mut(index);
            if let Some(broadcast) = broadcast.filter(|broadcast| broadcast.state != "finished") {
                broadcast.state = state;
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
            let found = world.broadcasts.iter().find(|broadcast| broadcast.definition.name == name);
            Ok(found.map(|broadcast| {
                let count = u32::try_from(broadcast.recipients.len()).unwrap_or(u32::MAX);
                Progress {
                    state: broadcast.state.to_owned(),
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
            let found = world.broadcasts.iter().find(|broadcast| broadcast.definition.name == name);
            let is_recipient = found.is_some_and(|broadcast| broadcast.recipients.iter().any(|id| id == contact));
            Ok(is_recipient.then(|| "delivered".to_owned()))
        })
    }
}
