//! Which of our messages the platform means by its id.
//!
//! Platform ids are random text, and an index over random text is written all over for every message that is sent. So
//! the index is over a number of ours: the message's id in blocks of 16,384, then 32 bits of a hash of the platform's id.
//! Writing goes to the block at the right edge; looking up asks block after block, newest first, since people quote what
//! they were sent lately. A block's entries fit into some 80 pages, which stay in the cache.

use crate::StoreError;
use crate::writer::Tx;
use beadle_model::{ConversationId, EventBody, MessageId, PluginNo};
use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};
use std::sync::atomic::Ordering;

/// Messages in a block, as a power of two.
const BLOCK_BITS: u32 = 14;

/// Blocks that are looked through: 8 million messages, half a millisecond where nothing is found. What was sent before
/// those is not recognised when it is quoted.
const MOST_BLOCKS: i64 = 512;

/// The number under which a platform id is found.
pub(crate) fn platform_key(message: i64, platform: &str) -> i64 {
    ((message >> BLOCK_BITS) << 32) | hash_of(platform)
}

fn hash_of(platform: &str) -> i64 {
    let digest = Sha256::digest(platform.as_bytes());
    let first = digest.first_chunk::<4>().copied().unwrap_or_default();
    i64::from(u32::from_be_bytes(first))
}

/// Our message with this platform id: its id, its conversation, and who sent it. `newest`: no message has a higher id.
pub(crate) fn find_platform(
    conn: &Connection,
    platform: &str,
    newest: i64,
) -> Result<Option<(MessageId, ConversationId, PluginNo)>, StoreError> {
    let hash = hash_of(platform);
    let mut find =
        conn.prepare_cached("SELECT id, conversation, plugin, platform FROM outbox WHERE platform_key = ?1")?;
    let newest_block = newest.max(0) >> BLOCK_BITS;
    for block in (newest_block.saturating_sub(MOST_BLOCKS).max(0)..=newest_block).rev() {
        let mut rows = find.query(params![(block << 32) | hash])?;
        while let Some(row) = rows.next()? {
            if row.get_ref(3)?.as_str_or_null().ok().flatten() == Some(platform) {
                return Ok(Some((MessageId(row.get(0)?), ConversationId(row.get(1)?), PluginNo(row.get(2)?))));
            }
        }
    }
    Ok(None)
}

impl Tx<'_> {
    /// Our message with this platform id.
    pub(super) fn find_platform(
        &self,
        platform: &str,
    ) -> Result<Option<(MessageId, ConversationId, PluginNo)>, StoreError> {
        find_platform(self.conn, platform, self.shared.next_message.load(Ordering::Relaxed))
    }

    /// The body with what only we know of it: that it quotes, or reacts to, a message of ours in this conversation.
    pub(super) fn enrich(&self, body: &EventBody, here: ConversationId) -> Result<Option<EventBody>, StoreError> {
        let named = match body {
            EventBody::Message { context: Some(context), .. } => context.quoted.as_deref(),
            EventBody::Reaction { message, .. } => Some(message.as_str()),
            _ => None,
        };
        let Some(named) = named else { return Ok(None) };
        let Some((ours, conversation, plugin)) = self.find_platform(named)? else { return Ok(None) };
        if conversation != here {
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
