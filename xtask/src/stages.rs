//! A task in stages: each announced, timed, and named again when it fails.
//!
//! The first failure ends the task, since what comes after it would only bury its message.

use crate::shell::{Failure, Result};
use std::time::{Duration, Instant};

/// What has run so far, and how long it took.
#[derive(Default)]
pub struct Stages(Vec<(String, Duration)>);

impl Stages {
    /// Runs one stage; `again` is the command that runs it alone.
    pub fn stage(&mut self, name: &str, again: &str, work: impl FnOnce() -> Result) -> Result {
        eprintln!("\n── {name}");
        let start = Instant::now();
        let result = work();
        self.0.push((name.to_owned(), start.elapsed()));
        result.map_err(|failure| {
            self.print();
            Failure::new(format!("stage `{name}` failed: {failure}\nrun it again: {again}"))
        })
    }

    /// The time of each stage and of all.
    pub fn print(&self) {
        eprintln!("\n── times");
        for (name, time) in &self.0 {
            eprintln!("{:>8.1} s  {name}", time.as_secs_f64());
        }
        let total: Duration = self.0.iter().map(|(_, time)| *time).sum();
        eprintln!("{:>8.1} s  in all", total.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_stage_says_how_to_run_it_again() {
        let mut stages = Stages::default();
        stages.stage("first", "do first", || Ok(())).unwrap();
        let failure = stages.stage("second", "do second", || Err(Failure::new("it broke"))).unwrap_err();
        assert_eq!(failure.to_string(), "stage `second` failed: it broke\nrun it again: do second");
        assert_eq!(stages.0.len(), 2);
    }
}
