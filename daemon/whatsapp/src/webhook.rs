//! A parsed webhook becomes events and receipts: the envelope, and what is neither message nor status.
//!
//! Any number of entries, changes, messages and statuses, each on its own: one that is not understood takes nothing with
//! it. What is of a kind that this version does not know becomes an `unrouted` event with an excerpt of the webhook: its
//! entry, with this one change, with this one element, in the platform's own shape. What makes no sense becomes a letter
//! for a person, with the same excerpt.

use crate::app::{App, Parsed};
use crate::json::Json;
use crate::misfit::{self, Misfit, kind_of};
use crate::{groups, key, message, news, preference, receipt};
use beadle_model::{EventBody, Timestamp};
use beadle_store::step::{EventKey, NewEvent, Place};
use serde_json::{Map, Value};

/// Where an element stands: the entry and the change around it.
#[derive(Clone, Copy)]
pub(crate) struct Origin<'a> {
    pub(crate) app: &'a App,
    entry: &'a Json<'a>,
    change: &'a Json<'a>,
    /// `value` of the change.
    pub(crate) value: &'a Json<'a>,
    /// `metadata.phone_number_id`; empty where it is missing.
    pub(crate) number: &'a str,
    /// The channel of that number, where it is configured.
    pub(crate) channel: Option<&'a str>,
}

impl Origin<'_> {
    /// The change around the value.
    pub(crate) fn change(&self) -> &Json<'_> {
        self.change
    }

    /// The platform's name for what changed; empty where it is missing.
    pub(crate) fn field(&self) -> std::borrow::Cow<'_, str> {
        self.change.text_of("field").unwrap_or_default()
    }

    /// The channel, which has to be configured.
    pub(crate) fn ours(&self) -> Result<&str, Misfit> {
        self.channel.ok_or(Misfit::Stranger)
    }

    /// The account and the time of the entry, as the platform wrote them; part of the key of what has no id.
    fn names(&self) -> [String; 2] {
        ["id", "time"].map(|name| self.entry.string_of(name).unwrap_or_default())
    }

    /// When: as the entry says, else as the first element of any list in it does.
    fn stamp(&self) -> Option<Timestamp> {
        let first = |(_, part): &(_, Json<'_>)| part.items()?.first()?.moment_of("timestamp");
        self.entry.moment_of("time").or_else(|| self.value.members()?.iter().find_map(first))
    }

    /// The entry with this change alone, and of its value only what `part` has (all of it where that is `None`).
    fn excerpt(&self, part: Option<(&str, Value)>) -> Value {
        let mut change = self.change.without(|name| name == "value");
        let value = match part {
            None => self.value.to_value(),
            Some((name, part)) => {
                let mut value = self.value.without(|name| name != "metadata" && name != "contacts");
                value.insert(name.to_owned(), part);
                Value::Object(value)
            }
        };
        change.insert("value".to_owned(), value);
        let mut entry = self.entry.without(|name| name == "changes");
        entry.insert("changes".to_owned(), Value::Array(vec![Value::Object(change)]));
        Value::Object(entry)
    }
}

/// All that a webhook says, events and receipts each in the order of their time stamps, then of their places; `None`
/// where it is none.
pub(crate) fn read(app: &App, tree: &Json<'_>, now: Timestamp) -> Option<Parsed> {
    let mut parsed = Parsed::default();
    for entry in tree.get("entry")?.items()? {
        match entry.get("changes").and_then(Json::items) {
            Some(changes) => changes.iter().for_each(|change| read_change(app, entry, change, now, &mut parsed)),
            None => {
                let why = "an entry without a list `changes`".to_owned();
                parsed.letters.push(misfit::nonsense(app, why, &entry.to_value()));
            }
        }
    }
    parsed.events.sort_by_key(|event| event.happened_at);
    parsed.receipts.sort_by_key(|receipt| receipt.at);
    parsed.counts.unreadable = parsed.letters.len();
    Some(parsed)
}

fn read_change(app: &App, entry: &Json<'_>, change: &Json<'_>, now: Timestamp, parsed: &mut Parsed) {
    let nothing = Json::Null;
    let value = change.get("value").unwrap_or(&nothing);
    let number = value.get("metadata").and_then(|metadata| metadata.text_of("phone_number_id")).unwrap_or_default();
    let origin = Origin { app, entry, change, value, number: &number, channel: app.channel(&number) };
    let Some(field) = change.text_of("field") else {
        return senseless(&origin, "a change without a `field`".to_owned(), None, parsed);
    };
    let Some(members) = value.members() else {
        let why = format!("a change of `{field}` whose `value` is {}, and no object", kind_of(value));
        return senseless(&origin, why, None, parsed);
    };
    match field.as_ref() {
        "messages" => {
            for (name, part) in members {
                read_part(&origin, name, part, now, parsed);
            }
        }
        "smb_message_echoes" => each(&origin, "message_echoes", now, parsed, |echo| {
            message::read_echo(&origin, echo, now).map(|event| vec![event])
        }),
        "user_preferences" => each(&origin, "user_preferences", now, parsed, |preference| {
            preference::read(&origin, preference, now).map(|event| vec![event])
        }),
        field if groups::FIELDS.contains(&field) || (field.starts_with("group_") && value.get("groups").is_some()) => {
            each(&origin, "groups", now, parsed, |group| groups::read(&origin, group, now));
        }
        field if channel_news(&origin, field, now, parsed) => {}
        field => {
            let [account, time] = origin.names();
            let named = key::of_contents(origin.stamp(), &["change", &account, &time], origin.change);
            unrouted(parsed, named, origin.stamp().unwrap_or(now), field.to_owned(), origin.excerpt(None));
        }
    }
}

