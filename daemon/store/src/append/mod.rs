//! What came in: events into the inbox, receipts onto the messages they are about.
//!
//! The usual event is from somebody known: then it costs an insert for its row, one for its body, and an update of the
//! conversation's window. All else (someone new, a changed name, a word such as STOP) takes the longer way of
//! [`arrival`], which first makes sure that the event is new: an event that came before changes nothing.

mod arrival;
mod files;
mod groups;
mod quotes;
mod receipts;
mod words;

pub(crate) use quotes::{find_platform, platform_key};
pub(crate) use receipts::UNKNOWN_OUTCOME;

use crate::StoreError;
use crate::codec::to_json;
use crate::step::{Appended, Batch, EventKey, NewEvent, Place, Sender, WindowNews};
use crate::writer::Tx;
use arrival::Arrival;
use beadle_model::{
    Alias, AliasKind, ContactId, ConversationId, ConversationView, Event, EventBody, EventId, Timestamp,
};
use rusqlite::params;
use std::sync::Arc;

/// A batch made ready on the caller's thread: what needs no database is not done by the one thread that has it.
pub(crate) struct Incoming {
    batch: Batch,
    prepared: Vec<Prepared>,
    received_at: Timestamp,
}

struct Prepared {
    /// All names of the sender, the deciding ones first.
    names: Vec<Alias>,
    json: String,
}

impl Incoming {
    pub(crate) fn new(batch: Batch, received_at: Timestamp) -> Result<Self, StoreError> {
        let prepared = batch
            .events
            .iter()
            .map(|event| {
                let names = match &event.place {
                    Place::Sender(sender) => names_of(sender),
                    _ => Vec::new(),
                };
                Ok(Prepared { names, json: to_json("an event", &event.body)? })
            })
            .collect::<Result<_, StoreError>>()?;
        Ok(Self { batch, prepared, received_at })
    }
}

/// The sender's names in the order in which they decide who it is. A WhatsApp id in digits is a telephone number too.
fn names_of(sender: &Sender) -> Vec<Alias> {
    // An empty name would be everybody's.
    let mut names: Vec<Alias> = sender.aliases.iter().filter(|alias| !alias.value.is_empty()).cloned().collect();
    for alias in names.clone() {
        if alias.kind == AliasKind::WaId && alias.value.bytes().all(|b| b.is_ascii_digit()) {
            names.push(Alias { kind: AliasKind::Phone, value: alias.value });
        }
    }
    names.sort_by_key(|alias| match alias.kind {
        AliasKind::UserId => 0,
        AliasKind::WaId => 1,
        AliasKind::Phone => 2,
        AliasKind::ParentUserId => 3,
    });
    names.dedup();
    names
}

/// Where an event goes, and what happens around it in the same transaction.
struct Course {
    conversation: Option<ConversationId>,
    contact: Option<ContactId>,
    /// Events directly before it.
    before: Vec<EventBody>,
    /// An event directly after it.
    after: Option<EventBody>,
    /// The word that it is changed something, so its answer goes out.
    answers: bool,
}

impl Course {
    /// Nothing around it.
    fn plain(conversation: Option<ConversationId>, contact: Option<ContactId>) -> Self {
        Self { conversation, contact, before: Vec::new(), after: None, answers: false }
    }
}

