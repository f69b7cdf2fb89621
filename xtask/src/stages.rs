//! A task in stages: each is announced, timed and watched, and a failure names the command that
//! repeats it.
//!
//! The first failure ends the task, so that its message is the last thing printed. A stage that
//! could not run says why, in the summary too; whether that is a failure is up to the caller.

use crate::shell::{Failure, Result};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// A long stage prints a sign of life this often.
const SIGN_OF_LIFE: Duration = Duration::from_secs(60);

/// How a stage ended, unless it failed.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything in it was run.
    Passed,
    /// It could not run here, for this reason.
    Skipped(String),
}

/// The stages that have run.
pub struct Stages {
    /// The number of stages, for "3 of 13".
    total: usize,
    /// A stage that cannot run is a failure.
    no_skip: bool,
    done: Vec<(String, Duration, Option<String>)>,
}

impl Stages {
    /// `no_skip` makes a stage that cannot run a failure.
    pub fn new(total: usize, no_skip: bool) -> Self {
        Self { total, no_skip, done: Vec::new() }
    }

    /// Runs a stage. `again` is the command that repeats it alone.
    pub fn stage(&mut self, name: &str, again: &str, work: impl FnOnce() -> Result<Outcome>) -> Result {
        eprintln!("\n── {name} ({} of {})", self.done.len() + 1, self.total);
        let start = Instant::now();
        let result = watched(name, start, work);
        let skipped = if let Ok(Outcome::Skipped(reason)) = &result { Some(reason.clone()) } else { None };
        if let Some(reason) = &skipped {
            eprintln!("SKIPPED: {reason}");
        }
        self.done.push((name.to_owned(), start.elapsed(), skipped));
        let result = match result {
            Ok(Outcome::Skipped(reason)) if self.no_skip => Err(Failure::new(format!("skipped: {reason}"))),
            result => result.map(drop),
        };
        result.map_err(|failure| {
            self.print();
            Failure::new(format!("stage `{name}` failed: {failure}\nrun it again: {again}"))
        })
    }

    /// Prints the time of each stage, the total, and what was skipped.
    pub fn print(&self) {
        eprintln!("\n── times");
        for (name, time, skipped) in &self.done {
            let skipped = skipped.as_ref().map(|reason| format!("  SKIPPED: {reason}")).unwrap_or_default();
            eprintln!("{:>8.1} s  {name}{skipped}", time.as_secs_f64());
        }
        let total: Duration = self.done.iter().map(|(_, time, _)| *time).sum();
        eprintln!("{:>8.1} s  total", total.as_secs_f64());
    }
}

/// Does the work, and prints how long it has been going on.
fn watched<T>(name: &str, start: Instant, work: impl FnOnce() -> T) -> T {
    let (done, waiting) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while waiting.recv_timeout(SIGN_OF_LIFE) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("   … {name}: {} min", start.elapsed().as_secs() / 60);
            }
        });
        let result = work();
        drop(done);
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failing_stage_names_the_command_to_repeat_it() {
        let mut stages = Stages::new(2, false);
        stages.stage("first", "do first", || Ok(Outcome::Passed)).unwrap();
        let failure = stages.stage("second", "do second", || Err(Failure::new("it broke"))).unwrap_err();
        assert_eq!(failure.to_string(), "stage `second` failed: it broke\nrun it again: do second");
        assert_eq!(stages.done.len(), 2);
    }

    #[test]
    fn skipped_stage_is_a_failure_only_if_asked() {
        let skip = || Ok(Outcome::Skipped("no Caddy".into()));
        let mut lenient = Stages::new(1, false);
        lenient.stage("proxy", "do proxy", skip).unwrap();
        assert_eq!(lenient.done[0].2.as_deref(), Some("no Caddy"));
        let failure = Stages::new(1, true).stage("proxy", "do proxy", skip).unwrap_err();
        assert!(failure.to_string().contains("skipped: no Caddy"), "{failure}");
    }
}
