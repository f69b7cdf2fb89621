//! Appending: events into the inbox, receipts onto the messages they are about.
//!
//! The common event comes from a known contact and costs an insert for its row, one for its body,
//! and an update of the conversation's window. Everything else (a new contact, a changed name, a
//! word such as STOP) takes the longer path in [`sender`], which checks first that the event is
//! new. A known event changes nothing.

mod changed;
mod files;
mod groups;
mod inbound;
mod keywords;
mod plan;
mod quotes;
mod receipts;
mod sender;

pub(crate) use quotes::{find_by_platform_id, platform_key};
pub(crate) use receipts::UNKNOWN_OUTCOME;

use crate::codec::{event_to_json, to_json};
use crate::error::StoreError;
use crate::step::{Appended, Batch, EventKey, Interest, NewEvent, NewRejectedWebhook, Placement, SourceWebhook};
use crate::tx::Tx;
use beadle_model::{
    Alias, AliasKind, Coded as _, ContactId, ConversationId, ConversationView, Event, EventBody, EventId, Timestamp,
};
use inbound::Inbound;
use plan::AppendPlan;
use rusqlite::params;
use std::borrow::Cow;
use std::sync::Arc;

/// A batch, serialised on the caller's thread to save the writer's time.
pub(crate) struct Incoming {
    batch: Batch,
    prepared: Vec<Prepared>,
    received_at: Timestamp,
}

struct Prepared {
    /// All aliases of the sender, the most decisive ones first.
    aliases: Vec<Alias>,
    json: String,
}

impl Incoming {
    pub(crate) fn new(mut batch: Batch, received_at: Timestamp) -> Result<Self, StoreError> {
        let prepared = batch
            .events
            .iter_mut()
            .map(|event| {
                let aliases = match &event.placement {
                    Placement::Sender(sender) => decisive_aliases(&sender.aliases),
                    _ => Vec::new(),
                };
                let (replacement, json) = event_to_json(&event.body)?;
                if let Some(body) = replacement {
                    event.body = body;
                }
                Ok(Prepared { aliases, json })
            })
            .collect::<Result<_, StoreError>>()?;
        Ok(Self { batch, prepared, received_at })
    }
}

/// A person's aliases in the order in which they decide who it is. A WhatsApp id in digits is a
/// phone number too.
fn decisive_aliases(aliases: &[Alias]) -> Vec<Alias> {
    // An empty alias would match anyone.
    let mut aliases: Vec<Alias> = aliases.iter().filter(|alias| !alias.value.is_empty()).cloned().collect();
    for alias in aliases.clone() {
        if alias.kind == AliasKind::WaId && alias.value.bytes().all(|b| b.is_ascii_digit()) {
            aliases.push(Alias { kind: AliasKind::Phone, value: alias.value });
        }
    }
    aliases.sort_by_key(|alias| match alias.kind {
        AliasKind::UserId => 0,
        AliasKind::WaId => 1,
        AliasKind::Phone => 2,
        AliasKind::ParentUserId => 3,
    });
    aliases.dedup();
    aliases
}

/// Whether the event's key is made of the platform's message id.
fn is_message(body: &EventBody) -> bool {
    matches!(body, EventBody::Message { .. } | EventBody::Reaction { .. } | EventBody::Echo { .. })
}

