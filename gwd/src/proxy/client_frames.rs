//! Inspection of a client's HTTP/2 frames before h2 gets them (RFC 9113).
//!
//! h2 does not enforce the protocol, or gwd's limits, in the following cases. [`ClientFrames`]
//! enforces them with these errors:
//!
//! - floods of frames ([`super::flood`]): ENHANCE_YOUR_CALM (§10.5)
//! - a first frame that is not SETTINGS: PROTOCOL_ERROR (§3.4)
//! - a length that the type does not allow: FRAME_SIZE_ERROR (§4.2, §6)
//! - a window beyond 2^31-1 in SETTINGS: FLOW_CONTROL_ERROR (§6.5.2)
//! - a header block that cannot be decoded: COMPRESSION_ERROR (§4.3)
//! - frames after the end of a stream: STREAM_CLOSED (§5.1)
//! - malformed fields, and pseudo-fields in trailers: the stream is reset (§8.1.1)
//! - a head of more than `limits.header_bytes`: 431, and trailers of that size: the stream is reset
//!
//! In the last two cases, h2 gets a changed header block ([`engine::hpack`]). In the other cases
//! the rest of the input is not read.
//!
//! Header blocks and SETTINGS are inspected when they are complete. Until then the caller keeps
//! their bytes; a header block has a maximum length.

use std::borrow::Cow;

use engine::hpack::{self, Inspected, Inspector, Invalid, Part};
use h2::Reason;

use super::client_streams::ClientStreams;
use super::flood::Flood;
use super::refused::RefusedHead;
use crate::runtime::clock::Clock;

/// Minimum value of the size above which h2 refuses a header list, in bytes. h2 ends the
/// connection, with all its streams, for a list of four times the size. It also does so for a block
/// with more CONTINUATION frames than a list of the size needs. A smaller `limits.header_bytes` is
/// therefore enforced here, for each stream.
pub(super) const HEADER_LIST_MIN: u32 = 256 << 10;
/// Field that [`marked_too_large`] adds to a head.
pub(super) const TOO_LARGE: &str = "x-gateway-head-too-large";
/// Literal field [`TOO_LARGE`] with an empty value, which has no effect on the HPACK table.
const TOO_LARGE_FIELD: &[u8] = b"\x00\x18x-gateway-head-too-large\x00";
/// Length of the connection preface, which precedes the first frame.
const PREFACE_BYTES: usize = 24;
pub(super) const FRAME_HEADER_BYTES: usize = 9;
/// Maximum length of a payload: the default of SETTINGS_MAX_FRAME_SIZE, which gwd does not change.
const PAYLOAD_BYTES: usize = 16_384;
/// Length of one SETTINGS parameter, in bytes.
pub(super) const SETTING_BYTES: usize = 6;
const INITIAL_WINDOW_SIZE: u16 = 0x4;
const WINDOW_MAX: u32 = 0x7FFF_FFFF;

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const PRIORITY: u8 = 0x2;
pub(super) const RST_STREAM: u8 = 0x3;
pub(super) const SETTINGS: u8 = 0x4;
const PUSH_PROMISE: u8 = 0x5;
const PING: u8 = 0x6;
pub(super) const GOAWAY: u8 = 0x7;
const WINDOW_UPDATE: u8 = 0x8;
const CONTINUATION: u8 = 0x9;
/// Flag of a SETTINGS frame that acknowledges the peer's settings.
const ACK: u8 = 0x1;
const END_STREAM: u8 = 0x1;
const PADDED: u8 = 0x8;
const WITH_PRIORITY: u8 = 0x20;
const END_HEADERS: u8 = 0x4;

/// Frame that h2 gets instead of the rest of the input. It is longer than allowed, so h2 ends the
/// connection at once.
pub(super) const INVALID_FRAME: &[u8] = &[0xFF, 0xFF, 0xFF, PING, 0, 0, 0, 0, 0];

/// Inspector of the HTTP/2 frames that a client sends, with its position and the states of streams.
#[derive(Debug)]
pub(super) struct ClientFrames {
    pub(super) flood: Flood,
    headers: Inspector,
    streams: ClientStreams,
    /// Remaining bytes of the current payload, or of the preface.
    left: usize,
    /// Maximum number of CONTINUATION frames without END_HEADERS in a header block.
    continuations: usize,
    /// Maximum size of a header list, in bytes.
    header_bytes: usize,
    /// Refused heads that the caller has not logged yet.
    refused: Vec<RefusedHead>,
    has_settings: bool,
    /// Received DATA bytes that the caller has not counted yet.
    pub(super) data: u64,
}

