//! I/O of a client's HTTP/2 connection, whose input is inspected before h2 gets it.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::io::{AsyncRead, AsyncWrite};

use super::backlog::Backlog;
use super::client_frames::{ClientFrames, INVALID_FRAME, Then};
use super::goaway::Ending;
use super::refused::RefusedHead;
use crate::message::io::{ClientIo, read_in_place, take};
use crate::runtime::clock::Clock;

/// Client I/O that inspects the input before h2 gets it. After an error of the client, h2 gets no
/// more input.
pub(super) struct InspectedIo {
    io: ClientIo,
    frames: ClientFrames,
    ending: Ending,
    /// Received bytes that are withheld from h2, because a header block or SETTINGS frame is
    /// incomplete.
    kept: Vec<u8>,
    /// True if `kept` has not been inspected.
    is_new: bool,
    /// Inspected bytes, which h2 gets next.
    released: Bytes,
    backlog: Rc<Backlog>,
}

impl InspectedIo {
    /// Creates an I/O that inspects the input of `io`. `header_bytes`: maximum size of a header
    /// list.
    pub(super) fn new(
        io: ClientIo,
        clock: Clock,
        header_bytes: u32,
        backlog: Rc<Backlog>,
        ending: Ending,
    ) -> Self {
        Self {
            io,
            frames: ClientFrames::new(clock, header_bytes),
            ending,
            kept: Vec::new(),
            is_new: false,
            released: Bytes::new(),
            backlog,
        }
    }

    /// Underlying I/O.
    pub(super) fn into_inner(self) -> ClientIo {
        self.io
    }

    /// Takes the refused heads that were not logged yet. `resets`: streams that h2 has reset with
    /// PROTOCOL_ERROR.
    pub(super) fn take_refused(&mut self, resets: &[u32]) -> Vec<RefusedHead> {
        match resets.is_empty() && !self.frames.has_refused() {
            true => Vec::new(),
            false => self.frames.take_refused(resets),
        }
    }

    /// True if the client has reset so many streams that only half of the budget is left.
    pub(super) fn is_half_flooded(&self) -> bool {
        self.frames.flood.is_half_spent()
    }

    /// Size of the buffers with received bytes that h2 has not read yet.
    pub(super) fn unread_bytes(&self) -> usize {
        self.kept.capacity() + self.released.len()
    }

    /// Inspects `kept`, and moves the bytes that h2 may read to `released`.
    fn release(&mut self) {
        self.is_new = false;
        let progress = self.frames.inspect(&self.kept);
        let mut released: Vec<u8> = self.kept.drain(..progress.passed).collect();
        match progress.then {
            Then::More => {}
            Then::Replace(length, bytes) => {
                self.kept.drain(..length);
                self.is_new = !self.kept.is_empty();
                released.extend(bytes);
            }
            Then::End(reason) => {
                self.kept = Vec::new();
                self.ending.set(Some(reason));
                released.extend(INVALID_FRAME);
            }
        }
        if self.kept.is_empty() {
            self.kept = Vec::new();
        }
        self.released = released.into();
    }
}

impl Read for InspectedIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.backlog.may_read(cx) {
            return Poll::Pending;
        }
        read_in_place(
            cursor,
            |buffer| {
                loop {
                    if !this.released.is_empty() {
                        take(&mut this.released, buffer);
                        return Poll::Ready(Ok(()));
                    }
                    if this.is_new {
                        this.release();
                        continue;
                    }
                    if this.ending.get().is_some() {
                        return Poll::Pending;
                    }
                    // One poll may read a long header block, so update the count of its bytes
                    // before each read.
                    if !this.kept.is_empty() {
                        this.backlog.withhold(this.unread_bytes());
                        if !this.backlog.may_read(cx) {
                            return Poll::Pending;
                        }
                    }
                    ready!(AsyncRead::poll_read(Pin::new(&mut this.io), cx, buffer))?;
                    if buffer.filled().is_empty() {
                        return Poll::Ready(Ok(()));
                    }
                    if this.kept.is_empty() {
                        // Fast path: h2 gets all input in the buffer into which it was read.
                        let progress = this.frames.inspect(buffer.filled());
                        let rest = &buffer.filled()[progress.passed..];
                        match progress.then {
                            Then::More => this.kept.extend_from_slice(rest),
                            Then::Replace(length, bytes) => {
                                this.kept.extend_from_slice(&rest[length..]);
                                this.is_new = !this.kept.is_empty();
                                this.released = bytes.into();
                            }
                            Then::End(reason) => {
                                this.ending.set(Some(reason));
                                this.released = Bytes::from_static(INVALID_FRAME);
                            }
                        }
                        buffer.set_filled(progress.passed);
                    } else {
                        this.kept.extend_from_slice(buffer.filled());
                        buffer.clear();
                        this.release();
                    }
                    let received = std::mem::take(&mut this.frames.data);
                    this.backlog.inbox.add_received(received);
                    if !buffer.filled().is_empty() {
                        return Poll::Ready(Ok(()));
                    }
                }
            },
            |_| Ok(()),
        )
    }
}

impl Write for InspectedIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { io, frames, .. } = self.get_mut();
        let written = ready!(AsyncWrite::poll_write(Pin::new(io), cx, bytes))?;
        frames.flood.sent(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.io), cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(Pin::new(&mut self.io), cx)
    }
}
