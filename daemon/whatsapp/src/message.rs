//! Turns one element of `messages` or `message_echoes` into an event: sender, content, context, and
//! whether it opens the window.
//!
//! Phone numbers and user ids become aliases of the sender and do not appear in the event itself,
//! because not every plugin may see them.

use crate::config::AppConfig;
use crate::json::{Json, object_or_null};
use crate::origin::Origin;
use crate::person::Change;
use crate::unparsable::{Unparsable, quoted};
use crate::{answers, content, key, person};
use beadle_model::keyword::{self, HOST_BUTTON, Language};
use beadle_model::{Content, Context, EventBody, Keyword, Referral, Timestamp, message_key};
use beadle_store::step::{HostAnswer, KeywordMatch, NewEvent, Placement, Sender};
use serde_json::{Value, json};
use std::borrow::Cow;

/// Members that the event represents by other means, or that identify a person. They do not go into
/// `extra`.
const USED: [&str; 9] =
    ["from", "from_user_id", "from_parent_user_id", "id", "timestamp", "type", "group_id", "context", "referral"];

/// Types that are not a new message from a person and open no window: notices by the platform, and
/// changes to an earlier message.
const OPENS_NO_WINDOW: [&str; 3] = ["system", "edit", "revoke"];

/// Reads one message.
pub(crate) fn read(origin: &Origin<'_>, message: &Json<'_>, now: Timestamp) -> Result<NewEvent, Unparsable> {
    let app = origin.app;
    let channel = origin.configured_channel()?;
    let id = message.string_of("id").ok_or(Unparsable::Malformed("a message has no `id`"))?;
    let person = person::person(origin, message);
    let aliases = person::sender(message, person);
    if aliases.is_empty() {
        return Err(Unparsable::Malformed("a message has no sender"));
    }
    let kind = kind(message);
    let kind = kind.as_ref();
    let group = message.string_of("group_id");
    let name = person.and_then(person::display_name);
    let timestamp = message.timestamp_of("timestamp");
    let key = key::of_id(timestamp, &["message", origin.number, &message_key(&id)]);
    let body = body(message, kind, id);
    let keyword = match &body {
        EventBody::Message { content, .. } if group.is_none() => keyword(content, app),
        _ => None,
    };
    let language = app.guess_language(&aliases);
    Ok(NewEvent {
        key,
        placement: Placement::Sender(Sender { channel: channel.to_owned(), aliases, name, group, language }),
        happened_at: timestamp.unwrap_or(now),
        opens_window: !OPENS_NO_WINDOW.contains(&kind),
        body: with_keyword(body, keyword.as_ref()),
        keyword,
    })
}

/// The type of a message: its `type`, in any case, or else the name of its only member that is a
/// known type. The platform's own samples omit `type`.
fn kind<'a>(message: &'a Json<'_>) -> Cow<'a, str> {
    if let Some(Json::Text(kind)) = message.get("type").filter(|kind| kind.text().is_some()) {
        let known = content::TYPES.iter().find(|known| known.eq_ignore_ascii_case(kind.trim()));
        return Cow::Borrowed(known.copied().unwrap_or(kind));
    }
    Cow::Borrowed(content::only_member(message, &content::TYPES).unwrap_or("unknown"))
}

/// The reserved word in a message or on a tapped button, or the answer to a question of Beadle's
/// own.
fn keyword(content: &Content, app: &AppConfig) -> Option<KeywordMatch> {
    let found = match content {
        Content::Text(text) => match keyword::recognize(text) {
            Some(found) => found,
            None => return own_word(text, app).or_else(|| typed_confirmation(text, app)),
        },
        Content::TemplateButton(choice) | Content::Button(choice) | Content::ListRow(choice) => {
            if let Some(question) = choice.id.strip_prefix(HOST_BUTTON) {
                return host_answer(question, app);
            }
            keyword::recognize_tap(&choice.title, &choice.id)?
        }
        _ => return None,
    };
    let (keyword, language) = found;
    Some(KeywordMatch::new(keyword, language, answers::replies(keyword, None, app)))
}

