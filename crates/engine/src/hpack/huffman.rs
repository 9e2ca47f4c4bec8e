//! Decoder and lengths of the Huffman code of HPACK (RFC 7541 §5.2, appendix B).
//!
//! The code is canonical: the code lengths in appendix B determine the codes. A table decodes the
//! codes of up to 8 bits, which all frequent characters have. Longer codes are found by the first
//! code of each length.

/// Length of the code of each byte, in bits (RFC 7541 appendix B). The code of EOS has 30 bits.
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, //
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, //
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, //
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, //
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, //
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, //
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, //
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, //
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, //
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, //
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, //
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, //
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, //
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, //
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, //
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, //
];
/// Length of the longest code, in bits.
const LENGTH_MAX: u32 = 30;
/// Length of the longest code that [`Code::short`] decodes, in bits.
const SHORT_MAX: u32 = 8;

/// Tables for decoding, computed from [`LENGTHS`].
struct Code {
    /// Byte and code length for each sequence of 8 bits. Length 0: the code is longer than 8 bits.
    short: [(u8, u8); 256],
    /// Bytes in the order of their codes: by length, then by value.
    bytes: [u8; 256],
    /// First code of each length.
    first: [u32; LENGTH_MAX as usize + 1],
    /// Number of codes of each length, without EOS.
    count: [u32; LENGTH_MAX as usize + 1],
    /// Index in `bytes` of the first code of each length.
    start: [u32; LENGTH_MAX as usize + 1],
}

static CODE: Code = code();

/// Error: the bits are not a Huffman code, contain EOS, or end with invalid padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Invalid;

/// Length of a text in the Huffman code, in bytes.
pub(super) fn coded_bytes(text: &[u8]) -> usize {
    let bits = text
        .iter()
        .map(|byte| usize::from(LENGTHS[usize::from(*byte)]));
    bits.sum::<usize>().div_ceil(8)
}

/// Calls `each` with every byte of an encoded string.
pub(super) fn decode(encoded: &[u8], mut each: impl FnMut(u8)) -> Result<(), Invalid> {
    let mut input = encoded.iter();
    let mut bits: u64 = 0;
    let mut bit_count: u32 = 0;
    loop {
        while bit_count <= 56 {
            let Some(byte) = input.next() else {
                break;
            };
            bits = bits << 8 | u64::from(*byte);
            bit_count += 8;
        }
        if bit_count < SHORT_MAX {
            return last(bits, bit_count, each);
        }
        let next = (bits >> (bit_count - SHORT_MAX)) & 0xFF;
        let (byte, length) = CODE.short[next as usize];
        if length != 0 {
            each(byte);
            bit_count -= u32::from(length);
            continue;
        }
        let (byte, length) = long(bits, bit_count)?;
        each(byte);
        bit_count -= length;
    }
}

/// Decodes a code of more than 8 bits. Returns the byte and the length of its code.
fn long(bits: u64, bit_count: u32) -> Result<(u8, u32), Invalid> {
    for length in SHORT_MAX + 1..=bit_count.min(LENGTH_MAX) {
        let code = (bits >> (bit_count - length)) & ((1 << length) - 1);
        let at = length as usize;
        let Some(offset) = code.checked_sub(u64::from(CODE.first[at])) else {
            continue;
        };
        if offset < u64::from(CODE.count[at]) {
            let index = u64::from(CODE.start[at]) + offset;
            return Ok((CODE.bytes[index as usize], length));
        }
    }
    Err(Invalid)
}

/// Decodes the last bits of a string: fewer than 8 bits of codes, then padding. Padding consists of
/// ones and has at most 7 bits.
fn last(bits: u64, mut bit_count: u32, mut each: impl FnMut(u8)) -> Result<(), Invalid> {
    loop {
        let rest = bits & ((1 << bit_count) - 1);
        let ones = (1 << bit_count) - 1;
        if rest == ones {
            return Ok(());
        }
        let padded = (rest << (SHORT_MAX - bit_count)) | ((1 << (SHORT_MAX - bit_count)) - 1);
        let (byte, length) = CODE.short[padded as usize];
        let length = u32::from(length);
        if length == 0 || length > bit_count {
            return Err(Invalid);
        }
        each(byte);
        bit_count -= length;
    }
}

