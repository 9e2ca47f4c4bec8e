//! Protection against floods of HTTP/2 frames that do no useful work (RFC 9113 §10.5): PING,
//! SETTINGS, PRIORITY, WINDOW_UPDATE, unknown types, and streams that are opened only to be reset.
//!
//! h2 limits the memory for such frames, and the cost of CONTINUATION, DATA and early resets. It
//! handles any number of other frames, which costs CPU time. [`Flood`] therefore parses frame
//! headers before h2 gets the bytes. Control frames consume a budget, which time, requests and sent
//! bytes refill. If the budget is exhausted, the rest of the input is not read. Instead h2 gets a
//! header block in more pieces than it accepts: it treats the connection as a flood and sends
//! GOAWAY with ENHANCE_YOUR_CALM.
//!
//! A frame with a length that its type does not allow is a FRAME_SIZE_ERROR (RFC 9113 §4.2, §6),
//! and a window beyond 2^31-1 in SETTINGS is a FLOW_CONTROL_ERROR (§6.5.2). h2 reports
//! PROTOCOL_ERROR for both. Instead of such a frame, h2 therefore gets another invalid frame, for
//! which it reports the right code. To make this possible, frame headers and SETTINGS frames are
//! held back until they are complete.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::io::{AsyncRead, AsyncWrite};

use super::backlog::Backlog;
use super::io::{ClientIo, read_in_place, take};
use crate::clock::Clock;

/// Maximum burst of control frames, as in Envoy's limit of queued control frames.
const CONTROL_BURST: u32 = 1_000;
/// Control frames per second that refill the budget; they cost about 100 µs of work.
const CONTROL_PER_S: u64 = 1_000;
/// Control frames that each request adds to the budget, for its priority, window updates and end.
const CONTROL_PER_REQUEST: u32 = 4;
/// Number of sent bytes that add one control frame to the budget. A client that reads in small
/// pieces also sends window updates in small steps.
const BYTES_PER_CONTROL: usize = 256;
/// Number of streams that a client may reset in a burst.
const RESET_BURST: u32 = 500;
/// Number of requests that refill the budget by one reset: beyond the burst, a client may reset
/// every other stream (compare Envoy's `premature_reset_total_stream_count`).
const RESET_COST: u32 = 2;
/// Resets per second that refill the budget.
const RESETS_PER_S: u64 = 10;
/// Length of the connection preface, which precedes the first frame.
const PREFACE_BYTES: u32 = 24;
const FRAME_HEADER_BYTES: usize = 9;
/// Length of one SETTINGS parameter.
const SETTING_BYTES: usize = 6;
/// Maximum length of a SETTINGS payload that is parsed. h2 refuses longer frames of any type.
const SETTINGS_BYTES_MAX: u32 = 16_384;
const INITIAL_WINDOW_SIZE: u16 = 0x4;
const WINDOW_MAX: u32 = 0x7FFF_FFFF;

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const PRIORITY: u8 = 0x2;
const RST_STREAM: u8 = 0x3;
const SETTINGS: u8 = 0x4;
const PING: u8 = 0x6;
const GOAWAY: u8 = 0x7;
const WINDOW_UPDATE: u8 = 0x8;
const CONTINUATION: u8 = 0x9;
const ACK: u8 = 0x1;
const PADDED: u8 = 0x8;
const WITH_PRIORITY: u8 = 0x20;
const END_HEADERS: u8 = 0x4;

/// Parser of a client's frame headers, with the budgets for control frames and resets.
#[derive(Debug)]
pub(super) struct Flood {
    clock: Clock,
    header: [u8; FRAME_HEADER_BYTES],
    held: usize,
    /// Remaining bytes of the current payload, or of the preface.
    left: u32,
    /// Stream whose header block is incomplete, or 0.
    block: u32,
    control: Bucket,
    resets: Bucket,
    /// Sent bytes that have not been added to the budget yet.
    sent: usize,
    /// Received DATA bytes that the caller has not counted yet.
    data: u64,
    over: bool,
    /// True while the payload of a SETTINGS frame is parsed.
    reads_settings: bool,
    setting: [u8; SETTING_BYTES],
    setting_held: usize,
    /// Number of bytes held back because their frame header or SETTINGS frame is incomplete.
    undecided: usize,
    violation: Option<Violation>,
}

