//! HTTP requests to the daemon over its Unix socket.
//!
//! A daemon that is not running is an error of its own ([`ClientError::NotRunning`]), because
//! scripts distinguish it from a request that failed.

use crate::api::{Failure, Problem};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// An import of 100,000 people takes a minute on a small machine.
const IMPORT_TIMEOUT: Duration = Duration::from_secs(600);
/// Time limit for one request, longer than any long poll of `events tail`.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A client of the daemon's `/api/v1`.
pub struct Client {
    http: reqwest::Client,
    socket: PathBuf,
}

/// Why a request has no result.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing listens on the socket.
    #[error("the daemon is not running: nothing listens on {}", socket.display())]
    NotRunning {
        /// The socket's path.
        socket: PathBuf,
    },
    /// The user may not connect to the socket.
    #[error("permission denied: {}", socket.display())]
    Forbidden {
        /// The socket's path.
        socket: PathBuf,
    },
    /// The daemon refused the request.
    #[error("{}", .0.message)]
    Refused(Problem),
    /// The connection failed or the response could not be parsed.
    #[error("no valid response from the daemon: {0}")]
    BadResponse(String),
}

impl ClientError {
    /// Whether the daemon answered, and refused.
    pub fn is_refusal(&self) -> bool {
        matches!(self, ClientError::Refused(_))
    }

    /// The code of a refusal.
    pub fn code(&self) -> Option<&str> {
        match self {
            ClientError::Refused(problem) => Some(&problem.code),
            _ => None,
        }
    }

    /// What the user can do.
    pub fn hint(&self) -> String {
        match self {
            ClientError::NotRunning { .. } => {
                "start it with `systemctl start beadle`, or pass its socket with --socket".into()
            }
            ClientError::Forbidden { .. } => {
                "run the command as root, or give the socket a group of yours (`Group=` in the unit) and join it".into()
            }
            ClientError::Refused(problem) => format!("run `beadle explain {}`", problem.code),
            ClientError::BadResponse(_) => "the command and the daemon may be of different versions".into(),
        }
    }
}

impl Client {
    /// A client for the daemon at this socket; it does not connect yet.
    pub fn new(socket: &Path) -> Result<Self, ClientError> {
        let http = reqwest::Client::builder().unix_socket(socket).timeout(REQUEST_TIMEOUT).build();
        let http = http.map_err(|error| ClientError::BadResponse(error.to_string()))?;
        Ok(Self { http, socket: socket.to_owned() })
    }

    /// `GET /api/v1/PATH?QUERY`
    pub async fn get(&self, path: &[&str], query: &[(&str, String)]) -> Result<Value, ClientError> {
        let mut url = url(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.send(self.http.get(url)).await
    }

    /// `POST /api/v1/PATH`
    pub async fn post(&self, path: &[&str]) -> Result<Value, ClientError> {
        self.send(self.http.post(url(path)?)).await
    }

    /// `POST /api/v1/PATH` with a body.
    pub async fn post_json(&self, path: &[&str], body: &impl serde::Serialize) -> Result<Value, ClientError> {
        self.send(self.http.post(url(path)?).json(body).timeout(IMPORT_TIMEOUT)).await
    }

    /// `PATCH /api/v1/PATH`
    pub async fn patch(&self, path: &[&str], body: &impl serde::Serialize) -> Result<Value, ClientError> {
        self.send(self.http.patch(url(path)?).json(body)).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Value, ClientError> {
        let response = request.send().await.map_err(|error| self.no_response(&error))?;
        let status = response.status();
        let text = response.text().await.map_err(|error| ClientError::BadResponse(error.to_string()))?;
        if status.is_success() {
            return serde_json::from_str(&text).map_err(|error| ClientError::BadResponse(error.to_string()));
        }
        Err(match serde_json::from_str::<Failure>(&text) {
            Ok(failure) => ClientError::Refused(failure.error),
            Err(_) => ClientError::BadResponse(format!("{status}: {text}")),
        })
    }

    fn no_response(&self, error: &reqwest::Error) -> ClientError {
        let socket = self.socket.clone();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            if let Some(io) = cause.downcast_ref::<std::io::Error>() {
                match io.kind() {
                    std::io::ErrorKind::PermissionDenied => return ClientError::Forbidden { socket },
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => {
                        return ClientError::NotRunning { socket };
                    }
                    _ => {}
                }
            }
            source = cause.source();
        }
        if error.is_timeout() {
            return ClientError::BadResponse(format!("timed out after {} s", REQUEST_TIMEOUT.as_secs()));
        }
        ClientError::BadResponse(error.to_string())
    }
}

/// The host name is required by HTTP and is not resolved.
fn url(path: &[&str]) -> Result<reqwest::Url, ClientError> {
    let invalid = || ClientError::BadResponse("the URL could not be built".into());
    let mut url = reqwest::Url::parse("http://localhost/api/v1").map_err(|_| invalid())?;
    url.path_segments_mut().map_err(|()| invalid())?.extend(path);
    Ok(url)
}
