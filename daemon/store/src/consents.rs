//! The consent ledger: recorded in the same transaction as what caused the entry, chained by
//! hashes.
//!
//! Every entry is also noted in the contact's profile ([`beadle_model::Consents`]), which the gate
//! reads. [`Reader::verify_consents`] finds a changed, removed or inserted row, a cut end, and a
//! profile that does not follow from the ledger.

use crate::codec::{from_json, to_json};
use crate::consent_head::{ConsentHead, digest};
use crate::error::StoreError;
use crate::people::{Person, load_person};
use crate::read::{Reader, bounded};
use crate::tx::Tx;
use beadle_model::consent::rules::{ConsentQuestion, PlannedConsent};
use beadle_model::consent::{ConsentAct, ConsentDecision, ConsentEntry, ConsentSource, NewConsent, Purpose, actor};
use beadle_model::{ConsentState, Consents, Contact, ContactId, ConversationId, EventBody, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// An entry that was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedConsent {
    /// The entry.
    pub entry: ConsentEntry,
    /// Whether the person is asked to confirm it: the question is queued.
    pub asked: bool,
}

/// A row's body: an entry without its number, which is the row's.
#[derive(Deserialize, Serialize)]
struct Body<'a> {
    recorded_at: Timestamp,
    #[serde(flatten)]
    consent: std::borrow::Cow<'a, NewConsent>,
}

/// What [`Reader::verify_consents`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ConsentCheck {
    /// The number of rows.
    pub rows: usize,
    /// Rows whose content was erased.
    pub erased: usize,
    /// The hash of the last row in hexadecimal.
    pub head: String,
    /// What is wrong, the first problems only.
    pub problems: Vec<String>,
}

/// How long after it was expressed a consent counts as expressed now, in milliseconds: the platform
/// delivers within seconds, and repeats what was not accepted after minutes.
const EXPRESSED_NOW_MS: i64 = 10 * 60 * 1000;

/// The maximum number of problems that a check reports: one changed row breaks only itself.
const MAX_PROBLEMS: usize = 20;

impl ConsentCheck {
    fn problem(&mut self, problem: String) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        }
    }
}

