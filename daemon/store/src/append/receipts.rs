//! Receipts: the platform's reports on sent messages.
//!
//! They arrive in any order, repeatedly, and sometimes before the response to the request.
//! Therefore each status has a rank and only moves a message forward; the result does not depend on
//! the order. A receipt also proves that the platform has the message, so that a `sending` row is
//! no longer ambiguous.

use super::quotes::platform_key;
use crate::charges::DELIVERED;
use crate::codec::{from_json, send_state_of, to_json};
use crate::error::StoreError;
use crate::outreach::MARKETING_CAPPED;
use crate::step::{Appended, EventKey, FailedReceipt, Interest, Receipt, ReceiptFor, SendState};
use crate::tx::Tx;
use beadle_model::{ContactId, ConversationId, EventBody, MessageId, PluginNo, Timestamp};
use rusqlite::{OptionalExtension, params};
use sha2::{Digest, Sha256};

/// The code of an ambiguous send.
pub(crate) const UNKNOWN_OUTCOME: &str = "outcome-unknown";

/// `failed` ranks below `delivered`: a message that was read has arrived, whatever else was
/// reported.
const FAILED: i64 = 2;

/// The rank of a status, and the statement that records it with the time of the first one; `None`
/// for a status that this version does not know.
fn rank_of(status: &str) -> Option<(i64, &'static str)> {
    macro_rules! note {
        ($column:literal) => {
            concat!(
                "UPDATE outbox SET state = ?2, receipt = ?3, problem = ?4, platform_id = ?5, platform_key = ?6, ",
                $column,
                " = coalesce(",
                $column,
                ", ?7), pricing = coalesce(pricing, ?8) WHERE id = ?1"
            )
        };
    }
    Some(match status {
        "sent" => (1, note!("sent_at")),
        "failed" => (FAILED, note!("failed_at")),
        "delivered" => (3, note!("delivered_at")),
        "read" => (4, note!("read_at")),
        "played" => (5, note!("played_at")),
        _ => return None,
    })
}

/// The columns of a row that matter for a receipt.
struct SentRow {
    plugin: PluginNo,
    conversation: ConversationId,
    state: SendState,
    receipt: i64,
    platform: Option<String>,
    problem: Option<String>,
    was_tried: bool,
    /// The price, as JSON.
    pricing: Option<String>,
    created_at: Timestamp,
}

/// The group member that a receipt is about.
struct Participant {
    contact: Option<ContactId>,
    /// Whether the receipt is further than the previous ones for this member.
    forward: bool,
    /// The price, as JSON, if it was not charged before and is now.
    charged: Option<String>,
}

impl SentRow {
    /// The row's state after a receipt of this rank. Rank 0 (unknown) still proves that the
    /// platform has it.
    fn state_after(&self, rank: i64) -> SendState {
        let is_failure = rank == FAILED;
        let reported = if is_failure { SendState::Failed } else { SendState::Accepted };
        match self.state {
            SendState::Sending => reported,
            // An ambiguous message that would be sent again has arrived.
            SendState::Queued if self.was_tried && !is_failure => SendState::Accepted,
            SendState::Dead if self.problem.as_deref().is_some_and(is_unknown_outcome) => reported,
            SendState::Accepted if is_failure && self.receipt < FAILED => SendState::Failed,
            SendState::Failed if rank > FAILED => SendState::Accepted,
            other => other,
        }
    }

    /// The row's rank by receipts and by the response to the request.
    fn rank(&self) -> i64 {
        if self.state == SendState::Failed { self.receipt.max(FAILED) } else { self.receipt }
    }
}

/// Whether a problem (as JSON) is an ambiguous outcome.
fn is_unknown_outcome(problem: &str) -> bool {
    serde_json::from_str::<beadle_model::event::Problem>(problem).is_ok_and(|problem| problem.code == UNKNOWN_OUTCOME)
}