/// Result of inspecting the input of a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// Number of bytes of the input that h2 gets.
    pub(super) passed: usize,
    pub(super) then: Then,
}

/// Action for the input after the bytes that h2 gets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Wait for more input: the last frame or header block is incomplete.
    More,
    /// Pass these bytes to h2 in place of this number of input bytes. The input that follows has
    /// not been inspected.
    Replace(usize, Vec<u8>),
    /// End the connection with this HTTP/2 error code.
    End(Reason),
}

/// Header of an HTTP/2 frame.
#[derive(Clone, Copy, Debug)]
struct Frame {
    length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

// === impl ClientFrames ===

impl ClientFrames {
    /// State at the start of a connection, before the preface. `header_bytes`: maximum size of a
    /// header list.
    pub(super) fn new(clock: Clock, header_bytes: u32) -> Self {
        // Number of CONTINUATION frames, as in h2: a quarter more than a header list of the
        // maximum size needs.
        let frames = header_bytes.max(HEADER_LIST_MIN) as usize / PAYLOAD_BYTES;
        Self {
            flood: Flood::new(clock),
            headers: Inspector::new(),
            streams: ClientStreams::default(),
            left: PREFACE_BYTES,
            continuations: (frames + frames / 4).max(5),
            header_bytes: header_bytes as usize,
            refused: Vec::new(),
            has_settings: false,
            data: 0,
        }
    }

    /// Takes the heads that the inspection refused and the heads of the streams that h2 has reset
    /// with PROTOCOL_ERROR. `resets`: ids of these streams.
    pub(super) fn take_refused(&mut self, resets: &[u32]) -> Vec<RefusedHead> {
        let mut refused = std::mem::take(&mut self.refused);
        let heads = resets
            .iter()
            .filter(|stream| self.streams.reports_head(**stream));
        refused.extend(heads.map(|_| RefusedHead::Malformed));
        refused
    }

    /// True if the inspection has found refused heads that [`Self::take_refused`] has not returned.
    pub(super) fn has_refused(&self) -> bool {
        !self.refused.is_empty()
    }

    /// Inspects input. `bytes` begins where the last call ended: with the first byte that h2 did
    /// not get.
    pub(super) fn inspect(&mut self, bytes: &[u8]) -> Progress {
        let mut passed = 0;
        loop {
            let payload = self.left.min(bytes.len() - passed);
            self.left -= payload;
            passed += payload;
            let rest = &bytes[passed..];
            let Some(header) = rest.first_chunk() else {
                let then = Then::More;
                return Progress { passed, then };
            };
            let then = match self.frame(Frame::parse(*header), rest) {
                Ok(Some(then)) => then,
                Ok(None) => {
                    passed += FRAME_HEADER_BYTES;
                    continue;
                }
                Err(reason) => Then::End(reason),
            };
            return Progress { passed, then };
        }
    }

    /// Processes the frame at the beginning of `rest`. `None`: h2 gets the frame, and `left` is the
    /// length of its payload.
    fn frame(&mut self, frame: Frame, rest: &[u8]) -> Result<Option<Then>, Reason> {
        if !frame.has_length() {
            return Err(Reason::FRAME_SIZE_ERROR);
        }
        let is_settings = frame.kind == SETTINGS && frame.flags & ACK == 0;
        if !self.has_settings && !is_settings {
            return Err(Reason::PROTOCOL_ERROR);
        }
        let ends = frame.flags & END_STREAM != 0;
        match frame.kind {
            DATA => {
                self.streams.data(frame.stream, ends)?;
                self.data += frame.length as u64;
            }
            HEADERS => return self.header_block(frame, rest),
            RST_STREAM => {
                self.streams.reset(frame.stream);
                calm(self.flood.reset())?;
            }
            // A client cannot push (§8.4). h2 would not decode the header block of an unknown
            // stream, and its table would then differ from the client's.
            PUSH_PROMISE => return Err(Reason::PROTOCOL_ERROR),
            SETTINGS if is_settings => {
                let payload = rest.get(FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + frame.length);
                let Some(payload) = payload else {
                    return Ok(Some(Then::More));
                };
                self.has_settings = true;
                calm(self.flood.control())?;
                if payload.chunks_exact(SETTING_BYTES).any(is_wrong_window) {
                    return Err(Reason::FLOW_CONTROL_ERROR);
                }
            }
            _ => calm(self.flood.control())?,
        }
        self.left = frame.length;
        Ok(None)
    }