impl Tx<'_> {
    /// Records entries about a contact that has a row, and notes them in its profile. Does not
    /// write the contact.
    pub(crate) fn record_consents(
        &mut self,
        contact: &mut Contact,
        entries: &[NewConsent],
        now: Timestamp,
    ) -> Result<Vec<ConsentEntry>, StoreError> {
        let mut recorded = Vec::with_capacity(entries.len());
        for entry in entries {
            let at = recorded_time(contact, entry, now);
            let entry = self.append_consent(&NewConsent { contact: contact.id, at, ..entry.clone() }, now)?;
            note(contact, &entry);
            recorded.push(entry);
        }
        Ok(recorded)
    }

    fn append_consent(&mut self, consent: &NewConsent, now: Timestamp) -> Result<ConsentEntry, StoreError> {
        let body = Body { recorded_at: now, consent: std::borrow::Cow::Borrowed(consent) };
        let body = to_json("a consent", &body)?;
        let salt: [u8; 16] = crate::random::random()?;
        let head = self.cache.consent_head.next(&digest(&salt, &body));
        self.conn
            .prepare_cached("INSERT INTO consents (id, body, salt, hash, contact) VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![head.id, body, &salt[..], &head.hash[..], consent.contact.0])?;
        self.conn
            .prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES ('consent_head', ?1)")?
            .execute([head.to_bytes()])?;
        self.cache.consent_head = head;
        if consent.act == ConsentAct::Withdrawn {
            self.cache.is_restricting = true;
            if consent.purpose == Purpose::Service || consent.purpose.is_marketing() {
                self.attribute_withdrawal(consent.contact, &consent.purpose, now)?;
            }
        }
        Ok(ConsentEntry { id: head.id, recorded_at: now, consent: consent.clone() })
    }

    /// Records entries about any contact and appends their events, if a plugin subscribes to them.
    /// Returns the entries; an entry that changes nothing is not recorded.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the contact is unknown.
    pub(crate) fn record_consent(
        &mut self,
        planned: &PlannedConsent,
        wants_event: bool,
        now: Timestamp,
    ) -> Result<Option<RecordedConsent>, StoreError> {
        let consent = &planned.consent;
        let found = load_person(self.conn, consent.contact)?;
        let mut person =
            found.ok_or_else(|| StoreError::NotFound { object: "contact", id: consent.contact.to_string() })?;
        if is_known(self.conn, &person.contact, consent)? {
            return Ok(None);
        }
        let mut recorded = self.record_consents(&mut person.contact, std::slice::from_ref(consent), now)?;
        self.update_person(&person)?;
        let contact = person.contact.id;
        self.cache.people.insert_person(person);
        let Some(entry) = recorded.pop() else { return Ok(None) };
        let mut asked = false;
        if let Some(conversation) = self.latest_conversation(contact)? {
            if wants_event {
                self.append_about(consent_changed(&entry), conversation, contact, now)?;
            }
            if let Some(question) = &planned.question {
                asked = self.ask_consent(question, entry.id, conversation, now)?;
            }
        }
        Ok(Some(RecordedConsent { entry, asked }))
    }

    /// Queues the question whether a person agrees. Returns whether it can be asked now: not in a
    /// group, nor after the person has opted out.
    fn ask_consent(
        &mut self,
        question: &ConsentQuestion,
        entry: i64,
        conversation: ConversationId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let Some(row) = self.cache.people.conversation_row(self.conn, conversation)? else { return Ok(false) };
        let (is_group, contact, is_open) = (row.group.is_some(), row.contact, row.window_until > now.0);
        let Some(contact) = contact.filter(|_| !is_group) else { return Ok(false) };
        let person = self.cache.people.person(self.conn, contact)?;
        if person.is_none_or(|person| person.contact.opted_out_since.is_some()) {
            return Ok(false);
        }
        let Some(message) = question.message(entry, is_open) else { return Ok(false) };
        self.queue_own(None, conversation, &message, now)?;
        Ok(true)
    }

    /// Keeps the text of a wording, so that the ledger can prove it.
    pub(crate) fn keep_consent_text(&self, sha256: &str, text: &str) -> Result<(), StoreError> {
        self.conn
            .prepare_cached("INSERT INTO consent_texts (sha256, text) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
            .execute([sha256, text])?;
        Ok(())
    }

    /// Records what was known about people before there was a ledger, once.
    pub(crate) fn begin_ledger(&mut self, now: Timestamp) -> Result<(), StoreError> {
        if crate::meta::meta(self.conn, "consents_begun")?.is_some() {
            return Ok(());
        }
        let people: Vec<i64> = self
            .conn
            .prepare(
                "SELECT id FROM contacts WHERE merged_into IS NULL
                 AND (member_since IS NOT NULL OR opted_out_since IS NOT NULL OR marketing_stopped_since IS NOT NULL)",
            )?
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for id in people {
            let Some(mut person) = load_person(self.conn, ContactId(id))? else { continue };
            let entries = earlier_entries(&person.contact);
            self.record_consents(&mut person.contact, &entries, now)?;
            self.update_person(&person)?;
        }
        crate::meta::set_meta(self.conn, "consents_begun", now.0)
    }
}

/// Notes an entry in the contact: in its profile, and in the dates that follow from it.
pub(crate) fn note(contact: &mut Contact, entry: &ConsentEntry) {
    let mut profile = contact.profile().clone();
    profile.consents.note(entry);
    let service = profile.consents.decide(&Purpose::Service);
    let stop = profile.consents.platform_stop();
    contact.opted_out_since = match service.state {
        // A repeated STOP keeps the first time.
        ConsentState::Withdrawn => contact.opted_out_since.or(service.by.map(|mark| mark.at)),
        ConsentState::Requested => contact.opted_out_since,
        _ => None,
    };
    contact.marketing_stopped_since = stop.map(|mark| contact.marketing_stopped_since.unwrap_or(mark.at));
    if entry.consent.act == ConsentAct::Granted {
        profile.quarantined_since = None;
    }
    contact.profile = Some(Arc::new(profile));
}

/// The time that an entry is recorded with: its own, unless an earlier entry lies in the future
/// because a clock was ahead. What is expressed now is later than anything that was recorded
/// before, and would not count for as long as the clock was ahead. A consent from before (a form on
/// paper, a message that arrives late) is not expressed now, and ends no withdrawal.
fn recorded_time(contact: &Contact, consent: &NewConsent, now: Timestamp) -> Timestamp {
    let is_expressed_now = consent.act != ConsentAct::Granted || now.since_ms(consent.at) <= EXPRESSED_NOW_MS;
    let ahead = contact.profile().consents.latest().filter(|latest| is_expressed_now && *latest > now);
    ahead.map_or(consent.at, |ahead| ahead.max(consent.at))
}

/// Whether the entry repeats the state that it would cause, for its purpose and all that it
/// includes: the same person agreed to the same words, or the question is still open.
pub(crate) fn is_known(conn: &Connection, contact: &Contact, consent: &NewConsent) -> Result<bool, StoreError> {
    let ConsentDecision { state, by } = contact.consent_for(&consent.purpose);
    let consents = &contact.profile().consents;
    let own_marks = consents.purposes().any(|known| *known == consent.purpose);
    Ok(match consent.act {
        ConsentAct::Granted if consents.would_grant(&consent.purpose, consent.at) => false,
        ConsentAct::Withdrawn if consents.ended_by(&consent.purpose).is_some() => false,
        ConsentAct::Withdrawn if consent.actor == actor::PLATFORM => contact.marketing_stopped_since.is_some(),
        ConsentAct::Granted if consent.actor == actor::PLATFORM => {
            state == ConsentState::Granted && contact.marketing_stopped_since.is_none()
        }
        // New words need a new entry.
        ConsentAct::Granted => {
            let by = by.filter(|_| state == ConsentState::Granted);
            match (by, &consent.wording) {
                (None, _) => false,
                (Some(_), None) => true,
                (Some(mark), Some(wording)) => find_consent(conn, mark.entry)?.is_some_and(|entry| {
                    entry.consent.purpose == consent.purpose && entry.consent.wording.as_ref() == Some(wording)
                }),
            }
        }
        ConsentAct::Withdrawn => state == ConsentState::Withdrawn && own_marks,
        ConsentAct::Requested => {
            let by = by.filter(|_| state == ConsentState::Requested);
            let asked = by.map(|mark| find_consent(conn, mark.entry)).transpose()?.flatten();
            asked.is_some_and(|entry| {
                entry.consent.purpose == consent.purpose
                    && entry.consent.wording == consent.wording
                    && entry.consent.expires_at > Some(consent.at)
                    // One that ends later than this one was asked while the clock was ahead.
                    && entry.consent.expires_at <= consent.expires_at
            })
        }
    })
}

/// The event about an entry.
pub(crate) fn consent_changed(entry: &ConsentEntry) -> EventBody {
    let consent = &entry.consent;
    EventBody::ConsentChanged {
        purpose: consent.purpose.clone(),
        act: consent.act,
        source: consent.source,
        wording: consent.wording.as_ref().map(|wording| wording.id.clone()),
        actor: consent.actor.clone(),
    }
}

/// What a person expressed before there was a ledger.
fn earlier_entries(contact: &Contact) -> Vec<NewConsent> {
    let entry = |purpose, act, at, actor: &str| NewConsent {
        contact: contact.id,
        evidence: Some("known before the ledger".into()),
        actor: actor.to_owned(),
        ..NewConsent::in_chat(purpose, act, at)
    };
    let joined = contact.member_since.into_iter().flat_map(|at| {
        [Purpose::Service, Purpose::Group].map(|purpose| entry(purpose, ConsentAct::Granted, at, actor::HOST))
    });
    let stopped = contact.marketing_stopped_since;
    let stopped = stopped.map(|at| entry(Purpose::Marketing, ConsentAct::Withdrawn, at, actor::PLATFORM));
    let out = contact.opted_out_since.map(|at| entry(Purpose::Service, ConsentAct::Withdrawn, at, actor::HOST));
    // JOIN after STOP leaves a member without messages: the opt-out is recorded last.
    joined
        .chain(stopped)
        .chain(out.map(|out| NewConsent { at: out.at.max(contact.member_since.unwrap_or(out.at)), ..out }))
        .collect()
}

fn entry_of(row: &Row<'_>) -> rusqlite::Result<(i64, String)> {
    Ok((row.get(0)?, row.get(1)?))
}

fn parse((id, body): (i64, String)) -> Result<ConsentEntry, StoreError> {
    let body: Body<'_> = from_json("consent", id, &body)?;
    Ok(ConsentEntry { id, recorded_at: body.recorded_at, consent: body.consent.into_owned() })
}

/// The ids of a contact and of all contacts that were merged into it.
const CONTACT_AND_MERGED: &str = "SELECT id FROM contacts
     WHERE id = (SELECT coalesce(merged_into, id) FROM contacts WHERE id = ?1)
        OR merged_into = (SELECT coalesce(merged_into, id) FROM contacts WHERE id = ?1)";

/// The entries of a contact, and of contacts that were merged into it, in the order of the ledger.
pub(crate) fn entries_of(conn: &Connection, contact: ContactId) -> Result<Vec<ConsentEntry>, StoreError> {
    let sql = format!("SELECT id, body FROM consents WHERE contact IN ({CONTACT_AND_MERGED}) ORDER BY id");
    let mut read = conn.prepare_cached(&sql)?;
    let rows: Vec<(i64, String)> = read.query_map([contact.0], entry_of)?.collect::<Result<_, _>>()?;
    rows.into_iter().map(parse).collect()
}

impl Reader {
    /// The entries of a contact, and of contacts that were merged into it, oldest first.
    pub fn consents_of(&self, contact: ContactId) -> Result<Vec<ConsentEntry>, StoreError> {
        self.one(|conn| entries_of(conn, contact))
    }

    /// Entries before `before`, newest first. Erased ones are left out.
    pub fn consents(&self, before: Option<i64>, limit: usize) -> Result<Vec<ConsentEntry>, StoreError> {
        self.one(|conn| {
            let mut read = conn.prepare_cached(
                "SELECT id, body FROM consents WHERE id < ?1 AND body IS NOT NULL ORDER BY id DESC LIMIT ?2",
            )?;
            let rows: Vec<(i64, String)> = read
                .query_map(params![before.unwrap_or(i64::MAX), bounded(limit)], entry_of)?
                .collect::<Result<_, _>>()?;
            rows.into_iter().map(parse).collect()
        })
    }

    /// An entry; `None` if there is none with this number, or it was erased.
    pub fn consent(&self, id: i64) -> Result<Option<ConsentEntry>, StoreError> {
        self.one(|conn| find_consent(conn, id))
    }

    /// The text with this hash, if a wording had it.
    pub fn consent_text(&self, sha256: &str) -> Result<Option<String>, StoreError> {
        self.one(|conn| {
            let mut read = conn.prepare_cached("SELECT text FROM consent_texts WHERE sha256 = ?1")?;
            Ok(read.query_row([sha256], |row| row.get(0)).optional()?)
        })
    }

    /// Checks the whole ledger: every hash, the numbers, the end, the texts, and that each
    /// contact's profile follows from it.
    pub fn verify_consents(&self) -> Result<ConsentCheck, StoreError> {
        self.all(verify)
    }
}

/// Reads an entry.
pub(crate) fn find_consent(conn: &Connection, id: i64) -> Result<Option<ConsentEntry>, StoreError> {
    let mut read = conn.prepare_cached("SELECT id, body FROM consents WHERE id = ?1 AND body IS NOT NULL")?;
    read.query_row([id], entry_of).optional()?.map(parse).transpose()
}

/// A row of the ledger as it is on disk.
struct StoredRow {
    id: i64,
    body: Option<String>,
    salt: Option<Vec<u8>>,
    digest: Option<Vec<u8>>,
    hash: Vec<u8>,
    contact: Option<i64>,
}

fn verify(conn: &Connection) -> Result<ConsentCheck, StoreError> {
    let (mut check, mut head) = (ConsentCheck::default(), ConsentHead::default());
    let mut views: BTreeMap<ContactId, Consents> = BTreeMap::new();
    let mut read = conn.prepare("SELECT id, body, salt, digest, hash, contact FROM consents ORDER BY id")?;
    let mut rows = read.query([])?;
    while let Some(row) = rows.next()? {
        let row = StoredRow {
            id: row.get(0)?,
            body: row.get(1)?,
            salt: row.get(2)?,
            digest: row.get(3)?,
            hash: row.get(4)?,
            contact: row.get(5)?,
        };
        check.rows += 1;
        if row.id != head.id + 1 {
            check.problem(format!("row {}: rows {} to {} are missing", row.id, head.id + 1, row.id - 1));
            head.id = row.id - 1;
        }
        let content = match (&row.body, &row.salt, &row.digest) {
            (Some(body), Some(salt), None) => digest(salt, body).to_vec(),
            (None, None, Some(digest)) => {
                check.erased += 1;
                digest.clone()
            }
            _ => {
                check.problem(format!("row {}: neither complete nor erased", row.id));
                Vec::new()
            }
        };
        let expected = head.next(&content);
        if expected.hash[..] != row.hash {
            check.problem(format!("row {}: the hash does not match the row and the rows before it", row.id));
        }
        head = ConsentHead { id: row.id, hash: row.hash.as_slice().try_into().unwrap_or_default() };
        if let Some(body) = row.body {
            match parse((row.id, body)) {
                Ok(entry) if row.contact == Some(entry.consent.contact.0) => {
                    let contact = crate::merged::current_contact(conn, entry.consent.contact)?;
                    views.entry(contact).or_default().note(&entry);
                }
                Ok(_) => check.problem(format!("row {}: filed under another contact", row.id)),
                Err(error) => check.problem(format!("row {}: {error}", row.id)),
            }
        }
    }
    if head != ConsentHead::load(conn)? {
        check.problem(format!("the ledger ends at row {}, but it was longer or another row was its last", head.id));
    }
    check.head = beadle_model::text::hex(head.hash);
    verify_views(conn, views, &mut check)?;
    Ok(check)
}

/// Whether a contact's profile and dates follow from its entries.
fn follows(contact: &Contact, view: &Consents) -> bool {
    let has_opted_out = contact.opted_out_since.is_some();
    let may_be = match view.decide(&Purpose::Service).state {
        ConsentState::Withdrawn => has_opted_out,
        // A question changes nothing.
        ConsentState::Requested => true,
        ConsentState::Granted | ConsentState::Missing => !has_opted_out,
    };
    let has_stopped = contact.marketing_stopped_since.is_some();
    contact.profile().consents == *view && may_be && has_stopped == view.platform_stop().is_some()
}

/// Compares what the contacts' rows say about consent with what follows from the ledger, also of
/// contacts of which the ledger has nothing.
fn verify_views(
    conn: &Connection,
    mut views: BTreeMap<ContactId, Consents>,
    check: &mut ConsentCheck,
) -> Result<(), StoreError> {
    let mut read = conn.prepare(
        "SELECT id FROM contacts WHERE merged_into IS NULL AND (opted_out_since IS NOT NULL
             OR marketing_stopped_since IS NOT NULL OR json_extract(profile, '$.consents') IS NOT NULL)",
    )?;
    for id in read.query_map([], |row| row.get(0).map(ContactId))? {
        views.entry(id?).or_default();
    }
    for (contact, view) in views {
        match load_person(conn, contact) {
            Ok(Some(person)) if follows(&person.contact, &view) => {}
            Ok(_) => check.problem(format!("{contact}: the contact's consents do not follow from the ledger")),
            Err(error) => check.problem(format!("{contact}: {error}")),
        }
    }
    let mut read = conn.prepare("SELECT sha256, text FROM consent_texts")?;
    let texts = read.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    for text in texts {
        let (sha256, text) = text?;
        if beadle_model::text::hex(Sha256::digest(&text)) != sha256 {
            check.problem(format!("the text {sha256} was changed"));
        }
    }
    Ok(())
}

