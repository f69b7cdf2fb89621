//! `log`: lines for the operator, up to a limit per event. Further lines are counted.

use super::host_state::HostState;
use crate::bindings::latest::log::{self, Host};
use crate::call::{Level, LogLine};
use crate::text::printable;

/// What an empty line counts as, so that a flood of them is limited too.
const LINE_BYTES: usize = 16;

impl Host for HostState {
    async fn write(&mut self, level: log::Level, line: String) -> wasmtime::Result<()> {
        self.enter()?;
        let level = match level {
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        };
        self.write_line(level, line);
        Ok(())
    }
}

impl HostState {
    pub fn write_line(&mut self, level: Level, line: String) {
        let bytes = self.task.log_bytes + LINE_BYTES + line.len();
        if bytes > self.facts.limits.log_bytes() {
            self.task.log_dropped += 1;
            return;
        }
        self.task.log_bytes = bytes;
        self.task.log.push(LogLine { level, text: printable(line) });
    }
}
