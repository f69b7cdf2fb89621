//! A minimal HTTP/1.1 client: one request after the other on one kept connection, over TCP or a
//! Unix socket.
//!
//! The bench makes its load with it, where a client library would cost as much CPU as the daemon
//! under test. It reads what `Content-Length` or chunks announce and trusts the other side: it is
//! for tests only.

use std::io;
use std::path::Path;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

/// The largest response that is read; a listing of ten thousand messages has a few megabytes.
const MAX_RESPONSE: usize = 64 << 20;

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Response {
    /// The body as text, lossily.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A connection that is kept open between requests.
pub struct Connection<S> {
    stream: S,
    /// Received and not yet consumed.
    buffer: Vec<u8>,
}

impl Connection<TcpStream> {
    /// Connects to `host:port`.
    pub async fn tcp(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self::new(stream))
    }
}

impl Connection<UnixStream> {
    /// Connects to a socket file.
    pub async fn unix(path: &Path) -> io::Result<Self> {
        Ok(Self::new(UnixStream::connect(path).await?))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::with_capacity(4096) }
    }

    /// Sends a complete request, as built by [`request`], and reads the response.
    pub async fn exchange(&mut self, request: &[u8]) -> io::Result<Response> {
        self.stream.write_all(request).await?;
        self.response().await
    }

    async fn response(&mut self) -> io::Result<Response> {
        let head_end = self.read_until(b"\r\n\r\n", 0).await?;
        let head = String::from_utf8_lossy(self.buffer.get(..head_end).unwrap_or_default()).into_owned();
        let status =
            head.get(9..12).and_then(|digits| digits.parse().ok()).ok_or_else(|| bad("no status line", &head))?;
        let header = |name: &str| {
            head.lines().skip(1).find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim())
            })
        };
        let length: Option<usize> = header("content-length").and_then(|length| length.parse().ok());
        let chunked = header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
        self.buffer.drain(..head_end);
        let body = match length {
            Some(length) => self.take(length).await?,
            None if chunked => self.chunks().await?,
            None => Vec::new(),
        };
        Ok(Response { status, body })
    }

    async fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line_end = self.read_until(b"\r\n", 0).await?;
            let line = self.take(line_end).await?;
            let digits = String::from_utf8_lossy(&line);
            let size = usize::from_str_radix(digits.trim(), 16).map_err(|_| bad("no chunk size", &digits))?;
            body.extend(self.take(size).await?);
            self.take(2).await?;
            if size == 0 {
                return Ok(body);
            }
        }
    }

    /// Reads until the buffer contains `mark`, and returns where it ends.
    async fn read_until(&mut self, mark: &[u8], from: usize) -> io::Result<usize> {
        let mut searched = from;
        loop {
            let rest = self.buffer.get(searched..).unwrap_or_default();
            if let Some(at) = rest.windows(mark.len()).position(|window| window == mark) {
                return Ok(searched + at + mark.len());
            }
            searched = self.buffer.len().saturating_sub(mark.len() - 1);
            self.read_more().await?;
        }
    }

    async fn take(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < count {
            self.read_more().await?;
        }
        Ok(self.buffer.drain(..count).collect())
    }

    async fn read_more(&mut self) -> io::Result<()> {
        if self.buffer.len() > MAX_RESPONSE {
            return Err(bad("response too large", ""));
        }
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

fn bad(problem: &str, line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{problem}: {line}"))
}

/// A complete request. `headers` are lines that end with CRLF, or empty.
pub fn request(method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::duplex;

    async fn responses(bytes: &[u8]) -> Vec<Response> {
        let (ours, mut theirs) = duplex(1 << 16);
        // Byte by byte, so that no read returns a whole response by chance.
        for byte in bytes {
            theirs.write_all(&[*byte]).await.unwrap();
        }
        drop(theirs);
        let mut connection = Connection::new(ours);
        let mut responses = Vec::new();
        while let Ok(response) = connection.response().await {
            responses.push(response);
        }
        responses
    }

    #[tokio::test]
    async fn reads_one_response_after_the_other() {
        let wire = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n\
            HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        let responses = responses(wire).await;
        let seen: Vec<(u16, String)> = responses.iter().map(|response| (response.status, response.text())).collect();
        assert_eq!(seen, [(200, "ok".into()), (503, String::new()), (200, "abcde".into())]);
    }
}
