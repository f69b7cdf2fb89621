//! Rows of files: their state, their author, and where they were uploaded.

use crate::error::StoreError;
use crate::handle::Store;
use crate::quota::media_bytes;
use crate::read::{Reader, readable};
use crate::tx::Tx;
use beadle_model::effect::NewMedia;
use beadle_model::{MediaId, PersonIds, PluginNo, Timestamp};
use rusqlite::{OptionalExtension, Row, params};
use serde::Serialize;

/// The state of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MediaState {
    /// To be downloaded.
    Pending,
    /// Complete on disk.
    Stored,
    /// Not available.
    Failed,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MediaRow {
    /// Its id.
    pub id: MediaId,
    /// The channel that it was received on; `None` if a plugin created it.
    pub channel: Option<String>,
    /// The platform's id of a received file.
    pub platform: Option<String>,
    /// The plugin that created it.
    pub plugin: Option<PluginNo>,
    /// The MIME type as reported.
    pub mime_type: String,
    /// The file name as reported.
    pub filename: Option<String>,
    /// SHA-256 of the bytes as reported.
    pub sha256: Option<String>,
    /// The number of bytes, once stored.
    pub bytes: Option<i64>,
    /// Its state.
    pub state: MediaState,
    /// The number of attempts to download it.
    pub attempts: u32,
    /// Why it is not available.
    pub error: Option<String>,
    /// When its row was created.
    pub created_at: Timestamp,
}

/// The outcome of a download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchOutcome {
    /// Stored, with its number of bytes.
    Stored(i64),
    /// To be retried at this time, with the reason.
    Later(Timestamp, String),
    /// Failed for good, with the reason.
    Failed(String),
}

/// No pause between attempts is longer. A later time was set by a clock that was ahead, and is due.
const MAX_PAUSE_MS: i64 = 24 * 60 * 60 * 1000;

const COLUMNS: &str =
    "id, channel, platform_id, plugin, mime_type, filename, sha256, bytes, state, attempts, error, created_at";

fn media_of(row: &Row<'_>) -> rusqlite::Result<MediaRow> {
    Ok(MediaRow {
        id: MediaId(row.get(0)?),
        channel: row.get(1)?,
        platform: row.get(2)?,
        plugin: row.get::<_, Option<i64>>(3)?.map(PluginNo),
        mime_type: row.get(4)?,
        filename: row.get(5)?,
        sha256: row.get(6)?,
        bytes: row.get(7)?,
        state: match row.get::<_, i64>(8)? {
            0 => MediaState::Pending,
            1 => MediaState::Stored,
            _ => MediaState::Failed,
        },
        attempts: row.get(9)?,
        error: row.get(10)?,
        created_at: Timestamp(row.get(11)?),
    })
}

impl Reader {
    /// A file's row.
    pub fn media(&self, id: MediaId) -> Result<Option<MediaRow>, StoreError> {
        self.one(|conn| {
            let mut read = conn.prepare_cached(&format!("SELECT {COLUMNS} FROM media WHERE id = ?1"))?;
            Ok(read.query_row([id.0], media_of).optional()?)
        })
    }

    /// Files to download now, oldest first, and when the next one is due.
    pub fn media_pending(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<(Vec<MediaRow>, Option<Timestamp>), StoreError> {
        self.all(|conn| {
            let sql =
                format!("SELECT {COLUMNS} FROM media WHERE state = 0 AND (next_at <= ?1 OR next_at > ?3) ORDER BY next_at LIMIT ?2");
            let mut read = conn.prepare_cached(&sql)?;
            let mut rows = read.query(params![now.0, crate::read::bounded(limit), now.plus_ms(MAX_PAUSE_MS).0])?;
            let mut due = Vec::new();
            while let Some(row) = rows.next()? {
                due.extend(readable(media_of(row).map_err(StoreError::from))?);
            }
            let next = conn
                .prepare_cached("SELECT min(next_at) FROM media WHERE state = 0 AND next_at > ?1")?
                .query_row([now.0], |row| row.get::<_, Option<i64>>(0))?;
            Ok((due, next.map(Timestamp)))
        })
    }

    /// The number of pending and stored files, and the bytes of the stored ones.
    pub fn media_total(&self) -> Result<(u64, u64), StoreError> {
        self.one(|conn| {
            let mut read =
                conn.prepare_cached("SELECT coalesce(sum(files), 0), coalesce(sum(bytes), 0) FROM media_totals")?;
            let (count, bytes): (i64, i64) = read.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok((count.unsigned_abs(), bytes.unsigned_abs()))
        })
    }

    /// The total bytes of the files that a plugin created.
    pub fn media_made_by(&self, plugin: PluginNo) -> Result<u64, StoreError> {
        self.one(|conn| Ok(media_bytes(conn, plugin)?.unsigned_abs()))
    }

    /// Files that arrived in a person's conversations.
    pub fn person_files(&self, ids: &PersonIds) -> Result<Vec<MediaRow>, StoreError> {
        self.all(|conn| {
            let mut files = Vec::new();
            for conversation in &ids.conversations {
                let sql = format!("SELECT {COLUMNS} FROM media WHERE conversation = ?1 ORDER BY id");
                let mut read = conn.prepare_cached(&sql)?;
                files.extend(read.query_map([conversation.0], media_of)?.collect::<Result<Vec<_>, _>>()?);
            }
            Ok(files)
        })
    }

    /// The platform's id of an upload to this channel that is still valid at `at`.
    pub fn uploaded(&self, media: MediaId, channel: &str, at: Timestamp) -> Result<Option<String>, StoreError> {
        self.one(|conn| {
            let mut read = conn.prepare_cached(
                "SELECT platform_id FROM uploads WHERE media = ?1 AND channel = ?2 AND expires_at > ?3",
            )?;
            Ok(read.query_row(params![media.0, channel, at.0], |row| row.get(0)).optional()?)
        })
    }
}

impl Store {
    /// Records the outcome of a download.
    pub async fn settle_media(&self, id: MediaId, fetched: FetchOutcome) -> Result<(), StoreError> {
        self.ask(move |tx| tx.settle_media(id, &fetched)).await?;
        self.files().ring();
        Ok(())
    }

