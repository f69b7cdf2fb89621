//! What reading the configuration needs besides its files.

use super::inputs::UNSETTLED;
use std::time::Duration;

/// Returns the value of an environment variable.
pub type Variable = dyn Fn(&str) -> Option<String>;

/// What reading needs besides the files.
pub struct Environment {
    /// Environment variables.
    pub variable: Box<Variable>,
    /// Skip credentials instead of reporting an error, if systemd did not start the process
    /// (`beadle check`).
    pub without_systemd: bool,
    /// A file that changed less than this ago may change once more unnoticed.
    pub unsettled: Duration,
}

impl Environment {
    /// The environment of this process.
    pub fn process() -> Self {
        Self { variable: Box::new(|name| std::env::var(name).ok()), without_systemd: false, unsettled: UNSETTLED }
    }
}
