//! Messages and people as the control API and the page see them.

use crate::hub::{Hub, World};
use crate::messages::{Message, Pricing, Reactions, State, Step};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

/// A message, with its person by id.
#[derive(Serialize)]
pub(crate) struct MessageView<'a> {
    seq: u64,
    id: &'a str,
    /// `business` or `person`.
    from: &'static str,
    person: &'a str,
    r#type: &'a str,
    at_ms: i64,
    body: &'a RawValue,
    context: Option<&'a str>,
    callback_data: Option<&'a str>,
    pricing: Option<Pricing>,
    state: State,
    states: &'a [Step],
    error: Option<u32>,
    reactions: &'a Reactions,
}

impl<'a> MessageView<'a> {
    pub(crate) fn new(world: &'a World, message: &'a Message) -> Self {
        Self {
            seq: message.seq,
            id: &message.id,
            from: if message.from_business { "business" } else { "person" },
            person: world.people.get(message.person).map_or("", |person| person.id.as_str()),
            r#type: &message.kind,
            at_ms: message.at_ms,
            body: &message.body,
            context: message.context.as_deref(),
            callback_data: message.callback_data.as_deref(),
            pricing: message.pricing,
            state: message.state(),
            states: &message.states,
            error: message.error,
            reactions: &message.reactions,
        }
    }
}

/// Tells the pages how a message stands now. The crowd of a flood is not shown.
pub(crate) fn tell(hub: &Hub, world: &World, seq: u64) {
    let Some(message) = world.messages.get(seq) else { return };
    if world.people.get(message.person).is_some_and(|person| !person.crowd) {
        hub.tell(|| json!({"kind": "message", "message": MessageView::new(world, message)}));
    }
}

/// Tells the pages how a person stands now.
pub(crate) fn tell_person(hub: &Hub, world: &World, no: usize) {
    if let Some(person) = world.people.get(no).filter(|person| !person.crowd) {
        hub.tell(|| json!({"kind": "person", "person": person}));
    }
}
