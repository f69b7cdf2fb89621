//! Log lines for the operator: `log::info(format!("greeted {id}"))`. Granted by default, at most 64
//! KiB per event. Do not log what people wrote.

use crate::host;
use crate::host::log::Level;

/// For the plugin's author.
pub fn debug(line: impl AsRef<str>) {
    host::log::write(Level::Debug, line.as_ref());
}

/// Normal operation.
pub fn info(line: impl AsRef<str>) {
    host::log::write(Level::Info, line.as_ref());
}

/// Something that the operator should look at.
pub fn warn(line: impl AsRef<str>) {
    host::log::write(Level::Warn, line.as_ref());
}

/// Something that failed.
pub fn error(line: impl AsRef<str>) {
    host::log::write(Level::Error, line.as_ref());
}
