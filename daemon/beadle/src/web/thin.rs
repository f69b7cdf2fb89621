//! Log lines that anyone on the internet can cause: thinned in number and cut in length.

use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// At most one line of a kind in this time. Real time.
const EVERY: Duration = Duration::from_secs(10);
/// Longest text of others in a log line, in characters.
const LONGEST: usize = 200;

/// Lets one log line pass in [`EVERY`] and counts the others.
#[derive(Debug, Default)]
pub struct Thinned(Mutex<LineCount>);

#[derive(Debug, Default)]
struct LineCount {
    passed_at: Option<Instant>,
    suppressed: u64,
}

impl Thinned {
    /// `Some` if a line may be logged now, with the number of those that were suppressed since the
    /// last one.
    pub fn pass(&self) -> Option<u64> {
        self.pass_at(Instant::now())
    }

    fn pass_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock();
        if state.passed_at.is_some_and(|at| now.saturating_duration_since(at) < EVERY) {
            state.suppressed += 1;
            return None;
        }
        state.passed_at = Some(now);
        Some(std::mem::take(&mut state.suppressed))
    }
}

/// `text`, cut between characters with an ellipsis if it is longer than `longest` of them.
pub fn cut_at(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.into(),
    }
}

/// Text of others for a log line.
pub fn cut(text: &str) -> String {
    cut_at(text, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suppressed_lines_are_counted_in_the_next() {
        let (thinned, now) = (Thinned::default(), Instant::now());
        let after = |ms| now + Duration::from_millis(ms);
        let passed = [0, 1, 9_999, 10_000, 10_001, 20_000].map(|ms| thinned.pass_at(after(ms)));
        assert_eq!(passed, [Some(0), None, None, Some(2), None, Some(1)]);
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(cut(&"é".repeat(300)), format!("{}…", "é".repeat(200)));
        assert_eq!(cut("short"), "short");
    }
}
