//! Messages that the business sends first: counts per contact for the marketing caps and per
//! portfolio for the messaging limit, and WhatsApp's refusals of marketing.

use crate::broadcasts::PLATFORM_CLOCK_MS;
use crate::error::StoreError;
use crate::read::Reader;
use crate::step::NewSend;
use crate::tx::Tx;
use beadle_model::consent::rules::PlannedConsent;
use beadle_model::consent::{ConsentAct, NewConsent, actor};
use beadle_model::effect::Outreach;
use beadle_model::time::{CLOCK_AHEAD_MS, DAY_MS};
use beadle_model::{ContactId, ConversationId, MessageId, Purpose, Timestamp};
use rusqlite::{OptionalExtension, params};

/// The code of a person who has stopped marketing messages.
const MARKETING_STOPPED: &str = "131050";

/// The code of the platform's own cap on marketing to a person.
pub(crate) const MARKETING_CAPPED: &str = "131049";

/// The code of a number that is not on the platform, or that cannot receive the message.
const UNDELIVERABLE: &str = "131026";

/// WhatsApp's cap on marketing to a person is respected for a day, then for twice as long each
/// time, up to this.
const MAX_REFUSAL_MS: i64 = DAY_MS << MAX_DOUBLINGS;
const MAX_DOUBLINGS: u8 = 5;

/// Which marketing messages to list.
#[derive(Clone, Copy, Debug)]
pub struct MarketingSends<'a> {
    /// To this person.
    pub contact: ContactId,
    /// Of this topic.
    pub topic: Option<&'a str>,
    /// After this time.
    pub since: Timestamp,
    /// Not after this time: those were counted by a clock that was ahead.
    pub until: Timestamp,
    /// Only those that go before this message: with a lower id, or accepted.
    pub before: Option<MessageId>,
}

fn says_something_about_the_person(code: &str) -> bool {
    matches!(code, MARKETING_STOPPED | UNDELIVERABLE)
}

impl Tx<'_> {
    /// Counts a message that the business sends first.
    pub(crate) fn count_outreach(
        &mut self,
        send: &NewSend,
        outreach: &Outreach,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        // A group has no contact and is not counted.
        self.conn
            .prepare_cached(
                "INSERT INTO outreach (message, contact, channel, at, marketing, topic, outside, free_form)
                 SELECT ?1, contact, channel, ?3, ?4, ?5, ?6, ?7 FROM conversations WHERE id = ?2 AND contact IS NOT NULL",
            )?
            .execute(params![
                send.message.0,
                self.cache.people.conversation(send.conversation).0,
                now.0,
                outreach.is_marketing,
                outreach.topic,
                outreach.is_outside_window,
                outreach.is_free_form
            ])?;
        Ok(())
    }

    /// Sets the time of an outreach row to when the message is sent.
    pub(crate) fn set_outreach_time(&self, message: MessageId, now: Timestamp) -> Result<(), StoreError> {
        self.conn
            .prepare_cached("UPDATE outreach SET at = ?2 WHERE message = ?1")?
            .execute(params![message.0, now.0])?;
        Ok(())
    }

    /// Removes a refused message from the counts. On code 131049 it extends the contact's marketing
    /// refusal: a day, then twice as long each time, up to 32 days.
    pub(crate) fn remove_outreach(&self, message: MessageId, code: &str, now: Timestamp) -> Result<(), StoreError> {
        let contact: Option<i64> = self
            .conn
            .prepare_cached("DELETE FROM outreach WHERE message = ?1 RETURNING contact")?
            .query_row([message.0], |row| row.get(0))
            .optional()?;
        if let (Some(contact), MARKETING_CAPPED) = (contact, code) {
            self.conn
                .prepare_cached(
                    "INSERT INTO marketing_refusals (contact, code, times, until) VALUES (?1, ?2, 1, ?3 + ?4)
                     ON CONFLICT (contact) DO UPDATE SET times = times + 1, until = ?3 + (?4 << min(times, ?5))",
                )?
                .execute(params![contact, code, now.0, DAY_MS, MAX_DOUBLINGS])?;
        }
        Ok(())
    }

    /// Records what the platform's code says about the recipient: they have stopped marketing
    /// (131050), or no message can be delivered to them (131026).
    pub(crate) fn record_refusal(
        &mut self,
        conversation: ConversationId,
        code: &str,
        at: Timestamp,
        wants_event: bool,
    ) -> Result<(), StoreError> {
        if !says_something_about_the_person(code) {
            return Ok(());
        }
        let row = self.cache.people.conversation_row(self.conn, conversation)?;
        let Some(contact) = row.and_then(|row| row.contact) else { return Ok(()) };
        if code == UNDELIVERABLE {
            return self.mark_unreachable(contact, code, at);
        }
        let consent = NewConsent {
            contact,
            actor: actor::PLATFORM.into(),
            evidence: Some(format!("code {code}")),
            ..NewConsent::in_chat(Purpose::Marketing, ConsentAct::Withdrawn, at)
        };
        self.record_consent(&PlannedConsent { consent, question: None }, wants_event, at)?;
        Ok(())
    }

    /// The same for the recipient of a message.
    pub(crate) fn record_refusal_of(
        &mut self,
        message: MessageId,
        code: &str,
        at: Timestamp,
        wants_event: bool,
    ) -> Result<(), StoreError> {
        if !says_something_about_the_person(code) {
            return Ok(());
        }
        let find = "SELECT conversation FROM outbox WHERE id = ?1";
        let conversation = self.conn.prepare_cached(find)?.query_row([message.0], |row| row.get(0)).optional()?;
        conversation
            .map_or(Ok(()), |conversation| self.record_refusal(ConversationId(conversation), code, at, wants_event))
    }

    fn mark_unreachable(&self, contact: ContactId, code: &str, at: Timestamp) -> Result<(), StoreError> {
        self.conn
            .prepare_cached(
                "INSERT INTO unreachable (contact, at, code) VALUES (?1, ?2, ?3)
                 ON CONFLICT (contact) DO UPDATE SET at = max(at, excluded.at), code = excluded.code",
            )?
            .execute(params![contact.0, at.0, code])?;
        Ok(())
    }

    /// Counts a template as marketing because the platform charges it as such: it may have been
    /// recategorised since the message was queued.
    pub(crate) fn count_as_marketing(&self, message: MessageId) -> Result<(), StoreError> {
        self.conn
            .prepare_cached("UPDATE outreach SET marketing = 1 WHERE message = ?1 AND marketing = 0 AND free_form = 0")?
            .execute([message.0])?;
        Ok(())
    }

    /// Removes the contact's marketing refusal once a marketing template has arrived; WhatsApp
    /// refuses no texts.
    pub(crate) fn clear_marketing_refusal(&self, message: MessageId) -> Result<(), StoreError> {
        self.conn
            .prepare_cached(
                "DELETE FROM marketing_refusals WHERE contact = (SELECT contact FROM outreach WHERE message = ?1 AND marketing = 1 AND free_form = 0)",
            )?
            .execute([message.0])?;
        Ok(())
    }
}

