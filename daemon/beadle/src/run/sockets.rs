//! The addresses that the daemon listens on.

use super::error::RunError;
use crate::config::Config;
use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::time::Instant;

/// User and group may use the socket, which allows everything.
const SOCKET_MODE: u32 = 0o660;

/// How long an address that is in use is tried. A process that a killed daemon was just starting,
/// for example the compiler, holds the daemon's sockets until it runs its own program, which takes
/// milliseconds. Real time.
const IN_USE_FOR: Duration = Duration::from_secs(1);
/// Real time.
const PAUSE: Duration = Duration::from_millis(20);

/// The open listeners.
pub struct Sockets {
    /// `[http] listen`
    pub http: TcpListener,
    /// `[admin] listen`
    pub admin: Option<TcpListener>,
    /// `[admin] socket`
    pub local: UnixListener,
}

impl Sockets {
    /// Opens them, or returns the first error.
    pub async fn open(config: &Config) -> Result<Self, RunError> {
        let http = tcp("[http] listen", config.http.listen).await?;
        let admin = match config.admin.listen {
            Some(listen) => Some(tcp("[admin] listen", listen).await?),
            None => None,
        };
        let path = &config.admin.socket;
        let local = listen("[admin] socket", path.display(), IN_USE_FOR, async || local(path).await).await?;
        Ok(Self { http, admin, local })
    }

    /// The URL at which a simulator asks about this daemon's clock.
    pub fn clock_url(&self) -> String {
        let address = self.admin.as_ref().and_then(|listener| listener.local_addr().ok());
        address.map_or_else(String::new, |address| format!("http://{address}/api/v1/clock"))
    }
}

async fn tcp(key: &'static str, address: SocketAddr) -> Result<TcpListener, RunError> {
    listen(key, address, IN_USE_FOR, async || TcpListener::bind(address).await).await
}

/// Opens a listener, and waits a moment for an address that is in use.
async fn listen<L>(
    key: &'static str,
    address: impl Display,
    within: Duration,
    open: impl AsyncFn() -> io::Result<L>,
) -> Result<L, RunError> {
    let until = Instant::now() + within;
    loop {
        match open().await {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < until => {
                tracing::debug!(key, %address, "address in use; trying again");
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(RunError::Listen { key, address: address.to_string(), error }),
        }
    }
}

async fn local(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    match UnixStream::connect(path).await {
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AddrInUse, "another daemon uses it")),
        // Left by a daemon that was killed.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path)?,
        Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(SOCKET_MODE))?;
    Ok(listener)
}

/// Removes the socket's file when dropped.
pub struct Cleanup(pub PathBuf);

impl Drop for Cleanup {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::os::fd::AsFd as _;

    #[tokio::test]
    async fn only_a_stale_socket_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/beadle.sock");
        let first = local(&path).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, SOCKET_MODE);
        assert_eq!(local(&path).await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        local(&path).await.unwrap();
    }

    #[tokio::test]
    async fn address_that_is_held_for_a_moment_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("beadle.sock");
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = other.local_addr().unwrap();
        let failed = listen("[http] listen", address, Duration::ZERO, async || TcpListener::bind(address).await).await;
        let error = failed.unwrap_err().to_string();
        assert!(error.contains("[http] listen") && error.contains("in use"), "{error}");

        let (tries, held) = (Cell::new(0), Cell::new(Some((other, local(&path).await.unwrap()))));
        let released_at_the_third = || {
            tries.set(tries.get() + 1);
            if tries.get() % 3 == 0 {
                drop(held.take());
            }
        };
        let bind = async || {
            released_at_the_third();
            TcpListener::bind(address).await
        };
        listen("[http] listen", address, IN_USE_FOR, bind).await.unwrap();
        held.set(Some((std::net::TcpListener::bind("127.0.0.1:0").unwrap(), local(&path).await.unwrap())));
        let bind = async || {
            released_at_the_third();
            local(&path).await
        };
        listen("[admin] socket", path.display(), IN_USE_FOR, bind).await.unwrap();
        assert_eq!(tries.get(), 6);
    }

    #[tokio::test]
    async fn no_other_program_inherits_a_listener() {
        let folder = tempfile::tempdir().unwrap();
        let (http, socket) = (
            tcp("[http] listen", "127.0.0.1:0".parse().unwrap()).await.unwrap(),
            local(&folder.path().join("beadle.sock")).await.unwrap(),
        );
        for fd in [http.as_fd(), socket.as_fd()] {
            assert!(rustix::io::fcntl_getfd(fd).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
        }
    }
}
