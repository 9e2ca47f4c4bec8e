//! States of a client's HTTP/2 streams, as far as the client's own frames determine them (RFC 9113
//! §5.1).
//!
//! [`ClientStreams`] distinguishes trailers from new requests. It detects frames on streams that
//! the client has closed, and leaves all other checks to h2. It stores the streams whose request
//! body has not ended, and three bits for each of the last 64 streams: opened, reset and continued.

use engine::hpack::Part;
use h2::Reason;

/// Maximum number of streams whose request body has not ended. Twice the maximum of concurrent
/// streams, because a client may not know yet which streams the gateway has reset.
const OPEN_MAX: usize = 256;

/// States of the streams of an HTTP/2 connection.
#[derive(Debug, Default)]
pub(super) struct ClientStreams {
    /// Highest stream that the client has opened, or 0.
    newest: u32,
    /// Bit N: the client has opened the stream `newest - 2 * N`.
    opened: u64,
    /// Bit N: the client has reset the stream `newest - 2 * N`.
    reset: u64,
    /// Bit N: the client has sent more than the head on the stream `newest - 2 * N`, or the head
    /// was reported as refused.
    continued: u64,
    /// Ids of the streams whose request body has not ended, in ascending order.
    open: Vec<u32>,
    /// Highest stream that was removed from `open` for lack of space. This stream and lower ones
    /// may be missing in `open`.
    forgotten: u32,
}

impl ClientStreams {
    /// Processes a header block. `ends`: the block has END_STREAM.
    ///
    /// # Errors
    /// If the stream is closed, or is not one that a client can open.
    pub(super) fn headers(&mut self, stream: u32, ends: bool) -> Result<Part, Reason> {
        if stream.is_multiple_of(2) {
            return Err(Reason::PROTOCOL_ERROR);
        }
        if stream > self.newest {
            self.opens(stream, ends);
            return Ok(Part::Head);
        }
        if self.body(stream, ends) {
            self.continued |= self.bit(stream);
            return Ok(Part::Trailers);
        }
        if stream <= self.forgotten {
            return Ok(Part::Head);
        }
        match self.bit(stream) & self.opened {
            // The client has skipped this stream number, which closes the stream (§5.1.1).
            0 => Err(Reason::PROTOCOL_ERROR),
            _ => Err(Reason::STREAM_CLOSED),
        }
    }

    /// Processes a DATA frame. `ends`: the frame has END_STREAM.
    ///
    /// # Errors
    /// If the client has already ended the stream. h2 checks DATA on streams that the client never
    /// opened.
    pub(super) fn data(&mut self, stream: u32, ends: bool) -> Result<(), Reason> {
        self.continued |= self.bit(stream);
        let is_known = stream > self.forgotten && stream <= self.newest;
        if self.body(stream, ends) || !is_known {
            return Ok(());
        }
        match self.bit(stream) & self.opened & !self.reset {
            0 => Ok(()),
            _ => Err(Reason::STREAM_CLOSED),
        }
    }

    /// Processes a RST_STREAM frame.
    pub(super) fn reset(&mut self, stream: u32) {
        self.body(stream, true);
        self.reset |= self.bit(stream);
    }

    /// Marks the head of a recent stream as reported. Returns false if the head was reported
    /// before, or if the client has sent more than the head.
    pub(super) fn reports_head(&mut self, stream: u32) -> bool {
        let bit = self.bit(stream);
        let reports = bit & self.opened & !self.continued != 0;
        self.continued |= bit;
        reports
    }

    fn opens(&mut self, stream: u32, ends: bool) {
        let distance = (stream - self.newest) / 2;
        self.opened = self.opened.checked_shl(distance).unwrap_or(0) | 1;
        self.reset = self.reset.checked_shl(distance).unwrap_or(0);
        self.continued = self.continued.checked_shl(distance).unwrap_or(0);
        self.newest = stream;
        if ends {
            return;
        }
        if self.open.len() == OPEN_MAX {
            self.forgotten = self.open.remove(0);
        }
        self.open.push(stream);
    }

    /// True if the body of the stream had not ended before this frame. `ends`: the frame ends it.
    fn body(&mut self, stream: u32, ends: bool) -> bool {
        let Ok(at) = self.open.binary_search(&stream) else {
            return false;
        };
        if ends {
            self.open.remove(at);
        }
        true
    }

