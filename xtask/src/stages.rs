//! A task in stages: each is announced and timed, and a failure names the command that repeats it.
//!
//! The first failure ends the task, so that its message is the last thing printed.

use crate::shell::{Failure, Result};
use std::time::{Duration, Instant};

/// The stages that have run, with their times.
#[derive(Default)]
pub struct Stages(Vec<(String, Duration)>);

impl Stages {
    /// Runs a stage. `again` is the command that repeats it alone.
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

    /// Prints the time of each stage and the total.
    pub fn print(&self) {
        eprintln!("\n── times");
        for (name, time) in &self.0 {
            eprintln!("{:>8.1} s  {name}", time.as_secs_f64());
        }
        let total: Duration = self.0.iter().map(|(_, time)| *time).sum();
        eprintln!("{:>8.1} s  total", total.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failing_stage_names_the_command_to_repeat_it() {
        let mut stages = Stages::default();
        stages.stage("first", "do first", || Ok(())).unwrap();
        let failure = stages.stage("second", "do second", || Err(Failure::new("it broke"))).unwrap_err();
        assert_eq!(failure.to_string(), "stage `second` failed: it broke\nrun it again: do second");
        assert_eq!(stages.0.len(), 2);
    }
}
