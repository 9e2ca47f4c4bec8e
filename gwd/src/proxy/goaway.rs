//! Error codes of the GOAWAY and RST_STREAM frames that h2 sends (RFC 9113 §6.4, §6.8, §7). Also
//! the maximum size of a header list in the SETTINGS of h2 (§6.5.2).
//!
//! h2 chooses the codes of the errors that it detects. For an error that [`super::client_frames`]
//! detects, h2 gets an invalid frame, so that it ends the connection and all streams itself.
//! [`GoAway`] then replaces the code in the frame on its way to the client. It also reports the
//! streams that h2 resets because of an error of the client ([`Resets`]).
//!
//! h2 announces the size above which it refuses a header list itself. The limit of the listener may
//! be smaller, and then replaces the announced size.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use h2::Reason;
use hyper::rt::{Read, ReadBufCursor, Write};

use super::client_frames::{FRAME_HEADER_BYTES, GOAWAY, RST_STREAM, SETTING_BYTES, SETTINGS};

/// Identifier of SETTINGS_MAX_HEADER_LIST_SIZE (RFC 9113 §6.5.2).
const MAX_HEADER_LIST_SIZE: u16 = 0x6;

/// Error of the client that ends the connection, if there is one.
pub(super) type Ending = Rc<Cell<Option<Reason>>>;

/// Number of streams reset because of errors of the client at which the connection accepts no new
/// streams.
const MANY: usize = 256;

/// Streams that h2 has reset because of errors of the client.
#[derive(Debug, Default)]
pub(super) struct Resets {
    /// Streams that were reset with PROTOCOL_ERROR and that have not been reported yet.
    malformed: RefCell<Vec<u32>>,
    /// Number of streams that were reset because of any error of the client.
    count: Cell<usize>,
}

/// I/O for hyper that tracks the boundaries of the frames which the gateway sends.
pub(super) struct GoAway<I> {
    io: I,
    ending: Ending,
    resets: Rc<Resets>,
    /// Part of the error code of a RST_STREAM frame that has been written so far.
    code: u32,
    header: [u8; FRAME_HEADER_BYTES],
    /// Number of bytes of the current frame header that were written.
    header_written: usize,
    /// Remaining bytes of the current payload.
    left: usize,
    /// Value of SETTINGS_MAX_HEADER_LIST_SIZE that the client gets.
    header_list: Option<HeaderList>,
}

/// Value of SETTINGS_MAX_HEADER_LIST_SIZE in the first frame of the gateway, which is SETTINGS.
struct HeaderList {
    value: [u8; 4],
    /// Number of bytes of the connection that were written.
    written: usize,
    /// Position of the value in the bytes of the connection.
    at: usize,
}

// === impl Resets ===

impl Resets {
    /// Takes the streams that were reset with PROTOCOL_ERROR since the last call.
    pub(super) fn take_malformed(&self) -> Vec<u32> {
        self.malformed.take()
    }

    /// True if so many streams were reset that the connection must accept no new ones. The client
    /// may be a proxy, whose connection carries requests of other clients: they are completed.
    pub(super) fn are_many(&self) -> bool {
        self.count.get() >= MANY
    }

    /// Processes a RST_STREAM frame of the gateway. Resets that are not caused by an error of the
    /// client have no effect.
    fn add(&self, stream: u32, code: Reason) {
        if [Reason::NO_ERROR, Reason::INTERNAL_ERROR, Reason::CANCEL].contains(&code) {
            return;
        }
        self.count.set(self.count.get() + 1);
        if code == Reason::PROTOCOL_ERROR {
            self.malformed.borrow_mut().push(stream);
        }
    }
}

// === impl GoAway ===

impl<I> GoAway<I> {
    pub(super) fn new(io: I, ending: Ending, resets: Rc<Resets>) -> Self {
        Self {
            io,
            ending,
            resets,
            code: 0,
            header: [0; FRAME_HEADER_BYTES],
            header_written: 0,
            left: 0,
            header_list: None,
        }
    }

    /// Announces this maximum size of a header list, in bytes.
    pub(super) fn announcing(self, header_bytes: u32) -> Self {
        let list = HeaderList {
            value: header_bytes.to_be_bytes(),
            written: 0,
            at: 0,
        };
        Self {
            header_list: Some(list),
            ..self
        }
    }

