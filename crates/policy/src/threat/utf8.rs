//! Validity of UTF-8 (RFC 3629), byte by byte.

/// State of a UTF-8 decoder between two bytes of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Utf8 {
    /// Number of continuation bytes that are still missing.
    missing: u8,
    /// Allowed range of the next continuation byte.
    next: (u8, u8),
}

impl Utf8 {
    /// Reads a byte. False if the text is not UTF-8.
    pub(super) fn add(&mut self, byte: u8) -> bool {
        const ANY: (u8, u8) = (0x80, 0xbf);
        if self.missing > 0 {
            let (least, greatest) = self.next;
            self.missing -= 1;
            self.next = ANY;
            return (least..=greatest).contains(&byte);
        }
        // The first continuation byte excludes overlong forms, surrogates and values beyond
        // U+10FFFF.
        (self.missing, self.next) = match byte {
            0x00..=0x7f => return true,
            0xc2..=0xdf => (1, ANY),
            0xe0 => (2, (0xa0, 0xbf)),
            0xed => (2, (0x80, 0x9f)),
            0xe1..=0xef => (2, ANY),
            0xf0 => (3, (0x90, 0xbf)),
            0xf1..=0xf3 => (3, ANY),
            0xf4 => (3, (0x80, 0x8f)),
            _ => return false,
        };
        true
    }

    /// True if no character is incomplete.
    pub(super) fn is_whole(self) -> bool {
        self.missing == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_texts_are_valid_as_in_the_standard_library() {
        let mut text = [0; 4];
        // All pairs of leading bytes with representative continuation bytes.
        let later = [
            0x00, 0x22, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff,
        ];
        for first in 0..=255 {
            for second in 0..=255 {
                for third in later {
                    for fourth in later {
                        text.copy_from_slice(&[first, second, third, fourth]);
                        for length in 1..=4 {
                            let text = &text[..length];
                            let mut state = Utf8::default();
                            let valid = text.iter().all(|byte| state.add(*byte));
                            let valid = valid && state.is_whole();
                            assert_eq!(valid, std::str::from_utf8(text).is_ok(), "{text:x?}");
                        }
                    }
                }
            }
        }
    }
}
