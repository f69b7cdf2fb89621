//! Open windows: when each is checked next, and its last notice.
//!
//! A window's end is in its conversation's row, which every message updates. The row here is
//! inserted when a window opens and not touched when it is renewed: it comes due at its first time
//! and is then moved to the window's present end. So a message costs nothing here, and ten million
//! windows need a few hundred checks a second. [`beadle_model::window`] decides which notice is
//! due; event and row change in one transaction.
//!
//! No window ends later than 24 hours from now. One that does was opened while the clock was ahead,
//! and is capped in the first pass after the clock was set back, also if that was before a start.
//!
//! A window that had ended when its message arrived (a webhook that is a day late) was never usable
//! and causes no notices.

use crate::error::StoreError;
use crate::meta::{LEAD_TIMES_KEY, meta, set_meta};
use crate::step::{Interest, NewEvent, WindowsChecked};
use crate::tx::Tx;
use beadle_model::window::{FREE_ENTRY_MS, LastNotice, WindowCheck, WindowNotice, renewed};
use beadle_model::{ContactId, ConversationId, EventBody, LeadTimes, Timestamp, WINDOW_MS};
use rusqlite::{OptionalExtension, Row, params};

/// The key of the last conversation that was updated to changed lead times.
const ARMED_KEY: &str = "windows_armed";

/// The key of the last conversation whose times were capped after the clock was set back.
const CAPPED_KEY: &str = "windows_capped";

/// The span of conversations that one transaction caps: a few milliseconds.
const CAP_SPAN: i64 = 4096;

/// A clock that goes back by less than this is being adjusted.
const CLOCK_SET_BACK_MS: i64 = 1000;

/// A window with a pending check.
struct PendingCheck {
    conversation: ConversationId,
    until: Timestamp,
    last: Option<LastNotice>,
}

/// The columns of [`check_of`].
const CHECK: &str = "windows.conversation, window_until, notified_until, notified_lead_ms
     FROM windows JOIN conversations ON conversations.id = windows.conversation";

fn check_of(row: &Row<'_>) -> rusqlite::Result<PendingCheck> {
    let last = row.get::<_, Option<i64>>(2)?.zip(row.get::<_, Option<i64>>(3)?);
    Ok(PendingCheck {
        conversation: ConversationId(row.get(0)?),
        until: Timestamp(row.get(1)?),
        last: last.map(|(until, lead_ms)| LastNotice { until: Timestamp(until), lead_ms }),
    })
}