/// Error for which h2 would send another code than RFC 9113 requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Violation {
    /// Frame with a length that its type does not allow: FRAME_SIZE_ERROR.
    Length,
    /// Window beyond 2^31-1 in SETTINGS: FLOW_CONTROL_ERROR.
    Window,
}

/// Result of parsing. `allowed` is the number of bytes, held back or new, that may go to h2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Followed {
    allowed: usize,
    /// True if no bytes of the client may go to h2 after these.
    ended: bool,
}

/// Token bucket, filled by time and by useful frames of the client.
#[derive(Debug)]
struct Bucket {
    level: u32,
    max: u32,
    per_s: u64,
    filled_ms: u64,
}

// === impl Flood ===

impl Flood {
    /// Parser at the start of a connection, before the preface.
    pub(super) fn new(clock: Clock) -> Self {
        let now_ms = clock.now_ms();
        Self {
            clock,
            header: [0; FRAME_HEADER_BYTES],
            held: 0,
            left: PREFACE_BYTES,
            block: 0,
            control: Bucket::new(CONTROL_BURST, CONTROL_PER_S, now_ms),
            resets: Bucket::new(RESET_BURST * RESET_COST, RESETS_PER_S * 2, now_ms),
            sent: 0,
            data: 0,
            over: false,
            reads_settings: false,
            setting: [0; SETTING_BYTES],
            setting_held: 0,
            undecided: 0,
            violation: None,
        }
    }

    /// Parses received bytes. Before them, `kept_back` bytes were held back.
    fn follow(&mut self, bytes: &[u8], kept_back: usize) -> Followed {
        let mut at = 0;
        while at < bytes.len() && self.violation.is_none() {
            if self.left > 0 {
                let rest = bytes.len() - at;
                let here = rest.min(self.left as usize);
                // The conversion cannot fail: `here` is at most `left`, a `u32`.
                self.left -= u32::try_from(here).unwrap_or(self.left);
                if self.reads_settings {
                    self.undecided += here;
                    self.read_settings(&bytes[at..at + here]);
                }
                at += here;
            } else if self.over && self.held == 0 {
                break;
            } else {
                let here = (FRAME_HEADER_BYTES - self.held).min(bytes.len() - at);
                self.header[self.held..self.held + here].copy_from_slice(&bytes[at..at + here]);
                self.held += here;
                self.undecided += here;
                at += here;
                if self.held == FRAME_HEADER_BYTES {
                    self.held = 0;
                    self.header_ends();
                }
            }
            if self.left == 0 && self.held == 0 && self.violation.is_none() {
                self.undecided = 0;
            }
        }
        let over = self.over && self.left == 0 && self.held == 0;
        Followed {
            allowed: kept_back + at - self.undecided,
            ended: over || self.violation.is_some(),
        }
    }

    /// Processes a complete frame header.
    fn header_ends(&mut self) {
        if self.block == 0 && !has_length(&self.header) {
            self.violation = Some(Violation::Length);
            return;
        }
        let in_block = self.block != 0;
        self.frame();
        let [.., kind, flags, _, _, _, _] = self.header;
        self.reads_settings =
            kind == SETTINGS && flags & ACK == 0 && !in_block && self.left <= SETTINGS_BYTES_MAX;
        self.setting_held = 0;
        if !self.reads_settings {
            self.undecided = 0;
        }
    }

    /// Checks the parameters in a SETTINGS payload for a window that is too large.
    fn read_settings(&mut self, payload: &[u8]) {
        for byte in payload {
            self.setting[self.setting_held] = *byte;
            self.setting_held += 1;
            if self.setting_held == SETTING_BYTES {
                self.setting_held = 0;
                let [a, b, value @ ..] = self.setting;
                let too_large = u32::from_be_bytes(value) > WINDOW_MAX;
                if u16::from_be_bytes([a, b]) == INITIAL_WINDOW_SIZE && too_large {
                    self.violation = Some(Violation::Window);
                }
            }
        }
    }

    /// Updates the position and the budgets for the header of a frame.
    fn frame(&mut self) {
        let [a, b, c, kind, flags, stream @ ..] = self.header;
        self.left = u32::from_be_bytes([0, a, b, c]);
        let stream = u32::from_be_bytes(stream) & 0x7FFF_FFFF;
        let fine = match kind {
            DATA => {
                self.data += u64::from(self.left);
                true
            }
            HEADERS | CONTINUATION => {
                let ends = flags & END_HEADERS != 0;
                self.block = if ends { 0 } else { stream };
                if kind == HEADERS {
                    self.control.earn(CONTROL_PER_REQUEST);
                    self.resets.earn(1);
                }
                true
            }
            RST_STREAM => self.resets.spend(RESET_COST, &self.clock),
            _ => self.control.spend(1, &self.clock),
        };
        self.over |= !fine;
    }

