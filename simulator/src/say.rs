//! What people say: texts, taps, reactions, and whatever else a test wants to come in.

use crate::groups::GroupNo;
use crate::hub::{Hub, World};
use crate::letter::{Update, What};
use crate::messages::{Chat, Message, State, Step};
use crate::people::{PersonNo, WINDOW_MS};
use crate::{media, receipts, view, wire};
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

/// One thing that a person says; exactly one of `text`, `tap`, `reaction`, `message`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Say {
    /// Id, number or user id of the person.
    pub from: String,
    /// Id of the group it is said in; none is the chat with the business.
    pub group: Option<String>,
    pub text: Option<String>,
    /// The id of a button or of a row of a list; of a template's button, what it sends.
    pub tap: Option<String>,
    /// An emoji; an empty one takes the reaction back.
    pub reaction: Option<String>,
    /// Any message object of whatsapp.md 1.5; what is not given of `id`, `timestamp`, the sender and a file's type, hash and
    /// address is filled in.
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

/// Who says it and where.
#[derive(Clone, Copy)]
struct Speaker {
    who: PersonNo,
    chat: Chat,
}

/// Says it; gives the message's number.
pub(crate) fn say(hub: &Hub, world: &mut World, say: Say) -> Result<u64, Unsaid> {
    let who =
        world.people.find(&say.from).ok_or_else(|| Unsaid::NotFound(format!("nobody is called `{}`", say.from)))?;
    let chat = match &say.group {
        None => Chat::Person(who),
        Some(id) => Chat::Group(member_of(world, id, who)?),
    };
    if world.people.get(who).is_some_and(|person| person.blocked) {
        return Err(Unsaid::Wrong("the business blocked them: what they say does not arrive".to_owned()));
    }
    let by = Speaker { who, chat };
    let given = [say.text.is_some(), say.tap.is_some(), say.reaction.is_some(), say.message.is_some()];
    if given.into_iter().filter(|given| *given).count() != 1 {
        return Err(Unsaid::Wrong("give exactly one of `text`, `tap`, `reaction` and `message`".to_owned()));
    }
    let mut message = match say {
        Say { text: Some(text), .. } => object("text", json!({"body": text})),
        Say { tap: Some(id), ref on, .. } => tap(hub, world, by, &id, on.as_deref())?,
        Say { reaction: Some(emoji), ref on, .. } => reaction(hub, world, by, &emoji, on.as_deref())?,
        Say { message: Some(message), .. } => message,
        _ => Map::new(),
    };
    let is_reaction = message.get("type").and_then(Value::as_str) == Some("reaction");
    if let (Some(on), false) = (say.on, is_reaction || message.contains_key("context")) {
        let context = quote(hub, world, chat, &on)?;
        message.insert("context".to_owned(), context);
    }
    if !hub.courier.has_room(1) {
        return Err(Unsaid::Busy);
    }
    describe_file(hub, world, &mut message);
    Ok(utter(hub, world, by, message))
}

fn member_of(world: &World, group: &str, who: PersonNo) -> Result<GroupNo, Unsaid> {
    let no = world.groups.find(group).ok_or_else(|| Unsaid::NotFound(format!("there is no group `{group}`")))?;
    let group = world.groups.get(no).filter(|group| group.members.contains(&who));
    let group = group.ok_or_else(|| Unsaid::Wrong("they are not in this group".to_owned()))?;
    if group.suspended {
        return Err(Unsaid::Wrong("this group is suspended".to_owned()));
    }
    Ok(no)
}

fn object(kind: &str, body: Value) -> Map<String, Value> {
    Map::from_iter([("type".to_owned(), json!(kind)), (kind.to_owned(), body)])
}

