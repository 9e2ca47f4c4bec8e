//! Parser of the PROXY protocol header, by which a load balancer reports the client of a connection
//! (the HAProxy project's `proxy-protocol.txt`, versions 1 and 2).
//!
//! Parsing is strict, because any peer may send a header. Each version has a length limit. A header
//! that exceeds it is refused at once, without waiting for more bytes. The text format must match
//! exactly, and a checksum must be correct if present. Bytes after the header are not read.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Maximum length of a version 2 header, in bytes. The format allows 64 KiB; addresses and
/// certificate data from load balancers need a fraction of this.
pub const HEADER_BYTES_MAX: usize = 4_096;
/// Maximum length of a version 1 header, in bytes, with its line end (§2.1).
const V1_BYTES_MAX: usize = 107;
const V1_START: &[u8] = b"PROXY ";
const V2_START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Length of the fixed part of a version 2 header, in bytes: signature, command, family and length.
const V2_FIXED: usize = 16;
/// Family byte and length of the addresses in bytes, for TCP over IPv4. The next constants: TCP
/// over IPv6, UNIX stream.
const TCP4: (u8, usize) = (0x11, 12);
const TCP6: (u8, usize) = (0x21, 36);
const UNIX: (u8, usize) = (0x31, 216);
/// Type of the extension with the checksum (`PP2_TYPE_CRC32C`).
const TLV_CRC32C: u8 = 0x03;

/// Result of parsing the bytes that have arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// The header is incomplete. All bytes so far may belong to a header.
    Partial,
    /// The header is complete.
    Whole {
        /// Length of the header in bytes.
        length: usize,
        /// Client named in the header. `None` if the header names no client (`UNKNOWN`, `LOCAL`, a
        /// UNIX socket); the load balancer's own address is then used.
        client: Option<IpAddr>,
    },
}

/// Reason why bytes are not a PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The bytes do not begin with the signature of either version.
    Absent,
    /// The bytes begin with a signature, but the rest of the header is malformed or too long.
    Invalid,
}

/// Parses a header at the beginning of `bytes`.
///
/// # Errors
/// Returns an error if the bytes cannot be the beginning of a header, whatever bytes follow.
pub fn parse(bytes: &[u8]) -> Result<Header, Malformed> {
    if begins(bytes, V2_START) {
        v2(bytes)
    } else if begins(bytes, V1_START) {
        v1(bytes)
    } else {
        Err(Malformed::Absent)
    }
}

/// True if the bytes begin with `text` or are a prefix of `text`.
fn begins(bytes: &[u8], text: &[u8]) -> bool {
    let both = bytes.len().min(text.len());
    bytes[..both] == text[..both]
}

/// Parses a text header: `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443` and a line end (§2.1).
fn v1(bytes: &[u8]) -> Result<Header, Malformed> {
    let line = &bytes[..bytes.len().min(V1_BYTES_MAX)];
    let end = line.iter().position(|byte| *byte == b'\r');
    // Only CR LF ends the line. Refuse a single line feed, which other parsers accept as a line
    // end.
    if line[..end.unwrap_or(line.len())].contains(&b'\n') {
        return Err(Malformed::Invalid);
    }
    let Some(end) = end else {
        return match line.len() {
            V1_BYTES_MAX => Err(Malformed::Invalid),
            _ => Ok(Header::Partial),
        };
    };
    match line.get(end + 1) {
        Some(b'\n') => {}
        None if line.len() < V1_BYTES_MAX => return Ok(Header::Partial),
        Some(_) | None => return Err(Malformed::Invalid),
    }
    let payload = line.get(V1_START.len()..end).ok_or(Malformed::Invalid)?;
    Ok(Header::Whole {
        length: end + 2,
        client: v1_client(payload).ok_or(Malformed::Invalid)?,
    })
}

