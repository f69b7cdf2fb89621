//! Exit codes. Scripts rely on them.

use std::io::Write as _;
use std::process::ExitCode;

/// An exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Success.
    Ok = 0,
    /// Failure; the reason was printed.
    Failed = 1,
    /// Wrong usage (clap's own code), or an invalid configuration.
    Usage = 2,
    /// No daemon answers at the socket.
    NotRunning = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Writes to standard output. `Err` holds the exit code; a reader that stopped reading (`head`) is
/// no failure.
pub fn print(text: &str) -> Result<(), Exit> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => Exit::Ok,
        _ => {
            eprintln!("error: cannot write to standard output: {error}");
            Exit::Failed
        }
    })
}