    /// Bytes to write, in which the limit of the listener replaces the size that h2 announces.
    fn with_header_list<'b>(&mut self, bytes: Cow<'b, [u8]>) -> Cow<'b, [u8]> {
        let Some(list) = &mut self.header_list else {
            return bytes;
        };
        if list.written == 0 {
            list.at = position_of_header_list(&bytes).unwrap_or_default();
        }
        let value = list.at..list.at + list.value.len();
        let here = list.written..list.written + bytes.len();
        if list.at == 0 || value.end <= here.start || here.end <= value.start {
            return bytes;
        }
        let mut bytes = bytes.into_owned();
        for (at, byte) in value.zip(list.value).filter(|(at, _)| here.contains(at)) {
            bytes[at - here.start] = byte;
        }
        Cow::Owned(bytes)
    }

    /// Updates the position in the frames after a write.
    fn follow(&mut self, mut bytes: &[u8]) {
        if let Some(list) = &mut self.header_list {
            list.written += bytes.len();
            if list.written >= list.at + list.value.len() {
                self.header_list = None;
            }
        }
        loop {
            let payload = self.left.min(bytes.len());
            self.left -= payload;
            let [.., kind, _, _, _, _, _] = self.header;
            if kind == RST_STREAM && payload > 0 {
                self.reset(&bytes[..payload]);
            }
            bytes = &bytes[payload..];
            if bytes.is_empty() {
                return;
            }
            let part = bytes.len().min(FRAME_HEADER_BYTES - self.header_written);
            self.header[self.header_written..self.header_written + part]
                .copy_from_slice(&bytes[..part]);
            self.header_written += part;
            bytes = &bytes[part..];
            if self.header_written == FRAME_HEADER_BYTES {
                self.header_written = 0;
                self.left = payload_bytes(&self.header);
            }
        }
    }

    /// Processes a part of the payload of a RST_STREAM frame: its error code.
    #[cold]
    fn reset(&mut self, part: &[u8]) {
        for byte in part {
            self.code = self.code << 8 | u32::from(*byte);
        }
        if self.left > 0 {
            return;
        }
        let [.., a, b, c, d] = self.header;
        let code = Reason::from(std::mem::take(&mut self.code));
        self.resets.add(u32::from_be_bytes([a, b, c, d]), code);
    }

    /// Bytes to write. In a GOAWAY frame with an error code, the code of the client's error
    /// replaces the code.
    fn with_code<'b>(&self, bytes: &'b [u8]) -> Cow<'b, [u8]> {
        let (Some(reason), 0) = (self.ending.get(), self.header_written) else {
            return Cow::Borrowed(bytes);
        };
        let mut at = self.left;
        while let Some(header) = bytes
            .get(at..)
            .and_then(|rest| rest.first_chunk::<FRAME_HEADER_BYTES>())
        {
            let code = at + FRAME_HEADER_BYTES + 4;
            let code = code..code + 4;
            let [.., kind, _, _, _, _, _] = *header;
            if kind == GOAWAY && bytes.get(code.clone()).is_some_and(|code| code != [0; 4]) {
                let mut bytes = bytes.to_vec();
                bytes[code].copy_from_slice(&u32::from(reason).to_be_bytes());
                return Cow::Owned(bytes);
            }
            at += FRAME_HEADER_BYTES + payload_bytes(header);
        }
        Cow::Borrowed(bytes)
    }
}

/// Position of the value of SETTINGS_MAX_HEADER_LIST_SIZE, if a complete SETTINGS frame with this
/// parameter is at the start of `bytes`.
fn position_of_header_list(bytes: &[u8]) -> Option<usize> {
    let (header, rest) = bytes.split_first_chunk::<FRAME_HEADER_BYTES>()?;
    let parameters = rest.get(..payload_bytes(header))?;
    let [.., kind, _, _, _, _, _] = *header;
    let mut parameters = parameters.chunks_exact(SETTING_BYTES);
    let at = parameters.position(|one| one[..2] == MAX_HEADER_LIST_SIZE.to_be_bytes())?;
    (kind == SETTINGS).then_some(FRAME_HEADER_BYTES + at * SETTING_BYTES + 2)
}

fn payload_bytes(header: &[u8; FRAME_HEADER_BYTES]) -> usize {
    let [a, b, c, ..] = *header;
    u32::from_be_bytes([0, a, b, c]) as usize
}

impl<I: Read + Unpin> Read for GoAway<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, cursor)
    }
}

