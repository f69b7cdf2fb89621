//! Messages from people: texts, taps, reactions, and any other message that a test needs.

use crate::envelope::{Update, UpdateKind};
use crate::groups::GroupNo;
use crate::hub::{Hub, World};
use crate::messages::{Chat, Message, MessageState, Step};
use crate::people::{PersonNo, WINDOW_MS};
use crate::{media, receipts, view, wire};
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

/// A message from a person. Exactly one of `text`, `tap`, `reaction` and `message` must be set.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Say {
    /// The person: id, number or user id.
    pub from: String,
    /// The id of a group; without it, the chat with the business.
    pub group: Option<String>,
    pub text: Option<String>,
    /// The id of a button or list row that is tapped; for a template button, its payload or text.
    pub tap: Option<String>,
    /// An emoji; an empty one removes the reaction.
    pub reaction: Option<String>,
    /// A message object (docs/whatsapp.md#messages). If missing, `id`, `timestamp`, the sender, and
    /// the type, hash and URL of a file are added.
    pub message: Option<Map<String, Value>>,
    /// The id of the message that is tapped, reacted to or quoted; by default the newest that
    /// matches.
    pub on: Option<String>,
}

/// Why a message could not be made.
#[derive(Debug)]
pub(crate) enum SayError {
    /// The person, group or message is unknown.
    NotFound(String),
    /// The request is invalid.
    Invalid(String),
    /// The backlog of updates is full.
    Busy,
}

/// The author of a message, and where it is written.
#[derive(Clone, Copy)]
struct Speaker {
    person: PersonNo,
    chat: Chat,
}

/// Makes a message and queues its webhook; returns its sequence number.
pub(crate) fn say(hub: &Hub, world: &mut World, say: Say) -> Result<u64, SayError> {
    let unknown = || SayError::NotFound(format!("unknown person `{}`", say.from));
    let person = world.people.find(&say.from).ok_or_else(unknown)?;
    let chat = match &say.group {
        None => Chat::Person(person),
        Some(id) => Chat::Group(group_of_member(world, id, person)?),
    };
    if world.people.get(person).is_some_and(|person| person.blocked) {
        return Err(SayError::Invalid("the business has blocked this person".to_owned()));
    }
    let speaker = Speaker { person, chat };
    let contents = [say.text.is_some(), say.tap.is_some(), say.reaction.is_some(), say.message.is_some()];
    if contents.into_iter().filter(|set| *set).count() != 1 {
        return Err(SayError::Invalid("set exactly one of `text`, `tap`, `reaction` and `message`".to_owned()));
    }
    let mut message = match say {
        Say { text: Some(text), .. } => object("text", json!({"body": text})),
        Say { tap: Some(id), ref on, .. } => tap(hub, world, speaker, &id, on.as_deref())?,
        Say { reaction: Some(emoji), ref on, .. } => reaction(hub, world, speaker, &emoji, on.as_deref())?,
        Say { message: Some(message), .. } => message,
        _ => Map::new(),
    };
    let is_reaction = message.get("type").and_then(Value::as_str) == Some("reaction");
    if let (Some(on), false) = (say.on, is_reaction || message.contains_key("context")) {
        let context = quote(hub, world, chat, &on)?;
        message.insert("context".to_owned(), context);
    }
    if !hub.webhook_sender.has_capacity(1) {
        return Err(SayError::Busy);
    }
    describe_file(hub, world, &mut message);
    Ok(push(hub, world, speaker, message))
}

fn group_of_member(world: &World, group: &str, person: PersonNo) -> Result<GroupNo, SayError> {
    let no = world.groups.find(group).ok_or_else(|| SayError::NotFound(format!("unknown group `{group}`")))?;
    let group = world.groups.get(no).filter(|group| group.members.contains(&person));
    let group = group.ok_or_else(|| SayError::Invalid("the person is not in this group".to_owned()))?;
    if group.suspended {
        return Err(SayError::Invalid("the group is suspended".to_owned()));
    }
    Ok(no)
}

fn object(kind: &str, body: Value) -> Map<String, Value> {
    Map::from_iter([("type".to_owned(), json!(kind)), (kind.to_owned(), body)])
}