    /// Grants the client control frames for the bytes that were sent to it.
    fn sent(&mut self, bytes: usize) {
        self.sent += bytes;
        if self.sent >= BYTES_PER_CONTROL {
            let paid = self.sent / BYTES_PER_CONTROL;
            self.control.earn(u32::try_from(paid).unwrap_or(u32::MAX));
            self.sent %= BYTES_PER_CONTROL;
        }
    }

    /// Bytes that h2 gets instead of the rest of the client's input.
    fn instead(&self, header_bytes: u32) -> Bytes {
        const OPENS: [u8; 13] = [
            0,
            0,
            4,
            WINDOW_UPDATE,
            0,
            0,
            0,
            0,
            0,
            0x7F,
            0xFF,
            0xFF,
            0xFF,
        ];
        match self.violation {
            Some(Violation::Length) => Bytes::from_static(&[0xFF, 0xFF, 0xFF, PING, 0, 0, 0, 0, 0]),
            // Two such window updates overflow the connection's window.
            Some(Violation::Window) => [OPENS, OPENS].concat().into(),
            None => self.too_many_pieces(header_bytes),
        }
    }

    /// Header block in more pieces than h2 accepts, given the maximum size of a header list.
    fn too_many_pieces(&self, header_bytes: u32) -> Bytes {
        const FRAME_BYTES: u32 = 16_384;
        let frame = |kind: u8, stream: u32| {
            let [a, b, c, d] = stream.to_be_bytes();
            [0, 0, 0, kind, 0, a, b, c, d]
        };
        let pieces = 2 * (header_bytes / FRAME_BYTES) as usize + 8;
        let (mut bytes, stream) = match self.block {
            0 => (frame(HEADERS, 1).to_vec(), 1),
            block => (Vec::new(), block),
        };
        bytes.extend(frame(CONTINUATION, stream).repeat(pieces));
        bytes.into()
    }
}

/// True if the length of a frame is valid for its type (RFC 9113 §6).
fn has_length(header: &[u8; FRAME_HEADER_BYTES]) -> bool {
    let [a, b, c, kind, flags, ..] = *header;
    let length = u32::from_be_bytes([0, a, b, c]);
    let padding = u32::from(flags & PADDED != 0);
    let priority = if flags & WITH_PRIORITY != 0 { 5 } else { 0 };
    match kind {
        DATA => length >= padding,
        HEADERS => length >= padding + priority,
        PRIORITY => length == 5,
        RST_STREAM | WINDOW_UPDATE => length == 4,
        SETTINGS if flags & ACK != 0 => length == 0,
        SETTINGS => length.is_multiple_of(6),
        PING => length == 8,
        GOAWAY => length >= 8,
        _ => true,
    }
}

// === impl Bucket ===

impl Bucket {
    fn new(max: u32, per_s: u64, now_ms: u64) -> Self {
        Self {
            level: max,
            max,
            per_s,
            filled_ms: now_ms,
        }
    }

    fn earn(&mut self, amount: u32) {
        self.level = self.level.saturating_add(amount).min(self.max);
    }

    /// Takes an amount. True if the level was sufficient. Reads the clock only if the level is too
    /// low.
    fn spend(&mut self, amount: u32, clock: &Clock) -> bool {
        if self.level < amount {
            let now_ms = clock.now_ms();
            let earned = now_ms
                .saturating_sub(self.filled_ms)
                .saturating_mul(self.per_s)
                / 1_000;
            if earned > 0 {
                self.filled_ms = now_ms;
                self.earn(u32::try_from(earned).unwrap_or(u32::MAX));
            }
        }
        let fine = self.level >= amount;
        self.level = self.level.saturating_sub(amount);
        fine
    }
}

/// Client I/O whose input to h2 ends where a flood or a violation begins.
pub(super) struct Guarded {
    io: ClientIo,
    flood: Flood,
    /// Maximum size of a header list, in bytes.
    header_bytes: u32,
    /// Bytes that h2 gets instead of the rest of the client's input.
    instead: Option<Bytes>,
    /// Bytes held back, because their frame header or SETTINGS frame is incomplete.
    kept_back: Vec<u8>,
    /// Bytes that were held back and that h2 gets next.
    released: Bytes,
    backlog: Rc<Backlog>,
}