impl Reader {
    /// When marketing messages were sent to a person or queued for them, oldest first.
    pub fn marketing_sent(&self, sends: &MarketingSends<'_>) -> Result<Vec<Timestamp>, StoreError> {
        self.one(|conn| {
            conn.prepare_cached(
                "SELECT at FROM outreach
                 WHERE contact = ?1 AND marketing = 1 AND at > ?2 AND at <= ?5 AND (?3 IS NULL OR topic = ?3)
                   AND (?4 IS NULL OR message < ?4
                        OR (message <> ?4 AND (SELECT state FROM outbox WHERE id = message) IN (1, 2)))
                 ORDER BY at",
            )?
            .query_map(
                params![
                    sends.contact.0,
                    sends.since.0,
                    sends.topic,
                    sends.before.map(|before| before.0),
                    sends.until.0
                ],
                |row| row.get(0).map(Timestamp),
            )?
            .collect::<Result<_, _>>()
            .map_err(StoreError::from)
        })
    }

    /// Messages that were sent first outside a window and that the platform accepted: channel,
    /// person and time, oldest first. Those after `until` were counted by a clock that was ahead.
    pub fn outreach_since(
        &self,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<(String, ContactId, Timestamp)>, StoreError> {
        self.one(|conn| {
            conn.prepare_cached(
                "SELECT outreach.channel, contact, at FROM outreach JOIN outbox ON outbox.id = outreach.message
                 WHERE at > ?1 AND at <= ?2 AND outside = 1 AND outbox.state = 2 ORDER BY at",
            )?
            .query_map([since.0, until.0], |row| Ok((row.get(0)?, ContactId(row.get(1)?), Timestamp(row.get(2)?))))?
            .collect::<Result<_, _>>()
            .map_err(StoreError::from)
        })
    }

    /// Until when the platform refuses marketing to a person, and its code. A refusal that was
    /// stored by a clock that was ahead ends once the clock is right.
    pub fn marketing_refused(
        &self,
        contact: ContactId,
        now: Timestamp,
    ) -> Result<Option<(Timestamp, String)>, StoreError> {
        self.one(|conn| {
            conn.prepare_cached(
                "SELECT until, code FROM marketing_refusals WHERE contact = ?1 AND until > ?2 AND until <= ?3",
            )?
            .query_row(params![contact.0, now.0, now.plus_ms(MAX_REFUSAL_MS + CLOCK_AHEAD_MS).0], |row| {
                Ok((Timestamp(row.get(0)?), row.get(1)?))
            })
            .optional()
            .map_err(StoreError::from)
        })
    }

    /// When the platform last reported that it cannot deliver to a person, and its code; `None` if
    /// they have written since. A time stored by a clock that was ahead does not count.
    pub fn unreachable(&self, contact: ContactId, now: Timestamp) -> Result<Option<(Timestamp, String)>, StoreError> {
        self.one(|conn| {
            conn.prepare_cached(
                "SELECT at, code FROM unreachable WHERE contact = ?1 AND at <= ?2 AND at > ?3 +
                     (SELECT coalesce(max(last_inbound_at), 0) FROM conversations WHERE conversations.contact = ?1)",
            )?
            .query_row(params![contact.0, now.plus_ms(CLOCK_AHEAD_MS).0, PLATFORM_CLOCK_MS], |row| {
                Ok((Timestamp(row.get(0)?), row.get(1)?))
            })
            .optional()
            .map_err(StoreError::from)
        })
    }

    /// The quality of a channel's number, as fetched last: `green`, `yellow` or `red`.
    pub fn channel_quality(&self, channel: &str) -> Result<Option<String>, StoreError> {
        self.one(|conn| crate::templates::channel_quality(conn, channel))
    }

    /// How many people the business of a channel may write to first in 24 hours; 0: any number.
    /// `None`: not known.
    pub fn messaging_limit(&self, channel: &str) -> Result<Option<u64>, StoreError> {
        self.one(|conn| {
            let sql = "SELECT messaging_limit FROM accounts JOIN channel_accounts USING (account) WHERE channel = ?1";
            let limit =
                conn.prepare_cached(sql)?.query_row([channel], |row| row.get::<_, Option<i64>>(0)).optional()?;
            Ok(limit.flatten().map(i64::unsigned_abs))
        })
    }
}
