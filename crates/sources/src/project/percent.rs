//! Percent escapes of references (RFC 3986 §2.1).

/// Decodes the percent escapes of a string. `None` if an escape is malformed or the result is not
/// UTF-8.
#[must_use]
pub fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let digit = |at: usize| char::from(*tail.get(at)?).to_digit(16);
        let code = digit(0)? << 4 | digit(1)?;
        bytes.push(u8::try_from(code).ok()?);
        rest = tail.get(2..)?;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_escapes_are_decoded() {
        assert_eq!(percent_decoded("a%20b%2Fc").as_deref(), Some("a b/c"));
        for bad in ["%", "%2", "%zz", "%ff", "a%2"] {
            assert_eq!(percent_decoded(bad), None, "{bad}");
        }
    }
}