impl Guarded {
    pub(super) fn new(io: ClientIo, clock: Clock, header_bytes: u32, backlog: Rc<Backlog>) -> Self {
        Self {
            io,
            flood: Flood::new(clock),
            header_bytes,
            instead: None,
            kept_back: Vec::new(),
            released: Bytes::new(),
            backlog,
        }
    }

    /// Underlying I/O.
    pub(super) fn into_inner(self) -> ClientIo {
        self.io
    }
}

impl Read for Guarded {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let Self {
            io,
            flood,
            header_bytes,
            instead,
            kept_back,
            released,
            backlog,
        } = self.get_mut();
        if !backlog.may_read(cx) {
            return Poll::Pending;
        }
        read_in_place(
            cursor,
            |buffer| {
                while released.is_empty() && instead.is_none() {
                    ready!(AsyncRead::poll_read(Pin::new(io), cx, buffer))?;
                    if buffer.filled().is_empty() {
                        return Poll::Ready(Ok(()));
                    }
                    let followed = flood.follow(buffer.filled(), kept_back.len());
                    if followed.ended {
                        *instead = Some(flood.instead(*header_bytes));
                    }
                    backlog.inbox.came(std::mem::take(&mut flood.data));
                    if kept_back.is_empty() {
                        kept_back.extend_from_slice(&buffer.filled()[followed.allowed..]);
                        buffer.set_filled(followed.allowed);
                    } else {
                        kept_back.extend_from_slice(buffer.filled());
                        *released = kept_back.drain(..followed.allowed).collect();
                        buffer.clear();
                    }
                    if !buffer.filled().is_empty() {
                        return Poll::Ready(Ok(()));
                    }
                }
                if !released.is_empty() {
                    take(released, buffer);
                    return Poll::Ready(Ok(()));
                }
                match instead {
                    Some(bytes) if !bytes.is_empty() => {
                        take(bytes, buffer);
                        Poll::Ready(Ok(()))
                    }
                    _ => Poll::Pending,
                }
            },
            |_| Ok(()),
        )
    }
}

impl Write for Guarded {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { io, flood, .. } = self.get_mut();
        let written = ready!(AsyncWrite::poll_write(Pin::new(io), cx, bytes))?;
        flood.sent(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.io), cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(Pin::new(&mut self.io), cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, length: usize) -> Vec<u8> {
        let [_, a, b, c] = u32::try_from(length).unwrap().to_be_bytes();
        let head = [a, b, c, kind, flags];
        [&head[..], &stream.to_be_bytes(), &vec![7; length]].concat()
    }

    /// Number of bytes that may go to h2, if the rest may not; otherwise `None`.
    fn ends(flood: &mut Flood, bytes: &[u8]) -> Option<usize> {
        let followed = flood.follow(bytes, 0);
        followed.ended.then_some(followed.allowed)
    }

    /// Parser after a received preface.
    fn begun() -> Flood {
        let mut flood = Flood::new(Clock::new());
        assert_eq!(ends(&mut flood, &[7; PREFACE_BYTES as usize]), None);
        // Disable refilling by time.
        (flood.control.per_s, flood.resets.per_s) = (0, 0);
        flood
    }

    #[test]
    fn flood_is_detected_at_its_last_frame_in_any_pieces() {
        let pings = frame(PING, 0, 0, 8).repeat(CONTROL_BURST as usize + 10);
        let end = 17 * (CONTROL_BURST as usize + 1);
        for piece in [1, 7, 16, 17, 1_000, pings.len()] {
            let mut flood = begun();
            let (mut at, mut kept_back) = (0, 0);
            let seen = pings.chunks(piece).find_map(|part| {
                let followed = flood.follow(part, kept_back);
                let begin = at - kept_back;
                at += part.len();
                kept_back = at - begin - followed.allowed;
                followed.ended.then_some(begin + followed.allowed)
            });
            assert_eq!(seen, Some(end), "in pieces of {piece}");
        }
    }

