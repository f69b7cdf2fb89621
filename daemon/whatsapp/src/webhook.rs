//! Turns a parsed webhook into events and receipts: the envelope, and everything that is neither a
//! message nor a status.
//!
//! Entries, changes, messages and statuses are read independently: one that cannot be parsed does
//! not affect the others. An element of an unknown kind becomes an `unrouted` event with an excerpt
//! of the webhook (its entry, reduced to this change and this element, in the platform's own
//! shape). A malformed element becomes a rejected webhook with the same excerpt.

use crate::config::AppConfig;
use crate::json::Json;
use crate::origin::Origin;
use crate::unparsable::{self, Unparsable, kind_of, quoted};
use crate::{groups, key, message, notification, preference, receipt};
use beadle_model::{Content, EventBody, TemplateNews, Timestamp};
use beadle_store::step::{EventKey, NewEvent, NewRejectedWebhook, Placement, Receipt};
use serde_json::Value;

/// The `object` of webhooks about WhatsApp business accounts. One callback URL may receive those of
/// other products too.
const OBJECT: &str = "whatsapp_business_account";

/// The contents of one webhook.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed {
    /// Ordered by time stamp, then by position.
    pub events: Vec<NewEvent>,
    /// Ordered by time stamp, then by position.
    pub receipts: Vec<Receipt>,
    /// Malformed bodies and parts, kept for a person.
    pub rejected: Vec<NewRejectedWebhook>,
    /// News about templates, which are also events.
    pub templates: Vec<TemplateNews>,
    /// Counters for metrics.
    pub counts: Counts,
    /// A `phone_number_id` in this webhook that is not configured.
    pub unknown_number: Option<String>,
    /// The `object` of a webhook of another product of Meta, of which nothing else is read.
    pub other_product: Option<String>,
}

/// The contents of a webhook by kind. Every element of a webhook is counted in exactly one of
/// `messages`, `reactions`, `receipts`, `notifications`, `unrouted` and `rejected`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Message events.
    pub messages: usize,
    /// Message events whose content is [`Content::Other`].
    pub other_content: usize,
    /// Reaction events.
    pub reactions: usize,
    /// Receipts.
    pub receipts: usize,
    /// Notifications: changes of groups, contacts and channels, and echoes.
    pub notifications: usize,
    /// Events of kind `unrouted`.
    pub unrouted: usize,
    /// Events of kind `unrouted` because their number is not configured.
    pub unknown_number: usize,
    /// Rejected bodies and parts of bodies.
    pub rejected: usize,
}

impl Counts {
    pub(crate) fn message(&mut self, body: &EventBody) {
        match body {
            EventBody::Reaction { .. } => self.reactions += 1,
            EventBody::Message { content, .. } => {
                self.messages += 1;
                self.other_content += usize::from(matches!(content, Content::Other { .. }));
            }
            EventBody::ContactChanged { .. } => self.notifications += 1,
            _ => {}
        }
    }
}

/// Reads a webhook; of another product only its name. `None` if the document is not one.
pub(crate) fn read(app: &AppConfig, tree: &Json<'_>, now: Timestamp) -> Option<Parsed> {
    let mut parsed = Parsed::default();
    // Only a string names another product; an `object` of an unexpected type does not cost the
    // contents.
    if let Some(Json::Text(object)) = tree.get("object")
        && object != OBJECT
        && tree.get("entry").is_some()
    {
        parsed.other_product = Some(quoted(object));
        return Some(parsed);
    }
    for entry in tree.get("entry")?.items()? {
        match entry.get("changes").and_then(Json::items) {
            Some(changes) => changes.iter().for_each(|change| read_change(app, entry, change, now, &mut parsed)),
            None => {
                let error = "an entry has no array `changes`".to_owned();
                parsed.rejected.push(unparsable::rejected_part(&app.name, error, &entry.to_value()));
            }
        }
    }
    parsed.events.sort_by_key(|event| event.happened_at);
    parsed.receipts.sort_by_key(|receipt| receipt.at);
    parsed.counts.rejected = parsed.rejected.len();
    Some(parsed)
}