impl Tx<'_> {
    /// Before a message opens a window: closes the previous one if it has ended unnoticed. Returns
    /// whether an event was appended.
    pub(crate) fn close_ended_window(
        &mut self,
        conversation: ConversationId,
        event: &NewEvent,
        interest: &Interest,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let Some(row) = self.cache.people.conversation_row(self.conn, conversation)? else { return Ok(false) };
        let until = Timestamp(row.window_until);
        // A known event changes nothing.
        if !row.watched || event.happened_at.min(now) < until || self.seen(event.key)? {
            return Ok(false);
        }
        self.close_window(conversation, until, interest, now)
    }

    /// Opens or renews the window: 24 hours from when the platform received the message; never
    /// backwards, and never more than 24 hours from now, whatever another clock says. Returns the
    /// first check of a new window.
    pub(crate) fn open_window(
        &mut self,
        conversation: ConversationId,
        contact: Option<ContactId>,
        happened_at: Timestamp,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        let Some(row) = self.cache.people.conversation_row(self.conn, conversation)? else { return Ok(None) };
        let inbound_at = happened_at.min(now);
        // No window ends later than 24 hours from now, unless the clock was ahead when it was
        // renewed.
        let known_until = Timestamp(row.window_until).min(now.plus_ms(WINDOW_MS));
        let until = renewed(known_until, inbound_at);
        let opens = !row.watched && until.0 > row.window_until && until > now;
        row.last_inbound_at = row.last_inbound_at.min(now.0).max(inbound_at.0);
        row.window_until = until.0;
        row.watched |= opens;
        self.cache.windows_renewed_at = self.cache.windows_renewed_at.max(now);
        if row.group.is_some() {
            row.last_contact = contact;
        }
        let last_contact = row.last_contact.map(|id| id.0);
        self.conn
            .prepare_cached(
                "UPDATE conversations SET last_inbound_at = ?2, window_until = ?3, last_contact = ?4 WHERE id = ?1",
            )?
            .execute(params![conversation.0, row.last_inbound_at, until.0, last_contact])?;
        if !opens {
            return Ok(None);
        }
        let due_at = self.cache.lead_times.first_check(until);
        self.conn
            .prepare_cached("INSERT INTO windows (conversation, due_at) VALUES (?1, ?2)")?
            .execute([conversation.0, due_at.0])?;
        Ok(Some(due_at))
    }

    /// Extends the free entry point; a late receipt never shortens it.
    pub(crate) fn set_free_entry(&mut self, conversation: ConversationId, until: Timestamp) -> Result<(), StoreError> {
        let Some(row) = self.cache.people.conversation_row(self.conn, conversation)? else { return Ok(()) };
        if row.free_entry_until >= Some(until) {
            return Ok(());
        }
        row.free_entry_until = Some(until);
        self.conn
            .prepare_cached("UPDATE conversations SET free_entry_until = ?2 WHERE id = ?1")?
            .execute([conversation.0, until.0])?;
        Ok(())
    }

    /// After the clock was set back: caps the next windows that end later than one can that was
    /// opened before now. Returns whether there are more conversations to look at.
    fn cap_windows(&mut self, now: Timestamp) -> Result<bool, StoreError> {
        if self.cache.windows_renewed_at.since_ms(now) > CLOCK_SET_BACK_MS {
            set_meta(self.conn, CAPPED_KEY, 0)?;
            self.cache.windows_renewed_at = now;
        }
        let Some(after) = meta(self.conn, CAPPED_KEY)? else { return Ok(false) };
        let capped: Vec<(i64, i64, i64, Option<i64>)> = self
            .conn
            .prepare_cached(
                "UPDATE conversations SET window_until = min(window_until, ?3), last_inbound_at = min(last_inbound_at, ?4),
                     free_entry_until = min(free_entry_until, ?5)
                 WHERE id > ?1 AND id <= ?2 AND (window_until > ?3 OR last_inbound_at > ?4 OR free_entry_until > ?5)
                 RETURNING id, window_until, last_inbound_at, free_entry_until",
            )?
            .query_map(
                [after, after + CAP_SPAN, now.plus_ms(WINDOW_MS).0, now.0, now.plus_ms(FREE_ENTRY_MS).0],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
            )?
            .collect::<Result<_, _>>()?;
        for (id, until, inbound_at, free_entry_until) in capped {
            if let Some(row) = self.cache.people.conversation_row(self.conn, ConversationId(id))? {
                (row.window_until, row.last_inbound_at) = (until, inbound_at);
                row.free_entry_until = free_entry_until.map(Timestamp);
            }
            for window in self.pending_checks("WHERE windows.conversation = ?1 LIMIT ?2", id, 1)? {
                let due_at = self.cache.lead_times.next_check(window.until, window.last, now);
                self.set_check(window.conversation, due_at, window.last)?;
            }
        }
        let mut read = self.conn.prepare_cached("SELECT coalesce(max(id), 0) FROM conversations")?;
        let last: i64 = read.query_row([], |row| row.get(0))?;
        let is_done = after + CAP_SPAN >= last;
        match is_done {
            true => _ = self.conn.prepare_cached("DELETE FROM meta WHERE key = ?1")?.execute([CAPPED_KEY])?,
            false => set_meta(self.conn, CAPPED_KEY, after + CAP_SPAN)?,
        }
        Ok(!is_done)
    }

    /// Sets the lead times and updates the next `limit` checks. Returns whether there are more.
    pub(crate) fn arm_windows(&mut self, leads: &LeadTimes, now: Timestamp, limit: usize) -> Result<bool, StoreError> {
        if self.cache.lead_times != *leads {
            let text: Vec<String> = leads.as_ms().iter().map(i64::to_string).collect();
            self.conn
                .prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?
                .execute([LEAD_TIMES_KEY, &text.join(",")])?;
            set_meta(self.conn, ARMED_KEY, 0)?;
            self.cache.lead_times = leads.clone();
        }
        if self.cap_windows(now)? {
            return Ok(true);
        }
        let Some(after) = meta(self.conn, ARMED_KEY)? else { return Ok(false) };
        let slice = self.pending_checks(
            "WHERE windows.conversation > ?1 ORDER BY windows.conversation LIMIT ?2",
            after,
            limit,
        )?;
        for window in &slice {
            self.set_check(
                window.conversation,
                self.cache.lead_times.next_check(window.until, window.last, now),
                window.last,
            )?;
        }
        match slice.last() {
            Some(last) if slice.len() == limit => {
                set_meta(self.conn, ARMED_KEY, last.conversation.0)?;
                Ok(true)
            }
            _ => {
                self.conn.prepare_cached("DELETE FROM meta WHERE key = ?1")?.execute([ARMED_KEY])?;
                Ok(false)
            }
        }
    }

    /// Checks up to `limit` windows that are due, earliest first, and appends the events that
    /// `interest` asks for.
    pub(crate) fn check_windows(
        &mut self,
        now: Timestamp,
        interest: &Interest,
        limit: usize,
    ) -> Result<WindowsChecked, StoreError> {
        let due =
            self.pending_checks("WHERE due_at <= ?1 ORDER BY due_at, windows.conversation LIMIT ?2", now.0, limit)?;
        let mut checked = WindowsChecked { checked: due.len(), ..WindowsChecked::default() };
        for PendingCheck { conversation, until, last } in due {
            let WindowCheck { notice, next_check } = self.cache.lead_times.check(until, last, now);
            let heard = match notice {
                None => {
                    self.set_check(conversation, next_check, last)?;
                    false
                }
                Some(WindowNotice::Closed) => self.close_window(conversation, until, interest, now)?,
                Some(WindowNotice::Expiring { lead_ms }) => {
                    self.set_check(conversation, next_check, Some(LastNotice { until, lead_ms }))?;
                    if interest.window_expiring {
                        let body = EventBody::WindowExpiring { closes_at: until, lead_ms };
                        self.append_own(None, body, Some(conversation), (until.plus_ms(-lead_ms), now))?;
                    }
                    interest.window_expiring
                }
            };
            checked.events += usize::from(heard);
        }
        checked.next_due = self
            .conn
            .prepare_cached("SELECT due_at FROM windows ORDER BY due_at LIMIT 1")?
            .query_row([], |row| row.get(0).map(Timestamp))
            .optional()?;
        Ok(checked)
    }

    fn pending_checks(&self, which: &str, bound: i64, limit: usize) -> Result<Vec<PendingCheck>, StoreError> {
        let mut read = self.conn.prepare_cached(&format!("SELECT {CHECK} {which}"))?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        Ok(read.query_map([bound, limit], check_of)?.collect::<Result<_, _>>()?)
    }

    fn set_check(
        &self,
        conversation: ConversationId,
        due_at: Timestamp,
        last: Option<LastNotice>,
    ) -> Result<(), StoreError> {
        self.conn
            .prepare_cached(
                "UPDATE windows SET due_at = ?2, notified_until = ?3, notified_lead_ms = ?4 WHERE conversation = ?1",
            )?
            .execute(params![conversation.0, due_at.0, last.map(|last| last.until.0), last.map(|last| last.lead_ms)])?;
        Ok(())
    }

    /// Deletes the check. Appends the event if `interest` asks for it; returns whether it did.
    fn close_window(
        &mut self,
        conversation: ConversationId,
        until: Timestamp,
        interest: &Interest,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.conn.prepare_cached("DELETE FROM windows WHERE conversation = ?1")?.execute([conversation.0])?;
        self.cache.people.clear_window_check(conversation);
        if interest.window_closed {
            let body = EventBody::WindowClosed { closed_at: until };
            self.append_own(None, body, Some(conversation), (until, now))?;
        }
        Ok(interest.window_closed)
    }
}
