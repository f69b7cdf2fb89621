//! The customer service window: when to check it, and which notice is due.
//!
//! A conversation is open for 24 hours from the other side's last message ([`WINDOW_MS`]). Plugins
//! get a notice at each of the operator's lead times before the end, at most once per window, and
//! one when it has closed. The window's end is stored with the conversation and moves with every
//! message. The check is a separate row with the next check time and the last notice; it does not
//! move with the messages, so a check may find that the end has moved.
//!
//! Everything here is a function of its arguments. The store keeps the rows, `schedule` waits for
//! the check times, and `gate` decides what may be sent in a window. See `docs/design.md#windows`.

use crate::time::Timestamp;

/// How long a message keeps a conversation open (24 hours; `docs/whatsapp.md#windows`).
pub const WINDOW_MS: i64 = 24 * 60 * 60 * 1000;

/// How long a free entry point is open (72 hours; `docs/whatsapp.md#free-entry-points`).
pub const FREE_ENTRY_MS: i64 = 72 * 60 * 60 * 1000;

/// The maximum number of lead times. Each is one more check of every window.
pub const MAX_LEAD_TIMES: usize = 8;

/// How long before the end of a window plugins are notified, in milliseconds; distinct, longest
/// first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeadTimes(Vec<i64>);

/// The last expiry notice about a conversation's window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastNotice {
    /// The end of the window that the notice was about.
    pub until: Timestamp,
    /// The shortest lead time that was announced.
    pub lead_ms: i64,
}

/// What is reported to plugins about a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowNotice {
    /// The window closes soon. Where several lead times have passed without a notice, this is the
    /// shortest of them.
    Expiring {
        /// The lead time.
        lead_ms: i64,
    },
    /// The window has closed and needs no further check.
    Closed,
}

/// The result of checking a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowCheck {
    /// The notice to give now.
    pub notice: Option<WindowNotice>,
    /// When to check next; irrelevant once the window has closed.
    pub next_check: Timestamp,
}

impl LeadTimes {
    /// Sorts and deduplicates; drops what is not a lead time within a window and all beyond
    /// [`MAX_LEAD_TIMES`].
    pub fn new(mut leads_ms: Vec<i64>) -> Self {
        leads_ms.retain(|lead_ms| (1..WINDOW_MS).contains(lead_ms));
        leads_ms.sort_unstable_by_key(|lead_ms| std::cmp::Reverse(*lead_ms));
        leads_ms.dedup();
        leads_ms.truncate(MAX_LEAD_TIMES);
        Self(leads_ms)
    }

    /// The lead times in milliseconds, longest first.
    pub fn as_ms(&self) -> &[i64] {
        &self.0
    }

    /// When to check a window that was just opened. In the past if its message arrived late.
    pub fn first_check(&self, until: Timestamp) -> Timestamp {
        until.plus_ms(-self.0.first().copied().unwrap_or(0))
    }

    /// The next time after `now` at which a notice may be due. Lead times that have passed are
    /// skipped, so that changing the configuration does not cause notices for times that are over.
    pub fn next_check(&self, until: Timestamp, last: Option<LastNotice>, now: Timestamp) -> Timestamp {
        let pending = |lead_ms: &i64| last_lead(until, last).is_none_or(|last_ms| *lead_ms < last_ms);
        let times = self.0.iter().filter(|lead_ms| pending(lead_ms)).map(|lead_ms| until.plus_ms(-lead_ms));
        times.filter(|time| *time > now).min().unwrap_or(until)
    }

    /// Checks a window that ends at `until` and about which `last` was the last notice.
    pub fn check(&self, until: Timestamp, last: Option<LastNotice>, now: Timestamp) -> WindowCheck {
        if now >= until {
            return WindowCheck { notice: Some(WindowNotice::Closed), next_check: until };
        }
        let last_ms = last_lead(until, last);
        let passed = self.0.iter().rev().copied().find(|lead_ms| until.plus_ms(-lead_ms) <= now);
        match passed.filter(|lead_ms| last_ms.is_none_or(|last_ms| *lead_ms < last_ms)) {
            Some(lead_ms) => {
                let last = Some(LastNotice { until, lead_ms });
                let notice = Some(WindowNotice::Expiring { lead_ms });
                WindowCheck { notice, next_check: self.next_check(until, last, now) }
            }
            None => WindowCheck { notice: None, next_check: self.next_check(until, last, now) },
        }
    }
}

/// The shortest lead time of the notices about this window; `None` if it was renewed since.
fn last_lead(until: Timestamp, last: Option<LastNotice>) -> Option<i64> {
    last.filter(|last| last.until == until).map(|last| last.lead_ms)
}

/// The end of a window after a message that the platform received at `inbound_at`. Never earlier
/// than `until`.
pub fn renewed(until: Timestamp, inbound_at: Timestamp) -> Timestamp {
    until.max(inbound_at.plus_ms(WINDOW_MS))
}

#[cfg(test)]
mod tests;
