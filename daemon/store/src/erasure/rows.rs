//! The second phase: rows and files of an erased person, slice by slice.
//!
//! Events, messages and rejected webhooks have no index by person, which keeps their inserts cheap.
//! So they are read once from the first to the last row, on a reader's connection; the writer
//! changes only the rows that were found. A row that belongs to the person is emptied or deleted.
//! In other rows, mentions of the person's numbers and ids are replaced.
//!
//! The row of an event stays until its retention time, with its key only. The key is a hash by
//! which a repeated webhook is recognised, which would otherwise store the event again.

use super::{ErasurePhase, ErasureReport, OpenErasure, Subject, load_erasure};
use crate::codec::to_json;
use crate::consent_head::digest;
use crate::error::StoreError;
use crate::handle::Store;
use crate::merged::load_merged;
use crate::read::Reader;
use crate::tx::Tx;
use beadle_model::{Alias, EventBody, EventKind, MediaId, Outgoing, Timestamp};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, params};
use serde_json::Value;
use std::collections::BTreeSet;

/// The maximum number of rows in a search: some milliseconds of a reader, with bodies of a
/// kilobyte.
const SEARCHED: i64 = 5000;

/// The maximum number of rows that a transaction changes.
const CHANGED: usize = 200;

/// Shorter numbers and ids are not searched for, because they occur in other texts by chance.
const MIN_NEEDLE_BYTES: usize = 7;

/// What replaces a mention.
const ERASED: &str = "erased";

/// A table that is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Table {
    Events,
    Outbox,
    Rejected,
}

impl Table {
    const ALL: [Table; 3] = [Table::Events, Table::Outbox, Table::Rejected];

    /// The query: id, contact, conversation, body, and a second text that may mention people.
    fn select(self) -> &'static str {
        match self {
            Table::Events => {
                "SELECT events.id, contact, conversation, body, NULL FROM events JOIN event_bodies USING (id)
                 WHERE events.id > ?1 ORDER BY events.id LIMIT ?2"
            }
            Table::Outbox => {
                "SELECT outbox.id, NULL, conversation, body, gate FROM outbox LEFT JOIN outbox_bodies USING (id)
                 WHERE outbox.id > ?1 ORDER BY outbox.id LIMIT ?2"
            }
            Table::Rejected => {
                "SELECT id, NULL, NULL, body, error FROM rejected_webhooks WHERE id > ?1 ORDER BY id LIMIT ?2"
            }
        }
    }
}

/// A row that was found.
#[derive(Debug)]
enum FoundRow {
    /// It belongs to the person. With the files that it names.
    Own(i64, BTreeSet<i64>),
    /// It mentions the person. With its body without the mention; `None` if it cannot be kept.
    Mention(i64, Option<String>),
}

/// The result of a search.
struct Search {
    found: Vec<FoundRow>,
    /// The last row that was searched, and whether the table has no more rows.
    cursor: i64,
    is_end: bool,
}

/// The texts that mention a person: numbers and ids, also in base64, as in the platform's ids of
/// messages.
fn needles(aliases: &[Alias]) -> Vec<String> {
    let mut needles: BTreeSet<String> = BTreeSet::new();
    for alias in aliases.iter().filter(|alias| alias.value.len() >= MIN_NEEDLE_BYTES) {
        for shift in 0..3 {
            needles.insert(in_base64(alias.value.as_bytes(), shift));
        }
        needles.insert(alias.value.clone());
    }
    needles.into_iter().collect()
}

/// The characters of base64 that depend on these bytes alone, if they begin `shift` bytes after a
/// group of three.
fn in_base64(bytes: &[u8], shift: usize) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = |at: usize| -> Option<u8> {
        let (byte, bit) = (at / 8, at % 8);
        let all = (u16::from(*bytes.get(byte)?) << 8) | u16::from(*bytes.get(byte + 1).unwrap_or(&0));
        let is_whole = bit <= 2 || bytes.get(byte + 1).is_some();
        is_whole.then_some(u8::try_from((all >> (10 - bit)) & 63).unwrap_or_default())
    };
    // The first bit of a group of six bits that lies within the bytes.
    let first = (6 - (shift * 8) % 6) % 6;
    let sextets = (0..).map_while(|n| bits(first + n * 6));
    sextets.filter_map(|value| ALPHABET.get(usize::from(value)).map(|letter| char::from(*letter))).collect()
}

