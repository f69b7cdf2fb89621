//! Listening: a bounded number of connections, and an end in order.
//!
//! Past the bound new connections wait in the kernel's queue, which is bounded too; nothing of ours grows with what the
//! world sends. At the end the listener closes at once, requests that are being answered are answered, and idle
//! connections are let go.

use axum::Router;
use axum::serve::{Listener, ListenerExt as _};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Connections at once, of each listener. The platform keeps some dozens; each costs some ten kilobytes.
pub const CONNECTIONS: usize = 1024;

/// Serves until `stop` turns true, then until what is being answered is answered.
pub async fn serve<L>(listener: L, router: Router, mut stop: watch::Receiver<bool>) -> io::Result<()>
where
    L: Listener,
    L::Addr: std::fmt::Debug,
{
    let listener = Bounded { inner: listener, places: Arc::new(Semaphore::new(CONNECTIONS)) };
    // An error means that whoever could say "stop" is gone, which is a stop as well.
    let stopped = async move { _ = stop.wait_for(|stop| *stop).await };
    axum::serve(listener, router).with_graceful_shutdown(stopped).await
}

/// The same over TCP, each packet sent when it is there: an acknowledgement is one.
pub async fn tcp(listener: TcpListener, router: Router, stop: watch::Receiver<bool>) -> io::Result<()> {
    let at_once = listener.tap_io(|connection| {
        // Without it answers are later, not wrong.
        let _ = connection.set_nodelay(true);
    });
    serve(at_once, router, stop).await
}

/// A listener that takes no more than so many connections at once.
struct Bounded<L> {
    inner: L,
    places: Arc<Semaphore>,
}

impl<L: Listener> Listener for Bounded<L> {
    type Io = Held<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        // The semaphore is never closed; were it, one connection more is the lesser harm.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let (connection, address) = self.inner.accept().await;
        (Held { connection, _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.inner.local_addr()
    }
}

/// A connection that gives its place back when it is dropped.
struct Held<C> {
    connection: C,
    _place: Option<OwnedSemaphorePermit>,
}

impl<C: AsyncRead + Unpin> AsyncRead for Held<C> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_read(cx, buffer)
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Held<C> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    #[tokio::test]
    async fn one_connection_more_waits_for_a_place() {
        let inner = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = inner.local_addr().unwrap();
        let mut listener = Bounded { inner, places: Arc::new(Semaphore::new(1)) };
        let _clients = (TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap());
        let first = listener.accept().await;
        assert_eq!(listener.places.available_permits(), 0);
        let waiting = tokio::spawn(async move { listener.accept().await.1 });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn it_ends_when_it_is_told_and_lets_idle_connections_go() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let router = Router::new().route("/", axum::routing::get(|| async { "here" }));
        let serving = tokio::spawn(serve(listener, router, stopped));
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = [0; 15];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        stop.send(true).unwrap();
        serving.await.unwrap().unwrap();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        assert!(rest.ends_with(b"here"));
    }
}