/// Adds what the platform states about a stored file: its type, its hash and a download URL.
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
    body.entry("url").or_insert_with(|| json!(media::url(&hub.base_url(), &hub.config.app_secret, &file.id, now_ms)));
    match kind.as_str() {
        "sticker" => {
            body.entry("animated").or_insert_with(|| json!(file.animated()));
        }
        "audio" => {
            // Voice messages are Opus in Ogg; other audio is an attached file.
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

/// Adds the sender and the id, stores the message, opens the window and queues the webhook.
fn push(hub: &Hub, world: &mut World, speaker: Speaker, mut message: Map<String, Value>) -> u64 {
    let now_ms = hub.clock.now_ms();
    let seconds = now_ms.div_euclid(1000);
    let kind = message.get("type").and_then(Value::as_str).unwrap_or("unknown").to_owned();
    let sent_s = message.get("timestamp").and_then(Value::as_str).and_then(|t| t.parse().ok()).unwrap_or(seconds);
    open_window(world, speaker, i64::saturating_mul(sent_s, 1000), &kind, message.contains_key("referral"));
    let (mut address, mut contact) = (String::new(), None);
    if let Some(person) = world.people.get(speaker.person) {
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
    if let Some(group) = view::group_id(world, speaker.chat) {
        message.insert("group_id".to_owned(), json!(group));
    }
    message.entry("timestamp").or_insert_with(|| json!(seconds.to_string()));
    let id = message.entry("id").or_insert_with(|| json!(hub.ids.message(&address, true)));
    let id = id.as_str().unwrap_or_default().to_owned();
    let body = message.get(&kind).and_then(|body| to_raw_value(body).ok()).unwrap_or_else(|| RawValue::NULL.to_owned());
    let context = message.get("context").and_then(|c| c.get("id")).and_then(Value::as_str).map(str::to_owned);
    let (seq, evicted) = world.messages.push(Message {
        seq: 0,
        id,
        from_business: false,
        chat: speaker.chat,
        author: Some(speaker.person),
        before: None,
        kind,
        at_ms: now_ms,
        body,
        rendered: None,
        context,
        callback_data: None,
        pricing: None,
        template_id: None,
        states: vec![Step { state: MessageState::Accepted, at_ms: now_ms }],
        audience: Vec::new(),
        error: None,
        error_details: None,
        reactions: Vec::new(),
    });
    world.counts.inbound += 1;
    world.counts.evicted += u64::from(evicted);
    let update = Update {
        json: wire::to_json(&message).into(),
        contacts: contact.into_iter().collect(),
        delivers: Some(seq),
        about: Some(seq),
        ..Update::new(speaker.chat.lane(), UpdateKind::Message)
    };
    hub.deliver(world, update);
    view::publish_message(hub, world, seq);
    view::publish_person(hub, world, speaker.person);
    if let Chat::Group(no) = speaker.chat {
        view::publish_group(hub, world, no);
    }
    seq
}

/// Opens the window. System messages do not. After a message from an ad, a reply will open a free
/// entry point.
fn open_window(world: &mut World, speaker: Speaker, sent_ms: i64, kind: &str, from_ad: bool) {
    if kind == "system" {
        return;
    }
    let until_ms = sent_ms.saturating_add(WINDOW_MS);
    match speaker.chat {
        Chat::Person(no) => {
            if let Some(person) = world.people.get_mut(no) {
                person.window_until_ms = person.window_until_ms.max(Some(until_ms));
                if from_ad {
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

/// The `context` of a reply to a message.
fn quote(hub: &Hub, world: &World, chat: Chat, id: &str) -> Result<Value, SayError> {
    let message = message_in(world, chat, id)?;
    let author = message.author.and_then(|no| world.people.get(no));
    let number = author.and_then(|person| person.wa_id(hub.clock.now_ms()));
    let from = if message.from_business { Some(hub.envelope.display_number.as_str()) } else { number };
    Ok(match from {
        Some(from) => json!({"from": from, "id": id}),
        None => json!({"id": id}),
    })
}

fn message_in<'a>(world: &'a World, chat: Chat, id: &str) -> Result<&'a Message, SayError> {
    let message = world.messages.find(id).and_then(|seq| world.messages.get(seq));
    message
        .filter(|message| message.chat == chat)
        .ok_or_else(|| SayError::NotFound(format!("message `{id}` is not in this chat or no longer kept")))
}

/// The candidates for a tap or a reaction: the message with this id, or all messages of the
/// business, newest first.
fn candidates<'a>(world: &'a World, chat: Chat, on: Option<&str>) -> Result<Vec<&'a Message>, SayError> {
    match on {
        Some(id) => Ok(vec![message_in(world, chat, id)?]),
        None => Ok(world.messages.of(chat).filter(|message| message.from_business).collect()),
    }
}

fn reaction(
    hub: &Hub,
    world: &mut World,
    speaker: Speaker,
    emoji: &str,
    on: Option<&str>,
) -> Result<Map<String, Value>, SayError> {
    let target = candidates(world, speaker.chat, on)?.into_iter().find(|message| message.kind != "reaction");
    let (seq, id) = target
        .map(|message| (message.seq, message.id.clone()))
        .ok_or_else(|| SayError::NotFound("there is no message to react to".to_owned()))?;
    if let Some(message) = world.messages.get_mut(seq) {
        message.react(Some(speaker.person), emoji);
    }
    view::publish_message(hub, world, seq);
    // The removal of a reaction has no emoji.
    let body = if emoji.is_empty() { json!({"message_id": id}) } else { json!({"message_id": id, "emoji": emoji}) };
    Ok(object("reaction", body))
}

fn tap(hub: &Hub, world: &World, speaker: Speaker, id: &str, on: Option<&str>) -> Result<Map<String, Value>, SayError> {
    for message in candidates(world, speaker.chat, on)? {
        let found = match &message.rendered {
            Some(rendered) => template_reply(rendered, id).map(|button| object("button", button)),
            None => {
                let body = serde_json::from_str::<Value>(message.body.get()).unwrap_or_default();
                interactive_reply(&body, id).map(|reply| object("interactive", reply))
            }
        };
        if let Some(mut object) = found {
            object.insert("context".to_owned(), quote(hub, world, speaker.chat, &message.id)?);
            return Ok(object);
        }
    }
    Err(SayError::NotFound(format!("no message in this chat has a button or row `{id}`")))
}

/// The `button` object of a tap on a template's quick reply, found by its payload or its text.
fn template_reply(rendered: &Value, id: &str) -> Option<Value> {
    let buttons = rendered.get("buttons")?.as_array()?;
    let matches = |button: &Value, key: &str| button.get(key).and_then(Value::as_str) == Some(id);
    let replies = || buttons.iter().filter(|button| button.get("type").and_then(Value::as_str) == Some("quick_reply"));
    let button = replies()
        .find(|button| matches(button, "payload"))
        .or_else(|| replies().find(|button| matches(button, "text")))?;
    Some(json!({"payload": button.get("payload"), "text": button.get("text")}))
}

/// The `interactive` object of a tap on a button or list row.
fn interactive_reply(body: &Value, id: &str) -> Option<Value> {
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