/// The ids of files in a body.
fn files_in(body: &str) -> BTreeSet<i64> {
    let parts = body.split("\"med_").skip(1);
    parts.filter_map(|part| part.split('"').next().and_then(|number| number.parse().ok())).collect()
}

/// The text with every needle replaced; `None` if it contains none.
fn without(needles: &[String], text: &str) -> Option<String> {
    let mut clean: Option<String> = None;
    for needle in needles {
        if clean.as_deref().unwrap_or(text).contains(needle.as_str()) {
            clean = Some(clean.as_deref().unwrap_or(text).replace(needle.as_str(), ERASED));
        }
    }
    clean
}

fn text_of(value: ValueRef<'_>) -> std::borrow::Cow<'_, str> {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes),
        _ => std::borrow::Cow::Borrowed(""),
    }
}

fn search(conn: &Connection, table: Table, subject: &Subject, cursor: i64) -> Result<Search, StoreError> {
    let needles = needles(&subject.aliases);
    let mut read = conn.prepare_cached(table.select())?;
    let mut rows = read.query([cursor, SEARCHED])?;
    let mut search = Search { found: Vec::new(), cursor, is_end: false };
    let mut searched = 0;
    while let Some(row) = rows.next()? {
        searched += 1;
        let id: i64 = row.get(0)?;
        search.cursor = id;
        let (contact, conversation): (Option<i64>, Option<i64>) = (row.get(1)?, row.get(2)?);
        let is_own = contact.is_some_and(|id| subject.contacts.contains(&id))
            || conversation.is_some_and(|id| subject.conversations.contains(&id));
        let body = text_of(row.get_ref(3)?);
        if is_own {
            search.found.push(FoundRow::Own(id, files_in(&body)));
        } else {
            let other = text_of(row.get_ref(4)?);
            let is_mentioned =
                needles.iter().any(|needle| body.contains(needle.as_str()) || other.contains(needle.as_str()));
            if is_mentioned {
                search.found.push(FoundRow::Mention(id, clean_body(table, &needles, &body)));
            }
        }
        if search.found.len() >= CHANGED {
            return Ok(search);
        }
    }
    search.is_end = searched < SEARCHED;
    Ok(search)
}

/// A body without mentions, if it can still be read.
fn clean_body(table: Table, needles: &[String], body: &str) -> Option<String> {
    let clean = without(needles, body).unwrap_or_else(|| body.to_owned());
    let is_readable = match table {
        Table::Events => serde_json::from_str::<EventBody>(&clean).is_ok(),
        Table::Outbox => serde_json::from_str::<Outgoing>(&clean).is_ok(),
        // The signature is valid for its original bytes only.
        Table::Rejected => false,
    };
    is_readable.then_some(clean)
}

