//! The stored data of a person, page by page.
//!
//! The first page has everything that is found by the person's ids. The next pages have the events
//! and the messages, which are read once from the first to the last row. The last page has the data
//! that plugins store and export. A cursor says where the next page begins.

use super::query::Names;
use crate::api::{PersonData, PersonSection};
use crate::web::context::Admin;
use crate::web::summary;
use beadle_model::{Coded as _, Contact, ContactId, EventKind, PersonIds, Timestamp};
use beadle_store::{PersonEvent, PersonMessage, Reader, StoreError, readable_value};
use serde_json::{Value, json};

/// Where the next page of an export begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cursor {
    Start,
    Received(i64),
    Sent(i64),
    Rest,
}

impl Cursor {
    fn parse(text: &str) -> Option<Self> {
        let (section, after) = text.split_once(':')?;
        let after = after.parse().ok()?;
        match section {
            "received" => Some(Cursor::Received(after)),
            "sent" => Some(Cursor::Sent(after)),
            "rest" => Some(Cursor::Rest),
            _ => None,
        }
    }

    fn text(self) -> String {
        match self {
            Cursor::Start => "start:0".into(),
            Cursor::Received(after) => format!("received:{after}"),
            Cursor::Sent(after) => format!("sent:{after}"),
            Cursor::Rest => "rest:0".into(),
        }
    }
}

/// Why there is no page.
#[derive(Debug)]
pub enum PageError {
    /// The contact is unknown, or was erased.
    NotFound,
    /// The cursor is not one of an export.
    BadCursor,
    /// The store cannot be read.
    Store(StoreError),
}

impl From<StoreError> for PageError {
    fn from(error: StoreError) -> Self {
        PageError::Store(error)
    }
}

/// A page of the stored data of a person. `after` is the cursor of the previous page.
pub async fn page(admin: &Admin, contact: ContactId, after: Option<&str>) -> Result<PersonData, PageError> {
    let cursor = after.map_or(Some(Cursor::Start), Cursor::parse).ok_or(PageError::BadCursor)?;
    let now = admin.clock.now();
    let read = admin.store.read(move |reader| stored(reader, contact, cursor, now));
    let Some((contact, ids, mut sections, next)) = read.await? else { return Err(PageError::NotFound) };
    if next.is_none() {
        sections.push(PersonSection { name: "plugins".into(), items: exported_by_plugins(admin, &ids, now).await });
    }
    Ok(PersonData {
        now: now.as_ms(),
        contact: contact.id.to_string(),
        language: contact.language,
        sections,
        next: next.map(Cursor::text),
    })
}

/// The person, the sections of a page, and where the next page begins.
type StoredPage = (Contact, PersonIds, Vec<PersonSection>, Option<Cursor>);

fn stored(
    reader: &Reader,
    contact: ContactId,
    cursor: Cursor,
    now: Timestamp,
) -> Result<Option<StoredPage>, StoreError> {
    let (Some(contact), Some(ids)) = (reader.contact(contact)?, reader.person_ids(contact)?) else { return Ok(None) };
    let names = Names::read(reader)?;
    let section = |name: &str, items: Vec<Value>| PersonSection { name: name.into(), items };
    let (sections, next) = match cursor {
        Cursor::Start => (known(reader, &contact, &ids)?, Some(Cursor::Received(0))),
        Cursor::Received(after) => {
            let page = reader.person_events(&ids, after)?;
            let items = page.found.iter().map(|event| received(event, &names)).collect();
            let next = page.next.map_or(Cursor::Sent(0), Cursor::Received);
            (vec![section("received", items)], Some(next))
        }
        Cursor::Sent(after) => {
            let page = reader.person_messages(&ids, after)?;
            let items = page.found.iter().map(|message| sent(message, &names)).collect();
            let next = page.next.map_or(Cursor::Rest, Cursor::Sent);
            (vec![section("sent", items)], Some(next))
        }
        Cursor::Rest => {
            let refused = reader.person_refused_messages(&ids)?.into_iter().map(|refused| {
                json!({
                    "plugin": names.name(refused.plugin), "at": text(refused.at), "message": refused.kind,
                    "purpose": refused.purpose.map(|purpose| purpose.to_string()), "code": refused.code,
                })
            });
            let refused = refused.collect();
            let values = reader.person_values(&ids, now)?.into_iter().map(|value| {
                json!({
                    "plugin": names.name(value.plugin), "key": value.key, "value": readable_value(&value.value),
                    "expires_at": value.expires_at.map(text),
                })
            });
            let timers = reader.person_timers(&ids)?.into_iter().map(|timer| {
                json!({
                    "plugin": names.name(timer.plugin), "key": timer.key, "due_at": text(timer.due_at),
                    "payload": readable_value(&timer.payload),
                })
            });
            let sections = vec![
                section("refused", refused),
                section("stored", values.collect()),
                section("timers", timers.collect()),
            ];
            (sections, None)
        }
    };
    Ok(Some((contact, ids, sections, next)))
}