/// The consents of two contacts that become one: entries of both count, and where one had withdrawn
/// what the other had granted, the withdrawal is repeated, so that the stricter consent applies.
pub(crate) fn merged_withdrawals(kept: &Person, removed: &Person, merged: &Contact, now: Timestamp) -> Vec<NewConsent> {
    let (a, b) = (&kept.contact, &removed.contact);
    let evidence = format!("merged with {}", b.id);
    let withdrawal = |purpose: &Purpose, actor: &str| NewConsent {
        contact: a.id,
        purpose: purpose.clone(),
        act: ConsentAct::Withdrawn,
        source: ConsentSource::Operator,
        wording: None,
        at: now,
        expires_at: None,
        evidence: Some(evidence.clone()),
        actor: actor.to_owned(),
    };
    let was_withdrawn =
        |purpose: &&Purpose| [a, b].iter().any(|contact| contact.consent_for(purpose).state == ConsentState::Withdrawn);
    let consents = &merged.profile().consents;
    let stricter = consents.purposes().filter(was_withdrawn);
    let stricter = stricter.filter(|purpose| consents.decide(purpose).state != ConsentState::Withdrawn);
    let mut entries: Vec<_> = stricter.map(|purpose| withdrawal(purpose, actor::OPERATOR)).collect();
    let stopped = a.marketing_stopped_since.is_some() || b.marketing_stopped_since.is_some();
    if stopped && consents.platform_stop().is_none() {
        entries.push(withdrawal(&Purpose::Marketing, actor::PLATFORM));
    }
    entries
}