impl<I: Write + Unpin> Write for GoAway<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let bytes = self.with_code(bytes);
        let bytes = self.with_header_list(bytes);
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, &bytes))?;
        self.follow(&bytes[..written]);
        Poll::Ready(Ok(written))
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
    use std::task::Waker;

    /// Written bytes, and the maximum number of bytes that one write accepts.
    struct Peer(Vec<u8>, usize);

    impl Default for Peer {
        fn default() -> Self {
            Self(Vec::new(), usize::MAX)
        }
    }

    impl Write for Peer {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let accepted = bytes.len().min(self.1);
            self.0.extend_from_slice(&bytes[..accepted]);
            Poll::Ready(Ok(accepted))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        [&[0, 0, length, kind, 0, 0, 0, 0, 1], payload].concat()
    }

    fn goaway_frame(code: u8) -> Vec<u8> {
        frame(GOAWAY, &[0, 0, 0, 1, 0, 0, 0, code])
    }

    #[test]
    fn code_of_an_error_is_replaced_in_goaway_only() {
        // A payload that looks like a GOAWAY frame, and a GOAWAY frame without an error.
        let before = [frame(0, &goaway_frame(6)), goaway_frame(0)].concat();
        let sent = [&before[..], &goaway_frame(6)].concat();
        let expected = [&before[..], &goaway_frame(9)].concat();
        for cut in [0, 3, 9, 20, before.len()] {
            let ending = Ending::default();
            let mut io = GoAway::new(Peer::default(), Rc::clone(&ending), Rc::default());
            let mut cx = Context::from_waker(Waker::noop());
            assert!(
                Pin::new(&mut io)
                    .poll_write(&mut cx, &sent[..cut])
                    .is_ready()
            );
            ending.set(Some(Reason::COMPRESSION_ERROR));
            if cut == 3 {
                // While the header of a frame is incomplete, h2 cannot have written its GOAWAY
                // frame yet.
                assert!(
                    Pin::new(&mut io)
                        .poll_write(&mut cx, &sent[cut..9])
                        .is_ready()
                );
                assert!(Pin::new(&mut io).poll_write(&mut cx, &sent[9..]).is_ready());
            } else {
                assert!(
                    Pin::new(&mut io)
                        .poll_write(&mut cx, &sent[cut..])
                        .is_ready()
                );
            }
            assert_eq!(io.io.0, expected, "after {cut} bytes");
        }
    }

    #[test]
    fn resets_for_errors_of_the_client_are_reported() {
        let mut sent = Vec::new();
        for (kind, stream, code) in [
            (RST_STREAM, 1, 1),
            (0, 3, 1),
            (RST_STREAM, 5, 8),
            (RST_STREAM, 7, 1),
            (RST_STREAM, 9, 2),
            (RST_STREAM, 11, 3),
            (RST_STREAM, 13, 7),
        ] {
            let mut frame = frame(kind, &[0, 0, 0, code]);
            frame[8] = stream;
            sent.extend(frame);
        }
        for piece in [1, 2, 13, sent.len()] {
            let resets = Rc::new(Resets::default());
            let mut io = GoAway::new(Peer::default(), Ending::default(), Rc::clone(&resets));
            let mut cx = Context::from_waker(Waker::noop());
            for part in sent.chunks(piece) {
                assert!(Pin::new(&mut io).poll_write(&mut cx, part).is_ready());
            }
            assert_eq!(resets.take_malformed(), [1, 7], "pieces of {piece}");
            assert_eq!(resets.count.get(), 4, "pieces of {piece}");
        }
    }

    #[test]
    fn announced_header_list_replaces_the_number_of_h2() {
        let settings = |size: u8| {
            let parameters = [
                [0, 2, 0, 0, 0, 0],
                [0, 6, 0, 4, 0, size],
                [0, 4, 0, 0, 6, 6],
            ];
            frame(SETTINGS, parameters.as_flattened())
        };
        // Only the first frame is changed.
        let sent = [settings(0), settings(7)].concat();
        let expected = [settings(9), settings(7)].concat();
        for piece in [1, 2, 5, 100] {
            let peer = Peer(Vec::new(), piece);
            let io = GoAway::new(peer, Ending::default(), Rc::default());
            let mut io = io.announcing((4 << 16) + 9);
            let mut cx = Context::from_waker(Waker::noop());
            let mut rest = &sent[..];
            while !rest.is_empty() {
                let Poll::Ready(written) = Pin::new(&mut io).poll_write(&mut cx, rest) else {
                    panic!("it is ready");
                };
                rest = &rest[written.unwrap()..];
            }
            assert_eq!(io.io.0, expected, "pieces of {piece}");
        }
    }

    #[test]
    fn goaway_without_an_error_of_the_client_is_kept() {
        let mut io = GoAway::new(Peer::default(), Ending::default(), Rc::default());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(
            Pin::new(&mut io)
                .poll_write(&mut cx, &goaway_frame(1))
                .is_ready()
        );
        assert_eq!(io.io.0, goaway_frame(1));
    }
}