/// Parses the part of a line between signature and line end. `None`: the line is malformed.
/// `Some(None)`: the line names no client.
fn v1_client(payload: &[u8]) -> Option<Option<IpAddr>> {
    // The rest of an UNKNOWN line is ignored (§2.1).
    if payload == b"UNKNOWN" || payload.starts_with(b"UNKNOWN ") {
        return Some(None);
    }
    let mut words = std::str::from_utf8(payload).ok()?.split(' ');
    let mut word = || words.next();
    let (family, source, destination) = (word()?, word()?, word()?);
    let (_, _) = (port(word()?)?, port(word()?)?);
    if word().is_some() {
        return None;
    }
    let client = match family {
        "TCP4" => {
            let _: Ipv4Addr = destination.parse().ok()?;
            IpAddr::V4(source.parse().ok()?)
        }
        "TCP6" => {
            let _: Ipv6Addr = destination.parse().ok()?;
            IpAddr::V6(source.parse().ok()?)
        }
        _ => return None,
    };
    Some(Some(client.to_canonical()))
}

/// Parses a decimal port without sign or leading zero.
fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let padded = text.len() > 1 && text.starts_with('0');
    text.parse().ok().filter(|_| plain && !padded)
}

/// Parses a binary header (§2.2).
fn v2(bytes: &[u8]) -> Result<Header, Malformed> {
    let command = bytes.get(12).copied();
    if command.is_some_and(|command| !matches!(command, 0x20 | 0x21)) {
        return Err(Malformed::Invalid);
    }
    let &[.., command, family, high, low] = bytes.get(..V2_FIXED).unwrap_or_default() else {
        return Ok(Header::Partial);
    };
    let length = V2_FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > HEADER_BYTES_MAX {
        return Err(Malformed::Invalid);
    }
    let Some(header) = bytes.get(..length) else {
        return Ok(Header::Partial);
    };
    let client = match command {
        // Command `LOCAL`: ignore the addresses.
        0x20 => None,
        _ => v2_client(header, family).ok_or(Malformed::Invalid)?,
    };
    Ok(Header::Whole { length, client })
}

/// Client in a complete version 2 header. `None`: the header is malformed. `Some(None)`: the header
/// names no client.
fn v2_client(header: &[u8], family: u8) -> Option<Option<IpAddr>> {
    let payload = &header[V2_FIXED..];
    let (client, addresses) = match family {
        0 => (None, 0),
        family if family == TCP4.0 => {
            let source: [u8; 4] = *payload.first_chunk()?;
            (Some(IpAddr::from(source)), TCP4.1)
        }
        family if family == TCP6.0 => {
            let source: [u8; 16] = *payload.first_chunk()?;
            (Some(IpAddr::from(source)), TCP6.1)
        }
        family if family == UNIX.0 => (None, UNIX.1),
        // Refuse datagram transports, which cannot occur over TCP, and values that are not
        // assigned.
        _ => return None,
    };
    let extensions = payload.get(addresses..)?;
    checked(header, header.len() - extensions.len())?;
    Some(client.map(|client| client.to_canonical()))
}

/// Checks the extensions after the addresses. `None` if an extension is truncated or the checksum
/// is wrong (§2.2.3). Ignores all extensions except the checksum.
fn checked(header: &[u8], mut at: usize) -> Option<()> {
    let mut sum_at = None;
    while at < header.len() {
        let &[kind, high, low] = header.get(at..at + 3)? else {
            return None;
        };
        let value = at + 3;
        at = value + usize::from(u16::from_be_bytes([high, low]));
        if at > header.len() {
            return None;
        }
        if kind == TLV_CRC32C && (at != value + 4 || sum_at.replace(value).is_some()) {
            return None;
        }
    }
    let Some(place) = sum_at else { return Some(()) };
    let (before, rest) = header.split_at(place);
    let (sum, after) = rest.split_first_chunk::<4>()?;
    let found = [before, &[0; 4], after].into_iter().fold(!0, crc32c);
    (!found == u32::from_be_bytes(*sum)).then_some(())
}

/// Updates a CRC32C with more bytes (RFC 9260, appendix A). The caller inverts the state before the
/// first call and after the last one.
fn crc32c(state: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(state, |state, byte| {
        let index = (state ^ u32::from(*byte)) & 0xFF;
        (state >> 8) ^ CRC32C[index as usize]
    })
}