impl Tx<'_> {
    pub(super) fn receive(
        &mut self,
        receipt: &Receipt,
        interest: &Interest,
        now: Timestamp,
        appended: &mut Appended,
    ) -> Result<(), StoreError> {
        let (id, platform) = match &receipt.message {
            ReceiptFor::Ours(id, platform) => (Some(*id), platform),
            ReceiptFor::Platform(platform) => (self.find_by_platform_id(platform)?.map(|found| found.0), platform),
        };
        let sent = id.map_or(Ok(None), |id| self.sent(id))?;
        let Some((id, sent)) = id.zip(sent) else {
            appended.unknown_receipts += 1;
            return Ok(());
        };
        let known = rank_of(&receipt.status);
        let rank = known.map_or(0, |(rank, _)| rank);
        let forward = rank > sent.rank();
        let state = sent.state_after(rank);
        let first_platform = sent.platform.is_none() && !platform.is_empty();
        let first_price = sent.pricing.is_none() && receipt.pricing.is_some();
        if state != sent.state || first_platform || first_price || (known.is_some() && rank != sent.receipt) {
            self.note(id, &sent, receipt, platform, (rank, state))?;
        }
        if state != sent.state {
            self.cache.sending.remove(&id.0);
            if sent.state == SendState::Dead {
                self.conn.prepare_cached("DELETE FROM dead_letters WHERE message = ?1")?.execute([id.0])?;
            }
            appended.received.push(id);
        }
        if forward && receipt.participant.is_empty() {
            self.add_aliases(&receipt.recipient, sent.conversation, sent.created_at)?;
        }
        if let Some(until) = receipt.free_entry_until {
            self.set_free_entry(sent.conversation, until)?;
        }
        if first_price && receipt.pricing.as_ref().is_some_and(|pricing| pricing.category == "marketing") {
            self.count_as_marketing(id)?;
        }
        // In a group every member has receipts, and a price.
        let participant = self.participant(id, receipt, rank, now)?;
        let charged = match &participant {
            Some(participant) => participant.charged.clone(),
            None => charged_now((sent.receipt, sent.pricing.clone()), rank, receipt)?,
        };
        if let Some(pricing) = charged
            && (participant.is_some() || !self.is_group(sent.conversation)?)
        {
            let pricing = from_json("the price of message", id.0, &pricing)?;
            self.charge(id, sent.conversation, &pricing, &receipt.participant)?;
        }
        let forward = participant.as_ref().map_or(forward, |participant| participant.forward);
        if forward && rank == FAILED {
            // The message counts no more, and each reason may say something about the person.
            let mut codes: Vec<&str> =
                receipt.problem.iter().chain(&receipt.further_problems).map(|problem| &*problem.code).collect();
            codes.sort_by_key(|code| *code != MARKETING_CAPPED);
            self.remove_outreach(id, codes.first().copied().unwrap_or_default(), now)?;
            self.delete_pending_charge(id)?;
            for code in codes {
                self.record_refusal(sent.conversation, code, receipt.at.min(now), interest.consent_changed)?;
            }
            appended.failed.push(FailedReceipt {
                message: id,
                conversation: sent.conversation,
                channel: self.channel_of(sent.conversation)?,
                problem: receipt.problem.clone(),
                further_problems: receipt.further_problems.clone(),
            });
        } else if forward && known.is_some() {
            if rank > FAILED {
                self.clear_marketing_refusal(id)?;
            }
            appended.progressed.push(id);
        }
        if (!forward && known.is_some()) || !interest.message_status.contains(sent.plugin) {
            return Ok(());
        }
        let body = EventBody::MessageStatus {
            plugin: sent.plugin,
            message: id,
            platform: sent.platform.or_else(|| Some(platform.clone()).filter(|platform| !platform.is_empty())),
            status: receipt.status.clone(),
            problem: receipt.problem.clone(),
            pricing: receipt.pricing.clone(),
            participant: participant.and_then(|participant| participant.contact),
            extra: receipt.extra.clone(),
        };
        // Known statuses are deduplicated by their rank, others by this key.
        let key = known.is_none().then(|| status_key(sent.created_at, id, receipt));
        if key.map(|key| self.seen(key)).transpose()? != Some(true) {
            self.append_own(key, body, Some(sent.conversation), (receipt.at.min(now), now))?;
            appended.events += 1;
        }
        Ok(())
    }

    /// The channel that a conversation is on.
    fn channel_of(&self, conversation: ConversationId) -> Result<String, StoreError> {
        let mut read = self.conn.prepare_cached("SELECT channel FROM conversations WHERE id = ?1")?;
        Ok(read.query_row([conversation.0], |row| row.get(0)).optional()?.unwrap_or_default())
    }

    fn sent(&self, id: MessageId) -> Result<Option<SentRow>, StoreError> {
        let mut read = self.conn.prepare_cached(
            "SELECT plugin, conversation, state, coalesce(receipt, 0), platform_id, problem, attempts > 0 OR possibly_duplicate,
                 pricing, created_at
             FROM outbox WHERE id = ?1",
        )?;
        let row = read.query_row([id.0], |row| {
            let sent = SentRow {
                plugin: PluginNo(row.get(0)?),
                conversation: ConversationId(row.get(1)?),
                state: SendState::Queued,
                receipt: row.get(3)?,
                platform: row.get(4)?,
                problem: row.get(5)?,
                was_tried: row.get(6)?,
                pricing: row.get(7)?,
                created_at: Timestamp(row.get(8)?),
            };
            Ok((sent, row.get(2)?))
        });
        let Some((sent, state)) = row.optional()? else { return Ok(None) };
        Ok(Some(SentRow { state: send_state_of(state)?, ..sent }))
    }

    /// Records the receipt of a group member; `None` if it is not about one.
    fn participant(
        &mut self,
        id: MessageId,
        receipt: &Receipt,
        rank: i64,
        now: Timestamp,
    ) -> Result<Option<Participant>, StoreError> {
        if receipt.participant.is_empty() {
            return Ok(None);
        }
        let contact = self.find_or_create_contact(&receipt.participant, now)?;
        let member = contact.map_or(0, |contact| contact.0);
        let known: Option<(i64, Option<String>)> = self
            .conn
            .prepare_cached("SELECT receipt, pricing FROM group_receipts WHERE message = ?1 AND participant = ?2")?
            .query_row([id.0, member], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        self.conn
            .prepare_cached(
                "INSERT INTO group_receipts (message, participant, receipt, at, pricing) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO UPDATE SET at = CASE WHEN ?3 > receipt THEN ?4 ELSE at END,
                     receipt = max(receipt, ?3), pricing = coalesce(pricing, ?5)",
            )?
            .execute(params![id.0, member, rank, receipt.at.0, pricing_of(receipt)?])?;
        let forward = known.as_ref().is_none_or(|(known, _)| rank > *known);
        let charged = charged_now(known.unwrap_or_default(), rank, receipt)?;
        Ok(Some(Participant { contact, forward, charged }))
    }

    fn note(
        &self,
        id: MessageId,
        sent: &SentRow,
        receipt: &Receipt,
        platform: &str,
        (rank, state): (i64, SendState),
    ) -> Result<(), StoreError> {
        let problem = match (state, &receipt.problem) {
            (SendState::Accepted, _) => None,
            (SendState::Failed, Some(problem)) if sent.state != SendState::Failed => {
                Some(to_json("a problem", problem)?)
            }
            _ => sent.problem.clone(),
        };
        let platform = sent.platform.as_deref().or(Some(platform)).filter(|platform| !platform.is_empty());
        let key = platform.map(|platform| platform_key(id.0, platform));
        let furthest = Some(rank.max(sent.receipt)).filter(|rank| *rank > 0);
        // An unknown status has no column.
        let note = rank_of(&receipt.status).map_or(
            "UPDATE outbox SET state = ?2, receipt = ?3, problem = ?4, platform_id = ?5, platform_key = ?6,
                 pricing = coalesce(pricing, ?8) WHERE id = ?1 AND ?7 IS NOT NULL",
            |(_, note)| note,
        );
        self.conn.prepare_cached(note)?.execute(params![
            id.0,
            state as i64,
            furthest,
            problem,
            platform,
            key,
            receipt.at.0,
            pricing_of(receipt)?
        ])?;
        Ok(())
    }
}

