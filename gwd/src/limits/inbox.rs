//! Accounting of unread bytes of HTTP/2 connections (data-plane.md §10). h2 buffers these bytes
//! internally, within the windows granted to the peer, so they are counted from outside.
//!
//! Bytes are added as DATA frames arrive, and subtracted as bodies are read. h2 discards the data
//! of abandoned streams without reporting it. Therefore the count is set to zero whenever no body
//! can have unread bytes on the connection.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::limits::budget::Memory;
use crate::limits::buffered::Buffered;

const FRAME_HEADER_BYTES: usize = 9;
const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
/// Flag of the last frame of a message (RFC 9113 §6.1 and §6.2).
const END_STREAM: u8 = 0x1;
const SETTINGS: u8 = 0x4;
/// Identifier of SETTINGS_MAX_HEADER_LIST_SIZE (RFC 9113 §6.5.2).
const MAX_HEADER_LIST_SIZE: u16 = 0x6;
/// Bytes of one setting: identifier and value (RFC 9113 §6.5.1).
const SETTING_BYTES: usize = 6;

/// Count of bytes that were received on one connection and not read.
#[derive(Debug)]
pub(crate) struct Inbox {
    kept: Buffered,
    /// Receive window of the connection: the maximum bytes that h2 buffers.
    window: u64,
    /// Number of message bodies that may have unread bytes on this connection.
    unread: Cell<usize>,
    /// True if bytes have arrived since the last call of [`Inbox::after_poll`].
    fresh: Cell<bool>,
    /// SETTINGS_MAX_HEADER_LIST_SIZE of the peer: `None` until its first SETTINGS frame,
    /// [`u32::MAX`] if that frame does not contain the setting.
    header_list_max: Cell<Option<u32>>,
    /// Id of each stream that a [`Watch`] records, with true if the peer has ended the stream.
    watched: RefCell<Vec<(u32, bool)>>,
}

/// Stream whose end by the peer is recorded, because h2 does not report it after a reset.
#[derive(Debug)]
pub(crate) struct Watch {
    inbox: Rc<Inbox>,
    stream: u32,
}

/// Response or request body that may have unread bytes on its connection.
#[derive(Debug)]
pub(crate) struct UnreadBody {
    inbox: Rc<Inbox>,
    unread: Cell<bool>,
}

/// I/O of an HTTP/2 connection to an upstream. Counts the bytes of received DATA frames, and
/// records the upstream's SETTINGS_MAX_HEADER_LIST_SIZE, which h2 does not report. The input has no
/// preface, because only clients send one.
pub(crate) struct Metered<I> {
    io: I,
    inbox: Rc<Inbox>,
    header: [u8; FRAME_HEADER_BYTES],
    header_read: usize,
    /// Type of the current frame.
    kind: u8,
    /// Remaining bytes of the current frame's payload.
    left: usize,
    /// Current setting of a SETTINGS frame, of which `setting_held` bytes were read.
    setting: [u8; SETTING_BYTES],
    setting_held: usize,
}

// === impl Inbox ===

impl Inbox {
    pub(crate) fn new(memory: &Arc<Memory>, window: u32) -> Rc<Self> {
        Rc::new(Self {
            kept: Buffered::new(memory),
            window: window.into(),
            unread: Cell::new(0),
            fresh: Cell::new(false),
            header_list_max: Cell::new(None),
            watched: RefCell::default(),
        })
    }

    /// Adds received bytes. The count does not exceed the window.
    pub(crate) fn add_received(&self, bytes: u64) {
        if bytes == 0 {
            return;
        }
        self.fresh.set(true);
        let room = self.window.saturating_sub(self.kept.bytes());
        let kept = usize::try_from(bytes.min(room)).unwrap_or(usize::MAX);
        self.kept.add(kept);
    }

    /// Reports the count of unread bytes to the process, after a poll of the connection. Sets the
    /// count to zero if no body can have unread bytes and nothing arrived during this poll.
    pub(crate) fn after_poll(&self) {
        match !self.fresh.replace(false) && self.unread.get() == 0 {
            true => self.kept.set(0),
            false => self.kept.publish(),
        }
    }

    /// True if the connection must not read more data.
    pub(crate) fn must_wait(&self) -> bool {
        self.kept.must_wait()
    }

