//! What messages cost: what the platform charged, and what it has not priced yet.
//!
//! A charge is counted in the transaction of the receipt that completes it, and the row of the
//! message (in a group, of the member) shows that it was: whatever the order of the receipts and
//! however often they come, it counts once. Amounts are not here; `gate` estimates them from a file
//! of rates.

use crate::error::StoreError;
use crate::read::Reader;
use crate::step::NewSend;
use crate::tx::Tx;
use beadle_model::effect::PriceKey;
use beadle_model::event::Pricing;
use beadle_model::{Alias, AliasKind, BroadcastId, ConversationId, Day, MessageId, PluginNo, Timestamp, country_of};
use rusqlite::{OptionalExtension, params};

/// The rank of `delivered` among receipts: from this status on, the message is charged.
pub(crate) const DELIVERED: i64 = 3;

/// Charged messages that have the same price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChargeRow {
    /// When they were sent.
    pub day: Day,
    /// Their channel.
    pub channel: String,
    /// The plugin that sent them.
    pub plugin: PluginNo,
    /// The broadcast to which they belong.
    pub broadcast: Option<BroadcastId>,
    /// The recipients' country (ISO 3166); empty if it is not known.
    pub country: String,
    /// What the platform reported.
    pub pricing: Pricing,
    /// Their number.
    pub messages: u64,
}

/// Messages without a price that would have the same one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingCharge {
    /// When they were sent, else when they are due.
    pub day: Day,
    /// Whether they were sent.
    pub is_sent: bool,
    /// Their channel.
    pub channel: String,
    /// The plugin that sends them.
    pub plugin: PluginNo,
    /// What the price depends on.
    pub price: PriceKey,
    /// Their number.
    pub messages: u64,
}

impl Tx<'_> {
    /// Counts a message, or one member's part of it, that was delivered and has a price.
    pub(crate) fn charge(
        &self,
        message: MessageId,
        conversation: ConversationId,
        pricing: &Pricing,
        participant: &[Alias],
    ) -> Result<(), StoreError> {
        let country = if participant.is_empty() { self.country_of_recipient(conversation)? } else { None };
        let country = country_of(participant).map(str::to_owned).or(country).unwrap_or_default();
        let billable = pricing.billable.map_or(-1, i64::from);
        // While a message is queued its row says when it is due, afterwards when it was sent.
        self.conn
            .prepare_cached(
                "INSERT INTO charges (day, channel, plugin, broadcast, country, category, type, model, subtype, billable,
                     messages)
                 SELECT max(due_at, created_at) / 86400000, channel, plugin, coalesce(broadcast, 0), ?2, ?3, ?4, ?5, ?6, ?7, 1
                 FROM outbox WHERE id = ?1
                 ON CONFLICT DO UPDATE SET messages = messages + 1",
            )?
            .execute(params![
                message.0,
                country,
                pricing.category,
                pricing.kind.as_deref().unwrap_or_default(),
                pricing.model.as_deref().unwrap_or_default(),
                pricing.subtype.as_deref().unwrap_or_default(),
                billable
            ])?;
        self.delete_pending_charge(message)
    }

    /// The country of the person on the other side.
    fn country_of_recipient(&self, conversation: ConversationId) -> Result<Option<String>, StoreError> {
        // It may have been merged since the message was sent.
        let conversation = self.cache.people.conversation(conversation);
        let mut read = self.conn.prepare_cached(
            "SELECT kind, value FROM aliases
             WHERE contact = (SELECT contact FROM conversations WHERE id = ?1 AND contact IS NOT NULL)",
        )?;
        let rows = read.query_map([conversation.0], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)))?;
        let mut aliases = Vec::new();
        for row in rows {
            let (kind, value) = row?;
            let kinds = [AliasKind::Phone, AliasKind::WaId, AliasKind::UserId, AliasKind::ParentUserId];
            let kind = kinds.into_iter().find(|known| *known as i64 == kind);
            aliases.extend(kind.map(|kind| Alias { kind, value }));
        }
        Ok(country_of(&aliases).map(str::to_owned))
    }

    /// Inserts the pending charge of a queued message.
    pub(crate) fn insert_pending_charge(
        &self,
        send: &NewSend,
        plugin: PluginNo,
        price: &PriceKey,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let day = Day::of(Timestamp(send.due_at.0.max(now.0)));
        self.conn
            .prepare_cached(
                "INSERT INTO pending_charges (message, day, is_sent, channel, plugin, country, category)
                 SELECT id, ?2, state > 0, channel, ?3, ?4, ?5 FROM outbox WHERE id = ?1",
            )?
            .execute(params![send.message.0, day.0, plugin.0, price.country, price.category])?;
        Ok(())
    }

    /// Sets when a message without a price was sent, or until when it waits.
    pub(crate) fn update_pending_charge(
        &self,
        message: MessageId,
        is_sent: bool,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.conn
            .prepare_cached(
                "UPDATE pending_charges SET day = ?2, is_sent = ?3 WHERE message = ?1 AND (day, is_sent) <> (?2, ?3)",
            )?
            .execute(params![message.0, Day::of(at).0, is_sent])?;
        Ok(())
    }

    /// Deletes the pending charge of a message that has its price, or will never have one.
    pub(crate) fn delete_pending_charge(&self, message: MessageId) -> Result<(), StoreError> {
        self.conn.prepare_cached("DELETE FROM pending_charges WHERE message = ?1")?.execute([message.0])?;
        Ok(())
    }
}

