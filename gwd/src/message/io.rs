//! I/O of client connections, independent of the transport.

#![expect(
    unsafe_code,
    reason = "hyper's read cursor can be filled in place only through `as_mut` and `advance`"
)]

use std::io::{self, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use hyper::rt::ReadBufCursor;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// I/O of a client connection.
pub(crate) struct ClientIo {
    transport: Transport,
    /// Bytes that were read to detect the protocol. They are returned by the next reads.
    replay: Bytes,
}

/// Transport of a client connection.
pub(crate) enum Transport {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl ClientIo {
    pub(crate) fn new(transport: Transport) -> Self {
        Self {
            transport,
            replay: Bytes::new(),
        }
    }

    /// Returns the TCP stream, or `None` if the connection uses TLS or has bytes that were put
    /// back.
    pub(crate) fn into_tcp(self) -> Option<TcpStream> {
        match self.transport {
            Transport::Tcp(stream) if self.replay.is_empty() => Some(stream),
            Transport::Tcp(_) | Transport::Tls(_) => None,
        }
    }

    /// Puts back bytes that were read to detect the protocol. The next reads return them.
    pub(crate) fn put_back(&mut self, bytes: Bytes) {
        debug_assert!(
            self.replay.is_empty(),
            "bytes can be put back only once, before other reads"
        );
        self.replay = bytes;
    }

    /// Writes as many bytes as the socket accepts without waiting. Used for the last bytes before
    /// the connection is closed.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) {
        match &mut self.transport {
            Transport::Tcp(stream) => {
                let _result = stream.try_write(bytes);
            }
            Transport::Tls(stream) => {
                let (stream, session) = stream.get_mut();
                let _result = session.writer().write_all(bytes);
                let _result = session.write_tls(&mut NonBlockingWriter(stream));
            }
        }
    }

    /// Sends a TLS `close_notify` alert if that is possible without waiting (RFC 9112 §9.8).
    pub(crate) fn send_close_notify(&mut self) {
        if let Transport::Tls(stream) = &mut self.transport {
            let (stream, session) = stream.get_mut();
            session.send_close_notify();
            let _result = session.write_tls(&mut NonBlockingWriter(stream));
        }
    }

    /// Makes closing reset the connection, so that the client does not take the end of the
    /// connection for the end of the response.
    pub(crate) fn reset(&mut self) {
        let stream = match &self.transport {
            Transport::Tcp(stream) => stream,
            Transport::Tls(stream) => stream.get_ref().0,
        };
        let none = Some(std::time::Duration::ZERO);
        let _gone_already = socket2::SockRef::from(stream).set_linger(none);
    }

    /// Waits, without a buffer, until bytes or the end of the input have arrived.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.replay.is_empty() {
            return Poll::Ready(());
        }
        // Peek, because tokio reports a newly accepted socket as readable even if it is not.
        let mut byte = [0];
        let stream = match &self.transport {
            Transport::Tcp(stream) => stream,
            Transport::Tls(stream) => {
                let (stream, session) = stream.get_ref();
                // The TLS session already has decrypted data to read.
                if !session.wants_read() {
                    return Poll::Ready(());
                }
                stream
            }
        };
        stream.poll_peek(cx, &mut ReadBuf::new(&mut byte)).map(drop)
    }
}

/// Writer to a socket that fails instead of waiting until the socket accepts bytes.
struct NonBlockingWriter<'s>(&'s TcpStream);

impl io::Write for NonBlockingWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads with `read` directly into hyper's buffer, without a copy. Passes the bytes read to `look`.
pub(crate) fn read_in_place(
    mut cursor: ReadBufCursor<'_>,
    read: impl FnOnce(&mut ReadBuf<'_>) -> Poll<io::Result<()>>,
    look: impl FnOnce(&mut [u8]) -> io::Result<()>,
) -> Poll<io::Result<()>> {
    // SAFETY: the unfilled part is only handed to tokio's `ReadBuf`, which never writes
    // uninitialised bytes into it.
    let unfilled = unsafe { cursor.as_mut() };
    let mut buffer = ReadBuf::uninit(unfilled);
    ready!(read(&mut buffer))?;
    look(buffer.filled_mut())?;
    let read = buffer.filled().len();
    // SAFETY: `ReadBuf` guarantees that the first `read` bytes of the unfilled part were written.
    unsafe { cursor.advance(read) };
    Poll::Ready(Ok(()))
}

/// Moves as many bytes as possible from `bytes` to `buffer`.
pub(crate) fn take(bytes: &mut Bytes, buffer: &mut ReadBuf<'_>) {
    let length = bytes.len().min(buffer.remaining());
    buffer.put_slice(&bytes[..length]);
    bytes.advance(length);
}

// === impl ClientIo ===

impl AsyncRead for ClientIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { transport, replay } = self.get_mut();
        if !replay.is_empty() {
            take(replay, buffer);
            return Poll::Ready(Ok(()));
        }
        match transport {
            Transport::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Transport::Tls(stream) => {
                let polled = Pin::new(&mut **stream).poll_read(cx, buffer);
                // Flush: the read may have created TLS records, such as the refusal of a
                // renegotiation. No other code sends them.
                if polled.is_pending() && stream.get_ref().1.wants_write() {
                    let _later = Pin::new(&mut **stream).poll_flush(cx)?;
                }
                polled
            }
        }
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().transport {
            Transport::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Transport::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }
}