    /// Processes a HEADERS frame and the CONTINUATION frames that belong to it. `None`: h2 gets the
    /// frames unchanged.
    fn header_block(&mut self, frame: Frame, rest: &[u8]) -> Result<Option<Then>, Reason> {
        let Some(length) = self.block_length(frame, rest)? else {
            return Ok(Some(Then::More));
        };
        self.flood.headers();
        let part = self
            .streams
            .headers(frame.stream, frame.flags & END_STREAM != 0)?;
        let first = FRAME_HEADER_BYTES + frame.length;
        let (fragment, depends_on_itself) = frame
            .fragment(&rest[FRAME_HEADER_BYTES..first])
            .ok_or(Reason::PROTOCOL_ERROR)?;
        let block = match length == first {
            true => Cow::Borrowed(fragment),
            false => joined(fragment, &rest[first..length]).into(),
        };
        let inspected = self.inspect_block(&block, part, depends_on_itself)?;
        let is_too_large = self.headers.list_bytes() >= self.header_bytes;
        if part == Part::Head {
            let refused = match &inspected {
                Inspected::Malformed(_) => Some(RefusedHead::Malformed),
                // The client gets 431.
                Inspected::WellFormed if is_too_large => Some(RefusedHead::TooLarge),
                Inspected::WellFormed => None,
            };
            if let Some(refused) = refused
                && self.streams.reports_head(frame.stream)
            {
                self.refused.push(refused);
            }
        }
        match (inspected, part) {
            // For lists of at least `HEADER_LIST_MIN`, h2 does the same.
            (Inspected::WellFormed, Part::Head) if is_too_large => {
                let block = marked_too_large(&block);
                Ok(Some(Then::Replace(length, frame.with_block(&block))))
            }
            (Inspected::WellFormed, Part::Trailers) if is_too_large => {
                let block = hpack::malformed(&block);
                Ok(Some(Then::Replace(length, frame.with_block(&block))))
            }
            (Inspected::WellFormed, _) => {
                self.left = length - FRAME_HEADER_BYTES;
                Ok(None)
            }
            (Inspected::Malformed(block), _) => {
                Ok(Some(Then::Replace(length, frame.with_block(&block))))
            }
        }
    }

    /// Length of a header block with all its frames, or `None` if it is incomplete.
    fn block_length(&self, frame: Frame, rest: &[u8]) -> Result<Option<usize>, Reason> {
        let mut next = frame;
        let mut end = 0;
        let mut continuations = 0;
        loop {
            end += FRAME_HEADER_BYTES + next.length;
            if next.flags & END_HEADERS != 0 {
                return Ok((end <= rest.len()).then_some(end));
            }
            if continuations > self.continuations {
                return Err(Reason::ENHANCE_YOUR_CALM);
            }
            let Some(header) = rest.get(end..).and_then(<[u8]>::first_chunk) else {
                return Ok(None);
            };
            next = Frame::parse(*header);
            if next.length > PAYLOAD_BYTES {
                return Err(Reason::FRAME_SIZE_ERROR);
            }
            if next.kind != CONTINUATION || next.stream != frame.stream {
                return Err(Reason::PROTOCOL_ERROR);
            }
            continuations += 1;
        }
    }

