//! Finds the sent message that the platform refers to by its id.
//!
//! Platform ids are random text, and an index over them would be written all over for every
//! message. So the index is over a number: the message's id in blocks of 16,384, then 32 bits of a
//! hash of the platform's id. Inserts go to the block at the right edge. A look-up tries block
//! after block, newest first, because people quote recent messages. A block's entries fit into some
//! 80 pages, which stay in the cache.

use crate::error::StoreError;
use crate::tx::Tx;
use beadle_model::{ConversationId, EventBody, MessageId, PluginNo, message_key};
use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};
use std::sync::atomic::Ordering;

/// Messages in a block, as a power of two.
const BLOCK_BITS: u32 = 14;

/// The number of blocks that a look-up tries: 8 million messages, half a millisecond if nothing is
/// found. Quotes of older messages are not recognised.
const MAX_BLOCKS: i64 = 512;

/// The number by which a platform id is found.
pub(crate) fn platform_key(message: i64, platform: &str) -> i64 {
    ((message >> BLOCK_BITS) << 32) | hash_of(platform)
}

fn hash_of(platform: &str) -> i64 {
    let digest = Sha256::digest(message_key(platform).as_bytes());
    let first = digest.first_chunk::<4>().copied().unwrap_or_default();
    i64::from(u32::from_be_bytes(first))
}

/// The message with this platform id: its id, its conversation, and its author. `newest` is the
/// highest message id.
pub(crate) fn find_by_platform_id(
    conn: &Connection,
    platform: &str,
    newest: i64,
) -> Result<Option<(MessageId, ConversationId, PluginNo)>, StoreError> {
    let (hash, key) = (hash_of(platform), message_key(platform));
    let mut find =
        conn.prepare_cached("SELECT id, conversation, plugin, platform_id FROM outbox WHERE platform_key = ?1")?;
    let newest_block = newest.max(0) >> BLOCK_BITS;
    for block in (newest_block.saturating_sub(MAX_BLOCKS).max(0)..=newest_block).rev() {
        let mut rows = find.query(params![(block << 32) | hash])?;
        while let Some(row) = rows.next()? {
            let found = row.get_ref(3)?.as_str_or_null().ok().flatten();
            if found.is_some_and(|found| message_key(found) == key) {
                return Ok(Some((MessageId(row.get(0)?), ConversationId(row.get(1)?), PluginNo(row.get(2)?))));
            }
        }
    }
    Ok(None)
}

impl Tx<'_> {
    /// The message with this platform id.
    pub(super) fn find_by_platform_id(
        &self,
        platform: &str,
    ) -> Result<Option<(MessageId, ConversationId, PluginNo)>, StoreError> {
        find_by_platform_id(self.conn, platform, self.shared.next_message.load(Ordering::Relaxed))
    }

    /// Adds to the body that it quotes, or reacts to, a message that was sent in this conversation.
    pub(super) fn enrich(&self, body: &EventBody, here: ConversationId) -> Result<Option<EventBody>, StoreError> {
        let named = match body {
            EventBody::Message { context: Some(context), .. } => context.quoted.as_deref(),
            EventBody::Reaction { message, .. } => Some(message.as_str()),
            _ => None,
        };
        let Some(named) = named else { return Ok(None) };
        let Some((ours, conversation, plugin)) = self.find_by_platform_id(named)? else { return Ok(None) };
        // Either may have been merged since the message was sent.
        let people = &self.cache.people;
        if people.conversation(conversation) != people.conversation(here) {
            return Ok(None);
        }
        let mut body = body.clone();
        match &mut body {
            EventBody::Message { context: Some(context), addressed, .. } => {
                context.quoted_message = Some(ours);
                if plugin != PluginNo::HOST {
                    *addressed = Some(plugin);
                }
            }
            EventBody::Reaction { own_message, .. } => *own_message = Some(ours),
            _ => {}
        }
        Ok(Some(body))
    }
}