/// Fills in what the platform says of a file that is ours: its type, its hash, an address that is good for five minutes.
fn describe_file(hub: &Hub, world: &World, message: &mut Map<String, Value>) {
    let kind = message.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    if !matches!(kind.as_str(), "audio" | "document" | "image" | "sticker" | "video") {
        return;
    }
    let Some(body) = message.get_mut(&kind).and_then(Value::as_object_mut) else { return };
    let now_ms = hub.clock.now_ms();
    let Some(file) = body.get("id").and_then(Value::as_str).and_then(|id| world.media.get(id, now_ms)) else { return };
    body.entry("mime_type").or_insert_with(|| json!(file.mime));
    body.entry("sha256").or_insert_with(|| json!(file.sha256_base64()));
    body.entry("url").or_insert_with(|| json!(media::url(&hub.base(), &hub.config.app_secret, &file.id, now_ms)));
    match kind.as_str() {
        "sticker" => {
            body.entry("animated").or_insert_with(|| json!(file.animated()));
        }
        "audio" => {
            // A voice message is Opus in Ogg; anything else is a file that was attached.
            body.entry("voice").or_insert_with(|| json!(file.mime.contains("opus")));
        }
        "document" => {
            if let Some(name) = &file.filename {
                body.entry("filename").or_insert_with(|| json!(name));
            }
        }
        _ => {}
    }
}

/// Stamps the message with its sender, keeps it, opens the window, gives it to the courier.
fn utter(hub: &Hub, world: &mut World, by: Speaker, mut message: Map<String, Value>) -> u64 {
    let now_ms = hub.clock.now_ms();
    let seconds = now_ms.div_euclid(1000);
    let kind = message.get("type").and_then(Value::as_str).unwrap_or("unknown").to_owned();
    let spoken = message.get("timestamp").and_then(Value::as_str).and_then(|t| t.parse().ok()).unwrap_or(seconds);
    open_window(world, by, i64::saturating_mul(spoken, 1000), &kind, message.contains_key("referral"));
    let (mut address, mut contact) = (String::new(), None);
    if let Some(person) = world.people.get(by.who) {
        address = person.address().to_owned();
        // A system message has no contacts.
        contact = (kind != "system").then(|| receipts::contact(person, true, now_ms));
        message.entry("from_user_id").or_insert_with(|| json!(person.user_id));
        if let Some(parent) = &person.parent_user_id {
            message.entry("from_parent_user_id").or_insert_with(|| json!(parent));
        }
        if let Some(number) = person.wa_id(now_ms) {
            message.entry("from").or_insert_with(|| json!(number));
        }
    }
    if let Some(group) = view::group_id(world, by.chat) {
        message.insert("group_id".to_owned(), json!(group));
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
        chat: by.chat,
        author: Some(by.who),
        before: None,
        kind,
        at_ms: now_ms,
        body,
        rendered: None,
        context,
        callback_data: None,
        pricing: None,
        template_id: None,
        states: vec![Step { state: State::Accepted, at_ms: now_ms }],
        audience: Vec::new(),
        error: None,
        error_details: None,
        reactions: Vec::new(),
    });
    world.counts.said += 1;
    world.counts.forgotten += u64::from(forgotten);
    let update = Update {
        json: wire::to_json(&message).into(),
        contacts: contact.into_iter().collect(),
        delivers: Some(seq),
        about: Some(seq),
        ..Update::new(by.chat.lane(), What::Message)
    };
    hub.deliver(world, update);
    view::tell(hub, world, seq);
    view::tell_person(hub, world, by.who);
    if let Chat::Group(no) = by.chat {
        view::tell_group(hub, world, no);
    }
    seq
}

/// What people say opens the window; what the system says of them does not. Coming by an ad offers the free entry point.
fn open_window(world: &mut World, by: Speaker, spoken_ms: i64, kind: &str, by_ad: bool) {
    if kind == "system" {
        return;
    }
    let until_ms = spoken_ms.saturating_add(WINDOW_MS);
    match by.chat {
        Chat::Person(no) => {
            if let Some(person) = world.people.get_mut(no) {
                person.window_until_ms = person.window_until_ms.max(Some(until_ms));
                if by_ad {
                    person.entry_offered_until_ms = until_ms;
                }
            }
        }
        Chat::Group(no) => {
            if let Some(group) = world.groups.get_mut(no) {
                group.window_until_ms = group.window_until_ms.max(Some(until_ms));
            }
        }
    }
}