/// Each element of a list, by itself; those that are not understood are kept.
fn each(
    origin: &Origin<'_>,
    list: &str,
    now: Timestamp,
    parsed: &mut Parsed,
    mut read: impl FnMut(&Json<'_>) -> Result<Vec<NewEvent>, Misfit>,
) {
    let Some(elements) = origin.value.get(list).and_then(Json::items) else {
        return senseless(origin, format!("a change of `{}` without a list `{list}`", origin.field()), None, parsed);
    };
    for element in elements {
        match read(element) {
            Ok(events) => {
                parsed.counts.news += events.len();
                parsed.events.extend(events);
            }
            Err(misfit) => stray(origin, list, misfit, element, now, parsed),
        }
    }
}

/// News of a number or an account; `false`: the field is no such news.
fn channel_news(origin: &Origin<'_>, field: &str, now: Timestamp, parsed: &mut Parsed) -> bool {
    let account = origin.entry.text_of("id").unwrap_or_default();
    let channel = origin.channel.or_else(|| origin.app.only_channel(&account));
    let Some(news) = news::read(field, origin.value, channel) else { return false };
    let [account, time] = origin.names();
    let key = key::of_contents(origin.stamp(), &["change", &account, &time], origin.change);
    told(parsed, key, origin.stamp().unwrap_or(now), EventBody::ChannelChanged(news));
    true
}

/// News that belong to nobody's conversation.
fn told(parsed: &mut Parsed, key: EventKey, happened_at: Timestamp, body: EventBody) {
    parsed.counts.news += 1;
    parsed.events.push(NewEvent { key, place: Place::Nowhere, happened_at, opens_window: false, word: None, body });
}

/// One member of the `value` of a change of field `messages`.
fn read_part(origin: &Origin<'_>, name: &str, part: &Json<'_>, now: Timestamp, parsed: &mut Parsed) {
    match (name, part) {
        ("messaging_product" | "metadata" | "contacts", _) => {}
        ("messages", Json::Array(messages)) => {
            for message in messages {
                match message::read(origin, message, now) {
                    Ok(event) => {
                        parsed.counts.message(&event.body);
                        parsed.events.push(event);
                    }
                    Err(misfit) => stray(origin, name, misfit, message, now, parsed),
                }
            }
        }
        ("statuses", Json::Array(statuses)) => {
            for status in statuses {
                match receipt::read(origin.app.install(), status, now) {
                    Ok(receipt) => {
                        parsed.counts.receipts += 1;
                        parsed.receipts.push(receipt);
                    }
                    Err(misfit) => stray(origin, name, misfit, status, now, parsed),
                }
            }
        }
        ("errors", Json::Array(errors)) => {
            for error in errors {
                let [account, time] = origin.names();
                let named = key::of_contents(origin.stamp(), &["error", &account, &time, origin.number], error);
                match news::error(error, origin.channel) {
                    Some(news) => told(parsed, named, origin.stamp().unwrap_or(now), EventBody::ChannelChanged(news)),
                    None => {
                        stray(origin, name, Misfit::Nonsense("an error without a `code`"), error, now, parsed);
                    }
                }
            }
        }
        ("messages" | "statuses" | "errors", _) => {
            let why = format!("`{name}` is {}, and no list", kind_of(part));
            senseless(origin, why, Some((name, part.to_value())), parsed);
        }
        _ => {
            // Not of an element: `user_actions`, and what comes next year.
            let [account, time] = origin.names();
            let named = key::of_contents(origin.stamp(), &["part", &account, &time, name], origin.change);
            let excerpt = origin.excerpt(Some((name, part.to_value())));
            unrouted(parsed, named, origin.stamp().unwrap_or(now), format!("messages.{name}"), excerpt);
        }
    }
}

/// An element that no event or receipt can be made of, or that is for a number which is not ours. Its key differs from
/// that of the event it would have been: when the number is configured and the platform repeats it, it is no duplicate.
fn stray(origin: &Origin<'_>, list: &str, misfit: Misfit, element: &Json<'_>, now: Timestamp, parsed: &mut Parsed) {
    let kind = match misfit {
        Misfit::Stranger => {
            parsed.counts.unknown_number += 1;
            parsed.unknown_number.get_or_insert_with(|| origin.number.to_owned());
            "unknown-number".to_owned()
        }
        Misfit::Unknown(kind) => kind,
        Misfit::Nonsense(why) => {
            let part = Value::Array(vec![element.to_value()]);
            return senseless(origin, format!("in `{list}`: {why}"), Some((list, part)), parsed);
        }
    };
    let happened_at = element.moment_of("timestamp");
    let [account, time] = origin.names();
    let named = key::of_contents(happened_at, &["stray", &account, &time, origin.number, list], element);
    let excerpt = origin.excerpt(Some((list, Value::Array(vec![element.to_value()]))));
    unrouted(parsed, named, happened_at.unwrap_or(now), format!("{list}/{kind}"), excerpt);
}

/// A change, or a part of one, that makes no sense.
fn senseless(origin: &Origin<'_>, why: String, part: Option<(&str, Value)>, parsed: &mut Parsed) {
    parsed.letters.push(misfit::nonsense(origin.app, why, &origin.excerpt(part)));
}

fn unrouted(parsed: &mut Parsed, key: EventKey, happened_at: Timestamp, kind: String, json: Value) {
    parsed.counts.unrouted += 1;
    parsed.events.push(NewEvent {
        key,
        place: Place::Nowhere,
        happened_at,
        opens_window: false,
        word: None,
        body: EventBody::Unrouted { kind, json },
    });
}

/// `Null` for an object without members.
pub(crate) fn object_or_null(map: Map<String, Value>) -> Value {
    if map.is_empty() { Value::Null } else { Value::Object(map) }
}
