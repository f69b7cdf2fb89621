//! The states of messages, and the statuses that report them (docs/whatsapp.md#statuses and
//! docs/whatsapp.md#group-statuses).

use crate::action::ScheduledAction;
use crate::envelope::{Update, UpdateKind};
use crate::hub::{Hub, World};
use crate::messages::{Chat, Message, MessageState, Pricing, Step};
use crate::people::{Person, PersonNo};
use crate::refusal::Refusal;
use crate::{account, view, wire};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Advances a message of the business to a state and to the states that follow from it, and sends
/// the statuses.
pub(crate) fn reach(hub: &Hub, world: &mut World, seq: u64, first: MessageState) {
    let mut state = first;
    loop {
        let now_ms = hub.clock.now_ms();
        let Some(message) = world.messages.get(seq) else { return };
        if message.state() >= state {
            return;
        }
        match message.chat {
            Chat::Group(_) if state != MessageState::Sent && state != MessageState::Failed => {
                let everyone: Vec<PersonNo> = message.audience.iter().map(|(person, _)| *person).collect();
                reach_in_group(hub, world, seq, &everyone, state);
            }
            _ => {
                record_state(world, seq, state, now_ms);
                view::publish_message(hub, world, seq);
                send_receipt(hub, world, seq, state, now_ms, &[]);
            }
        }
        // Reactions and pins get no status after `sent`.
        let sent_only =
            world.messages.get(seq).is_none_or(|message| matches!(message.kind.as_str(), "reaction" | "pin"));
        state = match state {
            MessageState::Accepted => MessageState::Sent,
            MessageState::Sent if !sent_only => MessageState::Delivered,
            MessageState::Delivered if world.faults.auto_read => MessageState::Read,
            _ => return,
        };
        if world.faults.receipt_delay_ms > 0 {
            let due_ms = now_ms.saturating_add(world.faults.receipt_delay_ms);
            hub.webhook_sender.schedule(now_ms, due_ms, ScheduledAction::ReachState(seq, state));
            return;
        }
    }
}

fn record_state(world: &mut World, seq: u64, state: MessageState, now_ms: i64) {
    let Some(message) = world.messages.get_mut(seq) else { return };
    message.states.push(Step { state, at_ms: now_ms });
    world.counts.reached(state);
    if state == MessageState::Delivered
        && let (Some(pricing), Some(person)) = (&message.pricing, message.person().and_then(|no| world.people.get(no)))
    {
        account::bill(&mut world.account, pricing, person, now_ms);
    }
}

/// Advances a group message to a state for some members. Their statuses share one webhook, as Meta
/// aggregates them.
pub(crate) fn reach_in_group(hub: &Hub, world: &mut World, seq: u64, members: &[PersonNo], state: MessageState) {
    let now_ms = hub.clock.now_ms();
    let Some(message) = world.messages.get_mut(seq) else { return };
    let mut reached = Vec::new();
    for (person, at) in &mut message.audience {
        if members.contains(person) && *at < state {
            *at = state;
            reached.push(*person);
        }
    }
    let all = message.audience.iter().map(|(_, at)| *at).min();
    let pricing = message.pricing.clone().filter(|_| state == MessageState::Delivered);
    if all.is_some_and(|all| all > message.state()) {
        message.states.push(Step { state, at_ms: now_ms });
        world.counts.reached(state);
    }
    for person in reached.iter().filter_map(|no| world.people.get(*no)) {
        if let Some(pricing) = &pricing {
            account::bill(&mut world.account, pricing, person, now_ms);
        }
    }
    if !reached.is_empty() {
        view::publish_message(hub, world, seq);
        send_receipt(hub, world, seq, state, now_ms, &reached);
    }
}

/// A person reads a chat: the messages delivered to them up to `last` become read. Returns their
/// number.
pub(crate) fn read_by(hub: &Hub, world: &mut World, chat: Chat, reader: PersonNo, last: u64) -> usize {
    let unread = |message: &&Message| {
        message.from_business
            && message.seq <= last
            && match chat {
                Chat::Person(_) => message.state() == MessageState::Delivered,
                Chat::Group(_) => message.audience.contains(&(reader, MessageState::Delivered)),
            }
    };
    let mut unread: Vec<u64> = world.messages.of(chat).filter(unread).map(|message| message.seq).collect();
    unread.reverse();
    for seq in &unread {
        match chat {
            Chat::Person(_) => reach(hub, world, *seq, MessageState::Read),
            Chat::Group(_) => reach_in_group(hub, world, *seq, &[reader], MessageState::Read),
        }
    }
    unread.len()
}

