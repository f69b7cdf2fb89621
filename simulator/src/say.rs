//! What people say: texts, taps, reactions, and whatever else a test wants to come in.

use crate::hub::{Hub, World};
use crate::letter::{Update, What};
use crate::messages::{Message, Reactions, State, Step};
use crate::people::{PersonNo, WINDOW_MS};
use crate::{receipts, view, wire};
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

/// One thing that a person says; exactly one of `text`, `tap`, `reaction`, `message`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Say {
    /// Id, number or user id of the person.
    pub from: String,
    pub text: Option<String>,
    /// The id of a button or of a row of a list.
    pub tap: Option<String>,
    /// An emoji; an empty one takes the reaction back.
    pub reaction: Option<String>,
    /// Any message object of whatsapp.md 1.5; what is not given of `id`, `timestamp` and the sender is filled in.
    pub message: Option<Map<String, Value>>,
    /// The message that is tapped, reacted to or quoted; without it the newest that fits.
    pub on: Option<String>,
}

/// Why something could not be said.
#[derive(Debug)]
pub(crate) enum Unsaid {
    /// There is no such person or message.
    NotFound(String),
    /// It makes no sense.
    Wrong(String),
    /// The backlog of updates is full.
    Busy,
}

/// Says it; gives the message's number.
pub(crate) fn say(hub: &Hub, world: &mut World, say: Say) -> Result<u64, Unsaid> {
    let no =
        world.people.find(&say.from).ok_or_else(|| Unsaid::NotFound(format!("nobody is called `{}`", say.from)))?;
    let given = [say.text.is_some(), say.tap.is_some(), say.reaction.is_some(), say.message.is_some()];
    if given.into_iter().filter(|given| *given).count() != 1 {
        return Err(Unsaid::Wrong("give exactly one of `text`, `tap`, `reaction` and `message`".to_owned()));
    }
    let mut message = match say {
        Say { text: Some(text), .. } => object("text", json!({"body": text})),
        Say { tap: Some(id), ref on, .. } => tap(hub, world, no, &id, on.as_deref())?,
        Say { reaction: Some(emoji), ref on, .. } => reaction(hub, world, no, emoji, on.as_deref())?,
        Say { message: Some(message), .. } => message,
        _ => Map::new(),
    };
    let is_reaction = message.get("type").and_then(Value::as_str) == Some("reaction");
    if let (Some(on), false) = (say.on, is_reaction || message.contains_key("context")) {
        let context = quote(hub, world, no, &on)?;
        message.insert("context".to_owned(), context);
    }
    if !hub.courier.has_room(1) {
        return Err(Unsaid::Busy);
    }
    Ok(utter(hub, world, no, message))
}

fn object(kind: &str, body: Value) -> Map<String, Value> {
    Map::from_iter([("type".to_owned(), json!(kind)), (kind.to_owned(), body)])
}

/// Stamps the message with its sender, keeps it, opens the window, gives it to the courier.
fn utter(hub: &Hub, world: &mut World, no: PersonNo, mut message: Map<String, Value>) -> u64 {
    let now_ms = hub.clock.now_ms();
    let seconds = now_ms.div_euclid(1000);
    let kind = message.get("type").and_then(Value::as_str).unwrap_or("unknown").to_owned();
    let (mut address, mut contact) = (String::new(), None);
    if let Some(person) = world.people.get_mut(no) {
        address = person.address().to_owned();
        let timestamp =
            message.get("timestamp").and_then(Value::as_str).and_then(|t| t.parse().ok()).unwrap_or(seconds);
        let until_ms = i64::saturating_mul(timestamp, 1000).saturating_add(WINDOW_MS);
        person.window_until_ms = person.window_until_ms.max(Some(until_ms));
        // A system message has no contacts.
        contact = (kind != "system").then(|| receipts::contact(person, true));
        message.entry("from_user_id").or_insert_with(|| json!(person.user_id));
        if let Some(number) = &person.wa_id {
            message.entry("from").or_insert_with(|| json!(number));
        }
    }
    message.entry("timestamp").or_insert_with(|| json!(seconds.to_string()));
    let id = message.entry("id").or_insert_with(|| json!(hub.ids.message(&address, true)));
    let id = id.as_str().unwrap_or_default().to_owned();
    let body = message.get(&kind).and_then(|body| to_raw_value(body).ok()).unwrap_or_else(|| RawValue::NULL.to_owned());
    let context = message.get("context").and_then(|c| c.get("id")).and_then(Value::as_str).map(str::to_owned);
    let (seq, forgotten) = world.messages.push(Message {
        seq: 0,
        id,
        from_business: false,
        person: no,
        before: None,
        kind,
        at_ms: now_ms,
        body,
        context,
        callback_data: None,
        pricing: None,
        states: vec![Step { state: State::Accepted, at_ms: now_ms }],
        error: None,
        reactions: Reactions::default(),
    });
    world.counts.said += 1;
    world.counts.forgotten += u64::from(forgotten);
    let json = wire::to_json(&message).into();
    hub.deliver(world, Update { lane: no, what: What::Message, json, contact, delivers: Some(seq) });
    view::tell(hub, world, seq);
    view::tell_person(hub, world, no);
    seq
}

