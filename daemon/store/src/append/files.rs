//! Files of received messages: each gets a row, so that its bytes are fetched even after a crash,
//! and an id of Beadle's in the message, because the platform's id expires after a week.

use super::plan::AppendPlan;
use crate::error::StoreError;
use crate::step::NewEvent;
use crate::tx::Tx;
use beadle_model::{Content, EventBody, Timestamp};
use rusqlite::params;

impl Tx<'_> {
    /// Adds the id to the body if it has a file. `enriched` is the body if it was changed before.
    pub(super) fn with_file(
        &mut self,
        enriched: Option<EventBody>,
        event: &NewEvent,
        plan: &AppendPlan,
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
        self.note_file(content, plan, now)?;
        Ok(Some(body))
    }

    fn note_file(&mut self, content: &mut Content, plan: &AppendPlan, now: Timestamp) -> Result<(), StoreError> {
        let (Some(file), Some(conversation)) = (content.media_mut(), plan.conversation) else { return Ok(()) };
        let Some(row) = self.cache.people.conversation_row(self.conn, conversation)? else { return Ok(()) };
        let channel = std::sync::Arc::clone(&row.channel);
        let id = self.shared.files.reserve();
        self.conn
            .prepare_cached(
                "INSERT INTO media (id, channel, conversation, platform_id, mime_type, filename, sha256, state, created_at)
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
