//! The most recent requests in both directions, with their bodies.
//!
//! A ring buffer with truncated bodies: 500 entries of two bodies of 16 KiB are at most 16 MiB.
//! `--max-log-entries 0` disables it. It contains no tokens or secrets, because headers are not
//! kept.

use parking_lot::Mutex;
use serde::Serialize;
use std::collections::VecDeque;

/// Maximum length of a logged body in bytes. Longer than any message; webhooks with a thousand
/// updates are truncated.
const MAX_BODY_BYTES: usize = 16 * 1024;

#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Entry {
    pub seq: u64,
    pub at_ms: i64,
    /// `in` is a request to the Graph API, `out` a webhook.
    pub direction: &'static str,
    pub method: String,
    pub path: String,
    /// `None` if there was no response.
    pub status: Option<u16>,
    pub request: String,
    pub response: String,
    /// The injected fault, or why there was no response.
    pub note: Option<String>,
    /// In real time.
    pub duration_us: u64,
    /// The sequence numbers of the messages that it is about.
    pub about: Vec<u64>,
}

pub(crate) struct Log {
    ring: Mutex<Ring>,
    max_entries: usize,
}

struct Ring {
    next_seq: u64,
    entries: VecDeque<Entry>,
}

impl Log {
    /// Creates a log; with `max_entries` 0 it is disabled.
    pub(crate) fn new(max_entries: usize) -> Self {
        Self { ring: Mutex::new(Ring { next_seq: 1, entries: VecDeque::new() }), max_entries }
    }

    /// Adds an entry. It is built only if the log is enabled.
    pub(crate) fn add(&self, entry: impl FnOnce() -> Entry) {
        if self.max_entries == 0 {
            return;
        }
        let entry = entry();
        let mut ring = self.ring.lock();
        let seq = ring.next_seq;
        ring.next_seq += 1;
        if ring.entries.len() >= self.max_entries {
            ring.entries.pop_front();
        }
        ring.entries.push_back(Entry { seq, ..entry });
    }

    /// The entries after a sequence number, oldest first, up to `limit`.
    pub(crate) fn after(&self, seq: u64, limit: usize) -> Vec<Entry> {
        self.ring.lock().entries.iter().filter(|entry| entry.seq > seq).take(limit).cloned().collect()
    }

    /// The entries about a message, oldest first.
    pub(crate) fn about(&self, message: u64) -> Vec<Entry> {
        self.ring.lock().entries.iter().filter(|entry| entry.about.contains(&message)).cloned().collect()
    }

    pub(crate) fn clear(&self) {
        self.ring.lock().entries.clear();
    }
}

/// A body as text, truncated to [`MAX_BODY_BYTES`].
pub(crate) fn body_text(body: &[u8]) -> String {
    let excerpt = body.get(..MAX_BODY_BYTES).unwrap_or(body);
    let mut text = String::from_utf8_lossy(excerpt).into_owned();
    if excerpt.len() < body.len() {
        text.push_str(&format!("… ({} bytes in total)", body.len()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oldest_entries_are_dropped_and_long_bodies_truncated() {
        let log = Log::new(2);
        for at_ms in 0..3 {
            log.add(|| Entry {
                at_ms,
                direction: "in",
                request: body_text(&vec![b'x'; MAX_BODY_BYTES + 1]),
                about: vec![7],
                ..Entry::default()
            });
        }
        let kept: Vec<_> = log.after(0, 10).into_iter().map(|entry| (entry.seq, entry.at_ms)).collect();
        assert_eq!(kept, [(2, 1), (3, 2)]);
        assert_eq!((log.after(2, 10).len(), log.about(7).len(), log.about(8).len()), (1, 2, 0));
        assert!(log.after(0, 1)[0].request.ends_with("… (16385 bytes in total)"));
        Log::new(0).add(|| unreachable!("a disabled log builds no entries"));
    }
}