impl Tx<'_> {
    /// Erases what a search found, and stores the progress.
    fn erase_found(&mut self, id: i64, table: Table, search: &Search) -> Result<(), StoreError> {
        let Some(mut open) = load_erasure(self.conn, id)? else { return Ok(()) };
        for found in &search.found {
            match (table, found) {
                (Table::Events, FoundRow::Own(event, files)) => {
                    self.empty_event(*event)?;
                    open.subject.files.extend(files);
                    open.erasure.report.add("events", 1);
                }
                (Table::Outbox, FoundRow::Own(message, files)) => {
                    self.delete_message(*message)?;
                    open.subject.files.extend(files);
                    open.erasure.report.add("messages", 1);
                }
                (Table::Rejected, FoundRow::Own(webhook, _) | FoundRow::Mention(webhook, _)) => {
                    self.conn.prepare_cached("DELETE FROM rejected_webhooks WHERE id = ?1")?.execute([webhook])?;
                    open.erasure.report.add("rejected_webhooks", 1);
                }
                (Table::Events, FoundRow::Mention(event, body)) => {
                    match body {
                        Some(body) => {
                            self.write_body("UPDATE event_bodies SET body = ?2 WHERE id = ?1", *event, body)?
                        }
                        None => self.empty_event(*event)?,
                    }
                    open.erasure.report.add("mentions", 1);
                }
                (Table::Outbox, FoundRow::Mention(message, body)) => {
                    let sql = "UPDATE outbox_bodies SET body = ?2, gate = NULL WHERE id = ?1";
                    self.write_body(sql, *message, body.as_deref().unwrap_or("{}"))?;
                    open.erasure.report.add("mentions", 1);
                }
            }
        }
        if !search.is_end {
            return self.save_progress(&open, open.table_no, search.cursor);
        }
        open.subject.searched.insert(open.table_no, search.cursor);
        let next = open.table_no + 1;
        let cursor = open.subject.searched.get(&next).copied().unwrap_or(0);
        self.save_progress(&open, next, cursor)
    }

    /// Continues the search if rows of the person were added after it, for example a receipt.
    /// Returns whether there are such rows.
    ///
    /// A mention in a new row is not searched for: it may be a new member with the same number.
    fn search_added_rows(&self, open: &OpenErasure) -> Result<bool, StoreError> {
        for (table_no, table) in (0..).zip(Table::ALL) {
            let cursor = open.subject.searched.get(&table_no).copied().unwrap_or(0);
            let added = search(self.conn, table, &open.subject, cursor)?;
            if !added.is_end || added.found.iter().any(|row| matches!(row, FoundRow::Own(..))) {
                self.save_progress(open, table_no, cursor)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn save_progress(&self, open: &OpenErasure, table_no: i64, cursor: i64) -> Result<(), StoreError> {
        self.conn
            .prepare_cached("UPDATE erasures SET table_no = ?2, cursor = ?3, subject = ?4, report = ?5 WHERE id = ?1")?
            .execute(params![
                open.erasure.id,
                table_no,
                cursor,
                to_json("an erasure", &open.subject)?,
                to_json("an erasure", &open.erasure.report)?
            ])?;
        Ok(())
    }

    fn write_body(&self, sql: &str, id: i64, body: &str) -> Result<(), StoreError> {
        self.conn.prepare_cached(sql)?.execute(params![id, body])?;
        Ok(())
    }

    /// Empties an event except for its key.
    fn empty_event(&mut self, event: i64) -> Result<(), StoreError> {
        let body = to_json("an event", &EventBody::Unrouted { kind: ERASED.into(), json: Value::Null })?;
        self.write_body("UPDATE event_bodies SET body = ?2 WHERE id = ?1", event, &body)?;
        self.conn
            .prepare_cached(
                "UPDATE events SET contact = NULL, conversation = NULL, kind = ?2, state = 2 WHERE id = ?1",
            )?
            .execute([event, EventKind::Unrouted as i64])?;
        self.conn.prepare_cached("DELETE FROM handlings WHERE event = ?1")?.execute([event])?;
        self.conn.prepare_cached("DELETE FROM refused_asks WHERE event = ?1")?.execute([event])?;
        self.conn.prepare_cached("DELETE FROM dead_letters WHERE event = ?1 AND message IS NULL")?.execute([event])?;
        self.cache.watched.retain(|(watched, _)| *watched != event);
        Ok(())
    }

    fn delete_message(&mut self, message: i64) -> Result<(), StoreError> {
        for sql in [
            "DELETE FROM outbox WHERE id = ?1",
            "DELETE FROM outbox_bodies WHERE id = ?1",
            "DELETE FROM outreach WHERE message = ?1",
            "DELETE FROM pending_charges WHERE message = ?1",
            "DELETE FROM group_receipts WHERE message = ?1",
            "DELETE FROM dead_letters WHERE message = ?1",
        ] {
            self.conn.prepare_cached(sql)?.execute([message])?;
        }
        self.cache.sending.remove(&message);
        Ok(())
    }

    /// Erases everything that is found by the person's ids, and begins the phase `cleaning`.
    /// Returns false, and changes nothing, if rows were added that must be searched first.
    fn erase_rest(&mut self, id: i64, shared: &SharedFiles) -> Result<bool, StoreError> {
        let Some(mut open) = load_erasure(self.conn, id)? else { return Ok(true) };
        if open.erasure.phase != ErasurePhase::Rows {
            return Ok(true);
        }
        if self.search_added_rows(&open)? {
            return Ok(false);
        }
        let subject = std::mem::take(&mut open.subject);
        let report = &mut open.erasure.report;
        report.add("timers", self.delete_timers_of(&subject)?);
        report.add("values", self.delete_state_of(&subject)?);
        report.add("files", self.delete_files_of(&subject, shared)?);
        report.add("consents", self.redact_consents(&subject)?);
        self.delete_by_contact(&subject, report)?;
        self.empty_contact(&subject)?;
        self.conn
            .prepare_cached("UPDATE erasures SET phase = ?2, subject = NULL, report = ?3 WHERE id = ?1")?
            .execute(params![id, ErasurePhase::Cleaning as i64, to_json("an erasure", report)?])?;
        self.cache.people.clear();
        self.cache.people.merged = load_merged(self.conn)?;
        self.cache.is_restricting = true;
        self.cache.is_privacy_changed = true;
        Ok(true)
    }

    fn delete_state_of(&mut self, subject: &Subject) -> Result<usize, StoreError> {
        let mut deleted = 0;
        // A copy in progress would bring the values back.
        self.abandon_drafts()?;
        // All states: a rollback may return to an earlier one.
        let states: Vec<i64> = self
            .conn
            .prepare_cached("SELECT no FROM states")?
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for (state, scope) in states.into_iter().flat_map(|state| subject.scopes().map(move |scope| (state, scope))) {
            let (kind, id) = scope.as_columns();
            let sizes: Vec<i64> = self
                .conn
                .prepare_cached(
                    "DELETE FROM state_values WHERE state_no = ?1 AND scope = ?2 AND scope_id = ?3 RETURNING
                         octet_length(key) + CASE typeof(value) WHEN 'integer' THEN 8 ELSE octet_length(value) END",
                )?
                .query_map([state, kind, id], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            if !sizes.is_empty() {
                self.conn
                    .prepare_cached("UPDATE states SET bytes = max(0, bytes - ?2) WHERE no = ?1")?
                    .execute([state, sizes.iter().sum()])?;
            }
            deleted += sizes.len();
        }
        Ok(deleted)
    }

    /// Deletes files that arrived in the person's conversations or with their messages in groups,
    /// and files that were sent to this person only. The bytes are deleted first, so that none
    /// remain without a row.
    fn delete_files_of(&mut self, subject: &Subject, shared: &SharedFiles) -> Result<usize, StoreError> {
        let mut files: BTreeSet<i64> = BTreeSet::new();
        for conversation in &subject.conversations {
            let mut read = self.conn.prepare_cached("SELECT id FROM media WHERE conversation = ?1")?;
            let found = read.query_map([conversation], |row| row.get::<_, i64>(0))?;
            files.extend(found.collect::<Result<Vec<_>, _>>()?);
        }
        for file in &subject.files {
            let plugin: Option<Option<i64>> = self
                .conn
                .prepare_cached("SELECT plugin FROM media WHERE id = ?1")?
                .query_map([file], |row| row.get(0))?
                .next()
                .transpose()?;
            let is_shared = match plugin {
                Some(Some(plugin)) if plugin != beadle_model::PluginNo::HOST.0 => {
                    shared.files.contains(file) || is_sent_after(self.conn, *file, shared.last_message)?
                }
                Some(_) => false,
                None => true,
            };
            if !is_shared {
                files.insert(*file);
            }
        }
        for file in &files {
            self.shared.files.remove(MediaId(*file));
            self.conn.prepare_cached("DELETE FROM media WHERE id = ?1")?.execute([file])?;
            self.conn.prepare_cached("DELETE FROM uploads WHERE media = ?1")?.execute([file])?;
        }
        Ok(files.len())
    }

    /// Replaces the entries in the ledger by their digests, so that the chain still verifies (ADR
    /// 0090).
    fn redact_consents(&mut self, subject: &Subject) -> Result<usize, StoreError> {
        let mut redacted = 0;
        for contact in &subject.contacts {
            let rows: Vec<(i64, String, Vec<u8>)> = self
                .conn
                .prepare_cached("SELECT id, body, salt FROM consents WHERE contact = ?1 AND body IS NOT NULL")?
                .query_map([contact], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect::<Result<_, _>>()?;
            for (row, body, salt) in &rows {
                self.conn
                    .prepare_cached(
                        "UPDATE consents SET body = NULL, salt = NULL, contact = NULL, digest = ?2 WHERE id = ?1",
                    )?
                    .execute(params![row, &digest(salt, body)[..]])?;
            }
            redacted += rows.len();
        }
        Ok(redacted)
    }

    fn delete_by_contact(&self, subject: &Subject, report: &mut ErasureReport) -> Result<(), StoreError> {
        for contact in &subject.contacts {
            for (name, sql) in [
                ("group_memberships", "DELETE FROM group_members WHERE contact = ?1"),
                ("join_requests", "DELETE FROM join_requests WHERE contact = ?1"),
                ("group_receipts", "DELETE FROM group_receipts WHERE participant = ?1"),
                ("outreach", "DELETE FROM outreach WHERE contact = ?1"),
                ("refusals", "DELETE FROM marketing_refusals WHERE contact = ?1"),
                ("refused_messages", "DELETE FROM refused_asks WHERE contact = ?1"),
                ("refusals", "DELETE FROM unreachable WHERE contact = ?1"),
                ("requests", "DELETE FROM contact_requests WHERE contact = ?1"),
                ("opt_ins", "DELETE FROM opt_in_contacts WHERE contact = ?1"),
                (
                    "broadcasts",
                    "DELETE FROM broadcast_recipients WHERE broadcast IN (SELECT id FROM broadcasts) AND contact = ?1",
                ),
                ("aliases", "DELETE FROM aliases WHERE contact = ?1"),
                ("conflicts", "DELETE FROM alias_conflicts WHERE ?1 IN (holder, claimant)"),
                ("conflicts", "DELETE FROM distinct_contacts WHERE ?1 IN (lower, higher)"),
            ] {
                report.add(name, self.conn.prepare_cached(sql)?.execute([contact])?);
            }
            report.add("lists", self.leave_lists(beadle_model::ContactId(*contact))?);
            report.add("samples", self.delete_samples_of(beadle_model::ContactId(*contact))?);
            self.conn
                .prepare_cached("UPDATE conversations SET last_contact = NULL WHERE platform_group IS NOT NULL AND last_contact = ?1")?
                .execute([contact])?;
        }
        report.add("identities", subject.aliases.len());
        for conversation in &subject.conversations {
            self.conn.prepare_cached("DELETE FROM windows WHERE conversation = ?1")?.execute([conversation])?;
        }
        Ok(())
    }

    /// Empties the rows of contacts and conversations. The rows stay, so that no id is used again.
    fn empty_contact(&self, subject: &Subject) -> Result<(), StoreError> {
        for conversation in &subject.conversations {
            self.conn
                .prepare_cached(
                    "UPDATE conversations SET contact = NULL, last_contact = NULL, address_kind = NULL, address = NULL,
                         last_inbound_at = 0, window_until = 0, free_entry_until = NULL, merged_into = 0 WHERE id = ?1",
                )?
                .execute([conversation])?;
        }
        for contact in &subject.contacts {
            self.conn
                .prepare_cached(
                    "UPDATE contacts SET name = NULL, language = NULL, created_at = 0, membership = 0, member_since = NULL,
                         opted_out_since = NULL, timezone = NULL, marketing_stopped_since = NULL, profile = NULL,
                         merged_into = 0 WHERE id = ?1",
                )?
                .execute([contact])?;
        }
        Ok(())
    }
}

impl Store {
    /// Erases the next slice of a person's rows. Returns whether all are erased.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn erase_slice(&self, erasure: i64) -> Result<bool, StoreError> {
        let found = self.read(move |reader: &Reader| reader.search(erasure)).await?;
        match found {
            Some((table, search)) => {
                self.ask(move |tx| tx.erase_found(erasure, table, &search)).await?;
                Ok(false)
            }
            None => {
                let shared = self.read(move |reader: &Reader| reader.shared_files(erasure)).await?;
                self.ask(move |tx| tx.erase_rest(erasure, &shared)).await
            }
        }
    }

    /// Overwrites the freed bytes in the database and in its write-ahead log, and completes the
    /// erasure. Returns false if a reader of another process prevents the log from being emptied;
    /// call it again.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn clean_erased(&self, erasure: i64, now: Timestamp) -> Result<bool, StoreError> {
        let shared = std::sync::Arc::clone(self.shared());
        let emptied = tokio::task::spawn_blocking(move || crate::checkpoint::empty_log(&shared));
        if !emptied.await.unwrap_or(Err(StoreError::Closed))? {
            return Ok(false);
        }
        self.ask(move |tx| tx.advance_erasure(erasure, ErasurePhase::Done, now)).await?;
        Ok(true)
    }
}

/// Files of plugins that were sent to other people as well. A reader searches all messages for
/// them, which takes too long for the writer; the writer searches only messages after
/// `last_message`.
#[derive(Default)]
struct SharedFiles {
    files: BTreeSet<i64>,
    last_message: i64,
}

/// Whether a message after this one has the file.
fn is_sent_after(conn: &Connection, file: i64, message: i64) -> Result<bool, StoreError> {
    Ok(conn
        .prepare_cached("SELECT 1 FROM outbox_bodies WHERE id > ?2 AND instr(body, ?1) > 0 LIMIT 1")?
        .exists(params![format!("\"{}\"", MediaId(file)), message])?)
}

impl Reader {
    /// The person's files that remain in messages to others, once their own messages are erased.
    fn shared_files(&self, erasure: i64) -> Result<SharedFiles, StoreError> {
        self.all(|conn| {
            let Some(open) = load_erasure(conn, erasure)? else { return Ok(SharedFiles::default()) };
            let mut shared = SharedFiles {
                files: BTreeSet::new(),
                last_message: conn.query_row("SELECT coalesce(max(id), 0) FROM outbox_bodies", [], |row| row.get(0))?,
            };
            // Files that arrived are deleted with their conversation.
            let mut is_created = conn.prepare_cached("SELECT 1 FROM media WHERE id = ?1 AND plugin <> 0")?;
            for file in &open.subject.files {
                if is_created.exists([file])? && is_sent_after(conn, *file, 0)? {
                    shared.files.insert(*file);
                }
            }
            Ok(shared)
        })
    }

    /// The next rows of an erased person; `None` if every table was searched.
    fn search(&self, erasure: i64) -> Result<Option<(Table, Search)>, StoreError> {
        self.all(|conn| {
            let Some(open) = load_erasure(conn, erasure)? else { return Ok(None) };
            let table = usize::try_from(open.table_no).ok().and_then(|no| Table::ALL.get(no).copied());
            let Some(table) = table.filter(|_| open.erasure.phase == ErasurePhase::Rows) else { return Ok(None) };
            Ok(Some((table, search(conn, table, &open.subject, open.cursor)?)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use beadle_model::AliasKind;

    #[test]
    fn numbers_are_found_in_base64_at_any_place() {
        let number = "31612345678";
        let alias = Alias { kind: AliasKind::Phone, value: number.into() };
        let needles = needles(&[alias]);
        assert_eq!(needles.len(), 4);
        for before in ["", "a", "bc", "def", "\x1d\x18\x0b"] {
            for after in ["", "x", "yz", "\x15\x02\0"] {
                let hidden = encode(format!("{before}{number}{after}").as_bytes());
                let text = format!("{{\"id\":\"wamid.{hidden}\"}}");
                let clean = without(&needles, &text).unwrap_or_else(|| panic!("{before:?} {after:?}: {text}"));
                assert!(clean.contains("erased"), "{clean}");
            }
        }
        assert_eq!(without(&needles, "{\"id\":\"wamid.HBgL\"}"), None);
    }

    /// Base64 without padding.
    fn encode(bytes: &[u8]) -> String {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for group in bytes.chunks(3) {
            let number = group.iter().fold(0_u32, |all, byte| (all << 8) | u32::from(*byte)) << (8 * (3 - group.len()));
            for place in 0..=group.len() {
                text.push(char::from(ALPHABET[((number >> (18 - 6 * place)) & 63) as usize]));
            }
        }
        text
    }

    #[test]
    fn files_are_found_in_bodies() {
        let body = r#"{"media":"med_12","other":["med_7"],"text":"med_9","x":"\"med_3"}"#;
        assert_eq!(files_in(body), BTreeSet::from([3, 7, 9, 12]));
    }
}
