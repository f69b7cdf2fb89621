//! Files that come with messages: a row each, so that the bytes are fetched also after a crash, and a handle of ours in the
//! message, since the platform's name for them dies after a week.

use super::Course;
use crate::StoreError;
use crate::step::NewEvent;
use crate::writer::Tx;
use beadle_model::{Content, EventBody, Timestamp};
use rusqlite::params;

impl Tx<'_> {
    /// The body with a handle for its file, where it has one; `enriched` is the body where it was changed before.
    pub(super) fn with_file(
        &mut self,
        enriched: Option<EventBody>,
        event: &NewEvent,
        course: &Course,
        now: Timestamp,
    ) -> Result<Option<EventBody>, StoreError> {
        let content = |body: &EventBody| match body {
            EventBody::Message { content, .. } | EventBody::Echo { content, .. } => content.media().is_some(),
            _ => false,
        };
        if !content(enriched.as_ref().unwrap_or(&event.body)) {
            return Ok(enriched);
        }
        let mut body = enriched.unwrap_or_else(|| event.body.clone());
        let (EventBody::Message { content, .. } | EventBody::Echo { content, .. }) = &mut body else {
            return Ok(Some(body));
        };
        self.note_file(content, course, now)?;
        Ok(Some(body))
    }

    fn note_file(&mut self, content: &mut Content, course: &Course, now: Timestamp) -> Result<(), StoreError> {
        let (Some(file), Some(conversation)) = (content.media_mut(), course.conversation) else { return Ok(()) };
        let Some(talk) = self.shadow.people.talk(self.conn, conversation)? else { return Ok(()) };
        let channel = std::sync::Arc::clone(&talk.channel);
        let id = self.shared.files.reserve();
        self.conn
            .prepare_cached(
                "INSERT INTO media (id, channel, conversation, platform, mime_type, filename, sha256, state, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8)",
            )?
            .execute(params![
                id.0,
                channel.as_ref(),
                conversation.0,
                file.platform,
                file.mime_type,
                file.filename,
                file.sha256,
                now.0
            ])?;
        file.handle = Some(id);
        self.shared.files.note();
        Ok(())
    }
}
