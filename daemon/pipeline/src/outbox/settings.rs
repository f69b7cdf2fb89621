//! What the configuration says about sending: `[outbox]` and the channels' paces.

use std::collections::HashMap;

/// How fast a channel may send: the platform's limits today (docs/whatsapp.md#limits).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// From the number.
    pub messages_per_second: u32,
    /// To one contact: one message in this many seconds …
    pub contact_seconds: u32,
    /// … after this many at once.
    pub contact_burst: u32,
}

impl Default for Pace {
    /// The limits of a number that has not been raised.
    fn default() -> Self {
        Self { messages_per_second: 80, contact_seconds: 6, contact_burst: 45 }
    }
}

/// What is done with a message that the platform may have accepted or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnAmbiguous {
    /// It becomes a dead letter: a person decides.
    #[default]
    Hold,
    /// It is sent again and marked as maybe sent twice.
    Resend,
}

/// `[outbox]` and the channels' paces.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What becomes of ambiguous messages.
    pub on_ambiguous: OnAmbiguous,
    /// How long a receipt is awaited, in milliseconds.
    pub ambiguous_wait_ms: i64,
    /// Requests at a time, per channel.
    pub max_in_flight: usize,
    /// By channel; [`Pace::default`] for others.
    pub paces: HashMap<String, Pace>,
}

impl Settings {
    pub(crate) fn pace(&self, channel: &str) -> Pace {
        self.paces.get(channel).copied().unwrap_or_default()
    }
}