/// The `context` of an answer to this message.
fn quote(hub: &Hub, world: &World, chat: Chat, id: &str) -> Result<Value, Unsaid> {
    let message = own(world, chat, id)?;
    let author = message.author.and_then(|no| world.people.get(no));
    let number = author.and_then(|person| person.wa_id(hub.clock.now_ms()));
    let from = if message.from_business { Some(hub.letterhead.display_number.as_str()) } else { number };
    Ok(match from {
        Some(from) => json!({"from": from, "id": id}),
        None => json!({"id": id}),
    })
}

fn own<'a>(world: &'a World, chat: Chat, id: &str) -> Result<&'a Message, Unsaid> {
    let message = world.messages.find(id).and_then(|seq| world.messages.get(seq));
    message
        .filter(|message| message.chat == chat)
        .ok_or_else(|| Unsaid::NotFound(format!("this chat has no message `{id}`, or it is forgotten")))
}

/// The messages of the business, the newest first, or the one that is named.
fn of_business<'a>(world: &'a World, chat: Chat, on: Option<&str>) -> Result<Vec<&'a Message>, Unsaid> {
    match on {
        Some(id) => Ok(vec![own(world, chat, id)?]),
        None => Ok(world.messages.of(chat).filter(|message| message.from_business).collect()),
    }
}

fn reaction(
    hub: &Hub,
    world: &mut World,
    by: Speaker,
    emoji: &str,
    on: Option<&str>,
) -> Result<Map<String, Value>, Unsaid> {
    let target = of_business(world, by.chat, on)?.into_iter().find(|message| message.kind != "reaction");
    let (seq, id) = target
        .map(|message| (message.seq, message.id.clone()))
        .ok_or_else(|| Unsaid::NotFound("there is no message to react to".to_owned()))?;
    if let Some(message) = world.messages.get_mut(seq) {
        message.react(Some(by.who), emoji);
    }
    view::tell(hub, world, seq);
    // A removal has no emoji.
    let body = if emoji.is_empty() { json!({"message_id": id}) } else { json!({"message_id": id, "emoji": emoji}) };
    Ok(object("reaction", body))
}

fn tap(hub: &Hub, world: &World, by: Speaker, id: &str, on: Option<&str>) -> Result<Map<String, Value>, Unsaid> {
    for message in of_business(world, by.chat, on)? {
        let found = match &message.rendered {
            Some(rendered) => template_answer(rendered, id).map(|button| object("button", button)),
            None => {
                let body = serde_json::from_str::<Value>(message.body.get()).unwrap_or_default();
                answer_to(&body, id).map(|answer| object("interactive", answer))
            }
        };
        if let Some(mut object) = found {
            object.insert("context".to_owned(), quote(hub, world, by.chat, &message.id)?);
            return Ok(object);
        }
    }
    Err(Unsaid::NotFound(format!("no message to this person has a button or row `{id}`")))
}

/// The `button` object of a tap on a template's quick reply, by what it sends or by its words.
fn template_answer(rendered: &Value, id: &str) -> Option<Value> {
    let buttons = rendered.get("buttons")?.as_array()?;
    let text = |button: &Value, key: &str| button.get(key).and_then(Value::as_str) == Some(id);
    let replies = || buttons.iter().filter(|button| button.get("type").and_then(Value::as_str) == Some("quick_reply"));
    let button =
        replies().find(|button| text(button, "payload")).or_else(|| replies().find(|button| text(button, "text")))?;
    Some(json!({"payload": button.get("payload"), "text": button.get("text")}))
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
