//! `media`: the bytes of what came in, and new files to send.
//!
//! What comes with messages is fetched by the host as soon as the message is stored; who reads it before it is there waits a
//! little. A new file is on disk before the call ends, and has a row only if the call does: what is left over is swept away.

use super::{Answer, HostState, No, answer, bad_id};
use crate::abi::latest::media::{FileInfo, Host};
use beadle_model::effect::NewMedia;
use beadle_model::{MediaId, Refusal};
use beadle_store::{MediaRow, MediaState};
use sha2::{Digest as _, Sha256};
use std::time::Duration;

/// The most bytes of one read: a guest's memory is small, and a copy of this size takes a tenth of a millisecond.
const READ_BYTES: u32 = 1 << 20;
/// The largest file that a plugin makes: what the platform takes of sound and film, and half of a guest's memory.
const FILE_BYTES: usize = 16 << 20;
/// So long a read waits for a file that is still coming: half of the time that a call has. Real time.
const PATIENCE: Duration = Duration::from_secs(5);
/// What the platform's types have at most: a longer one is none.
const TYPE_BYTES: usize = 255;

impl Host for HostState {
    async fn info(&mut self, id: String) -> Answer<FileInfo> {
        self.enter()?;
        answer(self.file(&id).map(|row| {
            FileInfo {
                state: match row.state {
                    MediaState::Pending => "coming",
                    MediaState::Stored => "here",
                    MediaState::Failed => "failed",
                }
                .into(),
                mime_type: row.mime_type,
                filename: row.filename,
                sha256: row.sha256,
                bytes: row.bytes.map(i64::unsigned_abs),
            }
        }))
    }

    async fn read(&mut self, id: String, offset: u64, length: u32) -> Answer<Vec<u8>> {
        self.enter()?;
        answer(self.read_file(&id, offset, length).await)
    }

    async fn create(&mut self, mime_type: String, filename: Option<String>, bytes: Vec<u8>) -> Answer<String> {
        self.enter()?;
        answer(self.make_file(mime_type, filename, &bytes))
    }
}

impl HostState {
    /// A file that this plugin may use: one that came in, or one that it made.
    fn file(&self, id: &str) -> Result<MediaRow, No> {
        self.event()?;
        self.file_of(id.parse().map_err(bad_id)?)
    }

    fn file_of(&self, id: MediaId) -> Result<MediaRow, No> {
        let row = self.facts.reader.media(id)?.filter(|row| row.plugin.is_none_or(|no| no == self.facts.no));
        row.ok_or_else(|| Refusal::new("unknown-media", format!("There is no file {id}, or its time is over.")).into())
    }

    /// Whether this plugin may send a file.
    pub(super) fn may_use(&self, id: MediaId) -> Result<(), No> {
        if self.task.effects.media.iter().any(|made| made.media == id) {
            return Ok(());
        }
        let row = self.file_of(id)?;
        match row.state {
            MediaState::Failed => Err(failed(&row).into()),
            MediaState::Pending | MediaState::Stored => Ok(()),
        }
    }

    async fn read_file(&mut self, id: &str, offset: u64, length: u32) -> Result<Vec<u8>, No> {
        let files = self.facts.reader.files().clone();
        // Before the first look, so that no news is missed in between.
        let mut changes = files.changes();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let row = self.file(id)?;
            match row.state {
                MediaState::Stored => {
                    let length = usize::try_from(length.min(READ_BYTES)).unwrap_or(usize::MAX);
                    return files.read(row.id, offset, length).map_err(|error| {
                        Refusal::new("unknown-media", format!("{} cannot be read: {error}.", row.id)).into()
                    });
                }
                MediaState::Failed => return Err(failed(&row).into()),
                MediaState::Pending => {}
            }
            if tokio::time::timeout_at(deadline, changes.changed()).await.is_err() {
                return Err(Refusal::new("media-pending", format!("{} is not here yet.", row.id))
                    .instead("Fail with `retry`: the event is handled again, and then it may be.")
                    .into());
            }
        }
    }

    fn make_file(&mut self, mime_type: String, filename: Option<String>, bytes: &[u8]) -> Result<String, No> {
        self.effect()?;
        if bytes.is_empty() || bytes.len() > FILE_BYTES {
            let size = bytes.len();
            return Err(Refusal::new(
                "value-too-large",
                format!("A file has 1 to {FILE_BYTES} bytes; this has {size}."),
            )
            .into());
        }
        if !mime_type.contains('/') || mime_type.len() > TYPE_BYTES || mime_type.contains(char::is_control) {
            return Err(Refusal::new("bad-media-type", "A media type is like `image/png`.").into());
        }
        let made: i64 = self.task.effects.media.iter().map(|made| made.bytes).sum();
        let all = self.facts.reader.media_made_by(self.facts.no)?.saturating_add(made.unsigned_abs());
        let quota = u64::from(self.facts.limits.media_mib) << 20;
        if all.saturating_add(bytes.len() as u64) > quota {
            let text = format!("This plugin's files may have {} MiB together.", self.facts.limits.media_mib);
            return Err(Refusal::new("over-quota", text).into());
        }
        let files = self.facts.reader.files();
        let media = files.reserve();
        files.write(media, bytes).map_err(|error| {
            let text = format!("The file could not be kept: {error}.");
            No::from(Refusal::new("media-unavailable", text).instead("Fail with `retry`."))
        })?;
        let sha256 = beadle_model::text::hex(Sha256::digest(bytes));
        let bytes = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        self.effect()?.media.push(NewMedia { media, mime_type, filename, sha256, bytes });
        Ok(media.to_string())
    }
}

fn failed(row: &MediaRow) -> Refusal {
    let why = row.error.as_deref().unwrap_or("the platform does not have it any more");
    Refusal::new("media-unavailable", format!("{} cannot be had: {why}.", row.id))
}
