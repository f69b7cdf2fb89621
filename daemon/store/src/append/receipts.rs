//! Receipts: what the platform says became of a message of ours.
//!
//! They come in any order, more than once, and sometimes before the answer to the request that sent the message. So they
//! have a rank and only move a message forward; what a set of them makes of a message does not depend on their order.
//! A receipt is also proof that the platform has the message, which ends the doubt about a row that is `sending`.

use crate::StoreError;
use crate::append::platform_key;
use crate::codec::{send_state_of, to_json};
use crate::step::{Appended, EventKey, Receipt, ReceiptFor, SendState};
use crate::writer::Tx;
use beadle_model::{ContactId, ConversationId, EventBody, MessageId, PluginNo, Timestamp};
use rusqlite::{OptionalExtension, params};
use sha2::{Digest, Sha256};

/// The code of a send of which nobody knows whether it arrived.
pub(crate) const UNKNOWN_OUTCOME: &str = "outcome-unknown";

/// `failed` stands below `delivered`: who has read a message has it, whatever else was said of it.
const FAILED: i64 = 2;

/// How far a status is, and the statement that notes it (with the time it came first); `None` for a status that this
/// version does not know.
fn rank_of(status: &str) -> Option<(i64, &'static str)> {
    macro_rules! note {
        ($column:literal) => {
            concat!(
                "UPDATE outbox SET state = ?2, receipt = ?3, problem = ?4, platform = ?5, platform_key = ?6, ",
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

/// What of a row a receipt has to do with.
struct Sent {
    plugin: PluginNo,
    conversation: ConversationId,
    state: SendState,
    receipt: i64,
    platform: Option<String>,
    problem: Option<String>,
    was_tried: bool,
    unpriced: bool,
}

/// A member of a group whom a receipt is about.
struct Participant {
    contact: Option<ContactId>,
    /// The receipt is further than what was known of them.
    forward: bool,
}

impl Sent {
    /// Where the row stands after a receipt with this rank (0: unknown, but the platform has it all the same).
    fn state_after(&self, rank: i64) -> SendState {
        let says_no = rank == FAILED;
        let told = if says_no { SendState::Failed } else { SendState::Accepted };
        match self.state {
            SendState::Sending => told,
            // In doubt, and to be sent again: not if it has arrived.
            SendState::Queued if self.was_tried && !says_no => SendState::Accepted,
            SendState::Dead if self.problem.as_deref().is_some_and(is_unknown_outcome) => told,
            SendState::Accepted if says_no && self.receipt < FAILED => SendState::Failed,
            SendState::Failed if rank > FAILED => SendState::Accepted,
            other => other,
        }
    }

    /// How far it was, by receipts and by the answer to the request.
    fn rank(&self) -> i64 {
        if self.state == SendState::Failed { self.receipt.max(FAILED) } else { self.receipt }
    }
}

/// Whether a problem, as JSON, is that nobody knows.
fn is_unknown_outcome(problem: &str) -> bool {
    serde_json::from_str::<beadle_model::event::Problem>(problem).is_ok_and(|problem| problem.code == UNKNOWN_OUTCOME)
}

impl Tx<'_> {
    pub(super) fn receive(
        &mut self,
        receipt: &Receipt,
        listeners: &[PluginNo],
        now: Timestamp,
        appended: &mut Appended,
    ) -> Result<(), StoreError> {
        let (id, platform) = match &receipt.message {
            ReceiptFor::Ours(id, platform) => (Some(*id), platform),
            ReceiptFor::Platform(platform) => (self.find_platform(platform)?.map(|found| found.0), platform),
        };
        let sent = id.map_or(Ok(None), |id| self.sent(id))?;
        let Some((id, sent)) = id.zip(sent) else {
            appended.strangers += 1;
            return Ok(());
        };
        let known = rank_of(&receipt.status);
        let rank = known.map_or(0, |(rank, _)| rank);
        let forward = rank > sent.rank();
        let state = sent.state_after(rank);
        let first_platform = sent.platform.is_none() && !platform.is_empty();
        let first_price = sent.unpriced && receipt.pricing.is_some();
        if state != sent.state || first_platform || first_price || (known.is_some() && rank != sent.receipt) {
            self.note(id, &sent, receipt, platform, (rank, state))?;
        }
        if state != sent.state {
            self.shadow.sending.remove(&id.0);
            if sent.state == SendState::Dead {
                self.conn.prepare_cached("DELETE FROM dead WHERE message = ?1")?.execute([id.0])?;
            }
            appended.received.push(id);
        }
        if forward && receipt.participant.is_empty() {
            self.learn_names(&receipt.recipient, sent.conversation, now)?;
        }
        if let Some(until) = receipt.free_entry_until {
            self.enter_free(sent.conversation, until)?;
        }
        // In a group each member has a way of their own.
        let participant = self.participant(id, receipt, rank, now)?;
        let forward = participant.as_ref().map_or(forward, |participant| participant.forward);
        if (!forward && known.is_some()) || !listeners.contains(&sent.plugin) {
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
        // Known ones come once because they go forward; others by what they say.
        let key = known.is_none().then(|| status_key(id, receipt));
        if key.map(|key| self.seen(key)).transpose()? != Some(true) {
            self.append_own(key, body, Some(sent.conversation), (receipt.at.min(now), now))?;
            appended.events += 1;
        }
        Ok(())
    }

    fn sent(&self, id: MessageId) -> Result<Option<Sent>, StoreError> {
        let mut read = self.conn.prepare_cached(
            "SELECT plugin, conversation, state, coalesce(receipt, 0), platform, problem, attempts > 0 OR maybe_twice,
                 pricing IS NULL
             FROM outbox WHERE id = ?1",
        )?;
        let row = read.query_row([id.0], |row| {
            let sent = Sent {
                plugin: PluginNo(row.get(0)?),
                conversation: ConversationId(row.get(1)?),
                state: SendState::Queued,
                receipt: row.get(3)?,
                platform: row.get(4)?,
                problem: row.get(5)?,
                was_tried: row.get(6)?,
                unpriced: row.get(7)?,
            };
            Ok((sent, row.get(2)?))
        });
        let Some((sent, state)) = row.optional()? else { return Ok(None) };
        Ok(Some(Sent { state: send_state_of(state)?, ..sent }))
    }

    /// Notes a member's own receipt; `None` where it is not about one.
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
        let contact = self.named(&receipt.participant, now)?;
        let member = contact.map_or(0, |contact| contact.0);
        let known: Option<i64> = self
            .conn
            .prepare_cached("SELECT receipt FROM group_receipts WHERE message = ?1 AND participant = ?2")?
            .query_row([id.0, member], |row| row.get(0))
            .optional()?;
        self.conn
            .prepare_cached(
                "INSERT INTO group_receipts (message, participant, receipt, at, pricing) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO UPDATE SET at = CASE WHEN ?3 > receipt THEN ?4 ELSE at END,
                     receipt = max(receipt, ?3), pricing = coalesce(pricing, ?5)",
            )?
            .execute(params![id.0, member, rank, receipt.at.0, pricing_of(receipt)?])?;
        Ok(Some(Participant { contact, forward: known.is_none_or(|known| rank > known) }))
    }

    fn note(
        &self,
        id: MessageId,
        sent: &Sent,
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
        // A status that we do not know has no column of its own.
        let note = rank_of(&receipt.status).map_or(
            "UPDATE outbox SET state = ?2, receipt = ?3, problem = ?4, platform = ?5, platform_key = ?6,
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

/// By what a status without a rank is recognised when it comes again.
fn status_key(id: MessageId, receipt: &Receipt) -> EventKey {
    let mut hash = Sha256::new();
    hash.update(b"status\0");
    hash.update(id.0.to_be_bytes());
    hash.update(receipt.status.as_bytes());
    EventKey { at: receipt.at, hash: hash.finalize().first_chunk().copied().unwrap_or_default() }
}
