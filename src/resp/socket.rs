//! A connection's socket, of either kind. Knows no bytes.

use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

/// After so long a silence the system asks whether the other machine is still there: a client that is gone without a word must not
/// be delivered entries for ever. Redis's.
const SILENCE: Duration = Duration::from_secs(300);

/// A socket that a client is at the other end of.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

/// A socket that belongs to no runtime: on its way to the thread that will serve it.
#[derive(Debug)]
pub(super) enum Unowned {
    Tcp(std::net::TcpStream),
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixStream),
}

impl Unowned {
    /// Says why it is closed, and closes it: what does not fit the system's buffers, which are empty, is left unsaid.
    pub(super) fn refuse(self, why: &[u8]) {
        let _ = match self {
            Unowned::Tcp(mut stream) => stream.write(why),
            #[cfg(unix)]
            Unowned::Unix(mut stream) => stream.write(why),
        };
    }

    /// Gives it to the runtime that this is called in.
    pub(super) fn adopt(self) -> io::Result<Socket> {
        Ok(match self {
            Unowned::Tcp(stream) => {
                // Replies are written whole: nothing is gained by waiting for more.
                stream.set_nodelay(true)?;
                let alive = TcpKeepalive::new().with_time(SILENCE).with_interval(SILENCE / 3);
                SockRef::from(&stream).set_tcp_keepalive(&alive)?;
                Socket::Tcp(TcpStream::from_std(stream)?)
            }
            #[cfg(unix)]
            Unowned::Unix(stream) => Socket::Unix(UnixStream::from_std(stream)?),
        })
    }
}

impl Socket {
    /// Whether there is something to read, or the other end is gone.
    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Socket::Tcp(stream) => stream.poll_read_ready(cx),
            #[cfg(unix)]
            Socket::Unix(stream) => stream.poll_read_ready(cx),
        }
    }

    /// Whether the other end will send no more, as far as is known; with bytes unread before that.
    pub(super) async fn is_closed(&self) -> bool {
        let ready = match self {
            Socket::Tcp(stream) => stream.ready(Interest::READABLE).await,
            #[cfg(unix)]
            Socket::Unix(stream) => stream.ready(Interest::READABLE).await,
        };
        ready.map_or(true, Ready::is_read_closed)
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_read(cx, into),
            #[cfg(unix)]
            Socket::Unix(stream) => Pin::new(stream).poll_read(cx, into),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            #[cfg(unix)]
            Socket::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            #[cfg(unix)]
            Socket::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
