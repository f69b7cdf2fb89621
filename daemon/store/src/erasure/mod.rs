//! Erasure of a person, in two phases that survive a crash at any moment.
//!
//! The first phase is one transaction ([`Store::begin_erasure`]). From then on nothing can be sent
//! to the person. Their numbers and ids are deleted, so that a person who writes from them is a new
//! person, and an event notifies the plugins.
//!
//! The second phase ([`rows`]) begins when the plugins have erased their data. It erases the stored
//! rows and files slice by slice, and then overwrites the freed bytes on disk. The row in
//! `erasures` remains: a receipt without personal data. See ADR 0093.
//!
//! The daemon's task for privacy decides when to take the next step.

mod file;
mod identities;
pub(crate) mod restore;
mod rows;

use crate::codec::{alias_of, from_json, to_json};
use crate::error::StoreError;
use crate::handle::Store;
use crate::people::{Membership, Person, load_person};
use crate::read::events::subscriber_list;
use crate::read::{Reader, bounded};
use crate::tx::Tx;
use beadle_model::{
    Alias, ContactId, ConversationId, EventBody, EventId, PersonIds, PluginNo, Profile, Scope, Timestamp,
};
use identities::{IdentityHash, Refused, identity_hashes};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Who asked for an erasure. The store keeps the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum AskedBy {
    /// The operator.
    Operator = 1,
    /// The person.
    Person = 2,
    /// Beadle: it repeats the erasure, because a backup from before it was restored.
    Restore = 3,
    /// Beadle: only a web form had named the person, and they did not answer.
    Unanswered = 4,
}

impl AskedBy {
    /// The name for people and JSON.
    pub fn name(self) -> &'static str {
        match self {
            AskedBy::Operator => "operator",
            AskedBy::Person => "person",
            AskedBy::Restore => "restore",
            AskedBy::Unanswered => "unanswered",
        }
    }
}

/// How far an erasure is. The store keeps the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum ErasurePhase {
    /// Nothing is sent. The erasure is not in the file next to the database yet.
    Begun = 0,
    /// Plugins erase their data.
    Plugins = 1,
    /// Rows and files are erased.
    Rows = 2,
    /// The freed bytes of the database are overwritten.
    Cleaning = 3,
    /// Complete.
    Done = 4,
}

impl ErasurePhase {
    /// The name for people and JSON.
    pub fn name(self) -> &'static str {
        match self {
            ErasurePhase::Begun => "begun",
            ErasurePhase::Plugins => "plugins",
            ErasurePhase::Rows => "rows",
            ErasurePhase::Cleaning => "cleaning",
            ErasurePhase::Done => "done",
        }
    }
}

/// An erasure: the receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// Its number.
    pub id: i64,
    /// The contact, whose id is not used again.
    pub contact: ContactId,
    /// Who asked for it.
    pub asked_by: AskedBy,
    /// When it began: nothing is sent from then on.
    pub begun_at: Timestamp,
    /// How far it is.
    pub phase: ErasurePhase,
    /// The event that notified the plugins.
    pub event: Option<EventId>,
    /// What was erased.
    pub report: ErasureReport,
    /// When it was complete.
    pub completed_at: Option<Timestamp>,
}

/// What was erased, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErasureReport {
    /// By kind: `events`, `messages`, `files`, …
    pub erased: BTreeMap<String, u64>,
    /// Plugins that erased their data.
    pub plugins: Vec<String>,
    /// Plugins that did not, and whose dead letter an operator dropped.
    pub plugins_failed: Vec<String>,
}

impl ErasureReport {
    fn add(&mut self, name: &str, count: usize) {
        if count > 0 {
            *self.erased.entry(name.to_owned()).or_default() += count as u64;
        }
    }
}

/// The progress of a plugin with an erasure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErasingPlugin {
    /// The plugin.
    pub plugin: PluginNo,
    /// Its progress.
    pub state: ErasingState,
    /// The number of attempts.
    pub attempts: u32,
    /// Why the last one failed.
    pub error: Option<String>,
}

/// How far a plugin is with an erasure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErasingState {
    /// It was not called yet, or failed and is called again soon.
    Pending,
    /// It does not run. It is called when it runs again.
    Waiting,
    /// It failed, and the handling is a dead letter, which is retried from time to time.
    Failed {
        /// When it was last given up or retried.
        since: Timestamp,
    },
    /// It failed, and an operator dropped the dead letter.
    GivenUp,
    /// It has erased its data.
    Done,
}

