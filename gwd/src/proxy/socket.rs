//! The client's socket below hyper: every byte read passes the [`Scan`], and the connection
//! learns when a head begins.

#![expect(
    unsafe_code,
    reason = "hyper's read cursor can be filled in place only through `as_mut` and `advance`"
)]

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::connection::Conn;
use super::scan::Scan;

/// A watched socket.
pub(crate) struct ClientSocket {
    pub(crate) stream: TcpStream,
    pub(crate) scan: Scan,
    conn: Rc<Conn>,
}

/// An upstream's socket, unwatched.
pub(crate) struct UpstreamSocket(pub(crate) TcpStream);

impl ClientSocket {
    pub(crate) fn new(stream: TcpStream, conn: Rc<Conn>) -> Self {
        Self {
            stream,
            scan: Scan::new(),
            conn,
        }
    }
}

/// Reads into hyper's buffer and hands what came to `look`.
fn read_in_place(
    stream: &mut TcpStream,
    cx: &mut Context<'_>,
    mut cursor: ReadBufCursor<'_>,
    look: impl FnOnce(&mut [u8]) -> io::Result<()>,
) -> Poll<io::Result<()>> {
    // SAFETY: the unfilled part is only handed to tokio's `ReadBuf`, which never writes
    // uninitialised bytes into it.
    let unfilled = unsafe { cursor.as_mut() };
    let mut buffer = ReadBuf::uninit(unfilled);
    ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
    look(buffer.filled_mut())?;
    let read = buffer.filled().len();
    // SAFETY: `ReadBuf` says that the first `read` bytes of the unfilled part were written.
    unsafe { cursor.advance(read) };
    Poll::Ready(Ok(()))
}

impl Read for ClientSocket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, scan, conn } = self.get_mut();
        read_in_place(stream, cx, cursor, |bytes| {
            if bytes.is_empty() {
                return Ok(());
            }
            let followed = scan.follow(bytes);
            conn.bytes_came(scan.in_head());
            followed.map_err(|_| {
                conn.chunk_line_refused();
                io::Error::new(io::ErrorKind::InvalidData, "bad chunk line")
            })
        })
    }
}

impl Read for UpstreamSocket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        read_in_place(&mut self.get_mut().0, cx, cursor, |_| Ok(()))
    }
}

macro_rules! write_through {
    ($type:ty, $($stream:tt)+) => {
        impl Write for $type {
            fn poll_write(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.$($stream)+).poll_write(cx, bytes)
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.$($stream)+).poll_flush(cx)
            }

            fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.$($stream)+).poll_shutdown(cx)
            }
        }
    };
}
write_through!(ClientSocket, stream);
write_through!(UpstreamSocket, 0);
