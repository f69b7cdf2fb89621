//! The addresses that the daemon listens on.

use super::RunError;
use crate::config::Config;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use tokio::net::{TcpListener, UnixListener, UnixStream};

/// User and group may talk to the daemon; whoever may, may do everything.
const SOCKET_MODE: u32 = 0o660;

/// All of them, open.
pub struct Sockets {
    /// What the world reaches.
    pub http: TcpListener,
    /// What the machine reaches.
    pub admin: TcpListener,
    /// What the command line reaches.
    pub local: UnixListener,
}

impl Sockets {
    /// Opens them; the first that cannot be opened is the error.
    pub async fn open(config: &Config) -> Result<Self, RunError> {
        let http = tcp("[http] listen", config.http.listen).await?;
        let admin = tcp("[admin] listen", config.admin.listen).await?;
        let path = &config.admin.socket;
        let failed = |why| RunError::Listen { key: "[admin] socket", address: path.display().to_string(), why };
        Ok(Self { http, admin, local: local(path).await.map_err(failed)? })
    }

    /// Where it can be asked about its clock.
    pub fn clock_url(&self) -> String {
        self.admin.local_addr().map_or_else(|_| String::new(), |address| format!("http://{address}/api/v1/clock"))
    }
}

async fn tcp(key: &'static str, address: SocketAddr) -> Result<TcpListener, RunError> {
    let failed = |why| RunError::Listen { key, address: address.to_string(), why };
    TcpListener::bind(address).await.map_err(failed)
}

async fn local(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    match UnixStream::connect(path).await {
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AddrInUse, "another beadle answers there")),
        // Left by one that was killed.
        Err(why) if why.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path)?,
        Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(SOCKET_MODE))?;
    Ok(listener)
}

/// Removes the socket's file at the end.
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
    async fn a_socket_that_was_left_is_replaced_and_one_in_use_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/beadle.sock");
        let first = local(&path).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, SOCKET_MODE);
        assert_eq!(local(&path).await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        local(&path).await.unwrap();
    }
}
