//! Broadcasts and their recipients.
//!
//! A recipient has one row per broadcast. The transaction that inserts the message also marks the
//! recipient, so that a crash leaves both or neither. From then on triggers copy the state of the
//! message to the row (`schema/0007.sql`). `beadle-broadcast` decides about recipients.

use crate::codec::{from_json, to_json};
use crate::error::StoreError;
use crate::meta::{REACTIONS_UNTIL_KEY, set_meta};
use crate::people::load_view;
use crate::read::{Reader, bounded};
use crate::step::{LONGEST_DEFERRAL_MS, NewSend, OutboxRow};
use crate::templates::channel_quality;
use crate::tx::Tx;
use beadle_model::broadcast::{
    BroadcastCommand, BroadcastDefinition, BroadcastOutline, FollowUpRecipients, can_repeat,
};
use beadle_model::effect::BroadcastWrite;
use beadle_model::{
    Audience, BroadcastId, BroadcastState, ContactId, ConversationId, ConversationView, MessageId, PluginNo, Purpose,
    RecipientState, Timestamp,
};
use rusqlite::{OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The time after a broadcast during which a message or a withdrawal counts as a reaction to it.
pub const ATTRIBUTION_MS: i64 = 72 * 60 * 60 * 1000;

/// The platform's time stamps are whole seconds of another clock, so that a reply can be dated
/// before the message that it answers.
pub(crate) const PLATFORM_CLOCK_MS: i64 = 5000;

/// The maximum number of rows that one transaction deletes, so that other work is not delayed.
const DELETED_AT_ONCE: i64 = 2000;

/// The code of recipients who did not get a message before it expired.
const EXPIRED: &str = "broadcast-expired";

/// A broadcast.
#[derive(Clone, Debug)]
pub struct BroadcastRow {
    /// Its id.
    pub id: BroadcastId,
    /// Its author: a plugin, or the number of the operators' author.
    pub plugin: PluginNo,
    /// Its name.
    pub name: String,
    /// The channel.
    pub channel: String,
    /// Its state.
    pub state: BroadcastState,
    /// Why it is paused, or was not started.
    pub reason: Option<BroadcastReason>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Who created it.
    pub created_by: String,
    /// When it was last planned.
    pub planned_at: Option<Timestamp>,
    /// When it was approved, and who approved it.
    pub approved: Option<(Timestamp, String)>,
    /// When it was started.
    pub started_at: Option<Timestamp>,
    /// When it was finished or stopped.
    pub ended_at: Option<Timestamp>,
    /// Whether a plugin asked to start it: the task plans and starts it.
    pub wants_start: bool,
    /// Recipients who wrote within [`ATTRIBUTION_MS`].
    pub replied: u64,
    /// Recipients who withdrew their consent within [`ATTRIBUTION_MS`].
    pub opted_out: u64,
}

/// Why a broadcast is in its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BroadcastReason {
    /// A code of `beadle explain`.
    pub code: String,
    /// A sentence.
    pub message: String,
}

/// The number of recipients with the same state and code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipientCount {
    /// The state.
    pub state: RecipientState,
    /// The reason, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The number of recipients.
    pub recipients: u64,
}

/// The state of a broadcast when it was last started or resumed, from which the rules count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BroadcastBaseline {
    /// The recipients.
    pub counts: Vec<RecipientCount>,
    /// Recipients who had withdrawn their consent.
    pub opted_out: u64,
    /// The quality of the channel's number.
    #[serde(default)]
    pub quality: Option<String>,
}

/// A recipient.
#[derive(Clone, Debug)]
pub struct RecipientRow {
    /// The person.
    pub contact: ContactId,
    /// Their conversation on the channel.
    pub conversation: Option<ConversationId>,
    /// The state of the message.
    pub state: RecipientState,
    /// Why it failed, was refused or is held.
    pub code: Option<String>,
    /// The language of the template or the text.
    pub language: Option<String>,
    /// The values of the placeholders.
    pub parameters: Vec<String>,
    /// Until when it is held.
    pub due_at: Option<Timestamp>,
    /// The message.
    pub message: Option<MessageId>,
    /// When it was sent.
    pub sent_at: Option<Timestamp>,
    /// When they replied.
    pub replied_at: Option<Timestamp>,
}

/// A recipient as planned.
#[derive(Clone, Debug)]
pub struct PlannedRecipient {
    /// The person.
    pub contact: ContactId,
    /// Their conversation.
    pub conversation: Option<ConversationId>,
    /// The code of the refusal, if they do not get it.
    pub refused: Option<String>,
    /// The language of the template.
    pub language: Option<String>,
    /// The values of the placeholders.
    pub parameters: Vec<String>,
}

/// The decision about a recipient that is due.
#[derive(Clone, Debug)]
pub enum Handover {
    /// The message goes to the outbox.
    Send(Box<NewSend>),
    /// Deferred until this time, by the check with this name.
    Held(Timestamp, String),
    /// Excluded, with the code of the refusal.
    Refused(String),
}

/// Which recipients to list.
#[derive(Clone, Debug, Default)]
pub struct RecipientFilter {
    /// Only in this state.
    pub state: Option<RecipientState>,
    /// Only after this one.
    pub after: Option<ContactId>,
    /// The maximum number.
    pub limit: usize,
}

const COLUMNS: &str = "id, plugin, name, channel, state, reason, created_at, created_by, planned_at, approved_at,
     approved_by, started_at, ended_at, wants_start, replied, opted_out";