fn text(at: Timestamp) -> String {
    at.to_string()
}

/// The sections that are found by the person's ids.
fn known(reader: &Reader, contact: &Contact, ids: &PersonIds) -> Result<Vec<PersonSection>, StoreError> {
    let section = |name: &str, items: Vec<Value>| PersonSection { name: name.into(), items };
    let aliases = reader.aliases_of(contact.id)?.into_iter();
    let identities =
        aliases.map(|(alias, since)| json!({"kind": alias.kind.name(), "value": alias.value, "since": text(since)}));
    let details = reader.contact_details(contact.id)?;
    let conversations = details.into_iter().flat_map(|details| details.conversations).map(|conversation| {
        json!({
            "id": conversation.id.to_string(), "channel": conversation.channel,
            "last_message_at": conversation.last_inbound_at.map(text),
            "window_until": conversation.window_until.map(text),
        })
    });
    let conversations = conversations.collect();
    let mut consents = Vec::new();
    for entry in reader.consents_of(contact.id)? {
        let consent = entry.consent;
        let wording = match &consent.wording {
            Some(wording) => reader.consent_text(&wording.sha256)?,
            None => None,
        };
        consents.push(json!({
            "entry": entry.id, "purpose": consent.purpose.to_string(), "act": consent.act.name(),
            "source": consent.source.name(), "at": text(consent.at), "recorded_at": text(entry.recorded_at),
            "actor": consent.actor, "evidence": consent.evidence,
            "wording": consent.wording.map(|wording| format!("{} v{} ({})", wording.id, wording.version, wording.language)),
            "text": wording,
        }));
    }
    let requests = reader.person_requests(ids)?.into_iter().map(|request| {
        json!({
            "kind": request.kind.name(), "asked_at": text(request.asked_at),
            "confirmed_at": request.confirmed_at.map(text),
            "closed_at": request.closed.as_ref().map(|(at, _)| text(*at)), "closed_as": request.closed.map(|(_, how)| how),
        })
    });
    let requests = requests.collect();
    let groups = reader.person_groups(ids)?.into_iter().map(|group| {
        json!({
            "group": group.conversation.to_string(), "subject": group.subject, "joined_at": text(group.joined_at),
            "left_at": group.left_at.map(text),
        })
    });
    let groups = groups.collect();
    let lists = reader.lists_of(contact.id)?.into_iter();
    let lists = lists.map(|(name, added_at)| json!({"list": name, "added_at": text(added_at)})).collect();
    let broadcasts = reader.broadcasts_of(contact.id)?.into_iter().map(|(id, name, recipient)| {
        json!({
            "id": id.to_string(), "name": name, "state": recipient.state.name(), "code": recipient.code,
            "language": recipient.language, "values": recipient.parameters,
            "message": recipient.message.map(|id| id.to_string()), "sent_at": recipient.sent_at.map(text),
            "replied_at": recipient.replied_at.map(text),
        })
    });
    let broadcasts = broadcasts.collect();
    let files = reader.person_files(ids)?.into_iter().map(|file| {
        json!({
            "id": file.id.to_string(), "type": file.mime_type, "name": file.filename, "bytes": file.bytes,
            "received_at": text(file.created_at),
        })
    });
    let files = files.collect();
    Ok(vec![
        section("profile", vec![profile(reader, contact, ids)?]),
        section("identities", identities.collect()),
        section("conversations", conversations),
        section("consents", consents),
        section("requests", requests),
        section("groups", groups),
        section("lists", lists),
        section("broadcasts", broadcasts),
        section("files", files),
    ])
}