    #[test]
    fn requests_and_responses_pay_for_control_frames() {
        let mut flood = begun();
        for at in 0..10_000 {
            let stream = 2 * at + 1;
            let request = frame(HEADERS, END_HEADERS, stream, 20);
            let control = frame(PING, 0, 0, 8).repeat(4);
            let data = frame(DATA, 0, stream, 1);
            assert_eq!(ends(&mut flood, &[request, control, data].concat()), None);
        }
        flood.sent(BYTES_PER_CONTROL * 300);
        let pings = |count: u32| frame(PING, 0, 0, 8).repeat(count as usize);
        assert_eq!(ends(&mut flood, &pings(CONTROL_BURST)), None);
        assert!(ends(&mut flood, &pings(1)).is_some());
        let mut flood = begun();
        assert_eq!(ends(&mut flood, &pings(CONTROL_BURST)), None);
        flood.sent(BYTES_PER_CONTROL * 2 - 1);
        flood.sent(1);
        assert_eq!(ends(&mut flood, &pings(2)), None);
        assert!(ends(&mut flood, &pings(1)).is_some());
    }

    #[test]
    fn every_other_stream_may_be_reset_and_no_more() {
        let mut flood = begun();
        for at in 0..20_000 {
            let request = frame(HEADERS, END_HEADERS, 2 * at + 1, 20);
            let reset = frame(RST_STREAM, 0, 2 * at + 1, 4).repeat(at as usize % 2);
            assert_eq!(ends(&mut flood, &[request, reset].concat()), None);
        }
        let each = |at: u32| {
            let request = frame(HEADERS, END_HEADERS, 2 * at + 1, 20);
            [request, frame(RST_STREAM, 0, 2 * at + 1, 4)].concat()
        };
        let mut flood = begun();
        let fine = (0..5_000).take_while(|at| ends(&mut flood, &each(*at)).is_none());
        assert_eq!(fine.count(), 2 * RESET_BURST as usize - 1);
    }

    #[test]
    fn time_pays_too() {
        let mut flood = begun();
        flood.control.per_s = u64::MAX;
        std::thread::park_timeout(std::time::Duration::from_millis(5));
        let pings = frame(PING, 0, 0, 8).repeat(CONTROL_BURST as usize + 1);
        assert_eq!(ends(&mut flood, &pings), None);
    }

    #[test]
    fn replacement_frame_continues_or_begins_a_block() {
        let mut flood = begun();
        let instead = flood.too_many_pieces(65_536);
        assert_eq!(instead.len(), 9 * 17);
        assert_eq!(instead[..9], [0, 0, 0, HEADERS, 0, 0, 0, 0, 1]);
        assert_eq!(instead[9..18], [0, 0, 0, CONTINUATION, 0, 0, 0, 0, 1]);
        assert_eq!(ends(&mut flood, &frame(HEADERS, 0, 77, 3)), None);
        let instead = flood.too_many_pieces(65_536);
        assert_eq!(instead[..9], [0, 0, 0, CONTINUATION, 0, 0, 0, 0, 77]);
        assert_eq!(
            ends(&mut flood, &frame(CONTINUATION, END_HEADERS, 77, 0)),
            None
        );
        assert_eq!(flood.too_many_pieces(0)[3], HEADERS);
    }

    #[test]
    fn wrong_frames_are_seen_however_they_come() {
        let setting = |id: u16, value: u32| {
            let parameter = [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
            [&frame(SETTINGS, 0, 0, 6)[..FRAME_HEADER_BYTES], &parameter].concat()
        };
        let good = [frame(PING, 0, 0, 8), setting(4, WINDOW_MAX)].concat();
        let cases = [
            (frame(PING, 0, 0, 7), Violation::Length),
            (frame(WINDOW_UPDATE, 0, 0, 3), Violation::Length),
            (setting(4, WINDOW_MAX + 1), Violation::Window),
        ];
        for (wrong, violation) in cases {
            let bytes = [&good[..], &wrong, &good].concat();
            for piece in [1, 3, 8, 9, 10, bytes.len()] {
                let mut flood = begun();
                let (mut kept_back, mut passed) = (0, 0);
                for part in bytes.chunks(piece) {
                    let followed = flood.follow(part, kept_back);
                    kept_back = kept_back + part.len() - followed.allowed;
                    passed += followed.allowed;
                    if followed.ended {
                        break;
                    }
                }
                assert_eq!(flood.violation, Some(violation), "pieces of {piece}");
                assert_eq!(passed, good.len(), "pieces of {piece}");
            }
        }
    }
}
