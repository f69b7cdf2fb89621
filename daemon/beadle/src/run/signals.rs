//! What is asked for from outside: SIGTERM or SIGINT once to stop in order, twice to stop at once; SIGHUP to read the
//! configuration again.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Both signals, listened to from when it is made.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// Taken by whoever reads the configuration.
    pub hangup: Option<Signal>,
}

impl Signals {
    /// Begins to listen; from now on none of them ends the process by itself.
    pub fn listen() -> std::io::Result<Self> {
        let hangup = Some(signal(SignalKind::hangup())?);
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())?, hangup })
    }

    /// Returns at the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
