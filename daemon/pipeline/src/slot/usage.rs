//! What a plugin used, to compare with its limits.

use beadle_model::effect::StateWrite;
use beadle_sandbox::{Handled, LogLine, Usage};
use serde::Serialize;

/// What a plugin used since it was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SlotUsage {
    /// Calls.
    pub calls: u64,
    /// Calls that failed.
    pub failed: u64,
    /// CPU of all calls.
    pub cpu_us: u64,
    /// CPU of the most expensive call.
    pub most_cpu_us: u64,
    /// Time of the longest call.
    pub most_wall_us: u64,
    /// Memory of the largest instance.
    pub most_memory_bytes: u64,
    /// Effects of the call with the most.
    pub most_effects: u64,
    /// The largest value written.
    pub most_value_bytes: u64,
    /// The most log text of a call.
    pub most_log_bytes: u64,
}

impl SlotUsage {
    /// Adds a call.
    pub(super) fn add(&mut self, usage: &Usage, handled: Option<&Handled>, log: &[LogLine]) {
        let wide = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        self.calls += 1;
        self.cpu_us += usage.cpu_us;
        self.most_cpu_us = self.most_cpu_us.max(usage.cpu_us);
        self.most_wall_us = self.most_wall_us.max(usage.wall_us);
        self.most_memory_bytes = self.most_memory_bytes.max(wide(usage.memory_bytes));
        self.most_log_bytes = self.most_log_bytes.max(wide(log.iter().map(|line| line.text.len()).sum()));
        let Some(Handled { effects, .. }) = handled else {
            self.failed += 1;
            return;
        };
        let count = effects.count();
        self.most_effects = self.most_effects.max(wide(count));
        for write in &effects.state {
            if let StateWrite::Set { value, .. } = write {
                self.most_value_bytes = self.most_value_bytes.max(wide(value.len()));
            }
        }
    }
}
