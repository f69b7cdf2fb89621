//! Signals: SIGTERM or SIGINT stop the daemon in order, a second one at once; SIGHUP reads the
//! configuration again.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that the daemon handles.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// SIGHUP, until the part that reads the configuration takes it.
    pub hangup: Option<Signal>,
}

impl Signals {
    /// Starts to listen; from now on none of them ends the process by itself.
    pub fn listen() -> std::io::Result<Self> {
        let hangup = Some(signal(SignalKind::hangup())?);
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())?, hangup })
    }

    /// Waits for the next one that stops the daemon.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
