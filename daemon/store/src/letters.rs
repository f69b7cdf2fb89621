//! Letters: webhooks, and parts of them, that are authentic and could not be understood. Dead letters like others, but for
//! what they hold: bytes of the platform's that a later version may make sense of.
//!
//! They are kept as they came and once each, however often the platform repeats them. There is room for some (a platform
//! that has begun to write nonsense writes a lot of it); then the oldest go.

use crate::StoreError;
use crate::dead::DeadRef;
use crate::read::{Reader, limit};
use crate::shared::Counters;
use crate::shown::{DeadShown, LetterShown, WebhookShown};
use crate::step::NewLetter;
use crate::writer::Tx;
use beadle_model::{PluginNo, Timestamp, WebhookId};
use rusqlite::{Connection, OptionalExtension, Row, params};
use sha2::{Digest, Sha256};

/// Letters that are kept: more than a person reads.
const MOST: i64 = 1000;

/// Bytes of all of them: twenty of the largest webhooks there are (3 MB, whatsapp.md 1.3), or all of a thousand usual ones.
const MOST_BYTES: i64 = 64 << 20;

/// The columns of [`dead_of`]; 200 bytes tell what it is.
const DEAD: &str = "id, times, code, error, received_at, retried_at, app, bytes, substr(body, 1, 200)";

/// A letter as other dead letters are shown.
fn dead_of(row: &Row<'_>) -> rusqlite::Result<DeadShown> {
    Ok(DeadShown {
        of: DeadRef::Webhook(WebhookId(row.get(0)?)),
        event: None,
        plugin: PluginNo::HOST,
        attempts: row.get(1)?,
        code: row.get(2)?,
        error: row.get(3)?,
        at: Timestamp(row.get(4)?),
        retried_at: row.get::<_, Option<i64>>(5)?.map(Timestamp),
        ending: None,
        webhook: Some(WebhookShown {
            app: row.get(6)?,
            bytes: row.get::<_, u32>(7)?.into(),
            beginning: String::from_utf8_lossy(row.get_ref(8)?.as_blob().unwrap_or_default()).into_owned(),
        }),
    })
}

/// The latest.
pub(crate) fn list(conn: &Connection, most: usize) -> Result<Vec<DeadShown>, StoreError> {
    let sql = format!("SELECT {DEAD} FROM letters ORDER BY received_at DESC, id DESC LIMIT ?1");
    let mut read = conn.prepare_cached(&sql)?;
    let letters = read.query_map([limit(most)], dead_of)?;
    Ok(letters.collect::<Result<_, _>>()?)
}

/// One of them.
pub(crate) fn shown(conn: &Connection, id: WebhookId) -> Result<Option<DeadShown>, StoreError> {
    let mut read = conn.prepare_cached(&format!("SELECT {DEAD} FROM letters WHERE id = ?1"))?;
    Ok(read.query_row([id.0], dead_of).optional()?)
}

impl Tx<'_> {
    /// Keeps a letter; its id, where it had not come before.
    pub(crate) fn keep_letter(&self, letter: &NewLetter, now: Timestamp) -> Result<Option<WebhookId>, StoreError> {
        let mut hash = Sha256::new();
        hash.update((letter.app.len() as u64).to_le_bytes());
        hash.update(&letter.app);
        hash.update(&letter.body);
        let hash = hash.finalize();
        let again = self
            .conn
            .prepare_cached("UPDATE letters SET times = times + 1 WHERE hash = ?1")?
            .execute([hash.as_slice()])?;
        if again > 0 {
            return Ok(None);
        }
        let bytes = i64::try_from(letter.body.len()).unwrap_or(i64::MAX);
        let id = self
            .conn
            .prepare_cached(
                "INSERT INTO letters (app, code, error, hash, received_at, bytes, body)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .insert(params![letter.app, letter.code, letter.error, hash.as_slice(), now.0, bytes, letter.body])?;
        self.make_room()?;
        Ok(Some(WebhookId(id)))
    }

    /// The oldest letters go, where there are too many or they are too large together.
    fn make_room(&self) -> Result<(), StoreError> {
        let all = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
        let mut read = self.conn.prepare_cached("SELECT count(*), coalesce(sum(bytes), 0) FROM letters")?;
        let (mut count, mut bytes) = read.query_row([], all)?;
        let mut forget = self.conn.prepare_cached(
            "DELETE FROM letters WHERE id = (SELECT id FROM letters ORDER BY id LIMIT 1) RETURNING bytes",
        )?;
        let mut gone = 0;
        while count > MOST || bytes > MOST_BYTES {
            let Some(freed) = forget.query_row([], |row| row.get::<_, i64>(0)).optional()? else { break };
            (count, bytes, gone) = (count - 1, bytes - freed, gone + 1);
        }
        Counters::add(&self.shared.counters.letters_dropped, gone);
        Ok(())
    }

    /// A letter is to be read again: it, whole.
    pub(crate) fn retry_letter(&self, id: WebhookId, now: Timestamp) -> Result<Option<LetterShown>, StoreError> {
        self.conn.prepare_cached("UPDATE letters SET retried_at = ?2 WHERE id = ?1")?.execute([id.0, now.0])?;
        load(self.conn, id)
    }

    /// It is not to be read again, or was understood; whether it was there.
    pub(crate) fn forget_webhook(&self, id: WebhookId) -> Result<bool, StoreError> {
        Ok(self.conn.prepare_cached("DELETE FROM letters WHERE id = ?1")?.execute([id.0])? > 0)
    }

    /// Those that nobody has looked at since `cutoff` go, so many at most; how many.
    pub(crate) fn drop_old_webhooks(&self, cutoff: i64, most: i64) -> Result<usize, StoreError> {
        let sql = "DELETE FROM letters WHERE id IN
                 (SELECT id FROM letters WHERE max(received_at, coalesce(retried_at, 0)) < ?1 LIMIT ?2)";
        Ok(self.conn.prepare_cached(sql)?.execute([cutoff, most])?)
    }
}

fn load(conn: &Connection, id: WebhookId) -> Result<Option<LetterShown>, StoreError> {
    let mut read = conn.prepare_cached("SELECT app, received_at, body FROM letters WHERE id = ?1")?;
    let letter = read.query_row([id.0], |row| {
        Ok(LetterShown { id, app: row.get(0)?, received_at: Timestamp(row.get(1)?), body: row.get(2)? })
    });
    Ok(letter.optional()?)
}

impl Reader {
    /// A webhook that could not be understood, whole.
    pub fn letter(&self, id: WebhookId) -> Result<Option<LetterShown>, StoreError> {
        self.one(|conn| load(conn, id))
    }
}