/// What identifies the rows of a person until they are erased.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Subject {
    contacts: Vec<i64>,
    conversations: Vec<i64>,
    /// Numbers and ids, by which mentions elsewhere are found.
    aliases: Vec<Alias>,
    /// Files of their messages.
    files: BTreeSet<i64>,
    /// The last row that was searched in each table that is finished.
    searched: BTreeMap<i64, i64>,
}

impl Subject {
    fn scopes(&self) -> impl Iterator<Item = Scope> {
        let contacts = self.contacts.iter().map(|id| Scope::Contact(ContactId(*id)));
        contacts.chain(self.conversations.iter().map(|id| Scope::Conversation(ConversationId(*id))))
    }
}

/// An erasure with the data that the steps need.
struct OpenErasure {
    erasure: Erasure,
    uid: String,
    table_no: i64,
    cursor: i64,
    subject: Subject,
}

const COLUMNS: &str =
    "id, contact, asked_by, begun_at, phase, event, report, completed_at, uid, table_no, cursor, subject";

fn erasure_of(row: &Row<'_>) -> Result<OpenErasure, StoreError> {
    let id = row.get(0)?;
    let asked_by = match row.get::<_, i64>(2)? {
        1 => AskedBy::Operator,
        2 => AskedBy::Person,
        4 => AskedBy::Unanswered,
        _ => AskedBy::Restore,
    };
    let phase = match row.get::<_, i64>(4)? {
        0 => ErasurePhase::Begun,
        1 => ErasurePhase::Plugins,
        2 => ErasurePhase::Rows,
        3 => ErasurePhase::Cleaning,
        _ => ErasurePhase::Done,
    };
    let subject: Option<String> = row.get(11)?;
    Ok(OpenErasure {
        erasure: Erasure {
            id,
            contact: ContactId(row.get(1)?),
            asked_by,
            begun_at: Timestamp(row.get(3)?),
            phase,
            event: row.get::<_, Option<i64>>(5)?.map(EventId),
            report: from_json("an erasure", id, &row.get::<_, String>(6)?)?,
            completed_at: row.get::<_, Option<i64>>(7)?.map(Timestamp),
        },
        uid: row.get(8)?,
        table_no: row.get(9)?,
        cursor: row.get(10)?,
        subject: subject.map_or(Ok(Subject::default()), |json| from_json("an erasure", id, &json))?,
    })
}

fn load_erasure(conn: &Connection, id: i64) -> Result<Option<OpenErasure>, StoreError> {
    let mut read = conn.prepare_cached(&format!("SELECT {COLUMNS} FROM erasures WHERE id = ?1"))?;
    let mut rows = read.query([id])?;
    rows.next()?.map(erasure_of).transpose()
}

/// The contact with everything that was merged into it, and their conversations.
pub(crate) fn person_ids(conn: &Connection, contact: ContactId) -> Result<PersonIds, StoreError> {
    let merged = conn
        .prepare_cached("SELECT id FROM contacts WHERE merged_into = ?1 ORDER BY id")?
        .query_map([contact.0], |row| row.get(0).map(ContactId))?
        .collect::<Result<_, _>>()?;
    let conversations = conn
        .prepare_cached(
            "SELECT id FROM conversations WHERE contact = ?1
             OR merged_into IN (SELECT id FROM conversations WHERE contact = ?1) ORDER BY id",
        )?
        .query_map([contact.0], |row| row.get(0).map(ConversationId))?
        .collect::<Result<_, _>>()?;
    Ok(PersonIds { contact, merged, conversations })
}

fn aliases_of(conn: &Connection, contact: ContactId) -> Result<Vec<Alias>, StoreError> {
    conn.prepare_cached("SELECT kind, value FROM aliases WHERE contact = ?1 ORDER BY kind, value")?
        .query_map([contact.0], |row| Ok((row.get(0)?, row.get(1)?)))?
        .map(|row| row.map_err(StoreError::from).and_then(|(kind, value)| alias_of(kind, value)))
        .collect()
}