    /// Bit of a stream, or 0 if the stream is too old or not a client's.
    fn bit(&self, stream: u32) -> u64 {
        match self.newest.checked_sub(stream) {
            Some(distance) if distance.is_multiple_of(2) => {
                1_u64.checked_shl(distance / 2).unwrap_or(0)
            }
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOSED: Result<(), Reason> = Err(Reason::STREAM_CLOSED);

    #[test]
    fn ended_streams_take_no_more_frames() {
        let mut streams = ClientStreams::default();
        assert_eq!(streams.headers(1, true), Ok(Part::Head));
        assert_eq!(streams.headers(5, false), Ok(Part::Head));
        assert_eq!(streams.data(5, false), Ok(()));
        assert_eq!(streams.headers(5, true), Ok(Part::Trailers));
        for stream in [1, 5] {
            assert_eq!(streams.data(stream, true), CLOSED, "{stream}");
            assert_eq!(streams.headers(stream, true).map(drop), CLOSED, "{stream}");
        }
        assert_eq!(streams.headers(3, true), Err(Reason::PROTOCOL_ERROR));
        assert_eq!(streams.headers(6, true), Err(Reason::PROTOCOL_ERROR));
        // h2 checks frames on streams that were never opened.
        assert_eq!(
            (streams.data(3, true), streams.data(7, true)),
            (Ok(()), Ok(()))
        );
    }

    #[test]
    fn body_ends_with_its_last_data_frame() {
        let mut streams = ClientStreams::default();
        for stream in [1, 3, 5] {
            assert_eq!(streams.headers(stream, false), Ok(Part::Head));
        }
        assert_eq!(streams.data(3, true), Ok(()));
        assert_eq!(streams.data(3, false), CLOSED);
        assert_eq!(streams.data(1, false), Ok(()));
        assert_eq!(streams.headers(5, true), Ok(Part::Trailers));
    }

    #[test]
    fn data_after_a_reset_is_left_to_h2() {
        let mut streams = ClientStreams::default();
        for stream in [1, 3] {
            assert_eq!(streams.headers(stream, stream == 3), Ok(Part::Head));
            streams.reset(stream);
            assert_eq!(streams.data(stream, true), Ok(()));
            assert_eq!(streams.headers(stream, true).map(drop), CLOSED);
        }
        // The reset of another stream changes nothing.
        assert_eq!(streams.headers(5, true), Ok(Part::Head));
        assert_eq!(streams.data(5, true), CLOSED);
    }

    #[test]
    fn head_is_reported_once_and_only_before_its_body() {
        let mut streams = ClientStreams::default();
        for stream in [1, 3, 5] {
            assert_eq!(streams.headers(stream, false), Ok(Part::Head));
        }
        assert_eq!(streams.data(3, false), Ok(()));
        assert_eq!(streams.headers(5, true), Ok(Part::Trailers));
        assert_eq!(
            [1, 3, 5, 7].map(|one| streams.reports_head(one)),
            [true, false, false, false]
        );
        assert!(!streams.reports_head(1), "once");
    }

    #[test]
    fn ends_of_the_last_64_streams_are_known() {
        let mut streams = ClientStreams::default();
        assert_eq!(streams.headers(1, false), Ok(Part::Head));
        streams.reset(1);
        for stream in (3..=201).step_by(2) {
            assert_eq!(streams.headers(stream, true), Ok(Part::Head));
        }
        let oldest = 201 - 2 * 63;
        assert_eq!(streams.data(oldest, true), CLOSED);
        assert_eq!(streams.headers(oldest, true).map(drop), CLOSED);
        // h2 checks DATA on streams that are too old for the bitmap of recent streams. HEADERS
        // never open a stream with such an old number.
        for stream in [1, 3, oldest - 2] {
            assert_eq!(streams.data(stream, true), Ok(()), "{stream}");
            assert_eq!(streams.headers(stream, true), Err(Reason::PROTOCOL_ERROR));
        }
        // A gap in the stream numbers moves older streams out of the bitmap of recent streams. A
        // stream whose body has not ended stays known.
        assert_eq!(streams.headers(203, false), Ok(Part::Head));
        assert_eq!(streams.headers(203 + 2 * 64, true), Ok(Part::Head));
        assert_eq!(streams.data(201, true), Ok(()), "65 streams back");
        assert_eq!(streams.data(203, false), Ok(()));
        assert_eq!(streams.headers(203, true), Ok(Part::Trailers));
        assert_eq!(streams.data(203, true), Ok(()), "64 streams back");
    }

    #[test]
    fn old_streams_are_forgotten_and_bounded() {
        let mut streams = ClientStreams::default();
        for at in 0..1_000 {
            assert_eq!(streams.headers(2 * at + 1, false), Ok(Part::Head));
        }
        assert_eq!(streams.open.len(), OPEN_MAX);
        assert_eq!(streams.data(1, false), Ok(()));
        assert_eq!(streams.headers(1, true), Ok(Part::Head));
        let oldest = 2 * (1_000 - OPEN_MAX as u32) + 1;
        assert_eq!(streams.headers(oldest, true), Ok(Part::Trailers));
        assert_eq!(streams.headers(2_147_483_647, true), Ok(Part::Head));
        assert_eq!(streams.data(2_147_483_647, true), CLOSED);
        assert_eq!(streams.headers(1_999, true), Ok(Part::Trailers));
    }
}
