//! The mirror of the platform's groups: members, join requests, settings, as far as the platform
//! reports them. Plugins read the mirror; `refreshed` corrects it.

use super::plan::AppendPlan;
use crate::error::StoreError;
use crate::people::ConversationRow;
use crate::step::NewEvent;
use crate::tx::Tx;
use beadle_model::event::GroupNotification;
use beadle_model::{ContactId, ConversationId, EventBody, Timestamp};
use rusqlite::{OptionalExtension, params};

impl Tx<'_> {
    /// Finds or creates the conversation of a group.
    pub(crate) fn find_or_create_group(&mut self, channel: &str, group: &str) -> Result<ConversationId, StoreError> {
        if let Some(known) = self.cache.people.group(self.conn, channel, group)? {
            return Ok(known);
        }
        let id = self
            .conn
            .prepare_cached("INSERT INTO conversations (channel, platform_group) VALUES (?1, ?2)")?
            .insert(params![channel, group])?;
        let id = ConversationId(id);
        let channel = self.cache.people.channel(channel);
        self.cache.people.insert_conversation(ConversationRow {
            id,
            channel,
            contact: None,
            group: Some(group.to_owned()),
            last_contact: None,
            address: None,
            last_inbound_at: 0,
            window_until: 0,
            free_entry_until: None,
            watched: false,
        });
        Ok(id)
    }

    /// Applies a new event to the mirror and to files. Returns the changed body, if any. `enriched`
    /// is the body if it was changed before.
    pub(super) fn mirror(
        &mut self,
        event: &NewEvent,
        enriched: Option<EventBody>,
        plan: &AppendPlan,
        now: Timestamp,
    ) -> Result<Option<EventBody>, StoreError> {
        let body = enriched.as_ref().unwrap_or(&event.body);
        let at = event.happened_at.min(now);
        match (body, plan.conversation, plan.contact) {
            (EventBody::Message { .. } | EventBody::Echo { .. }, Some(_), _) => {
                self.with_file(enriched, event, plan, now)
            }
            (EventBody::MemberJoined { reason, .. }, Some(conversation), Some(contact))
                if self.is_group(conversation)? =>
            {
                let again = self.joins_group(conversation, contact, at)?;
                Ok(Some(EventBody::MemberJoined { reason: reason.clone(), again }))
            }
            (EventBody::MemberLeft { .. }, Some(conversation), Some(contact)) if self.is_group(conversation)? => {
                self.conn
                    .prepare_cached(
                        "INSERT INTO group_members (conversation, contact, joined_at, left_at) VALUES (?1, ?2, ?3, ?3)
                         ON CONFLICT DO UPDATE SET left_at = ?3",
                    )?
                    .execute([conversation.0, contact.0, at.0])?;
                Ok(enriched)
            }
            (EventBody::JoinRequest { request, revoked, .. }, Some(conversation), Some(contact)) => {
                let sql = match revoked {
                    true => "DELETE FROM join_requests WHERE conversation = ?1 AND request = ?2",
                    false => {
                        "INSERT INTO join_requests (conversation, request, contact, requested_at) VALUES (?1, ?2, ?3, ?4)
                         ON CONFLICT DO NOTHING"
                    }
                };
                let mut write = self.conn.prepare_cached(sql)?;
                if *revoked {
                    write.execute(params![conversation.0, request])?;
                } else {
                    write.execute(params![conversation.0, request, contact.0, at.0])?;
                }
                Ok(enriched)
            }
            (EventBody::GroupChanged(news), conversation, _) => {
                let mut news = news.clone();
                self.group_changed(&mut news, conversation, at)?;
                Ok(Some(EventBody::GroupChanged(news)))
            }
            _ => Ok(enriched),
        }
    }

    pub(super) fn is_group(&mut self, conversation: ConversationId) -> Result<bool, StoreError> {
        Ok(self.cache.people.conversation_row(self.conn, conversation)?.is_some_and(|row| row.group.is_some()))
    }

    /// Adds a member. Returns whether they had left before.
    fn joins_group(
        &mut self,
        conversation: ConversationId,
        contact: ContactId,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let had_left = self
            .conn
            .prepare_cached("SELECT left_at IS NOT NULL FROM group_members WHERE conversation = ?1 AND contact = ?2")?
            .query_row([conversation.0, contact.0], |row| row.get(0))
            .optional()?;
        self.conn
            .prepare_cached(
                "INSERT INTO group_members (conversation, contact, joined_at) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET joined_at = ?3, left_at = NULL WHERE left_at IS NOT NULL",
            )?
            .execute([conversation.0, contact.0, at.0])?;
        self.conn
            .prepare_cached("DELETE FROM join_requests WHERE conversation = ?1 AND contact = ?2")?
            .execute([conversation.0, contact.0])?;
        Ok(had_left.unwrap_or(false))
    }

    fn group_changed(
        &mut self,
        news: &mut GroupNotification,
        conversation: Option<ConversationId>,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        if let (None, Some(request)) = (news.requested_by, &news.request) {
            news.requested_by = self.find_by_platform_id(request)?.map(|found| found.0);
        }
        let failed = std::mem::take(&mut news.failed);
        if let Some(serde_json::Value::Array(reasons)) = news.extra.get_mut("failed") {
            for (reason, aliases) in reasons.iter_mut().zip(&failed) {
                let contact = self.find_or_create_contact(aliases, at)?;
                if let (Some(reason), Some(contact)) = (reason.as_object_mut(), contact) {
                    reason.insert("contact".to_owned(), contact.to_string().into());
                }
            }
        }
        let Some(conversation) = conversation else { return Ok(()) };
        let suspended = match news.change.as_str() {
            "suspended" => Some(true),
            "restored" => Some(false),
            "refreshed" => news.extra.get("suspended").and_then(serde_json::Value::as_bool),
            _ => None,
        };
        let deleted_at = (news.change == "deleted").then_some(at.0);
        self.conn
            .prepare_cached(
                "INSERT INTO platform_groups (conversation, subject, description, invite_link, approval_required,
                     suspended, deleted_at) VALUES (?1, ?2, ?3, ?4, ?5, coalesce(?6, 0), ?7)
                 ON CONFLICT DO UPDATE SET subject = coalesce(?2, subject), description = coalesce(?3, description),
                     invite_link = coalesce(?4, invite_link),
                     approval_required = coalesce(?5, approval_required), suspended = coalesce(?6, suspended),
                     deleted_at = coalesce(?7, deleted_at)",
            )?
            .execute(params![
                conversation.0,
                news.subject,
                news.description,
                news.invite_link,
                news.approval_required,
                suspended,
                deleted_at
            ])?;
        // The platform reports rejected requests only in this answer.
        let answered = ["approved", "rejected"].into_iter().filter_map(|list| news.extra.get(list)?.as_array());
        for request in answered.flatten().filter_map(serde_json::Value::as_str) {
            self.conn
                .prepare_cached("DELETE FROM join_requests WHERE conversation = ?1 AND request = ?2")?
                .execute(params![conversation.0, request])?;
        }
        if let Some(members) = &news.members {
            self.set_members(conversation, members, at)?;
        }
        Ok(())
    }

    /// Replaces the members of a group.
    fn set_members(
        &mut self,
        conversation: ConversationId,
        members: &[Vec<beadle_model::Alias>],
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut present = Vec::with_capacity(members.len());
        for aliases in members {
            present.extend(self.find_or_create_contact(aliases, at)?);
        }
        let known: Vec<i64> = self
            .conn
            .prepare_cached("SELECT contact FROM group_members WHERE conversation = ?1 AND left_at IS NULL")?
            .query_map([conversation.0], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for absent in known.into_iter().filter(|known| !present.contains(&ContactId(*known))) {
            self.conn
                .prepare_cached("UPDATE group_members SET left_at = ?3 WHERE conversation = ?1 AND contact = ?2")?
                .execute([conversation.0, absent, at.0])?;
        }
        for contact in present {
            self.joins_group(conversation, contact, at)?;
        }
        Ok(())
    }
}