    /// Records an upload; `None` forgets it.
    pub async fn note_upload(
        &self,
        media: MediaId,
        channel: &str,
        uploaded: Option<(String, Timestamp)>,
    ) -> Result<(), StoreError> {
        let channel = channel.to_owned();
        self.ask(move |tx| match &uploaded {
            Some((platform, expires_at)) => tx.note_upload(media, &channel, platform, *expires_at),
            None => tx.delete_upload(media, &channel),
        })
        .await
    }
}

impl Tx<'_> {
    fn settle_media(&mut self, id: MediaId, fetched: &FetchOutcome) -> Result<(), StoreError> {
        let (state, bytes, next_at, error) = match fetched {
            FetchOutcome::Stored(bytes) => (1, Some(*bytes), 0, None),
            FetchOutcome::Later(at, reason) => (0, None, at.0, Some(reason)),
            FetchOutcome::Failed(reason) => (2, None, 0, Some(reason)),
        };
        self.conn
            .prepare_cached(
                "UPDATE media SET state = ?2, bytes = ?3, next_at = ?4, error = ?5, attempts = attempts + 1
                 WHERE id = ?1",
            )?
            .execute(params![id.0, state, bytes, next_at, error])?;
        Ok(())
    }

    fn note_upload(
        &mut self,
        media: MediaId,
        channel: &str,
        platform: &str,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        self.conn
            .prepare_cached(
                "INSERT INTO uploads (media, channel, platform_id, expires_at) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET platform_id = ?3, expires_at = ?4",
            )?
            .execute(params![media.0, channel, platform, expires_at.0])?;
        Ok(())
    }

    fn delete_upload(&mut self, media: MediaId, channel: &str) -> Result<(), StoreError> {
        self.conn
            .prepare_cached("DELETE FROM uploads WHERE media = ?1 AND channel = ?2")?
            .execute(params![media.0, channel])?;
        Ok(())
    }

    /// Inserts the row of a created file; its bytes are on disk.
    pub(crate) fn insert_created_media(
        &mut self,
        created: &NewMedia,
        plugin: PluginNo,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.conn
            .prepare_cached(
                "INSERT INTO media (id, plugin, mime_type, filename, sha256, bytes, state, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7)",
            )?
            .execute(params![
                created.media.0,
                plugin.0,
                created.mime_type,
                created.filename,
                created.sha256,
                created.bytes,
                now.0
            ])?;
        Ok(())
    }

    /// Deletes files that are too old, and the oldest ones above the size limit. Bytes are deleted
    /// first, so that none remain without a row. Returns the number of files.
    pub(crate) fn delete_old_media(
        &mut self,
        older_than: i64,
        max_bytes: i64,
        slice: i64,
    ) -> Result<usize, StoreError> {
        let bytes: i64 = self
            .conn
            .prepare_cached("SELECT coalesce(sum(bytes), 0) FROM media_totals")?
            .query_row([], |row| row.get(0))?;
        let mut over = bytes.saturating_sub(max_bytes);
        // By age and not by number: a file of a clock that was ahead may come first.
        let old = "SELECT id, coalesce(bytes, 0) FROM media WHERE created_at < ?2 ORDER BY created_at LIMIT ?1";
        let mut deleted = 0;
        for (id, bytes) in self.media_ids(old, params![slice, older_than])? {
            self.delete_media(id)?;
            over -= bytes;
            deleted += 1;
        }
        if over <= 0 {
            return Ok(deleted);
        }
        let oldest = "SELECT id, coalesce(bytes, 0) FROM media ORDER BY id LIMIT ?1";
        for (id, bytes) in self.media_ids(oldest, params![slice - deleted as i64])? {
            if over <= 0 {
                break;
            }
            self.delete_media(id)?;
            over -= bytes;
            deleted += 1;
        }
        Ok(deleted)
    }

    fn media_ids(&self, sql: &str, params: impl rusqlite::Params) -> Result<Vec<(i64, i64)>, StoreError> {
        let mut read = self.conn.prepare_cached(sql)?;
        let ids = read.query_map(params, |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(ids.collect::<Result<_, _>>()?)
    }

    fn delete_media(&self, id: i64) -> Result<(), StoreError> {
        self.shared.files.remove(MediaId(id));
        self.conn.prepare_cached("DELETE FROM media WHERE id = ?1")?.execute([id])?;
        self.conn.prepare_cached("DELETE FROM uploads WHERE media = ?1")?.execute([id])?;
        Ok(())
    }
}