fn broadcast_of(row: &Row<'_>) -> Result<BroadcastRow, StoreError> {
    let id: i64 = row.get(0)?;
    let time = |column: usize| Ok::<_, StoreError>(row.get::<_, Option<i64>>(column)?.map(Timestamp));
    let state = BroadcastState::from_number(row.get(4)?);
    let reason: Option<String> = row.get(5)?;
    Ok(BroadcastRow {
        id: BroadcastId(id),
        plugin: PluginNo(row.get(1)?),
        name: row.get(2)?,
        channel: row.get(3)?,
        state: state.ok_or_else(|| StoreError::unreadable(format!("broadcast {id}"), "unknown state"))?,
        reason: reason.map(|json| from_json("broadcast", id, &json)).transpose()?,
        created_at: Timestamp(row.get(6)?),
        created_by: row.get(7)?,
        planned_at: time(8)?,
        approved: time(9)?.zip(row.get(10)?),
        started_at: time(11)?,
        ended_at: time(12)?,
        wants_start: row.get(13)?,
        replied: row.get::<_, i64>(14)?.unsigned_abs(),
        opted_out: row.get::<_, i64>(15)?.unsigned_abs(),
    })
}

const RECIPIENT: &str =
    "contact, conversation, state, code, language, parameters, due_at, message, sent_at, replied_at";

fn recipient_of(row: &Row<'_>) -> Result<RecipientRow, StoreError> {
    let contact: i64 = row.get(0)?;
    let state = RecipientState::from_number(row.get(2)?);
    let parameters: Option<String> = row.get(5)?;
    let parameters = parameters.map(|json| from_json("recipient", contact, &json)).transpose()?;
    let time = |column: usize| Ok::<_, StoreError>(row.get::<_, Option<i64>>(column)?.map(Timestamp));
    Ok(RecipientRow {
        contact: ContactId(contact),
        conversation: row.get::<_, Option<i64>>(1)?.map(ConversationId),
        state: state.ok_or_else(|| StoreError::unreadable(format!("recipient {contact}"), "unknown state"))?,
        code: row.get(3)?,
        language: row.get(4)?,
        parameters: parameters.unwrap_or_default(),
        due_at: time(6)?,
        message: row.get::<_, Option<i64>>(7)?.map(MessageId),
        sent_at: time(8)?,
        replied_at: time(9)?,
    })
}

