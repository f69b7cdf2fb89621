//! One element of `messages` becomes an event: who, what, in answer to what, and whether it opens the window.

use crate::app::App;
use crate::json::Json;
use crate::webhook::{Origin, object_or_null};
use crate::{answers, key};
use beadle_model::content::Choice;
use beadle_model::word;
use beadle_model::{Alias, AliasKind, Content, Context, EventBody, Outgoing, Referral, Timestamp};
use beadle_store::step::{NewEvent, Place, SaidWord, Sender};
use serde_json::Value;
use std::borrow::Cow;

/// What the event itself says, or what is not a plugin's business: names of a person that are not their display name.
const USED: [&str; 9] =
    ["from", "from_user_id", "from_parent_user_id", "id", "timestamp", "type", "group_id", "context", "referral"];

/// Types that are no new message of a person, and open no window: the platform's own news about them, and changes of an
/// earlier message.
const NOT_SAID: [&str; 3] = ["system", "edit", "revoke"];

/// The event; else the type of the message, where it has one, and there is nobody it came from, or no id, or the number
/// is not ours.
pub(crate) fn read(
    app: &App,
    origin: &Origin<'_>,
    message: &Json<'_>,
    now: Timestamp,
) -> Result<NewEvent, Option<String>> {
    let kind = message.string_of("type");
    let (Some(channel), Some(id)) = (origin.channel, message.string_of("id")) else { return Err(kind) };
    let person = person(origin, message);
    let aliases = aliases(message, person);
    if aliases.is_empty() {
        return Err(kind);
    }
    let kind = kind.as_deref().unwrap_or("unknown");
    let group = message.string_of("group_id");
    let name = person.and_then(|person| person.get("profile")).and_then(|profile| profile.string_of("name"));
    let stamp = message.moment_of("timestamp");
    let key = key::of_names(stamp, &["message", origin.number, &id]);
    let body = body(message, kind, id);
    let said = match &body {
        EventBody::Message { content: Content::Text(text), .. } if group.is_none() => word::hear(text),
        _ => None,
    };
    let said = said.map(|(word, language)| SaidWord {
        word,
        answer: answers::answer(word, language.unwrap_or(app.language()), app.brand()).map(|body| Outgoing::Text {
            body,
            preview_url: false,
            quote: None,
        }),
    });
    Ok(NewEvent {
        key,
        place: Place::Sender(Sender { channel: channel.to_owned(), aliases, name, group }),
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

/// The element of `contacts` that is the sender: one that shares a name with the message, or the only one where it
/// contradicts none. Two people's names must never become one person's.
fn person<'a>(origin: &Origin<'a>, message: &Json<'_>) -> Option<&'a Json<'a>> {
    let contacts = origin.value.get("contacts")?.items()?;
    let compare = |contact: &Json<'_>| {
        [("wa_id", "from"), ("user_id", "from_user_id")]
            .map(|(theirs, says)| Some(contact.text_of(theirs)? == message.text_of(says)?))
    };
    let same = |contact: &&Json<'_>| compare(contact).contains(&Some(true));
    let only = || contacts.first().filter(|contact| contacts.len() == 1 && !compare(contact).contains(&Some(false)));
    contacts.iter().find(same).or_else(only)
}

/// Every name that the platform tells of the sender, each once, a new one before the one it takes the place of: the first
/// of its kind is where answers go. `from` is a telephone number and `wa_id` an account's id; mostly they are the same
/// digits, and then the store takes the id for both (whatsapp.md 6).
fn aliases(message: &Json<'_>, person: Option<&Json<'_>>) -> Vec<Alias> {
    use AliasKind::{ParentUserId, Phone, UserId, WaId};
    let mut all: Vec<Alias> = Vec::with_capacity(4);
    let mut add = |kind, value: Option<String>| {
        all.extend(value.map(|value| Alias { kind, value }).filter(|alias| !all.contains(alias)));
    };
    if let Some(system) = message.get("system") {
        // A changed number or id: the new names belong to whoever had the old ones.
        let body = system.text_of("body").unwrap_or_default();
        let (old, new) = changed(&body).map(|(old, new)| (old.to_owned(), new.to_owned())).unzip();
        match system.text_of("type").as_deref() {
            Some("user_changed_user_id") => {
                add(UserId, system.string_of("user_id").or(new));
                add(UserId, system.string_of("previous_user_id").or(old));
                add(ParentUserId, system.string_of("parent_user_id"));
                add(ParentUserId, system.string_of("previous_parent_user_id"));
            }
            Some("user_changed_number") => {
                add(WaId, system.string_of("wa_id").or(new));
                add(UserId, system.string_of("user_id"));
                add(Phone, old);
            }
            _ => {}
        }
    }
    let (from, wa_id) = (message.text_of("from"), person.and_then(|person| person.text_of("wa_id")));
    let phone = from.filter(|from| wa_id.as_ref() != Some(from));
    add(UserId, message.string_of("from_user_id"));
    add(UserId, person.and_then(|person| person.string_of("user_id")));
    add(WaId, wa_id.map(Cow::into_owned));
    add(Phone, phone.map(Cow::into_owned));
    add(ParentUserId, message.string_of("from_parent_user_id"));
    add(ParentUserId, person.and_then(|person| person.string_of("parent_user_id")));
    all
}

/// Old and new name in `User Sheena Nelson changed from 16505551234 to 12195555358`; the name may hold anything, so the
/// last place counts.
fn changed(body: &str) -> Option<(&str, &str)> {
    let (_, names) = body.rsplit_once(" changed from ")?;
    let (old, new) = names.split_once(" to ")?;
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
    (is_name(old) && is_name(new)).then_some((old, new))
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
    let (content, extra) = match object.and_then(|object| content(kind, object)) {
        Some(content) => (content, extra(message, kind)),
        None => other(message, kind, object),
    };
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

/// The kinds of content that have a form of their own.
fn content(kind: &str, object: &Json<'_>) -> Option<Content> {
    match kind {
        "text" => object.string_of("body").map(Content::Text),
        "button" => {
            let title = object.string_of("text");
            let id = object.string_of("payload").or_else(|| title.clone())?;
            Some(Content::TemplateButton(Choice { id, title: title.unwrap_or_default(), description: None }))
        }
        "interactive" => match object.text_of("type")?.as_ref() {
            "button_reply" => object.get("button_reply").and_then(choice).map(Content::Button),
            "list_reply" => object.get("list_reply").and_then(choice).map(Content::ListRow),
            _ => None,
        },
        _ => None,
    }
}

fn choice(reply: &Json<'_>) -> Option<Choice> {
    Some(Choice {
        id: reply.string_of("id")?,
        title: reply.string_of("title").unwrap_or_default(),
        description: reply.string_of("description"),
    })
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

#[cfg(test)]
mod tests {
    use super::changed;

    #[test]
    fn the_names_of_a_change_are_the_last_ones() {
        assert_eq!(changed("User Ann changed from 1650 to 1219"), Some(("1650", "1219")));
        assert_eq!(changed("User x changed from a to b changed from US.1 to US.2"), Some(("US.1", "US.2")));
        for no in ["", "User Ann changed", "User Ann changed from 1650 to", "User Ann changed from you to all of us"] {
            assert_eq!(changed(no), None, "{no}");
        }
    }
}