impl Tx<'_> {
    /// Appends a batch. An event that came before is counted and changes nothing.
    pub(crate) fn append(&mut self, incoming: &Incoming) -> Result<Appended, StoreError> {
        let mut appended = Appended::default();
        for (event, prepared) in incoming.batch.events.iter().zip(&incoming.prepared) {
            let course = match &event.place {
                Place::Nowhere => Course::plain(None, None),
                // Said by nobody that could be found again: kept, and nobody's.
                Place::Sender(_) if prepared.names.is_empty() => Course::plain(None, None),
                Place::Conversation(id) => self.known_conversation(*id)?,
                Place::Group { channel, group } => Course::plain(Some(self.meet_group(channel, group)?), None),
                Place::Sender(sender) => {
                    let (names, now) = (&prepared.names, incoming.received_at);
                    let contact_news = incoming.batch.contact_news;
                    let arrival = Arrival { event, sender, names, now, contact_news };
                    match self.arrive(&arrival)? {
                        Some(course) => course,
                        None => {
                            appended.duplicates += 1;
                            continue;
                        }
                    }
                }
            };
            let news = incoming.batch.window_news;
            self.append_one(event, prepared, &course, incoming.received_at, news, &mut appended)?;
        }
        for receipt in &incoming.batch.receipts {
            self.receive(receipt, &incoming.batch.status_listeners, incoming.received_at, &mut appended)?;
        }
        if let Some(letter) = incoming.batch.read_from {
            self.forget_webhook(letter)?;
        }
        for letter in &incoming.batch.letters {
            appended.letters.extend(self.keep_letter(letter, incoming.received_at)?);
        }
        Ok(appended)
    }

    fn known_conversation(&mut self, id: ConversationId) -> Result<Course, StoreError> {
        let Some(talk) = self.shadow.people.talk(self.conn, id)? else {
            return Err(StoreError::NotFound { what: "conversation", id: id.to_string() });
        };
        Ok(Course::plain(Some(id), talk.contact.or(talk.last_contact)))
    }

    fn append_one(
        &mut self,
        event: &NewEvent,
        prepared: &Prepared,
        course: &Course,
        now: Timestamp,
        news: WindowNews,
        appended: &mut Appended,
    ) -> Result<(), StoreError> {
        if event.opens_window
            && let Some(conversation) = course.conversation
        {
            appended.events += usize::from(self.close_before(conversation, event, news, now)?);
        }
        let mut before = Vec::new();
        for body in &course.before {
            before.push((self.insert_own(None, body, course, (event.happened_at, now))?, body));
        }
        let Some(id) = self.insert_event(Some(event.key), event.body.kind() as i64, course, event.happened_at, now)?
        else {
            appended.duplicates += 1;
            return Ok(());
        };
        let enriched = match course.conversation {
            Some(conversation) => self.enrich(&event.body, conversation)?,
            None => None,
        };
        let enriched = self.mirror(event, enriched, course, now)?;
        let (body, json) = match enriched {
            Some(body) => {
                let json = to_json("an event", &body)?;
                (body, json)
            }
            None => (event.body.clone(), prepared.json.clone()),
        };
        let bytes = self.insert_body(id, &json)?;
        if event.opens_window
            && let Some(conversation) = course.conversation
        {
            let due = self.open_window(conversation, course.contact, event.happened_at, now)?;
            appended.window_due = due.into_iter().chain(appended.window_due).min();
        }
        let after = match &course.after {
            Some(body) => Some((self.insert_own(None, body, course, (event.happened_at, now))?, body)),
            None => None,
        };
        let view = match course.conversation {
            Some(conversation) => self.shadow.people.view(self.conn, conversation, course.contact)?,
            None => None,
        };
        let mut bear = |(id, bytes): (EventId, usize), body: EventBody| {
            let (happened_at, conversation) = (event.happened_at, view.clone());
            self.born.push((Arc::new(Event { id, happened_at, received_at: now, conversation, body }), bytes));
            appended.events += 1;
        };
        for (id, body) in before {
            bear(id, body.clone());
        }
        bear((id, bytes), body);
        if let Some((id, body)) = after {
            bear(id, body.clone());
        }
        if course.answers
            && let Some(conversation) = course.conversation
            && let Some(answer) = event.word.as_ref().and_then(|word| word.answer.as_ref())
        {
            appended.queued.push(self.answer_word(id, conversation, answer, now)?);
        }
        Ok(())
    }

    /// An event that Beadle makes itself about a person, in a conversation of theirs or in a group they are in.
    pub(crate) fn append_about(
        &mut self,
        body: EventBody,
        conversation: ConversationId,
        contact: ContactId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let view = self.shadow.people.view(self.conn, conversation, Some(contact))?;
        let course = Course::plain(Some(conversation), Some(contact));
        let (id, bytes) = self.insert_own(None, &body, &course, (now, now))?;
        let event = Event { id, happened_at: now, received_at: now, conversation: view, body };
        self.born.push((Arc::new(event), bytes));
        Ok(())
    }

    /// An event that Beadle makes itself, in a conversation or none: appended at once. Without a key it is new for sure.
    pub(crate) fn append_own(
        &mut self,
        key: Option<EventKey>,
        body: EventBody,
        conversation: Option<ConversationId>,
        (happened_at, now): (Timestamp, Timestamp),
    ) -> Result<(), StoreError> {
        let view: Option<Arc<ConversationView>> = match conversation {
            Some(id) => self.shadow.people.view(self.conn, id, None)?,
            None => None,
        };
        let contact = view.as_ref().map(|view| view.contact.id);
        let course = Course::plain(view.as_ref().map(|view| view.id), contact);
        let (id, bytes) = self.insert_own(key, &body, &course, (happened_at, now))?;
        let event = Event { id, happened_at, received_at: now, conversation: view, body };
        self.born.push((Arc::new(event), bytes));
        Ok(())
    }

    /// The rows of an event that Beadle makes itself; where nobody can send it twice, its own number is its key.
    fn insert_own(
        &mut self,
        key: Option<EventKey>,
        body: &EventBody,
        course: &Course,
        (happened_at, now): (Timestamp, Timestamp),
    ) -> Result<(EventId, usize), StoreError> {
        let json = to_json("an event", body)?;
        let Some(id) = self.insert_event(key, body.kind() as i64, course, happened_at, now)? else {
            return Err(StoreError::unreadable("the inbox", "the key of an event of our own was taken"));
        };
        let bytes = self.insert_body(id, &json)?;
        Ok((id, bytes))
    }

    /// The row; `None` where an event with that key came before.
    fn insert_event(
        &mut self,
        key: Option<EventKey>,
        kind: i64,
        course: &Course,
        happened_at: Timestamp,
        now: Timestamp,
    ) -> Result<Option<EventId>, StoreError> {
        let id = self.shadow.next_event;
        // Eight zero bytes, then the number: what the platform brings begins so once in 2^64.
        let own = || EventKey { at: happened_at, hash: i128::from(id).to_be_bytes() };
        let key = key.unwrap_or_else(own);
        let mut insert = self.conn.prepare_cached(
            "INSERT INTO events (id, key_at, key_hash, kind, conversation, contact, happened_at, received_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (key_at, key_hash) DO NOTHING",
        )?;
        let conversation = course.conversation.map(|id| id.0);
        let contact = course.contact.map(|id| id.0);
        let inserted =
            insert.execute(params![id, key.at.0, &key.hash[..], kind, conversation, contact, happened_at.0, now.0])?;
        if inserted == 0 {
            return Ok(None);
        }
        self.shadow.next_event += 1;
        Ok(Some(EventId(id)))
    }

    fn insert_body(&self, id: EventId, json: &str) -> Result<usize, StoreError> {
        self.conn
            .prepare_cached("INSERT INTO event_bodies (id, body) VALUES (?1, ?2)")?
            .execute(params![id.0, json])?;
        Ok(json.len())
    }

    /// Whether an event with that key came before.
    pub(crate) fn seen(&self, key: EventKey) -> Result<bool, StoreError> {
        let mut find = self.conn.prepare_cached("SELECT 1 FROM events WHERE key_at = ?1 AND key_hash = ?2")?;
        Ok(find.exists(params![key.at.0, &key.hash[..]])?)
    }
}
