//! Tracking of the boundaries of WebSocket frames (RFC 6455 §5.2). The gateway may insert a Close
//! frame of its own only between two frames.

/// Parser position in the frames of one direction of a tunnel.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// Received part of an incomplete frame header.
    header: [u8; 14],
    header_len: u8,
    /// Remaining bytes of the current payload.
    payload_left: u64,
}

/// Unmasked Close frame, as from a server, with code 1001 (going away).
pub(crate) const CLOSE_GOING_AWAY: [u8; 4] = [0x88, 0x02, 0x03, 0xE9];
/// Unmasked Close frame, as from a server, with code 1008 (policy violation).
pub(crate) const CLOSE_POLICY: [u8; 4] = [0x88, 0x02, 0x03, 0xF0];

/// Masks a Close frame, as clients must do (RFC 6455 §5.3).
pub(crate) fn masked([first, length, high, low]: [u8; 4], mask: [u8; 4]) -> [u8; 8] {
    let [a, b, c, d] = mask;
    [first, length | 0x80, a, b, c, d, high ^ a, low ^ b]
}

impl Frames {
    /// Updates the position in the WebSocket frames for forwarded bytes.
    pub(crate) fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.payload_left > 0 {
                let here = bytes.len() as u64;
                let used = self.payload_left.min(here);
                self.payload_left -= used;
                // The conversion cannot fail: `used` is at most `bytes.len()`.
                bytes = &bytes[usize::try_from(used).unwrap_or(bytes.len())..];
                continue;
            }
            self.header[usize::from(self.header_len)] = bytes[0];
            self.header_len += 1;
            bytes = &bytes[1..];
            if let Some(payload) = self.payload() {
                self.payload_left = payload;
                self.header_len = 0;
            }
        }
    }

    /// True if the next byte begins a frame.
    pub(crate) fn between(&self) -> bool {
        self.payload_left == 0 && self.header_len == 0
    }

    /// Length of the payload, or `None` if the header is incomplete.
    fn payload(&self) -> Option<u64> {
        let header = &self.header[..usize::from(self.header_len)];
        let second = *header.get(1)?;
        let length = match second & 0x7F {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        if header.len() < 2 + length + mask {
            return None;
        }
        let extended = header[2..2 + length]
            .iter()
            .fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
        Some(if length == 0 {
            u64::from(second & 0x7F)
        } else {
            extended
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(length: usize, masked: bool) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut frame = vec![0x82];
        match length {
            0..=125 => frame.push(mask | length as u8),
            126..=0xFFFF => {
                frame.push(mask | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            _ => {
                frame.push(mask | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(vec![1; if masked { 4 } else { 0 }]);
        frame.extend(vec![0xFF; length]);
        frame
    }

    #[test]
    fn frames_of_every_length_end_where_they_end() {
        for masked in [false, true] {
            for length in [0, 1, 125, 126, 127, 0xFFFF, 0x1_0000] {
                let bytes = frame(length, masked);
                for piece in [1, 3, bytes.len()] {
                    let mut frames = Frames::default();
                    let mut at = 0;
                    for part in bytes.chunks(piece) {
                        frames.follow(part);
                        at += part.len();
                        assert_eq!(frames.between(), at == bytes.len(), "{length} at {at}");
                    }
                }
            }
        }
    }
}
