//! Accepting connections and serving HTTP on them, within limits.
//!
//! Every wait for a peer has a limit: for the head of a request (which is also how long a
//! connection may be idle), and for a peer to read what it asked for. Bodies have limits of their
//! own where they are read. At the maximum number of connections new ones wait in the kernel's
//! queue, which is bounded too, so nothing here grows with what the world sends.
//!
//! The accept loop is a supervised task: it may fail and start again while connections go on. When
//! it is asked to stop, the listener closes at once, requests in progress are answered, and idle
//! connections are closed.

use axum::Router;
use beadle_tasks::Heartbeat;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, Sleep};

/// The buffer of a connection: a request's head must fit into it.
const BUFFER_BYTES: usize = 32 << 10;
/// After a failure to accept, which is a lack of file descriptors or memory. Real time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// What one listener allows.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at the same time.
    pub connections: u32,
    /// Time for the head of a request to arrive, counted from the end of the one before it.
    pub head_within: Duration,
    /// Time without progress while an answer is written.
    pub write_within: Duration,
}

impl Limits {
    /// The public listener. The platform keeps some dozens of connections; each costs some ten
    /// kilobytes.
    pub const PUBLIC: Self =
        Self { connections: 1024, head_within: Duration::from_secs(30), write_within: Duration::from_secs(30) };
    /// The admin listeners: a scraper, a probe, a few people.
    pub const ADMIN: Self =
        Self { connections: 64, head_within: Duration::from_secs(30), write_within: Duration::from_secs(30) };
}

/// A source of connections.
pub trait Accept: Send + Sync + 'static {
    /// One of them.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Waits for the next one. Returns it with the address of its other end, if that is on a
    /// network.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Io, Option<Peer>)>> + Send;
}

/// The address at the other end of a connection, in the extensions of its requests.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

impl Accept for TcpListener {
    type Io = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, Option<Peer>)> {
        let (stream, address) = TcpListener::accept(self).await?;
        // Answers are a packet or two; without this they may be later, not wrong.
        let _ = stream.set_nodelay(true);
        Ok((stream, Some(Peer(address.ip()))))
    }
}

impl Accept for UnixListener {
    type Io = UnixStream;

    async fn accept(&self) -> io::Result<(UnixStream, Option<Peer>)> {
        UnixListener::accept(self).await.map(|(stream, _)| (stream, None))
    }
}

/// The connections of one listener, to wait for their end.
#[derive(Clone, Debug)]
pub struct Connections {
    places: Arc<Semaphore>,
    limit: u32,
}

impl Connections {
    /// Waits until there are none.
    pub async fn closed(&self) {
        // The semaphore is never closed.
        let _ = self.places.acquire_many(self.limit).await;
    }
}

/// Serves one listener.
pub struct Server<L> {
    listener: L,
    router: Router,
    limits: Limits,
    connections: Connections,
    stop: watch::Receiver<bool>,
}

impl<L: Accept> Server<L> {
    /// It stops when `stop` becomes true.
    pub fn new(listener: L, router: Router, limits: Limits, stop: watch::Receiver<bool>) -> Self {
        let places = Arc::new(Semaphore::new(usize::try_from(limits.connections).unwrap_or(usize::MAX)));
        let connections = Connections { places, limit: limits.connections };
        Self { listener, router, limits, connections, stop }
    }

    /// Its connections.
    pub fn connections(&self) -> Connections {
        self.connections.clone()
    }

