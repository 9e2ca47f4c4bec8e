//! Overlong UTF-8 in percent-escapes: an ASCII character encoded in more bytes than necessary
//! (`%C0%AF` for `/`). UTF-8 forbids these forms (RFC 3629 §3), but upstreams with lenient decoders
//! accept them.

use crate::escapes::{byte, push_escape};

/// Prefixes with which the overlong forms of ASCII characters begin.
const BEGINNINGS: [&str; 8] = [
    "%C0%",
    "%C1%",
    "%E0%80%",
    "%E0%81%",
    "%F0%80%80%",
    "%F0%80%81%",
    "%F8%80%80%",
    "%FC%80%80%",
];

/// True if a normalised path may contain an overlong form.
fn is_present(path: &str) -> bool {
    BEGINNINGS.iter().any(|beginning| path.contains(beginning))
}

/// Path in which each overlong form is replaced: by the character if it is unreserved, otherwise by
/// its percent-escape. `None` if the path has no overlong form.
pub(crate) fn shortened(path: &str) -> Option<String> {
    if !is_present(path) {
        return None;
    }
    let mut text = String::with_capacity(path.len());
    let mut rest = path;
    let mut changed = false;
    while let Some(at) = rest.find('%') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = match overlong(rest.as_bytes()) {
            Some((byte, length)) => {
                changed = true;
                match byte {
                    b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                        text.push(char::from(byte));
                    }
                    _ => push_escape(&mut text, byte),
                }
                3 * length
            }
            None => {
                text.push('%');
                1
            }
        };
        rest = &rest[length..];
    }
    text.push_str(rest);
    changed.then_some(text)
}

/// Decodes the overlong form at the first escape: its ASCII character, and its length in bytes.
fn overlong(escapes: &[u8]) -> Option<(u8, usize)> {
    let (length, bits) = match byte(escapes, 0)? {
        lead @ (0xC0 | 0xC1) => (2, u64::from(lead & 0x1F)),
        0xE0 => (3, 0),
        0xF0 => (4, 0),
        0xF8 => (5, 0),
        0xFC => (6, 0),
        _ => return None,
    };
    let mut value = bits;
    for at in 1..length {
        let next = byte(escapes, at).filter(|next| next & 0xC0 == 0x80)?;
        value = value << 6 | u64::from(next & 0x3F);
    }
    let character = u8::try_from(value).ok().filter(u8::is_ascii)?;
    Some((character, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlong_forms_get_their_shortest_form() {
        let cases = [
            ("/a%C0%AFb", Some("/a%2Fb")),
            ("/%E0%80%AF%C1%81", Some("/%2FA")),
            ("/%E0%81%9C", Some("/%5C")),
            ("/%F0%80%80%AE", Some("/.")),
            ("/%F8%80%80%80%AF", Some("/%2F")),
            ("/%FC%80%80%80%80%AF", Some("/%2F")),
            ("/%C0%80", Some("/%00")),
            ("/%C0%2F", None),
            ("/%C0", None),
            ("/%C0%A", None),
            ("/%E0%80", None),
            ("/%E0%A4%85", None),
            ("/%F0%80%82%A0", None),
            ("/%C3%A9", None),
        ];
        for (path, expected) in cases {
            assert_eq!(shortened(path).as_deref(), expected, "{path}");
        }
    }
}
