//! Lines for the operator: `log::info(format!("greeted {id}"))`. Granted to all; 64 KiB an event. What people wrote does
//! not belong in it.

use crate::host;
use crate::host::log::Level;

/// What only an author looks for.
pub fn debug(line: impl AsRef<str>) {
    host::log::write(Level::Debug, line.as_ref());
}

/// What happened.
pub fn info(line: impl AsRef<str>) {
    host::log::write(Level::Info, line.as_ref());
}

/// What an operator should look at.
pub fn warn(line: impl AsRef<str>) {
    host::log::write(Level::Warn, line.as_ref());
}

/// What is broken.
pub fn error(line: impl AsRef<str>) {
    host::log::write(Level::Error, line.as_ref());
}