/// The business marks a message as read, and in a chat with one person all earlier ones.
pub(crate) fn mark_read(hub: &Hub, world: &mut World, seq: u64) {
    let now_ms = hub.clock.now_ms();
    let mut next = Some(seq);
    while let Some(message) = next.and_then(|seq| world.messages.get_mut(seq)) {
        let marked = message.seq;
        // In a group each message is marked separately.
        next = message.before.filter(|_| matches!(message.chat, Chat::Person(_)));
        if message.from_business {
            continue;
        }
        if message.state() >= MessageState::Read {
            return;
        }
        message.states.push(Step { state: MessageState::Read, at_ms: now_ms });
        view::publish_message(hub, world, marked);
    }
}

/// Marks people's messages as delivered after the callback accepted them.
pub(crate) fn mark_delivered(hub: &Hub, messages: &[u64]) {
    if messages.is_empty() {
        return;
    }
    let now_ms = hub.clock.now_ms();
    let mut world = hub.world();
    for seq in messages {
        let Some(message) = world.messages.get_mut(*seq) else { continue };
        if message.state() == MessageState::Accepted {
            message.states.push(Step { state: MessageState::Delivered, at_ms: now_ms });
            view::publish_message(hub, &world, *seq);
        }
    }
}

/// Sends the status of a message, with the faults that affect it. `members` are those of a group
/// that it is about.
fn send_receipt(hub: &Hub, world: &mut World, seq: u64, state: MessageState, now_ms: i64, members: &[PersonNo]) {
    if state == MessageState::Accepted || !world.faults.receipts {
        return;
    }
    let fault = world.faults.receipt_fault(&mut world.rng, state.name());
    let (false, Some(update)) = (fault.lost, update(world, seq, state, now_ms, members)) else { return };
    if fault.duplicated {
        hub.deliver(world, update.clone());
    }
    match (fault.delay_ms, fault.hold_real_ms) {
        (Some(delay_ms), _) => {
            hub.webhook_sender.enqueue(update, Some(now_ms.saturating_add_unsigned(delay_ms)));
        }
        (None, Some(hold_ms)) => {
            hub.webhook_sender.enqueue_after(update, hold_ms);
        }
        (None, None) => {
            hub.deliver(world, update);
        }
    }
}

fn update(world: &mut World, seq: u64, state: MessageState, now_ms: i64, members: &[PersonNo]) -> Option<Update> {
    let other_spelling = world.faults.group_variants && world.rng.chance(0.5);
    let message = world.messages.get(seq)?;
    // A failed status has no contacts, and one on `sent` no username.
    let contact_of =
        |no: &PersonNo| world.people.get(*no).map(|person| contact(person, state != MessageState::Sent, now_ms));
    let (contacts, statuses) = match message.chat {
        Chat::Person(no) => {
            let person = world.people.get(no)?;
            let contacts =
                if state == MessageState::Failed { Vec::new() } else { contact_of(&no).into_iter().collect() };
            (contacts, vec![status(world, message, person, state, now_ms)])
        }
        Chat::Group(no) => {
            let group = world.groups.get(no)?;
            let of_group = base(message, state, now_ms, &group.id);
            if members.is_empty() {
                (Vec::new(), vec![Value::Object(of_group)])
            } else {
                let key = if other_spelling { "participant_recipient" } else { "recipient_participant" };
                let each = |no: &PersonNo| {
                    let person = world.people.get(*no)?;
                    let mut status = of_group.clone();
                    status.extend(person.wa_id(now_ms).map(|number| (format!("{key}_id"), json!(number))));
                    status.insert("recipient_participant_user_id".to_owned(), json!(person.user_id));
                    Some(Value::Object(status))
                };
                (members.iter().filter_map(contact_of).collect(), members.iter().filter_map(each).collect())
            }
        }
    };
    let json: Vec<String> = statuses.iter().map(wire::to_json).collect();
    Some(Update {
        json: json.join(",").into(),
        contacts,
        about: Some(seq),
        ..Update::new(message.chat.lane(), UpdateKind::Status(state))
    })
}

