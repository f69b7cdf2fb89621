//! Asking the daemon: HTTP over its socket.
//!
//! Nobody there is its own kind of answer (exit code 3), since a script wants to tell it from a "no".

use crate::api::{Failure, Problem};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// An answer that takes longer than this is not coming; a long poll asks for its time on top.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// A connection to the daemon.
pub struct Client {
    http: reqwest::Client,
    socket: PathBuf,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens at the socket.
    #[error("the daemon is not running: nobody answers at {}\n{hint}", socket.display())]
    NotRunning {
        /// Where.
        socket: PathBuf,
        /// What to do.
        hint: &'static str,
    },
    /// The socket is not ours to use.
    #[error("{} may not be used by this user: be root, or join the group of the daemon", socket.display())]
    Forbidden {
        /// Where.
        socket: PathBuf,
    },
    /// The daemon says no.
    #[error("{}\n`beadle explain {}` says more", .0.message, .0.code)]
    Refused(Problem),
    /// Something else came back.
    #[error("the answer was not understood: {0}")]
    Garbled(String),
}

impl ClientError {
    /// The daemon is there and said no.
    pub fn is_refusal(&self) -> bool {
        matches!(self, ClientError::Refused(_))
    }
}

impl Client {
    /// To the daemon at this socket.
    pub fn new(socket: &Path) -> Result<Self, ClientError> {
        let http = reqwest::Client::builder().unix_socket(socket).timeout(ANSWER_WITHIN).build();
        let http = http.map_err(|why| ClientError::Garbled(why.to_string()))?;
        Ok(Self { http, socket: socket.to_owned() })
    }

    /// Asks for something.
    pub async fn get(&self, path: &[&str], query: &[(&str, String)]) -> Result<Value, ClientError> {
        let mut url = address(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.answer(self.http.get(url)).await
    }

    /// Asks to do something.
    pub async fn post(&self, path: &[&str]) -> Result<Value, ClientError> {
        self.answer(self.http.post(address(path)?)).await
    }

    /// Asks to change something.
    pub async fn patch(&self, path: &[&str], change: &impl serde::Serialize) -> Result<Value, ClientError> {
        self.answer(self.http.patch(address(path)?).json(change)).await
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<Value, ClientError> {
        let answer = request.send().await.map_err(|why| self.no_answer(&why))?;
        let status = answer.status();
        let text = answer.text().await.map_err(|why| ClientError::Garbled(why.to_string()))?;
        if status.is_success() {
            return serde_json::from_str(&text).map_err(|why| ClientError::Garbled(why.to_string()));
        }
        Err(match serde_json::from_str::<Failure>(&text) {
            Ok(failure) => ClientError::Refused(failure.error),
            Err(_) => ClientError::Garbled(format!("{status}: {text}")),
        })
    }

    fn no_answer(&self, error: &reqwest::Error) -> ClientError {
        let socket = self.socket.clone();
        let mut cause = std::error::Error::source(error);
        while let Some(why) = cause {
            if let Some(io) = why.downcast_ref::<std::io::Error>() {
                match io.kind() {
                    std::io::ErrorKind::PermissionDenied => return ClientError::Forbidden { socket },
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => {
                        let hint = "start it with `systemctl start beadle`, or name its socket with --socket";
                        return ClientError::NotRunning { socket, hint };
                    }
                    _ => {}
                }
            }
            cause = why.source();
        }
        if error.is_timeout() {
            return ClientError::Garbled(format!("no answer within {} s", ANSWER_WITHIN.as_secs()));
        }
        ClientError::Garbled(error.to_string())
    }
}

/// The host is never looked up; it is there because HTTP wants one.
fn address(path: &[&str]) -> Result<reqwest::Url, ClientError> {
    let garbled = || ClientError::Garbled("the address could not be made".into());
    let mut url = reqwest::Url::parse("http://localhost/api/v1").map_err(|_| garbled())?;
    url.path_segments_mut().map_err(|()| garbled())?.extend(path);
    Ok(url)
}