/// A word of the operator's own.
fn own_word(text: &str, app: &AppConfig) -> Option<KeywordMatch> {
    let (index, stops) = app.own_words.recognize(text)?;
    let topic = app.topics.get(index)?.clone();
    let keyword = if stops { Keyword::OptOut } else { Keyword::OptIn };
    Some(KeywordMatch { topic: Some(topic), ..KeywordMatch::new(keyword, None, answers::replies(keyword, None, app)) })
}

/// The answer to a question of Beadle's own: `consent:17:yes`, `export:no`.
fn host_answer(question: &str, app: &AppConfig) -> Option<KeywordMatch> {
    let (question, answer) = question.rsplit_once(':')?;
    let keyword = match answer {
        "yes" => Keyword::Yes,
        "no" => Keyword::No,
        _ => return None,
    };
    let question = match question {
        "export" => HostAnswer::Export,
        "erase" => HostAnswer::Erase,
        _ => HostAnswer::Consent(question.strip_prefix("consent:")?.parse().ok()?),
    };
    Some(answered(keyword, None, question, app))
}

/// `FORGETME YES` instead of the tap.
fn typed_confirmation(text: &str, app: &AppConfig) -> Option<KeywordMatch> {
    let (word, language) = keyword::recognize_confirmation(text)?;
    let question = if word == Keyword::ForgetMe { HostAnswer::Erase } else { HostAnswer::Export };
    Some(KeywordMatch { is_typed: true, ..answered(Keyword::Yes, language, question, app) })
}

fn answered(keyword: Keyword, language: Option<Language>, question: HostAnswer, app: &AppConfig) -> KeywordMatch {
    let replies = answers::replies(keyword, Some(question), app);
    let late_replies = answers::late_replies(question, app);
    KeywordMatch { answer: Some(question), late_replies, ..KeywordMatch::new(keyword, language, replies) }
}

fn with_keyword(mut body: EventBody, found: Option<&KeywordMatch>) -> EventBody {
    if let EventBody::Message { keyword, .. } = &mut body {
        *keyword = found.map(|found| found.keyword);
    }
    body
}

fn body(message: &Json<'_>, kind: &str, id: String) -> EventBody {
    let object = message.get(kind);
    if kind == "reaction"
        && let Some(target) = object.and_then(|reaction| reaction.string_of("message_id"))
    {
        return EventBody::Reaction {
            message: target,
            own_message: None,
            emoji: object.and_then(|reaction| reaction.string_of("emoji")),
            extra: extra(message, kind),
        };
    }
    if let Some(changed) = object.filter(|_| kind == "system").and_then(|notice| contact_changed(message, notice)) {
        return changed;
    }
    let (content, extra) = read_content(message, kind, object);
    EventBody::Message {
        message: id,
        content,
        context: message.object_of("context").map(context),
        referral: message.object_of("referral").map(referral),
        keyword: None,
        addressed: None,
        extra,
    }
}

/// Reads one echo: a message that a colleague sent from a phone with the same number.
pub(crate) fn read_echo(origin: &Origin<'_>, echo: &Json<'_>, now: Timestamp) -> Result<NewEvent, Unparsable> {
    let channel = origin.configured_channel()?;
    let id = echo.string_of("id").ok_or(Unparsable::Malformed("an echo has no `id`"))?;
    let aliases = person::echo_recipient(echo);
    if aliases.is_empty() {
        return Err(Unparsable::Malformed("an echo has no recipient"));
    }
    let kind = kind(echo);
    let timestamp = echo.timestamp_of("timestamp");
    let key = key::of_id(timestamp, &["echo", origin.number, &message_key(&id)]);
    let (content, mut extra) = read_content(echo, &kind, echo.get(&kind));
    if let Value::Object(mut rest) = extra {
        rest.retain(|name, _| !name.starts_with("to"));
        extra = object_or_null(rest);
    }
    let group = echo.string_of("group_id");
    Ok(NewEvent {
        key,
        placement: Placement::Sender(Sender {
            channel: channel.to_owned(),
            aliases,
            name: None,
            group,
            language: None,
        }),
        happened_at: timestamp.unwrap_or(now),
        // Messages by the business do not extend the window (docs/whatsapp.md#windows).
        opens_window: false,
        keyword: None,
        body: EventBody::Echo { message: id, content, context: echo.object_of("context").map(context), extra },
    })
}

