//! Messages, people and groups as the control API and the chat page show them.

use crate::groups::{Group, GroupNo};
use crate::hub::{Hub, World};
use crate::messages::{Chat, Message, MessageState, Pricing, Step};
use crate::people::{Person, PersonNo};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// A message with people by id.
#[derive(Serialize)]
pub(crate) struct MessageView<'a> {
    seq: u64,
    id: &'a str,
    /// `business` or `person`.
    from: &'static str,
    /// The other party, or in a group the author; null for a message of the business to a group.
    person: Option<&'a str>,
    group: Option<&'a str>,
    r#type: &'a str,
    at_ms: i64,
    body: &'a RawValue,
    /// A template with its parameters filled in.
    rendered: Option<&'a Value>,
    context: Option<&'a str>,
    callback_data: Option<&'a str>,
    pricing: Option<&'a Pricing>,
    state: MessageState,
    states: &'a [Step],
    /// In a group, the state for each member.
    receipts: Vec<Value>,
    error: Option<u32>,
    error_details: Option<&'a str>,
    /// `from` is the id of a person or `business`.
    reactions: Vec<Value>,
}

impl<'a> MessageView<'a> {
    pub(crate) fn new(world: &'a World, message: &'a Message) -> Self {
        let reaction = |(author, emoji): &(Option<PersonNo>, String)| {
            let from = author.map_or("business", |no| world.people.id(no));
            json!({"from": from, "emoji": emoji})
        };
        let receipt = |(no, state): &(PersonNo, MessageState)| json!({"person": world.people.id(*no), "state": state});
        Self {
            seq: message.seq,
            id: &message.id,
            from: if message.from_business { "business" } else { "person" },
            person: message.person().map(|no| world.people.id(no)),
            group: group_id(world, message.chat),
            r#type: &message.kind,
            at_ms: message.at_ms,
            body: &message.body,
            rendered: message.rendered.as_ref(),
            context: message.context.as_deref(),
            callback_data: message.callback_data.as_deref(),
            pricing: message.pricing.as_ref(),
            state: message.state(),
            states: &message.states,
            receipts: message.audience.iter().map(receipt).collect(),
            error: message.error,
            error_details: message.error_details.as_deref(),
            reactions: message.reactions.iter().map(reaction).collect(),
        }
    }
}

/// A person, with the identities that the business sees now.
pub(crate) fn person(person: &Person, now_ms: i64) -> Value {
    let open = |until_ms: i64| (now_ms < until_ms).then_some(until_ms);
    json!({
        "id": person.id, "name": person.name, "username": person.username, "number": person.number,
        "hidden": person.hidden, "wa_id": person.wa_id(now_ms), "user_id": person.user_id,
        "parent_user_id": person.parent_user_id, "window_until_ms": person.window_until_ms, "crowd": person.crowd,
        "marketing_stopped": person.marketing_stopped, "blocked": person.blocked,
        "free_until_ms": open(person.free_until_ms),
    })
}

/// A group with people by id.
pub(crate) fn group(world: &World, group: &Group) -> Value {
    let ids = |people: &[PersonNo]| people.iter().map(|no| world.people.id(*no).to_owned()).collect::<Vec<_>>();
    let requests: Vec<Value> = group
        .requests
        .iter()
        .map(|request| json!({"id": request.id, "person": world.people.id(request.person), "at_ms": request.at_ms}))
        .collect();
    json!({
        "id": group.id, "subject": group.subject, "description": group.description,
        "approval_required": group.approval_required,
        "created_ms": group.created_ms, "suspended": group.suspended, "deleted": group.deleted,
        "invite_link": group.invite_link(), "members": ids(&group.members), "join_requests": requests,
        "removed": ids(&group.removed.iter().copied().collect::<Vec<_>>()),
        "window_until_ms": group.window_until_ms, "pins": group.pins, "picture": group.picture,
    })
}

/// The id of a group chat's group.
pub(crate) fn group_id(world: &World, chat: Chat) -> Option<&str> {
    match chat {
        Chat::Person(_) => None,
        Chat::Group(no) => world.groups.get(no).map(|group| group.id.as_str()),
    }
}

/// Sends the current state of a message to the chat pages. Messages of a flood are not shown.
pub(crate) fn publish_message(hub: &Hub, world: &World, seq: u64) {
    let Some(message) = world.messages.get(seq) else { return };
    let in_crowd = message.person().and_then(|no| world.people.get(no)).is_some_and(|person| person.crowd);
    if !in_crowd {
        hub.publish(|| json!({"kind": "message", "message": MessageView::new(world, message)}));
    }
}

/// Sends the current state of a person to the chat pages.
pub(crate) fn publish_person(hub: &Hub, world: &World, no: PersonNo) {
    if let Some(found) = world.people.get(no).filter(|person| !person.crowd) {
        hub.publish(|| json!({"kind": "person", "person": person(found, hub.clock.now_ms())}));
    }
}

/// Sends the current state of a group to the chat pages.
pub(crate) fn publish_group(hub: &Hub, world: &World, no: GroupNo) {
    if let Some(found) = world.groups.get(no) {
        hub.publish(|| json!({"kind": "group", "group": group(world, found)}));
    }
}