fn status(world: &World, message: &Message, person: &Person, state: MessageState, now_ms: i64) -> Value {
    let mut status = base(message, state, now_ms, "");
    // If the number is hidden, the member is omitted, not empty.
    match person.wa_id(now_ms) {
        Some(number) => status.insert("recipient_id".to_owned(), json!(number)),
        None => status.remove("recipient_id"),
    };
    status.insert("recipient_user_id".to_owned(), json!(person.user_id));
    if let Some(parent) = &person.parent_user_id {
        status.insert("recipient_parent_user_id".to_owned(), json!(parent));
    }
    if let Some(conversation) = conversation(world, message, person, state, now_ms) {
        status.insert("conversation".to_owned(), conversation);
    }
    Value::Object(status)
}

/// The members that all statuses of a message share.
fn base(message: &Message, state: MessageState, now_ms: i64, recipient: &str) -> Map<String, Value> {
    let mut status = Map::new();
    status.insert("id".to_owned(), json!(message.id));
    status.insert("status".to_owned(), json!(state.name()));
    status.insert("timestamp".to_owned(), json!(now_ms.div_euclid(1000).to_string()));
    status.insert("recipient_id".to_owned(), json!(recipient));
    if let Chat::Group(_) = message.chat {
        status.insert("recipient_type".to_owned(), json!("group"));
    }
    if let Some(data) = &message.callback_data {
        status.insert("biz_opaque_callback_data".to_owned(), json!(data));
    }
    if let Some(template) = &message.template_id {
        status.insert("template_id".to_owned(), json!(template));
    }
    let in_group = matches!(message.chat, Chat::Group(_));
    // In a group, `sent` concerns no single recipient and has no pricing.
    let has_pricing = matches!(state, MessageState::Delivered) || (state == MessageState::Sent && !in_group);
    if let (Some(pricing), true) = (&message.pricing, has_pricing) {
        let Pricing { billable, category, r#type } = pricing;
        let pricing = json!({"billable": billable, "pricing_model": "PMP", "category": category, "type": r#type});
        status.insert("pricing".to_owned(), pricing);
    }
    if let (Some(code), MessageState::Failed) = (message.error, state) {
        let details = message.error_details.clone().unwrap_or_else(|| "Message failed.".to_owned());
        let refusal = Refusal::new(code, details);
        status.insert("errors".to_owned(), json!([refusal.in_status()]));
    }
    status
}

/// The `conversation`: since v24 only while a free entry point is open, before that with every
/// message.
fn conversation(world: &World, message: &Message, person: &Person, state: MessageState, now_ms: i64) -> Option<Value> {
    let pricing = message.pricing.as_ref().filter(|_| matches!(state, MessageState::Sent | MessageState::Delivered))?;
    let is_free_entry = pricing.r#type == "free_entry_point";
    if !is_free_entry && !world.faults.conversation_objects {
        return None;
    }
    let id = crate::ids::hex(message.id.bytes().rev().take(16));
    let mut conversation = json!({"id": id, "origin": {"type": pricing.category}});
    if let (MessageState::Sent, Some(conversation)) = (state, conversation.as_object_mut()) {
        let until_ms = if is_free_entry { person.free_until_ms } else { now_ms + crate::people::WINDOW_MS };
        conversation.insert("expiration_timestamp".to_owned(), json!(until_ms.div_euclid(1000).to_string()));
    }
    Some(conversation)
}

/// The `contacts` entry of a person in wire form.
pub(crate) fn contact(person: &Person, with_username: bool, now_ms: i64) -> Arc<str> {
    let mut profile = json!({"name": person.name});
    if let (Some(username), true, Some(profile)) = (&person.username, with_username, profile.as_object_mut()) {
        profile.insert("username".to_owned(), json!(username));
    }
    let mut contact = json!({"profile": profile, "user_id": person.user_id});
    if let Some(contact) = contact.as_object_mut() {
        contact.extend(person.parent_user_id.iter().map(|parent| ("parent_user_id".to_owned(), json!(parent))));
        contact.extend(person.wa_id(now_ms).map(|number| ("wa_id".to_owned(), json!(number))));
    }
    wire::to_json(&contact).into()
}

/// All identities of a person, as in group events.
pub(crate) fn participant(person: &Person, now_ms: i64) -> Value {
    let mut participant = json!({"user_id": person.user_id});
    if let Some(members) = participant.as_object_mut() {
        members.extend(person.wa_id(now_ms).map(|number| ("wa_id".to_owned(), json!(number))));
        members.extend(person.parent_user_id.iter().map(|parent| ("parent_user_id".to_owned(), json!(parent))));
        members.extend(person.username.iter().map(|name| ("username".to_owned(), json!(name))));
    }
    participant
}