/// A notice that a person has another number, another user id or another device. `extra` carries no
/// numbers or ids; the hash of a new device's key is a sibling of the notice.
fn contact_changed(message: &Json<'_>, notice: &Json<'_>) -> Option<EventBody> {
    let change = match person::change(message, notice)? {
        Change::Number => "number-changed",
        Change::UserId => "id-changed",
        Change::Device => "identity-changed",
    };
    let identifies = |name: &str| ["body", "customer", "type"].contains(&name) || name.ends_with("_id");
    let mut extra = notice.without(identifies);
    extra.extend(message.get("identity").map(|identity| ("identity".to_owned(), identity.to_value())));
    Some(EventBody::ContactChanged { change: change.to_owned(), merged: None, extra: object_or_null(extra) })
}

/// The content and `extra` of a message of this kind; `object` is its member of that name.
fn read_content(message: &Json<'_>, kind: &str, object: Option<&Json<'_>>) -> (Content, Value) {
    // An unsupported message usually has no object of its own; its `errors` say why.
    if kind == "unsupported" {
        let platform_type = object.and_then(|object| object.string_of("type"));
        return (Content::Unsupported(platform_type), extra(message, kind));
    }
    match object.and_then(|object| content::content(kind, object)) {
        Some(content) => {
            let rest = object.map(|object| content::rest(kind, object)).unwrap_or_default();
            let Value::Object(mut extra) = extra(message, kind) else {
                return (content, if rest.is_empty() { Value::Null } else { json!({ kind: rest }) });
            };
            if !rest.is_empty() {
                extra.insert(kind.to_owned(), Value::Object(rest));
            }
            (content, Value::Object(extra))
        }
        None => other(message, kind, object),
    }
}

/// Content without a representation of its own: the object, with the remaining members in `extra`;
/// without an object, the remaining members.
fn other(message: &Json<'_>, kind: &str, object: Option<&Json<'_>>) -> (Content, Value) {
    let (json, extra) = match object {
        // The body and the ids of a notice identify a person.
        Some(notice) if kind == "system" => {
            let identifies = |name: &str| name == "body" || name == "customer" || name.ends_with("_id");
            (Value::Object(notice.without(identifies)), extra(message, kind))
        }
        Some(object) => (object.to_value(), extra(message, kind)),
        None => (Value::Object(message.without(|name| USED.contains(&name))), Value::Null),
    };
    (Content::Other { kind: quoted(kind), json }, extra)
}

fn context(context: &Json<'_>) -> Context {
    let frequently_forwarded = context.is_true("frequently_forwarded");
    Context {
        quoted: context.string_of("id"),
        quoted_message: None,
        forwarded: frequently_forwarded || context.is_true("forwarded"),
        frequently_forwarded,
    }
}

fn referral(referral: &Json<'_>) -> Referral {
    Referral {
        source_url: referral.string_of("source_url"),
        source_id: referral.string_of("source_id"),
        source_type: referral.string_of("source_type"),
        headline: referral.string_of("headline"),
        body: referral.string_of("body"),
        click_id: referral.string_of("ctwa_clid"),
    }
}

/// Members of the message, its context and its referral that the event does not represent.
/// `context.from` and similar members are dropped: they are the phone number of the person who is
/// quoted.
fn extra(message: &Json<'_>, kind: &str) -> Value {
    let mut extra = message.without(|name| name == kind || USED.contains(&name));
    for name in ["context", "referral"] {
        // Of an unexpected type: kept as it is.
        if let Some(value) = message.present(name).filter(|value| value.members().is_none()) {
            extra.insert(name.to_owned(), value.to_value());
        }
    }
    if let Some(context) = message.object_of("context") {
        let rest = context
            .without(|name| name.starts_with("from") || ["id", "forwarded", "frequently_forwarded"].contains(&name));
        if !rest.is_empty() {
            extra.insert("context".to_owned(), Value::Object(rest));
        }
    }
    if let Some(referral) = message.object_of("referral") {
        let used = ["source_url", "source_id", "source_type", "headline", "body", "ctwa_clid"];
        let rest = referral.without(|name| used.contains(&name));
        if !rest.is_empty() {
            extra.insert("referral".to_owned(), Value::Object(rest));
        }
    }
    object_or_null(extra)
}
