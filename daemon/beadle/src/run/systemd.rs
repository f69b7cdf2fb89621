//! What systemd is told: ready, how it goes, that there is progress, and that it ends.
//!
//! The watchdog is fed only while the pipeline makes progress, not while this process merely breathes: a daemon that
//! answers its health check and handles nothing is what a watchdog is for. Without systemd all of it is nothing.
//!
//! A notice is a datagram to `$NOTIFY_SOCKET` (sd_notify(3)). It is never waited for: a reader that does not read must
//! not hold up the daemon, so a notice for which there is no room is dropped, and the next one comes soon.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The pipeline takes events, and the sockets are open.
pub fn ready() {
    tell("READY=1");
}

/// The end has begun.
pub fn stopping() {
    tell("STOPPING=1\nSTATUS=stopping");
}

/// The line that `systemctl status` shows.
pub fn status(line: &str) {
    tell(&format!("STATUS={}", line.replace('\n', " ")));
}

/// There is progress.
pub fn alive() {
    tell("WATCHDOG=1");
}

/// How often [`alive`] has to be said: twice in the time that the unit allows. None where nobody waits for it.
pub fn watchdog_interval() -> Option<Duration> {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
    number("WATCHDOG_USEC").filter(|usec| ours && *usec > 0).map(|usec| Duration::from_micros(usec) / 2)
}

fn tell(notice: &str) {
    let Some(address) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(why) = send(&address, notice) {
        tracing::debug!(%why, "systemd could not be told.");
    }
}

fn send(address: &OsStr, notice: &str) -> io::Result<()> {
    let to = match address.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(address)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to_addr(notice.as_bytes(), &to).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_does_not_read_holds_up_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let reader = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str(), "READY=1").unwrap();
        let full = (0..10_000).find_map(|_| send(path.as_os_str(), "WATCHDOG=1").err()).unwrap();
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        let mut notice = [0; 64];
        let length = reader.recv(&mut notice).unwrap();
        assert_eq!(&notice[..length], b"READY=1");
    }

    #[test]
    fn an_abstract_name_is_an_address_too() {
        let name = format!("beadle-test-{}", std::process::id());
        let reader = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        send(OsStr::new(&format!("@{name}")), "STATUS=ä").unwrap();
        let mut notice = [0; 64];
        let length = reader.recv(&mut notice).unwrap();
        assert_eq!(&notice[..length], "STATUS=ä".as_bytes());
    }
}