impl Tx<'_> {
    /// Appends a batch. A known event is counted and changes nothing.
    pub(crate) fn append(&mut self, incoming: &Incoming) -> Result<Appended, StoreError> {
        let Batch { events, receipts, rejected, templates, read_from, source, interest } = &incoming.batch;
        let now = incoming.received_at;
        let (mut appended, mut refused) = (Appended::default(), None);
        let isolated = source.is_some();
        for (event, prepared) in events.iter().zip(&incoming.prepared) {
            let part =
                |tx: &mut Self, appended: &mut Appended| tx.append_event(event, prepared, now, interest, appended);
            let error = self.append_part(isolated, &mut appended, part)?;
            refused = refused.or(error);
        }
        for receipt in receipts {
            let part = |tx: &mut Self, appended: &mut Appended| tx.receive(receipt, interest, now, appended);
            let error = self.append_part(isolated, &mut appended, part)?;
            refused = refused.or(error);
        }
        for news in templates {
            self.apply_template_news(news)?;
        }
        if let Some(webhook) = read_from {
            self.delete_rejected(*webhook)?;
        }
        for webhook in rejected {
            appended.rejected.extend(self.insert_rejected(webhook, now)?);
        }
        if let (Some(SourceWebhook { app, body }), Some(error)) = (source, refused) {
            let (app, body) = (app.clone(), body.clone());
            let webhook = NewRejectedWebhook { app, code: error.code().into(), error: error.to_string(), body };
            appended.rejected.extend(self.insert_rejected(&webhook, now)?);
        }
        Ok(appended)
    }

    /// Appends one event or receipt. If `isolated`, returns the error with which it is refused, and
    /// nothing of it is written.
    fn append_part(
        &mut self,
        isolated: bool,
        appended: &mut Appended,
        part: impl FnOnce(&mut Self, &mut Appended) -> Result<(), StoreError>,
    ) -> Result<Option<StoreError>, StoreError> {
        if !isolated {
            return part(self, appended).map(|()| None);
        }
        let (before, inserted) = (appended.clone(), self.inserted.len());
        self.conn.execute_batch("SAVEPOINT part")?;
        let outcome = part(self, appended);
        match outcome {
            Ok(()) => {
                self.conn.execute_batch("RELEASE part")?;
                Ok(None)
            }
            Err(error) if error.is_refusal() => {
                tracing::error!(%error, "part of a webhook refused; the webhook is kept as a dead letter");
                self.conn.execute_batch("ROLLBACK TO part; RELEASE part")?;
                self.inserted.truncate(inserted);
                self.cache.reload(self.conn)?;
                *appended = before;
                Ok(Some(error))
            }
            Err(error) => Err(error),
        }
    }

    fn append_event(
        &mut self,
        event: &NewEvent,
        prepared: &Prepared,
        now: Timestamp,
        interest: &Interest,
        appended: &mut Appended,
    ) -> Result<(), StoreError> {
        if self.is_restamped(event) {
            appended.duplicates += 1;
            return Ok(());
        }
        let plan = match &event.placement {
            Placement::Nowhere => AppendPlan::plain(None, None),
            // Without an alias the sender could never be found again: no conversation.
            Placement::Sender(_) if prepared.aliases.is_empty() => AppendPlan::plain(None, None),
            Placement::Conversation(id) => self.known_conversation(*id)?,
            Placement::Group { channel, group } => {
                AppendPlan::plain(Some(self.find_or_create_group(channel, group)?), None)
            }
            Placement::Sender(sender) => {
                let inbound = Inbound { event, sender, aliases: &prepared.aliases, now, interest };
                match self.apply_sender(&inbound)? {
                    Some(plan) => plan,
                    None => {
                        appended.duplicates += 1;
                        return Ok(());
                    }
                }
            }
        };
        self.append_one(event, prepared, &plan, now, interest, appended)
    }

    /// Whether a message was delivered lately with another time stamp. Its id alone identifies it.
    fn is_restamped(&mut self, event: &NewEvent) -> bool {
        let known = self.cache.recent_messages.copied(&event.key.hash);
        is_message(&event.body) && known.is_some_and(|at| at != event.key.at.0)
    }

    fn known_conversation(&mut self, id: ConversationId) -> Result<AppendPlan, StoreError> {
        let Some(conversation) = self.cache.people.conversation_row(self.conn, id)? else {
            return Err(StoreError::NotFound { object: "conversation", id: id.to_string() });
        };
        Ok(AppendPlan::plain(Some(id), conversation.contact.or(conversation.last_contact)))
    }

    fn append_one(
        &mut self,
        event: &NewEvent,
        prepared: &Prepared,
        plan: &AppendPlan,
        now: Timestamp,
        interest: &Interest,
        appended: &mut Appended,
    ) -> Result<(), StoreError> {
        appended.merged.extend(&plan.reported_merge.merged);
        appended.events += plan.reported_merge.events;
        if event.opens_window
            && let Some(conversation) = plan.conversation
        {
            appended.events += usize::from(self.close_ended_window(conversation, event, interest, now)?);
        }
        let mut before = Vec::new();
        for body in &plan.before {
            before.push((self.insert_own(None, body, plan, (event.happened_at, now))?, body));
        }
        let Some(id) = self.insert_event(Some(event.key), event.body.kind() as i64, plan, event.happened_at, now)?
        else {
            appended.duplicates += 1;
            return Ok(());
        };
        if is_message(&event.body) {
            self.cache.recent_messages.insert(event.key.hash, event.key.at.0);
        }
        if let (EventBody::Message { .. }, Some(contact)) = (&event.body, plan.contact) {
            self.attribute_reply(contact, event.happened_at)?;
        }
        let enriched = match plan.conversation {
            Some(conversation) => self.enrich(&event.body, conversation)?,
            None => None,
        };
        let enriched = self.mirror(event, enriched, plan, now)?;
        let (body, json) = match enriched {
            Some(body) => {
                let json = to_json("an event", &body)?;
                (body, Cow::Owned(json))
            }
            None => (event.body.clone(), Cow::Borrowed(prepared.json.as_str())),
        };
        let bytes = self.insert_body(id, &json)?;
        if event.opens_window
            && let Some(conversation) = plan.conversation
        {
            let due = self.open_window(conversation, plan.contact, event.happened_at, now)?;
            appended.window_due = due.into_iter().chain(appended.window_due).min();
        }
        let mut after = Vec::new();
        for body in &plan.after {
            after.push((self.insert_own(None, body, plan, (event.happened_at, now))?, body));
        }
        let view = match plan.conversation {
            Some(conversation) => self.cache.people.view(self.conn, conversation, plan.contact)?,
            None => None,
        };
        let mut note_inserted = |(id, bytes): (EventId, usize), body: EventBody| {
            let (happened_at, conversation) = (event.happened_at, view.clone());
            self.inserted.push((Arc::new(Event { id, happened_at, received_at: now, conversation, body }), bytes));
            appended.events += 1;
        };
        for (id, body) in before {
            note_inserted(id, body.clone());
        }
        note_inserted((id, bytes), body);
        for (id, body) in after {
            note_inserted(id, body.clone());
        }
        if let Some(conversation) = plan.conversation
            && let Some(answer) = &plan.reply
        {
            appended.queued.push(self.queue_reply(id, conversation, answer, now)?);
        }
        Ok(())
    }

    /// Appends an event of Beadle's own about a contact, in one of their conversations or groups.
    pub(crate) fn append_about(
        &mut self,
        body: EventBody,
        conversation: ConversationId,
        contact: ContactId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let view = self.cache.people.view(self.conn, conversation, Some(contact))?;
        let plan = AppendPlan::plain(Some(conversation), Some(contact));
        let (id, bytes) = self.insert_own(None, &body, &plan, (now, now))?;
        let event = Event { id, happened_at: now, received_at: now, conversation: view, body };
        self.inserted.push((Arc::new(event), bytes));
        Ok(())
    }

    /// Appends an event of Beadle's own. Without a key it is always new.
    pub(crate) fn append_own(
        &mut self,
        key: Option<EventKey>,
        body: EventBody,
        conversation: Option<ConversationId>,
        (happened_at, now): (Timestamp, Timestamp),
    ) -> Result<(), StoreError> {
        let view: Option<Arc<ConversationView>> = match conversation {
            Some(id) => self.cache.people.view(self.conn, id, None)?,
            None => None,
        };
        let contact = view.as_ref().map(|view| view.contact.id);
        let plan = AppendPlan::plain(view.as_ref().map(|view| view.id), contact);
        let (id, bytes) = self.insert_own(key, &body, &plan, (happened_at, now))?;
        let event = Event { id, happened_at, received_at: now, conversation: view, body };
        self.inserted.push((Arc::new(event), bytes));
        Ok(())
    }

    /// Inserts an event of Beadle's own. If it has no key, its id serves as one.
    fn insert_own(
        &mut self,
        key: Option<EventKey>,
        body: &EventBody,
        plan: &AppendPlan,
        (happened_at, now): (Timestamp, Timestamp),
    ) -> Result<(EventId, usize), StoreError> {
        let json = to_json("an event", body)?;
        let Some(id) = self.insert_event(key, body.kind() as i64, plan, happened_at, now)? else {
            return Err(StoreError::unreadable("the inbox", "the key of an internal event already exists"));
        };
        let bytes = self.insert_body(id, &json)?;
        Ok((id, bytes))
    }

    /// Inserts the row; `None` if the key exists.
    fn insert_event(
        &mut self,
        key: Option<EventKey>,
        kind: i64,
        plan: &AppendPlan,
        happened_at: Timestamp,
        now: Timestamp,
    ) -> Result<Option<EventId>, StoreError> {
        let id = self.cache.next_event;
        // Eight zero bytes and the number. A platform's key starts like that once in 2^64.
        let own = || EventKey { at: happened_at, hash: i128::from(id).to_be_bytes() };
        let key = key.unwrap_or_else(own);
        let mut insert = self.conn.prepare_cached(
            "INSERT INTO events (id, key_at, key_hash, kind, conversation, contact, happened_at, received_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (key_at, key_hash) DO NOTHING",
        )?;
        let conversation = plan.conversation.map(|id| id.0);
        let contact = plan.contact.map(|id| id.0);
        let inserted =
            insert.execute(params![id, key.at.0, &key.hash[..], kind, conversation, contact, happened_at.0, now.0])?;
        if inserted == 0 {
            return Ok(None);
        }
        self.cache.next_event += 1;
        Ok(Some(EventId(id)))
    }

    fn insert_body(&self, id: EventId, json: &str) -> Result<usize, StoreError> {
        self.conn
            .prepare_cached("INSERT INTO event_bodies (id, body) VALUES (?1, ?2)")?
            .execute(params![id.0, json])?;
        Ok(json.len())
    }

    /// Whether an event with this key exists.
    pub(crate) fn seen(&self, key: EventKey) -> Result<bool, StoreError> {
        let mut find = self.conn.prepare_cached("SELECT 1 FROM events WHERE key_at = ?1 AND key_hash = ?2")?;
        Ok(find.exists(params![key.at.0, &key.hash[..]])?)
    }
}