const fn code() -> Code {
    let mut code = Code {
        short: [(0, 0); 256],
        bytes: [0; 256],
        first: [0; LENGTH_MAX as usize + 1],
        count: [0; LENGTH_MAX as usize + 1],
        start: [0; LENGTH_MAX as usize + 1],
    };
    let (mut next, mut placed) = (0_u32, 0_u32);
    let mut length = 1;
    while length <= LENGTH_MAX as usize {
        next <<= 1;
        code.first[length] = next;
        code.start[length] = placed;
        let mut byte = 0;
        while byte < 256 {
            if LENGTHS[byte] as usize == length {
                code.bytes[placed as usize] = byte as u8;
                if length <= SHORT_MAX as usize {
                    let free = SHORT_MAX as usize - length;
                    let mut low = 0;
                    while low < 1 << free {
                        code.short[((next as usize) << free) | low] = (byte as u8, length as u8);
                        low += 1;
                    }
                }
                code.count[length] += 1;
                next += 1;
                placed += 1;
            }
            byte += 1;
        }
        length += 1;
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(encoded: &[u8]) -> Result<Vec<u8>, Invalid> {
        let mut bytes = Vec::new();
        decode(encoded, |byte| bytes.push(byte))?;
        Ok(bytes)
    }

    /// Encodes bits, written as `0` and `1`, with padding.
    fn bits(text: &str) -> Vec<u8> {
        let text: String = text.chars().filter(|bit| *bit != ' ').collect();
        text.as_bytes()
            .chunks(8)
            .map(|byte| {
                let value = |byte: u8, bit: &u8| byte << 1 | (bit - b'0');
                byte.iter().fold(0, value) << (8 - byte.len()) | (0xFF_u16 >> byte.len()) as u8
            })
            .collect()
    }

    #[test]
    fn codes_are_those_of_appendix_b() {
        // Examples from appendix B, at least one for each code length.
        let rows: [(&str, u8); 21] = [
            ("00000", b'0'),
            ("01001", b't'),
            ("010100", b' '),
            ("101101", b'u'),
            ("1011100", b':'),
            ("1111011", b'z'),
            ("11111000", b'&'),
            ("11111101", b'Z'),
            ("1111111000", b'!'),
            ("11111111010", b'\''),
            ("111111111010", b'#'),
            ("1111111111000", 0),
            ("11111111111100", b'^'),
            ("111111111111100", b'<'),
            ("1111111111111110000", b'\\'),
            ("11111111111111100110", 128),
            ("111111111111111011100", 153),
            ("1111111111111111010010", 129),
            ("11111111111111111011000", 1),
            ("1111111111111111111111100010", 2),
            ("111111111111111111111111111100", b'\n'),
        ];
        for (code, byte) in rows {
            assert_eq!(decoded(&bits(code)), Ok(vec![byte]), "{code}");
            let twice = format!("{code}00000{code}");
            assert_eq!(decoded(&bits(&twice)), Ok(vec![byte, b'0', byte]), "{code}");
        }
    }

    #[test]
    fn every_bit_pattern_has_one_code() {
        // Kraft's equality holds for all codes and EOS, so the code is complete.
        let all = LENGTHS.iter().map(|length| 1_u64 << (30 - length));
        assert_eq!(all.sum::<u64>() + 1, 1 << 30);
    }

    #[test]
    fn padding_and_eos_are_checked() {
        assert_eq!(decoded(b""), Ok(Vec::new()));
        // Encoded strings: `0` with three ones; `0` with three zeros; `a` with 8 ones; EOS alone
        // and within a text.
        assert_eq!(decoded(&[0b0000_0111]), Ok(b"0".to_vec()));
        assert_eq!(decoded(&[0b0000_0000]), Err(Invalid));
        assert_eq!(decoded(&[0xFF]), Err(Invalid));
        assert_eq!(decoded(&[0b0001_1111, 0xFF]), Err(Invalid));
        assert_eq!(decoded(&[0xFF; 4]), Err(Invalid));
        assert_eq!(
            decoded(&bits(&format!("00000{}00000", "1".repeat(30)))),
            Err(Invalid)
        );
        assert_eq!(
            decoded(&[0xFF, 0xFF, 0xFE]),
            Err(Invalid),
            "a code that breaks off"
        );
    }
}