impl Tx<'_> {
    /// Removes the samples of plans that show what a contact would get. Returns their number.
    pub(crate) fn delete_samples_of(&self, contact: ContactId) -> Result<usize, StoreError> {
        let contact = contact.to_string();
        let mut read =
            self.conn.prepare_cached("SELECT id, plan FROM broadcasts WHERE instr(plan, '\"' || ?1 || '\"') > 0")?;
        let plans: Vec<(i64, String)> =
            read.query_map([&contact], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
        let mut deleted = 0;
        for (id, json) in plans {
            let mut plan: serde_json::Value = from_json("a plan", id, &json)?;
            let Some(samples) = plan.get_mut("samples").and_then(serde_json::Value::as_array_mut) else { continue };
            let before = samples.len();
            samples.retain(|sample| sample.get("contact").and_then(|id| id.as_str()) != Some(&contact));
            deleted += before - samples.len();
            self.conn
                .prepare_cached("UPDATE broadcasts SET plan = ?2 WHERE id = ?1")?
                .execute(params![id, to_json("a plan", &plan)?])?;
        }
        Ok(deleted)
    }

    /// Creates a draft; `None` if the author already has a broadcast with this name.
    pub(crate) fn create_broadcast(
        &self,
        plugin: PluginNo,
        by: &str,
        definition: &BroadcastDefinition,
        now: Timestamp,
    ) -> Result<Option<BroadcastId>, StoreError> {
        let json = to_json("a broadcast", definition)?;
        let id = self
            .conn
            .prepare_cached(
                "INSERT INTO broadcasts (plugin, name, channel, definition, state, created_at, created_by)
                 VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6) ON CONFLICT DO NOTHING RETURNING id",
            )?
            .query_row(params![plugin.0, definition.name, definition.channel, json, now.0, by], |row| {
                row.get(0).map(BroadcastId)
            })
            .optional()?;
        Ok(id)
    }

    /// Moves a broadcast from one state to another. A pause or stop also takes back messages that
    /// were not tried. Returns whether it was in the first state, and planned if it is to be sent.
    pub(crate) fn move_broadcast(
        &self,
        id: BroadcastId,
        (from, to): (BroadcastState, BroadcastState),
        reason: Option<&BroadcastReason>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let reason = reason.map(|reason| to_json("a reason", reason)).transpose()?;
        let is_start = to == BroadcastState::Sending;
        let is_end = matches!(to, BroadcastState::Finished | BroadcastState::Stopped);
        let changed = self
            .conn
            .prepare_cached(
                "UPDATE broadcasts SET state = ?3, reason = ?4, wants_start = 0,
                     started_at = CASE WHEN ?5 THEN coalesce(started_at, ?7) ELSE started_at END,
                     ended_at = CASE WHEN ?6 THEN ?7 END
                 -- While it is planned again it has no plan, and cannot be sent.
                 WHERE id = ?1 AND state = ?2 AND (planned_at IS NOT NULL OR NOT ?5)",
            )?
            .execute(params![id.0, from as i64, to as i64, reason, is_start, is_end, now.0])?;
        if changed > 0 && matches!(to, BroadcastState::Paused | BroadcastState::Stopped) {
            self.take_back_queued(id)?;
        }
        if changed > 0 && is_start {
            let (channel, opted_out): (String, i64) = self
                .conn
                .prepare_cached("SELECT channel, opted_out FROM broadcasts WHERE id = ?1")?
                .query_row([id.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let baseline = BroadcastBaseline {
                counts: counts_of(self.conn, id)?,
                opted_out: opted_out.unsigned_abs(),
                quality: channel_quality(self.conn, &channel)?,
            };
            let baseline = to_json("counts", &baseline)?;
            let set = "UPDATE broadcasts SET baseline = ?2 WHERE id = ?1";
            self.conn.prepare_cached(set)?.execute(params![id.0, baseline])?;
        }
        Ok(changed > 0)
    }

    /// Applies a plugin's change of its broadcasts. A change that has become impossible since the
    /// plugin's call was checked is ignored, so that the handling does not fail.
    pub(crate) fn write_broadcast(
        &self,
        write: &BroadcastWrite,
        plugin: PluginNo,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let name = match write {
            BroadcastWrite::Create(definition) => {
                let by: Option<String> = self
                    .conn
                    .prepare_cached("SELECT name FROM plugins WHERE no = ?1")?
                    .query_row([plugin.0], |row| row.get(0))
                    .optional()?;
                self.create_broadcast(plugin, &by.unwrap_or_default(), definition, now)?;
                return Ok(());
            }
            BroadcastWrite::Start(name) | BroadcastWrite::Pause(name) | BroadcastWrite::Stop(name) => name,
        };
        let found: Option<(i64, i64)> = self
            .conn
            .prepare_cached("SELECT id, state FROM broadcasts WHERE plugin = ?1 AND name = ?2")?
            .query_row(params![plugin.0, name], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((id, state)) = found else { return Ok(()) };
        let command = match write {
            BroadcastWrite::Create(_) => return Ok(()),
            // The task plans it first.
            BroadcastWrite::Start(_) => {
                self.conn
                    .prepare_cached("UPDATE broadcasts SET wants_start = 1, reason = NULL WHERE id = ?1 AND state < 2")?
                    .execute([id])?;
                return Ok(());
            }
            BroadcastWrite::Pause(_) => BroadcastCommand::Pause,
            BroadcastWrite::Stop(_) => BroadcastCommand::Stop,
        };
        let from = BroadcastState::from_number(state);
        if let Some((from, to)) = from.and_then(|from| Some((from, from.after(command)?))) {
            self.move_broadcast(BroadcastId(id), (from, to), None, now)?;
        }
        Ok(())
    }

    /// Deletes recipients whose message was not handed over, of a slice of all after this one.
    /// Returns the last of the slice, if there are more.
    pub(crate) fn unplan(&self, id: BroadcastId, after: ContactId) -> Result<Option<ContactId>, StoreError> {
        let last = self.end_of_slice(id, after)?;
        self.conn
            .prepare_cached(
                "DELETE FROM broadcast_recipients
                 WHERE broadcast = ?1 AND contact > ?2 AND contact <= ?3 AND (message IS NULL OR state IN (0, 7))",
            )?
            .execute([id.0, after.0, last.map_or(i64::MAX, |last| last.0)])?;
        Ok(last)
    }

    /// The last recipient of a slice after this one; `None` if the rest is a slice. A slice bounds
    /// the time of the writer by the rows that it reads, not by those that it changes.
    fn end_of_slice(&self, id: BroadcastId, after: ContactId) -> Result<Option<ContactId>, StoreError> {
        let find = "SELECT contact FROM broadcast_recipients WHERE broadcast = ?1 AND contact > ?2
                    ORDER BY contact LIMIT 1 OFFSET ?3";
        let last = self
            .conn
            .prepare_cached(find)?
            .query_row([id.0, after.0, DELETED_AT_ONCE - 1], |row| row.get(0).map(ContactId));
        Ok(last.optional()?)
    }

    pub(crate) fn insert_recipients(&self, id: BroadcastId, recipients: &[PlannedRecipient]) -> Result<(), StoreError> {
        let mut insert = self.conn.prepare_cached(
            "INSERT INTO broadcast_recipients (broadcast, contact, conversation, state, code, language, parameters)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
        )?;
        for recipient in recipients {
            let state = if recipient.refused.is_some() { RecipientState::Refused } else { RecipientState::Planned };
            let parameters = &recipient.parameters;
            let parameters = (!parameters.is_empty()).then(|| to_json("parameters", parameters)).transpose()?;
            insert.execute(params![
                id.0,
                recipient.contact.0,
                recipient.conversation.map(|id| id.0),
                state as i64,
                recipient.refused,
                recipient.language,
                parameters
            ])?;
        }
        Ok(())
    }

    /// Hands recipients over, holds or excludes them, if they are still planned or held and the
    /// broadcast is being sent. Returns the new rows of the outbox.
    pub(crate) fn hand_over(
        &mut self,
        id: BroadcastId,
        plugin: PluginNo,
        decided: &[(ContactId, Handover)],
        now: Timestamp,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        let is_sending =
            self.conn.prepare_cached("SELECT 1 FROM broadcasts WHERE id = ?1 AND state = 2")?.exists([id.0])?;
        let mut rows = Vec::new();
        if !is_sending {
            return Ok(rows);
        }
        let set = "UPDATE broadcast_recipients SET state = ?3, code = ?4, due_at = ?5, message = coalesce(?6, message)
                   WHERE broadcast = ?1 AND contact = ?2 AND state IN (0, 7)";
        for (contact, handover) in decided {
            let (state, code, due_at, message) = match handover {
                Handover::Send(send) => (RecipientState::Queued, None, None, Some(send.message.0)),
                Handover::Held(until, code) => (RecipientState::Held, Some(code), Some(until.0), None),
                Handover::Refused(code) => (RecipientState::Refused, Some(code), None, None),
            };
            let changed = self.conn.prepare_cached(set)?.execute(params![
                id.0,
                contact.0,
                state as i64,
                code,
                due_at,
                message
            ])?;
            if let (true, Handover::Send(send)) = (changed > 0, handover) {
                self.insert_send(send, None, plugin, now)?;
                let inserted = self
                    .conn
                    .prepare_cached("UPDATE outbox SET broadcast = ?2 WHERE id = ?1")?
                    .execute([send.message.0, id.0])?;
                if inserted == 0 {
                    // The person was erased meanwhile.
                    let refuse =
                        "UPDATE broadcast_recipients SET state = 6, code = 'erased', message = NULL WHERE message = ?1";
                    self.conn.prepare_cached(refuse)?.execute([send.message.0])?;
                    continue;
                }
                rows.push((**send).clone().into_row(None, plugin, now));
            }
        }
        if !rows.is_empty() {
            self.attribute_until(now.plus_ms(ATTRIBUTION_MS))?;
        }
        Ok(rows)
    }

    /// Sets until when replies and withdrawals can be reactions. Written at most once an hour.
    fn attribute_until(&mut self, until: Timestamp) -> Result<(), StoreError> {
        if until.since_ms(self.cache.attribute_until) > 0 {
            let until = until.plus_ms(60 * 60 * 1000);
            set_meta(self.conn, REACTIONS_UNTIL_KEY, until.0)?;
            self.cache.attribute_until = until;
        }
        Ok(())
    }

    /// Counts a message of a person as a reply to the latest broadcast that they got.
    pub(crate) fn attribute_reply(&self, contact: ContactId, at: Timestamp) -> Result<(), StoreError> {
        self.attribute(contact, at, "replied")
    }

    /// Counts a withdrawal, of marketing or of all consent, as a reaction to the latest broadcast.
    /// If it is of marketing, queued texts with this purpose are dropped here: the gate checks the
    /// consent to a template again when it is sent, but does not know the purpose of a text.
    pub(crate) fn attribute_withdrawal(
        &self,
        contact: ContactId,
        purpose: &Purpose,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let topic = match purpose {
            Purpose::MarketingTopic(topic) => Some(topic),
            _ => None,
        };
        if purpose.is_marketing() && at <= self.cache.attribute_until {
            let queued: Vec<i64> = self
                .conn
                .prepare_cached(
                    "SELECT outreach.message FROM outreach JOIN outbox ON outbox.id = outreach.message
                     WHERE outreach.contact = ?1 AND free_form = 1 AND outbox.state = 0 AND (?2 IS NULL OR topic = ?2)",
                )?
                .query_map(params![contact.0, topic], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            for message in queued {
                // The trigger keeps this code.
                let set = "UPDATE broadcast_recipients SET code = 'not-opted-in' WHERE message = ?1";
                self.conn.prepare_cached(set)?.execute([message])?;
                self.conn.prepare_cached("UPDATE outbox SET state = 5 WHERE id = ?1")?.execute([message])?;
                self.conn.prepare_cached("DELETE FROM outreach WHERE message = ?1")?.execute([message])?;
            }
        }
        self.attribute(contact, at, "opted_out")
    }

    fn attribute(&self, contact: ContactId, at: Timestamp, reaction: &str) -> Result<(), StoreError> {
        if at > self.cache.attribute_until {
            return Ok(());
        }
        let found: Option<(i64, bool)> = self
            .conn
            .prepare_cached(&format!(
                "SELECT broadcast, {reaction}_at IS NOT NULL FROM broadcast_recipients
                 WHERE contact = ?1 AND sent_at <= ?2 AND sent_at > ?3 ORDER BY sent_at DESC LIMIT 1"
            ))?
            .query_row([contact.0, at.plus_ms(PLATFORM_CLOCK_MS).0, at.plus_ms(-ATTRIBUTION_MS).0], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        if let Some((broadcast, false)) = found {
            self.conn
                .prepare_cached(&format!(
                    "UPDATE broadcast_recipients SET {reaction}_at = ?3 WHERE broadcast = ?1 AND contact = ?2"
                ))?
                .execute([broadcast, contact.0, at.0])?;
            self.conn
                .prepare_cached(&format!("UPDATE broadcasts SET {reaction} = {reaction} + 1 WHERE id = ?1"))?
                .execute([broadcast])?;
        }
        Ok(())
    }

    /// Takes back the messages of a broadcast that are in the outbox and were never tried. Their
    /// recipients are planned again. A message that was tried may have arrived, and stays.
    fn take_back_queued(&self, id: BroadcastId) -> Result<(), StoreError> {
        let queued: Vec<i64> = self
            .conn
            .prepare_cached(
                "SELECT outbox.id FROM broadcast_recipients JOIN outbox ON outbox.id = message
                 WHERE broadcast_recipients.broadcast = ?1 AND broadcast_recipients.state = 1 AND outbox.state = 0
                   AND attempts = 0 AND NOT possibly_duplicate",
            )?
            .query_map([id.0], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for message in queued {
            // First, so that the trigger does not follow the message.
            self.conn
                .prepare_cached(
                    "UPDATE broadcast_recipients SET state = 0, code = NULL, message = NULL WHERE message = ?1",
                )?
                .execute([message])?;
            self.conn.prepare_cached("UPDATE outbox SET state = 5 WHERE id = ?1")?.execute([message])?;
            self.conn.prepare_cached("DELETE FROM outreach WHERE message = ?1")?.execute([message])?;
            self.delete_pending_charge(MessageId(message))?;
        }
        Ok(())
    }

    /// Excludes a slice of the recipients of an expired broadcast whose message was not handed
    /// over, if it is being sent. Returns whether there are more.
    pub(crate) fn expire_recipients(&self, id: BroadcastId) -> Result<bool, StoreError> {
        let is_sending =
            self.conn.prepare_cached("SELECT 1 FROM broadcasts WHERE id = ?1 AND state = 2")?.exists([id.0])?;
        if !is_sending {
            return Ok(false);
        }
        self.take_back_queued(id)?;
        let mut has_more = false;
        for state in [RecipientState::Planned, RecipientState::Held] {
            let state = state as i64;
            let changed = self
                .conn
                .prepare_cached(&format!(
                    "UPDATE broadcast_recipients SET state = 6, code = '{EXPIRED}' WHERE broadcast = ?1 AND contact IN
                         (SELECT contact FROM broadcast_recipients WHERE broadcast = ?1 AND state = {state} LIMIT ?2)"
                ))?
                .execute([id.0, DELETED_AT_ONCE])?;
            has_more |= changed as i64 == DELETED_AT_ONCE;
        }
        Ok(has_more)
    }

    /// Merges the recipients of two contacts that become one, who gets each broadcast once. Of two
    /// rows, the one whose message got furthest stays, so that nothing is sent to a person who has
    /// or may have got it as the other contact.
    pub(crate) fn merge_recipients(&self, keep: ContactId, removed: ContactId) -> Result<(), StoreError> {
        // Read > delivered > sent > queued > failed > planned or held > refused.
        let rank = |row: &str| {
            format!(
                "CASE {row}.state WHEN 4 THEN 6 WHEN 3 THEN 5 WHEN 2 THEN 4 WHEN 1 THEN 3 WHEN 5 THEN 2 WHEN 6 THEN 0 ELSE 1 END"
            )
        };
        let both: Vec<(i64, bool, Option<i64>)> = self
            .conn
            .prepare_cached(&format!(
                "SELECT kept.broadcast, {kept} < {other},
                     CASE WHEN kept.state = 1 AND other.state = 1 THEN other.message END
                 FROM broadcast_recipients AS kept JOIN broadcast_recipients AS other USING (broadcast)
                 WHERE kept.contact = ?1 AND other.contact = ?2",
                kept = rank("kept"),
                other = rank("other")
            ))?
            .query_map([keep.0, removed.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<Result<_, _>>()?;
        for (broadcast, is_other_further, second_message) in both {
            let loser = if is_other_further { keep } else { removed };
            self.conn
                .prepare_cached("DELETE FROM broadcast_recipients WHERE broadcast = ?1 AND contact = ?2")?
                .execute([broadcast, loser.0])?;
            if let Some(message) = second_message {
                let drop = "UPDATE outbox SET state = 5 WHERE id = ?1 AND state = 0";
                if self.conn.prepare_cached(drop)?.execute([message])? > 0 {
                    self.conn.prepare_cached("DELETE FROM outreach WHERE message = ?1")?.execute([message])?;
                    self.delete_pending_charge(MessageId(message))?;
                }
            }
        }
        self.conn
            .prepare_cached("UPDATE broadcast_recipients SET contact = ?1 WHERE contact = ?2")?
            .execute([keep.0, removed.0])?;
        Ok(())
    }

    /// Plans recipients whose message failed again, if it can succeed now ([`can_repeat`]), of a
    /// slice of all after this one. Returns their number, and the last of the slice, if there are
    /// more.
    pub(crate) fn retry_failed(
        &self,
        id: BroadcastId,
        after: ContactId,
    ) -> Result<(u64, Option<ContactId>), StoreError> {
        let last = self.end_of_slice(id, after)?;
        let until = last.map_or(i64::MAX, |last| last.0);
        let mut codes: Vec<String> = self
            .conn
            .prepare_cached(
                "SELECT DISTINCT coalesce(code, '') FROM broadcast_recipients
                 WHERE broadcast = ?1 AND contact > ?2 AND contact <= ?3 AND state = 5",
            )?
            .query_map([id.0, after.0, until], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        codes.retain(|code| can_repeat(code));
        let changed = self
            .conn
            .prepare_cached(
                "UPDATE broadcast_recipients SET state = 0, code = NULL, sent_at = NULL
                 WHERE broadcast = ?1 AND contact > ?2 AND contact <= ?3 AND state = 5
                   AND coalesce(code, '') IN (SELECT value FROM json_each(?4))
                   AND (SELECT state FROM broadcasts WHERE id = ?1) IN (3, 4)",
            )?
            .execute(params![id.0, after.0, until, to_json("codes", &codes)?])?;
        Ok((changed as u64, last))
    }

    /// Deletes a slice of a broadcast that ended before this time. Returns the number of deleted
    /// rows.
    pub(crate) fn delete_old_broadcasts(&self, ended_before: i64) -> Result<usize, StoreError> {
        let find = "SELECT id FROM broadcasts WHERE state >= 4 AND ended_at < ?1 ORDER BY id LIMIT 1";
        let found: Option<i64> =
            self.conn.prepare_cached(find)?.query_row([ended_before], |row| row.get(0)).optional()?;
        let Some(id) = found else { return Ok(0) };
        let deleted = self
            .conn
            .prepare_cached(
                "DELETE FROM broadcast_recipients WHERE broadcast = ?1 AND contact IN
                     (SELECT contact FROM broadcast_recipients WHERE broadcast = ?1 LIMIT ?2)",
            )?
            .execute([id, DELETED_AT_ONCE])?;
        if deleted == 0 {
            self.conn.prepare_cached("DELETE FROM broadcast_counts WHERE broadcast = ?1")?.execute([id])?;
            return Ok(self.conn.prepare_cached("DELETE FROM broadcasts WHERE id = ?1")?.execute([id])?);
        }
        Ok(deleted)
    }
}

fn counts_of(conn: &rusqlite::Connection, id: BroadcastId) -> Result<Vec<RecipientCount>, StoreError> {
    let mut read = conn.prepare_cached(
        "SELECT state, code, recipients FROM broadcast_counts WHERE broadcast = ?1 AND recipients > 0 ORDER BY state, code",
    )?;
    let rows =
        read.query_map([id.0], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?)))?;
    let mut counts = Vec::new();
    for row in rows {
        let (state, code, recipients) = row?;
        let Some(state) = RecipientState::from_number(state) else { continue };
        let code = Some(code).filter(|code| !code.is_empty());
        counts.push(RecipientCount { state, code, recipients: recipients.unsigned_abs() });
    }
    Ok(counts)
}

/// Reading.
impl Reader {
    /// A broadcast.
    pub fn broadcast(&self, id: BroadcastId) -> Result<Option<BroadcastRow>, StoreError> {
        self.one(|conn| {
            let mut read = conn.prepare_cached(&format!("SELECT {COLUMNS} FROM broadcasts WHERE id = ?1"))?;
            let mut rows = read.query([id.0])?;
            rows.next()?.map(broadcast_of).transpose()
        })
    }

    /// Broadcasts with this name: one for each author.
    pub fn broadcasts_named(&self, name: &str) -> Result<Vec<BroadcastRow>, StoreError> {
        self.one(|conn| {
            let mut read =
                conn.prepare_cached(&format!("SELECT {COLUMNS} FROM broadcasts WHERE name = ?1 ORDER BY id"))?;
            collect(read.query([name])?)
        })
    }

    /// Broadcasts, newest first.
    pub fn broadcasts(&self, before: Option<BroadcastId>, limit: usize) -> Result<Vec<BroadcastRow>, StoreError> {
        self.one(|conn| {
            let sql = format!("SELECT {COLUMNS} FROM broadcasts WHERE id < ?1 ORDER BY id DESC LIMIT ?2");
            let mut read = conn.prepare_cached(&sql)?;
            collect(read.query(params![before.map_or(i64::MAX, |id| id.0), bounded(limit)])?)
        })
    }

    /// Broadcasts that are being sent, and those that a plugin asked to start.
    pub fn active_broadcasts(&self) -> Result<Vec<BroadcastRow>, StoreError> {
        self.one(|conn| {
            let sql =
                format!("SELECT {COLUMNS} FROM broadcasts WHERE state = 2 OR wants_start = 1 ORDER BY id LIMIT 100");
            let mut read = conn.prepare_cached(&sql)?;
            collect(read.query([])?)
        })
    }

    /// Broadcasts that are paused or were not started, with a reason: they wait for an operator.
    pub fn waiting_broadcasts(&self) -> Result<Vec<BroadcastRow>, StoreError> {
        self.one(|conn| {
            let sql = format!(
                "SELECT {COLUMNS} FROM broadcasts WHERE (state = 3 OR state < 2) AND reason IS NOT NULL ORDER BY id DESC LIMIT 20"
            );
            let mut read = conn.prepare_cached(&sql)?;
            collect(read.query([])?)
        })
    }

    /// The number of broadcasts in each state.
    pub fn broadcasts_by_state(&self) -> Result<Vec<(BroadcastState, u64)>, StoreError> {
        self.one(|conn| {
            let mut read = conn.prepare_cached("SELECT state, count(*) FROM broadcasts GROUP BY state")?;
            let rows = read.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
            let mut counts = Vec::new();
            for row in rows {
                let (state, count) = row?;
                counts.extend(BroadcastState::from_number(state).map(|state| (state, count.unsigned_abs())));
            }
            Ok(counts)
        })
    }

    /// The number of recipients of all stored broadcasts, by state.
    pub fn recipients_by_state(&self) -> Result<Vec<(RecipientState, u64)>, StoreError> {
        self.one(|conn| {
            let mut read = conn.prepare_cached("SELECT state, sum(recipients) FROM broadcast_counts GROUP BY state")?;
            let rows = read.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
            let mut counts = Vec::new();
            for row in rows {
                let (state, count) = row?;
                counts.extend(RecipientState::from_number(state).map(|state| (state, count.unsigned_abs())));
            }
            Ok(counts)
        })
    }

    /// The definition of a broadcast, and its plan as JSON.
    pub fn broadcast_texts(
        &self,
        id: BroadcastId,
    ) -> Result<Option<(BroadcastDefinition, Option<String>)>, StoreError> {
        self.one(|conn| {
            let mut read = conn.prepare_cached("SELECT definition, plan FROM broadcasts WHERE id = ?1")?;
            let found: Option<(String, Option<String>)> =
                read.query_row([id.0], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            found.map(|(json, plan)| Ok((from_json("broadcast", id.0, &json)?, plan))).transpose()
        })
    }

    /// What people are shown of a definition.
    pub fn broadcast_outline(&self, id: BroadcastId) -> Result<Option<BroadcastOutline>, StoreError> {
        self.one(|conn| {
            let mut read = conn.prepare_cached("SELECT definition FROM broadcasts WHERE id = ?1")?;
            let found: Option<String> = read.query_row([id.0], |row| row.get(0)).optional()?;
            found.map(|json| from_json("broadcast", id.0, &json)).transpose()
        })
    }

    /// The plan of a broadcast as JSON, without the definition, which may list 200,000 contacts.
    pub fn broadcast_plan(&self, id: BroadcastId) -> Result<Option<String>, StoreError> {
        self.one(|conn| {
            let mut read = conn.prepare_cached("SELECT plan FROM broadcasts WHERE id = ?1")?;
            Ok(read.query_row([id.0], |row| row.get(0)).optional()?.flatten())
        })
    }

    /// The state at the last start or resume.
    pub fn broadcast_baseline(&self, id: BroadcastId) -> Result<BroadcastBaseline, StoreError> {
        self.one(|conn| {
            let mut read = conn.prepare_cached("SELECT baseline FROM broadcasts WHERE id = ?1")?;
            let json: Option<String> = read.query_row([id.0], |row| row.get(0)).optional()?.flatten();
            json.map_or(Ok(BroadcastBaseline::default()), |json| from_json("broadcast", id.0, &json))
        })
    }

    /// The number of recipients by state and code.
    pub fn recipient_counts(&self, id: BroadcastId) -> Result<Vec<RecipientCount>, StoreError> {
        self.one(|conn| counts_of(conn, id))
    }

    /// Recipients that are due: first those whose deferral has ended or was made before the clock
    /// was set back, then planned ones.
    pub fn recipients_due(
        &self,
        id: BroadcastId,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<RecipientRow>, StoreError> {
        self.all(|conn| {
            let held = format!(
                "SELECT {RECIPIENT} FROM broadcast_recipients
                 WHERE broadcast = ?1 AND state = 7 AND due_at > ?2 AND due_at <= ?3 ORDER BY due_at LIMIT ?4"
            );
            let mut found = Vec::new();
            let mut read = conn.prepare_cached(&held)?;
            for (after, until) in [(i64::MIN, now.0), (now.plus_ms(LONGEST_DEFERRAL_MS).0, i64::MAX)] {
                let mut rows = read.query(params![id.0, after, until, bounded(limit.saturating_sub(found.len()))])?;
                while let Some(row) = rows.next()? {
                    found.push(recipient_of(row)?);
                }
            }
            let planned = format!(
                "SELECT {RECIPIENT} FROM broadcast_recipients WHERE broadcast = ?1 AND state = 0 ORDER BY contact LIMIT ?2"
            );
            let mut read = conn.prepare_cached(&planned)?;
            let mut rows = read.query(params![id.0, bounded(limit.saturating_sub(found.len()))])?;
            while let Some(row) = rows.next()? {
                found.push(recipient_of(row)?);
            }
            Ok(found)
        })
    }

    /// The messages of all broadcasts of a channel that are in the outbox and not deferred: those
    /// that wait, and those in flight.
    pub fn broadcasts_in_outbox(&self, channel: &str, now: Timestamp) -> Result<(u64, u64), StoreError> {
        self.one(|conn| {
            let mut read = conn.prepare_cached(
                "SELECT count(*) FILTER (WHERE outbox.state = 0), count(*) FILTER (WHERE outbox.state = 1) FROM broadcasts
                     CROSS JOIN broadcast_recipients ON broadcast_recipients.broadcast = broadcasts.id
                     CROSS JOIN outbox ON outbox.id = message
                 WHERE broadcasts.channel = ?1 AND broadcast_recipients.state = 1
                   AND (outbox.state = 1 OR outbox.due_at <= ?2)",
            )?;
            let counts = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, i64>(1)?.unsigned_abs()));
            Ok(read.query_row(params![channel, now.0], counts)?)
        })
    }

    /// When the next held recipient is due, after those of [`Reader::recipients_due`].
    pub fn recipients_next_due(&self, id: BroadcastId) -> Result<Option<Timestamp>, StoreError> {
        self.one(|conn| {
            let mut read =
                conn.prepare_cached("SELECT min(due_at) FROM broadcast_recipients WHERE broadcast = ?1 AND state = 7")?;
            Ok(read.query_row([id.0], |row| row.get::<_, Option<i64>>(0))?.map(Timestamp))
        })
    }

    /// The names of broadcasts that still exist.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn broadcast_names(
        &self,
        ids: impl IntoIterator<Item = BroadcastId>,
    ) -> Result<BTreeMap<BroadcastId, String>, StoreError> {
        let ids: BTreeSet<BroadcastId> = ids.into_iter().collect();
        self.one(|conn| {
            let mut read = conn.prepare_cached("SELECT name FROM broadcasts WHERE id = ?1")?;
            let mut names = BTreeMap::new();
            for id in ids {
                let name: Option<String> = read.query_row([id.0], |row| row.get(0)).optional()?;
                names.extend(name.map(|name| (id, name)));
            }
            Ok(names)
        })
    }

    /// The id and name of a message's broadcast.
    pub fn broadcast_of_message(&self, message: MessageId) -> Result<Option<(BroadcastId, String)>, StoreError> {
        self.one(|conn| {
            let mut read = conn.prepare_cached(
                "SELECT broadcasts.id, name FROM outbox JOIN broadcasts ON broadcasts.id = outbox.broadcast WHERE outbox.id = ?1",
            )?;
            Ok(read.query_row([message.0], |row| Ok((BroadcastId(row.get(0)?), row.get(1)?))).optional()?)
        })
    }

    /// One recipient.
    pub fn recipient(&self, id: BroadcastId, contact: ContactId) -> Result<Option<RecipientRow>, StoreError> {
        self.one(|conn| {
            let sql = format!(
                "SELECT {RECIPIENT} FROM broadcast_recipients
                 WHERE broadcast = ?2 AND contact = (SELECT coalesce(merged_into, id) FROM contacts WHERE id = ?1)"
            );
            let mut read = conn.prepare_cached(&sql)?;
            let mut rows = read.query([contact.0, id.0])?;
            rows.next()?.map(recipient_of).transpose()
        })
    }

    /// The broadcasts of which a person is a recipient: id, name, and what became of their message.
    pub fn broadcasts_of(&self, contact: ContactId) -> Result<Vec<(BroadcastId, String, RecipientRow)>, StoreError> {
        self.one(|conn| {
            let sql = format!(
                "SELECT {RECIPIENT}, broadcast, (SELECT name FROM broadcasts WHERE id = broadcast) FROM broadcast_recipients
                 WHERE broadcast IN (SELECT id FROM broadcasts) AND contact = ?1 ORDER BY broadcast"
            );
            let mut read = conn.prepare_cached(&sql)?;
            let mut rows = read.query([contact.0])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push((BroadcastId(row.get(10)?), row.get(11)?, recipient_of(row)?));
            }
            Ok(found)
        })
    }

    /// Recipients by contact.
    pub fn recipients(&self, id: BroadcastId, filter: &RecipientFilter) -> Result<Vec<RecipientRow>, StoreError> {
        self.one(|conn| {
            let sql = format!(
                "SELECT {RECIPIENT} FROM broadcast_recipients
                 WHERE broadcast = ?1 AND contact > ?2 AND (?3 IS NULL OR state = ?3) ORDER BY contact LIMIT ?4"
            );
            let mut read = conn.prepare_cached(&sql)?;
            let after = filter.after.map_or(0, |id| id.0);
            let mut rows =
                read.query(params![id.0, after, filter.state.map(|state| state as i64), bounded(filter.limit)])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(recipient_of(row)?);
            }
            Ok(found)
        })
    }

    /// A page of the people of an audience, in the order of their ids. `earlier`: the broadcast
    /// that a follow-up is about.
    pub fn audience(
        &self,
        audience: &Audience,
        earlier: Option<BroadcastId>,
        (after, now): (ContactId, Timestamp),
        limit: usize,
    ) -> Result<Vec<ContactId>, StoreError> {
        let everyone = "SELECT id FROM contacts WHERE id > ?1 AND merged_into IS NULL";
        let recipients = "SELECT contact FROM broadcast_recipients WHERE broadcast = ?3 AND contact > ?1";
        self.one(|conn| {
            let (sql, argument): (String, rusqlite::types::Value) = match audience {
                Audience::Everyone => (format!("{everyone} AND ?3 IS NULL ORDER BY id"), None::<i64>.into()),
                Audience::Members => (format!("{everyone} AND membership = 1 AND ?3 IS NULL ORDER BY id"), None::<i64>.into()),
                Audience::Tag(tag) => (
                    format!("{everyone} AND EXISTS (SELECT 1 FROM json_each(profile, '$.tags') WHERE value = ?3) ORDER BY id"),
                    tag.clone().into(),
                ),
                // Segments are evaluated above the store.
                Audience::Segment(_) => return Ok(Vec::new()),
                // They are in the definition: see `current_contacts`.
                Audience::Contacts(_) => return Ok(Vec::new()),
                Audience::Broadcast(follow_up) => {
                    let condition = match follow_up.recipients {
                        FollowUpRecipients::Unread => {
                            let since = now.plus_ms(-i64::from(follow_up.after_hours) * 3_600_000).0;
                            format!("state = 3 AND sent_at <= {since}")
                        }
                        FollowUpRecipients::Failed => "state = 5".into(),
                        FollowUpRecipients::Replied => "replied_at IS NOT NULL".into(),
                        FollowUpRecipients::NotReplied => "state IN (3, 4) AND replied_at IS NULL".into(),
                    };
                    (format!("{recipients} AND {condition} ORDER BY contact"), earlier.map(|id| id.0).into())
                }
            };
            let mut read = conn.prepare_cached(&format!("{sql} LIMIT ?2"))?;
            let rows = read.query_map(params![after.0, bounded(limit), argument], |row| row.get(0).map(ContactId))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// These contacts in the order of their ids, each once; contacts that were merged are the
    /// contact that was kept.
    pub fn current_contacts(&self, contacts: &[ContactId]) -> Result<Vec<ContactId>, StoreError> {
        self.all(|conn| {
            let current = contacts.iter().map(|contact| crate::merged::current_contact(conn, *contact));
            let mut current = current.collect::<Result<Vec<_>, _>>()?;
            current.sort_unstable();
            current.dedup();
            Ok(current)
        })
    }

    /// The conversations of people on a channel; `None` for those without one.
    pub fn conversations_on(
        &self,
        channel: &str,
        contacts: &[ContactId],
    ) -> Result<Vec<(ContactId, Option<ConversationView>)>, StoreError> {
        self.all(|conn| {
            let mut read = conn.prepare_cached("SELECT id FROM conversations WHERE contact = ?1 AND channel = ?2")?;
            let mut found = Vec::with_capacity(contacts.len());
            for contact in contacts {
                let id =
                    read.query_row(params![contact.0, channel], |row| row.get(0).map(ConversationId)).optional()?;
                let view = match id.map(|id| load_view(conn, id, None)) {
                    None => None,
                    Some(Ok(view)) => view,
                    // An unreadable row must not stop the broadcast.
                    Some(Err(error @ StoreError::Unreadable { .. })) => {
                        tracing::warn!(%contact, %error, "contact left out of a broadcast");
                        None
                    }
                    Some(Err(error)) => return Err(error),
                };
                found.push((*contact, view));
            }
            Ok(found)
        })
    }
}

fn collect(mut rows: rusqlite::Rows<'_>) -> Result<Vec<BroadcastRow>, StoreError> {
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(broadcast_of(row)?);
    }
    Ok(found)
}
