//! One element of `messages` becomes an event: who, what, in answer to what, and whether it opens the window.

use crate::json::Json;
use crate::misfit::Misfit;
use crate::webhook::{Origin, object_or_null};
use crate::{answers, content, key, person};
use beadle_model::word;
use beadle_model::{Content, Context, EventBody, Outgoing, Referral, Timestamp};
use beadle_store::step::{NewEvent, Place, SaidWord, Sender};
use serde_json::Value;

/// What the event itself says, or what is not a plugin's business: names of a person that are not their display name.
const USED: [&str; 9] =
    ["from", "from_user_id", "from_parent_user_id", "id", "timestamp", "type", "group_id", "context", "referral"];

/// Types that are no new message of a person, and open no window: the platform's own news about them, and changes of an
/// earlier message.
const NOT_SAID: [&str; 3] = ["system", "edit", "revoke"];

/// The event; else why there is none.
pub(crate) fn read(origin: &Origin<'_>, message: &Json<'_>, now: Timestamp) -> Result<NewEvent, Misfit> {
    let app = origin.app;
    let channel = origin.ours()?;
    let id = message.string_of("id").ok_or(Misfit::Nonsense("a message without an `id`"))?;
    let person = person::person(origin, message);
    let aliases = person::sender(message, person);
    if aliases.is_empty() {
        return Err(Misfit::Nonsense("a message from nobody"));
    }
    let kind = message.string_of("type");
    let kind = kind.as_deref().unwrap_or("unknown");
    let group = message.string_of("group_id");
    let name = person.and_then(person::shown);
    let stamp = message.moment_of("timestamp");
    let key = key::of_names(stamp, &["message", origin.number, &id]);
    let body = body(message, kind, id);
    let said = match &body {
        EventBody::Message { content: Content::Text(text), .. } if group.is_none() => word::hear(text),
        _ => None,
    };
    let said = said.map(|(word, language)| SaidWord {
        word,
        language,
        answer: answers::answer(word, language.unwrap_or(app.language()), app.brand()).map(|body| Outgoing::Text {
            body,
            preview_url: false,
            quote: None,
        }),
    });
    let language = app.guess_language(&aliases);
    Ok(NewEvent {
        key,
        place: Place::Sender(Sender { channel: channel.to_owned(), aliases, name, group, language }),
        happened_at: stamp.unwrap_or(now),
        opens_window: !NOT_SAID.contains(&kind),
        body: with_word(body, said.as_ref()),
        word: said,
    })
}

fn with_word(mut body: EventBody, said: Option<&SaidWord>) -> EventBody {
    if let EventBody::Message { word, .. } = &mut body {
        *word = said.map(|said| said.word);
    }
    body
}

fn body(message: &Json<'_>, kind: &str, id: String) -> EventBody {
    let object = message.get(kind);
    if kind == "reaction"
        && let Some(to) = object.and_then(|reaction| reaction.string_of("message_id"))
    {
        return EventBody::Reaction {
            message: to,
            own_message: None,
            emoji: object.and_then(|reaction| reaction.string_of("emoji")),
            extra: extra(message, kind),
        };
    }
    if let Some(changed) = object.filter(|_| kind == "system").and_then(|news| contact_changed(message, news)) {
        return changed;
    }
    let (content, extra) = read_content(message, kind, object);
    EventBody::Message {
        message: id,
        content,
        context: message.get("context").map(context),
        referral: message.get("referral").map(referral),
        word: None,
        addressed: None,
        extra,
    }
}

