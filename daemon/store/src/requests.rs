//! Requests of people to the operator by a reserved word: a person to talk to, a copy of their
//! data, or the erasure of their data. A contact has at most one open request of each kind.

use crate::error::StoreError;
use crate::read::{Reader, bounded};
use crate::step::{NewSend, SendState};
use crate::tx::Tx;
use beadle_model::effect::{NewMedia, SendOptions};
use beadle_model::{ContactId, ConversationId, MessageId, Outgoing, PersonIds, PluginNo, Timestamp};
use rusqlite::{OptionalExtension, ToSql, params};
use serde::Serialize;

/// The kind of a request. The store keeps the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum RequestKind {
    /// A person to talk to (HUMAN).
    Human = 1,
    /// A copy of their data (MYDATA).
    Export = 2,
    /// The erasure of their data (FORGETME).
    Erase = 3,
}

impl RequestKind {
    /// The name for people and JSON.
    pub fn name(self) -> &'static str {
        match self {
            RequestKind::Human => "human",
            RequestKind::Export => "export",
            RequestKind::Erase => "erase",
        }
    }

    fn from_number(number: i64) -> Result<Self, StoreError> {
        let known = [RequestKind::Human, RequestKind::Export, RequestKind::Erase];
        let found = known.into_iter().find(|kind| *kind as i64 == number);
        found.ok_or_else(|| StoreError::unreadable("a request", format!("kind {number}")))
    }
}

/// The time within which a request can be confirmed: long enough to read the question, too short
/// for someone else who picks up the phone later.
pub const CONFIRM_WITHIN_MS: i64 = 60 * 60 * 1000;

/// An open request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ContactRequest {
    /// Its number.
    pub id: i64,
    /// The contact.
    pub contact: ContactId,
    /// The conversation in which the person asked.
    pub conversation: Option<ConversationId>,
    /// Its kind.
    pub kind: RequestKind,
    /// When the person asked.
    pub asked_at: Timestamp,
    /// When the person confirmed it, if it needs a confirmation.
    pub confirmed_at: Option<Timestamp>,
}

impl Tx<'_> {
    /// Opens a request. If one of this kind is open, it can be confirmed for the whole time again.
    pub(crate) fn open_request(
        &self,
        kind: RequestKind,
        (contact, conversation): (ContactId, Option<ConversationId>),
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if let Some(open) = self.find_open(kind, contact)? {
            self.conn
                .prepare_cached(
                    "UPDATE contact_requests SET asked_at = ?2, conversation = ?3 WHERE id = ?1 AND confirmed_at IS NULL",
                )?
                .execute(params![open, now.0, conversation.map(|id| id.0)])?;
            return Ok(());
        }
        self.conn
            .prepare_cached(
                "INSERT INTO contact_requests (contact, conversation, kind, asked_at) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![contact.0, conversation.map(|id| id.0), kind as i64, now.0])?;
        Ok(())
    }

    fn find_open(&self, kind: RequestKind, contact: ContactId) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT id FROM contact_requests WHERE contact = ?1 AND kind = ?2 AND closed_at IS NULL";
        Ok(self.conn.prepare_cached(sql)?.query_row([contact.0, kind as i64], |row| row.get(0)).optional()?)
    }

    /// Whether an open request is not confirmed.
    pub(crate) fn is_unconfirmed(&self, kind: RequestKind, contact: ContactId) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM contact_requests WHERE contact = ?1 AND kind = ?2 AND closed_at IS NULL
                   AND confirmed_at IS NULL";
        Ok(self.conn.prepare_cached(sql)?.exists([contact.0, kind as i64])?)
    }

    /// Confirms or declines an open request, if the time for it has not passed. Returns whether
    /// there was one.
    pub(crate) fn answer_request(
        &self,
        kind: RequestKind,
        contact: ContactId,
        is_yes: bool,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let sql = match is_yes {
            true => {
                "UPDATE contact_requests SET confirmed_at = ?3 WHERE contact = ?1 AND kind = ?2
                     AND closed_at IS NULL AND confirmed_at IS NULL AND asked_at BETWEEN ?4 AND ?5"
            }
            false => {
                "UPDATE contact_requests SET closed_at = ?3, closed_as = 'declined' WHERE contact = ?1 AND kind = ?2
                      AND closed_at IS NULL AND confirmed_at IS NULL AND asked_at BETWEEN ?4 AND ?5"
            }
        };
        // If the clock was ahead, `asked_at` may be far in the future: such a request cannot be
        // confirmed until an hour before that time.
        let (since, until) = (now.plus_ms(-CONFIRM_WITHIN_MS), now.plus_ms(CONFIRM_WITHIN_MS));
        Ok(self.conn.prepare_cached(sql)?.execute([contact.0, kind as i64, now.0, since.0, until.0])? > 0)
    }

    /// Closes a request as done.
    pub(crate) fn close_request(&self, id: i64, now: Timestamp) -> Result<(), StoreError> {
        let closed = self
            .conn
            .prepare_cached(
                "UPDATE contact_requests SET closed_at = ?2, closed_as = 'done' WHERE id = ?1 AND closed_at IS NULL",
            )?
            .execute([id, now.0])?;
        if closed == 0 { Err(StoreError::NotFound { object: "open request", id: id.to_string() }) } else { Ok(()) }
    }
}