    fn inspect_block(
        &mut self,
        block: &[u8],
        part: Part,
        depends_on_itself: bool,
    ) -> Result<Inspected, Reason> {
        match self.headers.inspect(block, part) {
            // h2 resets a stream that depends on itself (RFC 7540 §5.3.1) without decoding the
            // block, so the HPACK table would differ. Send a malformed block without priority
            // instead: h2 decodes it, and then resets the stream.
            Ok(Inspected::WellFormed) if depends_on_itself => {
                Ok(Inspected::Malformed(hpack::malformed(block)))
            }
            Ok(inspected) => Ok(inspected),
            Err(Invalid::Compression) => Err(Reason::COMPRESSION_ERROR),
            Err(Invalid::Unreplaceable) => Err(Reason::PROTOCOL_ERROR),
        }
    }
}

fn calm(is_within_budget: bool) -> Result<(), Reason> {
    match is_within_budget {
        true => Ok(()),
        false => Err(Reason::ENHANCE_YOUR_CALM),
    }
}

/// True if a SETTINGS parameter sets an initial window that is too large.
fn is_wrong_window(setting: &[u8]) -> bool {
    let [a, b, value @ ..] = setting else {
        return false;
    };
    let value = value.try_into().map_or(0, u32::from_be_bytes);
    u16::from_be_bytes([*a, *b]) == INITIAL_WINDOW_SIZE && value > WINDOW_MAX
}

/// Replacement block for a head that is too large: the replacement has the same effect on the HPACK
/// table, and the field [`TOO_LARGE`] in addition.
fn marked_too_large(block: &[u8]) -> Vec<u8> {
    [block, TOO_LARGE_FIELD].concat()
}

/// Joins the fragment in HEADERS and the payloads of the CONTINUATION frames to one header block.
fn joined(fragment: &[u8], mut continuations: &[u8]) -> Vec<u8> {
    let mut block = fragment.to_vec();
    while let Some((header, rest)) = continuations.split_first_chunk() {
        let (payload, rest) = rest.split_at(Frame::parse(*header).length);
        block.extend_from_slice(payload);
        continuations = rest;
    }
    block
}

// === impl Frame ===

impl Frame {
    fn parse(header: [u8; FRAME_HEADER_BYTES]) -> Self {
        let [a, b, c, kind, flags, stream @ ..] = header;
        Self {
            length: u32::from_be_bytes([0, a, b, c]) as usize,
            kind,
            flags,
            stream: u32::from_be_bytes(stream) & 0x7FFF_FFFF,
        }
    }

    /// True if the length is valid for the type (§6).
    fn has_length(self) -> bool {
        let padding = usize::from(self.flags & PADDED != 0);
        let priority = if self.flags & WITH_PRIORITY != 0 {
            5
        } else {
            0
        };
        let is_valid = match self.kind {
            DATA => self.length >= padding,
            HEADERS => self.length >= padding + priority,
            PRIORITY => self.length == 5,
            RST_STREAM | WINDOW_UPDATE => self.length == 4,
            SETTINGS if self.flags & ACK != 0 => self.length == 0,
            SETTINGS => self.length.is_multiple_of(SETTING_BYTES),
            PING => self.length == 8,
            GOAWAY => self.length >= 8,
            _ => true,
        };
        is_valid && self.length <= PAYLOAD_BYTES
    }

    /// Part of the header block in the payload of HEADERS, and true if the stream depends on
    /// itself. `None` if the padding is too long.
    fn fragment(self, payload: &[u8]) -> Option<(&[u8], bool)> {
        let (padding, payload) = match self.flags & PADDED != 0 {
            true => payload.split_first()?,
            false => (&0, payload),
        };
        let (dependency, payload) = match self.flags & WITH_PRIORITY != 0 {
            true => payload.split_at_checked(5)?,
            false => (&[][..], payload),
        };
        let fragment = payload.len().checked_sub((*padding).into())?;
        let depends_on_itself = dependency
            .first_chunk()
            .is_some_and(|stream| u32::from_be_bytes(*stream) & 0x7FFF_FFFF == self.stream);
        Some((&payload[..fragment], depends_on_itself))
    }

    /// Encodes a HEADERS frame with another block, and CONTINUATION frames if the block is longer
    /// than one frame.
    fn with_block(self, block: &[u8]) -> Vec<u8> {
        let mut frames = Vec::with_capacity(block.len() + 2 * FRAME_HEADER_BYTES);
        let mut kind = HEADERS;
        let mut pieces = block.chunks(PAYLOAD_BYTES).peekable();
        while let Some(piece) = pieces.next() {
            let flags = match (kind, pieces.peek()) {
                (HEADERS, Some(_)) => self.flags & END_STREAM,
                (HEADERS, None) => self.flags & END_STREAM | END_HEADERS,
                (_, Some(_)) => 0,
                (_, None) => END_HEADERS,
            };
            let [_, a, b, c] = (piece.len() as u32).to_be_bytes();
            frames.extend([a, b, c, kind, flags]);
            frames.extend(self.stream.to_be_bytes());
            frames.extend(piece);
            kind = CONTINUATION;
        }
        frames
    }
}

#[cfg(test)]
mod tests;
