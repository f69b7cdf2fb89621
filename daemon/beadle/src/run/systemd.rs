//! Notifications to systemd: ready, status, watchdog, stopping. Without systemd they do nothing.
//!
//! A notification waits while systemd does not read, so each is sent on a thread that may block;
//! the daemon never waits for one.

use sd_notify::NotifyState;
use std::time::Duration;

/// Events are handled and the sockets are open.
pub fn ready() {
    notify(|| sd_notify::notify(&[NotifyState::Ready]));
}

/// The stop has begun.
pub fn stopping() {
    notify(|| sd_notify::notify(&[NotifyState::Stopping, NotifyState::Status("stopping")]));
}

/// Sets the line that `systemctl status` shows.
pub fn status(line: &str) {
    let line = line.replace('\n', " ");
    notify(move || sd_notify::notify(&[NotifyState::Status(&line)]));
}

/// Feeds the watchdog.
pub fn alive() {
    notify(|| sd_notify::notify(&[NotifyState::Watchdog]));
}

/// How often [`alive`] must be called: twice in the time that the unit allows. None without a
/// watchdog.
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()).map(|limit| limit / 2)
}

fn notify(send: impl FnOnce() -> std::io::Result<()> + Send + 'static) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    tokio::task::spawn_blocking(move || {
        if let Err(error) = send() {
            tracing::debug!(%error, "systemd not notified");
        }
    });
}
