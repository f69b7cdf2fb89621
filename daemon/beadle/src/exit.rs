//! How the program ends: four numbers that scripts can rely on.

use std::io::Write as _;
use std::process::ExitCode;

/// The end of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// Not done, and the text says why.
    Failed = 1,
    /// The command line makes no sense (clap's own number).
    Usage = 2,
    /// There is no daemon at the socket.
    NotRunning = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Writes to standard output. `Err` where the program is to end: in peace where whoever read it has enough (`head`).
pub fn print(text: &str) -> Result<(), Exit> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|why| match why.kind() {
        std::io::ErrorKind::BrokenPipe => Exit::Ok,
        _ => {
            eprintln!("the answer could not be written: {why}");
            Exit::Failed
        }
    })
}