fn read_change(app: &AppConfig, entry: &Json<'_>, change: &Json<'_>, now: Timestamp, parsed: &mut Parsed) {
    let null = Json::Null;
    let value = change.get("value").unwrap_or(&null);
    let number = value.get("metadata").and_then(|metadata| metadata.text_of("phone_number_id")).unwrap_or_default();
    let origin = Origin { app, entry, change, value, number: &number, channel: app.channel(&number) };
    let Some(field) = change.text_of("field") else {
        return reject(&origin, "a change has no `field`".to_owned(), None, parsed);
    };
    let Some(members) = value.members() else {
        let error =
            format!("the `value` of a `{}` change must be an object, but is {}", quoted(&field), kind_of(value));
        return reject(&origin, error, None, parsed);
    };
    match field.as_ref() {
        "messages" => {
            for (name, part) in members {
                read_part(&origin, name, part, now, parsed);
            }
        }
        "smb_message_echoes" => read_each(&origin, "message_echoes", now, parsed, |echo| {
            message::read_echo(&origin, echo, now).map(|event| vec![event])
        }),
        "user_preferences" => read_each(&origin, "user_preferences", now, parsed, |preference| {
            preference::read(&origin, preference, now).map(|event| vec![event])
        }),
        field if groups::FIELDS.contains(&field) || (field.starts_with("group_") && value.get("groups").is_some()) => {
            read_each(&origin, "groups", now, parsed, |group| groups::read(&origin, group, now));
        }
        field if read_channel_notification(&origin, field, now, parsed) => {}
        field => {
            let [account, time] = origin.entry_id();
            let key = key::of_contents(origin.timestamp(), &["change", &account, &time], origin.change);
            let at = origin.timestamp().unwrap_or(now);
            push_unrouted(parsed, key, at, quoted(field), origin.excerpt(None));
        }
    }
}