    /// Accepts connections until it is asked to stop. May be called again after a failure.
    pub async fn accept(self: Arc<Self>, heartbeat: Heartbeat) {
        let mut stop = self.stop.clone();
        loop {
            let next = async {
                tokio::select! {
                    biased;
                    _ = stop.wait_for(|stop| *stop) => None,
                    accepted = self.next() => Some(accepted),
                }
            };
            match heartbeat.idle(next).await {
                None => return,
                Some(Ok((stream, peer, place))) => {
                    let serving = connection(stream, peer, self.router.clone(), self.limits, self.stop.clone(), place);
                    tokio::spawn(serving);
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, "connection not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn next(&self) -> io::Result<(L::Io, Option<Peer>, Option<OwnedSemaphorePermit>)> {
        // The semaphore is never closed; were it, one connection too many does less harm than none.
        let place = Arc::clone(&self.connections.places).acquire_owned().await.ok();
        let (stream, peer) = self.listener.accept().await?;
        Ok((stream, peer, place))
    }
}

/// Serves one connection to its end. `place` is given back then.
async fn connection<C>(
    stream: C,
    peer: Option<Peer>,
    router: Router,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
    _place: Option<OwnedSemaphorePermit>,
) where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = TokioIo::new(WriteLimit { stream, within: limits.write_within, stalled: None });
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_within)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(stream, service);
    let mut connection = pin!(connection);
    tokio::select! {
        // What a peer does wrong is answered where HTTP has an answer for it.
        _ = connection.as_mut() => return,
        // An error means that the daemon is gone, which is a stop as well.
        _ = stop.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// Ends a connection whose peer does not read.
struct WriteLimit<C> {
    stream: C,
    within: Duration,
    /// Set while a write makes no progress.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<C: Unpin> WriteLimit<C> {
    fn limit<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let deadline = Instant::now() + self.within;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        stalled.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for WriteLimit<C> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for WriteLimit<C> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.limit(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.limit(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.limit(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.limit(cx, shut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use beadle_tasks::TaskKind;
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::task::JoinHandle;

    const SHORT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(60);

    struct Running {
        address: SocketAddr,
        connections: Connections,
        stop: watch::Sender<bool>,
        accepting: JoinHandle<()>,
    }

    async fn serve(limits: Limits) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let large = "x".repeat(64 << 20);
        let router =
            Router::new().route("/", get(|| async { "here" })).route("/large", get(move || async move { large }));
        let server = Arc::new(Server::new(listener, router, limits, stopped));
        let connections = server.connections();
        let accepting = tokio::spawn(server.accept(Heartbeat::unwatched(TaskKind::HttpListener)));
        Running { address, connections, stop, accepting }
    }

    /// What the server sends until it closes the connection.
    async fn rest(client: &mut TcpStream) -> String {
        let mut rest = Vec::new();
        // A reset is an end as well.
        let _ = client.read_to_end(&mut rest).await;
        String::from_utf8(rest).unwrap()
    }

    async fn ask(client: &mut TcpStream, path: &str) {
        client.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
    }

    #[tokio::test]
    async fn connection_over_the_limit_waits_until_one_is_closed() {
        let server = serve(Limits { connections: 1, head_within: LONG, write_within: LONG }).await;
        let mut first = TcpStream::connect(server.address).await.unwrap();
        let mut second = TcpStream::connect(server.address).await.unwrap();
        ask(&mut first, "/").await;
        let mut answer = [0; 15];
        first.read_exact(&mut answer).await.unwrap();
        ask(&mut second, "/").await;
        assert!(tokio::time::timeout(SHORT, second.read_exact(&mut answer)).await.is_err());
        drop(first);
        second.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
    }

    #[tokio::test]
    async fn connections_without_a_request_are_closed() {
        let server = serve(Limits { connections: 1, head_within: SHORT, write_within: LONG }).await;
        let mut silent = TcpStream::connect(server.address).await.unwrap();
        assert_eq!(rest(&mut silent).await, "");
        let mut slow = TcpStream::connect(server.address).await.unwrap();
        slow.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
        assert!(!rest(&mut slow).await.contains("200 OK"));
        let mut idle = TcpStream::connect(server.address).await.unwrap();
        ask(&mut idle, "/").await;
        assert!(rest(&mut idle).await.ends_with("here"));
    }

    #[tokio::test]
    async fn peer_that_does_not_read_is_disconnected() {
        let server = serve(Limits { connections: 1, head_within: LONG, write_within: SHORT }).await;
        let mut client = TcpStream::connect(server.address).await.unwrap();
        ask(&mut client, "/large").await;
        tokio::time::timeout(LONG, server.connections.closed()).await.unwrap();
    }

    #[tokio::test]
    async fn stop_closes_idle_connections_and_the_listener() {
        let server = serve(Limits { connections: 8, head_within: LONG, write_within: LONG }).await;
        let mut client = TcpStream::connect(server.address).await.unwrap();
        ask(&mut client, "/").await;
        let mut answer = [0; 15];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        server.stop.send(true).unwrap();
        server.accepting.await.unwrap();
        assert!(rest(&mut client).await.ends_with("here"));
        server.connections.closed().await;
        assert!(TcpStream::connect(server.address).await.is_err());
    }
}
