//! The addresses that the daemon listens on.

use super::error::RunError;
use crate::config::Config;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use tokio::net::{TcpListener, UnixListener, UnixStream};

/// User and group may use the socket, which allows everything.
const SOCKET_MODE: u32 = 0o660;

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
        let failed = |error| RunError::Listen { key: "[admin] socket", address: path.display().to_string(), error };
        Ok(Self { http, admin, local: local(path).await.map_err(failed)? })
    }

    /// The URL at which a simulator asks about this daemon's clock.
    pub fn clock_url(&self) -> String {
        let address = self.admin.as_ref().and_then(|listener| listener.local_addr().ok());
        address.map_or_else(String::new, |address| format!("http://{address}/api/v1/clock"))
    }
}

async fn tcp(key: &'static str, address: SocketAddr) -> Result<TcpListener, RunError> {
    let failed = |error| RunError::Listen { key, address: address.to_string(), error };
    TcpListener::bind(address).await.map_err(failed)
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
}