/// Reads each element of an array of the value.
fn read_each(
    origin: &Origin<'_>,
    array: &str,
    now: Timestamp,
    parsed: &mut Parsed,
    mut read: impl FnMut(&Json<'_>) -> Result<Vec<NewEvent>, Unparsable>,
) {
    let Some(elements) = origin.value.get(array).and_then(Json::items) else {
        let error = format!("a `{}` change has no array `{array}`", quoted(&origin.field()));
        return reject(origin, error, None, parsed);
    };
    for element in elements {
        match read(element) {
            Ok(events) => {
                parsed.counts.notifications += events.len();
                parsed.events.extend(events);
            }
            Err(unparsable) => keep_unparsable(origin, array, unparsable, element, now, parsed),
        }
    }
}

/// Reads a notification about a number or an account; `false` if the field is not one.
fn read_channel_notification(origin: &Origin<'_>, field: &str, now: Timestamp, parsed: &mut Parsed) -> bool {
    let account = origin.account();
    let channel = origin.channel.or_else(|| origin.app.only_channel(&account));
    let Some(notification) = notification::read(field, origin.value, channel) else { return false };
    // Whole seconds: what was fetched in the same one may be older.
    let at = origin.timestamp().map_or(now, |at| at.plus_ms(999));
    parsed.templates.extend(notification::template_news(&notification.change, origin.value, &account, at));
    let [account, time] = origin.entry_id();
    let key = key::of_contents(origin.timestamp(), &["change", &account, &time], origin.change);
    push_notification(parsed, key, origin.timestamp().unwrap_or(now), EventBody::ChannelChanged(notification));
    true
}

/// Adds a notification that belongs to no conversation.
fn push_notification(parsed: &mut Parsed, key: EventKey, happened_at: Timestamp, body: EventBody) {
    parsed.counts.notifications += 1;
    parsed.events.push(outside_conversations(key, happened_at, body));
}

/// An event that belongs to no conversation.
fn outside_conversations(key: EventKey, happened_at: Timestamp, body: EventBody) -> NewEvent {
    NewEvent { key, placement: Placement::Nowhere, happened_at, opens_window: false, keyword: None, body }
}

/// Reads one member of the value of a `messages` change.
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
                    Err(unparsable) => keep_unparsable(origin, name, unparsable, message, now, parsed),
                }
            }
        }
        ("statuses", Json::Array(statuses)) => {
            for status in statuses {
                match receipt::read(&origin.app.install, status, now) {
                    Ok(receipt) => {
                        parsed.counts.receipts += 1;
                        parsed.receipts.push(receipt);
                    }
                    Err(unparsable) => keep_unparsable(origin, name, unparsable, status, now, parsed),
                }
            }
        }
        ("errors", Json::Array(errors)) => {
            for error in errors {
                let [account, time] = origin.entry_id();
                let key = key::of_contents(origin.timestamp(), &["error", &account, &time, origin.number], error);
                match notification::read_error(error, origin.channel) {
                    Some(notification) => {
                        let at = origin.timestamp().unwrap_or(now);
                        push_notification(parsed, key, at, EventBody::ChannelChanged(notification));
                    }
                    None => {
                        let unparsable = Unparsable::Malformed("an error has no `code`");
                        keep_unparsable(origin, name, unparsable, error, now, parsed);
                    }
                }
            }
        }
        ("messages" | "statuses" | "errors", Json::Null) => {}
        ("messages" | "statuses" | "errors", _) => {
            let error = format!("`{name}` must be an array, but is {}", kind_of(part));
            reject(origin, error, Some((name, part.to_value())), parsed);
        }
        _ => {
            // Not an array of elements that we know: `user_actions`, and future members.
            let [account, time] = origin.entry_id();
            let key = key::of_contents(origin.timestamp(), &["part", &account, &time, name], origin.change);
            let excerpt = origin.excerpt(Some((name, part.to_value())));
            push_unrouted(
                parsed,
                key,
                origin.timestamp().unwrap_or(now),
                format!("messages.{}", quoted(name)),
                excerpt,
            );
        }
    }
}

/// Keeps an element that became neither an event nor a receipt. The key of the `unrouted` event
/// differs from that of the event that the element would have become: once its number is
/// configured, a redelivery is not a duplicate.
fn keep_unparsable(
    origin: &Origin<'_>,
    array: &str,
    unparsable: Unparsable,
    element: &Json<'_>,
    now: Timestamp,
    parsed: &mut Parsed,
) {
    let kind = match unparsable {
        Unparsable::UnknownNumber => {
            parsed.counts.unknown_number += 1;
            parsed.unknown_number.get_or_insert_with(|| origin.number.to_owned());
            "unknown-number".to_owned()
        }
        Unparsable::UnknownKind(kind) => kind,
        Unparsable::Malformed(error) => {
            let part = Value::Array(vec![element.to_value()]);
            return reject(origin, format!("in `{array}`: {error}"), Some((array, part)), parsed);
        }
    };
    let happened_at = element.timestamp_of("timestamp");
    let [account, time] = origin.entry_id();
    let key = key::of_contents(happened_at, &["stray", &account, &time, origin.number, array], element);
    let excerpt = origin.excerpt(Some((array, Value::Array(vec![element.to_value()]))));
    push_unrouted(parsed, key, happened_at.unwrap_or(now), format!("{array}/{}", quoted(&kind)), excerpt);
}

/// Rejects a malformed change, or a malformed part of one.
fn reject(origin: &Origin<'_>, error: String, part: Option<(&str, Value)>, parsed: &mut Parsed) {
    parsed.rejected.push(unparsable::rejected_part(&origin.app.name, error, &origin.excerpt(part)));
}

fn push_unrouted(parsed: &mut Parsed, key: EventKey, happened_at: Timestamp, kind: String, json: Value) {
    parsed.counts.unrouted += 1;
    parsed.events.push(outside_conversations(key, happened_at, EventBody::Unrouted { kind, json }));
}
