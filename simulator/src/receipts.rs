//! What becomes of messages, and how the business hears of it: the statuses of whatsapp.md 1.6 and 3.5.

use crate::courier::Courier;
use crate::deeds::Deed;
use crate::hub::{Hub, World};
use crate::letter::{Update, What};
use crate::messages::{Chat, Message, State, Step};
use crate::people::{Person, PersonNo};
use crate::refusal::Refusal;
use crate::{account, view, wire};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Lets a message of the business reach a state, and the states that follow from it, and tells the business.
pub(crate) fn reach(hub: &Hub, world: &mut World, seq: u64, first: State) {
    let mut state = first;
    loop {
        let now_ms = hub.clock.now_ms();
        let Some(message) = world.messages.get(seq) else { return };
        if message.state() >= state {
            return;
        }
        match message.chat {
            Chat::Group(_) if state != State::Sent && state != State::Failed => {
                let everybody: Vec<PersonNo> = message.audience.iter().map(|(who, _)| *who).collect();
                reach_with(hub, world, seq, &everybody, state);
            }
            _ => {
                step(world, seq, state, now_ms);
                view::tell(hub, world, seq);
                receipt(hub, world, seq, state, now_ms, &[]);
            }
        }
        // Of a reaction and of a pin only `sent` is told.
        let is_small =
            world.messages.get(seq).is_none_or(|message| matches!(message.kind.as_str(), "reaction" | "pin"));
        state = match state {
            State::Accepted => State::Sent,
            State::Sent if !is_small => State::Delivered,
            State::Delivered if world.knobs.auto_read => State::Read,
            _ => return,
        };
        if world.knobs.receipt_delay_ms > 0 {
            let due_ms = now_ms.saturating_add(world.knobs.receipt_delay_ms);
            hub.courier.later(now_ms, due_ms, Deed::Reach(seq, state));
            return;
        }
    }
}

fn step(world: &mut World, seq: u64, state: State, now_ms: i64) {
    let Some(message) = world.messages.get_mut(seq) else { return };
    message.states.push(Step { state, at_ms: now_ms });
    world.counts.reached(state);
    if state == State::Delivered
        && let (Some(pricing), Some(person)) = (&message.pricing, message.person().and_then(|no| world.people.get(no)))
    {
        account::bill(&mut world.account, pricing, person, now_ms);
    }
}

/// A message to a group reaches a state with some of them: told together, as Meta aggregates them.
pub(crate) fn reach_with(hub: &Hub, world: &mut World, seq: u64, who: &[PersonNo], state: State) {
    let now_ms = hub.clock.now_ms();
    let Some(message) = world.messages.get_mut(seq) else { return };
    let mut reached = Vec::new();
    for (person, at) in &mut message.audience {
        if who.contains(person) && *at < state {
            *at = state;
            reached.push(*person);
        }
    }
    let all = message.audience.iter().map(|(_, at)| *at).min();
    let pricing = message.pricing.clone().filter(|_| state == State::Delivered);
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
        view::tell(hub, world, seq);
        receipt(hub, world, seq, state, now_ms, &reached);
    }
}

/// A person looks at a chat: what was delivered to them up to this message is read. How many that were.
pub(crate) fn read_by(hub: &Hub, world: &mut World, chat: Chat, who: PersonNo, upto: u64) -> usize {
    let unread = |message: &&Message| {
        message.from_business
            && message.seq <= upto
            && match chat {
                Chat::Person(_) => message.state() == State::Delivered,
                Chat::Group(_) => message.audience.contains(&(who, State::Delivered)),
            }
    };
    let mut unread: Vec<u64> = world.messages.of(chat).filter(unread).map(|message| message.seq).collect();
    unread.reverse();
    for seq in &unread {
        match chat {
            Chat::Person(_) => reach(hub, world, *seq, State::Read),
            Chat::Group(_) => reach_with(hub, world, *seq, &[who], State::Read),
        }
    }
    unread.len()
}

/// The business marked a message as read: this one, and in a chat with one person all before it.
pub(crate) fn marked_read(hub: &Hub, world: &mut World, seq: u64) {
    let now_ms = hub.clock.now_ms();
    let mut next = Some(seq);
    while let Some(message) = next.and_then(|seq| world.messages.get_mut(seq)) {
        let this = message.seq;
        // In a group each is marked by itself (whatsapp.md 3.1).
        next = message.before.filter(|_| matches!(message.chat, Chat::Person(_)));
        if message.from_business {
            continue;
        }
        if message.state() >= State::Read {
            return;
        }
        message.states.push(Step { state: State::Read, at_ms: now_ms });
        view::tell(hub, world, this);
    }
}

/// The callback took these messages of people.
pub(crate) fn arrived(hub: &Hub, messages: &[u64]) {
    if messages.is_empty() {
        return;
    }
    let now_ms = hub.clock.now_ms();
    let mut world = hub.world();
    for seq in messages {
        let Some(message) = world.messages.get_mut(*seq) else { continue };
        if message.state() == State::Accepted {
            message.states.push(Step { state: State::Delivered, at_ms: now_ms });
            view::tell(hub, &world, *seq);
        }
    }
}