/// The `context` of an answer to this message.
fn quote(hub: &Hub, world: &World, no: PersonNo, id: &str) -> Result<Value, Unsaid> {
    let message = own(world, no, id)?;
    let number = world.people.get(no).and_then(|person| person.wa_id.as_deref());
    let from = if message.from_business { Some(hub.letterhead.display_number.as_str()) } else { number };
    Ok(match from {
        Some(from) => json!({"from": from, "id": id}),
        None => json!({"id": id}),
    })
}

fn own<'a>(world: &'a World, no: PersonNo, id: &str) -> Result<&'a Message, Unsaid> {
    let message = world.messages.find(id).and_then(|seq| world.messages.get(seq));
    message
        .filter(|message| message.person == no)
        .ok_or_else(|| Unsaid::NotFound(format!("this person has no message `{id}`, or it is forgotten")))
}

/// The newest message of the business, or the one that is named.
fn of_business<'a>(world: &'a World, no: PersonNo, on: Option<&str>) -> Result<Vec<&'a Message>, Unsaid> {
    match on {
        Some(id) => Ok(vec![own(world, no, id)?]),
        None => Ok(world.messages.of(no).filter(|message| message.from_business).collect()),
    }
}

fn reaction(
    hub: &Hub,
    world: &mut World,
    no: PersonNo,
    emoji: String,
    on: Option<&str>,
) -> Result<Map<String, Value>, Unsaid> {
    let target = of_business(world, no, on)?.into_iter().find(|message| message.kind != "reaction");
    let (seq, id) = target
        .map(|message| (message.seq, message.id.clone()))
        .ok_or_else(|| Unsaid::NotFound("there is no message to react to".to_owned()))?;
    if let Some(message) = world.messages.get_mut(seq) {
        message.reactions.person = (!emoji.is_empty()).then(|| emoji.clone());
    }
    view::tell(hub, world, seq);
    // A removal has no emoji.
    let body = if emoji.is_empty() { json!({"message_id": id}) } else { json!({"message_id": id, "emoji": emoji}) };
    Ok(object("reaction", body))
}

fn tap(hub: &Hub, world: &World, no: PersonNo, id: &str, on: Option<&str>) -> Result<Map<String, Value>, Unsaid> {
    for message in of_business(world, no, on)? {
        let Ok(body) = serde_json::from_str::<Value>(message.body.get()) else { continue };
        if let Some(answer) = answer_to(&body, id) {
            let mut object = object("interactive", answer);
            object.insert("context".to_owned(), quote(hub, world, no, &message.id)?);
            return Ok(object);
        }
    }
    Err(Unsaid::NotFound(format!("no message to this person has a button or row `{id}`")))
}

/// The `interactive` object of a tap on this button or row.
fn answer_to(body: &Value, id: &str) -> Option<Value> {
    let has_id = |item: &&Value| item.get("id").and_then(Value::as_str) == Some(id);
    let action = body.get("action")?;
    let array = |value: &'_ Value, key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let buttons = array(action, "buttons");
    if let Some(reply) = buttons.iter().filter_map(|button| button.get("reply")).find(has_id) {
        return Some(json!({"type": "button_reply", "button_reply": {"id": id, "title": reply.get("title")}}));
    }
    let rows: Vec<Value> = array(action, "sections").iter().flat_map(|section| array(section, "rows")).collect();
    let row = rows.iter().find(has_id)?;
    let mut reply = json!({"id": id, "title": row.get("title")});
    if let (Some(description), Some(reply)) = (row.get("description"), reply.as_object_mut()) {
        reply.insert("description".to_owned(), description.clone());
    }
    Some(json!({"type": "list_reply", "list_reply": reply}))
}
