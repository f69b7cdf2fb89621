//! `media`: files that came with messages, and new files to send.
//!
//! The host fetches a file as soon as its message is stored; a read that comes earlier waits a
//! little. A new file is written to disk during the call, and gets a row when the call's effects
//! are committed.

use super::answer::{Answer, HostError, answer};
use super::host_state::{HostState, bad_id};
use crate::bindings::latest::media::{FileInfo, Host};
use crate::limits::NEW_FILE_BYTES;
use beadle_model::effect::NewMedia;
use beadle_model::{MediaId, Refusal};
use beadle_store::{MediaRow, MediaState};
use sha2::{Digest as _, Sha256};
use std::time::Duration;

/// The maximum of one read: a guest's memory is small, and copying this takes a tenth of a
/// millisecond.
const READ_BYTES: u32 = 1 << 20;
/// How long a read waits for a file that is being fetched: half of the time of a call. Elapsed
/// time.
const FETCH_WAIT: Duration = Duration::from_secs(5);
/// The longest name of a file: what file systems take.
const NAME_BYTES: usize = 255;
/// The longest media type on the platform.
const TYPE_BYTES: usize = 255;

impl Host for HostState {
    async fn info(&mut self, id: String) -> Answer<FileInfo> {
        self.enter()?;
        answer(self.file(&id).map(|row| {
            FileInfo {
                state: match row.state {
                    MediaState::Pending => "pending",
                    MediaState::Stored => "available",
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
        answer(self.create_file(mime_type, filename, &bytes))
    }
}

impl HostState {
    /// A file that this plugin may use: one that was received, or one that it created.
    fn file(&self, id: &str) -> Result<MediaRow, HostError> {
        self.event()?;
        self.file_row(id.parse().map_err(bad_id)?)
    }

    fn file_row(&self, id: MediaId) -> Result<MediaRow, HostError> {
        let row = self.facts.reader.media(id)?.filter(|row| row.plugin.is_none_or(|no| no == self.facts.no));
        row.ok_or_else(|| Refusal::new("unknown-media", format!("There is no file {id}, or it has expired.")).into())
    }

    /// Checks that this plugin may send a file.
    pub(super) fn check_file(&self, id: MediaId) -> Result<(), HostError> {
        if self.task.effects.media.iter().any(|created| created.media == id) {
            return Ok(());
        }
        let row = self.file_row(id)?;
        match row.state {
            MediaState::Failed => Err(unavailable(&row).into()),
            MediaState::Pending | MediaState::Stored => Ok(()),
        }
    }

    async fn read_file(&mut self, id: &str, offset: u64, length: u32) -> Result<Vec<u8>, HostError> {
        let files = self.facts.reader.files().clone();
        // Subscribed before the first check, so that no change is missed in between.
        let mut changes = files.changes();
        let deadline = tokio::time::Instant::now() + FETCH_WAIT;
        loop {
            let row = self.file(id)?;
            match row.state {
                MediaState::Stored => {
                    let length = usize::try_from(length.min(READ_BYTES)).unwrap_or(usize::MAX);
                    return files.read(row.id, offset, length).map_err(|error| {
                        Refusal::new("unknown-media", format!("{} cannot be read: {error}.", row.id)).into()
                    });
                }
                MediaState::Failed => return Err(unavailable(&row).into()),
                MediaState::Pending => {}
            }
            if tokio::time::timeout_at(deadline, changes.changed()).await.is_err() {
                return Err(Refusal::new("media-pending", format!("{} is still being fetched.", row.id))
                    .instead("Fail with `retry`, and read it in the next attempt.")
                    .into());
            }
        }
    }

    /// Deletes the files that the call created. For a call that failed: nothing else refers to
    /// them.
    pub fn remove_created_files(&mut self) {
        for created in self.task.effects.media.drain(..) {
            self.facts.reader.files().remove(created.media);
        }
    }

    pub fn create_file(
        &mut self,
        mime_type: String,
        filename: Option<String>,
        bytes: &[u8],
    ) -> Result<String, HostError> {
        self.event()?;
        if bytes.is_empty() || bytes.len() > NEW_FILE_BYTES {
            let message = format!("A file must have 1 to {NEW_FILE_BYTES} bytes; this one has {}.", bytes.len());
            return Err(Refusal::new("value-too-large", message).into());
        }
        if !mime_type.contains('/') || mime_type.len() > TYPE_BYTES || mime_type.contains(char::is_control) {
            return Err(Refusal::new("bad-media-type", "A media type must look like `image/png`.").into());
        }
        if let Some(name) = &filename
            && (name.is_empty() || name.len() > NAME_BYTES)
        {
            let message = format!("The name of a file must have 1 to {NAME_BYTES} bytes; this one has {}.", name.len());
            return Err(Refusal::new("value-too-large", message).into());
        }
        let created: i64 = self.task.effects.media.iter().map(|created| created.bytes).sum();
        let total = self.facts.reader.media_made_by(self.facts.no)?.saturating_add(created.unsigned_abs());
        let quota = u64::from(self.facts.limits.media_mib) << 20;
        if total.saturating_add(bytes.len() as u64) > quota {
            let (plugin, max) = (&self.facts.name, self.facts.limits.media_mib);
            return Err(Refusal::new("over-quota", format!("This plugin's files would exceed their {max} MiB."))
                .instead(format!("Send existing files, or raise `[plugins.{plugin}] limits.media_mib`."))
                .into());
        }
        let row_bytes = mime_type.len() + filename.as_ref().map_or(0, String::len);
        // Checked before the file is written. The contents are on disk and count against their own
        // quota.
        self.effect(row_bytes)?;
        let files = self.facts.reader.files();
        let media = files.reserve();
        // A dry run shows its effects, but must leave no file behind.
        if !self.task.dry {
            files.write(media, bytes).map_err(|error| {
                let message = format!("The file could not be written: {error}.");
                HostError::from(Refusal::new("media-unavailable", message).instead("Fail with `retry`."))
            })?;
        }
        let sha256 = beadle_model::text::hex(Sha256::digest(bytes));
        let bytes = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        self.task.effects.media.push(NewMedia { media, mime_type, filename, sha256, bytes });
        Ok(media.to_string())
    }
}

fn unavailable(row: &MediaRow) -> Refusal {
    let reason = row.error.as_deref().unwrap_or("the platform no longer has it");
    Refusal::new("media-unavailable", format!("{} is not available: {reason}.", row.id))
}