fn receipt(hub: &Hub, world: &mut World, seq: u64, state: State, now_ms: i64, with: &[PersonNo]) {
    if state == State::Accepted || !world.knobs.receipts {
        return;
    }
    let fault = world.knobs.receipt_fault(&mut world.chance, state.name());
    let (false, Some(update)) = (fault.lost, update(world, seq, state, now_ms, with)) else { return };
    if fault.twice {
        hub.deliver(world, update.clone());
    }
    give(hub, world, update, fault.late_ms.map(|ms| now_ms.saturating_add_unsigned(ms)), fault.held_ms);
}

fn give(hub: &Hub, world: &mut World, update: Update, due_ms: Option<i64>, held_ms: Option<u64>) {
    let courier: &Courier = &hub.courier;
    match (due_ms, held_ms) {
        (Some(due_ms), _) => courier.take(update, Some(due_ms)),
        (None, Some(held_ms)) => courier.hold(update, held_ms),
        (None, None) => hub.deliver(world, update),
    };
}

fn update(world: &mut World, seq: u64, state: State, now_ms: i64, with: &[PersonNo]) -> Option<Update> {
    let other_spelling = world.knobs.group_variants && world.chance.happens(0.5);
    let message = world.messages.get(seq)?;
    // The failed have no contacts, and `sent` no username (whatsapp.md 1.6).
    let contact_of = |no: &PersonNo| world.people.get(*no).map(|person| contact(person, state != State::Sent, now_ms));
    let (contacts, statuses) = match message.chat {
        Chat::Person(no) => {
            let person = world.people.get(no)?;
            let contacts = if state == State::Failed { Vec::new() } else { contact_of(&no).into_iter().collect() };
            (contacts, vec![status(world, message, person, state, now_ms)])
        }
        Chat::Group(no) => {
            let group = world.groups.get(no)?;
            let of_group = base(message, state, now_ms, &group.id);
            if with.is_empty() {
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
                (with.iter().filter_map(contact_of).collect(), with.iter().filter_map(each).collect())
            }
        }
    };
    let json: Vec<String> = statuses.iter().map(wire::to_json).collect();
    Some(Update {
        json: json.join(",").into(),
        contacts,
        about: Some(seq),
        ..Update::new(message.chat.lane(), What::Status(state))
    })
}

fn status(world: &World, message: &Message, person: &Person, state: State, now_ms: i64) -> Value {
    let mut status = base(message, state, now_ms, "");
    // Left out, not empty, where the number is hidden.
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

/// What all statuses have, and those of groups.
fn base(message: &Message, state: State, now_ms: i64, recipient: &str) -> Map<String, Value> {
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
    // A charged group message carries it on delivered, not on a `sent` that is nobody's.
    let shows = matches!(state, State::Delivered) || (state == State::Sent && !in_group);
    if let (Some(pricing), true) = (&message.pricing, shows) {
        let mut shown = json!({"billable": pricing.billable, "pricing_model": "PMP", "category": pricing.category});
        if let Some(shown) = shown.as_object_mut() {
            shown.insert("type".to_owned(), json!(pricing.r#type));
        }
        status.insert("pricing".to_owned(), shown);
    }
    if let (Some(code), State::Failed) = (message.error, state) {
        let details = message.error_details.clone().unwrap_or_else(|| "Message failed.".to_owned());
        let refusal = Refusal::new(code, details);
        status.insert("errors".to_owned(), json!([refusal.in_status()]));
    }
    status
}

/// Since v24 only where a free entry point is open, before that with every message (whatsapp.md 1.6).
fn conversation(world: &World, message: &Message, person: &Person, state: State, now_ms: i64) -> Option<Value> {
    let pricing = message.pricing.as_ref().filter(|_| matches!(state, State::Sent | State::Delivered))?;
    let is_free_entry = pricing.r#type == "free_entry_point";
    if !is_free_entry && !world.knobs.conversation_objects {
        return None;
    }
    let id: String = message.id.bytes().rev().take(16).map(|byte| format!("{byte:02x}")).collect();
    let mut conversation = json!({"id": id, "origin": {"type": pricing.category}});
    if let (State::Sent, Some(conversation)) = (state, conversation.as_object_mut()) {
        let until_ms = if is_free_entry { person.free_until_ms } else { now_ms + crate::people::WINDOW_MS };
        conversation.insert("expiration_timestamp".to_owned(), json!(until_ms.div_euclid(1000).to_string()));
    }
    Some(conversation)
}

/// The `contacts` entry of a person, in wire form. The username is not on `sent`.
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

/// How group events name a person: by all that is known.
pub(crate) fn participant(person: &Person, now_ms: i64) -> Value {
    let mut named = json!({"user_id": person.user_id});
    if let Some(named) = named.as_object_mut() {
        named.extend(person.wa_id(now_ms).map(|number| ("wa_id".to_owned(), json!(number))));
        named.extend(person.parent_user_id.iter().map(|parent| ("parent_user_id".to_owned(), json!(parent))));
        named.extend(person.username.iter().map(|name| ("username".to_owned(), json!(name))));
    }
    named
}
