//! The last requests in both directions, with their bodies: what one looks at when something is odd.
//!
//! A ring, and bodies are cut, so that it stays small whatever is sent: 500 entries of two bodies of 16 KiB are 16 MiB at
//! the very most. `--log 0` switches it off for load. The access token and the secrets never get here: headers are not kept.

use serde::Serialize;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Longer than any message of the platform's; webhooks of a thousand updates are cut.
const LONGEST_BODY: usize = 16 * 1024;

#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Entry {
    pub seq: u64,
    pub at_ms: i64,
    /// `in`: the business called the Graph API; `out`: we called its webhook.
    pub direction: &'static str,
    pub method: String,
    pub path: String,
    /// None where there was no answer.
    pub status: Option<u16>,
    pub request: String,
    pub response: String,
    /// The fault that struck, or why there was no answer.
    pub note: Option<String>,
    /// Real time.
    pub took_us: u64,
    /// The messages it is about, by their numbers.
    pub about: Vec<u64>,
}

pub(crate) struct Log {
    ring: Mutex<(u64, VecDeque<Entry>)>,
    most: usize,
}

impl Log {
    pub(crate) fn new(most: usize) -> Self {
        Self { ring: Mutex::new((1, VecDeque::new())), most }
    }

    /// Keeps an entry, made only where the log is on.
    pub(crate) fn add(&self, entry: impl FnOnce() -> Entry) {
        if self.most == 0 {
            return;
        }
        let entry = entry();
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let seq = ring.0;
        ring.0 += 1;
        if ring.1.len() >= self.most {
            ring.1.pop_front();
        }
        ring.1.push_back(Entry { seq, ..entry });
    }

    /// The entries after this number, at most so many, the oldest first.
    pub(crate) fn after(&self, seq: u64, most: usize) -> Vec<Entry> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.1.iter().filter(|entry| entry.seq > seq).take(most).cloned().collect()
    }

    /// The entries about a message, the oldest first.
    pub(crate) fn about(&self, message: u64) -> Vec<Entry> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.1.iter().filter(|entry| entry.about.contains(&message)).cloned().collect()
    }

    pub(crate) fn clear(&self) {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner).1.clear();
    }
}

/// A body as it is shown: text, and cut where it is long.
pub(crate) fn shown(body: &[u8]) -> String {
    let cut = body.get(..LONGEST_BODY).unwrap_or(body);
    let mut text = String::from_utf8_lossy(cut).into_owned();
    if cut.len() < body.len() {
        text.push_str(&format!("… ({} bytes in all)", body.len()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_and_long_bodies_are_cut() {
        let log = Log::new(2);
        for at_ms in 0..3 {
            log.add(|| Entry {
                at_ms,
                direction: "in",
                request: shown(&vec![b'x'; LONGEST_BODY + 1]),
                about: vec![7],
                ..Entry::default()
            });
        }
        let kept: Vec<_> = log.after(0, 10).into_iter().map(|entry| (entry.seq, entry.at_ms)).collect();
        assert_eq!(kept, [(2, 1), (3, 2)]);
        assert_eq!((log.after(2, 10).len(), log.about(7).len(), log.about(8).len()), (1, 2, 0));
        assert!(log.after(0, 1)[0].request.ends_with("… (16385 bytes in all)"));
        Log::new(0).add(|| unreachable!("a log that is off makes no entries"));
    }
}