    /// Maximum size of a header list that the peer accepts (RFC 9113 §6.5.2), in bytes. `None` if
    /// the peer's SETTINGS have not arrived.
    pub(crate) fn header_list_max(&self) -> Option<u32> {
        self.header_list_max.get()
    }

    /// Records that the peer has ended a stream.
    fn ended(&self, stream: u32) {
        let mut watched = self.watched.borrow_mut();
        if let Some((_, ended)) = watched.iter_mut().find(|(one, _)| *one == stream) {
            *ended = true;
        }
    }

    /// True if flow-control window may be granted to the peer again.
    fn may_grow(&self) -> bool {
        self.kept.may_grow()
    }
}

// === impl Watch ===

impl Watch {
    /// Begins to watch a stream, before the peer can have ended it.
    pub(crate) fn new(inbox: &Rc<Inbox>, stream: u32) -> Self {
        inbox.watched.borrow_mut().push((stream, false));
        Self {
            inbox: Rc::clone(inbox),
            stream,
        }
    }

    /// True if the peer has ended the stream: its message is complete.
    pub(crate) fn has_ended(&self) -> bool {
        let watched = self.inbox.watched.borrow();
        watched.contains(&(self.stream, true))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watched = self.inbox.watched.borrow_mut();
        watched.retain(|(stream, _)| *stream != self.stream);
    }
}

// === impl UnreadBody ===

impl UnreadBody {
    pub(crate) fn new(inbox: &Rc<Inbox>) -> Self {
        inbox.unread.set(inbox.unread.get() + 1);
        Self {
            inbox: Rc::clone(inbox),
            unread: Cell::new(true),
        }
    }

    /// Subtracts bytes that were read from the body. The body may have more unread bytes.
    pub(crate) fn subtract_read(&self, bytes: usize) {
        if !self.unread.replace(true) {
            self.inbox.unread.set(self.inbox.unread.get() + 1);
        }
        self.inbox.kept.sub(bytes);
    }

    /// Records that the body has no more unread bytes, because it was read or abandoned.
    pub(crate) fn mark_consumed(&self) {
        if !self.unread.replace(false) {
            return;
        }
        let unread = self.inbox.unread.get() - 1;
        self.inbox.unread.set(unread);
        if unread == 0 {
            self.inbox.kept.set(0);
        }
    }

    /// True if flow-control window for bytes that were read may be granted to the peer again.
    pub(crate) fn may_grow(&self) -> bool {
        self.inbox.may_grow()
    }
}

impl Drop for UnreadBody {
    fn drop(&mut self) {
        self.mark_consumed();
    }
}

// === impl Metered ===

impl<I> Metered<I> {
    pub(crate) fn new(io: I, inbox: &Rc<Inbox>) -> Self {
        Self {
            io,
            inbox: Rc::clone(inbox),
            header: [0; FRAME_HEADER_BYTES],
            header_read: 0,
            kind: DATA,
            left: 0,
            setting: [0; SETTING_BYTES],
            setting_held: 0,
        }
    }