/// An echo of what a colleague wrote from the telephone that has the number too.
pub(crate) fn read_echo(origin: &Origin<'_>, echo: &Json<'_>, now: Timestamp) -> Result<NewEvent, Misfit> {
    let channel = origin.ours()?;
    let id = echo.string_of("id").ok_or(Misfit::Nonsense("an echo without an `id`"))?;
    let aliases = person::addressee(echo);
    if aliases.is_empty() {
        return Err(Misfit::Nonsense("an echo of a message to nobody"));
    }
    let kind = echo.string_of("type").unwrap_or_else(|| "unknown".to_owned());
    let stamp = echo.moment_of("timestamp");
    let key = key::of_names(stamp, &["echo", origin.number, &id]);
    let (content, mut extra) = read_content(echo, &kind, echo.get(&kind));
    if let Value::Object(mut rest) = extra {
        rest.retain(|name, _| !name.starts_with("to"));
        extra = object_or_null(rest);
    }
    let group = echo.string_of("group_id");
    Ok(NewEvent {
        key,
        place: Place::Sender(Sender { channel: channel.to_owned(), aliases, name: None, group, language: None }),
        happened_at: stamp.unwrap_or(now),
        // What we say moves no window (whatsapp.md 5.1).
        opens_window: false,
        word: None,
        body: EventBody::Echo { message: id, content, context: echo.get("context").map(context), extra },
    })
}

/// What the platform tells of a person, who did not write: another number, another id, another telephone. Names and
/// numbers are taken as aliases, and are not for every plugin. The hash of a new telephone's key stands beside the news.
fn contact_changed(message: &Json<'_>, news: &Json<'_>) -> Option<EventBody> {
    let change = match news.text_of("type")?.as_ref() {
        "user_changed_number" => "number-changed",
        "user_changed_user_id" => "id-changed",
        "user_identity_changed" | "customer_identity_changed" => "identity-changed",
        _ => return None,
    };
    let is_name = |name: &str| ["body", "customer", "type"].contains(&name) || name.ends_with("_id");
    let mut extra = news.without(is_name);
    extra.extend(message.get("identity").map(|identity| ("identity".to_owned(), identity.to_value())));
    Some(EventBody::ContactChanged { change: change.to_owned(), merged: None, extra: object_or_null(extra) })
}

/// The content, and what the platform told besides.
fn read_content(message: &Json<'_>, kind: &str, object: Option<&Json<'_>>) -> (Content, Value) {
    // What cannot be shown mostly has no object of its own, and tells by its errors why.
    if kind == "unsupported" {
        let what = object.and_then(|object| object.string_of("type"));
        return (Content::Unsupported(what), extra(message, kind));
    }
    match object.and_then(|object| content::content(kind, object)) {
        Some(content) => (content, extra(message, kind)),
        None => other(message, kind, object),
    }
}

/// A kind without a form of its own: its object whole, and the rest in `extra`; or, where it has no object, the rest.
fn other(message: &Json<'_>, kind: &str, object: Option<&Json<'_>>) -> (Content, Value) {
    let (json, extra) = match object {
        // Its body and its ids are the old and new names of a person: taken as aliases, and not for every plugin.
        Some(news) if kind == "system" => {
            let is_name = |name: &str| name == "body" || name == "customer" || name.ends_with("_id");
            (Value::Object(news.without(is_name)), extra(message, kind))
        }
        Some(object) => (object.to_value(), extra(message, kind)),
        None => (Value::Object(message.without(|name| USED.contains(&name))), Value::Null),
    };
    (Content::Other { kind: kind.to_owned(), json }, extra)
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

/// What the platform told besides: members of the message, its context and its referral that have no place of their own.
/// `context.from` and its like are the number of whoever is quoted, and so not for every plugin.
fn extra(message: &Json<'_>, kind: &str) -> Value {
    let mut extra = message.without(|name| name == kind || USED.contains(&name));
    if let Some(context) = message.get("context") {
        let rest = context
            .without(|name| name.starts_with("from") || ["id", "forwarded", "frequently_forwarded"].contains(&name));
        if !rest.is_empty() {
            extra.insert("context".to_owned(), Value::Object(rest));
        }
    }
    if let Some(referral) = message.get("referral") {
        let used = ["source_url", "source_id", "source_type", "headline", "body", "ctwa_clid"];
        let rest = referral.without(|name| used.contains(&name));
        if !rest.is_empty() {
            extra.insert("referral".to_owned(), Value::Object(rest));
        }
    }
    object_or_null(extra)
}