/// The parameters of a new erasure.
struct Beginning<'a> {
    asked_by: AskedBy,
    uid: &'a str,
    phase: ErasurePhase,
    now: Timestamp,
}

impl Tx<'_> {
    /// Begins an erasure, unless one of this contact is open. Returns its number.
    pub(crate) fn begin_erasure(
        &mut self,
        contact: ContactId,
        asked_by: AskedBy,
        now: Timestamp,
    ) -> Result<i64, StoreError> {
        let uid = beadle_model::text::hex(crate::random::random::<16>()?);
        self.begin_erasure_as(contact, &Beginning { asked_by, uid: &uid, phase: ErasurePhase::Begun, now })
    }

    fn begin_erasure_as(&mut self, contact: ContactId, beginning: &Beginning<'_>) -> Result<i64, StoreError> {
        let now = beginning.now;
        let not_found = || StoreError::NotFound { object: "contact", id: contact.to_string() };
        let mut person = load_person(self.conn, contact)?.ok_or_else(not_found)?;
        let id = person.contact.id;
        if person.contact.profile().erased_since.is_some()
            && let Some(open) = self.open_erasure_of(id)?
        {
            return Ok(open);
        }
        let ids = person_ids(self.conn, id)?;
        let aliases = aliases_of(self.conn, id)?;
        let hashes: BTreeSet<IdentityHash> = identity_hashes(&self.shared.host_key, &aliases);
        // A person who was only asked has refused nothing.
        if beginning.asked_by != AskedBy::Unanswered {
            self.keep_identities(&hashes, Refused::of(&person.contact), now)?;
        }
        let subject = Subject {
            contacts: std::iter::once(id).chain(ids.merged.iter().copied()).map(|id| id.0).collect(),
            conversations: ids.conversations.iter().map(|id| id.0).collect(),
            aliases,
            ..Subject::default()
        };
        let mut report = ErasureReport::default();
        self.stop_everything(&mut person, &subject, &mut report, now)?;
        let event = EventId(self.cache.next_event);
        self.append_own(None, EventBody::EraseContact(ids), None, (now, now))?;
        let erasure = self
            .conn
            .prepare_cached(
                "INSERT INTO erasures (uid, contact, asked_by, begun_at, phase, event, subject, report)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .insert(params![
                beginning.uid,
                id.0,
                beginning.asked_by as i64,
                now.0,
                beginning.phase as i64,
                event.0,
                to_json("an erasure", &subject)?,
                to_json("an erasure", &report)?
            ])?;
        self.cache.people.clear();
        self.cache.is_restricting = true;
        self.cache.is_privacy_changed = true;
        Ok(erasure)
    }

    fn open_erasure_of(&self, contact: ContactId) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT id FROM erasures WHERE contact = ?1 AND completed_at IS NULL";
        Ok(self.conn.prepare_cached(sql)?.query_row([contact.0], |row| row.get(0)).optional()?)
    }

    /// From then on nothing is sent to the person, none of their timers fires, and no number leads
    /// to them.
    fn stop_everything(
        &mut self,
        person: &mut Person,
        subject: &Subject,
        report: &mut ErasureReport,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut profile: Profile = person.contact.profile().clone();
        profile.erased_since = Some(now);
        person.contact.profile = Some(Arc::new(profile));
        person.contact.member_since = None;
        person.membership = Membership::Left;
        self.update_person(person)?;
        let one =
            |sql: &str, id: i64| -> Result<usize, StoreError> { Ok(self.conn.prepare_cached(sql)?.execute([id])?) };
        for id in &subject.contacts {
            one("DELETE FROM aliases WHERE contact = ?1", *id)?;
            one("DELETE FROM alias_conflicts WHERE ?1 IN (holder, claimant)", *id)?;
            report.add("requests", one("DELETE FROM contact_requests WHERE contact = ?1", *id)?);
        }
        for id in &subject.conversations {
            one("DELETE FROM windows WHERE conversation = ?1", *id)?;
            // Beadle's own last confirmation is still sent.
            report.add(
                "messages_dropped",
                one("UPDATE outbox SET state = 5 WHERE conversation = ?1 AND state = 0 AND plugin <> 0", *id)?,
            );
        }
        report.add("timers", self.delete_timers_of(subject)?);
        for scope in subject.scopes() {
            report.add("durable_requests", self.delete_requests_about(scope)?);
        }
        Ok(())
    }

    fn delete_timers_of(&self, subject: &Subject) -> Result<usize, StoreError> {
        let plugins: Vec<i64> = self
            .conn
            .prepare_cached("SELECT no FROM plugins")?
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let mut deleted = 0;
        for (plugin, scope) in plugins.into_iter().flat_map(|plugin| subject.scopes().map(move |scope| (plugin, scope)))
        {
            let (kind, id) = scope.as_columns();
            deleted += self
                .conn
                .prepare_cached("DELETE FROM timers WHERE plugin = ?1 AND scope = ?2 AND scope_id = ?3")?
                .execute([plugin, kind, id])?;
        }
        Ok(deleted)
    }

    /// Sets the phase of an erasure, unless it has reached this phase or a later one.
    pub(crate) fn advance_erasure(&mut self, id: i64, phase: ErasurePhase, now: Timestamp) -> Result<(), StoreError> {
        let completed_at = (phase == ErasurePhase::Done).then_some(now.0);
        self.conn
            .prepare_cached("UPDATE erasures SET phase = ?2, completed_at = ?3 WHERE id = ?1 AND phase < ?2")?
            .execute(params![id, phase as i64, completed_at])?;
        self.cache.is_privacy_changed = true;
        Ok(())
    }

    /// Records the results of the plugins, and begins the phase `rows`.
    pub(crate) fn plugins_erased(
        &mut self,
        id: i64,
        done: &[String],
        failed: &[String],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Some(open) = load_erasure(self.conn, id)? else { return Ok(()) };
        let mut report = open.erasure.report;
        (report.plugins, report.plugins_failed) = (done.to_vec(), failed.to_vec());
        self.conn
            .prepare_cached("UPDATE erasures SET report = ?2 WHERE id = ?1")?
            .execute(params![id, to_json("an erasure", &report)?])?;
        self.advance_erasure(id, ErasurePhase::Rows, now)
    }
}