    /// Parses received bytes by their frame headers (RFC 9113 §4.1).
    fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let here = self.left.min(bytes.len());
                self.left -= here;
                if self.kind == SETTINGS {
                    self.read_settings(&bytes[..here]);
                }
                bytes = &bytes[here..];
                continue;
            }
            let here = (FRAME_HEADER_BYTES - self.header_read).min(bytes.len());
            self.header[self.header_read..self.header_read + here].copy_from_slice(&bytes[..here]);
            self.header_read += here;
            bytes = &bytes[here..];
            if self.header_read == FRAME_HEADER_BYTES {
                self.header_read = 0;
                let [a, b, c, kind, flags, stream @ ..] = self.header;
                self.left = u32::from_be_bytes([0, a, b, c]) as usize;
                self.kind = kind;
                if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
                    self.inbox
                        .ended(u32::from_be_bytes(stream) & (u32::MAX >> 1));
                }
                match kind {
                    DATA => self.inbox.add_received(self.left as u64),
                    SETTINGS => {
                        self.setting_held = 0;
                        let known = self.inbox.header_list_max.get();
                        self.inbox
                            .header_list_max
                            .set(Some(known.unwrap_or(u32::MAX)));
                    }
                    _ => {}
                }
            }
        }
    }

    /// Reads the next bytes of the payload of a SETTINGS frame.
    fn read_settings(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.setting[self.setting_held] = *byte;
            self.setting_held += 1;
            if self.setting_held == SETTING_BYTES {
                self.setting_held = 0;
                let [a, b, value @ ..] = self.setting;
                if u16::from_be_bytes([a, b]) == MAX_HEADER_LIST_SIZE {
                    let max = u32::from_be_bytes(value);
                    self.inbox.header_list_max.set(Some(max));
                }
            }
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Metered<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buffer))?;
        this.follow(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Metered<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let [_, a, b, c] = u32::try_from(length).unwrap().to_be_bytes();
        [&[a, b, c, kind, 0, 0, 0, 0, 1][..], &vec![7; length]].concat()
    }

    #[test]
    fn data_is_counted_however_it_comes_in_pieces() {
        let memory = Memory::of(u64::MAX);
        let frames = [
            frame(1, 40),
            frame(0, 100),
            frame(8, 4),
            frame(0, 0),
            frame(0, 33),
        ]
        .concat();
        for size in [1, 2, 8, 9, 10, 50, frames.len()] {
            let inbox = Inbox::new(&memory, 1_000);
            let reading = UnreadBody::new(&inbox);
            let mut metered = Metered::new((), &inbox);
            frames.chunks(size).for_each(|piece| metered.follow(piece));
            inbox.after_poll();
            assert_eq!(memory.buffered(), 133, "in pieces of {size}");
            reading.subtract_read(100);
            assert_eq!(memory.buffered(), 33);
            drop(reading);
            assert_eq!(memory.buffered(), 0);
        }
    }

    #[test]
    fn header_list_maximum_is_read_in_any_pieces() {
        let memory = Memory::of(u64::MAX);
        let settings = |entries: &[(u16, u32)]| {
            let length = u8::try_from(entries.len() * SETTING_BYTES).unwrap();
            let mut frame = vec![0, 0, length, SETTINGS, 0, 0, 0, 0, 0];
            for (name, value) in entries {
                frame.extend(name.to_be_bytes());
                frame.extend(value.to_be_bytes());
            }
            frame
        };
        let first = settings(&[(3, 100), (6, 65_536), (4, 6)]);
        let frames = [first, frame(0, 33), settings(&[])].concat();
        let later = [frames.clone(), settings(&[(6, 9)]), frame(1, 6)].concat();
        for size in [1, 2, 5, 6, 7, 9, 20, later.len()] {
            let inbox = Inbox::new(&memory, 1_000);
            let mut metered = Metered::new((), &inbox);
            assert_eq!(inbox.header_list_max(), None);
            metered.follow(&settings(&[(3, 6)]));
            assert_eq!(inbox.header_list_max(), Some(u32::MAX));
            frames.chunks(size).for_each(|piece| metered.follow(piece));
            assert_eq!(inbox.header_list_max(), Some(65_536), "in pieces of {size}");
            later.chunks(size).for_each(|piece| metered.follow(piece));
            assert_eq!(inbox.header_list_max(), Some(9), "in pieces of {size}");
        }
    }

    #[test]
    fn unread_bytes_are_bounded_by_the_window() {
        let memory = Memory::of(u64::MAX);
        let inbox = Inbox::new(&memory, 1_000);
        let (one, other) = (UnreadBody::new(&inbox), UnreadBody::new(&inbox));
        inbox.add_received(700);
        inbox.add_received(700);
        inbox.after_poll();
        assert_eq!(memory.buffered(), 1_000);
        drop(one);
        assert_eq!(
            memory.buffered(),
            1_000,
            "all unread bytes may belong to the other body"
        );
        other.mark_consumed();
        assert_eq!(memory.buffered(), 0);
        // The new bytes may belong to the body that has just been read. The count is reset only
        // after a poll of the connection without new bytes.
        inbox.add_received(10);
        inbox.after_poll();
        assert_eq!(memory.buffered(), 10);
        inbox.after_poll();
        assert_eq!(memory.buffered(), 0);
        other.subtract_read(5);
        inbox.add_received(10);
        inbox.after_poll();
        inbox.after_poll();
        assert_eq!(memory.buffered(), 10);
    }
}