fn pricing_of(receipt: &Receipt) -> Result<Option<String>, StoreError> {
    receipt.pricing.as_ref().map(|pricing| to_json("a price", pricing)).transpose()
}

/// The price (as JSON) of what has arrived, if this receipt is the first after which both is known:
/// that it has arrived, and its price. `known`: the furthest receipt before, and the price.
fn charged_now(
    (furthest, price): (i64, Option<String>),
    rank: i64,
    receipt: &Receipt,
) -> Result<Option<String>, StoreError> {
    if rank.max(furthest) < DELIVERED || (furthest >= DELIVERED && price.is_some()) {
        return Ok(None);
    }
    price.map_or_else(|| pricing_of(receipt), |price| Ok(Some(price)))
}

/// The deduplication key of a status without a rank: message, status and group member, whatever the
/// time stamp, which may be missing and then differs between deliveries.
fn status_key(sent_at: Timestamp, id: MessageId, receipt: &Receipt) -> EventKey {
    let mut hash = Sha256::new();
    hash.update(b"status\0");
    hash.update(id.0.to_be_bytes());
    hash.update((receipt.status.len() as u64).to_be_bytes());
    hash.update(receipt.status.as_bytes());
    if let Some(member) = receipt.participant.first() {
        hash.update([member.kind as u8]);
        hash.update(member.value.as_bytes());
    }
    EventKey { at: sent_at, hash: hash.finalize().first_chunk().copied().unwrap_or_default() }
}