fn profile(reader: &Reader, contact: &Contact, ids: &PersonIds) -> Result<Value, StoreError> {
    let profile = contact.profile();
    let refusal = reader.person_refusal(contact.id)?;
    let undelivered = reader.person_undelivered(contact.id)?;
    Ok(json!({
        "id": contact.id.to_string(),
        "former_ids": ids.merged.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "name": contact.name,
        "language": contact.language,
        "timezone": contact.timezone,
        "known_since": text(contact.created_at),
        "member_since": contact.member_since.map(text),
        "opted_out_since": contact.opted_out_since.map(text),
        "marketing_stopped_since": contact.marketing_stopped_since.map(text),
        "quarantined_since": profile.quarantined_since.map(text),
        "role": profile.role.name(),
        "tags": profile.tags,
        "attributes": profile.attributes,
        "marketing_refused_by_whatsapp_until": refusal.map(|(until, code)| format!("{until} ({code})")),
        "undelivered_by_whatsapp_at": undelivered.map(|(at, code)| format!("{at} ({code})")),
    }))
}

fn received(event: &PersonEvent, names: &Names) -> Value {
    let dead_letters: Vec<String> =
        event.dead_letters.iter().map(|(plugin, code)| format!("{}: {code}", names.name(*plugin))).collect();
    json!({
        "id": event.id.to_string(),
        "at": text(event.happened_at),
        "conversation": event.conversation.map(|id| id.to_string()),
        "kind": event.body.kind().name(),
        "text": summary::whole_event(&event.body),
        "content": event.body,
        "dead_letters": dead_letters,
    })
}

fn sent(message: &PersonMessage, names: &Names) -> Value {
    let [sent_at, delivered_at, read_at, played_at] = message.receipts.map(|at| at.map(text));
    json!({
        "id": message.id.to_string(),
        "at": text(message.created_at),
        "conversation": message.conversation.to_string(),
        "by": names.name(message.plugin),
        "because_of": message.event.map(|id| id.to_string()),
        "text": message.body.as_ref().map(summary::whole_outgoing),
        "content": message.body,
        "state": message.state.name(),
        "sent_at": sent_at,
        "delivered_at": delivered_at,
        "read_at": read_at,
        "played_at": played_at,
        "problem": message.problem,
        "price": message.pricing,
    })
}

/// The data of each plugin with the export `privacy` about the person. A plugin that does not run
/// or fails is named with the reason.
async fn exported_by_plugins(admin: &Admin, ids: &PersonIds, now: Timestamp) -> Vec<Value> {
    let subscriptions = admin.pipeline.subscriptions();
    let mut items = Vec::new();
    for subscription in subscriptions.of_kind(EventKind::EraseContact) {
        let name = subscription.slot.name().to_string();
        let item = match subscription.slot.active() {
            None => json!({"plugin": name, "error": "the plugin does not run"}),
            Some(active) => match active.plugin.export_contact(ids.clone(), now).await {
                Ok(exported) => json!({"plugin": name, "data": exported}),
                Err(fault) => {
                    tracing::warn!(plugin = name, code = fault.code(), error = %fault, "plugin did not export a person");
                    json!({"plugin": name, "error": fault.to_string()})
                }
            },
        };
        items.push(item);
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_parsed_as_they_are_printed() {
        for cursor in [Cursor::Received(0), Cursor::Received(17), Cursor::Sent(3), Cursor::Rest] {
            assert_eq!(Cursor::parse(&cursor.text()), Some(cursor));
        }
        assert!(["", "received", "received:x", "other:1"].iter().all(|text| Cursor::parse(text).is_none()));
    }
}
