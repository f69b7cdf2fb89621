//! One transaction of the writer. Each topic adds its steps to it in its own file, and imports this
//! one.

use crate::error::StoreError;
use crate::shared::Shared;
use crate::writer_cache::WriterCache;
use beadle_model::Event;
use rusqlite::Connection;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// One transaction, as a step sees it.
pub(crate) struct Tx<'a> {
    pub(crate) conn: &'a Connection,
    pub(crate) cache: &'a mut WriterCache,
    pub(crate) shared: &'a Shared,
    /// The events that it appended, with the sizes of their bodies, for the feed.
    pub(crate) inserted: Vec<(Arc<Event>, usize)>,
}

impl Tx<'_> {
    pub(crate) fn begin(&self) -> Result<(), StoreError> {
        self.conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(())
    }

    pub(crate) fn commit_all(&mut self) -> Result<(), StoreError> {
        let next_message = self.shared.next_message.load(Ordering::Relaxed);
        self.cache.move_sending_from(self.conn, next_message)?;
        self.conn.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }
}