impl Reader {
    /// Erasures before `before`, newest first.
    pub fn erasures(&self, before: Option<i64>, limit: usize) -> Result<Vec<Erasure>, StoreError> {
        self.one(|conn| {
            let mut read = conn
                .prepare_cached(&format!("SELECT {COLUMNS} FROM erasures WHERE id < ?1 ORDER BY id DESC LIMIT ?2"))?;
            let mut rows = read.query(params![before.unwrap_or(i64::MAX), bounded(limit)])?;
            let mut erasures = Vec::new();
            while let Some(row) = rows.next()? {
                erasures.push(erasure_of(row)?.erasure);
            }
            Ok(erasures)
        })
    }

    /// Erasures that are not complete, after this one, oldest first.
    pub fn open_erasures(&self, after: i64, limit: usize) -> Result<Vec<Erasure>, StoreError> {
        self.one(|conn| {
            let mut read = conn.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM erasures WHERE completed_at IS NULL AND id > ?1 ORDER BY id LIMIT ?2"
            ))?;
            let mut rows = read.query([after, bounded(limit)])?;
            let mut erasures = Vec::new();
            while let Some(row) = rows.next()? {
                erasures.push(erasure_of(row)?.erasure);
            }
            Ok(erasures)
        })
    }

    /// An erasure.
    pub fn erasure(&self, id: i64) -> Result<Option<Erasure>, StoreError> {
        self.one(|conn| Ok(load_erasure(conn, id)?.map(|open| open.erasure)))
    }

    /// The person with all their ids; `None` if the contact is unknown or was erased.
    pub fn person_ids(&self, contact: ContactId) -> Result<Option<PersonIds>, StoreError> {
        self.all(|conn| match load_person(conn, contact)? {
            Some(person) => person_ids(conn, person.contact.id).map(Some),
            None => Ok(None),
        })
    }

    /// The progress of the plugins with an erasure, and whether its event was dispatched to all of
    /// them.
    pub fn erasing_plugins(&self, event: EventId) -> Result<(Vec<ErasingPlugin>, bool), StoreError> {
        self.all(|conn| erasing_plugins(conn, event))
    }

    /// Whether work about the person is in progress: an event that plugins handle, or a message
    /// that the platform has not answered.
    pub fn is_person_busy(&self, erasure: i64) -> Result<bool, StoreError> {
        self.all(|conn| {
            let Some(open) = load_erasure(conn, erasure)? else { return Ok(false) };
            let finished_below = crate::meta::meta(conn, "finished_below")?.unwrap_or(1);
            let mut events = conn.prepare_cached(
                "SELECT 1 FROM events WHERE id >= ?1 AND id <> ?2 AND state < 2 AND contact = ?3",
            )?;
            // A small range: the events in flight.
            let event = open.erasure.event.map_or(0, |event| event.0);
            for contact in &open.subject.contacts {
                if events.exists([finished_below, event, *contact])? {
                    return Ok(true);
                }
            }
            let sending_from = crate::meta::meta(conn, "sending_from")?.unwrap_or(1);
            let mut sends = conn.prepare_cached(
                "SELECT 1 FROM outbox WHERE id >= ?1 AND conversation = ?2 AND (state = 1 OR (state = 0 AND plugin = 0))",
            )?;
            for conversation in &open.subject.conversations {
                if sends.exists([sending_from, *conversation])? {
                    return Ok(true);
                }
            }
            Ok(false)
        })
    }
}

