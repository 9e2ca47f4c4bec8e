//! Percent-escapes of paths (RFC 3986 §2.1).

use std::borrow::Cow;

/// True if gwd compares an escape of this byte like the byte itself. These bytes are the printable
/// ASCII characters except `/`, `\`, `%`, `?` and `#`. The exceptions change the meaning of a path
/// if they are decoded.
#[must_use]
pub fn is_decoded(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'/' | b'\\' | b'%' | b'?' | b'#')
}

/// Positions of the percent-escapes that gwd refuses in a path: escapes of control characters.
pub fn refused(path: &str) -> impl Iterator<Item = usize> {
    let escapes = path.match_indices('%').map(|(at, _)| at);
    escapes.filter(|at| {
        let digits = path.as_bytes().get(at + 1..at + 3);
        let digit = |at: usize| char::from(*digits?.get(at)?).to_digit(16);
        matches!(
            (digit(0), digit(1)),
            (Some(0 | 1), Some(_)) | (Some(7), Some(15))
        )
    })
}

/// True if gwd removes this segment before it matches a path: `.` or `..`, also with escaped dots
/// (RFC 3986 §5.2.4 and §6.2.2.2).
#[must_use]
pub fn is_dot_segment(segment: &str) -> bool {
    let dots = segment.replace("%2e", ".").replace("%2E", ".");
    matches!(&*dots, "." | "..")
}

/// Path with decoded escapes of the characters of [`is_decoded`]: most servers decode them before
/// they select a handler. Keeps all other escapes. `path` is normalised.
#[must_use]
pub(crate) fn printable(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let mut text = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let digits = rest.get(1..3);
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let (character, length) = match byte.filter(|byte| is_decoded(*byte)) {
            Some(byte) => (char::from(byte), 3),
            None => ('%', 1),
        };
        text.push(character);
        rest = &rest[length..];
    }
    text.push_str(rest);
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_of_control_characters_are_refused() {
        for byte in 0..=u8::MAX {
            let expected = byte < 0x20 || byte == 0x7F;
            for escape in [format!("%{byte:02x}"), format!("%{byte:02X}")] {
                let found: Vec<usize> = refused(&format!("/a{escape}{escape}")).collect();
                let all = [2, 5];
                let expected = if expected { &all[..] } else { &[] };
                assert_eq!(found, expected, "{escape}");
            }
        }
        assert_eq!(refused("/%+1/%1/%0").count(), 0);
    }

    #[test]
    fn dots_and_escaped_dots_are_dot_segments() {
        for segment in [".", "..", "%2e", "%2E", ".%2e", "%2E.", "%2e%2E"] {
            assert!(is_dot_segment(segment), "{segment}");
        }
        for segment in ["", "...", ".a", "%252e", "%2e%2e%2e", "..;", "%2"] {
            assert!(!is_dot_segment(segment), "{segment}");
        }
    }

    #[test]
    fn printable_characters_are_decoded() {
        for (path, expected) in [
            ("/a", "/a"),
            ("/%40a%20b%3A", "/@a b:"),
            ("/a%2Fb%5Cc%25d%3Fe%23", "/a%2Fb%5Cc%25d%3Fe%23"),
            ("/%C3%A9%0A%7F", "/%C3%A9%0A%7F"),
            ("/%4", "/%4"),
        ] {
            assert_eq!(printable(path), expected, "{path}");
        }
    }
}
