//! The customer service window: when it is looked at, and what there is to tell then.
//!
//! A conversation is open for 24 hours from the last message of the other side ([`WINDOW_MS`]). Plugins are told of the
//! approaching end at each of the operator's lead times, at most once for a window, and of the end. What a window is stands
//! with its conversation and moves with every message; *looking after* it is a note beside it that says when to look next
//! and what was told. The note does not move with the messages: who looks finds out then that the end is another one.
//!
//! These are functions of their arguments: of the end, of what was told, of the lead times, of the moment. Whoever keeps the
//! notes (the store) and whoever waits for the moment (`schedule`) are elsewhere, and so are the rules of what may be sent
//! while (`gate`).

use crate::Timestamp;

/// How long a message keeps a conversation open (whatsapp.md 5.1: 24 hours).
pub const WINDOW_MS: i64 = 24 * 60 * 60 * 1000;

/// The most lead times there may be: each is a look at every window.
pub const MOST_LEADS: usize = 8;

/// How long before the end of a window plugins are told of it, in milliseconds: each once, the longest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leads(Vec<i64>);

/// What was told of a window: of the one that was to end then, at this lead time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The end that was spoken of.
    pub until: Timestamp,
    /// The shortest lead time so far.
    pub lead_ms: i64,
}

/// What there is to tell of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tell {
    /// It is about to close: this lead time has come. Where several have come unheard it is the shortest, since the others
    /// would say the same.
    Expiring {
        /// Which.
        lead_ms: i64,
    },
    /// It is over, and need not be looked after any more.
    Closed,
}

/// What came of a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// To be told now.
    pub tell: Option<Tell>,
    /// When to look next; where it is over it does not matter.
    pub next: Timestamp,
}

impl Leads {
    /// Puts them in order; those that are no lead time within a window are left out, and all beyond [`MOST_LEADS`].
    pub fn new(mut leads_ms: Vec<i64>) -> Self {
        leads_ms.retain(|lead_ms| (1..WINDOW_MS).contains(lead_ms));
        leads_ms.sort_unstable_by_key(|lead_ms| std::cmp::Reverse(*lead_ms));
        leads_ms.dedup();
        leads_ms.truncate(MOST_LEADS);
        Self(leads_ms)
    }

    /// In milliseconds, the longest first.
    pub fn as_ms(&self) -> &[i64] {
        &self.0
    }

    /// When a window that has just been opened is looked at first. It may be in the past: its message came late.
    pub fn first(&self, until: Timestamp) -> Timestamp {
        until.plus_ms(-self.0.first().copied().unwrap_or(0))
    }

    /// The next moment after `now` at which there may be something to tell. Lead times that have passed are not made up
    /// for: who says other lead times does not want to hear of those that are over.
    pub fn next(&self, until: Timestamp, told: Option<Told>, now: Timestamp) -> Timestamp {
        let untold = |lead_ms: &i64| told_lead(until, told).is_none_or(|told_ms| *lead_ms < told_ms);
        let moments = self.0.iter().filter(|lead_ms| untold(lead_ms)).map(|lead_ms| until.plus_ms(-lead_ms));
        moments.filter(|moment| *moment > now).min().unwrap_or(until)
    }

    /// Looks at a window that ends at `until`, of which this was told.
    pub fn look(&self, until: Timestamp, told: Option<Told>, now: Timestamp) -> Look {
        if now >= until {
            return Look { tell: Some(Tell::Closed), next: until };
        }
        let told_ms = told_lead(until, told);
        let come = self.0.iter().rev().copied().find(|lead_ms| until.plus_ms(-lead_ms) <= now);
        match come.filter(|lead_ms| told_ms.is_none_or(|told_ms| *lead_ms < told_ms)) {
            Some(lead_ms) => {
                let told = Some(Told { until, lead_ms });
                Look { tell: Some(Tell::Expiring { lead_ms }), next: self.next(until, told, now) }
            }
            None => Look { tell: None, next: self.next(until, told, now) },
        }
    }
}

/// The shortest lead time that was told of this window; of one that was renewed since nothing was.
fn told_lead(until: Timestamp, told: Option<Told>) -> Option<i64> {
    told.filter(|told| told.until == until).map(|told| told.lead_ms)
}

/// When a window ends that was to end then, after a message that the platform had at `inbound_at`: never earlier.
pub fn renewed(until: Timestamp, inbound_at: Timestamp) -> Timestamp {
    until.max(inbound_at.plus_ms(WINDOW_MS))
}

#[cfg(test)]
mod tests;
