//! I/O of upstream connections, independent of the transport.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

use crate::upstream::connection_permit::ConnectionPermit;

/// I/O of an upstream connection.
pub(crate) struct UpstreamSocket {
    wire: Wire,
    /// Permit for the connection; returned when the socket is closed. `None`: the connection needs
    /// no permit, as for health checks.
    permit: Option<ConnectionPermit>,
}

/// Transport of an upstream connection.
pub(crate) enum Wire {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
}

// === impl UpstreamSocket ===

impl From<Wire> for UpstreamSocket {
    fn from(wire: Wire) -> Self {
        Self { wire, permit: None }
    }
}

impl UpstreamSocket {
    /// Attaches the permit of the connection. The permit is returned when the socket is closed.
    pub(crate) fn hold_permit(&mut self, permit: ConnectionPermit) {
        self.permit = Some(permit);
    }

    /// Closes the socket and returns its permit.
    pub(crate) fn into_permit(self) -> Option<ConnectionPermit> {
        self.permit
    }

    /// TLS error that ended the connection, if there was one.
    pub(crate) fn tls_failure(&mut self) -> Option<rustls::Error> {
        match &mut self.wire {
            // A failed session returns its error again on every call.
            Wire::Tls(stream) => stream.get_mut().1.process_new_packets().err(),
            Wire::Tcp(_) | Wire::Unix(_) => None,
        }
    }
}

impl AsyncRead for UpstreamSocket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().wire {
            Wire::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Wire::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, buffer),
            Wire::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for UpstreamSocket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().wire {
            Wire::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Wire::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, bytes),
            Wire::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().wire {
            Wire::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Wire::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
            Wire::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().wire {
            Wire::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Wire::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
            Wire::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