static CRC32C: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut state = byte;
        let mut bit = 0;
        while bit < 8 {
            let carry = if state & 1 == 1 { 0x82F6_3B78 } else { 0 };
            state = (state >> 1) ^ carry;
            bit += 1;
        }
        table[byte as usize] = state;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use Malformed::{Absent, Invalid};

    fn whole(length: usize, client: &str) -> Result<Header, Malformed> {
        let client = client.parse().ok();
        Ok(Header::Whole { length, client })
    }

    fn v2_of(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [V2_START, &[command, family], &length, payload].concat()
    }

    const TCP4_SAID: [u8; 12] = [192, 0, 2, 7, 198, 51, 100, 1, 0xDC, 0x04, 0x01, 0xBB];

    #[test]
    fn lines_of_version_1_are_parsed_strictly() {
        for (line, expected) in [
            (
                "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n",
                whole(45, "192.0.2.7"),
            ),
            (
                "PROXY TCP4 192.0.2.7 198.51.100.1 0 65535\r\nGET",
                whole(43, "192.0.2.7"),
            ),
            (
                "PROXY TCP6 2001:db8::7 2001:db8::1 4124 443\r\n",
                whole(45, "2001:db8::7"),
            ),
            (
                "PROXY TCP6 ::ffff:192.0.2.7 ::1 4124 443\r\n",
                whole(42, "192.0.2.7"),
            ),
            ("PROXY UNKNOWN\r\n", whole(15, "")),
            ("PROXY UNKNOWN ffff::1 what ever\r\n", whole(33, "")),
            ("PROXY UNKNOWNS\r\n", Err(Invalid)),
            (
                "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\n",
                Err(Invalid),
            ),
            (
                "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\rX",
                Err(Invalid),
            ),
            ("PROXY UNKNOWN \n\r\n", Err(Invalid)),
            ("PROXY UNKNOWN \n\r", Err(Invalid)),
            ("PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n", Err(Invalid)),
            (
                "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443 \r\n",
                Err(Invalid),
            ),
            (
                "PROXY TCP4  192.0.2.7 198.51.100.1 56324 443\r\n",
                Err(Invalid),
            ),
            ("PROXY TCP4 192.0.2.7 198.51.100.1 +1 443\r\n", Err(Invalid)),
            ("PROXY TCP4 192.0.2.7 198.51.100.1 01 443\r\n", Err(Invalid)),
            (
                "PROXY TCP4 192.0.2.7 198.51.100.1 65536 443\r\n",
                Err(Invalid),
            ),
            ("PROXY TCP4 192.0.2.07 198.51.100.1 1 443\r\n", Err(Invalid)),
            ("PROXY TCP4 2001:db8::7 2001:db8::1 1 443\r\n", Err(Invalid)),
            ("PROXY TCP4 192.0.2.7 2001:db8::1 1 443\r\n", Err(Invalid)),
            ("PROXY TCP6 192.0.2.7 198.51.100.1 1 443\r\n", Err(Invalid)),
            ("PROXY UDP4 192.0.2.7 198.51.100.1 1 443\r\n", Err(Invalid)),
            ("PROXY tcp4 192.0.2.7 198.51.100.1 1 443\r\n", Err(Invalid)),
            ("PROXY \r\n", Err(Invalid)),
            ("PROXY\r\n", Err(Absent)),
            ("proxy TCP4", Err(Absent)),
            ("GET / HTTP/1.1\r\n", Err(Absent)),
            ("\x16\x03\x01", Err(Absent)),
        ] {
            assert_eq!(parse(line.as_bytes()), expected, "{line:?}");
        }
    }

    #[test]
    fn too_long_line_is_refused_before_its_end() {
        let long = |bytes: usize| format!("PROXY UNKNOWN {}", "x".repeat(bytes - 14));
        assert_eq!(parse(long(106).as_bytes()), Ok(Header::Partial));
        assert_eq!(parse(long(107).as_bytes()), Err(Invalid));
        assert_eq!(
            parse(format!("{}\r\n", long(105)).as_bytes()),
            whole(107, "")
        );
        assert_eq!(parse(format!("{}\r", long(106)).as_bytes()), Err(Invalid));
    }

    #[test]
    fn headers_of_version_2_are_read_by_their_lengths() {
        let mut v6 = [0; 36];
        v6[..4].copy_from_slice(&[0x20, 0x01, 0x0D, 0xB8]);
        v6[15] = 7;
        let cases: [(&str, Vec<u8>, Result<Header, Malformed>); 14] = [
            (
                "IPv4",
                v2_of(0x21, 0x11, &TCP4_SAID),
                whole(28, "192.0.2.7"),
            ),
            ("IPv6", v2_of(0x21, 0x21, &v6), whole(52, "2001:db8::7")),
            ("UNIX", v2_of(0x21, 0x31, &[7; 216]), whole(232, "")),
            ("unspecified", v2_of(0x21, 0x00, &[]), whole(16, "")),
            ("LOCAL", v2_of(0x20, 0x11, &TCP4_SAID), whole(28, "")),
            (
                "LOCAL with any addresses",
                v2_of(0x20, 0x77, b"?"),
                whole(17, ""),
            ),
            ("no command", v2_of(0x22, 0x11, &TCP4_SAID), Err(Invalid)),
            ("version 3", v2_of(0x31, 0x11, &TCP4_SAID), Err(Invalid)),
            ("datagrams", v2_of(0x21, 0x12, &TCP4_SAID), Err(Invalid)),
            ("no family", v2_of(0x21, 0x41, &TCP4_SAID), Err(Invalid)),
            (
                "too short for IPv4",
                v2_of(0x21, 0x11, &TCP4_SAID[..11]),
                Err(Invalid),
            ),
            (
                "too short for IPv6",
                v2_of(0x21, 0x21, &v6[..35]),
                Err(Invalid),
            ),
            (
                "too short for UNIX",
                v2_of(0x21, 0x31, &[0; 215]),
                Err(Invalid),
            ),
            (
                "as long as may be",
                v2_of(0x20, 0, &[0; 4_080]),
                whole(4_096, ""),
            ),
        ];
        for (what, bytes, expected) in cases {
            assert_eq!(parse(&bytes), expected, "{what}");
            let more = [&bytes[..], b"GET / HTTP/1.1"].concat();
            assert_eq!(parse(&more), expected, "{what}, and more behind it");
        }
        let long = v2_of(0x21, 0, &[0; 4_081]);
        assert_eq!(parse(&long[..V2_FIXED]), Err(Invalid), "before it has come");
    }

    #[test]
    fn prefix_of_a_header_is_incomplete_and_not_wrong() {
        let line = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n".to_vec();
        let tlv = [&TCP4_SAID[..], &[0x02, 0, 4], b"shop"].concat();
        for header in [line, v2_of(0x21, 0x11, &tlv)] {
            for cut in 0..header.len() {
                assert_eq!(
                    parse(&header[..cut]),
                    Ok(Header::Partial),
                    "{cut} of {header:?}"
                );
            }
            assert_eq!(parse(&header), whole(header.len(), "192.0.2.7"));
        }
    }

    #[test]
    fn extensions_must_be_whole_and_a_checksum_right() {
        assert_eq!(!crc32c(!0, b"123456789"), 0xE306_9283);
        let with = |extensions: &[u8]| v2_of(0x21, 0x11, &[&TCP4_SAID, extensions].concat());
        assert_eq!(
            parse(&with(&[0xEA, 0, 2, 1, 2, 0x04, 0, 0])),
            whole(36, "192.0.2.7")
        );
        for cut in [
            &[0xEA][..],
            &[0xEA, 0],
            &[0xEA, 0, 1],
            &[0xEA, 0xFF, 0xFF, 0],
        ] {
            assert_eq!(parse(&with(cut)), Err(Invalid), "{cut:?}");
        }
        let mut summed = with(&[0x04, 0, 1, 9, 0x03, 0, 4, 0, 0, 0, 0, 0x02, 0, 1, b'h']);
        let sum = !crc32c(!0, &summed);
        summed[35..39].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(parse(&summed), whole(43, "192.0.2.7"));
        for at in [16, 31, 35, 42] {
            let mut other = summed.clone();
            other[at] ^= 1;
            assert_eq!(parse(&other), Err(Invalid), "byte {at} is another");
        }
        assert_eq!(
            parse(&with(&[0x03, 0, 3, 0, 0, 0])),
            Err(Invalid),
            "a short sum"
        );
        let twice = [0x03, 0, 4, 0, 0, 0, 0].repeat(2);
        assert_eq!(parse(&with(&twice)), Err(Invalid), "two sums");
    }
}
