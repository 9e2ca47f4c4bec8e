//! Percent-escapes that are not UTF-8, such as `%FF` or a truncated `%C3`. Servers with lenient
//! decoders drop these bytes: Python's `decode("utf8", "ignore")`, for example in Bottle.

use crate::escapes::byte;

/// Maximum length of a character in UTF-8, in bytes.
const BYTES_MAX: usize = 4;

/// Escapes at the beginning of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Valid character. Contains the number of its escapes.
    Valid(usize),
    /// Bytes that are not UTF-8. Contains the number of their escapes.
    Invalid(usize),
}

/// True if a normalised path has escapes that are not UTF-8 (RFC 3629). Overlong forms are not
/// UTF-8.
pub(crate) fn is_present(path: &str) -> bool {
    let bytes = path.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        at += match part(&bytes[at..]) {
            Some(Part::Valid(escapes)) => 3 * escapes,
            Some(Part::Invalid(_)) => return true,
            None => 1,
        };
    }
    false
}

/// Path without the escapes that are not UTF-8. `None` if there are none.
pub(crate) fn dropped(path: &str) -> Option<String> {
    let mut text = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = match part(rest.as_bytes()) {
            Some(Part::Valid(escapes)) => {
                text.push_str(&rest[..3 * escapes]);
                3 * escapes
            }
            Some(Part::Invalid(escapes)) => 3 * escapes,
            None => {
                text.push('%');
                1
            }
        };
        rest = &rest[length..];
    }
    text.push_str(rest);
    (text.len() < path.len()).then_some(text)
}

/// Escapes of the first character, or of the first invalid bytes, of a text. `None` if the text
/// does not begin with an escape.
fn part(text: &[u8]) -> Option<Part> {
    let mut bytes = [byte(text, 0)?, 0, 0, 0];
    if bytes[0].is_ascii() {
        return Some(Part::Valid(1));
    }
    let mut length = 1;
    while length < BYTES_MAX {
        let Some(next) = byte(text, length) else {
            break;
        };
        bytes[length] = next;
        length += 1;
    }
    let chunk = bytes[..length].utf8_chunks().next()?;
    Some(match chunk.valid().chars().next() {
        Some(character) => Part::Valid(character.len_utf8()),
        None => Part::Invalid(chunk.invalid().len()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_that_are_not_utf8_are_dropped() {
        for (path, expected) in [
            ("/admin%FF", Some("/admin")),
            ("/%A0admin", Some("/admin")),
            ("/adm%C3in", Some("/admin")),
            ("/adm%ED%A0%80in", Some("/admin")),
            ("/admin%F4%90%80%80", Some("/admin")),
            ("/%E2%82admin%E2%82%AC", Some("/admin%E2%82%AC")),
            ("/.%FF./x", Some("/../x")),
            ("/a%C0%AFb", Some("/ab")),
            ("/%C3%A9%FF%C3%A9", Some("/%C3%A9%C3%A9")),
            ("/%F0%9F%98%80%C3%A9%E2%82%AC%20", None),
            ("/a%2Fb%20%7F", None),
            ("/plain", None),
            ("/%", None),
            ("/%C", None),
        ] {
            assert_eq!(dropped(path).as_deref(), expected, "{path}");
            assert_eq!(is_present(path), expected.is_some(), "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn rest_is_utf8_as_the_standard_library_reads_it(bytes in proptest::collection::vec(0x70..=0xFF_u8, 0..12)) {
            let escaped: String = bytes.iter().map(|byte| format!("%{byte:02X}")).collect();
            let valid: String = bytes.utf8_chunks().map(|chunk| chunk.valid()).collect();
            let valid: String = valid.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let kept = dropped(&escaped).unwrap_or(escaped);
            proptest::prop_assert_eq!(kept, valid);
        }
    }
}
