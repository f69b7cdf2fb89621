//! Repeats erasures that are missing in the database, because it was restored from an older backup:
//! at the start, before anything is sent or received.

use super::file::{ErasureFile, FiledErasure};
use super::identities::{IdentityHash, Refused, identity_hash, identity_hashes};
use super::{AskedBy, Beginning, ErasurePhase, load_erasure};
use crate::codec::alias_of;
use crate::error::StoreError;
use crate::handle::Store;
use crate::tx::Tx;
use beadle_model::text::from_hex;
use beadle_model::{ContactId, Timestamp};
use rusqlite::params;
use std::collections::{BTreeMap, BTreeSet};

/// Repeats the erasures in the file that are missing in the database.
pub(crate) fn repeat_erasures(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    let file = ErasureFile::in_dir(&tx.shared.dir);
    let mut unknown: BTreeMap<String, FiledErasure> = BTreeMap::new();
    for filed in file.read()? {
        if !tx.conn.prepare_cached("SELECT 1 FROM erasures WHERE uid = ?1")?.exists([&filed.uid])? {
            unknown.insert(filed.uid.clone(), filed);
        }
    }
    if unknown.is_empty() {
        return Ok(());
    }
    let holders = tx.contacts_by_identity(&unknown)?;
    for filed in unknown.values() {
        let hashes: BTreeSet<IdentityHash> = filed.identities.iter().filter_map(|text| from_hex(text)).collect();
        tx.keep_identities(&hashes, filed.refused, filed.at)?;
        let mut contacts: BTreeSet<ContactId> = BTreeSet::new();
        contacts.extend(filed.identities.iter().filter_map(|text| holders.get(text)).flatten());
        tracing::warn!(people = contacts.len(), erased_at = %filed.at, "repeating erasures after a restore");
        tx.repeat(filed, &contacts)?;
    }
    Ok(())
}

impl Tx<'_> {
    /// The contacts that have a number or id with one of these hashes. Several contacts may have
    /// the same hash, because the spellings of a number share one.
    fn contacts_by_identity(
        &self,
        unknown: &BTreeMap<String, FiledErasure>,
    ) -> Result<BTreeMap<String, BTreeSet<ContactId>>, StoreError> {
        let wanted: BTreeSet<&String> = unknown.values().flat_map(|filed| &filed.identities).collect();
        let mut found: BTreeMap<String, BTreeSet<ContactId>> = BTreeMap::new();
        let mut read = self.conn.prepare("SELECT kind, value, contact FROM aliases")?;
        let mut rows = read.query([])?;
        while let Some(row) = rows.next()? {
            let Ok(alias) = alias_of(row.get(0)?, row.get(1)?) else { continue };
            let hash = beadle_model::text::hex(identity_hash(&self.shared.host_key, &alias));
            if wanted.contains(&hash) {
                found.entry(hash).or_default().insert(ContactId(row.get(2)?));
            }
        }
        Ok(found)
    }

    /// Begins the erasures again. An erasure without a contact is stored as complete, so that it is
    /// not searched for again.
    fn repeat(&mut self, filed: &FiledErasure, contacts: &BTreeSet<ContactId>) -> Result<(), StoreError> {
        let now = self.shared.clock.now();
        let mut uid = filed.uid.clone();
        for contact in contacts {
            let beginning = Beginning { asked_by: AskedBy::Restore, uid: &uid, phase: ErasurePhase::Plugins, now };
            self.begin_erasure_as(*contact, &beginning)?;
            // Each further contact with one of the numbers gets an erasure of its own.
            uid = beadle_model::text::hex(crate::random::random::<16>()?);
        }
        if contacts.is_empty() {
            self.conn
                .prepare_cached(
                    "INSERT INTO erasures (uid, contact, asked_by, begun_at, phase, report, completed_at)
                     VALUES (?1, 0, ?2, ?3, ?4, '{}', ?5)",
                )?
                .execute(params![filed.uid, AskedBy::Restore as i64, filed.at.0, ErasurePhase::Done as i64, now.0])?;
        }
        Ok(())
    }

    /// The line for the file, if the erasure is not in it yet.
    fn unfiled(&self, id: i64) -> Result<Option<FiledErasure>, StoreError> {
        let Some(open) = load_erasure(self.conn, id)? else { return Ok(None) };
        if open.erasure.phase != ErasurePhase::Begun {
            return Ok(None);
        }
        let hashes = identity_hashes(&self.shared.host_key, &open.subject.aliases);
        let refused = self.refused_before(&open.subject.aliases)?.map_or(Refused::default(), |(refused, _)| refused);
        let hashes: Vec<IdentityHash> = hashes.into_iter().collect();
        Ok(Some(FiledErasure::new(&open.uid, open.erasure.begun_at, refused, &hashes)))
    }
}

impl Store {
    /// Adds an erasure to the file next to the database, and begins the phase `plugins`.
    ///
    /// # Errors
    /// Those of the store and of the file system.
    pub async fn file_erasure(&self, erasure: i64, now: Timestamp) -> Result<(), StoreError> {
        let filed = self.ask(move |tx| tx.unfiled(erasure)).await?;
        if let Some(filed) = filed {
            let file = ErasureFile::in_dir(&self.shared().dir);
            let added = tokio::task::spawn_blocking(move || file.add(&filed));
            added.await.unwrap_or(Err(StoreError::Closed))?;
        }
        self.ask(move |tx| tx.advance_erasure(erasure, ErasurePhase::Plugins, now)).await
    }
}
