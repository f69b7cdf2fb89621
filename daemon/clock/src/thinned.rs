//! Log lines that can repeat without end: one of a kind in a while, with the number of the others.

use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// Lets one log line pass in an interval and counts the others. Real time: a log is read by people.
#[derive(Debug)]
pub struct Thinned {
    every: Duration,
    lines: Mutex<LineCount>,
}

#[derive(Debug, Default)]
struct LineCount {
    passed_at: Option<Instant>,
    suppressed: u64,
}

/// One line in ten seconds, for lines that anyone on the internet can cause.
impl Default for Thinned {
    fn default() -> Self {
        Self::every(Duration::from_secs(10))
    }
}

impl Thinned {
    /// One line in this interval.
    pub fn every(interval: Duration) -> Self {
        Self { every: interval, lines: Mutex::default() }
    }

    /// `Some` if a line may be logged now, with the number of those that were suppressed since the
    /// last one.
    pub fn pass(&self) -> Option<u64> {
        self.pass_at(Instant::now())
    }

    fn pass_at(&self, now: Instant) -> Option<u64> {
        let mut lines = self.lines.lock();
        if lines.passed_at.is_some_and(|at| now.saturating_duration_since(at) < self.every) {
            lines.suppressed += 1;
            return None;
        }
        lines.passed_at = Some(now);
        Some(std::mem::take(&mut lines.suppressed))
    }
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
}