/// A request of a person, open or closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonRequest {
    /// Its kind.
    pub kind: RequestKind,
    /// When the person asked.
    pub asked_at: Timestamp,
    /// When the person confirmed it.
    pub confirmed_at: Option<Timestamp>,
    /// When it was closed, and how.
    pub closed: Option<(Timestamp, String)>,
}

/// Beadle's answer to a request for a copy.
#[derive(Clone, Debug)]
pub struct ExportAnswer {
    /// The request.
    pub request: i64,
    /// The conversation in which the person asked.
    pub conversation: ConversationId,
    /// The file; its bytes are on disk.
    pub file: NewMedia,
    /// The message that contains the file.
    pub message: Outgoing,
}

impl Tx<'_> {
    /// Queues the answer to a request for a copy, and closes the request. Returns false if it was
    /// closed meanwhile.
    pub(crate) fn answer_export(&mut self, answer: &ExportAnswer, now: Timestamp) -> Result<bool, StoreError> {
        match self.close_request(answer.request, now) {
            Ok(()) => {}
            Err(StoreError::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(error),
        }
        self.insert_created_media(&answer.file, PluginNo::HOST, now)?;
        // A reply, so that a person who said STOP gets it too.
        let send = NewSend {
            message: MessageId(self.shared.reserve_message()),
            conversation: answer.conversation,
            body: answer.message.clone(),
            reply: true,
            options: SendOptions::default(),
            state: SendState::Queued,
            due_at: NewSend::AT_ONCE,
            gate: None,
            outreach: None,
        };
        self.insert_send(&send, None, PluginNo::HOST, now)?;
        Ok(true)
    }
}

impl Reader {
    /// Open requests for a copy or an erasure that the person has confirmed, after this one,
    /// oldest first.
    pub fn confirmed_requests(&self, after: i64, limit: usize) -> Result<Vec<ContactRequest>, StoreError> {
        let human = RequestKind::Human as i64;
        self.open_requests("confirmed_at IS NOT NULL AND kind <> ?3", params![after, bounded(limit), human])
    }

    /// The requests of a person, oldest first.
    pub fn person_requests(&self, ids: &PersonIds) -> Result<Vec<PersonRequest>, StoreError> {
        self.all(|conn| {
            let mut requests = Vec::new();
            for contact in std::iter::once(ids.contact).chain(ids.merged.iter().copied()) {
                let mut read = conn.prepare_cached(
                    "SELECT kind, asked_at, confirmed_at, closed_at, closed_as FROM contact_requests WHERE contact = ?1
                     ORDER BY id",
                )?;
                let mut rows = read.query([contact.0])?;
                while let Some(row) = rows.next()? {
                    let time = |at: Option<i64>| at.map(Timestamp);
                    let closed_as: Option<String> = row.get(4)?;
                    requests.push(PersonRequest {
                        kind: RequestKind::from_number(row.get(0)?)?,
                        asked_at: Timestamp(row.get(1)?),
                        confirmed_at: time(row.get(2)?),
                        closed: time(row.get(3)?).map(|at| (at, closed_as.unwrap_or_default())),
                    });
                }
            }
            Ok(requests)
        })
    }

    /// Open requests, oldest first.
    pub fn contact_requests(&self, limit: usize) -> Result<Vec<ContactRequest>, StoreError> {
        self.open_requests("true", params![0, bounded(limit)])
    }

    /// Open requests for which a condition holds, oldest first. The first two parameters are the id
    /// after which to start, and the maximum number.
    fn open_requests(&self, condition: &str, params: &[&dyn ToSql]) -> Result<Vec<ContactRequest>, StoreError> {
        self.one(|conn| {
            let mut read = conn.prepare_cached(&format!(
                "SELECT id, contact, conversation, kind, asked_at, confirmed_at FROM contact_requests
                 WHERE closed_at IS NULL AND id > ?1 AND {condition} ORDER BY id LIMIT ?2"
            ))?;
            let mut rows = read.query(params)?;
            let mut requests = Vec::new();
            while let Some(row) = rows.next()? {
                requests.push(ContactRequest {
                    id: row.get(0)?,
                    contact: ContactId(row.get(1)?),
                    conversation: row.get::<_, Option<i64>>(2)?.map(ConversationId),
                    kind: RequestKind::from_number(row.get(3)?)?,
                    asked_at: Timestamp(row.get(4)?),
                    confirmed_at: row.get::<_, Option<i64>>(5)?.map(Timestamp),
                });
            }
            Ok(requests)
        })
    }
}