fn erasing_plugins(conn: &Connection, event: EventId) -> Result<(Vec<ErasingPlugin>, bool), StoreError> {
    let found = conn
        .prepare_cached("SELECT state, subscriber_list, done FROM events WHERE id = ?1")?
        .query_row([event.0], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?, row.get::<_, i64>(2)?)))
        .optional()?;
    // The event is kept for at least eight days. Once it is deleted, no plugin is awaited.
    let Some((state, list, done)) = found else { return Ok((Vec::new(), true)) };
    let Some(list) = list else { return Ok((Vec::new(), state == 2)) };
    let subscribers = subscriber_list(conn, list)?;
    let mut plugins = Vec::with_capacity(subscribers.len());
    for (position, PluginNo(plugin)) in subscribers.into_iter().enumerate() {
        let handling = conn
            .prepare_cached("SELECT state, attempts, error FROM handlings WHERE event = ?1 AND plugin = ?2")?
            .query_row([event.0, plugin], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, u32>(1)?, row.get::<_, Option<String>>(2)?))
            })
            .optional()?;
        let dead_since: Option<i64> = conn
            .prepare_cached(
                "SELECT max(at, coalesce(retried_at, 0)) FROM dead_letters
                 WHERE event = ?1 AND plugin = ?2 AND message IS NULL",
            )?
            .query_row([event.0, plugin], |row| row.get(0))
            .optional()?;
        let is_done = position < 63 && done & (1 << position) != 0;
        let (state, attempts, error) = match handling {
            None if is_done => (ErasingState::Done, 1, None),
            None => (ErasingState::Pending, 0, None),
            Some((1, attempts, _)) => (ErasingState::Done, attempts, None),
            Some((2, attempts, error)) => {
                let since = dead_since.map(Timestamp);
                (since.map_or(ErasingState::GivenUp, |since| ErasingState::Failed { since }), attempts, error)
            }
            Some((3, attempts, error)) => (ErasingState::Waiting, attempts, error),
            Some((4, attempts, error)) => (ErasingState::GivenUp, attempts, error),
            Some((_, attempts, error)) => (ErasingState::Pending, attempts, error),
        };
        plugins.push(ErasingPlugin { plugin: PluginNo(plugin), state, attempts, error });
    }
    Ok((plugins, state == 2))
}

impl Store {
    /// Begins the erasure of a person: nothing can be sent to them from now on, and plugins are
    /// notified. Returns its number; if an erasure of this person is open, the number of that one.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the contact is unknown or was erased.
    pub async fn begin_erasure(
        &self,
        contact: ContactId,
        asked_by: AskedBy,
        now: Timestamp,
    ) -> Result<i64, StoreError> {
        self.ask(move |tx| tx.begin_erasure(contact, asked_by, now)).await
    }

    /// Records the names of the plugins that erased their data and of those that did not, and
    /// begins to erase rows.
    pub async fn plugins_erased(
        &self,
        erasure: i64,
        done: Vec<String>,
        failed: Vec<String>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.ask(move |tx| tx.plugins_erased(erasure, &done, &failed, now)).await
    }

    /// Changes whenever an erasure or a request of a person changed.
    pub fn privacy_changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.shared().privacy.subscribe()
    }
}