impl Reader {
    /// What was charged from one day to another, both included, by day.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn charges(&self, from: Day, to: Day) -> Result<Vec<ChargeRow>, StoreError> {
        self.one(|conn| {
            conn.prepare_cached(
                "SELECT day, channel, plugin, country, category, type, model, subtype, billable, messages, broadcast
                 FROM charges WHERE day BETWEEN ?1 AND ?2 ORDER BY day",
            )?
            .query_map([from.0, to.0], |row| {
                let text = |column: usize| {
                    Ok::<_, rusqlite::Error>(Some(row.get::<_, String>(column)?).filter(|text| !text.is_empty()))
                };
                let pricing = Pricing {
                    category: row.get(4)?,
                    kind: text(5)?,
                    model: text(6)?,
                    subtype: text(7)?,
                    billable: match row.get::<_, i64>(8)? {
                        0 => Some(false),
                        1 => Some(true),
                        _ => None,
                    },
                };
                Ok(ChargeRow {
                    day: Day(row.get(0)?),
                    channel: row.get(1)?,
                    plugin: PluginNo(row.get(2)?),
                    country: row.get(3)?,
                    pricing,
                    messages: row.get::<_, i64>(9)?.unsigned_abs(),
                    broadcast: Some(BroadcastId(row.get(10)?)).filter(|id| id.0 != 0),
                })
            })?
            .collect::<Result<_, _>>()
            .map_err(StoreError::from)
        })
    }

    /// The number of charged messages since the beginning, by category.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn charged_by_category(&self) -> Result<Vec<(String, u64)>, StoreError> {
        self.one(|conn| {
            conn.prepare_cached("SELECT category, sum(messages) FROM charges GROUP BY category ORDER BY category")?
                .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))?
                .collect::<Result<_, _>>()
                .map_err(StoreError::from)
        })
    }

    /// Messages without a price that were sent or are due from one day to another, both included.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn pending_charges(&self, from: Day, to: Day) -> Result<Vec<PendingCharge>, StoreError> {
        self.one(|conn| {
            conn.prepare_cached(
                "SELECT day, is_sent, channel, plugin, country, category, messages
                 FROM pending_charge_totals WHERE day BETWEEN ?1 AND ?2 ORDER BY day",
            )?
            .query_map([from.0, to.0], |row| {
                Ok(PendingCharge {
                    day: Day(row.get(0)?),
                    is_sent: row.get(1)?,
                    channel: row.get(2)?,
                    plugin: PluginNo(row.get(3)?),
                    price: PriceKey { country: row.get(4)?, category: row.get(5)? },
                    messages: row.get::<_, i64>(6)?.unsigned_abs(),
                })
            })?
            .collect::<Result<_, _>>()
            .map_err(StoreError::from)
        })
    }

    /// Whether a message without a price was sent; `None` if it has a price or none is expected.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn pending_charge_sent(&self, message: MessageId) -> Result<Option<bool>, StoreError> {
        self.one(|conn| {
            conn.prepare_cached("SELECT is_sent FROM pending_charges WHERE message = ?1")?
                .query_row([message.0], |row| row.get(0))
                .optional()
                .map_err(StoreError::from)
        })
    }
}
