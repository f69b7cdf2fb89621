//! Windows that are open: which are looked after, when each is looked at next, and what was told of it.
//!
//! What a window is stands in its conversation's row, which is written with every message. The row here is made when a
//! window opens and not touched when it is renewed: it comes due where the first message had put it, and is put where the
//! window is by then. So a message costs a window nothing, and ten million of them are looked at a few hundred a second.
//! What there is to tell is decided by [`beadle_model::window`]; here it becomes true, event and note in one transaction.
//!
//! A window that was over when its message came (a webhook that is a day late) was never open as far as anybody could have
//! used it: nothing is told of it.

use crate::StoreError;
use crate::shadow::{meta, set_meta};
use crate::step::{NewEvent, WindowNews, WindowsLooked};
use crate::writer::Tx;
use beadle_model::window::{Look, Tell, Told, renewed};
use beadle_model::{ContactId, ConversationId, EventBody, Leads, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

/// Lead times are kept as text, comma between them, since what is due when is meant by them.
const LEADS: &str = "window_leads";
/// While windows are armed for other lead times: up to which conversation that is done.
const ARMED: &str = "windows_armed";

/// A window that is looked after.
struct Watched {
    conversation: ConversationId,
    until: Timestamp,
    told: Option<Told>,
}

/// The columns of [`watched_of`].
const WATCHED: &str = "windows.conversation, window_until, told_until, told_lead_ms
     FROM windows JOIN conversations ON conversations.id = windows.conversation";

fn watched_of(row: &Row<'_>) -> rusqlite::Result<Watched> {
    let told = row.get::<_, Option<i64>>(2)?.zip(row.get::<_, Option<i64>>(3)?);
    Ok(Watched {
        conversation: ConversationId(row.get(0)?),
        until: Timestamp(row.get(1)?),
        told: told.map(|(until, lead_ms)| Told { until: Timestamp(until), lead_ms }),
    })
}

/// The lead times that windows are armed for.
pub(crate) fn leads(conn: &Connection) -> Result<Leads, StoreError> {
    let mut read = conn.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
    let text: Option<String> = read.query_row([LEADS], |row| row.get(0)).optional()?;
    Ok(Leads::new(text.unwrap_or_default().split(',').filter_map(|lead_ms| lead_ms.parse().ok()).collect()))
}

impl Tx<'_> {
    /// Before a message that opens a window is appended: the one before it, where it had ended by then and nobody was told
    /// yet, is told as closed first. Says whether it was.
    pub(crate) fn close_before(
        &mut self,
        conversation: ConversationId,
        event: &NewEvent,
        news: WindowNews,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let Some(talk) = self.shadow.people.talk(self.conn, conversation)? else { return Ok(false) };
        let until = Timestamp(talk.window_until);
        // An event that came before changes nothing.
        if !talk.watched || event.happened_at.min(now) < until || self.seen(event.key)? {
            return Ok(false);
        }
        self.close_window(conversation, until, news, now)
    }

    /// The window: 24 hours from when the platform had the message; never backwards, and never further than 24 hours
    /// from now, whatever a clock elsewhere says. Where it is looked after from now on: when it is due.
    pub(crate) fn open_window(
        &mut self,
        conversation: ConversationId,
        contact: Option<ContactId>,
        happened_at: Timestamp,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        let Some(talk) = self.shadow.people.talk(self.conn, conversation)? else { return Ok(None) };
        let inbound_at = happened_at.min(now);
        let until = renewed(Timestamp(talk.window_until), inbound_at);
        let opens = !talk.watched && until.0 > talk.window_until && until > now;
        talk.last_inbound_at = talk.last_inbound_at.max(inbound_at.0);
        talk.window_until = until.0;
        talk.watched |= opens;
        if talk.group.is_some() {
            talk.last_contact = contact;
        }
        let last_contact = talk.last_contact.map(|id| id.0);
        self.conn
            .prepare_cached(
                "UPDATE conversations SET last_inbound_at = ?2, window_until = ?3, last_contact = ?4 WHERE id = ?1",
            )?
            .execute(params![conversation.0, talk.last_inbound_at, until.0, last_contact])?;
        if !opens {
            return Ok(None);
        }
        let due_at = self.shadow.leads.first(until);
        self.conn
            .prepare_cached("INSERT INTO windows (conversation, due_at) VALUES (?1, ?2)")?
            .execute([conversation.0, due_at.0])?;
        Ok(Some(due_at))
    }

    /// Messages in this conversation cost nothing until then; a receipt that comes late never shortens it.
    pub(crate) fn enter_free(&mut self, conversation: ConversationId, until: Timestamp) -> Result<(), StoreError> {
        let Some(talk) = self.shadow.people.talk(self.conn, conversation)? else { return Ok(()) };
        if talk.free_entry_until >= Some(until) {
            return Ok(());
        }
        talk.free_entry_until = Some(until);
        self.conn
            .prepare_cached("UPDATE conversations SET free_entry_until = ?2 WHERE id = ?1")?
            .execute([conversation.0, until.0])?;
        Ok(())
    }

    /// From now on plugins are told so long before the end of a window. The next `most` windows are armed for it; `true`:
    /// there are more.
    pub(crate) fn arm_windows(&mut self, leads: &Leads, now: Timestamp, most: usize) -> Result<bool, StoreError> {
        if self.shadow.leads != *leads {
            let text: Vec<String> = leads.as_ms().iter().map(i64::to_string).collect();
            self.conn
                .prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?
                .execute([LEADS, &text.join(",")])?;
            set_meta(self.conn, ARMED, 0)?;
            self.shadow.leads = leads.clone();
        }
        let Some(after) = meta(self.conn, ARMED)? else { return Ok(false) };
        let slice =
            self.watched("WHERE windows.conversation > ?1 ORDER BY windows.conversation LIMIT ?2", after, most)?;
        for window in &slice {
            self.arm(window.conversation, self.shadow.leads.next(window.until, window.told, now), window.told)?;
        }
        match slice.last() {
            Some(last) if slice.len() == most => {
                set_meta(self.conn, ARMED, last.conversation.0)?;
                Ok(true)
            }
            _ => {
                self.conn.prepare_cached("DELETE FROM meta WHERE key = ?1")?.execute([ARMED])?;
                Ok(false)
            }
        }
    }

    /// Looks at the windows that are due, the longest due first, `most` at most, and tells what there is to tell.
    pub(crate) fn look_at_windows(
        &mut self,
        now: Timestamp,
        news: WindowNews,
        most: usize,
    ) -> Result<WindowsLooked, StoreError> {
        let due = self.watched("WHERE due_at <= ?1 ORDER BY due_at, windows.conversation LIMIT ?2", now.0, most)?;
        let mut looked = WindowsLooked { looked: due.len(), ..WindowsLooked::default() };
        for Watched { conversation, until, told } in due {
            let Look { tell, next } = self.shadow.leads.look(until, told, now);
            let heard = match tell {
                None => {
                    self.arm(conversation, next, told)?;
                    false
                }
                Some(Tell::Closed) => self.close_window(conversation, until, news, now)?,
                Some(Tell::Expiring { lead_ms }) => {
                    self.arm(conversation, next, Some(Told { until, lead_ms }))?;
                    if news.expiring {
                        let body = EventBody::WindowExpiring { closes_at: until, lead_ms };
                        self.append_own(None, body, Some(conversation), (until.plus_ms(-lead_ms), now))?;
                    }
                    news.expiring
                }
            };
            looked.told += usize::from(heard);
        }
        looked.next_due = self
            .conn
            .prepare_cached("SELECT due_at FROM windows ORDER BY due_at LIMIT 1")?
            .query_row([], |row| row.get(0).map(Timestamp))
            .optional()?;
        Ok(looked)
    }

    fn watched(&self, which: &str, bound: i64, most: usize) -> Result<Vec<Watched>, StoreError> {
        let mut read = self.conn.prepare_cached(&format!("SELECT {WATCHED} {which}"))?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        Ok(read.query_map([bound, most], watched_of)?.collect::<Result<_, _>>()?)
    }

    fn arm(&self, conversation: ConversationId, due_at: Timestamp, told: Option<Told>) -> Result<(), StoreError> {
        self.conn
            .prepare_cached(
                "UPDATE windows SET due_at = ?2, told_until = ?3, told_lead_ms = ?4 WHERE conversation = ?1",
            )?
            .execute(params![conversation.0, due_at.0, told.map(|told| told.until.0), told.map(|told| told.lead_ms)])?;
        Ok(())
    }

    /// It is over and not looked after any more; told, where somebody wants to hear it.
    fn close_window(
        &mut self,
        conversation: ConversationId,
        until: Timestamp,
        news: WindowNews,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.conn.prepare_cached("DELETE FROM windows WHERE conversation = ?1")?.execute([conversation.0])?;
        self.shadow.people.unwatch(conversation);
        if news.closed {
            let body = EventBody::WindowClosed { closed_at: until };
            self.append_own(None, body, Some(conversation), (until, now))?;
        }
        Ok(news.closed)
    }
}
