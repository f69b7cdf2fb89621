//! What systemd is told: ready, how it goes, that there is progress, and that it ends.
//!
//! The watchdog is fed only while the pipeline makes progress, not while this process merely breathes: a daemon that
//! answers its health check and handles nothing is what a watchdog is for. Without systemd all of it is nothing.

use sd_notify::NotifyState;
use std::time::Duration;

/// The pipeline takes events, and the sockets are open.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The end has begun.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// The line that `systemctl status` shows.
pub fn status(line: &str) {
    tell(&[NotifyState::Status(line)]);
}

/// There is progress.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How often [`alive`] has to be said: twice in the time that the unit allows. None where nobody waits for it.
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|allowed| allowed / 2)
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(why) = sd_notify::notify(states) {
        tracing::debug!(%why, "systemd could not be told.");
    }
}
